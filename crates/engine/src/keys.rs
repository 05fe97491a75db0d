//! Who a caller is: keys by the hash of their text, and how they are made.

use std::collections::HashMap;
use std::sync::Arc;

use domain::id::{SecretId, UserId};
use domain::key::{self, KeyError, KeyKind};
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use store::Tx;
use store::keys::StoredKey;

use crate::error::{Class, Error, Fault};
use crate::run::Engine;

/// A key that was just made; the only moment at which its text exists.
pub struct NewKey {
    pub text: String,
    pub key: StoredKey,
}

/// What a new key shall be.
#[derive(Clone, Debug)]
pub struct KeyPlan {
    pub scope: Scope,
    pub kind: KeyKind,
    pub paywall: Option<i64>,
    pub name: String,
    pub grants: Vec<String>,
    pub expires_at: Option<Timestamp>,
    /// A text that the caller's clients hold already.
    pub supplied: Option<String>,
}

impl Engine {
    /// The key of a text, if it is one of ours and valid now.
    pub fn authenticate(&self, text: &str) -> Result<Arc<StoredKey>, Error> {
        let hash = key::fingerprint(text);
        let found = if let Some(found) = self.keys.get(&hash) {
            found
        } else if matches!(key::check_key(text), Err(KeyError::WrongChecksum)) {
            return Err(unknown_key());
        } else {
            let seen = self.forgets();
            let stored = self.read_now(|read| Ok(store::keys::find_by_hash(read, &hash)?))?;
            let found = Arc::new(stored.ok_or_else(unknown_key)?);
            self.remember(&self.keys, seen, (hash, found.clone()));
            found
        };
        if found.status != "published" {
            return Err(unauthorized("this key was revoked"));
        }
        if found.expires_at.is_some_and(|expiry| expiry <= self.now(&found.scope)) {
            return Err(unauthorized("this key has expired"));
        }
        if found.tenant_suspended {
            return Err(Error::forbidden("permission_denied", "this tenant is suspended"));
        }
        Ok(found)
    }

    /// Forgets a key that changed, before the change is answered.
    pub fn forget_key(&self, hash: &[u8; 32]) {
        self.forget();
        self.keys.remove(hash);
    }

    /// Writes when keys were last used, all in one commit for each environment.
    pub async fn set_last_used(&self, uses: Vec<(Scope, i64, Timestamp)>) -> Result<(), Error> {
        let mut by_scope: HashMap<Scope, Vec<(i64, Timestamp)>> = HashMap::new();
        for (scope, no, at) in uses {
            by_scope.entry(scope).or_default().push((no, at));
        }
        for (scope, uses) in by_scope {
            self.change(scope, move |tx| {
                let write = tx.write()?;
                for (no, at) in &uses {
                    store::keys::set_last_used(write, &scope, *no, *at)?;
                }
                Ok::<_, Error>(())
            })
            .await?;
        }
        Ok(())
    }

    /// The text of a new key.
    pub fn key_text(&self, plan: &KeyPlan) -> String {
        match &plan.supplied {
            Some(text) => text.clone(),
            None => key::make_key(plan.scope.live, plan.kind, &self.random.bytes()),
        }
    }
}

/// Inserts a key of this text that belongs to whoever causes it.
pub fn insert(
    tx: &mut Tx<'_>,
    cause: &Cause,
    plan: &KeyPlan,
    text: &str,
) -> Result<StoredKey, Error> {
    let owner = (cause.actor.id.parse().ok(), "user".to_owned());
    insert_owned(tx, cause, plan, text, owner)
}

/// Inserts a key of this text for its owner: a member, and the member's kind.
pub fn insert_owned(
    tx: &mut Tx<'_>,
    cause: &Cause,
    plan: &KeyPlan,
    text: &str,
    (user, user_type): (Option<UserId>, String),
) -> Result<StoredKey, Error> {
    let now = tx.now();
    let mut key = StoredKey {
        no: 0,
        id: SecretId(tx.mint()),
        scope: plan.scope,
        kind: plan.kind.as_str().to_owned(),
        paywall: plan.paywall,
        hash: key::fingerprint(text),
        display: key::mask(text),
        last_four: key::last_four(text),
        name: plan.name.clone(),
        grants: plan.grants.clone(),
        user,
        user_type,
        status: "published".to_owned(),
        expires_at: plan.expires_at,
        last_used_at: None,
        created_at: now,
        updated_at: now,
        created_by: cause.actor.id.clone(),
        tenant_suspended: false,
    };
    let inserted = store::keys::insert(tx.write()?, &key);
    key.no = inserted.map_err(|error| {
        if error.is_conflict() {
            Error::already_exists("this key is in use already")
        } else {
            error.into()
        }
    })?;
    Ok(key)
}

fn unknown_key() -> Error {
    unauthorized("this key is not known here")
}

fn unauthorized(message: &str) -> Error {
    Fault::new(Class::Unauthorized, "unauthorized", message).into()
}
