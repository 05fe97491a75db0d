//! `/v1/paywalls/{id}/users…`: a paywall's users as its owner sees them (paywalls 8).

use axum::http::Method;
use domain::role::Entity;
use domain::time::Timestamp;
use engine::Error;
use engine::user_states::{StateAsk, UserView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::identities::Identity;

use super::answer::{Answer, reply};
use super::call::Call;
use super::cursor;
use super::paywalls::{ReasonBody, id};
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new("Paywalls", operation, summary);
    let (may_read, may_write) = (reads(Entity::Paywall), writes(Entity::Paywall));
    Routes::default()
        .add(
            (Method::GET, "/v1/paywalls/{id}/users"),
            may_read,
            doc("listPaywallUsers", "List a paywall's users with their balances"),
            list,
        )
        .add(
            (Method::GET, "/v1/paywalls/{id}/users/{externalId}"),
            may_read,
            doc("getPaywallUser", "Read a user with balance and totals"),
            read,
        )
        .add(
            (Method::POST, "/v1/paywalls/{id}/users/{externalId}/suspend"),
            may_write,
            doc("suspendPaywallUser", "Block every billable call of a user"),
            suspend,
        )
        .add(
            (Method::POST, "/v1/paywalls/{id}/users/{externalId}/resume"),
            may_write,
            doc("resumePaywallUser", "Let a suspended user go on"),
            resume,
        )
}

#[derive(Serialize, Deserialize)]
struct Before {
    at: i64,
    id: String,
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let paywall = app.engine.find_paywall(&call.scope, id(&call)?)?;
    let limit = cursor::limit(&call)?;
    let before = cursor::read::<Before>(&call)?;
    let before = before.map(|before| (Timestamp::from_millis(before.at), before.id));
    let rows = app.engine.paywall_users(call.scope, paywall.no, before, limit + 1).await?;
    let next = |view: &UserView| Before {
        at: view.identity.created_at.millis(),
        id: view.identity.external_id.clone(),
    };
    Ok(cursor::page(rows, limit, next, |view| shown(view, paywall.paywall.decimals)))
}

async fn read(app: App, call: Call) -> Result<Answer, Error> {
    let paywall = app.engine.find_paywall(&call.scope, id(&call)?)?;
    let user: String = call.path("externalId", "user")?;
    let view = app.engine.paywall_user(call.scope, paywall.no, &user).await?;
    Ok(Answer::ok(&shown(&view, paywall.paywall.decimals)))
}

fn state(identity: &Identity) -> &'static str {
    if identity.suspended { "suspended" } else { "active" }
}

fn shown(view: &UserView, decimals: u32) -> Value {
    let (identity, account, totals) = (&view.identity, &view.account, &view.totals);
    let currency = account.wallet.currency;
    json!({
        "externalId": identity.external_id,
        "walletUserId": account.customer.id,
        "walletId": account.wallet.id,
        "state": state(identity),
        "reason": identity.reason,
        "createdAt": identity.created_at,
        "balance": account.credits.in_units_of(decimals),
        "balanceFormatted": account.credits.formatted(currency.digits(), decimals),
        "available": (account.credits - account.held).in_units_of(decimals),
        "held": account.held.in_units_of(decimals),
        "currency": currency.upper(),
        "decimals": decimals,
        "totals": {
            "deposits": totals.deposits,
            "topups": totals.topups,
            "trials": totals.trials,
            "charges": totals.charges,
            "refunds": totals.refunds,
            "adjustments": totals.adjustments,
        },
    })
}

async fn suspend(app: App, call: Call) -> Result<Answer, Error> {
    let reason = ReasonBody::read(&call)?;
    set_state(app, call, (true, reason)).await
}

async fn resume(app: App, call: Call) -> Result<Answer, Error> {
    set_state(app, call, (false, None)).await
}

async fn set_state(
    app: App,
    call: Call,
    (suspended, reason): (bool, Option<String>),
) -> Result<Answer, Error> {
    let ask = StateAsk {
        paywall: id(&call)?,
        user: call.path("externalId", "user")?,
        suspended,
        reason,
        key: call.key_use(None)?,
    };
    let render = |identity: &Identity| {
        let body = json!({
            "externalId": identity.external_id,
            "state": state(identity),
            "reason": identity.reason,
            "createdAt": identity.created_at,
        });
        reply(200, &body)
    };
    let work = app.engine.set_user_state(call.scope, call.cause(), ask, render);
    Ok(Answer::of(work.await?))
}
