//! Making a paywall from a body, and merging a change into it.
//!
//! Both walk the leaves of the body (`payment.rail`), write each into the typed paywall, and then
//! check what holds between fields. What changed is read off the two wire shapes, so that it
//! cannot differ from what a client sees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fields::{is_read_only, section_fields, write};
use super::{Block, Fees, IdentityScope, Mode, Payment, Paywall, PaywallStatus, Rail};
use crate::amount::{Amount, NumberError};
use crate::currency::{Currency, CurrencyError};
use crate::id::PaywallId;
use crate::time::{TimeError, Timestamp};

/// What a new paywall gets that its body does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    pub id: PaywallId,
    pub at: Timestamp,
    pub livemode: bool,
    pub secret_last_four: String,
}

/// A change that really changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// With its version raised; `updated_at` is for the caller to set.
    pub next: Paywall,
    /// Dotted paths, sorted, such as `payment.topupUrl`.
    pub changed_fields: Vec<String>,
    /// One readable line for each changed part.
    pub summary_sections: Vec<String>,
}

/// Why a paywall was refused, and at which field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{param}: {problem}")]
pub struct PaywallError {
    /// Dotted path in the body; empty for the body itself.
    pub param: String,
    pub problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("the body must be a JSON object")]
    NotAnObject,
    #[error("is required")]
    Missing,
    #[error("is not a field of a paywall")]
    Unknown,
    #[error("has the wrong JSON type: {0} is expected")]
    WrongType(&'static str),
    #[error("must be one of {0}")]
    NotOneOf(&'static str),
    #[error("must have 1 to {0} characters")]
    Length(usize),
    #[error("must be at most {0} bytes of JSON")]
    TooLarge(usize),
    #[error("{0}")]
    Number(#[from] NumberError),
    #[error("{0}")]
    Currency(#[from] CurrencyError),
    #[error("{0}")]
    Zone(#[from] TimeError),
    #[error("must not be below zero")]
    Negative,
    #[error("must be at most 100")]
    AboveHundred,
    #[error(
        "must be an http or https URL in which only {{{{ user }}}} and {{{{ token }}}} are replaced"
    )]
    NotAUrl,
    #[error("is set by the server")]
    ReadOnly,
    #[error("is fixed when the paywall is made")]
    Immutable,
    #[error("is fixed when the paywall is made; copy the paywall to use another mode")]
    ModeImmutable,
    #[error("is not built in this version of Farebox")]
    NotBuilt,
}

/// The clear text of a supplied key stands in the body too, but is the caller's to read.
const KEY_FIELD: &str = "apiKey";

impl PaywallError {
    pub fn new(param: &str, problem: Problem) -> PaywallError {
        PaywallError { param: param.to_owned(), problem }
    }
}

impl Paywall {
    /// The paywall that a body makes. A supplied `apiKey` in it is passed over.
    pub fn create(body: &Value, birth: Birth) -> Result<Paywall, PaywallError> {
        let mut paywall = unwritten(birth);
        let leaves = leaves(body)?;
        for (path, value) in &leaves {
            if path == KEY_FIELD {
                continue;
            }
            if is_read_only(path) && !value.is_null() {
                return Err(PaywallError::new(path, Problem::ReadOnly));
            }
            set(&mut paywall, path, value)?;
        }
        for required in ["name", "currency"] {
            if !leaves.iter().any(|(path, value)| path == required && !value.is_null()) {
                return Err(PaywallError::new(required, Problem::Missing));
            }
        }
        if paywall.mode == Mode::Shared {
            return Err(PaywallError::new("mode", Problem::NotBuilt));
        }
        check_between_fields(&paywall)?;
        Ok(paywall)
    }

    /// The change that a body asks for, or None when it changes nothing.
    pub fn merge(&self, patch: &Value) -> Result<Option<Change>, PaywallError> {
        let mut next = self.clone();
        let before = shown(self);
        for (path, value) in leaves(patch)? {
            if is_read_only(&path) {
                let same = before.get(&path).unwrap_or(&Value::Null) == value;
                if !same {
                    return Err(PaywallError::new(&path, Problem::ReadOnly));
                }
                continue;
            }
            set(&mut next, &path, value)?;
        }
        self.check_immutable(&next)?;
        check_between_fields(&next)?;
        Ok(change(&before, next))
    }

    fn check_immutable(&self, next: &Paywall) -> Result<(), PaywallError> {
        if self.mode != next.mode {
            return Err(PaywallError::new("mode", Problem::ModeImmutable));
        }
        if self.currency != next.currency {
            return Err(PaywallError::new("currency", Problem::Immutable));
        }
        if self.decimals != next.decimals {
            return Err(PaywallError::new("decimals", Problem::Immutable));
        }
        Ok(())
    }
}

impl Change {
    /// Whether it touches the operator's fees, which only a super admin may set.
    pub fn touches_fees(&self) -> bool {
        self.changed_fields.iter().any(|path| path.starts_with("fees."))
    }
}

/// All defaults; name and currency are demanded of the body.
fn unwritten(birth: Birth) -> Paywall {
    Paywall {
        id: birth.id,
        name: String::new(),
        mode: Mode::Default,
        currency: Currency::USD,
        decimals: 6,
        timezone: "UTC".to_owned(),
        identity_scope: IdentityScope::Environment,
        overdraft: Amount::ZERO,
        fees: Fees::default(),
        payment: Payment::default(),
        block: Block::default(),
        metadata: Map::new(),
        version: 1,
        status: PaywallStatus::Active,
        created_at: birth.at,
        updated_at: birth.at,
        archived_at: None,
        archive_reason: None,
        secret_last_four: birth.secret_last_four,
        livemode: birth.livemode,
    }
}

fn set(paywall: &mut Paywall, path: &str, value: &Value) -> Result<(), PaywallError> {
    if is_read_only(path) {
        return Ok(());
    }
    write(paywall, path, value).map_err(|problem| PaywallError::new(path, problem))
}

fn check_between_fields(paywall: &Paywall) -> Result<(), PaywallError> {
    if paywall.overdraft.places() > paywall.decimals {
        let problem = NumberError::TooManyPlaces(paywall.decimals);
        return Err(PaywallError::new("overdraft", problem.into()));
    }
    if paywall.payment.rail == Rail::Stripe {
        return Err(PaywallError::new("payment.rail", Problem::NotBuilt));
    }
    Ok(())
}

/// The leaves of a body with their dotted paths. `metadata` is one leaf; null for a whole part
/// stands for null in each of its fields.
fn leaves(body: &Value) -> Result<Vec<(String, &Value)>, PaywallError> {
    let top = body.as_object().ok_or_else(|| PaywallError::new("", Problem::NotAnObject))?;
    let mut found = Vec::new();
    for (name, value) in top {
        let fields = section_fields(name);
        if value.is_null() && !fields.is_empty() {
            found.extend(fields.iter().map(|field| ((*field).to_owned(), value)));
        } else if !fields.is_empty() && !value.is_object() {
            return Err(PaywallError::new(name, Problem::WrongType("an object")));
        } else {
            collect_leaves(name.clone(), value, &mut found);
        }
    }
    Ok(found)
}

fn collect_leaves<'a>(path: String, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(members) if path != "metadata" => {
            for (name, value) in members {
                collect_leaves(format!("{path}.{name}"), value, found);
            }
        }
        _ => found.push((path, value)),
    }
}

