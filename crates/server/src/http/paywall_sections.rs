//! `/v1/paywalls/{id}/pricing`, `/limits` and `/templates`: parts of a paywall that are read and
//! replaced whole (paywalls 8).

use axum::http::Method;
use domain::paywall::{Paywall, Section};
use domain::role::Entity;
use engine::{Class, Error, Fault};
use serde_json::Value;

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
                move |app, call| async move { read(&app, &call, section) },
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

fn read(app: &App, call: &Call, section: Section) -> Result<Answer, Error> {
    let paywall = app.engine.find_paywall(&call.scope, id(call)?)?;
    Ok(shown(&paywall.paywall, section))
}

async fn replace(app: App, call: Call, section: Section) -> Result<Answer, Error> {
    let mut body: Value = call.json()?;
    if section == Section::Templates {
        judge_url(&app, &mut body, "customResponse.url").await?;
    }
    let ask = (section, body, may_set_fees(&call));
    let paywall = app.engine.replace_section(call.scope, call.cause(), id(&call)?, ask).await?;
    Ok(shown(&paywall, section))
}

fn shown(paywall: &Paywall, section: Section) -> Answer {
    Answer::ok(&paywall.section(section))
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
