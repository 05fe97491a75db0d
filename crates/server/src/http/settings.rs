//! `/v1/settings/{key}`: settings of the environment.

use axum::http::Method;
use domain::role::Entity;
use engine::Error;
use engine::settings::{by_name, view};
use serde_json::Value;

use super::answer::Answer;
use super::call::Call;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Settings";

pub fn routes() -> Routes {
    let path = "/v1/settings/{key}";
    Routes::default()
        .add(
            (Method::GET, path),
            reads(Entity::Setting),
            Doc::new(TAG, "getSetting", "The value in force"),
            find,
        )
        .add(
            (Method::PUT, path),
            writes(Entity::Setting),
            Doc::new(TAG, "updateSetting", "Set a value; it is read whole"),
            put,
        )
        .add(
            (Method::DELETE, path),
            writes(Entity::Setting),
            Doc::new(TAG, "deleteSetting", "Restore the default"),
            reset,
        )
}

async fn find(app: App, call: Call) -> Result<Answer, Error> {
    let setting = by_name(&call.path::<String>("key", "setting")?)?;
    Ok(Answer::ok(&view(&app.engine.setting(call.scope, setting).await?, &call.scope)))
}

async fn put(app: App, call: Call) -> Result<Answer, Error> {
    let setting = by_name(&call.path::<String>("key", "setting")?)?;
    let mut body = call.json()?;
    let value = body.get_mut("value").map(Value::take);
    let value = value.ok_or_else(|| Error::invalid("value", "value is required"))?;
    set(app, call, setting, Some(value)).await
}

async fn reset(app: App, call: Call) -> Result<Answer, Error> {
    let setting = by_name(&call.path::<String>("key", "setting")?)?;
    set(app, call, setting, None).await
}

/// Runs to its end though the caller goes away: wallets may have to be evaluated.
async fn set(
    app: App,
    call: Call,
    setting: domain::setting::Setting,
    value: Option<Value>,
) -> Result<Answer, Error> {
    let (scope, cause) = (call.scope, call.cause());
    let work = async move { app.engine.set_setting(scope, cause, setting, value).await };
    let done = tokio::spawn(work).await;
    let in_force = done.unwrap_or(Err(Error::Store(store::Error::Unavailable)))?;
    Ok(Answer::ok(&view(&in_force, &scope)))
}