/// The wire shape by dotted path.
fn shown(paywall: &Paywall) -> BTreeMap<String, Value> {
    let wire = serde_json::to_value(paywall).unwrap_or_default();
    let mut found = Vec::new();
    for (name, value) in wire.as_object().into_iter().flatten() {
        collect_leaves(name.clone(), value, &mut found);
    }
    found.into_iter().map(|(path, value)| (path, value.clone())).collect()
}

fn change(before: &BTreeMap<String, Value>, mut next: Paywall) -> Option<Change> {
    let after = shown(&next);
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<&String> =
        paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
    if changed.is_empty() {
        return None;
    }
    let mut sections: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in &changed {
        let section = path.split('.').next().unwrap_or_default();
        let line = summary(path, before.get(*path), after.get(*path));
        sections.entry(section).or_default().push(line);
    }
    let summary_sections = sections.into_values().map(|lines| lines.join("; ")).collect();
    let changed_fields = changed.into_iter().cloned().collect();
    next.version += 1;
    Some(Change { next, changed_fields, summary_sections })
}

fn summary(path: &str, before: Option<&Value>, after: Option<&Value>) -> String {
    if path == "metadata" {
        return "metadata changed".to_owned();
    }
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => format!("\"{text}\""),
        Some(other) => other.to_string(),
    };
    format!("{path} changed from {} to {}", text(before), text(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn create(extra: &Value) -> Result<Paywall, PaywallError> {
        let mut body = json!({"name": "Chat", "currency": "usd"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Paywall::create(&body, Birth::default())
    }

    fn paywall() -> Paywall {
        create(&json!({})).unwrap()
    }

    fn changed(patch: &Value) -> Vec<String> {
        paywall().merge(patch).unwrap().map(|change| change.changed_fields).unwrap_or_default()
    }

    #[test]
    fn a_new_paywall_has_the_published_defaults() {
        let paywall = paywall();
        assert_eq!((paywall.mode, paywall.decimals, paywall.version), (Mode::Default, 6, 1));
        assert_eq!((paywall.timezone.as_str(), paywall.overdraft), ("UTC", Amount::ZERO));
        assert_eq!(paywall.payment.rail, Rail::None);
        assert_eq!(paywall.currency.as_str(), "usd");
    }

    #[test]
    fn every_field_of_this_stage_is_read() {
        let paywall = create(&json!({
            "mode": "default", "currency": "EUR", "decimals": 9, "timezone": "Europe/Paris",
            "identityScope": "paywall", "overdraft": "2.5",
            "fees": {"processingPercent": "2.9", "processingFixed": 0.3},
            "payment": {"rail": "custom", "topupUrl": "https://a.example/{{ user }}"},
            "block": {"style": "error"}, "metadata": {"team": {"id": 7}}, "apiKey": "sk-paywalls-v1-x",
        }))
        .unwrap();
        let wire = serde_json::to_value(&paywall).unwrap();
        assert_eq!(wire["currency"], "EUR");
        assert_eq!(wire["fees"], json!({"processingPercent": "2.9", "processingFixed": "0.3"}));
        assert_eq!(wire["block"]["style"], "error");
        assert_eq!(wire["metadata"], json!({"team": {"id": 7}}));
        assert!(wire.get("apiKey").is_none());
    }

    #[test]
    fn refuses_and_names_the_field() {
        use Problem as P;
        let long = "x".repeat(101);
        let big = "x".repeat(16 * 1024);
        let places = Problem::Number(NumberError::TooManyPlaces(6));
        let table = [
            (json!({"name": null}), "name", P::Missing),
            (json!({"name": ""}), "name", P::Length(100)),
            (json!({"name": long}), "name", P::Length(100)),
            (json!({"name": 5}), "name", P::WrongType("a string")),
            (json!({"currency": null}), "currency", P::Missing),
            (json!({"currency": "xxx"}), "currency", P::Currency(CurrencyError)),
            (json!({"decimals": 7}), "decimals", P::NotOneOf("6, 9")),
            (json!({"mode": "own"}), "mode", P::NotOneOf("default, shared")),
            (json!({"mode": "shared"}), "mode", P::NotBuilt),
            (json!({"timezone": "Mars"}), "timezone", P::Zone(TimeError::UnknownZone)),
            (json!({"overdraft": "-1"}), "overdraft", P::Negative),
            (json!({"overdraft": "0.0000001"}), "overdraft", places),
            (
                json!({"fees": {"processingPercent": "101"}}),
                "fees.processingPercent",
                P::AboveHundred,
            ),
            (json!({"fees": {"percent": "1"}}), "fees.percent", P::Unknown),
            (json!({"fees": "1"}), "fees", P::WrongType("an object")),
            (json!({"payment": {"rail": "stripe"}}), "payment.rail", P::NotBuilt),
            (json!({"payment": {"topupUrl": "ftp://x"}}), "payment.topupUrl", P::NotAUrl),
            (json!({"payment": {"minAmount": "5"}}), "payment.minAmount", P::NotBuilt),
            (json!({"pricing": {"markupPercent": "20"}}), "pricing.markupPercent", P::NotBuilt),
            (json!({"trial": {"amount": "1"}}), "trial.amount", P::NotBuilt),
            (json!({"limits": {"requestsPerMinute": 5}}), "limits.requestsPerMinute", P::NotBuilt),
            (json!({"providers": {"openai": {"key": "k"}}}), "providers.openai.key", P::NotBuilt),
            (json!({"forwardUser": "hash"}), "forwardUser", P::NotBuilt),
            (json!({"metadata": []}), "metadata", P::WrongType("an object")),
            (json!({"metadata": {"k": big}}), "metadata", P::TooLarge(16_384)),
            (json!({"version": 2}), "version", P::ReadOnly),
            (json!({"colour": "red"}), "colour", P::Unknown),
        ];
        for (extra, param, problem) in table {
            let error = create(&extra).unwrap_err();
            assert_eq!((error.param.as_str(), error.problem), (param, problem), "{extra}");
        }
        let error = Paywall::create(&json!([]), Birth::default()).unwrap_err();
        assert_eq!(error.problem, P::NotAnObject);
    }

    #[test]
    fn defaults_of_later_stages_may_be_said() {
        let body = json!({
            "pricing": {"mode": "tokens", "markupPercent": "10"}, "forwardUser": "as_is",
            "trial": {"amount": 0, "requireCard": false, "budget": null}, "profile": {},
            "models": {"allow": []}, "settlement": {"mode": "immediate", "batch": 100},
            "limits": {"uncappedShare": 0.25}, "caps": null, "providers": {},
            "fallbacks": [],
        });
        assert_eq!(create(&body), Ok(paywall()));
    }

    #[test]
    fn a_change_tells_its_paths_and_parts() {
        let patch = json!({
            "name": "Chat 2", "metadata": {"a": 1},
            "payment": {"rail": "custom", "topupUrl": "https://a.example/t"},
        });
        let change = paywall().merge(&patch).unwrap().unwrap();
        let paths = ["metadata", "name", "payment.rail", "payment.topupUrl"];
        assert_eq!(change.changed_fields, paths);
        assert_eq!(
            change.summary_sections,
            [
                "metadata changed",
                "name changed from \"Chat\" to \"Chat 2\"",
                "payment.rail changed from \"none\" to \"custom\"; \
             payment.topupUrl changed from none to \"https://a.example/t\"",
            ]
        );
        assert_eq!((change.next.version, change.touches_fees()), (2, false));
    }

    #[test]
    fn merging_keeps_what_is_not_said_and_null_restores_the_default() {
        let patch = json!({"payment": {"rail": "custom", "topupUrl": "https://a.example/t"},
            "metadata": {"a": 1, "b": 2}, "overdraft": "3"});
        let first = paywall().merge(&patch).unwrap().unwrap().next;
        let patch =
            json!({"payment": {"topupUrl": null}, "metadata": {"a": null}, "overdraft": null});
        let second = first.merge(&patch).unwrap().unwrap();
        assert_eq!(second.changed_fields, ["metadata", "overdraft", "payment.topupUrl"]);
        assert_eq!(second.next.payment.rail, Rail::Custom);
        assert_eq!(Value::Object(second.next.metadata.clone()), json!({"b": 2}));
        let third =
            second.next.merge(&json!({"payment": null, "metadata": null})).unwrap().unwrap();
        assert_eq!(third.next, Paywall { version: 4, ..paywall() });
    }

    #[test]
    fn what_changes_nothing_is_no_change() {
        let whole = serde_json::to_value(paywall()).unwrap();
        for patch in [json!({}), whole, json!({"name": "Chat", "currency": "USD", "fees": {}})] {
            assert_eq!(paywall().merge(&patch), Ok(None), "{patch}");
        }
        assert!(changed(&json!({"mode": null, "decimals": null})).is_empty());
    }

    #[test]
    fn what_is_fixed_stays_fixed() {
        let table = [
            (json!({"mode": "shared"}), "mode", Problem::ModeImmutable),
            (json!({"currency": "eur"}), "currency", Problem::Immutable),
            (json!({"decimals": 9}), "decimals", Problem::Immutable),
            (json!({"id": "pw_1"}), "id", Problem::ReadOnly),
            (json!({"version": 5}), "version", Problem::ReadOnly),
            (json!({"status": "archived"}), "status", Problem::ReadOnly),
            (json!({"name": null}), "name", Problem::Missing),
            (json!({"apiKey": "x"}), "apiKey", Problem::Unknown),
        ];
        for (patch, param, problem) in table {
            assert_eq!(paywall().merge(&patch), Err(PaywallError::new(param, problem)));
        }
        let fees = json!({"fees": {"processingFixed": "1"}});
        assert!(paywall().merge(&fees).unwrap().unwrap().touches_fees());
    }
}
