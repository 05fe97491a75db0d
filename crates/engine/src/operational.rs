//! Events about delivery itself (webhooks 21): told in the transaction of the state change, by the
//! function that tells every other event. Routing keeps each from the receiver that it tells about.

use domain::event::billing;
use domain::id::{DeliveryId, ReceiverId, Ulid, WebhookSecretId};
use domain::ledger::log::Telling;
use domain::place::ReceiverNo;
use domain::scope::Cause;
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use domain::webhook::channel::Channels;
use domain::webhook::order;
use domain::webhook::receiver::{ReceiverKind, StateReason};
use domain::webhook::schedule::Schedule;
use serde_json::{Map, Value, json};
use store::Tx;
use store::receivers::Stored;

use crate::error::Error;

/// Tells `kind` about a receiver. The keys of an object stand in the body beside `endpoint`.
pub fn tell(
    tx: &mut Tx<'_>,
    cause: &Cause,
    kind: EventType,
    (receiver, keys): (&Stored, Value),
) -> Result<(), Error> {
    let subject = order::of_receiver(receiver.id);
    let (channels, body) = (channels(tx, receiver)?, body(receiver, keys));
    tx.tell((subject.clone(), channels), kind, cause, move |telling| {
        billing::render(telling, &subject, &body)
    })?;
    Ok(())
}

/// As `tell`, of endpoints alone: what happens to a subscription is told by its paywall.
pub fn tell_of_endpoint(
    tx: &mut Tx<'_>,
    cause: &Cause,
    kind: EventType,
    (receiver, keys): (&Stored, Value),
) -> Result<(), Error> {
    match receiver.kind {
        ReceiverKind::Endpoint => tell(tx, cause, kind, (receiver, keys)),
        ReceiverKind::Subscription => Ok(()),
    }
}

/// A subscription is its paywall's; an endpoint is nobody's.
fn channels(tx: &mut Tx<'_>, receiver: &Stored) -> Result<Channels, Error> {
    let Some(no) = receiver.paywall else { return Ok(Channels::default()) };
    let scope = tx.scope();
    let paywall = store::paywalls::find_by_no(tx.read()?, &scope, no)?;
    let touched = paywall.map(|found| Channels::of_paywall(found.paywall.id, None));
    Ok(touched.unwrap_or_default())
}

fn body(receiver: &Stored, keys: Value) -> Map<String, Value> {
    let mut endpoint = object(receiver);
    endpoint.insert("url".to_owned(), json!(without_query(&receiver.config.url)));
    let mut body = Map::new();
    body.insert("receiver".to_owned(), json!(receiver.kind));
    body.insert("endpoint".to_owned(), Value::Object(endpoint));
    if let Value::Object(keys) = keys {
        body.extend(keys);
    }
    body
}

