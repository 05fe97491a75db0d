//! The environments of a tenant: making, naming and finding them.

use domain::id::EnvironmentId;
use domain::scope::{Cause, Scope};
use domain::setting::TenantLimits;
use serde_json::{Value, json};
use store::tenants::Environment;
use store::{Read, Tx};

use crate::error::Error;
use crate::run::Engine;
use crate::settings::tenant_limits;

/// An environment of the scope's tenant.
pub fn find(read: Read<'_>, scope: &Scope, id: EnvironmentId) -> Result<Environment, Error> {
    let all = store::tenants::environments_of(read, scope)?;
    let found = all.into_iter().find(|environment| environment.scope.environment == id);
    found.ok_or_else(|| Error::not_found("environment"))
}

/// Makes an environment, if the tenant's limits leave room for one more of its kind.
pub fn create(
    tx: &mut Tx<'_>,
    cause: &Cause,
    (name, live): (&str, bool),
) -> Result<Environment, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let there = store::tenants::environments_of(tx.read()?, &scope)?;
    check_limit(&there, live, tenant_limits(tx.read()?, &scope)?)?;
    let ids = (scope.tenant, EnvironmentId(tx.mint()));
    let by = (cause.actor.id.as_str(), now);
    store::tenants::insert_environment(tx.write()?, ids, (name, live), by)?;
    let made = find(tx.read()?, &scope, ids.1)?;
    let entity = ("environment", ids.1.to_string());
    let states = (None, Some(view(&made)));
    crate::audit::record(tx, cause, "environment.created", entity, states)?;
    Ok(made)
}

fn check_limit(there: &[Environment], live: bool, limits: TenantLimits) -> Result<(), Error> {
    let same = there.iter().filter(|environment| environment.scope.live == live).count();
    let (kind, max) =
        if live { ("production", limits.production) } else { ("development", limits.development) };
    if u32::try_from(same).is_ok_and(|same| same < max) {
        return Ok(());
    }
    let message = format!(
        "the tenant may have {max} {kind} environments; the setting tenant_config holds the limit"
    );
    Err(Error::operation(message))
}

impl Engine {
    pub async fn environments(&self, scope: Scope) -> Result<Vec<Environment>, Error> {
        self.read(move |read| Ok(store::tenants::environments_of(read, &scope)?)).await
    }

    pub async fn environment(&self, scope: Scope, id: EnvironmentId) -> Result<Environment, Error> {
        self.read(move |read| find(read, &scope, id)).await
    }

    pub async fn rename_environment(
        &self,
        scope: Scope,
        cause: Cause,
        (id, name): (EnvironmentId, String),
    ) -> Result<Environment, Error> {
        self.change(scope, move |tx| rename(tx, &cause, id, &name)).await
    }
}

fn rename(
    tx: &mut Tx<'_>,
    cause: &Cause,
    id: EnvironmentId,
    name: &str,
) -> Result<Environment, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let before = find(tx.read()?, &scope, id)?;
    store::tenants::rename_environment(tx.write()?, &scope, (id, name), now)?;
    let after = find(tx.read()?, &scope, id)?;
    let states = (Some(view(&before)), Some(view(&after)));
    let entity = ("environment", id.to_string());
    crate::audit::record(tx, cause, "environment.updated", entity, states)?;
    Ok(after)
}

/// An environment as the audit log and answers show it.
pub fn view(environment: &Environment) -> Value {
    json!({
        "id": environment.scope.environment,
        "tenant_id": environment.scope.tenant,
        "name": environment.name,
        "type": if environment.scope.live { "production" } else { "development" },
        "created_at": environment.created_at,
        "updated_at": environment.updated_at,
        "created_by": environment.created_by,
    })
}
