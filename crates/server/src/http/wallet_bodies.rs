//! The bodies of the wallet routes, read whole before anything happens (billing 4.1, 4.7, 4.9).

use domain::alert::settings::Settings;
use domain::amount::{Amount, Rate};
use domain::currency::Currency;
use domain::id::WalletId;
use domain::ledger::entry::{KeyUse, Reason};
use domain::time::Timestamp;
use domain::wallet::patch::{AutoTopupPatch, WalletPatch};
use domain::wallet::{CooldownUnit, PriceType, WalletType};
use engine::Error;
use engine::wallets::create::{Holder, NewWallet};
use engine::wallets::debit::DebitAsk;
use engine::wallets::topup::{Expiry, TopupAsk};
use serde_json::Value;

use super::fields::Fields;

const TOPUPS_PER_DAY_MAX: i64 = 100;

/// Reasons that a top-up may give.
const TOPUP_REASONS: [Reason; 6] = [
    Reason::FreeCreditGrant,
    Reason::PurchasedCreditInvoiced,
    Reason::PurchasedCreditDirect,
    Reason::SubscriptionCreditGrant,
    Reason::CreditNote,
    Reason::InvoiceVoidRefund,
];

pub fn new_wallet(fields: &mut Fields) -> Result<NewWallet, Error> {
    if fields.text("price_unit")?.is_some_and(|code| !code.is_empty()) {
        return Err(Error::not_built("price_unit"));
    }
    let holder = Holder {
        id: fields.id("customer_id", "customer")?,
        external_id: fields.text("external_customer_id")?.filter(|text| !text.is_empty()),
    };
    let currency = fields.required_text("currency")?;
    let currency = Currency::parse(&currency).map_err(|error| fields.refuse("currency", error))?;
    let types = "PRE_PAID or POST_PAID";
    let wallet_type = fields.parsed("wallet_type", types, wallet_type)?;
    Ok(NewWallet {
        holder,
        currency,
        name: fields.text("name")?.filter(|text| !text.is_empty()),
        description: fields.text("description")?.unwrap_or_default(),
        metadata: fields.texts_by_key("metadata")?.unwrap_or_default(),
        wallet_type: wallet_type.unwrap_or(WalletType::PrePaid),
        conversion_rate: fields.rate("conversion_rate")?.unwrap_or(Rate::ONE),
        topup_conversion_rate: fields.rate("topup_conversion_rate")?,
        allowed_price_types: price_types(fields)?,
        auto_topup: auto_topup(fields)?,
        alert_settings: fields.take("alert_settings").map(|value| settings(&value)).transpose()?,
        overdraft_limit: overdraft(fields)?.unwrap_or_default(),
        initial_credits: initial_credits(fields)?,
        initial_expiry: expiry(
            fields,
            "initial_credits_to_load_expiry_date",
            &["initial_credits_expiry_date_utc"],
        )?,
    })
}

/// Clients send "0" where they mean none.
fn initial_credits(fields: &mut Fields) -> Result<Option<Amount>, Error> {
    let name = "initial_credits_to_load";
    match fields.amount(name)? {
        Some(credits) if credits.is_negative() => {
            Err(fields.refuse(name, "must be greater than zero"))
        }
        credits => Ok(credits.filter(|credits| credits.is_positive())),
    }
}

pub fn wallet_patch(fields: &mut Fields) -> Result<WalletPatch, Error> {
    let name = fields.text("name")?;
    if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        return Err(fields.refuse("name", "must not be empty"));
    }
    let alert_settings = match fields.take_raw("alert_settings") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(value) => Some(Some(settings(&value)?)),
    };
    Ok(WalletPatch {
        name,
        description: fields.text("description")?,
        metadata: fields.texts_by_key("metadata")?,
        auto_topup: auto_topup(fields)?,
        allowed_price_types: price_types(fields)?,
        alert_settings,
        overdraft_limit: overdraft(fields)?,
    })
}

