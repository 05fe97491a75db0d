//! `/v1/paywalls`: making, reading, changing and archiving paywalls, and their keys (paywalls 8).

use axum::http::Method;
use domain::id::PaywallId;
use domain::role::{Entity, Role};
use engine::Error;
use engine::idempotency::Shown;
use engine::paywall_keys::{GRACE_SECONDS_MAX, Rotated, RotationAsk};
use engine::paywalls::Created;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::paywalls::Stored;

use super::answer::{Answer, reply};
use super::call::{Call, Caller};
use super::cursor;
use super::paywall_calls::object;
use super::paywall_sections::judge_url;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Paywalls";
const REASON_CHARS_MAX: usize = 512;

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    let (may_read, may_write) = (reads(Entity::Paywall), writes(Entity::Paywall));
    let routes = Routes::default()
        .add(
            (Method::POST, "/v1/paywalls"),
            may_write,
            doc("createPaywall", "Create a paywall; its key is shown this once"),
            create,
        )
        .add((Method::GET, "/v1/paywalls"), may_read, doc("listPaywalls", "List paywalls"), list)
        .add(
            (Method::GET, "/v1/paywalls/{id}"),
            may_read,
            doc("getPaywall", "Read a paywall"),
            read,
        )
        .add(
            (Method::PATCH, "/v1/paywalls/{id}"),
            may_write,
            doc("updatePaywall", "Change a paywall's settings"),
            update,
        )
        .add(
            (Method::POST, "/v1/paywalls/{id}/archive"),
            may_write,
            doc("archivePaywall", "Stop all money of a paywall"),
            archive,
        )
        .add(
            (Method::POST, "/v1/paywalls/{id}/unarchive"),
            may_write,
            doc("unarchivePaywall", "Take a paywall back from the archive"),
            unarchive,
        )
        .add(
            (Method::POST, "/v1/paywalls/{id}/secret/rotate"),
            may_write,
            doc("rotatePaywallKey", "Replace a paywall's key; the new one is shown this once"),
            rotate,
        );
    later(routes)
}

/// Routes of later stages (paywalls 8) answer 501 once the caller is let in.
fn later(routes: Routes) -> Routes {
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let delete = Method::DELETE;
    let table = [
        (post.clone(), "/v1/paywalls/{id}/copy", "copyPaywall"),
        (get.clone(), "/v1/paywalls/{id}/integrations", "listPaywallIntegrations"),
        (put, "/v1/paywalls/{id}/integrations/{key}", "setPaywallIntegration"),
        (delete.clone(), "/v1/paywalls/{id}/integrations/{key}", "deletePaywallIntegration"),
        (
            post.clone(),
            "/v1/paywalls/{id}/integrations/stripe/webhook/rotate",
            "rotateStripeWebhook",
        ),
        (post.clone(), "/v1/paywalls/{id}/charges/{activityId}/settle", "settleCharge"),
        (post.clone(), "/v1/paywalls/{id}/charges/{activityId}/fail", "failCharge"),
        (get.clone(), "/v1/paywalls/{id}/connections", "listPaywallConnections"),
        (delete.clone(), "/v1/paywalls/{id}/connections/{connectionId}", "endConnection"),
        (post.clone(), "/v1/paywalls/{id}/withdrawals", "createWithdrawal"),
        (get.clone(), "/v1/paywalls/{id}/analytics/summary", "getPaywallAnalytics"),
        (get, "/v1/paywalls/{id}/keys", "listChildKeys"),
        (post, "/v1/paywalls/{id}/keys", "createChildKey"),
        (delete, "/v1/paywalls/{id}/keys", "deleteChildKeys"),
    ];
    table.into_iter().fold(routes, |routes, (method, path, operation)| {
        let (may_read, may_write) = (reads(Entity::Paywall), writes(Entity::Paywall));
        let access = if method == Method::GET { may_read } else { may_write };
        let doc = Doc::new(TAG, operation, "Not built in this version");
        routes.add((method, path), access, doc, async |_, _| Err(Error::not_built("this route")))
    })
}

/// The operator's fees are set by super admins only.
pub fn may_set_fees(call: &Call) -> bool {
    match &call.caller {
        Caller::Key(key) => key.grants.iter().any(|grant| grant == Role::SuperAdmin.as_str()),
        _ => false,
    }
}

