//! A leased delivery becomes a signed request: the event as it was stored, in the receiver's form,
//! with its newest URL, headers and secrets. Reads only.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use domain::event::paywall::EVENT_VERSION;
use domain::place::{EnvNo, ReceiverNo};
use domain::scope::Scope;
use domain::time::{HOUR_MS, Timestamp};
use domain::webhook::body::{self, DeliveryFrame, Form};
use domain::webhook::catalogue::Family;
use domain::webhook::headers::{self, Credentials, DeliveryFacts};
use domain::webhook::key_pair::KeyPair;
use domain::webhook::receiver::{DeliveryState, EventNaming, SecretKind, State, Trigger};
use domain::webhook::rotation::is_live;
use domain::webhook::signature::SigningKey;
use parking_lot::Mutex;
use store::Read;
use store::deliveries::{self, Delivery, Handover};
use store::receivers::{self, Stored};

use super::bounds::Bounds;
use crate::error::Error;
use crate::ports::Request;
use crate::receivers::Private;
use crate::run::Engine;

/// Versions of receivers whose opened secrets stay in memory.
const OPENED_MAX: usize = 10_000;

/// What a leased delivery is to become.
pub enum Ready {
    Send(Box<Prepared>),
    /// The receiver's circuit is open: it waits in the database.
    Held,
    /// Nobody wants it sent any more.
    Over,
}

/// An attempt that is ready to go out.
pub struct Prepared {
    pub handover: Handover,
    pub scope: Scope,
    pub request: Request,
    pub bounds: Bounds,
    pub trigger: Trigger,
    /// On the environment's clock.
    pub started_at: Timestamp,
    /// As it is signed.
    pub sent_at: Timestamp,
}

/// Secrets of one version of a receiver.
struct Opened {
    version: u64,
    private: Private,
    /// Newest first; each signs until its end.
    keys: Vec<OpenedKey>,
}

struct OpenedKey {
    kind: SecretKind,
    expires_at: Option<Timestamp>,
    key: SigningKey,
    /// Of a shared secret.
    text: String,
}

impl Opened {
    fn live(&self, now: Timestamp) -> impl Iterator<Item = &OpenedKey> {
        self.keys.iter().filter(move |key| is_live(key.expires_at, now))
    }

    /// The keys that sign an attempt of this receiver that starts now, newest first.
    fn signing(&self, receiver: &Stored, now: Timestamp) -> Vec<SigningKey> {
        let wanted = |key: &&OpenedKey| receiver.config.signatures.contains(&key.kind);
        self.live(now).filter(wanted).map(|key| key.key.clone()).collect()
    }

    /// The text of the newest shared secret.
    fn newest(&self, now: Timestamp) -> &str {
        let mut shared = self.live(now).filter(|key| key.kind == SecretKind::V1);
        shared.next().map_or("", |key| &key.text)
    }
}

fn opened_key(opened: crate::receiver_secrets::Opened) -> Result<OpenedKey, Error> {
    let (secret, bytes) = (opened.secret, opened.bytes);
    let (key, text) = match secret.kind {
        SecretKind::V1 => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            (SigningKey::parse(&text), text)
        }
        SecretKind::V1a => {
            let pair = KeyPair::of_seed(&bytes);
            let pair = pair.ok_or_else(|| Error::operation("a stored key pair cannot be read"))?;
            (SigningKey::of_pair(pair), String::new())
        }
    };
    Ok(OpenedKey { kind: secret.kind, expires_at: secret.expires_at, key, text })
}

/// What stays in memory between attempts.
#[derive(Default)]
pub struct Memory {
    scopes: Mutex<HashMap<EnvNo, Scope>>,
    opened: Mutex<HashMap<ReceiverNo, Arc<Opened>>>,
}

impl Memory {
    pub fn scope(&self, engine: &Engine, env: EnvNo) -> Result<Scope, Error> {
        if let Some(scope) = self.scopes.lock().get(&env) {
            return Ok(*scope);
        }
        let all = engine.scopes()?;
        let mut scopes = self.scopes.lock();
        scopes.extend(all.into_iter().map(|scope| (scope.env, scope)));
        scopes.get(&env).copied().ok_or_else(|| Error::not_found("environment"))
    }

    fn opened(
        &self,
        engine: &Engine,
        read: Read<'_>,
        (scope, receiver): (&Scope, &Stored),
    ) -> Result<Arc<Opened>, Error> {
        let known = self.opened.lock().get(&receiver.no).cloned();
        if let Some(known) = known.filter(|known| known.version == receiver.version) {
            return Ok(known);
        }
        let secrets = crate::receiver_secrets::open(engine, read, scope, receiver)?;
        let opened = Arc::new(Opened {
            version: receiver.version,
            private: Private::open(engine, scope, receiver)?,
            keys: secrets.into_iter().map(opened_key).collect::<Result<_, _>>()?,
        });
        let mut all = self.opened.lock();
        if all.len() >= OPENED_MAX {
            all.clear();
        }
        all.insert(receiver.no, opened.clone());
        Ok(opened)
    }
}

