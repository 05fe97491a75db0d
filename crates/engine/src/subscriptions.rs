//! Commands on subscriptions: receivers of one paywall, in its own words (paywalls 22).

use domain::id::ReceiverId;
use domain::ledger::entry::KeyUse;
use domain::scope::{Cause, Scope};
use domain::webhook::catalogue::EventType;
use domain::webhook::receiver::{RECEIVERS_MAX, ReceiverKind, State, cut_description};
use domain::webhook::schedule::{PARITY_ATTEMPTS_MAX, Schedule};
use serde_json::Value;
use store::Tx;
use store::receivers::{self, Stored};

use crate::endpoints::{bearer, insert};
use crate::error::Error;
use crate::idempotency::{Answered, Reply, Shown};
use crate::receivers::{Action, Edit, Parked, Receiver, act, field, find};
use crate::run::Engine;

const BEARER_BYTES: usize = 24;

const fn of(paywall: i64) -> (ReceiverKind, Option<i64>) {
    (ReceiverKind::Subscription, Some(paywall))
}

/// Reads the fields of a body that an owner may write.
pub fn read(body: &Value) -> Result<Edit, Error> {
    if !body.is_object() {
        return Err(Error::invalid("body", "must be a JSON object"));
    }
    let description: Option<String> = field(body, "description")?;
    Ok(Edit {
        url: field(body, "url")?,
        types: field(body, "events")?,
        extensions: field(body, "extensions")?,
        description: description.map(|text| cut_description(&text)),
        schedule: schedule(body)?,
        headers: field(body, "customHeaders")?,
        bearer: bearer(body, "bearerToken")?,
        secret: field(body, "secret")?,
        payload_format: field(body, "payloadFormat")?,
        event_naming: field(body, "eventNaming")?,
        active: field(body, "isActive")?,
        ..Edit::default()
    })
}

fn schedule(body: &Value) -> Result<Option<Schedule>, Error> {
    let mode: Option<String> = field(body, "retryMode")?;
    let attempts: Option<i64> = field(body, "maxAttempts")?;
    let parity = |attempts: Option<i64>| {
        let attempts = attempts.unwrap_or(i64::from(PARITY_ATTEMPTS_MAX));
        Schedule::parity(attempts)
            .map_err(|error| Error::invalid("maxAttempts", format!("maxAttempts {error}")))
    };
    match (mode.as_deref(), attempts) {
        (None, None) => Ok(None),
        (Some("default"), None) => Ok(Some(Schedule::Default)),
        (Some("parity"), attempts) | (None, attempts @ Some(_)) => parity(attempts).map(Some),
        (Some("default"), Some(_)) => {
            Err(Error::invalid("maxAttempts", "maxAttempts goes with retryMode \"parity\" alone"))
        }
        _ => Err(Error::invalid("retryMode", "retryMode must be default or parity")),
    }
}

impl Engine {
    /// Makes a subscription. `render` makes the answer, which shows secret and token this once.
    pub async fn create_subscription(
        &self,
        (scope, paywall): (Scope, i64),
        (mut edit, cause): (Edit, Cause),
        key: Option<KeyUse>,
        render: impl Fn(&Receiver) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        if edit.bearer.as_ref().is_none_or(String::is_empty) {
            let bytes: [u8; BEARER_BYTES] = self.random.bytes();
            let token = domain::webhook::signature::secret_from_bytes(&bytes);
            edit.bearer = Some(token.replacen("whsec_", "whb_", 1));
        }
        let birth = self.receiver_birth(&scope, of(paywall), &edit, &cause.actor.id)?;
        let work = move |tx: &mut Tx<'_>| {
            must_have_room(tx, paywall)?;
            let made = insert(tx, &cause, &birth)?;
            let kind = EventType::PAYWALL_SUBSCRIPTION_CREATED;
            tell(tx, &cause, &made.stored, kind)?;
            Ok(made)
        };
        self.once_shown(scope, key, work, move |made| Shown::sealed(render(made))).await
    }

    pub async fn edit_subscription(
        &self,
        (scope, paywall): (Scope, i64),
        id: ReceiverId,
        (edit, cause): (Edit, Cause),
    ) -> Result<Receiver, Error> {
        let active = edit.active;
        let edited = self.edit_receiver(scope, of(paywall), id, (edit, cause.clone())).await?;
        match active {
            None => Ok(edited),
            Some(active) => self.switch_subscription((scope, paywall), id, (active, cause)).await,
        }
    }

    /// Switches a subscription on or off.
    pub async fn switch_subscription(
        &self,
        (scope, paywall): (Scope, i64),
        id: ReceiverId,
        (active, cause): (bool, Cause),
    ) -> Result<Receiver, Error> {
        let seen = self.receiver(&scope, of(paywall), id)?;
        let work = move |tx: &mut Tx<'_>| {
            let stored = find(tx.read()?, &scope, of(paywall), id)?;
            let was = stored.state;
            if active && was != State::Enabled {
                must_have_room(tx, paywall)?;
            }
            let action = if active { Action::Enable } else { Action::Disable };
            let after = act(tx, &cause, stored, (action, &Parked::Send))?;
            if after.state != was && !active {
                tell_deactivated(tx, &cause, &after)?;
            }
            Ok(after)
        };
        let stored = self.change(scope, work).await?;
        Ok(Receiver { stored, ..seen })
    }
}

fn must_have_room(tx: &mut Tx<'_>, paywall: i64) -> Result<(), Error> {
    let scope = tx.scope();
    let kind = ReceiverKind::Subscription;
    if receivers::count(tx.read()?, &scope, kind, Some(paywall))? >= RECEIVERS_MAX {
        let message = format!("a paywall has at most {RECEIVERS_MAX} active subscriptions");
        return Err(Error::conflict("too_many_subscriptions", message));
    }
    Ok(())
}

/// Of a subscription; an endpoint tells nothing here.
pub fn tell_deactivated(tx: &mut Tx<'_>, cause: &Cause, stored: &Stored) -> Result<(), Error> {
    tell(tx, cause, stored, EventType::PAYWALL_SUBSCRIPTION_DEACTIVATED)
}

pub fn tell_updated(tx: &mut Tx<'_>, cause: &Cause, stored: &Stored) -> Result<(), Error> {
    tell(tx, cause, stored, EventType::PAYWALL_SUBSCRIPTION_UPDATED)
}

fn tell(tx: &mut Tx<'_>, cause: &Cause, stored: &Stored, kind: EventType) -> Result<(), Error> {
    let Some(no) = stored.paywall else { return Ok(()) };
    let scope = tx.scope();
    let Some(paywall) = store::paywalls::find_by_no(tx.read()?, &scope, no)? else {
        return Ok(());
    };
    let reason = stored.config.state_reason.map(domain::webhook::receiver::StateReason::name);
    crate::paywalls::tell(tx, (no, paywall.paywall.id), kind, cause, |data| {
        data.with("subscriptionId", stored.id.to_string())
            .with("url", stored.config.url.clone())
            .with("events", stored.config.types.clone())
            .with("isActive", stored.state == State::Enabled)
            .maybe("reason", reason)
            .with("actorId", cause.actor.id.clone())
    })
}
