//! Making a paywall from a body, and merging a change into it.
//!
//! Both walk the leaves of the body (`payment.rail`), write each into the typed paywall, and then
//! check what holds between fields. What changed is read off the two wire shapes, so that it
//! cannot differ from what a client sees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fields::{TRIAL_GRANTED, is_map, is_read_only, section_fields, write};
use super::{
    Block, Caps, Fees, ForwardUser, IdentityScope, Limits, Mode, Models, Payment, Paywall,
    PaywallStatus, Privacy, Rail, Settlement, Templates, Trial,
};
use crate::amount::{Amount, NumberError};
use crate::currency::{Currency, CurrencyError};
use crate::id::PaywallId;
use crate::proxy::template::TemplateError;
use crate::proxy::{PriceProblem, Pricing};
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
    #[error("{0}")]
    Template(#[from] TemplateError),
    #[error("must not be below zero")]
    Negative,
    #[error("must be a whole number from {0} to {1}")]
    NotWhole(u64, u64),
    #[error("must be at most 1")]
    AboveOne,
    #[error("must have at most {0} entries")]
    TooMany(usize),
    #[error("must be the id of a model, such as \"gpt-5\"; in lists it may end in *")]
    NotAModel,
    #[error("must be 1 to 4,096 visible ASCII characters")]
    NotAKey,
    #[error("must be at most 10 headers that the proxy does not set itself, in plain text")]
    NotHeaders,
    #[error("must not contain a URL")]
    HasUrl,
    #[error("has a route of its own: use /v1/paywalls/{{id}}/{0}")]
    OwnRoute(&'static str),
    #[error("must be at most 100")]
    AboveHundred,
    #[error(
        "must be an http or https URL in which only {{{{ user }}}} and {{{{ token }}}} are replaced"
    )]
    NotAUrl,
    #[error("{0}")]
    Price(PriceProblem),
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

    /// The same error, told from one level further out.
    #[must_use]
    pub fn under(self, part: &str) -> PaywallError {
        let param = match self.param.as_str() {
            "" => part.to_owned(),
            below => format!("{part}.{below}"),
        };
        PaywallError { param, ..self }
    }
}

