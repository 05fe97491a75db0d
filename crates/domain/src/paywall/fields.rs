//! The fields of a paywall's body, one by one: how each is read, and which are not built yet.

mod limits;
mod proxy;
mod read;

use serde_json::{Map, Value};

use self::read::amount;
use self::read::one_of;
pub use self::read::{count, merge_by_model, model, one_of_or_none, text};
use super::edit::{PaywallError, Problem};
use super::topup::is_topup_url;
use super::{Fees, Paywall};
use crate::amount::Amount;
use crate::currency::Currency;
use crate::time::zone_name;

const NAME_CHARS_MAX: usize = 100;
const METADATA_BYTES_MAX: usize = 16 * 1024;

const READ_ONLY: [&str; 10] = [
    "id",
    "version",
    "status",
    "createdAt",
    "updatedAt",
    "archivedAt",
    "archiveReason",
    "secretLastFour",
    "livemode",
    TRIAL_GRANTED,
];

/// A figure that is shown with the paywall and is not kept in it.
pub const TRIAL_GRANTED: &str = "trialGranted";

/// Every field that may be written, by its dotted path. A map is one field.
const WRITABLE: [&str; 63] = [
    "name",
    "mode",
    "currency",
    "decimals",
    "timezone",
    "identityScope",
    "forwardUser",
    "overdraft",
    "fees.processingPercent",
    "fees.processingFixed",
    "payment.rail",
    "payment.topupUrl",
    "pricing.mode",
    "pricing.markupPercent",
    "pricing.requestFee",
    "pricing.minimumFee",
    "pricing.overrides",
    "pricing.currencyRate",
    "trial.amount",
    "trial.expiresInDays",
    "trial.budget",
    "trial.requireCard",
    "models.allow",
    "models.deny",
    "models.aliases",
    "limits.requestsPerSecond",
    "limits.requestsPerMinute",
    "limits.burst",
    "limits.maxRequests",
    "limits.maxRequestsPerModel",
    "limits.concurrency",
    "limits.maxTokensPerRequest",
    "limits.minOutputTokens",
    "limits.defaultOutputTokens",
    "limits.uncappedShare",
    "limits.streamStepTokens",
    "limits.onShort",
    "limits.drainSeconds",
    "limits.requestSeconds",
    "limits.firstByteSeconds",
    "limits.idleSeconds",
    "caps.userDay",
    "caps.userMonth",
    "caps.paywallDay",
    "caps.paywallMonth",
    "settlement.mode",
    "settlement.strict",
    "settlement.maxLease",
    "settlement.leaseSeconds",
    "settlement.intervalMs",
    "settlement.batch",
    "block.style",
    "block.limitStyle",
    "block.providerStyle",
    "templates.authorizationRequired",
    "templates.insufficientFunds",
    "templates.modelUnavailable",
    "templates.limitReached",
    "templates.customResponse.url",
    "templates.customResponse.timeoutMs",
    "templates.customResponse.enabled",
    "privacy.storePrompts",
    "metadata",
];

/// Fields of later stages with their defaults, which may be said; any other value is refused.
/// `-` stands for none.
const LATER: [(&str, &str); 9] = [
    ("identity.requireSignedUser", "false"),
    ("payment.minAmount", "-"),
    ("payment.maxAmount", "-"),
    ("payment.presetAmounts", "[]"),
    ("payment.successUrl", "-"),
    ("payment.cancelUrl", "-"),
    ("profile.name", "-"),
    ("profile.description", "-"),
    ("profile.iconUrl", "-"),
];

/// Whole parts of later stages, whatever stands below them.
const LATER_PARTS: [&str; 3] = ["fallbacks", "agents", "payment.autoTopup"];

/// Maps whose keys the owner chooses: each is one field.
const MAPS: [&str; 6] = [
    "metadata",
    "models.aliases",
    "limits.maxRequestsPerModel",
    "pricing.overrides",
    "providers",
    "fallbacks",
];

pub fn is_read_only(path: &str) -> bool {
    READ_ONLY.contains(&path)
}

/// Whether everything below a path is one field.
pub fn is_map(path: &str) -> bool {
    MAPS.contains(&path)
}

/// The fields below a part, which null resets together; none for what is no part.
pub fn section_fields(part: &str) -> Vec<&'static str> {
    WRITABLE.into_iter().filter(|path| is_below(path, part)).collect()
}

fn is_below(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.starts_with('.'))
}

/// Writes one field. Null restores its default; where a field is fixed or has none, null means
/// that nothing was said.
pub fn write(paywall: &mut Paywall, path: &str, value: &Value) -> Result<(), PaywallError> {
    let section = path.split_once('.').map_or("", |(section, _)| section);
    match section {
        "fees" => write_fee(&mut paywall.fees, path, value)?,
        "pricing" => proxy::write_pricing(&mut paywall.pricing, path, value)?,
        "trial" => limits::write_trial(&mut paywall.trial, path, value)?,
        "models" => proxy::write_models(&mut paywall.models, path, value)?,
        "limits" => limits::write_limit(&mut paywall.limits, path, value)?,
        "caps" => limits::write_cap(&mut paywall.caps, path, value)?,
        "settlement" => limits::write_settlement(&mut paywall.settlement, path, value)?,
        "block" => proxy::write_block(&mut paywall.block, path, value)?,
        "templates" => proxy::write_template(&mut paywall.templates, path, value)?,
        "privacy" => proxy::write_privacy(&mut paywall.privacy, path, value)?,
        _ => write_other(paywall, path, value)?,
    }
    Ok(())
}

