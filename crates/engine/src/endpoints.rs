//! Commands on endpoints: receivers of an environment (webhooks 14).

use std::collections::BTreeMap;

use domain::id::ReceiverId;
use domain::ledger::entry::KeyUse;
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use domain::webhook::channel::{self, Channel};
use domain::webhook::receiver::{
    EventNaming, IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX, OnExhausted, PayloadFormat, PayloadMode,
    RECEIVERS_MAX, RPS_MAX, ReceiverKind, SecretKind, State, StateReason, TIMEOUT_MS_DEFAULT,
    cut_description,
};
use domain::webhook::replay::Selection;
use domain::webhook::schedule::Schedule;
use serde_json::Value;
use store::Tx;
use store::receiver_secrets::{self, Secret};
use store::receivers::{self, Config, Health, NewReceiver, Stored};

use crate::error::Error;
use crate::idempotency::{Answered, Reply, Shown};
use crate::operational;
use crate::receivers::{Action, Edit, Parked, Private, Receiver, apply, audit, field};
use crate::run::Engine;

const OF: (ReceiverKind, Option<i64>) = (ReceiverKind::Endpoint, None);
const METADATA_BYTES_MAX: usize = 4 << 10;
const TIMEOUT_S_MAX: u32 = 30;
const API_VERSION: &str = "v1";

/// Reads the fields of a body that an owner may write.
pub fn read(body: &Value) -> Result<Edit, Error> {
    if !body.is_object() {
        return Err(Error::invalid("body", "must be a JSON object"));
    }
    let timeout_s: Option<u32> = field(body, "timeout_seconds")?;
    if timeout_s.is_some_and(|seconds| !(1..=TIMEOUT_S_MAX).contains(&seconds)) {
        return Err(Error::invalid("timeout_seconds", "timeout_seconds must be 1 to 30"));
    }
    let api_version: Option<String> = field(body, "api_version")?;
    if api_version.as_deref().is_some_and(|version| version != API_VERSION) {
        return Err(Error::invalid("api_version", "api_version must be \"v1\""));
    }
    let description: Option<String> = field(body, "description")?;
    Ok(Edit {
        url: field(body, "url")?,
        types: field(body, "types")?,
        extensions: field(body, "extensions")?,
        channels: channels(body)?,
        description: description.map(|text| cut_description(&text)),
        metadata: metadata(body)?,
        ordering: field(body, "ordering")?,
        on_exhausted: field(body, "on_exhausted")?,
        schedule: schedule(body)?,
        timeout_ms: timeout_s.map(|seconds| seconds * 1_000),
        headers: field(body, "custom_headers")?,
        bearer: bearer(body, "bearer_token")?,
        secret: field(body, "secret")?,
        api_version,
        send_traceparent: field(body, "send_traceparent")?,
        payload_mode: field(body, "payload_mode")?,
        signatures: signatures(body)?,
        max_in_flight: bounded(body, "max_in_flight", IN_FLIGHT_MAX)?,
        max_rps: match body.get("max_rps") {
            Some(Value::Null) => Some(None),
            _ => bounded(body, "max_rps", RPS_MAX)?.map(Some),
        },
        version: field(body, "version")?,
        ..Edit::default()
    })
}

/// What the events must touch. Whether it exists is not asked, so nobody learns it here.
fn channels(body: &Value) -> Result<Option<Vec<Channel>>, Error> {
    let entries: Option<Vec<String>> = field(body, "channels")?;
    let parsed = entries.as_deref().map(channel::parse_list).transpose();
    parsed.map_err(|error| Error::invalid("channels", format!("channels {error}")))
}

/// Which of its secrets sign, each named once, in one order.
fn signatures(body: &Value) -> Result<Option<Vec<SecretKind>>, Error> {
    let asked: Option<Vec<SecretKind>> = field(body, "signatures")?;
    let Some(asked) = asked else { return Ok(None) };
    let mut kept = SecretKind::ALL.to_vec();
    kept.retain(|kind| asked.contains(kind));
    if kept.is_empty() || kept.len() != asked.len() {
        let message = "signatures must name v1, v1a or both, each once";
        return Err(Error::invalid("signatures", message));
    }
    Ok(Some(kept))
}

