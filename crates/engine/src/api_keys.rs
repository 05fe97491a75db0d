//! Managing the API keys of a tenant's environments: make, rotate, revoke, list.

use domain::id::{EnvironmentId, SecretId, UserId};
use domain::key::KeyKind;
use domain::role::{Grant, publishable_grants};
use domain::scope::{Cause, Scope};
use domain::time::{DAY_MS, SECOND_MS, Timestamp};
use serde_json::{Value, json};
use store::Tx;
use store::keys::StoredKey;

use crate::error::Error;
use crate::keys::{self, KeyPlan, NewKey};
use crate::members::{MACHINE, check_cover};
use crate::run::Engine;

/// An old key may live on beside its successor for this long.
const OVERLAP_SECONDS_MAX: i64 = 7 * DAY_MS / SECOND_MS;

/// What a new key shall be.
#[derive(Clone, Debug)]
pub struct KeyAsk {
    pub name: String,
    pub kind: KeyKind,
    /// Roles or scopes; none means those of the owner.
    pub grants: Vec<Grant>,
    pub expires_at: Option<Timestamp>,
    /// The program that owns the key; otherwise whoever asks.
    pub machine: Option<UserId>,
    /// An environment of the same tenant; otherwise the one of the key that asks.
    pub environment: Option<EnvironmentId>,
}

/// Makes a key with `chance`. It has no more rights than `maker`, the key that asks.
pub fn create(
    tx: &mut Tx<'_>,
    cause: &Cause,
    maker: &StoredKey,
    (ask, chance): (&KeyAsk, &[u8; 32]),
) -> Result<NewKey, Error> {
    let here = tx.scope();
    let scope = match ask.environment {
        Some(id) => crate::environments::find(tx.read()?, &here, id)?.scope,
        None => here,
    };
    if ask.expires_at.is_some_and(|expiry| expiry <= tx.now()) {
        return Err(Error::invalid("expires_at", "expires_at must lie in the future"));
    }
    let owner = Owner::find(tx, maker, ask)?;
    let grants = owner.grants(maker, ask)?;
    let plan = KeyPlan {
        scope,
        kind: ask.kind,
        paywall: None,
        name: ask.name.clone(),
        grants,
        expires_at: ask.expires_at,
        supplied: None,
    };
    let text = domain::key::make_key(scope.live, ask.kind, chance);
    let key = keys::insert_owned(tx, cause, &plan, &text, (owner.id, owner.kind))?;
    record(tx, cause, "secret.created", (None, Some(&key)))?;
    Ok(NewKey { text, key })
}

/// Who a key belongs to, and what the owner may do.
struct Owner {
    id: Option<UserId>,
    kind: String,
    grants: Vec<Grant>,
}

impl Owner {
    fn find(tx: &mut Tx<'_>, maker: &StoredKey, ask: &KeyAsk) -> Result<Owner, Error> {
        let Some(id) = ask.machine else {
            let grants = maker.grants();
            return Ok(Owner { id: maker.user, kind: maker.user_type.clone(), grants });
        };
        let scope = tx.scope();
        let member = crate::members::find(tx.read()?, &scope, id)?;
        if member.kind != MACHINE {
            let message = "service_account_id must name a service account";
            return Err(Error::invalid("service_account_id", message));
        }
        let grants = crate::members::roles(&member.profile.roles)?;
        Ok(Owner { id: Some(id), kind: member.kind, grants })
    }

    /// What the key may do: what was asked, or what the owner may.
    fn grants(&self, maker: &StoredKey, ask: &KeyAsk) -> Result<Vec<String>, Error> {
        let wanted = match (ask.kind, ask.grants.as_slice()) {
            (KeyKind::Pk, []) => publishable_grants(),
            (KeyKind::Pk, _) => {
                let message = "a publishable key reads what is for sale; it takes no roles";
                return Err(Error::invalid("roles", message));
            }
            (_, []) => self.grants.clone(),
            (_, asked) => asked.to_vec(),
        };
        check_cover(&maker.grants(), &wanted)?;
        if ask.kind != KeyKind::Pk {
            check_cover(&self.grants, &wanted)?;
        }
        Ok(wanted.iter().map(ToString::to_string).collect())
    }
}

