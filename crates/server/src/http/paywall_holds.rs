//! `/v1/user/holds…`: reserving money, taking it once or letting it go (paywalls 12.1).

use axum::http::Method;
use domain::amount::Amount;
use domain::id::{CustomerId, HoldId, TransactionId};
use domain::time::Timestamp;
use engine::Error;
use engine::holds::{CaptureAsk, Held, HoldAsk, HoldRef, HoldState, HoldView};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::{Answer, reply};
use super::call::Call;
use super::paywall_calls::{
    Raw, amount, block_style, both, find_named, key_of, metadata, named, object, raw_or_empty,
};
use super::paywall_charges::shortage;
use super::route::Routes;
use super::spec::Doc;
use crate::app::App;

const EXPIRES_IN_DEFAULT_S: i64 = 900;
const EXPIRES_IN_MAX_S: i64 = 86_400;

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new("User", operation, summary);
    let routes = both(
        Routes::default(),
        (Method::POST, "/v1/user/holds"),
        doc("createHold", "Reserve an amount of a user's balance"),
        create,
    );
    let routes =
        both(routes, (Method::GET, "/v1/user/holds/{id}"), doc("getHold", "Read a hold"), read);
    let routes = both(
        routes,
        (Method::POST, "/v1/user/holds/{id}/capture"),
        doc("captureHold", "Take all or part of a hold, once"),
        capture,
    );
    both(
        routes,
        (Method::POST, "/v1/user/holds/{id}/release"),
        doc("releaseHold", "Let a hold go"),
        release,
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HoldBody {
    #[serde(default)]
    amount: Raw,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    expires_in_seconds: Option<i64>,
    #[serde(default)]
    metadata: Raw,
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let body: HoldBody = object(&call)?;
    let amount = amount(&call, "amount", &body.amount)?;
    let expires_in_s = body.expires_in_seconds.unwrap_or(EXPIRES_IN_DEFAULT_S);
    if !(1..=EXPIRES_IN_MAX_S).contains(&expires_in_s) {
        return Err(Error::invalid("expiresInSeconds", "must be 1 to 86,400"));
    }
    let named = named(&call, body.user.as_deref())?;
    // The route has one style only, but a wrong wish is refused as everywhere.
    block_style(&call)?;
    let (paywall, cause) = (call.paywall()?, call.cause());
    let ask = HoldAsk {
        paywall: paywall.clone(),
        user: named.user.clone(),
        amount,
        expires_in_s,
        metadata: metadata("metadata", &body.metadata)?,
        key: key_of(&call, &named.user)?,
        cause: cause.clone(),
    };
    let answer = match app.engine.hold(call.scope, ask).await {
        Ok(Held::Reserved(moved)) => {
            let replayed = moved.replayed;
            Ok(Answer::created(&shown(&HoldView::fresh(*moved))).replayed(replayed))
        }
        Ok(Held::TooLittle(short)) => {
            let amounts = (short.required, short.available);
            Err(shortage(&paywall.paywall, amounts, short.link.as_ref(), &cause))
        }
        Err(error) => Err(error),
    };
    named.mark(answer, &call)
}

async fn read(app: App, call: Call) -> Result<Answer, Error> {
    let hold = hold_ref(&call, call.query_value("user").as_deref())?;
    let view = app.engine.find_hold(call.scope, &hold)?;
    Ok(Answer::ok(&shown(&view)))
}

#[derive(Deserialize)]
struct EndBody {
    #[serde(default)]
    amount: Raw,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    metadata: Raw,
}

async fn capture(app: App, call: Call) -> Result<Answer, Error> {
    let body: EndBody = object(&call)?;
    let part = match &body.amount {
        Some(_) => Some(amount(&call, "amount", &body.amount)?),
        None => None,
    };
    let ask = CaptureAsk {
        hold: hold_ref(&call, body.user.as_deref())?,
        amount: part,
        metadata: metadata("metadata", &body.metadata)?,
        key: call.key_use(None)?,
        cause: call.cause(),
    };
    let render = |view: &HoldView| reply(200, &shown(view));
    Ok(Answer::of(app.engine.capture_hold(call.scope, ask, render).await?))
}

async fn release(app: App, call: Call) -> Result<Answer, Error> {
    let body: EndBody = object(&call)?;
    let hold = hold_ref(&call, body.user.as_deref())?;
    let asked = (hold, call.key_use(None)?);
    let render = |view: &HoldView| reply(200, &shown(view));
    Ok(Answer::of(app.engine.release_hold(call.scope, asked, call.cause(), render).await?))
}

/// The hold that the path names; a user that is named too must own it.
fn hold_ref(call: &Call, in_body: Option<&str>) -> Result<HoldRef, Error> {
    let id: HoldId = call.path("id", "hold")?;
    let user = find_named(call, in_body)?.map(|named| named.user);
    Ok(HoldRef { paywall: call.paywall()?, id, user })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HoldShown<'h> {
    id: HoldId,
    user: Option<&'h str>,
    wallet_user_id: CustomerId,
    amount: Amount,
    captured_amount: Amount,
    currency: String,
    status: &'static str,
    expires_at: Option<Timestamp>,
    activity_id: Option<TransactionId>,
    metadata: Box<RawValue>,
    created_at: Timestamp,
}

fn shown(view: &HoldView) -> HoldShown<'_> {
    let (entry, wallet) = (&view.entry, &view.wallet);
    let (status, charge) = match &view.state {
        HoldState::Held => ("held", None),
        HoldState::Captured(charge) => ("captured", Some(charge)),
        HoldState::Released => ("released", None),
        HoldState::Expired => ("expired", None),
    };
    HoldShown {
        id: view.id(),
        user: wallet.paywall.as_ref().map(|link| link.external_user.as_str()),
        wallet_user_id: wallet.customer_id,
        amount: entry.credits,
        captured_amount: charge.map_or(Amount::ZERO, |charge| charge.credits),
        currency: wallet.currency.upper(),
        status,
        expires_at: entry.details.expires_at,
        activity_id: charge.map(|charge| charge.id()),
        metadata: raw_or_empty(entry.details.call_metadata.as_deref()),
        created_at: entry.at,
    }
}