/// A whole number of at least 1.
fn bounded(body: &Value, name: &str, most: u32) -> Result<Option<u32>, Error> {
    let number: Option<u32> = field(body, name)?;
    if number.is_some_and(|number| !(1..=most).contains(&number)) {
        return Err(Error::invalid(name, format!("{name} must be 1 to {most}")));
    }
    Ok(number)
}

fn metadata(body: &Value) -> Result<Option<BTreeMap<String, String>>, Error> {
    let metadata: Option<BTreeMap<String, String>> = field(body, "metadata")?;
    let size: usize = metadata.iter().flatten().map(|(name, value)| name.len() + value.len()).sum();
    if size > METADATA_BYTES_MAX {
        return Err(Error::invalid("metadata", "metadata must have at most 4 KiB"));
    }
    Ok(metadata)
}

fn schedule(body: &Value) -> Result<Option<Schedule>, Error> {
    match body.get("retry_schedule") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Schedule::Standard)),
        Some(_) => {
            let waits: Vec<u32> = field(body, "retry_schedule")?.unwrap_or_default();
            Schedule::custom(waits).map(Some).map_err(|error| {
                Error::invalid("retry_schedule", format!("retry_schedule {error}"))
            })
        }
    }
}

/// Null takes the token away: an empty text.
pub(crate) fn bearer(body: &Value, name: &str) -> Result<Option<String>, Error> {
    match body.get(name) {
        Some(Value::Null) => Ok(Some(String::new())),
        Some(Value::String(text)) if text.is_empty() => {
            Err(Error::invalid(name, format!("{name} must not be empty; null takes it away")))
        }
        _ => field(body, name),
    }
}

/// A receiver as it is before its owner chooses anything.
pub(crate) fn blank(kind: ReceiverKind, at: Timestamp) -> Stored {
    Stored {
        no: domain::place::ReceiverNo::default(),
        id: ReceiverId::default(),
        kind,
        paywall: None,
        state: State::Enabled,
        moving: None,
        config: Config {
            url: String::new(),
            types: Vec::new(),
            extensions: false,
            channels: Vec::new(),
            description: String::new(),
            metadata: BTreeMap::new(),
            state_reason: None::<StateReason>,
            state_changed_at: at,
            ordering: kind.ordering_default(),
            on_exhausted: OnExhausted::Skip,
            schedule: kind.schedule_default(),
            timeout_ms: TIMEOUT_MS_DEFAULT,
            payload_mode: PayloadMode::Full,
            payload_format: PayloadFormat::Flat,
            event_naming: EventNaming::Full,
            api_version: API_VERSION.to_owned(),
            send_traceparent: false,
            signatures: vec![SecretKind::V1],
            max_in_flight: IN_FLIGHT_DEFAULT,
            max_rps: None,
        },
        sealed: Vec::new(),
        health: Health::default(),
        version: 1,
        created_by: String::new(),
        created_at: at,
        updated_at: at,
    }
}

/// A receiver that is ready to be inserted, with everything sealed.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) row: NewReceiver,
    pub(crate) sealed: Vec<u8>,
    pub(crate) private: Private,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) text: String,
}

impl Engine {
    pub(crate) fn receiver_birth(
        &self,
        scope: &Scope,
        (kind, paywall): (ReceiverKind, Option<i64>),
        edit: &Edit,
        by: &str,
    ) -> Result<Birth, Error> {
        let names = match kind {
            ReceiverKind::Endpoint => ("url", "types"),
            ReceiverKind::Subscription => ("url", "events"),
        };
        for (name, missing) in [(names.0, edit.url.is_none()), (names.1, edit.types.is_none())] {
            if missing {
                return Err(Error::invalid(name, format!("{name} is missing")));
            }
        }
        let (at, fresh) = (self.now(scope), self.fresh_id(scope));
        let (mut stored, mut private) = (blank(kind, at), Private::default());
        apply(edit, &mut stored, &mut private)?;
        let (secret, text) = self.new_secret(scope, kind, edit.secret.as_deref())?;
        let mut secrets = vec![secret];
        if kind == ReceiverKind::Endpoint {
            secrets.insert(0, self.new_key_pair(scope)?);
        }
        let sealed = private.seal(self, scope, fresh)?;
        let created_by = by.to_owned();
        let row = NewReceiver { fresh, kind, paywall, config: stored.config, created_by, at };
        Ok(Birth { row, sealed, private, secrets, text })
    }

