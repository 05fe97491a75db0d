//! What endpoints and subscriptions share: secrets at rest, changes, states.
//!
//! Everything that is sealed is sealed before the transaction, under an id that is made for it, so
//! that no command makes chance inside the writer.

use std::collections::BTreeMap;

use domain::id::{Mint, ReceiverId, Ulid};
use domain::place::ReceiverNo;
use domain::scope::{Cause, Scope};
use domain::webhook::catalogue::EventType;
use domain::webhook::channel::Channel;
use domain::webhook::filter::{Filter, FilterError};
use domain::webhook::headers::{mask_custom_headers, validate_custom_headers};
use domain::webhook::receiver::{
    EventNaming, OnExhausted, Ordering, PayloadFormat, PayloadMode, ReceiverKind, SecretKind,
    State, StateReason,
};
use domain::webhook::schedule::Schedule;
use domain::webhook::signature::{check_endpoint_secret, check_subscription_secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::receiver_secrets::{self, Secret};
use store::receivers::{self, Moving, Stored};
use store::replays::Replay;
use store::{Read, Tx, deliveries};

use crate::error::Error;
use crate::run::Engine;
use crate::{backlogs, operational, receiver_health};

/// What is sealed of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    pub bearer: Option<String>,
    pub headers: BTreeMap<String, String>,
}

/// A receiver with what may be shown of its secrets.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub stored: Stored,
    pub private: Private,
    pub secrets: Vec<Secret>,
    /// The text of a secret that was just made.
    pub secret: Option<String>,
    /// The receiver was just made: its bearer token is shown this once.
    pub made: bool,
}

/// What a request changes; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// In its one spelling, and judged.
    pub url: Option<String>,
    pub types: Option<Vec<String>>,
    pub extensions: Option<bool>,
    pub channels: Option<Vec<Channel>>,
    pub description: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub ordering: Option<Ordering>,
    pub on_exhausted: Option<OnExhausted>,
    pub schedule: Option<Schedule>,
    pub timeout_ms: Option<u32>,
    pub headers: Option<BTreeMap<String, String>>,
    /// An empty one takes it away.
    pub bearer: Option<String>,
    pub secret: Option<String>,
    pub api_version: Option<String>,
    pub send_traceparent: Option<bool>,
    pub payload_mode: Option<PayloadMode>,
    pub max_in_flight: Option<u32>,
    /// An inner nothing takes the bound away.
    pub max_rps: Option<Option<u32>>,
    pub payload_format: Option<PayloadFormat>,
    pub signatures: Option<Vec<SecretKind>>,
    pub event_naming: Option<EventNaming>,
    pub active: Option<bool>,
    /// The version that the caller saw.
    pub version: Option<u64>,
}

/// What an owner does to a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Pause,
    Resume,
    Disable,
    Enable,
    Delete,
}

impl Private {
    pub fn open(engine: &Engine, scope: &Scope, receiver: &Stored) -> Result<Private, Error> {
        if receiver.sealed.is_empty() {
            return Ok(Private::default());
        }
        let place = sealed_place(receiver.id.0);
        let bytes = engine.seal.open(scope.tenant, &place, &receiver.sealed)?;
        serde_json::from_slice(&bytes)
            .map_err(|_| Error::operation("the stored headers of a receiver cannot be read"))
    }

    pub fn seal(&self, engine: &Engine, scope: &Scope, base: Ulid) -> Result<Vec<u8>, Error> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        engine.seal.seal(&engine.random, scope.tenant, &sealed_place(base), &bytes)
    }
}

/// The id without its number: what is sealed before the row has one.
fn sealed_place(id: Ulid) -> String {
    format!("receivers.sealed:{}", ReceiverId::numbered(id, ReceiverNo(0)).0)
}

impl Engine {
    /// An id that is needed before its transaction.
    pub(crate) fn fresh_id(&self, scope: &Scope) -> Ulid {
        Mint::new(u64::from_be_bytes(self.random.bytes())).next(self.now(scope))
    }

    /// A receiver of this kind, and of this paywall where it is a subscription.
    pub fn receiver(
        &self,
        scope: &Scope,
        (kind, paywall): (ReceiverKind, Option<i64>),
        id: ReceiverId,
    ) -> Result<Receiver, Error> {
        self.read_now(|read| {
            let stored = find(read, scope, (kind, paywall), id)?;
            self.shown(read, scope, stored)
        })
    }

    /// Receivers of a kind, newest first, below number `before`.
    pub fn receivers(
        &self,
        scope: &Scope,
        of: (ReceiverKind, Option<i64>),
        before: Option<ReceiverNo>,
        limit: u32,
    ) -> Result<Vec<Receiver>, Error> {
        self.read_now(|read| {
            let found = receivers::page(read, scope, of, before, limit)?;
            found.into_iter().map(|stored| self.shown(read, scope, stored)).collect()
        })
    }

