//! `/v1/user/charge` and `/v1/charges/batch`: taking money with a paywall key (paywalls 11.2).

use std::sync::Arc;

use axum::http::Method;
use domain::amount::Amount;
use domain::ledger::entry::KeyUse;
use domain::paywall::{BlockStyle, Paywall};
use domain::scope::Cause;
use engine::charge_batches::{ITEMS_MAX, Results, barred_whole};
use engine::charges::{ChargeAsk, Charged, Moved, TooLittle};
use engine::topup_links::TopupLink;
use engine::{Error, blocks};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::paywalls::Stored;

use super::answer::{Answer, reply};
use super::call::{Call, is_idempotency_key};
use super::errors;
use super::paywall_calls::{
    Raw, amount, block_style, both, find_named, metadata, movement, object, user,
};
use super::route::{Access, Routes};
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    let charge_doc = Doc::new("User", "chargeUser", "Charge a user, the whole amount or nothing");
    both(Routes::default(), (Method::POST, "/v1/user/charge"), charge_doc, charge).add(
        (Method::POST, "/v1/charges/batch"),
        Access::Paywall,
        Doc::new("User", "chargeBatch", "Charge up to 1,000 times in one call"),
        batch,
    )
}

async fn charge(app: App, call: Call) -> Result<Answer, Error> {
    let asked = movement(&call)?;
    let (paywall, style) = (call.paywall()?, block_style(&call)?);
    let ask = ChargeAsk {
        paywall: paywall.clone(),
        user: asked.named.user.clone(),
        amount: asked.amount,
        metadata: asked.metadata,
        key: asked.key,
        cause: call.cause(),
    };
    let answer = match app.engine.charge(call.scope, ask).await {
        Ok(Charged::Paid(moved)) => Ok(Answer::ok(&Paid::of(&moved))
            .replayed(moved.replayed)
            .with("x-paywall-status", "ok")),
        Ok(Charged::TooLittle(short)) => too_little(&short, (&paywall, style), &call.cause()),
        Err(error) => Err(error),
    };
    asked.named.mark(answer, &call)
}

/// The answer to a charge that was made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paid {
    success: bool,
    message: String,
    activity_id: String,
    status: &'static str,
    amount: Amount,
    currency: String,
    fees: FeesShown,
    balance: String,
    balance_formatted: String,
    settlement_reference: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FeesShown {
    processing_fee_amount: Amount,
}

impl Paid {
    fn of(moved: &Moved) -> Paid {
        let (entry, currency) = (&moved.entry, moved.wallet.currency);
        let decimals = moved.wallet.paywall.as_ref().map_or(6, |link| link.decimals);
        let name = currency.upper();
        let amount = entry.credits.formatted(currency.digits(), decimals);
        Paid {
            success: true,
            message: format!("Charged {amount} {name}."),
            activity_id: entry.id().to_string(),
            status: entry.status.name(),
            amount: entry.credits,
            currency: name,
            fees: FeesShown { processing_fee_amount: entry.fee },
            balance: entry.after.in_units_of(decimals),
            balance_formatted: entry.after.formatted(currency.digits(), decimals),
            settlement_reference: entry.place.settlement_id(entry.at).to_string(),
        }
    }
}

/// The words for a user whose balance is too low, with the link where there is one.
pub fn shortage_message(
    paywall: &Paywall,
    (required, available): (Amount, Amount),
    link: Option<&TopupLink>,
) -> String {
    let text = |amount: Amount| amount.formatted(paywall.currency.digits(), paywall.decimals);
    let currency = paywall.currency.upper();
    let (required, available) = (text(required), text(available));
    let cure = link.map_or_else(String::new, |link| format!(" Top up here: {}", link.url));
    format!("Not enough balance: {required} {currency} needed, {available} available.{cure}")
}

/// The refusal with 402 for want of money.
pub fn shortage(
    paywall: &Paywall,
    (required, available): (Amount, Amount),
    link: Option<&TopupLink>,
    cause: &Cause,
) -> Error {
    let message = shortage_message(paywall, (required, available), link);
    let mut more = Map::new();
    if let Some(link) = link {
        more.insert("actionUrl".to_owned(), link.url.clone().into());
    }
    more.insert("requiredAmount".to_owned(), json!(required));
    more.insert("available".to_owned(), json!(available));
    more.insert("currency".to_owned(), paywall.currency.upper().into());
    blocks::refusal(blocks::Reason::InsufficientBalance, message, cause, more)
}

fn too_little(
    short: &TooLittle,
    (paywall, style): (&Stored, BlockStyle),
    cause: &Cause,
) -> Result<Answer, Error> {
    let (amounts, link) = ((short.required, short.available), short.link.as_ref());
    if style == BlockStyle::Error {
        return Err(shortage(&paywall.paywall, amounts, link, cause));
    }
    let answer = Answer::ok(&too_little_body(short, &paywall.paywall))
        .with("x-paywall-status", "blocked")
        .with("x-paywall-reason", "insufficient_balance");
    Ok(match link {
        Some(link) => answer.with("x-paywall-action-url", &link.url),
        None => answer,
    })
}

