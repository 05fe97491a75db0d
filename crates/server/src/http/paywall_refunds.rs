//! `/v1/user/refund`: giving a charge back, or one request of it (paywalls 12.2).

use axum::http::Method;
use domain::amount::Amount;
use engine::Error;
use engine::refunds::{Named, RefundAsk, Refunded};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, reply};
use super::call::Call;
use super::paywall_calls::{Raw, amount, both, find_named, metadata, object};
use super::route::Routes;
use super::spec::Doc;
use crate::app::App;

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 512;

pub fn routes() -> Routes {
    let doc = Doc::new("User", "refundUser", "Give back a charge or a part of it");
    both(Routes::default(), (Method::POST, "/v1/user/refund"), doc, refund)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefundBody {
    #[serde(default)]
    activity_id: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    amount: Raw,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    metadata: Raw,
}

async fn refund(app: App, call: Call) -> Result<Answer, Error> {
    let body: RefundBody = object(&call)?;
    let amount = match &body.amount {
        Some(_) => Some(amount(&call, "amount", &body.amount)?),
        None => None,
    };
    let reason = body.reason.as_deref();
    if reason.is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(Error::invalid("reason", "must be at most 512 characters"));
    }
    let metadata = metadata("metadata", &body.metadata)?;
    let ask = RefundAsk {
        paywall: call.paywall()?,
        named: named(&body)?,
        user: find_named(&call, body.user.as_deref())?.map(|named| named.user),
        amount,
        reason: body.reason,
        metadata,
        key: call.key_use(None)?,
        cause: call.cause(),
    };
    let render = |refunded: &Refunded| reply(200, &RefundShown::of(refunded));
    Ok(Answer::of(app.engine.refund(call.scope, ask, render).await?))
}

fn named(body: &RefundBody) -> Result<Named, Error> {
    match (&body.activity_id, &body.request_id) {
        (Some(id), None) => id.parse().map(Named::Activity).map_err(|_| Error::not_found("charge")),
        (None, Some(id)) => id.parse().map(Named::Request).map_err(|_| Error::not_found("request")),
        (None, None) => {
            Err(Error::invalid("activityId", "name a charge here, or a request in requestId"))
        }
        (Some(_), Some(_)) => {
            Err(Error::invalid("requestId", "name either activityId or requestId, not both"))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefundShown {
    success: bool,
    message: String,
    activity_id: String,
    refunded_amount: Amount,
    remaining_refundable: Amount,
    currency: String,
    balance: String,
    balance_formatted: String,
}

impl RefundShown {
    fn of(refunded: &Refunded) -> RefundShown {
        let currency = refunded.wallet.currency;
        let decimals = refunded.wallet.paywall.as_ref().map_or(6, |link| link.decimals);
        let (name, digits) = (currency.upper(), currency.digits());
        let amount = refunded.credits.formatted(digits, decimals);
        RefundShown {
            success: true,
            message: format!("Refunded {amount} {name}."),
            activity_id: refunded.entry.id().to_string(),
            refunded_amount: refunded.credits,
            remaining_refundable: refunded.left,
            balance: refunded.after.in_units_of(decimals),
            balance_formatted: refunded.after.formatted(digits, decimals),
            currency: name,
        }
    }
}
