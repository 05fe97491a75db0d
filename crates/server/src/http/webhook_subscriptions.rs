//! `/v1/webhooks/subscriptions` with a paywall's key, and the same under `/v1/paywalls/{id}` for
//! its owner (paywalls 6.3, 22).

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use domain::id::{PaywallId, ReceiverId};
use domain::role::Entity;
use domain::webhook::receiver::{ReceiverKind, SecretKind, State};
use domain::webhook::schedule::Schedule;
use engine::receivers::{Receiver, masked};
use engine::replays::Shown;
use engine::{Error, receiver_secrets};
use serde_json::{Value, json};
use store::paywalls::Stored as StoredPaywall;

use super::answer::{Answer, reply};
use super::call::{Call, Caller};
use super::route::{Access, Routes, reads, writes};
use super::spec::Doc;
use super::webhook_endpoints::{judged, newest};
use crate::app::App;

const TAG: &str = "Paywall webhooks";
/// Active ones are at most 50; those that were switched off stay readable.
const LISTED_MAX: u32 = 1_000;

pub fn routes() -> Routes {
    let of_key = of([
        "/v1/webhooks/subscriptions",
        "/v1/webhooks/subscriptions/{subscription_id}",
        "/v1/webhooks/subscriptions/{subscription_id}/rotate-secret",
        "/v1/webhooks/subscriptions/{subscription_id}/test",
        "/v1/webhooks/subscriptions/{subscription_id}/replay",
    ]);
    let of_owner = of([
        "/v1/paywalls/{id}/webhooks/subscriptions",
        "/v1/paywalls/{id}/webhooks/subscriptions/{subscription_id}",
        "/v1/paywalls/{id}/webhooks/subscriptions/{subscription_id}/rotate-secret",
        "/v1/paywalls/{id}/webhooks/subscriptions/{subscription_id}/test",
        "/v1/paywalls/{id}/webhooks/subscriptions/{subscription_id}/replay",
    ]);
    of_key(Access::Paywall, Access::Paywall)
        .merge(of_owner(reads(Entity::Paywall), writes(Entity::Paywall)))
}

/// The routes under one set of paths.
fn of(paths: [&'static str; 5]) -> impl Fn(Access, Access) -> Routes {
    let [all, one, rotated, tested, replayed] = paths;
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    move |read, write| {
        Routes::default()
            .add(
                (Method::POST, all),
                write,
                doc("createWebhookSubscription", "Subscribe to the paywall's events"),
                create,
            )
            .add(
                (Method::GET, all),
                read,
                doc("listWebhookSubscriptions", "Subscriptions of the paywall"),
                list,
            )
            .add((Method::GET, one), read, doc("getWebhookSubscription", "One subscription"), get)
            .add(
                (Method::PATCH, one),
                write,
                doc("updateWebhookSubscription", "Change a subscription"),
                edit,
            )
            .add(
                (Method::DELETE, one),
                write,
                doc("deleteWebhookSubscription", "Switch a subscription off"),
                delete,
            )
            .add(
                (Method::POST, rotated),
                write,
                doc(
                    "rotateSubscriptionSecret",
                    "A new signing secret; the old one signs on for a while",
                ),
                rotate,
            )
            .add(
                (Method::POST, tested),
                write,
                doc("testWebhookSubscription", "Send a sample to a subscription"),
                super::webhook_types::test_subscription,
            )
            .add(
                (Method::POST, replayed),
                write,
                doc("replayWebhookSubscription", "Send events of the past again, in order"),
                replay,
            )
    }
}

/// The paywall of the caller's key, or the one that its owner names.
pub fn paywall(app: &App, call: &Call) -> Result<Arc<StoredPaywall>, Error> {
    if let Caller::Paywall(_, paywall) = &call.caller {
        return Ok(paywall.clone());
    }
    let id: PaywallId = call.path("id", "paywall")?;
    let found = app.engine.read_now(|read| Ok(store::paywalls::find(read, &call.scope, id)?))?;
    found.map(Arc::new).ok_or_else(|| Error::not_found("paywall"))
}

pub fn id(call: &Call) -> Result<ReceiverId, Error> {
    call.path("subscription_id", "webhook subscription")
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let paywall = paywall(&app, &call)?;
    let edit = judged(&app, engine::subscriptions::read(&call.json()?)?).await?;
    let (key, cause) = (call.key_use(None)?, call.cause());
    let (no, name) = (paywall.no, paywall.paywall.id);
    let render = move |made: &Receiver| reply(201, &json!({ "subscription": view(made, name) }));
    let of = (call.scope, no);
    Ok(Answer::of(app.engine.create_subscription(of, (edit, cause), key, render).await?))
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let paywall = paywall(&app, &call)?;
    let active = match call.query_value("status").as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("inactive") => Some(false),
        Some(_) => return Err(Error::invalid("status", "status must be active or inactive")),
    };
    let of = (ReceiverKind::Subscription, Some(paywall.no));
    let mut found = app.engine.receivers(&call.scope, of, None, LISTED_MAX)?;
    found.retain(|one| active.is_none_or(|active| is_active(one) == active));
    let all: Vec<Value> = found.iter().map(|one| view(one, paywall.paywall.id)).collect();
    Ok(Answer::ok(&json!({ "subscriptions": all })))
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    let paywall = paywall(&app, &call)?;
    let of = (ReceiverKind::Subscription, Some(paywall.no));
    let found = app.engine.receiver(&call.scope, of, id(&call)?)?;
    Ok(Answer::ok(&json!({ "subscription": view(&found, paywall.paywall.id) })))
}