fn too_little_body(short: &TooLittle, paywall: &Paywall) -> Value {
    let link = short.link.as_ref();
    let mut body = json!({
        "success": false,
        "message": shortage_message(paywall, (short.required, short.available), link),
        "errorCode": "insufficient_funds",
        "reason": "insufficient_balance",
        "requiredAmount": short.required,
        "available": short.available,
        "currency": paywall.currency.upper(),
        "activityId": short.entry.id(),
    });
    if let Some(link) = link {
        body["actionUrl"] = link.url.clone().into();
    }
    body
}

#[derive(Deserialize)]
struct BatchBody {
    #[serde(default)]
    charges: Vec<BatchItem>,
}

#[derive(Deserialize)]
struct BatchItem {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    amount: Raw,
    #[serde(default)]
    metadata: Raw,
    #[serde(default)]
    idempotency_key: Option<String>,
}

#[derive(Serialize)]
struct BatchAnswer {
    results: Vec<BatchResult>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum BatchResult {
    Paid(Box<Paid>),
    Refused(Value),
}

async fn batch(app: App, call: Call) -> Result<Answer, Error> {
    let body: BatchBody = object(&call)?;
    if body.charges.is_empty() || body.charges.len() > ITEMS_MAX {
        return Err(Error::invalid("charges", "must have 1 to 1,000 items"));
    }
    let (paywall, style, cause) = (call.paywall()?, block_style(&call)?, call.cause());
    let header = find_named(&call, None)?.map(|named| named.user);
    let shared =
        Shared { call: &call, paywall: &paywall, cause: &cause, route: call.keyed_route() };
    let asks = body.charges.iter().enumerate().map(|(index, item)| {
        let at = |field: &str| format!("charges[{index}].{field}");
        let named = item.user.as_deref().filter(|text| !text.is_empty());
        let named = match (named, &header) {
            (Some(text), _) => user(&at("user"), text)?,
            (None, Some(user)) => user.clone(),
            (None, None) => return Err(Error::invalid(at("user"), "names no user")),
        };
        shared.ask(item, named, at)
    });
    let asks = asks.collect::<Result<Vec<_>, _>>()?;
    let show = Show { paywall: paywall.clone(), style, cause: cause.clone() };
    let Some(key) = call.key_use(None)? else {
        let results = app.engine.charge_batch(call.scope, &paywall, asks, &cause).await?;
        return Ok(Answer::ok(&show.all(&barred_whole(results)?)));
    };
    let render = move |results: &Results| reply(200, &show.all(results));
    let work = app.engine.charge_batch_once(call.scope, &paywall, (asks, key), &cause, render);
    Ok(Answer::of(work.await?))
}

/// What the items of one call have in common.
struct Shared<'c> {
    call: &'c Call,
    paywall: &'c Arc<Stored>,
    cause: &'c Cause,
    route: String,
}

impl Shared<'_> {
    fn ask(
        &self,
        item: &BatchItem,
        user: domain::paywall::ExternalUser,
        at: impl Fn(&str) -> String,
    ) -> Result<ChargeAsk, Error> {
        let amount = amount(self.call, &at("amount"), &item.amount)?;
        let metadata = metadata(&at("metadata"), &item.metadata)?;
        let asked = format!("{user}\0{amount}\0{}", metadata.as_deref().unwrap_or_default());
        let key = self.item_key(item, &asked, at)?;
        let own = item.idempotency_key.clone();
        let cause = Cause {
            idempotency_key: own.or_else(|| self.cause.idempotency_key.clone()),
            ..self.cause.clone()
        };
        Ok(ChargeAsk { paywall: self.paywall.clone(), user, amount, metadata, key, cause })
    }

    fn item_key(
        &self,
        item: &BatchItem,
        asked: &str,
        at: impl Fn(&str) -> String,
    ) -> Result<Option<KeyUse>, Error> {
        let Some(text) = &item.idempotency_key else { return Ok(None) };
        if !is_idempotency_key(text) {
            let message = "must be 1 to 255 visible ASCII characters";
            return Err(Error::invalid(at("idempotency_key"), message));
        }
        let route = format!("{} item", self.route);
        Ok(Some(engine::idempotency::key_use(&route, text, asked.as_bytes())))
    }
}

/// How results are shown.
struct Show {
    paywall: Arc<Stored>,
    style: BlockStyle,
    cause: Cause,
}

impl Show {
    fn all(&self, results: &Results) -> BatchAnswer {
        BatchAnswer { results: results.iter().map(|result| self.one(result)).collect() }
    }

    fn one(&self, result: &Result<Charged, Error>) -> BatchResult {
        let paywall = &self.paywall.paywall;
        match result {
            Ok(Charged::Paid(moved)) => BatchResult::Paid(Box::new(Paid::of(moved))),
            Ok(Charged::TooLittle(short)) if self.style == BlockStyle::Message => {
                BatchResult::Refused(too_little_body(short, paywall))
            }
            Ok(Charged::TooLittle(short)) => {
                let (amounts, link) = ((short.required, short.available), short.link.as_ref());
                self.refused(&shortage(paywall, amounts, link, &self.cause))
            }
            Err(error) => self.refused(error),
        }
    }

    fn refused(&self, error: &Error) -> BatchResult {
        BatchResult::Refused(errors::item(error, self.cause.request.unwrap_or_default()))
    }
}