/// A query may carry a key.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// A receiver as the management surface shows it, without anything that is secret.
pub fn object(stored: &Stored) -> Map<String, Value> {
    let config = &stored.config;
    let object = json!({
        "id": stored.id,
        "version": stored.version,
        "url": config.url,
        "types": config.types,
        "extensions": config.extensions,
        "channels": config.channels,
        "description": config.description,
        "metadata": config.metadata,
        "state": stored.state,
        "state_reason": config.state_reason,
        "state_changed_at": config.state_changed_at,
        "ordering": config.ordering,
        "on_exhausted": config.on_exhausted,
        "retry_schedule": waits(&config.schedule),
        "timeout_seconds": config.timeout_ms / 1_000,
        "api_version": config.api_version,
        "send_traceparent": config.send_traceparent,
        "payload_mode": config.payload_mode,
        "signatures": config.signatures,
        "max_in_flight": config.max_in_flight,
        "max_rps": config.max_rps,
        "circuit": if stored.health.circuit.is_open() { "open" } else { "closed" },
        "next_probe_at": stored.health.circuit.until(),
        "failures_in_a_row": stored.health.failures_in_a_row,
        "first_failure_at": stored.health.first_failure_at,
        "last_attempt_at": stored.health.last_attempt_at,
        "last_success_at": stored.health.last_success_at,
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
        "created_by": stored.created_by,
    });
    match object {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn waits(schedule: &Schedule) -> Option<&[u32]> {
    matches!(schedule, Schedule::Custom(_)).then(|| schedule.waits_s())
}

/// The values that `after` has otherwise, as they were before.
pub fn previous(before: &Stored, after: &Stored) -> Value {
    let (before, after) = (body(before, Value::Null), body(after, Value::Null));
    let (Value::Object(before), Value::Object(after)) = (&before["endpoint"], &after["endpoint"])
    else {
        return Value::Null;
    };
    let counted = ["version", "updated_at"];
    let changed = before
        .iter()
        .filter(|(name, value)| after.get(*name) != Some(value))
        .filter(|(name, _)| !counted.contains(&name.as_str()));
    changed.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// The sample of a type: its body, and what it is about.
pub(crate) fn sample(telling: &Telling) -> (Vec<u8>, String) {
    let at = telling.at;
    let stored = sample_receiver(at);
    let subject = order::of_receiver(stored.id);
    let keys = sample_keys(telling.kind, at, &stored);
    (billing::render(telling, &subject, &body(&stored, keys)), subject)
}

fn sample_receiver(at: Timestamp) -> Stored {
    let mut stored = crate::endpoints::blank(ReceiverKind::Endpoint, at);
    stored.id = ReceiverId::numbered(Ulid::new(at, 0), ReceiverNo(7));
    "https://example.com/hooks".clone_into(&mut stored.config.url);
    stored.config.types = vec!["*".to_owned()];
    "system".clone_into(&mut stored.created_by);
    stored
}

fn sample_keys(kind: EventType, at: Timestamp, stored: &Stored) -> Value {
    match kind {
        EventType::WEBHOOK_ENDPOINT_UPDATED => {
            json!({ "previous_attributes": { "description": "Old description" } })
        }
        EventType::WEBHOOK_ENDPOINT_SECRET_ROTATED => {
            let secret = WebhookSecretId(Ulid::new(at, 8));
            json!({ "secret_id": secret, "previous_expires_at": at })
        }
        EventType::WEBHOOK_ENDPOINT_FAILING => {
            json!({ "first_failure_at": at, "last_result": "timeout", "pending": 12 })
        }
        EventType::WEBHOOK_ENDPOINT_RECOVERED => json!({ "failing_since": at }),
        EventType::WEBHOOK_ENDPOINT_DISABLED => {
            json!({ "reason": StateReason::Auto, "parked": 12 })
        }
        EventType::WEBHOOK_DELIVERY_EXHAUSTED => sample_exhausted(at, stored),
        EventType::WEBHOOK_REPLAY_COMPLETED | EventType::WEBHOOK_REPLAY_CANCELED => {
            let id = format!("replay_{}", Ulid::new(at, 9));
            json!({ "replay": { "id": id, "endpoint_id": stored.id, "matched": 12, "sent": 12 } })
        }
        _ => Value::Null,
    }
}

fn sample_exhausted(at: Timestamp, stored: &Stored) -> Value {
    let place = domain::place::EnvNo::new(1).place(42);
    let delivery: DeliveryId = place.delivery_id(at, stored.id.no());
    let wallet = format!("wallet_{}", Ulid::new(at, 2));
    json!({
        "delivery": { "id": delivery, "attempts": 12, "last_result": "http_error",
            "last_status_code": 500, "last_attempt_at": at },
        "event": { "id": place.event_id(at), "type": EventType::WALLET_UPDATED.name(),
            "subject": { "type": "wallet", "id": wallet }, "sequence": 3 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_told_without_the_query_of_its_url() {
        let mut stored = sample_receiver(Timestamp::from_millis(0));
        stored.config.url = "https://example.com/hooks?key=abc#x".to_owned();
        let body = body(&stored, json!({ "pending": 1 }));
        assert_eq!(body["endpoint"]["url"], "https://example.com/hooks");
        assert_eq!((&body["pending"], &body["receiver"]), (&json!(1), &json!("endpoint")));
        assert!(!Value::Object(body).to_string().contains("abc"));
    }

    #[test]
    fn only_what_changed_is_told_as_it_was() {
        let before = sample_receiver(Timestamp::from_millis(0));
        let mut after = before.clone();
        after.version += 1;
        after.config.description = "new".to_owned();
        assert_eq!(previous(&before, &after), json!({ "description": "" }));
        assert_eq!(previous(&before, &before), json!({}));
    }
}
