//! `/v1/environments`: the environments of the tenant.

use axum::http::Method;
use domain::role::Entity;
use engine::Error;
use engine::environments::{self, view};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{Answer, reply};
use super::call::Call;
use super::keys::name;
use super::page::Page;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Environments";

pub fn routes() -> Routes {
    Routes::default()
        .add(
            (Method::POST, "/v1/environments"),
            writes(Entity::Environment),
            Doc::new(TAG, "createEnvironment", "Make an environment within the tenant's limits"),
            create,
        )
        .add(
            (Method::GET, "/v1/environments"),
            reads(Entity::Environment),
            Doc::new(TAG, "listEnvironments", "The environments of the tenant"),
            list,
        )
        .add(
            (Method::GET, "/v1/environments/{id}"),
            reads(Entity::Environment),
            Doc::new(TAG, "getEnvironment", "One environment"),
            find,
        )
        .add(
            (Method::PUT, "/v1/environments/{id}"),
            writes(Entity::Environment),
            Doc::new(TAG, "updateEnvironment", "Give an environment another name"),
            update,
        )
        .add(
            (Method::POST, "/v1/environments/{id}/clone"),
            writes(Entity::Environment),
            Doc::new(TAG, "cloneEnvironment", "Copy the catalogue of an environment (later)"),
            async |_, _| Err(Error::not_built("copying an environment")),
        )
}

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let body: CreateBody = call.body()?;
    let live = match body.kind.as_str() {
        "production" => true,
        "development" => false,
        _ => return Err(Error::invalid("type", "type must be production or development")),
    };
    let (name, cause, key) = (name(body.name)?, call.cause(), call.key_use(None)?);
    let work = move |tx: &mut store::Tx<'_>| environments::create(tx, &cause, (&name, live));
    let answered = app.engine.once(call.scope, key, work, |made| reply(201, &view(made))).await?;
    Ok(Answer::of(answered))
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let page = Page::of_query(&call)?;
    let mut all: Vec<Value> = app.engine.environments(call.scope).await?.iter().map(view).collect();
    all.reverse();
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    Ok(Answer::ok(&page.envelope(&page.cut(all), total)))
}

async fn find(app: App, call: Call) -> Result<Answer, Error> {
    let id = call.path("id", "environment")?;
    Ok(Answer::ok(&view(&app.engine.environment(call.scope, id).await?)))
}

#[derive(Deserialize)]
struct UpdateBody {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

async fn update(app: App, call: Call) -> Result<Answer, Error> {
    let id = call.path("id", "environment")?;
    let body: UpdateBody = call.body()?;
    let now = view(&app.engine.environment(call.scope, id).await?);
    if body.kind.is_some_and(|kind| now["type"] != kind) {
        let message = "type cannot change: keys and customers of the two kinds never mix";
        return Err(Error::invalid("type", message));
    }
    let Some(text) = body.name else { return Ok(Answer::ok(&now)) };
    let named = (id, name(text)?);
    let after = app.engine.rename_environment(call.scope, call.cause(), named).await?;
    Ok(Answer::ok(&view(&after)))
}