pub fn topup(
    fields: &mut Fields,
    wallet: WalletId,
    key: Option<KeyUse>,
) -> Result<TopupAsk, Error> {
    let reason = fields.required_text("transaction_reason")?;
    let reason = Reason::parse(&reason).filter(|reason| TOPUP_REASONS.contains(reason));
    let reason = reason.ok_or_else(|| {
        let names: Vec<&str> = TOPUP_REASONS.iter().map(|reason| reason.name()).collect();
        fields.refuse("transaction_reason", format!("must be one of {}", names.join(", ")))
    })?;
    if reason == Reason::PurchasedCreditInvoiced {
        return Err(Error::not_built("a top-up with an invoice"));
    }
    if fields.take("checkout").is_some() {
        return Err(Error::not_built("checkout"));
    }
    fields.flag("force_sync_invoice")?;
    let bonus_credits = fields.positive("bonus_credits_to_add")?;
    if bonus_credits.is_some() && reason != Reason::PurchasedCreditDirect {
        return Err(fields.refuse("bonus_credits_to_add", "comes only with a purchase"));
    }
    Ok(TopupAsk {
        wallet,
        credits: fields.positive("credits_to_add")?,
        amount: fields.positive("amount")?,
        reason,
        expiry: expiry(fields, "expiry_date", &["expiry_date_utc"])?,
        priority: priority(fields)?,
        description: fields.text("description")?,
        metadata: fields.texts_by_key("metadata")?.unwrap_or_default(),
        bonus_credits,
        bonus_expiry: expiry(
            fields,
            "",
            &["bonus_credits_expiry_date_utc", "bonus_expiry_date_utc"],
        )?,
        key,
    })
}

pub fn debit(
    fields: &mut Fields,
    wallet: WalletId,
    key: Option<KeyUse>,
) -> Result<DebitAsk, Error> {
    let credits = fields.positive("credits")?;
    let credits = credits.ok_or_else(|| fields.refuse("credits", "is required"))?;
    let reason = fields.required_text("transaction_reason")?;
    if reason != Reason::ManualBalanceDebit.name() {
        return Err(fields.refuse("transaction_reason", "must be MANUAL_BALANCE_DEBIT"));
    }
    if key.is_none() {
        return Err(fields.refuse("idempotency_key", "is required"));
    }
    Ok(DebitAsk {
        wallet,
        credits,
        description: fields.text("description")?,
        metadata: fields.texts_by_key("metadata")?.unwrap_or_default(),
        key,
    })
}

fn wallet_type(text: &str) -> Option<WalletType> {
    match text {
        "PRE_PAID" => Some(WalletType::PrePaid),
        "POST_PAID" => Some(WalletType::PostPaid),
        _ => None,
    }
}

fn priority(fields: &mut Fields) -> Result<Option<i64>, Error> {
    match fields.whole("priority")? {
        Some(priority) if priority < 0 => Err(fields.refuse("priority", "must not be below 0")),
        priority => Ok(priority),
    }
}

fn overdraft(fields: &mut Fields) -> Result<Option<Amount>, Error> {
    match fields.amount("overdraft_limit")? {
        Some(limit) if limit.is_negative() => {
            Err(fields.refuse("overdraft_limit", "must not be below 0"))
        }
        limit => Ok(limit),
    }
}

