//! `/v1/webhooks/endpoints`: receivers of an environment (webhooks 14).

use axum::http::Method;
use domain::id::ReceiverId;
use domain::place::ReceiverNo;
use domain::role::Entity;
use domain::time::Timestamp;
use domain::webhook::receiver::{ReceiverKind, SecretKind, State};
use domain::webhook::signature::suffix;
use engine::receivers::{Action, Edit, Parked, Receiver, masked};
use engine::{Class, Error, Fault, receiver_secrets};
use serde_json::{Value, json};
use store::receiver_secrets::Secret;

use super::answer::{Answer, reply};
use super::call::Call;
use super::route::{Access, Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Webhooks";
pub const OF: (ReceiverKind, Option<i64>) = (ReceiverKind::Endpoint, None);
const BEARER_SUFFIX_CHARS: usize = 4;

pub fn routes() -> Routes {
    let (read, write) = (reads(Entity::Webhook), writes(Entity::Webhook));
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    let all = Routes::default()
        .add(
            (Method::POST, "/v1/webhooks/endpoints"),
            write,
            doc("createWebhookEndpoint", "Make an endpoint; the answer alone shows its secret"),
            create,
        )
        .add(
            (Method::GET, "/v1/webhooks/endpoints"),
            read,
            doc("listWebhookEndpoints", "Endpoints of the environment, newest first"),
            list,
        )
        .add(
            (Method::GET, "/v1/webhooks/endpoints/{id}"),
            read,
            doc("getWebhookEndpoint", "One endpoint"),
            get,
        )
        .add(
            (Method::PATCH, "/v1/webhooks/endpoints/{id}"),
            write,
            doc("updateWebhookEndpoint", "Change an endpoint; what is not named stays"),
            edit,
        )
        .add(
            (Method::DELETE, "/v1/webhooks/endpoints/{id}"),
            write,
            doc("deleteWebhookEndpoint", "Delete an endpoint; its open deliveries are discarded"),
            delete,
        )
        .add(
            (Method::POST, "/v1/webhooks/endpoints/{id}/rotate"),
            write,
            doc("rotateWebhookSecret", "A new signing secret; the old one signs on for a while"),
            rotate,
        )
        .add(
            (Method::DELETE, "/v1/webhooks/endpoints/{id}/secrets/{secret_id}"),
            write,
            doc("deleteWebhookSecret", "End an old secret before its time"),
            end_secret,
        )
        .add(
            (Method::GET, "/v1/webhooks/keys"),
            read,
            doc("listWebhookKeys", "Public keys for signatures, newest first"),
            keys,
        )
        .add(
            (Method::POST, "/v1/webhooks/endpoints/{id}/test"),
            write,
            doc("testWebhookEndpoint", "Send a sample to an endpoint"),
            super::webhook_types::test_endpoint,
        );
    actions(all, write)
}

fn actions(routes: Routes, write: Access) -> Routes {
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    routes
        .add(
            (Method::POST, "/v1/webhooks/endpoints/{id}/pause"),
            write,
            doc("pauseWebhookEndpoint", "Hold everything back; new events queue up"),
            async |app, call| act(app, call, Action::Pause).await,
        )
        .add(
            (Method::POST, "/v1/webhooks/endpoints/{id}/resume"),
            write,
            doc("resumeWebhookEndpoint", "Send what was held back, in order"),
            async |app, call| act(app, call, Action::Resume).await,
        )
        .add(
            (Method::POST, "/v1/webhooks/endpoints/{id}/disable"),
            write,
            doc("disableWebhookEndpoint", "Switch an endpoint off; new events pass it by"),
            async |app, call| act(app, call, Action::Disable).await,
        )
        .add(
            (Method::POST, "/v1/webhooks/endpoints/{id}/enable"),
            write,
            doc("enableWebhookEndpoint", "Switch an endpoint on and send what it had left"),
            async |app, call| act(app, call, Action::Enable).await,
        )
}

/// The change that a body asks for, with its URL judged.
pub async fn judged(app: &App, mut edit: Edit) -> Result<Edit, Error> {
    if let Some(url) = &edit.url {
        let checked = app.webhooks.check(url).await.map_err(|error| {
            Fault::new(Class::Invalid, "url_not_allowed", format!("url {error}")).at("url")
        })?;
        edit.url = Some(checked);
    }
    Ok(edit)
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let edit = judged(&app, engine::endpoints::read(&call.json()?)?).await?;
    let (key, cause) = (call.key_use(None)?, call.cause());
    let render = |made: &Receiver| reply(201, &view(made));
    Ok(Answer::of(app.engine.create_endpoint(call.scope, (edit, cause), key, render).await?))
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let limit = call.limit(20, 100)?;
    let state = call.query_value("state");
    let state = state.map(|text| State::parse(&text).ok_or_else(unknown_state));
    let state = state.transpose()?;
    let before = call.query_value("cursor").map(|text| {
        let number = text.parse().map(ReceiverNo);
        number.map_err(|_| Error::invalid("cursor", "is not a cursor of this list"))
    });
    // There are never more than 50, so the state is looked at here.
    let mut found = app.engine.receivers(&call.scope, OF, before.transpose()?, 100)?;
    found.retain(|one| state.is_none_or(|state| one.stored.state == state));
    let has_more = found.len() > limit;
    found.truncate(limit);
    let cursor = found.last().filter(|_| has_more).map(|one| one.stored.no.0.to_string());
    let data: Vec<Value> = found.iter().map(view).collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": has_more, "next_cursor": cursor })))
}

fn unknown_state() -> Error {
    Error::invalid("state", "must be enabled, paused or disabled")
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    Ok(Answer::ok(&view(&app.engine.receiver(&call.scope, OF, id(&call)?)?)))
}

async fn edit(app: App, call: Call) -> Result<Answer, Error> {
    let id = id(&call)?;
    app.engine.receiver(&call.scope, OF, id)?;
    let edit = judged(&app, engine::endpoints::read(&call.json()?)?).await?;
    if edit.secret.is_some() {
        return Err(Error::invalid("secret", "secret is changed with /rotate"));
    }
    let change = (edit, call.cause());
    Ok(Answer::ok(&view(&app.engine.edit_endpoint(call.scope, id, change).await?)))
}

async fn delete(app: App, call: Call) -> Result<Answer, Error> {
    let change = (Action::Delete, call.cause());
    app.engine.act_on_endpoint(call.scope, id(&call)?, change).await?;
    Ok(Answer::nothing())
}

async fn act(app: App, call: Call, action: Action) -> Result<Answer, Error> {
    let (body, id) = (call.json()?, id(&call)?);
    let change = (action, call.cause());
    let on = matches!(action, Action::Resume | Action::Enable);
    let replays = body.get("parked").and_then(Value::as_str) == Some("replay");
    if on && !replays && body.get("from").is_some_and(|from| !from.is_null()) {
        return Err(Error::invalid("from", "goes with parked \"replay\" alone"));
    }
    let moved = match body.get("parked").map(Value::as_str) {
        None | Some(Some("send")) => app.engine.act_on_endpoint(call.scope, id, change).await?,
        Some(Some("discard")) if on => {
            let parked = (action, Parked::Discard);
            app.engine.move_endpoint(call.scope, id, parked, change.1).await?
        }
        Some(Some("replay")) if on => {
            app.engine.replay_parked(call.scope, id, change, from(&body)?).await?
        }
        Some(_) if on => return Err(Error::invalid("parked", "must be send, discard or replay")),
        Some(_) => return Err(Error::invalid("parked", "goes with resume and enable alone")),
    };
    Ok(Answer::ok(&view(&moved)))
}

/// Where a replay of what was missed begins.
fn from(body: &Value) -> Result<Timestamp, Error> {
    let text = body.get("from").and_then(Value::as_str);
    let from = text.and_then(|text| Timestamp::parse(text).ok());
    from.ok_or_else(|| Error::invalid("from", "parked \"replay\" needs from, a time"))
}

async fn rotate(app: App, call: Call) -> Result<Answer, Error> {
    let ask = receiver_secrets::read(&call.json()?, "overlap_seconds")?;
    let (key, of) = (call.key_use(None)?, (OF, id(&call)?));
    let change = (ask, call.cause());
    let render = |rotated: &Receiver| reply(200, &view(rotated));
    Ok(Answer::of(app.engine.rotate_secret(call.scope, of, change, key, render).await?))
}

async fn end_secret(app: App, call: Call) -> Result<Answer, Error> {
    let (of, secret) = ((OF, id(&call)?), call.path("secret_id", "secret")?);
    app.engine.end_secret(call.scope, of, secret, call.cause()).await?;
    Ok(Answer::nothing())
}

async fn keys(app: App, call: Call) -> Result<Answer, Error> {
    let (scope, now) = (call.scope, app.engine.now(&call.scope));
    let found =
        app.engine.read_now(|read| Ok(store::receiver_secrets::key_pairs(read, &scope, now)?))?;
    let view = |(endpoint, pair): &(ReceiverId, Secret)| {
        json!({
            "id": pair.id,
            "endpoint_id": endpoint,
            "kind": pair.kind,
            "public_key": pair.public_key,
            "created_at": pair.created_at,
            "expires_at": pair.expires_at,
        })
    };
    let data: Vec<Value> = found.iter().map(view).collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": false, "next_cursor": null })))
}

pub fn id(call: &Call) -> Result<ReceiverId, Error> {
    call.path("id", "webhook endpoint")
}

/// An endpoint as the management surface shows it.
pub fn view(receiver: &Receiver) -> Value {
    let bearer = receiver.private.bearer.as_deref();
    let mut view = Value::Object(engine::operational::object(&receiver.stored));
    view["custom_headers"] = json!(masked(&receiver.private));
    view["bearer_token_suffix"] = json!(bearer.map(|text| suffix(text, BEARER_SUFFIX_CHARS)));
    view["secret_suffix"] = json!(newest(receiver, SecretKind::V1).map(|secret| &secret.suffix));
    view["secrets"] = receiver.secrets.iter().map(secret_view).collect();
    let pair = newest(receiver, SecretKind::V1a);
    view["public_key"] = json!(pair.and_then(|pair| pair.public_key.as_ref()));
    if let Some(secret) = &receiver.secret {
        view["secret"] = json!(secret);
    }
    view
}

/// The newest secret of a kind.
pub fn newest(receiver: &Receiver, kind: SecretKind) -> Option<&Secret> {
    receiver.secrets.iter().find(|secret| secret.kind == kind)
}

fn secret_view(secret: &Secret) -> Value {
    json!({
        "id": secret.id,
        "kind": secret.kind,
        "created_at": secret.created_at,
        "expires_at": secret.expires_at,
    })
}
