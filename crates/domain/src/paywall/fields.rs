//! The fields of a paywall's body, one by one: how each is read, and which are not built yet.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::edit::Problem;
use super::topup::is_topup_url;
use super::{Fees, Paywall};
use crate::amount::Amount;
use crate::currency::Currency;
use crate::json;
use crate::time::zone_name;

const NAME_CHARS_MAX: usize = 100;
const METADATA_BYTES_MAX: usize = 16 * 1024;

const READ_ONLY: [&str; 9] = [
    "id",
    "version",
    "status",
    "createdAt",
    "updatedAt",
    "archivedAt",
    "archiveReason",
    "secretLastFour",
    "livemode",
];

/// Fields of later stages with their defaults, which may be said; any other value is refused.
/// `-` stands for none.
const LATER: [(&str, &str); 51] = [
    ("identity.requireSignedUser", "false"),
    ("forwardUser", "as_is"),
    ("payment.minAmount", "-"),
    ("payment.maxAmount", "-"),
    ("payment.presetAmounts", "[]"),
    ("payment.successUrl", "-"),
    ("payment.cancelUrl", "-"),
    ("payment.autoTopup", "-"),
    ("profile.name", "-"),
    ("profile.description", "-"),
    ("profile.iconUrl", "-"),
    ("pricing.mode", "tokens"),
    ("pricing.markupPercent", "10"),
    ("pricing.requestFee", "0"),
    ("pricing.minimumFee", "0"),
    ("pricing.overrides", "[]"),
    ("pricing.currencyRate", "-"),
    ("trial.amount", "0"),
    ("trial.expiresInDays", "-"),
    ("trial.budget", "-"),
    ("trial.requireCard", "false"),
    ("models.allow", "[]"),
    ("models.deny", "[]"),
    ("models.aliases", "[]"),
    ("limits.requestsPerSecond", "-"),
    ("limits.requestsPerMinute", "-"),
    ("limits.burst", "-"),
    ("limits.maxRequests", "-"),
    ("limits.maxRequestsPerModel", "-"),
    ("limits.concurrency", "-"),
    ("limits.maxTokensPerRequest", "-"),
    ("limits.minOutputTokens", "16"),
    ("limits.defaultOutputTokens", "4096"),
    ("limits.uncappedShare", "0.25"),
    ("limits.streamStepTokens", "4096"),
    ("limits.onShort", "clamp"),
    ("limits.drainSeconds", "30"),
    ("limits.requestSeconds", "600"),
    ("limits.firstByteSeconds", "300"),
    ("limits.idleSeconds", "120"),
    ("caps.userDay", "-"),
    ("caps.userMonth", "-"),
    ("caps.paywallDay", "-"),
    ("caps.paywallMonth", "-"),
    ("settlement.mode", "immediate"),
    ("settlement.strict", "true"),
    ("settlement.maxLease", "1"),
    ("settlement.leaseSeconds", "60"),
    ("settlement.intervalMs", "1000"),
    ("settlement.batch", "100"),
    ("privacy.storePrompts", "false"),
];

/// Whole parts of later stages, whatever stands below them.
const LATER_PARTS: [&str; 12] = [
    "block.limitStyle",
    "block.providerStyle",
    "providers",
    "fallbacks",
    "templates",
    "agents",
    "payment.autoTopup",
    "limits.maxRequestsPerModel",
    "pricing.overrides",
    "models.aliases",
    "trial.budget",
    "pricing.currencyRate",
];

pub fn is_read_only(path: &str) -> bool {
    READ_ONLY.contains(&path)
}

/// The fields of a part that null resets together; empty for what is no such part.
pub fn section_fields(name: &str) -> &'static [&'static str] {
    match name {
        "fees" => &["fees.processingPercent", "fees.processingFixed"],
        "payment" => &["payment.rail", "payment.topupUrl"],
        "block" => &["block.style"],
        _ => &[],
    }
}

/// Writes one field. Null restores its default; where a field is fixed or has none, null means
/// that nothing was said.
pub fn write(paywall: &mut Paywall, path: &str, value: &Value) -> Result<(), Problem> {
    let given = !value.is_null();
    match path {
        "name" => paywall.name = read_name(value)?,
        "mode" if given => paywall.mode = one_of(value, "default, shared")?,
        "currency" if given => paywall.currency = Currency::parse(text(value)?)?,
        "decimals" if given => paywall.decimals = read_decimals(value)?,
        "mode" | "currency" | "decimals" => {}
        "timezone" => paywall.timezone = zone_name(if given { text(value)? } else { "UTC" })?,
        "identityScope" => paywall.identity_scope = one_of(value, "environment, paywall")?,
        "overdraft" => paywall.overdraft = read_amount(value)?,
        "metadata" => merge_metadata(&mut paywall.metadata, value)?,
        "payment.rail" => paywall.payment.rail = one_of(value, "none, custom, stripe")?,
        "payment.topupUrl" => paywall.payment.topup_url = read_topup_url(value)?,
        "block.style" => paywall.block.style = one_of(value, "message, error")?,
        _ if path.starts_with("fees.") => write_fee(&mut paywall.fees, path, value)?,
        _ => refuse_later(path, value)?,
    }
    Ok(())
}