    fn shown(&self, read: Read<'_>, scope: &Scope, stored: Stored) -> Result<Receiver, Error> {
        Ok(Receiver {
            private: Private::open(self, scope, &stored)?,
            secrets: receiver_secrets::live(read, scope, stored.no, self.now(scope))?,
            stored,
            secret: None,
            made: false,
        })
    }
}

/// The row behind an id; another kind's or another paywall's is not there.
pub fn find(
    read: Read<'_>,
    scope: &Scope,
    (kind, paywall): (ReceiverKind, Option<i64>),
    id: ReceiverId,
) -> Result<Stored, Error> {
    let found = receivers::find(read, scope, id.no())?;
    let ours = |stored: &Stored| {
        let same = stored.id == id && stored.kind == kind && stored.paywall == paywall;
        same && stored.state != State::Deleted
    };
    found.filter(ours).ok_or_else(|| Error::not_found(noun(kind)))
}

pub fn noun(kind: ReceiverKind) -> &'static str {
    match kind {
        ReceiverKind::Endpoint => "webhook endpoint",
        ReceiverKind::Subscription => "webhook subscription",
    }
}

/// Puts the change into the row, if everything about it is right.
pub fn apply(edit: &Edit, stored: &mut Stored, private: &mut Private) -> Result<(), Error> {
    let config = &mut stored.config;
    put(&mut config.url, edit.url.as_ref());
    put(&mut config.types, edit.types.as_ref());
    put(&mut config.extensions, edit.extensions.as_ref());
    if edit.types.is_some() || edit.extensions.is_some() {
        config.types = check_types(stored.kind, &config.types, config.extensions)?;
    }
    put(&mut config.channels, edit.channels.as_ref());
    put(&mut config.description, edit.description.as_ref());
    put(&mut config.metadata, edit.metadata.as_ref());
    put(&mut config.ordering, edit.ordering.as_ref());
    put(&mut config.on_exhausted, edit.on_exhausted.as_ref());
    put(&mut config.schedule, edit.schedule.as_ref());
    put(&mut config.timeout_ms, edit.timeout_ms.as_ref());
    put(&mut config.api_version, edit.api_version.as_ref());
    put(&mut config.send_traceparent, edit.send_traceparent.as_ref());
    put(&mut config.payload_mode, edit.payload_mode.as_ref());
    put(&mut config.max_in_flight, edit.max_in_flight.as_ref());
    put(&mut config.max_rps, edit.max_rps.as_ref());
    put(&mut config.payload_format, edit.payload_format.as_ref());
    put(&mut config.signatures, edit.signatures.as_ref());
    put(&mut config.event_naming, edit.event_naming.as_ref());
    put(&mut private.headers, edit.headers.as_ref());
    if let Some(text) = &edit.bearer {
        private.bearer = Some(text.clone()).filter(|text| !text.is_empty());
    }
    check_headers(stored.kind, private)?;
    check_secret(stored.kind, edit.secret.as_deref())
}

fn put<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}

/// The list as it is kept.
fn check_types(
    kind: ReceiverKind,
    types: &[String],
    extensions: bool,
) -> Result<Vec<String>, Error> {
    let (field, kept) = match kind {
        ReceiverKind::Endpoint => {
            ("types", Filter::endpoint(types, extensions).map(|_| types.to_vec()))
        }
        ReceiverKind::Subscription => {
            ("events", Filter::subscription(types, extensions).map(|(_, names)| names))
        }
    };
    kept.map_err(|error: FilterError| Error::invalid(field, format!("{field} {error}")))
}

fn check_headers(kind: ReceiverKind, private: &Private) -> Result<(), Error> {
    let (headers, bearer) = match kind {
        ReceiverKind::Endpoint => ("custom_headers", "bearer_token"),
        ReceiverKind::Subscription => ("customHeaders", "bearerToken"),
    };
    if let Some(text) = &private.bearer
        && !domain::webhook::headers::is_bearer_token(text)
    {
        let message = format!("{bearer} must be 1 to 1,024 visible ASCII characters");
        return Err(Error::invalid(bearer, message));
    }
    validate_custom_headers(kind, &private.headers, private.bearer.is_some())
        .map_err(|error| Error::invalid(headers, format!("{headers} {error}")))
}

fn check_secret(kind: ReceiverKind, secret: Option<&str>) -> Result<(), Error> {
    let Some(secret) = secret else { return Ok(()) };
    let checked = match kind {
        ReceiverKind::Endpoint => check_endpoint_secret(secret),
        ReceiverKind::Subscription => check_subscription_secret(secret),
    };
    checked.map_err(|error| Error::invalid("secret", format!("secret {error}")))
}