fn write_other(paywall: &mut Paywall, path: &str, value: &Value) -> Result<(), Problem> {
    let given = !value.is_null();
    match path {
        "name" => paywall.name = read_name(value)?,
        "mode" if given => paywall.mode = one_of(value, "default, shared")?,
        "currency" if given => paywall.currency = Currency::parse(text(value)?)?,
        "decimals" if given => paywall.decimals = read_decimals(value)?,
        "providers" if !is_empty(value) => return Err(Problem::OwnRoute("providers")),
        "mode" | "currency" | "decimals" | "providers" => {}
        "timezone" => paywall.timezone = zone_name(if given { text(value)? } else { "UTC" })?,
        "identityScope" => paywall.identity_scope = one_of(value, "environment, paywall")?,
        "forwardUser" => paywall.forward_user = one_of(value, "as_is, hash, drop")?,
        "overdraft" => paywall.overdraft = amount(value)?,
        "metadata" => merge_metadata(&mut paywall.metadata, value)?,
        "payment.rail" => paywall.payment.rail = one_of(value, "none, custom, stripe")?,
        "payment.topupUrl" => paywall.payment.topup_url = read_topup_url(value)?,
        _ => refuse_later(path, value)?,
    }
    Ok(())
}

fn write_fee(fees: &mut Fees, path: &str, value: &Value) -> Result<(), Problem> {
    match path {
        "fees.processingPercent" => {
            let percent = amount(value)?;
            if percent > Amount::units(100) {
                return Err(Problem::AboveHundred);
            }
            fees.processing_percent = percent;
        }
        "fees.processingFixed" => fees.processing_fixed = amount(value)?,
        _ => return Err(Problem::Unknown),
    }
    Ok(())
}

/// A field of a later stage may be given its default, so that a client can send all it knows.
fn refuse_later(path: &str, value: &Value) -> Result<(), Problem> {
    let default = LATER.iter().find(|(known, _)| *known == path).map(|(_, default)| *default);
    let is_part = |part: &str| path == part || is_below(path, part);
    let known = default.is_some()
        || LATER_PARTS.into_iter().any(is_part)
        || LATER.iter().any(|(known, _)| is_below(known, path));
    if !known {
        return Err(Problem::Unknown);
    }
    let said_nothing = is_empty(value) || default.is_some_and(|default| is_default(value, default));
    if said_nothing { Ok(()) } else { Err(Problem::NotBuilt) }
}

fn is_empty(value: &Value) -> bool {
    let empty_list = value.as_array().is_some_and(Vec::is_empty);
    value.is_null() || empty_list || value.as_object().is_some_and(Map::is_empty)
}

fn is_default(value: &Value, default: &str) -> bool {
    let written = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    written == default
}

fn read_name(value: &Value) -> Result<String, Problem> {
    if value.is_null() {
        return Err(Problem::Missing);
    }
    let name = text(value)?;
    // A name stands in answers to users, where nothing of it may look like a link.
    if name.contains("://") {
        return Err(Problem::HasUrl);
    }
    let fits = (1..=NAME_CHARS_MAX).contains(&name.trim().chars().count());
    if fits && name.chars().count() <= NAME_CHARS_MAX {
        Ok(name.to_owned())
    } else {
        Err(Problem::Length(NAME_CHARS_MAX))
    }
}

fn read_decimals(value: &Value) -> Result<u32, Problem> {
    match value.as_u64() {
        Some(6) => Ok(6),
        Some(9) => Ok(9),
        _ => Err(Problem::NotOneOf("6, 9")),
    }
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
        assert_eq!(refuse_later("fallbacks", &json!({})), Ok(()));
        assert_eq!(refuse_later("fallbacks", &json!({"gpt-5": []})), Err(Problem::NotBuilt));
        assert_eq!(refuse_later("profile", &Value::Null), Ok(()));
        assert_eq!(refuse_later("agentsX", &json!("x")), Err(Problem::Unknown));
    }

    #[test]
    fn null_restores_the_default_of_every_field() {
        let fresh = crate::paywall::tests::paywall();
        let fixed = ["name", "mode", "currency", "decimals"];
        for path in WRITABLE.into_iter().filter(|path| !fixed.contains(path)) {
            let mut paywall = fresh.clone();
            assert_eq!(write(&mut paywall, path, &Value::Null), Ok(()), "{path}");
            assert_eq!(paywall, fresh, "{path}");
        }
    }
}
