//! `/v1/customer/portal/webhooks`: the endpoints that hear of the customer alone, what was sent to
//! them, and sending it again. Where the setting allows it.

use axum::http::Method;
use domain::id::{DeliveryId, ReceiverId};
use domain::portal::Allowance;
use engine::{Error, portal_webhooks as webhooks};
use serde_json::{Value, json};
use store::deliveries::{Filters, Mark};
use store::receivers::Stored;

use super::answer::{Answer, reply};
use super::call::Call;
use super::portal::{config, must};
use super::route::{Access, Routes};
use super::spec::Doc;
use super::webhook_deliveries as deliveries;
use crate::app::App;

const TAG: &str = "Customer portal";

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    Routes::default()
        .add(
            (Method::GET, "/v1/customer/portal/webhooks/endpoints"),
            Access::Customer,
            doc("listPortalEndpoints", "Endpoints that hear of this customer alone"),
            endpoints,
        )
        .add(
            (Method::GET, "/v1/customer/portal/webhooks/endpoints/{id}/deliveries"),
            Access::Customer,
            doc("listPortalDeliveries", "What was sent to an endpoint, newest first"),
            list,
        )
        .add(
            (Method::GET, "/v1/customer/portal/webhooks/deliveries/{delivery_id}"),
            Access::Customer,
            doc("getPortalDelivery", "One delivery with its attempts"),
            get,
        )
        .add(
            (Method::POST, "/v1/customer/portal/webhooks/deliveries/{delivery_id}/redeliver"),
            Access::Customer,
            doc("redeliverPortalWebhook", "Send an event again, at once"),
            redeliver,
        )
}

fn check(app: &App, call: &Call) -> Result<(), Error> {
    must(config(app, call)?.allows(Allowance::Webhooks), "webhooks")
}

/// Without what is secret, and what is the operator's.
fn view(stored: &Stored) -> Value {
    let (config, health) = (&stored.config, &stored.health);
    json!({
        "id": stored.id,
        "url": config.url,
        "description": config.description,
        "state": stored.state,
        "state_reason": config.state_reason,
        "types": config.types,
        "channels": config.channels,
        "failures_in_a_row": health.failures_in_a_row,
        "last_attempt_at": health.last_attempt_at,
        "last_success_at": health.last_success_at,
        "created_at": stored.created_at,
    })
}

async fn endpoints(app: App, call: Call) -> Result<Answer, Error> {
    check(&app, &call)?;
    let visitor = call.visitor()?;
    let found = app.engine.read_now(|read| webhooks::endpoints(read, visitor))?;
    let data: Vec<Value> = found.iter().map(view).collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": false, "next_cursor": null })))
}

/// A page may be short where the endpoint heard of others once.
async fn list(app: App, mut call: Call) -> Result<Answer, Error> {
    check(&app, &call)?;
    let id: ReceiverId = call.path("id", "webhook endpoint")?;
    let limit = call.limit(20, 100)?;
    let below = deliveries::resumed(&mut call)?;
    let visitor = call.visitor()?;
    let endpoint = app.engine.read_now(|read| webhooks::endpoint(read, visitor, id))?;
    let filters = Filters { receiver: Some(endpoint.no), ..deliveries::filters(&call)? };
    let (mut found, has_more) = deliveries::page(&app, &call, &filters, (below, limit))?;
    let last = found.last().filter(|_| has_more);
    let cursor = last.map(|last| deliveries::encode(&Mark::of(&last.0), &call));
    let is_own = app.engine.read_now(|read| {
        let own = webhooks::Own::of(read, visitor)?;
        let all = found.iter().map(|one| own.has_delivery(read, &call.scope, &one.0));
        all.collect::<Result<Vec<bool>, Error>>()
    })?;
    let mut is_own = is_own.into_iter();
    found.retain(|_| is_own.next().unwrap_or_default());
    let lanes = deliveries::lanes(&app, &found).await;
    let shown = found.iter().map(|one| deliveries::view((&app, &call), one, &lanes));
    let data: Vec<Value> = shown.collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": has_more, "next_cursor": cursor })))
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    check(&app, &call)?;
    let id: DeliveryId = call.path("delivery_id", "delivery")?;
    let visitor = call.visitor()?;
    let (one, attempts) = app.engine.read_now(|read| {
        let delivery = webhooks::delivery(read, visitor, id)?;
        let key = (delivery.receiver, delivery.place);
        let attempts = store::attempts::of_delivery(read, &call.scope, key)?;
        Ok::<_, Error>((deliveries::shown(read, &call, delivery)?, attempts))
    })?;
    let lanes = deliveries::lanes(&app, std::slice::from_ref(&one)).await;
    let mut body = deliveries::view((&app, &call), &one, &lanes);
    body["attempt_log"] = attempts.iter().map(deliveries::attempt_view).collect();
    Ok(Answer::ok(&body))
}

async fn redeliver(app: App, call: Call) -> Result<Answer, Error> {
    check(&app, &call)?;
    let id: DeliveryId = call.path("delivery_id", "delivery")?;
    let (once, cause, visitor) = (call.key_use(None)?, call.cause(), call.visitor()?.clone());
    let work = move |tx: &mut store::Tx<'_>| webhooks::redeliver(tx, &cause, &visitor, id);
    let render =
        |sent: &store::deliveries::Delivery| reply(202, &json!({ "delivery_id": sent.id() }));
    Ok(Answer::of(app.engine.once(call.scope, once, work, render).await?))
}