/// The request of a delivery, if it is to be sent now.
pub fn prepare(
    engine: &Engine,
    memory: &Memory,
    read: Read<'_>,
    handover: Handover,
) -> Result<Ready, Error> {
    let scope = memory.scope(engine, handover.place.env())?;
    let key = (handover.receiver, handover.place);
    let Some(delivery) = deliveries::find(read, &scope, key)? else { return Ok(Ready::Over) };
    let Some(receiver) = receivers::find(read, &scope, handover.receiver)? else {
        return Ok(Ready::Over);
    };
    if delivery.state != DeliveryState::Leased || !is_wanted(&delivery, &receiver) {
        return Ok(Ready::Over);
    }
    if receiver.health.circuit.is_open() && !handover.probe && !by_hand(delivery.trigger) {
        return Ok(Ready::Held);
    }
    let Some(stored) = stored_body(read, &scope, &delivery)? else { return Ok(Ready::Over) };
    let opened = memory.opened(engine, read, (&scope, &receiver))?;
    let (sent_at, started_at) = (engine.real_now(), engine.now(&scope));
    let body = form(engine, (&delivery, &receiver), &stored)?;
    let headers = lines((&delivery, &receiver), &opened, (&body, started_at, sent_at));
    let bounds = bounds(&receiver, (&scope, started_at));
    Ok(Ready::Send(Box::new(Prepared {
        handover,
        scope,
        bounds,
        trigger: if handover.probe { Trigger::Probe } else { delivery.trigger },
        started_at,
        sent_at,
        request: Request {
            url: receiver.config.url,
            headers,
            body: Bytes::from(body),
            timeout_ms: u64::from(receiver.config.timeout_ms),
        },
    })))
}

fn is_wanted(delivery: &Delivery, receiver: &Stored) -> bool {
    if delivery.is_test() {
        receiver.state != State::Deleted
    } else {
        receiver.state == State::Enabled
    }
}

/// Somebody asked for it: it goes out although the circuit is open.
fn by_hand(trigger: Trigger) -> bool {
    matches!(trigger, Trigger::Manual | Trigger::Test)
}

fn bounds(receiver: &Stored, (scope, now): (&Scope, Timestamp)) -> Bounds {
    let success = receiver.health.last_success_at;
    Bounds {
        tenant: scope.tenant,
        in_flight: receiver.config.max_in_flight,
        rps: receiver.config.max_rps,
        proven: success.is_some_and(|at| at.plus_ms(HOUR_MS) > now),
    }
}

fn stored_body(
    read: Read<'_>,
    scope: &Scope,
    delivery: &Delivery,
) -> Result<Option<Vec<u8>>, Error> {
    if let Some(body) = &delivery.body {
        return Ok(Some(body.clone()));
    }
    let found = store::events::find(read, scope, delivery.place)?;
    Ok(found.map(|recorded| recorded.event.body))
}

fn form(
    engine: &Engine,
    (delivery, receiver): (&Delivery, &Stored),
    stored: &[u8],
) -> Result<Vec<u8>, Error> {
    let (id, subscription) = (delivery.id().to_string(), receiver.id.to_string());
    let event_url = format!("{}/v1/webhooks/events/{}", engine.public_url, delivery.event_id());
    let form = Form {
        family: delivery.kind.family(),
        mode: receiver.config.payload_mode,
        naming: receiver.config.event_naming,
        format: receiver.config.payload_format,
        delivery: DeliveryFrame {
            id: &id,
            subscription_id: &subscription,
            attempts: delivery.next_number(),
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
        },
        event_url: &event_url,
    };
    let body = body::render(stored, &form).map_err(|error| {
        Error::Store(store::Error::corrupt("events", delivery.place.raw(), error))
    })?;
    Ok(body.into_owned())
}

fn lines(
    (delivery, receiver): (&Delivery, &Stored),
    opened: &Opened,
    (body, started_at, sent_at): (&[u8], Timestamp, Timestamp),
) -> Vec<(String, String)> {
    let name = delivery.kind.name();
    let short = delivery.kind.family() == Family::Paywall
        && receiver.config.event_naming == EventNaming::Short;
    let event_type = if short { name.strip_prefix("paywall.").unwrap_or(name) } else { name };
    headers::delivery_headers(
        receiver.kind,
        &DeliveryFacts {
            product_version: env!("CARGO_PKG_VERSION"),
            event_id: &delivery.event_id(),
            event_type,
            event_version: EVENT_VERSION,
            subject: &delivery.subject,
            sequence: delivery.sequence,
            attempt: delivery.next_number(),
            sent_at,
            credentials: Credentials {
                keys: &opened.signing(receiver, started_at),
                newest_secret: opened.newest(started_at),
                bearer: opened.private.bearer.as_deref(),
            },
            custom: &opened.private.headers,
            traceparent: None,
            body,
        },
    )
}
