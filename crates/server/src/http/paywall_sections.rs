//! `/v1/paywalls/{id}/pricing`, `/limits` and `/templates`: parts of a paywall that are read and
//! replaced whole (paywalls 8).

use axum::http::Method;
use domain::paywall::Section;
use domain::role::{Action, Entity, Needs, grants_permit};
use domain::webhook::signature::secret_suffix;
use engine::{Class, Error, Fault};
use serde_json::Value;
use store::paywalls::Stored;

use super::answer::Answer;
use super::call::Call;
use super::paywalls::{id, may_set_fees};
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Paywalls";

pub fn routes() -> Routes {
    let table = [
        (Section::Pricing, "/v1/paywalls/{id}/pricing", ["getPricing", "setPricing"]),
        (Section::Limits, "/v1/paywalls/{id}/limits", ["getLimits", "setLimits"]),
        (Section::Templates, "/v1/paywalls/{id}/templates", ["getTemplates", "setTemplates"]),
    ];
    table.into_iter().fold(Routes::default(), |routes, (section, path, [get, set])| {
        let (reading, replacing) = summaries(section);
        routes
            .add(
                (Method::GET, path),
                reads(Entity::Paywall),
                Doc::new(TAG, get, reading),
                move |app, call| async move { read(&app, &call, section).await },
            )
            .add(
                (Method::PUT, path),
                writes(Entity::Paywall),
                Doc::new(TAG, set, replacing),
                move |app, call| replace(app, call, section),
            )
    })
}

fn summaries(section: Section) -> (&'static str, &'static str) {
    match section {
        Section::Pricing => {
            ("Read markup, fees and own prices", "Replace markup, fees and own prices")
        }
        Section::Limits => ("Read limits and spend caps", "Replace limits and spend caps"),
        Section::Templates => {
            ("Read what blocked users are told", "Replace what blocked users are told")
        }
    }
}

async fn read(app: &App, call: &Call, section: Section) -> Result<Answer, Error> {
    let paywall = app.engine.find_paywall(&call.scope, id(call)?)?;
    shown(app, call, (&paywall, section)).await
}

async fn replace(app: App, call: Call, section: Section) -> Result<Answer, Error> {
    let mut body: Value = call.json()?;
    if section == Section::Templates {
        judge_url(&app, &mut body, "customResponse.url").await?;
        drop_secret(&mut body);
    }
    let ask = (section, body, may_set_fees(&call));
    app.engine.replace_section(call.scope, call.cause(), id(&call)?, ask).await?;
    read(&app, &call, section).await
}

async fn shown(
    app: &App,
    call: &Call,
    (stored, section): (&Stored, Section),
) -> Result<Answer, Error> {
    let mut body = stored.paywall.section(section);
    let custom = &stored.paywall.templates.custom_response;
    if section == Section::Templates && custom.url.is_some() {
        let secret = app.engine.custom_response_secret(call.scope, stored).await;
        // Without the operator's key nothing can be sealed, so there is no secret.
        show_secret(&mut body, call, secret.ok().as_deref());
        return Ok(Answer::ok(&body).with("cache-control", "no-store"));
    }
    Ok(Answer::ok(&body))
}

/// In full for who may write the paywall, and its end for who may read it.
fn show_secret(body: &mut Value, call: &Call, secret: Option<&str>) {
    let (Some(custom), Some(secret)) = (body.get_mut("customResponse"), secret) else { return };
    custom["secretSuffix"] = secret_suffix(secret).into();
    let needs = Needs { entity: Entity::Paywall, action: Action::Write };
    if grants_permit(&call.grants(), needs) {
        custom["secret"] = secret.into();
    }
}

/// What is read may be sent back; the secret is no setting.
fn drop_secret(body: &mut Value) {
    if let Some(Value::Object(custom)) = body.get_mut("customResponse") {
        custom.remove("secret");
        custom.remove("secretSuffix");
    }
}

/// Judges the URL at a dotted path of a body, if one stands there, and puts its one spelling in
/// its place.
pub async fn judge_url(app: &App, body: &mut Value, path: &str) -> Result<(), Error> {
    let pointer = format!("/{}", path.replace('.', "/"));
    let Some(Value::String(url)) = body.pointer_mut(&pointer) else { return Ok(()) };
    let checked = app.webhooks.check(url).await.map_err(|error| {
        Fault::new(Class::Invalid, "url_not_allowed", format!("{path} {error}")).at(path)
    })?;
    *url = checked;
    Ok(())
}
