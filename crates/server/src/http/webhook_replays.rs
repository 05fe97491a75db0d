//! `/v1/webhooks/…/replays`: events of the past, sent again (webhooks 17).

use axum::http::Method;
use domain::id::ReplayId;
use domain::role::Entity;
use engine::Error;
use engine::replays::{Shown, object};
use serde_json::{Value, json};

use super::answer::{Answer, reply};
use super::call::Call;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use super::webhook_endpoints::{OF, id};
use crate::app::App;

pub fn routes() -> Routes {
    let (read, write) = (reads(Entity::Webhook), writes(Entity::Webhook));
    let doc = |operation, summary| Doc::new("Webhooks", operation, summary);
    Routes::default()
        .add(
            (Method::POST, "/v1/webhooks/endpoints/{id}/replays"),
            write,
            doc("createWebhookReplay", "Send events of the past to an endpoint, in order"),
            create,
        )
        .add(
            (Method::GET, "/v1/webhooks/endpoints/{id}/replays"),
            read,
            doc("listWebhookReplays", "Replays of an endpoint, newest first"),
            list,
        )
        .add(
            (Method::GET, "/v1/webhooks/replays/{replay_id}"),
            read,
            doc("getWebhookReplay", "How far a replay came"),
            get,
        )
        .add(
            (Method::POST, "/v1/webhooks/replays/{replay_id}/cancel"),
            write,
            doc("cancelWebhookReplay", "Stop a replay; what it did not send stands as before"),
            cancel,
        )
}

fn view((replay, receiver): &Shown) -> Value {
    object(replay, *receiver)
}

fn replay_id(call: &Call) -> Result<ReplayId, Error> {
    call.path("replay_id", "replay")
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let of = (OF, id(&call)?);
    // Whose endpoint it is comes before what is asked of it.
    app.engine.receiver(&call.scope, of.0, of.1)?;
    let selection = engine::replays::read(&call.json()?, app.engine.now(&call.scope))?;
    let (key, change) = (call.key_use(None)?, (selection, call.cause()));
    let render = |made: &Shown| reply(202, &view(made));
    Ok(Answer::of(app.engine.start_replay(call.scope, of, change, key, render).await?))
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let limit = call.limit(20, 100)?;
    let before = call.query_value("cursor").map(|text| {
        text.parse().map_err(|_| Error::invalid("cursor", "is not a cursor of this list"))
    });
    let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let of = (OF, id(&call)?);
    let mut found = app.engine.replays(&call.scope, of, (before.transpose()?, asked))?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let cursor = found.last().filter(|_| has_more).map(|(last, _)| last.no.to_string());
    let data: Vec<Value> = found.iter().map(view).collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": has_more, "next_cursor": cursor })))
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    Ok(Answer::ok(&view(&app.engine.replay(&call.scope, replay_id(&call)?)?)))
}

async fn cancel(app: App, call: Call) -> Result<Answer, Error> {
    let id = replay_id(&call)?;
    Ok(Answer::ok(&view(&app.engine.cancel_replay(call.scope, id, call.cause()).await?)))
}