/// What becomes of what a receiver could not be sent, once it takes deliveries again.
#[derive(Clone, Debug, Default)]
pub enum Parked {
    #[default]
    Send,
    Discard,
    /// It is discarded, and this replay takes over.
    Replay(Box<Replay>),
}

/// Moves a receiver to another state, with its deliveries.
pub fn act(
    tx: &mut Tx<'_>,
    cause: &Cause,
    stored: Stored,
    (action, parked): (Action, &Parked),
) -> Result<Stored, Error> {
    let on = matches!(action, Action::Resume | Action::Enable);
    let given_up = on && !matches!(parked, Parked::Send);
    let after = move_to(tx, cause, stored, (action, given_up))?;
    if let Parked::Replay(planned) = parked {
        crate::replays::start(tx, cause, &after, Replay::clone(planned))?;
    }
    Ok(after)
}

fn move_to(
    tx: &mut Tx<'_>,
    cause: &Cause,
    stored: Stored,
    (action, given_up): (Action, bool),
) -> Result<Stored, Error> {
    let to = match (action, stored.state) {
        (Action::Pause | Action::Resume, State::Disabled) => return Err(closed(&stored)),
        (Action::Pause, _) => State::Paused,
        (Action::Resume | Action::Enable, _) => State::Enabled,
        (Action::Disable, _) => State::Disabled,
        (Action::Delete, _) => State::Deleted,
    };
    if to == stored.state && !(given_up && stored.moving.is_some()) {
        return Ok(stored);
    }
    let reason = (to != State::Enabled).then_some(StateReason::Owner);
    let before = stored.clone();
    if matches!(to, State::Disabled | State::Deleted) {
        crate::replays::stop_of(tx, cause, &stored)?;
    }
    let moving = if given_up { backlogs::giving_up(tx, &stored)? } else { None };
    let (after, parked) = turn(tx, stored, (to, reason), moving)?;
    audit(tx, cause, verb(action), (Some(&before), &after))?;
    let told = (&after, told_keys(&after, parked));
    operational::tell_of_endpoint(tx, cause, told_as(action), told)?;
    Ok(after)
}

fn told_as(action: Action) -> EventType {
    match action {
        Action::Pause => EventType::WEBHOOK_ENDPOINT_PAUSED,
        Action::Resume => EventType::WEBHOOK_ENDPOINT_RESUMED,
        Action::Disable => EventType::WEBHOOK_ENDPOINT_DISABLED,
        Action::Enable => EventType::WEBHOOK_ENDPOINT_ENABLED,
        Action::Delete => EventType::WEBHOOK_ENDPOINT_DELETED,
    }
}

/// Why it is off, and how many deliveries wait for it.
fn told_keys(after: &Stored, parked: usize) -> Value {
    match after.state {
        State::Disabled => json!({ "reason": after.config.state_reason, "parked": parked }),
        _ => Value::Null,
    }
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Pause => "paused",
        Action::Resume => "resumed",
        Action::Disable => "disabled",
        Action::Enable => "enabled",
        Action::Delete => "deleted",
    }
}

/// Writes the state and starts to move the deliveries that depend on it, as `moving` says or the
/// state does. Returns how many are concerned.
fn turn(
    tx: &mut Tx<'_>,
    mut stored: Stored,
    (to, reason): (State, Option<StateReason>),
    moving: Option<Moving>,
) -> Result<(Stored, usize), Error> {
    let (scope, now) = (tx.scope(), tx.now());
    stored.state = to;
    stored.config.state_reason = reason;
    stored.config.state_changed_at = now;
    stored.version += 1;
    stored.updated_at = now;
    if to == State::Enabled {
        receiver_health::forgive(tx, &mut stored)?;
    }
    let moving = moving.or_else(|| backlogs::asked_by(&stored));
    let moved = backlogs::start(tx, &mut stored, moving)?;
    receivers::set(tx.write()?, &scope, &stored)?;
    tx.receivers_changed()?;
    tx.deliveries_changed(stored.no);
    Ok((stored, moved))
}

/// Switches a receiver off for a reason of its own, and tells its owner.
pub fn switch_off(tx: &mut Tx<'_>, receiver: &Stored, reason: StateReason) -> Result<(), Error> {
    let scope = tx.scope();
    let Some(now) = receivers::find(tx.read()?, &scope, receiver.no)? else { return Ok(()) };
    if !matches!(now.state, State::Enabled | State::Paused) {
        return Ok(());
    }
    let cause = Cause::schedule();
    crate::replays::stop_of(tx, &cause, &now)?;
    let (after, parked) = turn(tx, now.clone(), (State::Disabled, Some(reason)), None)?;
    audit(tx, &cause, "disabled", (Some(&now), &after))?;
    let told = (&after, told_keys(&after, parked));
    operational::tell_of_endpoint(tx, &cause, EventType::WEBHOOK_ENDPOINT_DISABLED, told)?;
    crate::subscriptions::tell_deactivated(tx, &cause, &after)
}

