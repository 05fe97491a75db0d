//! The key of a paywall: how it is replaced (paywalls 10.1).

use domain::event::paywall::Data;
use domain::id::PaywallId;
use domain::ledger::entry::KeyUse;
use domain::paywall::Paywall;
use domain::scope::{Cause, Scope};
use domain::time::{SECOND_MS, Timestamp};
use domain::webhook::catalogue::EventType;
use serde_json::{Value, json};
use store::Tx;
use store::keys::StoredKey;

use crate::error::Error;
use crate::idempotency::{Answered, Shown};
use crate::keys::{self, KeyPlan};
use crate::paywalls::{find, paywall_key_plan, tell};
use crate::run::Engine;

/// Longest time that an old key stays valid: 7 days.
pub const GRACE_SECONDS_MAX: i64 = 604_800;

/// A new key; the only moment at which its text is shown.
#[derive(Clone, Debug)]
pub struct Rotated {
    pub paywall: Paywall,
    pub api_key: String,
    pub key: StoredKey,
    pub previous_expires_at: Timestamp,
}

/// What a rotation asks.
#[derive(Clone, Debug)]
pub struct RotationAsk {
    pub id: PaywallId,
    pub grace_s: i64,
    /// A text that the caller's clients hold already.
    pub supplied: Option<Value>,
    pub key: Option<KeyUse>,
}

impl Engine {
    /// Makes a new key at once. The old one is valid for the grace; one in grace already ends.
    pub async fn rotate_paywall_key(
        &self,
        scope: Scope,
        cause: Cause,
        ask: RotationAsk,
        render: impl Fn(&Rotated) -> Shown + Send + 'static,
    ) -> Result<Answered, Error> {
        let plan = paywall_key_plan(scope, ask.supplied.as_ref())?;
        let text = self.key_text(&plan);
        let id = ask.id;
        let work = move |tx: &mut Tx<'_>| rotate(tx, &cause, (id, ask.grace_s), (&plan, &text));
        let answered = self.once_shown(scope, ask.key, work, render).await?;
        self.forget_paywall_with_keys(&scope, id)?;
        Ok(answered)
    }

    fn forget_paywall_with_keys(&self, scope: &Scope, id: PaywallId) -> Result<(), Error> {
        let (no, keys) = self.read_now(|read| {
            let no = find(read, scope, id)?.no;
            Ok::<_, Error>((no, store::keys::of_paywall(read, scope, no)?))
        })?;
        self.forget_paywall(no);
        for key in keys {
            self.forget_key(&key.hash);
        }
        Ok(())
    }
}

fn rotate(
    tx: &mut Tx<'_>,
    cause: &Cause,
    (id, grace_s): (PaywallId, i64),
    (plan, text): (&KeyPlan, &str),
) -> Result<Rotated, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let stored = find(tx.read()?, &scope, id)?;
    let until = now.plus_ms(grace_s.saturating_mul(SECOND_MS));
    for old in store::keys::of_paywall(tx.read()?, &scope, stored.no)? {
        let end = match old.expires_at {
            None => until,
            Some(end) if end > now => now,
            Some(_) => continue,
        };
        store::keys::end(tx.write()?, &scope, old.no, ("published", Some(end)), now)?;
    }
    let plan = KeyPlan { paywall: Some(stored.no), ..plan.clone() };
    let key = keys::insert(tx, cause, &plan, text)?;
    let mut paywall = stored.paywall;
    let before = paywall.secret_last_four.clone();
    paywall.secret_last_four.clone_from(&key.last_four);
    paywall.version += 1;
    paywall.updated_at = now;
    store::paywalls::set(tx.write()?, &scope, stored.no, &paywall)?;
    let place = (stored.no, id);
    tell(tx, place, EventType::PAYWALL_SECRET_ROTATED, cause, |data| {
        fill(data, &key, cause, until)
    })?;
    let entity = ("paywall", id.to_string());
    let values = (
        Some(json!({ "secretLastFour": before })),
        Some(json!({ "secretLastFour": key.last_four, "previousSecretExpiresAt": until })),
    );
    crate::audit::record(tx, cause, "paywall.secret.rotated", entity, values)?;
    Ok(Rotated { paywall, api_key: text.to_owned(), key, previous_expires_at: until })
}

fn fill(data: Data, key: &StoredKey, cause: &Cause, until: Timestamp) -> Data {
    data.with("secretLastFour", key.last_four.clone())
        .with("actorId", cause.actor.id.clone())
        .with("actorType", "user")
        .with("keyId", key.id.to_string())
        .with("previousSecretExpiresAt", until.to_string())
}