    /// Makes an endpoint. `render` makes the answer, which shows the secret this once.
    pub async fn create_endpoint(
        &self,
        scope: Scope,
        (edit, cause): (Edit, Cause),
        key: Option<KeyUse>,
        render: impl Fn(&Receiver) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let birth = self.receiver_birth(&scope, OF, &edit, &cause.actor.id)?;
        let work = move |tx: &mut Tx<'_>| {
            let count = receivers::count(tx.read()?, &scope, ReceiverKind::Endpoint, None)?;
            if count >= RECEIVERS_MAX {
                let message = format!("an environment has at most {RECEIVERS_MAX} endpoints");
                return Err(Error::conflict("too_many_endpoints", message));
            }
            insert(tx, &cause, &birth)
        };
        self.once_shown(scope, key, work, move |made| Shown::sealed(render(made))).await
    }

    pub async fn edit_endpoint(
        &self,
        scope: Scope,
        id: ReceiverId,
        (edit, cause): (Edit, Cause),
    ) -> Result<Receiver, Error> {
        self.edit_receiver(scope, OF, id, (edit, cause)).await
    }

    /// Pauses, resumes, disables, enables or deletes an endpoint.
    pub async fn act_on_endpoint(
        &self,
        scope: Scope,
        id: ReceiverId,
        (action, cause): (Action, Cause),
    ) -> Result<Receiver, Error> {
        self.move_endpoint(scope, id, (action, Parked::Send), cause).await
    }

    /// Resumes or enables an endpoint; what it could not be sent is discarded, and events from a
    /// time on that have not reached it are replayed, those that passed it by included.
    pub async fn replay_parked(
        &self,
        scope: Scope,
        id: ReceiverId,
        (action, cause): (Action, Cause),
        from: Timestamp,
    ) -> Result<Receiver, Error> {
        let seen = self.receiver(&scope, OF, id)?;
        let to = self.now(&scope).plus_ms(1);
        let selection = Selection { from, to, ..Selection::default() };
        let planned = self.plan_uncounted(scope, seen.stored.no, selection).await?;
        let parked = Parked::Replay(Box::new(planned));
        self.move_endpoint(scope, id, (action, parked), cause).await
    }

    pub async fn move_endpoint(
        &self,
        scope: Scope,
        id: ReceiverId,
        (action, parked): (Action, Parked),
        cause: Cause,
    ) -> Result<Receiver, Error> {
        let seen = self.receiver(&scope, OF, id)?;
        let work = move |tx: &mut Tx<'_>| {
            let stored = crate::receivers::find(tx.read()?, &scope, OF, id)?;
            crate::receivers::act(tx, &cause, stored, (action, &parked))
        };
        let stored = self.change(scope, work).await?;
        Ok(Receiver { stored, ..seen })
    }
}

/// Inserts a receiver with its secrets.
pub(crate) fn insert(tx: &mut Tx<'_>, cause: &Cause, birth: &Birth) -> Result<Receiver, Error> {
    let scope = tx.scope();
    let mut stored = receivers::insert(tx.write()?, &scope, &birth.row)?;
    stored.sealed.clone_from(&birth.sealed);
    receivers::set(tx.write()?, &scope, &stored)?;
    for secret in birth.secrets.iter().rev() {
        receiver_secrets::insert(tx.write()?, &scope, stored.no, secret)?;
    }
    tx.receivers_changed()?;
    audit(tx, cause, "created", (None, &stored))?;
    let kind = EventType::WEBHOOK_ENDPOINT_CREATED;
    operational::tell_of_endpoint(tx, cause, kind, (&stored, Value::Null))?;
    Ok(Receiver {
        stored,
        private: birth.private.clone(),
        secrets: birth.secrets.clone(),
        secret: Some(birth.text.clone()),
        made: true,
    })
}