/// Why nothing can be sent to it now.
pub fn closed(stored: &Stored) -> Error {
    let (code, message) = match (stored.kind, stored.state) {
        (ReceiverKind::Subscription, _) => {
            ("subscription_inactive", "this subscription is not active: switch it on first")
        }
        (_, State::Paused) => ("endpoint_paused", "this endpoint is paused: resume it first"),
        _ => ("endpoint_disabled", "this endpoint is disabled: enable it first"),
    };
    Error::conflict(code, message)
}

/// The row as the audit log keeps it: secrets masked.
pub fn audit(
    tx: &mut Tx<'_>,
    cause: &Cause,
    verb: &str,
    (before, after): (Option<&Stored>, &Stored),
) -> Result<(), Error> {
    let name = match after.kind {
        ReceiverKind::Endpoint => "webhook_endpoint",
        ReceiverKind::Subscription => "webhook_subscription",
    };
    let shown = |stored: &Stored| json!({ "state": stored.state, "config": stored.config });
    let values = (before.map(shown), Some(shown(after)));
    let entity = (name, after.id.to_string());
    crate::audit::record(tx, cause, &format!("{name}.{verb}"), entity, values)
}

/// Custom headers as they are read back.
pub fn masked(private: &Private) -> BTreeMap<String, String> {
    mask_custom_headers(&private.headers)
}

/// A field of a body as a type.
pub(crate) fn field<T: serde::de::DeserializeOwned>(
    body: &Value,
    name: &str,
) -> Result<Option<T>, Error> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|error| Error::invalid(name, format!("{name}: {error}"))),
    }
}

impl Engine {
    /// Changes a receiver. The row is read, changed and sealed before the transaction, which takes
    /// it only while nobody else has changed it; else it is done again.
    pub(crate) async fn edit_receiver(
        &self,
        scope: Scope,
        of: (ReceiverKind, Option<i64>),
        id: ReceiverId,
        (edit, cause): (Edit, Cause),
    ) -> Result<Receiver, Error> {
        const ROUNDS: usize = 3;
        for round in 1.. {
            let seen = self.receiver(&scope, of, id)?;
            if edit.version.is_some_and(|version| version != seen.stored.version) {
                return Err(stale());
            }
            let (mut after, mut private) = (seen.stored.clone(), seen.private.clone());
            apply(&edit, &mut after, &mut private)?;
            after.sealed = private.seal(self, &scope, id.0)?;
            let cause = cause.clone();
            let written = self.change(scope, move |tx| write(tx, &cause, of, &after)).await?;
            match written {
                Some(stored) => {
                    if let Some(sends) = self.sends.read().as_ref() {
                        sends.receiver_changed(stored.no);
                    }
                    return Ok(Receiver { stored, private, ..seen });
                }
                None if round == ROUNDS => break,
                None => {}
            }
        }
        Err(stale())
    }
}

fn write(
    tx: &mut Tx<'_>,
    cause: &Cause,
    of: (ReceiverKind, Option<i64>),
    after: &Stored,
) -> Result<Option<Stored>, Error> {
    let scope = tx.scope();
    let before = find(tx.read()?, &scope, of, after.id)?;
    if before.version != after.version {
        return Ok(None);
    }
    let mut after = after.clone();
    after.version += 1;
    after.updated_at = tx.now();
    receivers::set(tx.write()?, &scope, &after)?;
    tx.receivers_changed()?;
    after.health = before.health.clone();
    if after.config.url != before.config.url {
        receiver_health::forgive(tx, &mut after)?;
    }
    if halts(&before) && !halts(&after) {
        deliveries::release(tx.write()?, &scope, after.no)?;
    }
    audit(tx, cause, "updated", (Some(&before), &after))?;
    let previous = json!({ "previous_attributes": operational::previous(&before, &after) });
    let kind = EventType::WEBHOOK_ENDPOINT_UPDATED;
    operational::tell_of_endpoint(tx, cause, kind, (&after, previous))?;
    crate::subscriptions::tell_updated(tx, cause, &after)?;
    Ok(Some(after))
}

/// Whether an exhausted delivery stops its order key.
fn halts(stored: &Stored) -> bool {
    let config = &stored.config;
    config.on_exhausted == OnExhausted::Halt && config.ordering == Ordering::Subject
}

fn stale() -> Error {
    Error::conflict("version_conflict", "someone else has changed it since: read it again")
}
