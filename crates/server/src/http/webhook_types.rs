//! The catalogue of events with samples, and tests of receivers (webhooks 20).

use axum::http::{Method, StatusCode};
use domain::place::TEST_POSITIONS;
use domain::role::Entity;
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use domain::webhook::receiver::ReceiverKind;
use engine::Error;
use engine::samples::Sample;
use serde_json::{Map, Value, json};
use store::Tx;
use store::deliveries::Delivery;

use super::answer::{Answer, reply};
use super::call::Call;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

/// The time of samples in the catalogue.
const SAMPLE_AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new("Webhooks", operation, summary);
    Routes::default()
        .add(
            (Method::GET, "/v1/webhooks/types"),
            reads(Entity::Webhook),
            doc("listEventTypes", "Every type of event, with a sample"),
            list,
        )
        .add(
            (Method::GET, "/v1/webhooks/types/{type}"),
            reads(Entity::Webhook),
            doc("getEventType", "One type of event, with its sample and schema"),
            get,
        )
        .add(
            (Method::POST, "/v1/webhook-events/{type}"),
            writes(Entity::Webhook),
            doc("sendSampleEvent", "Send a sample to the endpoints that subscribe to its type"),
            send_sample,
        )
}

fn named(call: &Call) -> Result<EventType, Error> {
    let name: String = call.path("type", "event type")?;
    EventType::parse(&name).ok_or_else(|| Error::not_found("event type"))
}

fn sample(call: &Call, kind: EventType) -> Result<Value, Error> {
    let place = call.scope.env.place(TEST_POSITIONS);
    let sample = Sample::render(&call.scope, kind, (place, SAMPLE_AT))?;
    Ok(serde_json::from_slice(&sample.body).unwrap_or_default())
}

fn view(call: &Call, kind: EventType) -> Result<Value, Error> {
    Ok(json!({
        "type": kind.name(),
        "family": kind.family(),
        "extension": kind.is_extension(),
        "bulk": kind.is_bulk(),
        "description": kind.description(),
        "sample": sample(call, kind)?,
    }))
}

async fn list(_: App, call: Call) -> Result<Answer, Error> {
    let all: Result<Vec<Value>, Error> = EventType::all().map(|kind| view(&call, kind)).collect();
    Ok(Answer::ok(&json!({ "data": all?, "has_more": false, "next_cursor": null })))
}

async fn get(_: App, call: Call) -> Result<Answer, Error> {
    let kind = named(&call)?;
    let mut view = view(&call, kind)?;
    let mut schema = schema(&view["sample"]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(kind.name());
    view["schema"] = schema;
    Ok(Answer::ok(&view))
}

/// The types of a sample's fields. What is null in the sample may be anything.
fn schema(sample: &Value) -> Value {
    match sample {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(_) => json!({ "type": "number" }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(items) => match items.first() {
            Some(item) => json!({ "type": "array", "items": schema(item) }),
            None => json!({ "type": "array" }),
        },
        Value::Object(fields) => {
            let of = |(name, value): (&String, &Value)| (name.clone(), schema(value));
            let properties: Map<String, Value> = fields.iter().map(of).collect();
            json!({ "type": "object", "properties": properties })
        }
    }
}

/// The type that a test names, if it names one.
fn asked(call: &Call) -> Result<Option<EventType>, Error> {
    let body = call.json()?;
    let unknown = || Error::invalid("type", "type is unknown");
    match body.get("type") {
        None | Some(Value::Null) => Ok(None),
        Some(name) => {
            let name = name.as_str().ok_or_else(unknown)?;
            let full = format!("paywall.{name}");
            let kind = EventType::parse(name).or_else(|| EventType::parse(&full));
            kind.map(Some).ok_or_else(unknown)
        }
    }
}

pub async fn test_endpoint(app: App, call: Call) -> Result<Answer, Error> {
    let id = super::webhook_endpoints::id(&call)?;
    test(app, call, (ReceiverKind::Endpoint, None), (id, "delivery_id")).await
}

pub async fn test_subscription(app: App, call: Call) -> Result<Answer, Error> {
    let paywall = super::webhook_subscriptions::paywall(&app, &call)?;
    let id = super::webhook_subscriptions::id(&call)?;
    let of = (ReceiverKind::Subscription, Some(paywall.no));
    test(app, call, of, (id, "deliveryId")).await
}

async fn test(
    app: App,
    call: Call,
    of: (ReceiverKind, Option<i64>),
    (id, name): (domain::id::ReceiverId, &'static str),
) -> Result<Answer, Error> {
    let kind = asked(&call)?;
    let (once, cause) = (call.key_use(None)?, call.cause());
    let work = move |tx: &mut Tx<'_>| {
        let receiver = engine::deliveries::receiver_of(tx, of, id)?;
        let kind = kind.unwrap_or_else(|| engine::deliveries::test_type(&receiver));
        engine::deliveries::test(tx, &cause, &receiver, kind)
    };
    let render =
        move |sent: &Delivery| reply(StatusCode::ACCEPTED.as_u16(), &json!({ name: sent.id() }));
    Ok(Answer::of(app.engine.once(call.scope, once, work, render).await?))
}

async fn send_sample(app: App, call: Call) -> Result<Answer, Error> {
    let (kind, key, scope) = (named(&call)?, call.key_use(None)?, call.scope);
    let cause = call.cause();
    let work = move |tx: &mut Tx<'_>| {
        let takers = engine::deliveries::matching(tx.read()?, &scope, kind)?;
        for receiver in &takers {
            engine::deliveries::test(tx, &cause, receiver, kind)?;
        }
        let at = tx.now();
        Sample::render(&scope, kind, (scope.env.place(TEST_POSITIONS), at))
    };
    let render = |sample: &Sample| engine::idempotency::Reply {
        status: StatusCode::OK.as_u16(),
        body: sample.body.clone(),
    };
    Ok(Answer::of(app.engine.once(call.scope, key, work, render).await?))
}
