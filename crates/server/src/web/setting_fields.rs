//! What fields each setting has, for people: labels, kinds, help. What a setting accepts is the
//! domain's to say; a field that is not named here keeps its value.

use domain::setting::Setting;
use serde_json::{Value, json};

use super::form::Form;

/// How a value is typed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Switch,
    /// From, to.
    Whole(&'static str, &'static str),
    Amount,
    Choice(&'static [(&'static str, &'static str)]),
    /// Whole numbers with commas between.
    Numbers,
    /// A threshold with the condition that all of them share.
    Level,
    Condition,
    Slabs,
}

pub struct Field {
    /// Inside the value, such as `overview.enabled`.
    pub path: &'static str,
    pub label: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

pub struct Shape {
    pub title: &'static str,
    pub about: &'static str,
    pub fields: &'static [Field],
}

const fn field(path: &'static str, label: &'static str, kind: Kind, help: &'static str) -> Field {
    Field { path, label, kind, help }
}

const TYPES: Kind =
    Kind::Choice(&[("absolute", "credits"), ("percentage", "per cent of the newest top-up")]);
const LEVELS: [&str; 3] = ["critical", "warning", "info"];

const ALERT: &[Field] = &[
    field("alert_enabled", "Tell when a balance crosses a level", Kind::Switch, ""),
    field("alert_threshold_type", "Levels are", TYPES, ""),
    field("condition", "They are crossed when the balance is", Kind::Condition, ""),
    field("critical", "Critical", Kind::Level, "Empty: no such level."),
    field("warning", "Warning", Kind::Level, "Needs critical."),
    field("info", "Info", Kind::Level, ""),
    field(
        "recovery_margin",
        "Margin before it counts as recovered",
        Kind::Amount,
        "Beyond the outermost level, in its unit. Empty: none.",
    ),
];
const BONUS: &[Field] = &[
    field("enabled", "Purchases bring a bonus", Kind::Switch, ""),
    field(
        "slabs",
        "Slabs",
        Kind::Slabs,
        "The highest one that a purchase reaches decides. A row without a threshold is left out.",
    ),
];
const LIMITS: &[Field] = &[
    field("production", "Live environments at most", Kind::Whole("0", "1000"), ""),
    field("development", "Test environments at most", Kind::Whole("0", "1000"), ""),
    field("max_users", "People at most", Kind::Whole("0", "100000"), ""),
];
const EXPIRY: &[Field] = &[
    field(
        "invoice_grace_seconds",
        "Grace after the end, in seconds",
        Kind::Whole("0", "2678400"),
        "So long the rest of an expired lot waits for invoices. 21,600 are six hours.",
    ),
    field(
        "notice_days",
        "Days before the end on which it is told",
        Kind::Numbers,
        "With commas between, such as 7, 1. Empty: not told before.",
    ),
];
const PORTAL: &[Field] = &[
    field("allow_edit_details", "Customers change their name and address", Kind::Switch, ""),
    field(
        "allow_top_up",
        "Customers top up",
        Kind::Switch,
        "On wallets of a paywall, by the paywall's own link.",
    ),
    field("allow_webhooks", "Customers see their own webhooks", Kind::Switch, ""),
    field("overview.enabled", "Overview", Kind::Switch, ""),
    field("overview.wallet_balance", "Overview: balances", Kind::Switch, ""),
    field("overview.subscriptions", "Overview: subscriptions", Kind::Switch, LATER),
    field("overview.usage_graph", "Overview: usage", Kind::Switch, LATER),
    field("credits.enabled", "Credits", Kind::Switch, ""),
    field("credits.wallet_balance", "Credits: wallets with balances", Kind::Switch, ""),
    field("credits.wallet_transactions", "Credits: transactions", Kind::Switch, ""),
    field("usage.enabled", "Usage", Kind::Switch, LATER),
    field("invoices.enabled", "Invoices", Kind::Switch, LATER),
];
const LATER: &str = "Kept, and not shown in this version.";

/// The fields of a setting.
pub const fn shape(setting: Setting) -> Shape {
    let (title, about, fields) = match setting {
        Setting::WalletBalanceAlert => {
            ("Wallet alerts", "For wallets that have no alert settings of their own.", ALERT)
        }
        Setting::BonusCreditsTopup => {
            ("Bonus of top-ups", "Credits that a purchase brings beyond what was paid.", BONUS)
        }
        Setting::Tenant => ("Limits", "Of the tenant, over all of its environments.", LIMITS),
        Setting::CreditExpiry => {
            ("Expiry of credits", "What happens around the end of a lot.", EXPIRY)
        }
        Setting::CustomerPortal => {
            ("Customer portal", "What your customers see and do there.", PORTAL)
        }
    };
    Shape { title, about, fields }
}

/// The name of a path in a form.
pub fn name_of(path: &str) -> String {
    path.replace("].", "-").replace(['.', '['], "-").replace(']', "")
}

/// What stands at a path of a value.
pub fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, name| &value[name])
}

