//! `/v1/paywalls/{id}/requests`: the whole story of each proxied request.

use axum::http::Method;
use domain::id::RequestId;
use domain::role::Entity;
use engine::Error;
use engine::proxy::Story;
use serde::{Deserialize, Serialize};
use serde_json::json;

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
            (Method::GET, "/v1/paywalls/{id}/requests"),
            may_read,
            doc("listPaywallRequests", "List a paywall's proxied requests, newest first"),
            list,
        )
        .add(
            (Method::GET, "/v1/paywalls/{id}/requests/{requestId}"),
            may_read,
            doc("getPaywallRequest", "Explain a request: decision, price, hold, tokens, charge"),
            read,
        )
}

#[derive(Serialize, Deserialize)]
struct Before {
    id: RequestId,
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let limit = cursor::limit(&call)?;
    let before = cursor::read::<Before>(&call)?.map(|before| before.id);
    let stories = app.engine.request_stories(&call.scope, id(&call)?, (before, limit + 1))?;
    let next = |story: &Story| Before { id: story.request_id };
    Ok(cursor::page(stories, limit, next, |story| json!(story)))
}

async fn read(app: App, call: Call) -> Result<Answer, Error> {
    let request = call.path("requestId", "request")?;
    let story = app.engine.request_story(&call.scope, (id(&call)?, request))?;
    let mut body = json!(story);
    if let Some(kept) = app.engine.kept_prompt(&call.scope, request)? {
        for (name, text) in [("prompt", kept.prompt), ("answer", kept.answer)] {
            if !text.is_empty() {
                body[name] = text.into();
            }
        }
    }
    Ok(Answer::ok(&body))
}
