//! `/v1/secrets/api/keys`: the API keys of an environment. A key's text is shown once.

use axum::http::Method;
use domain::id::{EnvironmentId, SecretId, UserId};
use domain::key::KeyKind;
use domain::role::{Entity, Grant};
use domain::time::Timestamp;
use engine::api_keys::{self, KeyAsk};
use engine::idempotency::{Reply, Shown};
use engine::keys::NewKey;
use engine::{Class, Error, Fault};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, reply};
use super::call::{Call, Caller};
use super::page::Page;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Keys";
const NAME_CHARS_MAX: usize = 255;

pub fn routes() -> Routes {
    Routes::default()
        .add(
            (Method::GET, "/v1/secrets/api/keys"),
            reads(Entity::Secret),
            Doc::new(TAG, "listApiKeys", "The API keys of the environment, masked"),
            list,
        )
        .add(
            (Method::POST, "/v1/secrets/api/keys"),
            writes(Entity::Secret),
            Doc::new(TAG, "createApiKey", "Make an API key; its text is shown this once"),
            create,
        )
        .add(
            (Method::DELETE, "/v1/secrets/api/keys/{id}"),
            writes(Entity::Secret),
            Doc::new(TAG, "deleteApiKey", "Revoke an API key at once"),
            revoke,
        )
        .add(
            (Method::POST, "/v1/secrets/api/keys/{id}/rotate"),
            writes(Entity::Secret),
            Doc::new(TAG, "rotateApiKey", "Replace an API key, with an overlap if asked"),
            rotate,
        )
}

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    expires_at: Option<Timestamp>,
    #[serde(rename = "service_account_id")]
    machine: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    environment_id: Option<String>,
}

impl CreateBody {
    fn ask(self) -> Result<KeyAsk, Error> {
        Ok(KeyAsk {
            name: name(self.name)?,
            kind: kind(&self.kind)?,
            grants: grants(&self.roles)?,
            expires_at: self.expires_at,
            machine: id(self.machine, "service account", str::parse::<UserId>)?,
            environment: id(self.environment_id, "environment", str::parse::<EnvironmentId>)?,
        })
    }
}

/// A name that people gave: not empty, not endless.
pub fn name(text: String) -> Result<String, Error> {
    let chars = text.trim().chars().count();
    if (1..=NAME_CHARS_MAX).contains(&chars) {
        return Ok(text);
    }
    Err(Error::invalid("name", format!("name must have 1 to {NAME_CHARS_MAX} characters")))
}

fn kind(text: &str) -> Result<KeyKind, Error> {
    match text {
        "private_key" => Ok(KeyKind::Sk),
        "publishable_key" => Ok(KeyKind::Pk),
        "integration" => Err(Error::not_built("a key of type integration")),
        _ => {
            let message = "type must be private_key or publishable_key";
            Err(Error::invalid("type", message))
        }
    }
}

fn grants(texts: &[String]) -> Result<Vec<Grant>, Error> {
    let grant = |(index, text): (usize, &String)| {
        let field = format!("roles[{index}]");
        text.parse().map_err(|error| Error::invalid(&field, format!("{field} {error}")))
    };
    texts.iter().enumerate().map(grant).collect()
}

/// An id in a body; what is not of its kind is not there.
fn id<T, E>(
    text: Option<String>,
    what: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Error> {
    text.filter(|text| !text.is_empty())
        .map(|text| parse(&text).map_err(|_| Error::not_found(what)))
        .transpose()
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let ask = call.body::<CreateBody>()?.ask()?;
    let Caller::Key(maker) = call.caller.clone() else { return Err(no_key()) };
    let (cause, chance) = (call.cause(), app.engine.random.bytes());
    let key = call.key_use(None)?;
    let work = move |tx: &mut store::Tx<'_>| api_keys::create(tx, &cause, &maker, (&ask, &chance));
    let answered = app.engine.once_shown(call.scope, key, work, |made| shown(201, made)).await?;
    Ok(Answer::of(answered))
}

fn no_key() -> Error {
    Fault::new(Class::Unauthorized, "unauthorized", "an API key is needed").into()
}

fn shown(status: u16, made: &NewKey) -> Shown {
    let secret = api_keys::view(&made.key);
    let with =
        |text: &str| -> Reply { reply(status, &json!({ "api_key": text, "secret": secret })) };
    Shown { clear: with(&made.text), masked: with(&made.key.display) }
}

#[derive(Deserialize)]
struct RotateBody {
    #[serde(default)]
    overlap_seconds: i64,
}

async fn rotate(app: App, call: Call) -> Result<Answer, Error> {
    let id: SecretId = call.path("id", "key")?;
    let body: RotateBody = call.body()?;
    let (cause, chance) = (call.cause(), app.engine.random.bytes());
    let key = call.key_use(None)?;
    let work = move |tx: &mut store::Tx<'_>| {
        api_keys::rotate(tx, &cause, (id, body.overlap_seconds), &chance)
    };
    let answered = app.engine.once_shown(call.scope, key, work, |made| shown(201, made)).await?;
    app.engine.forget_key_with_id(call.scope, id)?;
    Ok(Answer::of(answered))
}

async fn revoke(app: App, call: Call) -> Result<Answer, Error> {
    app.engine.revoke_key(call.scope, call.cause(), call.path("id", "key")?).await?;
    Ok(Answer::nothing())
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let page = Page::of_query(&call)?;
    let status = call.query_value("status").unwrap_or_else(|| "published".to_owned());
    if !["published", "deleted", "archived"].contains(&status.as_str()) {
        return Err(Error::invalid("status", "status must be published, deleted or archived"));
    }
    let part = (page.limit, page.offset);
    let (keys, total) = app.engine.api_keys(call.scope, status, part).await?;
    let items: Vec<Value> = keys.iter().map(api_keys::view).collect();
    Ok(Answer::ok(&page.envelope(&items, total)))
}
