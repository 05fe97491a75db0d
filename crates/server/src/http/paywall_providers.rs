//! `/v1/paywalls/{id}/providers`: whom a paywall's proxy asks, with keys that are only ever written
//! (paywalls 8, 16.1).

use axum::http::Method;
use domain::role::Entity;
use engine::Error;
use serde_json::{Value, json};
use store::providers::StoredProvider;

use super::answer::Answer;
use super::call::Call;
use super::paywall_sections::judge_url;
use super::paywalls::id;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new("Paywalls", operation, summary);
    let (may_read, may_write) = (reads(Entity::Paywall), writes(Entity::Paywall));
    Routes::default()
        .add(
            (Method::GET, "/v1/paywalls/{id}/providers"),
            may_read,
            doc("listProviders", "List provider connections; of keys only the end is shown"),
            list,
        )
        .add(
            (Method::PUT, "/v1/paywalls/{id}/providers/{name}"),
            may_write,
            doc("setProvider", "Make or replace a provider connection; its key is sealed"),
            set,
        )
        .add(
            (Method::DELETE, "/v1/paywalls/{id}/providers/{name}"),
            may_write,
            doc("deleteProvider", "Remove a provider connection and its key"),
            delete,
        )
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let providers = app.engine.providers(&call.scope, id(&call)?)?;
    let data: Vec<Value> = providers.iter().map(shown).collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": false, "next_cursor": null })))
}

async fn set(app: App, call: Call) -> Result<Answer, Error> {
    let mut body: Value = call.json()?;
    judge_url(&app, &mut body, "baseUrl").await?;
    let ask = (call.path("name", "provider")?, body);
    let stored = app.engine.set_provider(call.scope, call.cause(), id(&call)?, ask).await?;
    Ok(Answer::ok(&shown(&stored)).with("cache-control", "no-store"))
}

async fn delete(app: App, call: Call) -> Result<Answer, Error> {
    let ask = (id(&call)?, call.path("name", "provider")?);
    app.engine.delete_provider(call.scope, call.cause(), ask).await?;
    Ok(Answer::nothing())
}

fn shown(stored: &StoredProvider) -> Value {
    let mut body = json!(stored.provider);
    body["createdAt"] = json!(stored.created_at);
    body["updatedAt"] = json!(stored.updated_at);
    body
}
