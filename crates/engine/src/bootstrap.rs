//! The first tenant, its environment and its key, made where they are missing.

use domain::id::{EnvironmentId, Mint, TenantId, UserId};
use domain::key::KeyKind;
use domain::place::EnvNo;
use domain::role::Role;
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};

use store::Tx;
use store::members::{Member, Profile, Wanted};

use crate::error::Error;
use crate::keys::{self, KeyPlan};
use crate::members::PERSON;
use crate::run::Engine;

impl Engine {
    /// Makes a tenant with a `development` environment, unless there is one. Returns the first.
    pub async fn ensure_tenant(&self, name: &str) -> Result<Scope, Error> {
        if let Some(scope) = self.scopes()?.into_iter().next() {
            return Ok(scope);
        }
        self.create_tenant(name, "development", false).await
    }

    /// A new tenant with one environment.
    pub async fn create_tenant(
        &self,
        name: &str,
        environment: &str,
        live: bool,
    ) -> Result<Scope, Error> {
        let now = self.real_now();
        let mut mint = Mint::new(u64::from_be_bytes(self.random.bytes()));
        let (tenant, env) = (TenantId(mint.next(now)), EnvironmentId(mint.next(now)));
        let (name, environment) = (name.to_owned(), environment.to_owned());
        self.change_above(move |tx| {
            let write = tx.write()?;
            store::tenants::insert(write, tenant, (&name, "{}"), now)?;
            let place = (environment.as_str(), live);
            Ok(store::tenants::insert_environment(write, (tenant, env), place, ("system", now))?)
        })
        .await
    }

    /// Proves that the database takes a write now.
    pub async fn check_writable(&self) -> Result<(), Error> {
        let now = self.real_now();
        self.change_above(move |tx| Ok(store::gauges::probe(tx.write()?, now)?)).await
    }

    /// Runs a command that belongs to no environment yet.
    pub(crate) async fn change_above<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut store::Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.change(nowhere(), work).await
    }

    /// Makes sure that `text` is a key of `scope` with the role super_admin.
    pub async fn ensure_key(&self, scope: Scope, text: &str) -> Result<(), Error> {
        if self.authenticate(text).is_ok() {
            return Ok(());
        }
        let plan = KeyPlan {
            scope,
            kind: KeyKind::Sk,
            paywall: None,
            name: "first key".to_owned(),
            grants: vec![Role::SuperAdmin.as_str().to_owned()],
            expires_at: None,
            supplied: Some(text.to_owned()),
        };
        let text = text.to_owned();
        self.change(scope, move |tx| {
            let owner = owner(tx)?;
            let actor = Actor {
                source: Source::System,
                kind: ActorKind::PaywallOwner,
                id: owner.to_string(),
            };
            let cause = Cause { actor, request: None, idempotency_key: None };
            keys::insert(tx, &cause, &plan, &text).map(drop)
        })
        .await
    }
}

/// Who holds the keys that the operator supplies: the tenant's first person, made where missing.
pub(crate) fn owner(tx: &mut Tx<'_>) -> Result<UserId, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let people = Wanted {
        kind: Some(PERSON.to_owned()),
        status: "published".to_owned(),
        ..Wanted::default()
    };
    if let Some(first) = store::members::list(tx.read()?, &scope, &people)?.pop() {
        return Ok(first.id);
    }
    let profile = Profile {
        name: "owner".to_owned(),
        roles: vec![Role::SuperAdmin.as_str().to_owned()],
        ..Profile::default()
    };
    let owner = Member {
        id: UserId(tx.mint()),
        kind: PERSON.to_owned(),
        status: "published".to_owned(),
        profile,
        created_at: now,
        updated_at: now,
    };
    store::members::insert(tx.write()?, scope.tenant, &owner)?;
    Ok(owner.id)
}

/// The scope of work above all environments.
pub(crate) fn nowhere() -> Scope {
    Scope {
        env: EnvNo::default(),
        environment: EnvironmentId::default(),
        tenant: TenantId::default(),
        live: false,
    }
}