async fn edit(app: App, call: Call) -> Result<Answer, Error> {
    let (paywall, id) = (paywall(&app, &call)?, id(&call)?);
    app.engine.receiver(&call.scope, (ReceiverKind::Subscription, Some(paywall.no)), id)?;
    let edit = judged(&app, engine::subscriptions::read(&call.json()?)?).await?;
    if edit.secret.is_some() {
        return Err(Error::invalid("secret", "secret is changed with rotate-secret"));
    }
    let (of, change) = ((call.scope, paywall.no), (edit, call.cause()));
    let edited = app.engine.edit_subscription(of, id, change).await?;
    Ok(Answer::ok(&json!({ "subscription": view(&edited, paywall.paywall.id) })))
}

async fn delete(app: App, call: Call) -> Result<Answer, Error> {
    let (paywall, id) = (paywall(&app, &call)?, id(&call)?);
    let (of, change) = ((call.scope, paywall.no), (false, call.cause()));
    let off = app.engine.switch_subscription(of, id, change).await?;
    let subscription = view(&off, paywall.paywall.id);
    Ok(Answer::json(StatusCode::OK, &json!({ "deactivated": true, "subscription": subscription })))
}

async fn rotate(app: App, call: Call) -> Result<Answer, Error> {
    let (paywall, id) = (paywall(&app, &call)?, id(&call)?);
    let body = call.json()?;
    if body.get("kind").is_some() {
        return Err(Error::invalid("kind", "a subscription signs with shared secrets alone"));
    }
    let ask = receiver_secrets::read(&body, "overlapSeconds")?;
    let of = ((ReceiverKind::Subscription, Some(paywall.no)), id);
    let (key, change) = (call.key_use(None)?, (ask, call.cause()));
    let name = paywall.paywall.id;
    let render = move |made: &Receiver| reply(200, &json!({ "subscription": view(made, name) }));
    Ok(Answer::of(app.engine.rotate_secret(call.scope, of, change, key, render).await?))
}

async fn replay(app: App, call: Call) -> Result<Answer, Error> {
    let (paywall, id) = (paywall(&app, &call)?, id(&call)?);
    let of = ((ReceiverKind::Subscription, Some(paywall.no)), id);
    app.engine.receiver(&call.scope, of.0, of.1)?;
    let now = app.engine.now(&call.scope);
    let selection = engine::replays::read_of_subscription(&call.json()?, now)?;
    let (key, change) = (call.key_use(None)?, (selection, call.cause()));
    let render =
        |(made, _): &Shown| reply(202, &json!({ "replayId": made.id, "matched": made.matched() }));
    Ok(Answer::of(app.engine.start_replay(call.scope, of, change, key, render).await?))
}

fn is_active(receiver: &Receiver) -> bool {
    receiver.stored.state == State::Enabled
}

/// A subscription in the words of a paywall's surface.
fn view(receiver: &Receiver, paywall: PaywallId) -> Value {
    let (stored, config) = (&receiver.stored, &receiver.stored.config);
    let (retry_mode, max_attempts) = match &config.schedule {
        Schedule::Parity { max_attempts } => ("parity", Some(*max_attempts)),
        _ => ("default", None),
    };
    let mut view = json!({
        "id": stored.id,
        "paywallId": paywall,
        "url": config.url,
        "events": config.types,
        "isActive": is_active(receiver),
        "createdAt": stored.created_at,
        "updatedAt": stored.updated_at,
        "secretSuffix": newest(receiver, SecretKind::V1).map(|secret| secret.suffix.clone()),
        "description": config.description,
        "customHeaders": masked(&receiver.private),
        "createdBy": stored.created_by,
        "consecutiveFailures": stored.health.failures_in_a_row,
        "lastDeliveredAt": stored.health.last_success_at,
        "payloadFormat": config.payload_format,
        "retryMode": retry_mode,
        "maxAttempts": max_attempts,
        "eventNaming": config.event_naming,
        "extensions": config.extensions,
        "pausedReason": config.state_reason,
    });
    if let Some(secret) = &receiver.secret {
        view["secret"] = json!(secret);
    }
    if receiver.made {
        view["bearerToken"] = json!(receiver.private.bearer);
    }
    view
}
