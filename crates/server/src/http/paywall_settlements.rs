//! `/v1/paywalls/{id}/settlements`: charges of proxied requests that were settled together.

use axum::http::Method;
use domain::id::SettlementId;
use domain::role::Entity;
use engine::Error;
use engine::proxy::Batch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::cursor;
use super::paywalls::id;
use super::route::{Routes, reads};
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new("Paywalls", operation, summary);
    let may_read = reads(Entity::Paywall);
    Routes::default()
        .add(
            (Method::GET, "/v1/paywalls/{id}/settlements"),
            may_read,
            doc("listSettlements", "List batches of charges that were settled together"),
            list,
        )
        .add(
            (Method::GET, "/v1/paywalls/{id}/settlements/{reference}"),
            may_read,
            doc("getSettlement", "Read one batch, with the requests in it"),
            read,
        )
}

#[derive(Serialize, Deserialize)]
struct Before {
    reference: SettlementId,
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let limit = cursor::limit(&call)?;
    let before = cursor::read::<Before>(&call)?.map(|before| before.reference);
    let batches = app.engine.settlements(&call.scope, id(&call)?, (before, limit + 1))?;
    let next = |batch: &Batch| Before { reference: batch.reference };
    Ok(cursor::page(batches, limit, next, view))
}

async fn read(app: App, call: Call) -> Result<Answer, Error> {
    let reference = call.path("reference", "settlement")?;
    Ok(Answer::ok(&view(&app.engine.settlement(&call.scope, (id(&call)?, reference))?)))
}

fn view(batch: &Batch) -> Value {
    json!({
        "settlementReference": batch.reference,
        "activityId": batch.activity,
        "walletUserId": batch.user,
        "amount": batch.amount,
        "settledAt": batch.at,
        "requestCount": batch.requests.len(),
        "requestIds": batch.requests,
    })
}