/// Makes the successor of a key; the old one ends at once, or after the overlap. The caller forgets
/// the old one before it answers.
pub fn rotate(
    tx: &mut Tx<'_>,
    cause: &Cause,
    (id, overlap_seconds): (SecretId, i64),
    chance: &[u8; 32],
) -> Result<NewKey, Error> {
    if !(0..=OVERLAP_SECONDS_MAX).contains(&overlap_seconds) {
        let message = format!("overlap_seconds must be from 0 to {OVERLAP_SECONDS_MAX}");
        return Err(Error::invalid("overlap_seconds", message));
    }
    let (scope, now) = (tx.scope(), tx.now());
    let old = find(tx, id)?;
    if old.expires_at.is_some_and(|expiry| expiry <= now) {
        return Err(Error::operation("the key has expired; make a new one"));
    }
    let kind = KeyKind::parse(&old.kind).unwrap_or(KeyKind::Sk);
    let plan = KeyPlan {
        scope,
        kind,
        paywall: None,
        name: old.name.clone(),
        grants: old.grants.clone(),
        expires_at: old.expires_at,
        supplied: None,
    };
    let text = domain::key::make_key(scope.live, kind, chance);
    let owner = (old.user, old.user_type.clone());
    let key = keys::insert_owned(tx, cause, &plan, &text, owner)?;
    let end = now.plus_ms(overlap_seconds * SECOND_MS);
    let end = old.expires_at.map_or(end, |expiry| expiry.min(end));
    let status = if overlap_seconds == 0 { "deleted" } else { "published" };
    store::keys::end(tx.write()?, &scope, old.no, (status, Some(end)), now)?;
    record(tx, cause, "secret.rotated", (Some(&old), Some(&key)))?;
    Ok(NewKey { text, key })
}

/// An API key of this environment that was not revoked. Paywalls rotate their own.
fn find(tx: &mut Tx<'_>, id: SecretId) -> Result<StoredKey, Error> {
    let scope = tx.scope();
    let found = store::keys::find(tx.read()?, &scope, id)?;
    let found = found.filter(|key| key.kind != "pw" && key.status == "published");
    found.ok_or_else(|| Error::not_found("key"))
}

fn record(
    tx: &mut Tx<'_>,
    cause: &Cause,
    action: &str,
    (before, after): (Option<&StoredKey>, Option<&StoredKey>),
) -> Result<(), Error> {
    let id = before.or(after).map(|key| key.id.to_string()).unwrap_or_default();
    let states = (before.map(view), after.map(view));
    crate::audit::record(tx, cause, action, ("secret", id), states)
}

impl Engine {
    /// Revokes a key: it is refused from the answer on.
    pub async fn revoke_key(&self, scope: Scope, cause: Cause, id: SecretId) -> Result<(), Error> {
        let hash = self
            .change(scope, move |tx| {
                let (key, now) = (find(tx, id)?, tx.now());
                store::keys::end(tx.write()?, &scope, key.no, ("deleted", None), now)?;
                record(tx, &cause, "secret.revoked", (Some(&key), None))?;
                Ok::<_, Error>(key.hash)
            })
            .await?;
        self.forget_key(&hash);
        Ok(())
    }

    /// Forgets the key with this id, before its change is answered.
    pub fn forget_key_with_id(&self, scope: Scope, id: SecretId) -> Result<(), Error> {
        let found = self.read_now(|read| Ok::<_, Error>(store::keys::find(read, &scope, id)?))?;
        if let Some(key) = found {
            self.forget_key(&key.hash);
        }
        Ok(())
    }

    /// A page of the environment's API keys, and how many there are.
    pub async fn api_keys(
        &self,
        scope: Scope,
        status: String,
        page: (u32, u32),
    ) -> Result<(Vec<StoredKey>, u64), Error> {
        self.read(move |read| Ok(store::keys::page(read, &scope, &status, page)?)).await
    }
}

/// A key as the audit log and answers show it: never its text.
pub fn view(key: &StoredKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "type": match key.kind.as_str() {
            "pk" => "publishable_key",
            _ => "private_key",
        },
        "provider": "flexprice",
        "display_id": key.display,
        "roles": key.grants,
        "user_id": key.user,
        "user_type": key.user_type,
        "environment_id": key.scope.environment,
        "status": key.status,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "created_at": key.created_at,
        "updated_at": key.updated_at,
        "created_by": key.created_by,
    })
}
