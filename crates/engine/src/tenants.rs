//! Reading and changing the tenant of a scope.

use std::collections::BTreeMap;

use domain::scope::{Cause, Scope};
use serde_json::{Map, Value, json};
use store::tenants::{Profile, Tenant};
use store::{Read, Tx};

use crate::error::Error;
use crate::run::Engine;

/// What a change names; what it leaves out stays.
#[derive(Clone, Debug, Default)]
pub struct TenantEdit {
    pub name: Option<String>,
    pub billing_details: Option<Map<String, Value>>,
    pub metadata: Option<BTreeMap<String, String>>,
}

pub fn find(read: Read<'_>, scope: &Scope) -> Result<Tenant, Error> {
    store::tenants::find(read, scope)?.ok_or_else(|| Error::not_found("tenant"))
}

impl Engine {
    pub async fn tenant(&self, scope: Scope) -> Result<Tenant, Error> {
        self.read(move |read| find(read, &scope)).await
    }

    pub async fn update_tenant(
        &self,
        scope: Scope,
        cause: Cause,
        edit: TenantEdit,
    ) -> Result<Tenant, Error> {
        self.change(scope, move |tx| update(tx, &cause, &edit)).await
    }
}

fn update(tx: &mut Tx<'_>, cause: &Cause, edit: &TenantEdit) -> Result<Tenant, Error> {
    let scope = tx.scope();
    let before = find(tx.read()?, &scope)?;
    let profile = before.profile.clone();
    let after = Tenant {
        name: edit.name.clone().unwrap_or_else(|| before.name.clone()),
        profile: Profile {
            billing_details: edit.billing_details.clone().unwrap_or(profile.billing_details),
            metadata: edit.metadata.clone().unwrap_or(profile.metadata),
        },
        updated_at: tx.now(),
        ..before.clone()
    };
    store::tenants::set(tx.write()?, &scope, &after)?;
    let states = (Some(view(&before)), Some(view(&after)));
    crate::audit::record(tx, cause, "tenant.updated", ("tenant", after.id.to_string()), states)?;
    Ok(after)
}

/// A tenant as the audit log and answers show it.
pub fn view(tenant: &Tenant) -> Value {
    json!({
        "id": tenant.id,
        "name": tenant.name,
        "status": tenant.status,
        "billing_details": tenant.profile.billing_details,
        "metadata": tenant.profile.metadata,
        "created_at": tenant.created_at,
        "updated_at": tenant.updated_at,
    })
}