/// When credits end: a day as YYYYMMDD, or an instant under one of its names. Where several are
/// given they must agree.
fn expiry(
    fields: &mut Fields,
    day: &'static str,
    instants: &[&'static str],
) -> Result<Option<Expiry>, Error> {
    let mut found: Option<Expiry> = None;
    let date = if day.is_empty() { None } else { fields.whole(day)? };
    let date = date.map(Timestamp::from_yyyymmdd).transpose();
    let date = date.map_err(|error| fields.refuse(day, error))?;
    let mut given: Vec<(&'static str, Option<Timestamp>)> = vec![(day, date)];
    for name in instants {
        given.push((name, fields.time(name)?));
    }
    for (field, at) in given {
        let Some(at) = at else { continue };
        if found.is_some_and(|before| before.at != at) {
            return Err(fields.refuse(field, "is not the same instant as the other expiry"));
        }
        found = Some(Expiry { at, field });
    }
    Ok(found)
}

fn price_types(fields: &mut Fields) -> Result<Option<Vec<PriceType>>, Error> {
    let Some(mut config) = fields.object("config")? else { return Ok(None) };
    let names = config.texts("allowed_price_types")?;
    let read = |name: &String| match name.as_str() {
        "ALL" => Ok(PriceType::All),
        "USAGE" => Ok(PriceType::Usage),
        "FIXED" => Ok(PriceType::Fixed),
        _ => Err(config.refuse("allowed_price_types", "takes ALL, USAGE and FIXED")),
    };
    let types = names.map(|names| names.iter().map(read).collect::<Result<Vec<_>, _>>());
    let types = types.transpose()?;
    fields.done(config);
    Ok(types)
}

fn settings(value: &Value) -> Result<Settings, Error> {
    Settings::from_json(value).map_err(|error| {
        let message = error.to_string();
        Error::invalid(error.field, message)
    })
}

fn auto_topup(fields: &mut Fields) -> Result<Option<AutoTopupPatch>, Error> {
    let Some(mut plan) = fields.object("auto_topup")? else { return Ok(None) };
    let patch = AutoTopupPatch {
        enabled: plan.flag("enabled")?,
        threshold: plan.amount("threshold")?,
        amount: plan.positive("amount")?,
        invoicing: plan.flag("invoicing")?,
        cooldown: cooldown(&mut plan)?,
        max_per_day: max_per_day(&mut plan)?,
        max_amount_per_day: plan.positive("max_amount_per_day")?,
    };
    if patch.invoicing == Some(true) {
        return Err(Error::not_built("auto_topup.invoicing"));
    }
    match plan.text("collection")?.as_deref() {
        None | Some("external") => {}
        Some("charge") => return Err(Error::not_built("auto_topup.collection charge")),
        Some(_) => return Err(plan.refuse("collection", "must be external or charge")),
    }
    fields.done(plan);
    Ok(Some(patch))
}

fn cooldown(plan: &mut Fields) -> Result<Option<(u32, CooldownUnit)>, Error> {
    let Some(mut cooldown) = plan.object("cooldown")? else { return Ok(None) };
    let value = cooldown.whole("value")?.and_then(|value| u32::try_from(value).ok());
    let value =
        value.ok_or_else(|| cooldown.refuse("value", "must be a whole number, 0 or more"))?;
    let unit = cooldown.parsed("unit", "second, minute, hour or day", cooldown_unit)?;
    let unit = match unit {
        Some(unit) => unit,
        None if value == 0 => CooldownUnit::Second,
        None => return Err(cooldown.refuse("unit", "is required")),
    };
    plan.done(cooldown);
    Ok(Some((value, unit)))
}

fn cooldown_unit(text: &str) -> Option<CooldownUnit> {
    match text {
        "second" => Some(CooldownUnit::Second),
        "minute" => Some(CooldownUnit::Minute),
        "hour" => Some(CooldownUnit::Hour),
        "day" => Some(CooldownUnit::Day),
        _ => None,
    }
}

fn max_per_day(plan: &mut Fields) -> Result<Option<u32>, Error> {
    let Some(most) = plan.whole("max_per_day")? else { return Ok(None) };
    let inside = (1..=TOPUPS_PER_DAY_MAX).contains(&most);
    let most = u32::try_from(most).ok().filter(|_| inside);
    let message = format!("must be 1 to {TOPUPS_PER_DAY_MAX}");
    most.map(Some).ok_or_else(|| plan.refuse("max_per_day", message))
}
