//! `/v1/user/…`: balance, deposit and charge with a paywall key (paywalls 6.2).

use axum::http::Method;
use domain::amount::Amount;
use domain::paywall::{BlockStyle, ExternalUser, charge_amount_from_json};
use engine::charges::{ChargeAsk, Charged, Moved, TooLittle};
use engine::deposits::{DepositAsk, Origin};
use engine::{Class, Error, Fault};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::Call;
use super::route::{Access, Routes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "User";
/// Largest metadata of a deposit or charge.
const METADATA_BYTES_MAX: usize = 16 << 10;

pub fn routes() -> Routes {
    let of_paywall = Access::Paywall;
    Routes::default()
        .add(
            (Method::POST, "/v1/user/charge"),
            of_paywall,
            Doc::new(TAG, "chargeUser", "Charge a user, the whole amount or nothing"),
            charge,
        )
        .add(
            (Method::POST, "/v1/user/balance/deposit"),
            of_paywall,
            Doc::new(TAG, "depositBalance", "Credit a user"),
            deposit,
        )
}

#[derive(Deserialize)]
struct MovementBody {
    #[serde(default)]
    amount: Value,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

/// Amount, user and metadata of a movement, read whole before anything happens.
struct Movement {
    amount: Amount,
    user: ExternalUser,
    metadata: Option<Map<String, Value>>,
}

fn movement(call: &Call) -> Result<Movement, Error> {
    let body: MovementBody = call.body()?;
    let decimals = call.paywall()?.paywall.decimals;
    let amount = charge_amount_from_json(&body.amount, decimals).map_err(|error| {
        Fault::new(Class::Invalid, "invalid_amount", format!("amount {error}")).at("amount")
    })?;
    let user = user(call, body.user.as_deref())?;
    let size = body.metadata.as_ref().map_or(0, |metadata| json!(metadata).to_string().len());
    if size > METADATA_BYTES_MAX {
        return Err(Error::invalid("metadata", "must be at most 16 KiB"));
    }
    Ok(Movement { amount, user, metadata: body.metadata })
}

/// The user that the request names: body or query, then header, then path (paywalls 5.2).
pub fn user(call: &Call, in_body: Option<&str>) -> Result<ExternalUser, Error> {
    let header = call.header("x-paywall-user");
    let in_path = call.path::<String>("user", "user").ok();
    let named = [in_body, header, in_path.as_deref()];
    let first = named.into_iter().flatten().find(|text| !text.is_empty());
    let text = first.ok_or_else(|| {
        let message = "name the user in the body, in X-Paywall-User, or in the path";
        Fault::new(Class::Invalid, "user_required", message).at("user")
    })?;
    ExternalUser::parse(text).map_err(|error| {
        Fault::new(Class::Invalid, "invalid_user", format!("user {error}")).at("user").into()
    })
}

async fn charge(app: App, call: Call) -> Result<Answer, Error> {
    let asked = movement(&call)?;
    let paywall = call.paywall()?;
    let style = block_style(&call, paywall.paywall.block.style)?;
    let ask = ChargeAsk {
        paywall: paywall.clone(),
        user: asked.user,
        amount: asked.amount,
        metadata: asked.metadata.map(|metadata| json!(metadata).to_string()),
        key: call.key_use(None)?,
        cause: call.cause(),
    };
    match app.engine.charge(call.scope, ask).await? {
        Charged::Paid(moved) => Ok(paid(&moved)),
        Charged::TooLittle(short) => too_little(&short, style, paywall.paywall.decimals),
    }
}

fn paid(moved: &Moved) -> Answer {
    let (entry, shown) = (&moved.entry, Shown::of(moved));
    let body = json!({
        "success": true,
        "message": format!("Charged {} {}.", shown.amount, shown.currency),
        "activityId": entry.id(),
        "status": entry.status.name(),
        "amount": entry.credits,
        "currency": shown.currency,
        "fees": { "processingFeeAmount": entry.fee },
        "balance": shown.balance,
        "balanceFormatted": shown.balance_formatted,
        "settlementReference": entry.place.settlement_id(entry.at),
    });
    Answer::ok(&body).replayed(moved.replayed).with("x-paywall-status", "ok")
}

fn too_little(short: &TooLittle, style: BlockStyle, decimals: u32) -> Result<Answer, Error> {
    let available = short.available.formatted(2, decimals);
    let message = format!(
        "Not enough balance: {} needed, {available} available. Top up here: {}",
        short.required.formatted(2, decimals),
        short.link.url
    );
    let blocked = json!({
        "status": "blocked",
        "reason": "insufficient_balance",
        "message": message,
        "actionUrl": short.link.url,
        "requiredAmount": short.required,
        "available": short.available,
    });
    if style == BlockStyle::Error {
        let fault = Fault::new(Class::Forbidden, "insufficient_balance", message);
        return Err(fault.with(json!({ "paywall": blocked })).into());
    }
    let body = json!({
        "success": false,
        "message": message,
        "errorCode": "insufficient_funds",
        "reason": "insufficient_balance",
        "actionUrl": short.link.url,
        "requiredAmount": short.required,
        "available": short.available,
        "activityId": short.entry.id(),
    });
    Ok(Answer::ok(&body)
        .with("x-paywall-status", "blocked")
        .with("x-paywall-reason", "insufficient_balance")
        .with("x-paywall-action-url", &short.link.url))
}

fn block_style(call: &Call, default: BlockStyle) -> Result<BlockStyle, Error> {
    match call.header("x-paywall-on-block") {
        None => Ok(default),
        Some("message") => Ok(BlockStyle::Message),
        Some("error") => Ok(BlockStyle::Error),
        Some(_) => Err(Error::invalid("X-Paywall-On-Block", "must be message or error")),
    }
}

async fn deposit(app: App, call: Call) -> Result<Answer, Error> {
    let asked = movement(&call)?;
    let text = |name: &str| {
        asked.metadata.as_ref().and_then(|metadata| metadata.get(name)).and_then(Value::as_str)
    };
    let origin = text("source").and_then(Origin::parse).unwrap_or(Origin::Deposit);
    let expires_at = text("expiresAt").map(domain::time::Timestamp::parse).transpose();
    let expires_at = expires_at.map_err(|error| {
        Error::invalid("metadata.expiresAt", format!("metadata.expiresAt {error}"))
    })?;
    let ask = DepositAsk {
        paywall: call.paywall()?,
        user: asked.user,
        amount: asked.amount,
        origin,
        expires_at,
        metadata: asked.metadata.map(|metadata| json!(metadata).to_string()),
        key: call.key_use(None)?,
        cause: call.cause(),
    };
    let moved = app.engine.deposit(call.scope, ask).await?;
    let shown = Shown::of(&moved);
    let body = json!({
        "balanceFormatted": shown.balance_formatted,
        "balance": shown.balance,
        "activityId": moved.entry.id(),
        "amount": moved.entry.credits,
        "currency": shown.currency,
    });
    Ok(Answer::ok(&body).replayed(moved.replayed))
}

/// Figures of a movement in the units of its paywall.
struct Shown {
    amount: String,
    balance: String,
    balance_formatted: String,
    currency: String,
}

impl Shown {
    fn of(moved: &Moved) -> Shown {
        let currency = moved.wallet.currency;
        let decimals = moved.wallet.paywall.as_ref().map_or(6, |link| link.decimals);
        Shown {
            amount: moved.entry.credits.formatted(currency.digits(), decimals),
            balance: moved.entry.after.in_units_of(decimals),
            balance_formatted: moved.entry.after.formatted(currency.digits(), decimals),
            currency: currency.upper(),
        }
    }
}
