//! `/v1/paywalls/{id}/prices`: the price book of a paywall (paywalls 14.3).

use axum::http::Method;
use domain::proxy::PriceRow;
use domain::role::Entity;
use engine::Error;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::prices::{Only, StoredPrice};

use super::answer::{Answer, reply};
use super::call::Call;
use super::cursor;
use super::paywalls::id;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new("Paywalls", operation, summary);
    let (may_read, may_write) = (reads(Entity::Paywall), writes(Entity::Paywall));
    Routes::default()
        .add(
            (Method::GET, "/v1/paywalls/{id}/prices"),
            may_read,
            doc("listPrices", "List a paywall's own price rows, newest first"),
            list,
        )
        .add(
            (Method::POST, "/v1/paywalls/{id}/prices"),
            may_write,
            doc("createPaywallPrice", "Add a price row; it ends the open one before it"),
            create,
        )
        .add(
            (Method::GET, "/v1/paywalls/{id}/prices/{priceId}"),
            may_read,
            doc("getPaywallPrice", "Read a price row, the paywall's own or the catalogue's"),
            read,
        )
}

#[derive(Serialize, Deserialize)]
struct Before {
    no: i64,
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let limit = cursor::limit(&call)?;
    let before = cursor::read::<Before>(&call)?.map(|before| before.no);
    let only = Only { model: call.query_value("model"), provider: call.query_value("provider") };
    let page = (before, limit + 1);
    let rows = app.engine.paywall_prices(&call.scope, id(&call)?, &only, page)?;
    let next = |stored: &StoredPrice| Before { no: stored.no };
    Ok(cursor::page(rows, limit, next, |stored| json!(stored.row)))
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let ask = (id(&call)?, call.json()?, call.key_use(None)?);
    let render = |row: &PriceRow| reply(201, row);
    let work = app.engine.create_paywall_price(call.scope, call.cause(), ask, render);
    Ok(Answer::of(work.await?))
}

async fn read(app: App, call: Call) -> Result<Answer, Error> {
    let price = call.path("priceId", "price")?;
    Ok(Answer::ok(&app.engine.paywall_price(&call.scope, id(&call)?, price)?))
}