impl From<Problem> for PaywallError {
    fn from(problem: Problem) -> PaywallError {
        PaywallError::new("", problem)
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
                let shown = before.get(&path).unwrap_or(&Value::Null);
                let same = shown == value || path == TRIAL_GRANTED;
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

    /// The change that puts `parts` in place of what stands at the named parts. The body is judged
    /// as a patch is, so that only its own fields can be in it.
    pub(super) fn put(&self, parts: &[&str], body: &Value) -> Result<Option<Change>, PaywallError> {
        let mut next = self.clone();
        for path in parts.iter().flat_map(|part| section_fields(part)) {
            set(&mut next, path, &Value::Null)?;
        }
        for (path, value) in leaves(body)? {
            set(&mut next, &path, value)?;
        }
        check_between_fields(&next)?;
        Ok(change(&shown(self), next))
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
    /// Something that belongs to the paywall and is not kept in it changed: (path, readable line).
    pub fn beside(paywall: Paywall, (path, line): (String, String)) -> Change {
        let next = Paywall { version: paywall.version + 1, ..paywall };
        Change { next, changed_fields: vec![path], summary_sections: vec![line] }
    }

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
        forward_user: ForwardUser::AsIs,
        fees: Fees::default(),
        payment: Payment::default(),
        pricing: Pricing::default(),
        trial: Trial::default(),
        models: Models::default(),
        limits: Limits::default(),
        caps: Caps::default(),
        settlement: Settlement::default(),
        block: Block::default(),
        templates: Templates::default(),
        privacy: Privacy::default(),
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
    write(paywall, path, value).map_err(|error| error.under(path))
}

fn check_between_fields(paywall: &Paywall) -> Result<(), PaywallError> {
    let amounts = [
        ("overdraft", Some(paywall.overdraft)),
        ("trial.amount", Some(paywall.trial.amount)),
        ("trial.budget", paywall.trial.budget),
        ("pricing.requestFee", Some(paywall.pricing.request_fee)),
        ("pricing.minimumFee", Some(paywall.pricing.minimum_fee)),
    ];
    for (path, amount) in amounts {
        if amount.is_some_and(|amount| amount.places() > paywall.decimals) {
            let problem = NumberError::TooManyPlaces(paywall.decimals);
            return Err(PaywallError::new(path, problem.into()));
        }
    }
    let custom = &paywall.templates.custom_response;
    if custom.enabled && custom.url.is_none() {
        return Err(PaywallError::new("templates.customResponse.url", Problem::Missing));
    }
    let not_built = [
        ("payment.rail", paywall.payment.rail == Rail::Stripe),
        ("trial.requireCard", paywall.trial.require_card),
    ];
    match not_built.iter().find(|(_, asked)| *asked) {
        Some((path, _)) => Err(PaywallError::new(path, Problem::NotBuilt)),
        None => Ok(()),
    }
}

/// The leaves of a body with their dotted paths. A map is one leaf; null for a whole part stands
/// for null in each of its fields.
fn leaves(body: &Value) -> Result<Vec<(String, &Value)>, PaywallError> {
    let top = body.as_object().ok_or_else(|| PaywallError::new("", Problem::NotAnObject))?;
    let mut found = Vec::new();
    for (name, value) in top {
        collect_leaves(name.clone(), value, &mut found)?;
    }
    Ok(found)
}

fn collect_leaves<'a>(
    path: String,
    value: &'a Value,
    found: &mut Vec<(String, &'a Value)>,
) -> Result<(), PaywallError> {
    let fields = section_fields(&path);
    match value {
        _ if is_map(&path) => found.push((path, value)),
        Value::Object(members) if !members.is_empty() || !fields.is_empty() => {
            for (name, value) in members {
                collect_leaves(format!("{path}.{name}"), value, found)?;
            }
        }
        Value::Null if !fields.is_empty() => {
            found.extend(fields.into_iter().map(|field| (field.to_owned(), value)));
        }
        _ if !fields.is_empty() => {
            return Err(PaywallError::new(&path, Problem::WrongType("an object")));
        }
        _ => found.push((path, value)),
    }
    Ok(())
}

/// The wire shape by dotted path.
fn shown(paywall: &Paywall) -> BTreeMap<String, Value> {
    let wire = serde_json::to_value(paywall).unwrap_or_default();
    let found = leaves(&wire).unwrap_or_default();
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
    fn refuses_settings_of_the_proxy_and_names_the_field() {
        use Problem as P;
        let places = Problem::Number(NumberError::TooManyPlaces(6));
        let table = [
            (
                json!({"pricing": {"markupPercent": "-101"}}),
                "pricing.markupPercent",
                P::Price(PriceProblem::BelowMinusHundred),
            ),
            (
                json!({"pricing": {"overrides": {"gpt-4.1": {"prompt": "-1"}}}}),
                "pricing.overrides.gpt-4.1.prompt",
                P::Price(PriceProblem::Negative),
            ),
            (json!({"pricing": {"requestFee": "0.0000001"}}), "pricing.requestFee", places),
            (
                json!({"pricing": {"speed": 1}}),
                "pricing.speed",
                P::Price(PriceProblem::NoSuchField),
            ),
            (json!({"trial": {"amount": "-1"}}), "trial.amount", P::Negative),
            (json!({"trial": {"amount": "0.0000001"}}), "trial.amount", places),
            (json!({"trial": {"expiresInDays": 0}}), "trial.expiresInDays", P::NotWhole(1, 36_500)),
            (json!({"trial": {"requireCard": true}}), "trial.requireCard", P::NotBuilt),
            (
                json!({"limits": {"requestsPerSecond": 0}}),
                "limits.requestsPerSecond",
                P::NotWhole(1, 1_000_000),
            ),
            (
                json!({"limits": {"maxRequestsPerModel": {"gpt-4.1": -1}}}),
                "limits.maxRequestsPerModel.gpt-4.1",
                P::NotWhole(0, 1_000_000_000),
            ),
            (json!({"limits": {"uncappedShare": "1.1"}}), "limits.uncappedShare", P::AboveOne),
            (json!({"limits": {"onShort": "cut"}}), "limits.onShort", P::NotOneOf("clamp, block")),
            (json!({"limits": {"speed": 1}}), "limits.speed", P::Unknown),
            (json!({"limits": 5}), "limits", P::WrongType("an object")),
            (json!({"caps": {"userDay": "-0.1"}}), "caps.userDay", P::Negative),
        ];
        for (extra, param, problem) in table {
            let error = create(&extra).unwrap_err();
            assert_eq!((error.param.as_str(), error.problem), (param, problem), "{extra}");
        }
    }

    #[test]
    fn refuses_lists_styles_and_templates_and_names_the_field() {
        use Problem as P;
        let table = [
            (json!({"settlement": {"batch": 0}}), "settlement.batch", P::NotWhole(1, 10_000)),
            (json!({"models": {"allow": ["gpt-5", "a*b"]}}), "models.allow.1", P::NotAModel),
            (json!({"models": {"deny": "x"}}), "models.deny", P::WrongType("a list of strings")),
            (
                json!({"models": {"aliases": {"fast": "gpt-*"}}}),
                "models.aliases.fast",
                P::NotAModel,
            ),
            (
                json!({"block": {"limitStyle": "loud"}}),
                "block.limitStyle",
                P::NotOneOf("message, error"),
            ),
            (
                json!({"templates": {"customResponse": {"timeoutMs": 5001}}}),
                "templates.customResponse.timeoutMs",
                P::NotWhole(1, 5_000),
            ),
            (
                json!({"templates": {"customResponse": {"enabled": true}}}),
                "templates.customResponse.url",
                P::Missing,
            ),
            (
                json!({"templates": {"customResponse": "x"}}),
                "templates.customResponse",
                P::WrongType("an object"),
            ),
            (
                json!({"privacy": {"storePrompts": "yes"}}),
                "privacy.storePrompts",
                P::WrongType("true or false"),
            ),
            (json!({"providers": {"openai": {"key": "k"}}}), "providers", P::OwnRoute("providers")),
            (json!({"fallbacks": {"gpt-5": []}}), "fallbacks", P::NotBuilt),
            (json!({"forwardUser": "all"}), "forwardUser", P::NotOneOf("as_is, hash, drop")),
            (json!({"name": "see http://x.example"}), "name", P::HasUrl),
        ];
        for (extra, param, problem) in table {
            let error = create(&extra).unwrap_err();
            assert_eq!((error.param.as_str(), error.problem), (param, problem), "{extra}");
        }
    }

    #[test]
    fn every_default_may_be_said() {
        let body = json!({
            "pricing": {"mode": "tokens", "markupPercent": 10, "overrides": []},
            "forwardUser": "as_is", "identity": {"requireSignedUser": false}, "profile": {},
            "trial": {"amount": 0, "requireCard": false, "budget": null},
            "models": {"allow": [], "aliases": []}, "privacy": {"storePrompts": false},
            "settlement": {"mode": "immediate", "strict": true, "maxLease": "1",
                "leaseSeconds": 60, "intervalMs": 1000, "batch": 100},
            "limits": {"minOutputTokens": 16, "defaultOutputTokens": 4096, "uncappedShare": 0.25,
                "streamStepTokens": 4096, "onShort": "clamp", "drainSeconds": 30,
                "requestSeconds": 600, "firstByteSeconds": 300, "idleSeconds": 120},
            "block": {"style": "message", "limitStyle": null, "providerStyle": "error"},
            "templates": {"customResponse": {"timeoutMs": 2000, "enabled": false}},
            "caps": null, "providers": {}, "fallbacks": [],
        });
        assert_eq!(create(&body), Ok(paywall()));
    }

    #[test]
    fn a_paywall_that_was_stored_before_these_parts_still_loads() {
        let mut wire = serde_json::to_value(paywall()).unwrap();
        let parts = ["forwardUser", "trial", "models", "limits", "caps", "settlement", "templates"];
        for part in parts.iter().chain(&["privacy", "pricing"]) {
            wire.as_object_mut().unwrap().remove(*part);
        }
        wire["block"] = json!({"style": "message"});
        assert_eq!(serde_json::from_value::<Paywall>(wire).unwrap(), paywall());
    }

    #[test]
    fn maps_are_merged_by_their_keys_and_told_as_one_field() {
        let patch = json!({"limits": {"maxRequestsPerModel": {"gpt-4.1": 5, "gpt-5": 1}},
            "models": {"aliases": {"fast": "gpt-5-mini"}}});
        let change = paywall().merge(&patch).unwrap().unwrap();
        assert_eq!(change.changed_fields, ["limits.maxRequestsPerModel", "models.aliases"]);
        let patch = json!({"limits": {"maxRequestsPerModel": {"gpt-5": null}}, "models": null,
            "pricing": {"overrides": {"a": {"prompt": "1"}, "b": {"prompt": "2"}}}});
        let next = change.next.merge(&patch).unwrap().unwrap().next;
        let patch = json!({"pricing": {"overrides": {"a": null, "b": {"completion": "3"}}}});
        let last = next.merge(&patch).unwrap().unwrap();
        assert_eq!(last.changed_fields, ["pricing.overrides"]);
        let overrides = serde_json::to_value(&last.next.pricing.overrides).unwrap();
        assert_eq!(overrides, json!({"b": {"completion": "3"}}));
        assert_eq!(next.limits.max_requests_per_model, [("gpt-4.1".to_owned(), 5)].into());
        assert_eq!(next.models, Models::default());
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
