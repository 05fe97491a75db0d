//! `/v1/models`: what a paywall sells, in one shape that OpenAI's and Anthropic's clients both read
//! (paywalls 6.1).

use axum::http::Method;
use domain::proxy::Listed;
use domain::time::Timestamp;
use engine::{Class, Error, Fault};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::paywall_calls::{Named, both, find_named};
use super::route::Routes;
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    let routes = both(
        Routes::default(),
        (Method::GET, "/v1/models"),
        Doc::new("Proxy", "listModels", "List the models that this paywall sells, with prices"),
        list,
    );
    both(
        routes,
        (Method::GET, "/v1/models/{*id}"),
        Doc::new("Proxy", "getModel", "Read one model that this paywall sells"),
        read,
    )
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let named = seen(&app, &call).await?;
    let paywall = call.paywall()?;
    let offer = app.engine.offer(&call.scope, &paywall)?;
    let listed = offer.market(&paywall.paywall).list(app.engine.now(&call.scope));
    let created = paywall.paywall.created_at;
    let data: Vec<Value> = listed.iter().map(|one| shown(one, created)).collect();
    let id = |row: Option<&Value>| row.map(|row| row["id"].clone());
    let body = json!({
        "object": "list",
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "data": data,
        "has_more": false,
    });
    mark(named, Ok(Answer::ok(&body)), &call)
}

async fn read(app: App, call: Call) -> Result<Answer, Error> {
    let named = seen(&app, &call).await?;
    let paywall = call.paywall()?;
    let id: String = call.path("id", "model")?;
    let offer = app.engine.offer(&call.scope, &paywall)?;
    let market = offer.market(&paywall.paywall);
    let created = paywall.paywall.created_at;
    let found = market.listed(&id, app.engine.now(&call.scope));
    let answer = found.map(|one| Answer::ok(&shown(&one, created))).ok_or_else(|| {
        let message = format!("the model `{id}` does not exist, or this paywall does not sell it");
        Fault::new(Class::NotFound, "model_not_found", message).at("model").into()
    });
    mark(named, answer, &call)
}

/// A user need not be named here; one who is, is seen.
async fn seen(app: &App, call: &Call) -> Result<Option<Named>, Error> {
    let named = find_named(call, call.query_value("user").as_deref())?;
    if let Some(named) = &named {
        app.engine.sight(call.scope, &call.paywall()?, &named.user, &call.cause()).await?;
    }
    Ok(named)
}

fn mark(named: Option<Named>, answer: Result<Answer, Error>, call: &Call) -> Result<Answer, Error> {
    match named {
        Some(named) => named.mark(answer, call),
        None => answer,
    }
}

fn shown(listed: &Listed<'_>, created: Timestamp) -> Value {
    let route = &listed.route;
    let mut row = json!({
        "id": listed.id,
        "object": "model",
        "type": "model",
        "name": listed.id,
        "display_name": listed.id,
        "description": format!("{} at {}", route.model, route.provider.name),
        "created": created.seconds(),
        "created_at": created,
        "owned_by": route.provider.name,
        "pricing": listed.prices,
    });
    if let Some(tokens) = listed.facts.context_tokens {
        row["context_length"] = json!(tokens);
    }
    if let Some(tokens) = listed.facts.max_output_tokens {
        row["max_output_tokens"] = json!(tokens);
    }
    row
}