fn write_fee(fees: &mut Fees, path: &str, value: &Value) -> Result<(), Problem> {
    match path {
        "fees.processingPercent" => {
            let percent = read_amount(value)?;
            if percent > Amount::units(100) {
                return Err(Problem::AboveHundred);
            }
            fees.processing_percent = percent;
        }
        "fees.processingFixed" => fees.processing_fixed = read_amount(value)?,
        _ => return Err(Problem::Unknown),
    }
    Ok(())
}

/// A field of a later stage may be given its default, so that a client can send all it knows.
fn refuse_later(path: &str, value: &Value) -> Result<(), Problem> {
    let default = LATER.iter().find(|(known, _)| *known == path).map(|(_, default)| *default);
    let below = |part: &str| {
        path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_part = |(known, _): &(&str, &str)| known.split('.').next() == Some(path);
    let known = default.is_some()
        || LATER_PARTS.iter().any(|part| below(part))
        || LATER.iter().any(is_part);
    if !known {
        return Err(Problem::Unknown);
    }
    let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let said_nothing = empty || default.is_some_and(|default| is_default(value, default));
    if said_nothing { Ok(()) } else { Err(Problem::NotBuilt) }
}

fn is_default(value: &Value, default: &str) -> bool {
    let written = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    written == default
}

fn text(value: &Value) -> Result<&str, Problem> {
    value.as_str().ok_or(Problem::WrongType("a string"))
}

fn read_name(value: &Value) -> Result<String, Problem> {
    if value.is_null() {
        return Err(Problem::Missing);
    }
    let name = text(value)?;
    let fits = (1..=NAME_CHARS_MAX).contains(&name.trim().chars().count());
    if fits && name.chars().count() <= NAME_CHARS_MAX {
        Ok(name.to_owned())
    } else {
        Err(Problem::Length(NAME_CHARS_MAX))
    }
}

fn one_of<T: Default + for<'a> Deserialize<'a>>(
    value: &Value,
    names: &'static str,
) -> Result<T, Problem> {
    if value.is_null() {
        return Ok(T::default());
    }
    T::deserialize(value).map_err(|_| Problem::NotOneOf(names))
}

fn read_decimals(value: &Value) -> Result<u32, Problem> {
    match value.as_u64() {
        Some(6) => Ok(6),
        Some(9) => Ok(9),
        _ => Err(Problem::NotOneOf("6, 9")),
    }
}

fn read_amount(value: &Value) -> Result<Amount, Problem> {
    let amount = if value.is_null() { Amount::ZERO } else { json::amount(value)? };
    if amount.is_negative() { Err(Problem::Negative) } else { Ok(amount) }
}

fn read_topup_url(value: &Value) -> Result<Option<String>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let url = text(value)?;
    if is_topup_url(url) { Ok(Some(url.to_owned())) } else { Err(Problem::NotAUrl) }
}

/// Merges key by key: null takes a key away, and null for the whole takes all.
fn merge_metadata(metadata: &mut Map<String, Value>, value: &Value) -> Result<(), Problem> {
    if value.is_null() {
        metadata.clear();
        return Ok(());
    }
    let members = value.as_object().ok_or(Problem::WrongType("an object"))?;
    for (key, member) in members {
        if member.is_null() {
            metadata.remove(key);
        } else {
            metadata.insert(key.clone(), member.clone());
        }
    }
    let size = serde_json::to_string(metadata).map_or(usize::MAX, |text| text.len());
    if size > METADATA_BYTES_MAX { Err(Problem::TooLarge(METADATA_BYTES_MAX)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn later_fields_take_their_default_and_nothing_else() {
        for (path, default) in LATER {
            assert_eq!(refuse_later(path, &Value::Null), Ok(()), "{path}");
            assert_eq!(refuse_later(path, &json!("other")), Err(Problem::NotBuilt), "{path}");
            if default != "-" && default != "[]" {
                assert_eq!(refuse_later(path, &json!(default)), Ok(()), "{path}");
            }
        }
        assert_eq!(refuse_later("models.allow", &json!([])), Ok(()));
        assert_eq!(refuse_later("models.allow", &json!(["gpt-*"])), Err(Problem::NotBuilt));
        assert_eq!(refuse_later("templates.limitReached", &json!("x")), Err(Problem::NotBuilt));
        assert_eq!(refuse_later("providersX", &json!("x")), Err(Problem::Unknown));
        assert_eq!(refuse_later("limits.speed", &json!(1)), Err(Problem::Unknown));
    }

    #[test]
    fn a_default_is_the_same_as_a_string_or_a_number() {
        assert_eq!(refuse_later("pricing.markupPercent", &json!(10)), Ok(()));
        assert_eq!(refuse_later("trial.amount", &json!("0")), Ok(()));
        assert_eq!(refuse_later("settlement.strict", &json!(true)), Ok(()));
        assert_eq!(refuse_later("settlement.strict", &json!(false)), Err(Problem::NotBuilt));
    }
}