pub fn id(call: &Call) -> Result<PaywallId, Error> {
    call.path("id", "paywall")
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let asked = (settings(&app, &call).await?, may_set_fees(&call), call.key_use(None)?);
    let render = |created: &Created| once(201, &json!(created.paywall), &created.api_key);
    let work = app.engine.create_paywall_once(call.scope, call.cause(), asked, render);
    Ok(Answer::of(work.await?).with("cache-control", "no-store"))
}

/// The answer with the key that it shows this once.
fn once(status: u16, body: &Value, api_key: &str) -> Shown {
    let with = |text: &str| {
        let mut body = body.clone();
        body["apiKey"] = text.into();
        reply(status, &body)
    };
    Shown { clear: with(api_key), masked: with(&domain::key::mask(api_key)) }
}

#[derive(Serialize, Deserialize)]
struct Before {
    no: i64,
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let limit = cursor::limit(&call)?;
    let before = cursor::read::<Before>(&call)?.map(|before| before.no);
    let rows = app.engine.paywalls_page(call.scope, before, limit + 1).await?;
    let next = |stored: &Stored| Before { no: stored.no };
    Ok(cursor::page(rows, limit, next, |stored| json!(stored.paywall)))
}

async fn read(app: App, call: Call) -> Result<Answer, Error> {
    let stored = app.engine.find_paywall(&call.scope, id(&call)?)?;
    let mut body = json!(stored.paywall);
    body["trialGranted"] = json!(app.engine.trials_granted(stored.no)?);
    Ok(Answer::ok(&body))
}

/// The body of a new paywall or of a change, with the URL that Farebox will call judged.
async fn settings(app: &App, call: &Call) -> Result<Value, Error> {
    let mut body = call.json()?;
    judge_url(app, &mut body, "templates.customResponse.url").await?;
    Ok(body)
}

async fn update(app: App, call: Call) -> Result<Answer, Error> {
    let patch = (settings(&app, &call).await?, may_set_fees(&call));
    let paywall = app.engine.update_paywall(call.scope, call.cause(), id(&call)?, patch).await?;
    Ok(Answer::ok(&paywall))
}

#[derive(Deserialize)]
pub struct ReasonBody {
    #[serde(default)]
    reason: Option<String>,
}

impl ReasonBody {
    pub fn read(call: &Call) -> Result<Option<String>, Error> {
        let body: ReasonBody = object(call)?;
        let long = |reason: &String| reason.chars().count() > REASON_CHARS_MAX;
        if body.reason.as_ref().is_some_and(long) {
            return Err(Error::invalid("reason", "must be at most 512 characters"));
        }
        Ok(body.reason.filter(|reason| !reason.is_empty()))
    }
}

fn shown(stored: &Stored) -> engine::idempotency::Reply {
    reply(200, &stored.paywall)
}

async fn archive(app: App, call: Call) -> Result<Answer, Error> {
    let asked = (id(&call)?, ReasonBody::read(&call)?, call.key_use(None)?);
    let work = app.engine.archive_paywall(call.scope, call.cause(), asked, shown);
    Ok(Answer::of(work.await?))
}

async fn unarchive(app: App, call: Call) -> Result<Answer, Error> {
    let asked = (id(&call)?, call.key_use(None)?);
    let work = app.engine.unarchive_paywall(call.scope, call.cause(), asked, shown);
    Ok(Answer::of(work.await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RotateBody {
    #[serde(default)]
    grace_seconds: Option<i64>,
    #[serde(default)]
    api_key: Option<Value>,
}

async fn rotate(app: App, call: Call) -> Result<Answer, Error> {
    let body: RotateBody = object(&call)?;
    let grace_s = body.grace_seconds.unwrap_or(0);
    if !(0..=GRACE_SECONDS_MAX).contains(&grace_s) {
        return Err(Error::invalid("graceSeconds", "must be 0 to 604,800"));
    }
    let key = call.key_use(None)?;
    let ask = RotationAsk { id: id(&call)?, grace_s, supplied: body.api_key, key };
    let render = |rotated: &Rotated| {
        let mut body = json!(rotated.paywall);
        body["keyId"] = json!(rotated.key.id);
        body["previousSecretExpiresAt"] = json!(rotated.previous_expires_at);
        once(200, &body, &rotated.api_key)
    };
    let work = app.engine.rotate_paywall_key(call.scope, call.cause(), ask, render);
    Ok(Answer::of(work.await?).with("cache-control", "no-store"))
}