/// The value that a form asks for: what it shows is put over what is there.
pub fn read(fields: &[Field], form: &Form, before: &Value) -> Value {
    let mut value = before.clone();
    for field in fields {
        let text = form.get(&name_of(field.path));
        let given = match field.kind {
            Kind::Switch => Some(json!(!text.is_empty())),
            Kind::Choice(_) => Some(json!(text)),
            Kind::Amount => (!text.is_empty()).then(|| json!(text)),
            Kind::Whole(..) => (!text.is_empty()).then(|| whole(&text)),
            Kind::Numbers => Some(numbers(&text)),
            Kind::Level => (!text.is_empty())
                .then(|| json!({ "threshold": text, "condition": form.get("condition") })),
            Kind::Slabs => Some(slabs(form)),
            Kind::Condition => continue,
        };
        put(&mut value, field.path, given);
    }
    value
}

/// A whole number, or the text as it is for whoever judges it.
fn whole(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
}

fn numbers(text: &str) -> Value {
    let all = text.split([',', ' ']).map(str::trim).filter(|one| !one.is_empty());
    all.map(whole).collect()
}

fn put(value: &mut Value, path: &str, given: Option<Value>) {
    let (first, rest) =
        path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    if !value.is_object() {
        *value = json!({});
    }
    let Some(object) = value.as_object_mut() else { return };
    match (rest, given) {
        (Some(rest), given) => put(object.entry(first).or_insert(json!({})), rest, given),
        (None, Some(given)) => drop(object.insert(first.to_owned(), given)),
        (None, None) => drop(object.remove(first)),
    }
}

/// Rows of slabs that a form has room for.
pub const SLABS_MAX: usize = 50;

fn slabs(form: &Form) -> Value {
    let rows = (0..SLABS_MAX).filter_map(|row| {
        let get = |name: &str| form.some(&format!("slabs-{row}-{name}"));
        let mut slab = json!({
            "threshold": get("threshold")?,
            "operator": "gte",
            "bonus": { "type": get("bonus-type"), "value": get("bonus-value").unwrap_or_default() },
        });
        if let Some(count) = get("expiration_duration") {
            slab["expiration_duration"] = whole(&count);
            slab["expiration_duration_unit"] = json!(get("expiration_duration_unit"));
        }
        Some(slab)
    });
    rows.collect()
}

/// The condition that the levels share.
pub fn condition(value: &Value) -> &str {
    LEVELS.iter().find_map(|level| value[level]["condition"].as_str()).unwrap_or("below")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form that a browser sends when nothing of the value is touched.
    fn untouched(setting: Setting, value: &Value) -> String {
        let mut pairs = vec![("condition".to_owned(), condition(value).to_owned())];
        for field in shape(setting).fields {
            let found = at(value, field.path);
            let text = match field.kind {
                Kind::Switch if found == true => "on".to_owned(),
                Kind::Switch | Kind::Slabs | Kind::Condition => continue,
                Kind::Level => super::super::parts::text(&found["threshold"]),
                Kind::Numbers => {
                    let all: Vec<String> =
                        found.as_array().into_iter().flatten().map(Value::to_string).collect();
                    all.join(", ")
                }
                Kind::Whole(..) | Kind::Amount | Kind::Choice(_) => {
                    super::super::parts::text(found)
                }
            };
            pairs.push((name_of(field.path), text));
        }
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    #[test]
    fn a_form_that_nobody_touched_saves_the_value_that_was_there() {
        for setting in Setting::ALL {
            let value = setting.default_value();
            let form = Form::of(untouched(setting, &value).as_bytes());
            let read = read(shape(setting).fields, &form, &value);
            assert_eq!(setting.read(&read), Ok(value), "{}", setting.name());
        }
    }

    #[test]
    fn slabs_levels_and_days_are_read_from_their_fields() {
        let form = Form::of(
            b"enabled=on&slabs-0-threshold=&slabs-3-threshold=100&slabs-3-bonus-type=flat\
              &slabs-3-bonus-value=5&slabs-3-expiration_duration=2&slabs-3-expiration_duration_unit=WEEK",
        );
        let bonus = read(BONUS, &form, &json!({}));
        let slab = json!({ "threshold": "100", "operator": "gte",
            "bonus": { "type": "flat", "value": "5" },
            "expiration_duration": 2, "expiration_duration_unit": "WEEK" });
        assert_eq!(bonus, json!({ "enabled": true, "slabs": [slab] }));
        assert!(Setting::BonusCreditsTopup.read(&bonus).is_ok());
        let form = Form::of(b"notice_days=30%2C+7+1&invoice_grace_seconds=soon");
        let expiry = read(EXPIRY, &form, &json!({}));
        assert_eq!(expiry, json!({ "notice_days": [30, 7, 1], "invoice_grace_seconds": "soon" }));
    }

    #[test]
    fn a_path_has_one_name_in_a_form() {
        assert_eq!(name_of("slabs[0].bonus.type"), "slabs-0-bonus-type");
        assert_eq!(name_of("overview.enabled"), "overview-enabled");
        assert_eq!(name_of("notice_days[1]"), "notice_days-1");
    }
}
