//! A leased delivery becomes a signed request: the event as it was stored, in the receiver's form,
//! with its newest URL, headers and secrets. Reads only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use domain::event::paywall::EVENT_VERSION;
use domain::place::{EnvNo, Place, ReceiverNo};
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
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use store::Read;
use store::deliveries::{self, Delivery, Handover};
use store::receivers::Stored;

use super::bounds::Bounds;
use crate::error::Error;
use crate::ports::Request;
use crate::receivers::Private;
use crate::run::Engine;

/// Versions of receivers whose opened secrets stay in memory.
const OPENED_MAX: usize = 10_000;

/// Events whose bodies stay in memory, and their bytes together.
const BODIES_MAX: usize = 4_096;
const BODIES_BYTES_MAX: u64 = 8 << 20;

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
pub struct Memory {
    scopes: Mutex<HashMap<EnvNo, Scope>>,
    opened: Mutex<HashMap<ReceiverNo, Arc<Opened>>>,
    /// Bodies of events, which never change: several receivers get the same, each in its time.
    bodies: Cache<Place, Bytes, ByBytes>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Place, Bytes> for ByBytes {
    fn weight(&self, _: &Place, body: &Bytes) -> u64 {
        u64::try_from(body.len()).unwrap_or(u64::MAX)
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            scopes: Mutex::default(),
            opened: Mutex::default(),
            bodies: Cache::with_weighter(BODIES_MAX, BODIES_BYTES_MAX, ByBytes),
        }
    }
}

impl Memory {
    /// The bodies of these events: those that are not known are read.
    fn bodies(
        &self,
        read: Read<'_>,
        scope: &Scope,
        places: BTreeSet<Place>,
    ) -> Result<BTreeMap<Place, Bytes>, Error> {
        let known = |place: Place| Some((place, self.bodies.get(&place)?));
        let mut found: BTreeMap<Place, Bytes> = places.iter().copied().filter_map(known).collect();
        let unknown = places.into_iter().filter(|place| !found.contains_key(place)).collect();
        for recorded in store::events::find_all(read, scope, unknown)? {
            let (place, body) = (recorded.event.place, Bytes::from(recorded.event.body));
            self.bodies.insert(place, body.clone());
            found.insert(place, body);
        }
        Ok(found)
    }

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

/// The requests of leased deliveries, as far as they are to be sent now; `known` are rows that need
/// not be read. Where one of them cannot be read, the others are read without it.
pub fn prepare_all(
    (engine, memory): (&Engine, &Memory),
    read: Read<'_>,
    picked: &[Handover],
    known: Vec<Delivery>,
) -> Vec<(Handover, Result<Ready, Error>)> {
    let mut known: Deliveries = known.into_iter().map(keyed).collect();
    let mut by_env: BTreeMap<EnvNo, Vec<Handover>> = BTreeMap::new();
    for handover in picked {
        by_env.entry(handover.place.env()).or_default().push(*handover);
    }
    let mut ready = Vec::with_capacity(picked.len());
    for (env, leased) in by_env {
        match Found::read((engine, memory), read, (env, &leased), &mut known) {
            Ok(found) => {
                let one = |one: &Handover| (*one, found.prepare((engine, memory), read, *one));
                ready.extend(leased.iter().map(one));
            }
            Err(error) if leased.len() == 1 => ready.push((leased[0], Err(error))),
            Err(_) => {
                let alone =
                    |one: &Handover| prepare_all((engine, memory), read, &[*one], Vec::new());
                ready.extend(leased.iter().flat_map(alone));
            }
        }
    }
    ready
}

type Deliveries = BTreeMap<(ReceiverNo, Place), Delivery>;

fn keyed(delivery: Delivery) -> ((ReceiverNo, Place), Delivery) {
    ((delivery.receiver, delivery.place), delivery)
}

/// What leased deliveries of one environment need, each row read once.
struct Found {
    scope: Scope,
    deliveries: Deliveries,
    receivers: BTreeMap<ReceiverNo, Stored>,
    bodies: BTreeMap<Place, Bytes>,
}

impl Found {
    fn read(
        (engine, memory): (&Engine, &Memory),
        read: Read<'_>,
        (env, leased): (EnvNo, &[Handover]),
        known: &mut Deliveries,
    ) -> Result<Found, Error> {
        let scope = memory.scope(engine, env)?;
        let keys = leased.iter().map(|one| (one.receiver, one.place));
        let receivers = leased.iter().map(|one| one.receiver).collect();
        let unknown: Vec<_> = keys.clone().filter(|key| !known.contains_key(key)).collect();
        let mut deliveries = deliveries::find_all(read, &scope, &unknown)?;
        deliveries.extend(keys.filter_map(|key| known.remove(&key)));
        let own = deliveries.iter_mut().filter_map(|one| Some((one.place, one.body.take()?)));
        let mut bodies: BTreeMap<Place, Bytes> =
            own.map(|(place, body)| (place, Bytes::from(body))).collect();
        let stored = deliveries.iter().filter(|one| one.state == DeliveryState::Leased);
        let places = stored.map(|one| one.place).filter(|place| !bodies.contains_key(place));
        let places = places.collect();
        bodies.extend(memory.bodies(read, &scope, places)?);
        let receivers = store::receivers::find_all(read, &scope, &receivers)?;
        Ok(Found {
            scope,
            deliveries: deliveries.into_iter().map(keyed).collect(),
            receivers: receivers.into_iter().map(|one| (one.no, one)).collect(),
            bodies,
        })
    }

    fn prepare(
        &self,
        (engine, memory): (&Engine, &Memory),
        read: Read<'_>,
        handover: Handover,
    ) -> Result<Ready, Error> {
        let delivery = self.deliveries.get(&(handover.receiver, handover.place));
        let receiver = self.receivers.get(&handover.receiver);
        let (Some(delivery), Some(receiver)) = (delivery, receiver) else { return Ok(Ready::Over) };
        if delivery.state != DeliveryState::Leased || !is_wanted(delivery, receiver) {
            return Ok(Ready::Over);
        }
        if receiver.health.circuit.is_open() && !handover.probe && !by_hand(delivery.trigger) {
            return Ok(Ready::Held);
        }
        let Some(stored) = self.bodies.get(&delivery.place) else { return Ok(Ready::Over) };
        let opened = memory.opened(engine, read, (&self.scope, receiver))?;
        let (sent_at, started_at) = (engine.real_now(), engine.now(&self.scope));
        let body = form(engine, (delivery, receiver), stored)?;
        let headers = lines((delivery, receiver), &opened, (&body, started_at, sent_at));
        Ok(Ready::Send(Box::new(Prepared {
            handover,
            scope: self.scope,
            bounds: bounds(receiver, (&self.scope, started_at)),
            trigger: if handover.probe { Trigger::Probe } else { delivery.trigger },
            started_at,
            sent_at,
            request: Request {
                url: receiver.config.url.clone(),
                headers,
                body,
                timeout_ms: u64::from(receiver.config.timeout_ms),
            },
        })))
    }
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

fn form(
    engine: &Engine,
    (delivery, receiver): (&Delivery, &Stored),
    stored: &Bytes,
) -> Result<Bytes, Error> {
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
    Ok(match body {
        Cow::Borrowed(_) => stored.clone(),
        Cow::Owned(body) => Bytes::from(body),
    })
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
