//! Settings of an environment: their names, their defaults, and what each accepts (billing 2.3).
//!
//! A value is read whole: a field that a setting does not have is refused, a field that is left out
//! takes its default. Where values are kept is the store's matter.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::alert;
use crate::amount::NumberError;
use crate::portal::PortalConfig;
use crate::topup_bonus::TopupBonus;

/// A setting of this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    WalletBalanceAlert,
    BonusCreditsTopup,
    Tenant,
    CreditExpiry,
    CustomerPortal,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Setting(Setting),
    /// Known, and built in a later stage.
    Later,
}

/// Limits that a tenant lives within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantLimits {
    pub production: u32,
    pub development: u32,
    pub max_users: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct SettingError {
    /// Path inside the value; empty for the value itself.
    pub field: String,
    pub problem: SettingProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingProblem {
    #[error("must be an object")]
    NotAnObject,
    #[error("must be true or false")]
    NotABoolean,
    #[error("must be a list that is not too long")]
    NotAList,
    #[error("is not a field of this setting")]
    NoSuchField,
    #[error("is required")]
    Missing,
    #[error("must be a whole number from 0 to {0}")]
    OutOfRange(i64),
    #[error("must be one of: {0}")]
    Unknown(&'static str),
    #[error("must not be below zero")]
    Negative,
    #[error("stands there twice")]
    Twice,
    #[error("{0}")]
    Number(#[from] NumberError),
    #[error("{0}")]
    Alert(String),
}

const LATER: [&str; 15] = [
    "invoice_config",
    "subscription_config",
    "invoice_pdf_config",
    "customer_onboarding",
    "prepare_processed_events_config",
    "custom_analytics_config",
    "event_ingestion_filter",
    "payment_mandate_limits",
    "draft_invoice_recompute_config",
    "saml_config",
    "proration_config",
    "late_usage_config",
    "dunning_config",
    "tax_config",
    "event_rejected_config",
];

const ENVIRONMENTS_MAX: i64 = 1_000;
const USERS_MAX: i64 = 100_000;
const GRACE_SECONDS_MAX: i64 = 31 * 86_400;
const NOTICE_DAYS_MAX: i64 = 365;
const NOTICES_MAX: usize = 10;

impl SettingError {
    pub fn at(field: &str, problem: SettingProblem) -> SettingError {
        SettingError { field: field.to_owned(), problem }
    }
}

impl Default for TenantLimits {
    fn default() -> TenantLimits {
        TenantLimits { production: 1, development: 2, max_users: 10 }
    }
}

/// What `name` stands for; `None` where no release has such a setting.
pub fn named(name: &str) -> Option<Named> {
    let built = Setting::ALL.into_iter().find(|setting| setting.name() == name);
    match built {
        Some(setting) => Some(Named::Setting(setting)),
        None => LATER.contains(&name).then_some(Named::Later),
    }
}

impl Setting {
    pub const ALL: [Setting; 5] = [
        Setting::WalletBalanceAlert,
        Setting::BonusCreditsTopup,
        Setting::Tenant,
        Setting::CreditExpiry,
        Setting::CustomerPortal,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Setting::WalletBalanceAlert => "wallet_balance_alert_config",
            Setting::BonusCreditsTopup => "bonus_credits_topup_config",
            Setting::Tenant => "tenant_config",
            Setting::CreditExpiry => "credit_expiry_config",
            Setting::CustomerPortal => "customer_portal_config",
        }
    }

    /// One value for all environments of the tenant.
    pub const fn is_of_tenant(self) -> bool {
        matches!(self, Setting::Tenant)
    }

    /// What holds where nothing was set.
    pub fn default_value(self) -> Value {
        match self {
            Setting::WalletBalanceAlert => json!(alert::settings::Settings::tenant_default()),
            Setting::BonusCreditsTopup => json!(TopupBonus::default()),
            Setting::Tenant => json!(TenantLimits::default()),
            Setting::CreditExpiry => {
                json!({ "invoice_grace_seconds": 21_600, "notice_days": [7, 1] })
            }
            Setting::CustomerPortal => PortalConfig::default().as_json().clone(),
        }
    }

    /// The value as it is stored and shown.
    pub fn read(self, value: &Value) -> Result<Value, SettingError> {
        match self {
            Setting::WalletBalanceAlert => read_alert(value),
            Setting::BonusCreditsTopup => Ok(json!(TopupBonus::from_json(value)?)),
            Setting::Tenant => read_limits(value),
            Setting::CreditExpiry => read_expiry(value),
            Setting::CustomerPortal => Ok(PortalConfig::from_json(value)?.as_json().clone()),
        }
    }
}

fn read_alert(value: &Value) -> Result<Value, SettingError> {
    let known =
        ["alert_enabled", "alert_threshold_type", "critical", "warning", "info", "recovery_margin"];
    object("", value, &known)?;
    let read = alert::settings::Settings::from_json(value);
    read.map(|settings| json!(settings)).map_err(|error| {
        let field = error.clone().under("").field;
        let problem = SettingProblem::Alert(error.problem.to_string());
        SettingError { field: field.trim_start_matches('.').to_owned(), problem }
    })
}

fn read_limits(value: &Value) -> Result<Value, SettingError> {
    let body = object("", value, &["production", "development", "max_users"])?;
    let default = TenantLimits::default();
    Ok(json!({
        "production": whole(body, "production", (default.production.into(), ENVIRONMENTS_MAX))?,
        "development": whole(body, "development", (default.development.into(), ENVIRONMENTS_MAX))?,
        "max_users": whole(body, "max_users", (default.max_users.into(), USERS_MAX))?,
    }))
}

fn read_expiry(value: &Value) -> Result<Value, SettingError> {
    let body = object("", value, &["invoice_grace_seconds", "notice_days"])?;
    let grace = whole(body, "invoice_grace_seconds", (21_600, GRACE_SECONDS_MAX))?;
    Ok(json!({ "invoice_grace_seconds": grace, "notice_days": read_notice_days(body)? }))
}

fn read_notice_days(body: &Map<String, Value>) -> Result<Vec<i64>, SettingError> {
    let rows = match body.get("notice_days") {
        None => return Ok(vec![7, 1]),
        Some(Value::Array(rows)) if rows.len() <= NOTICES_MAX => rows,
        Some(_) => return Err(SettingError::at("notice_days", SettingProblem::NotAList)),
    };
    let mut days = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let field = format!("notice_days[{index}]");
        let day = row.as_i64().filter(|day| (1..=NOTICE_DAYS_MAX).contains(day));
        let range = SettingProblem::OutOfRange(NOTICE_DAYS_MAX);
        let day = day.ok_or_else(|| SettingError::at(&field, range))?;
        if days.contains(&day) {
            return Err(SettingError::at(&field, SettingProblem::Twice));
        }
        days.push(day);
    }
    days.sort_unstable_by(|one, other| other.cmp(one));
    Ok(days)
}

/// A whole number from 0 to `max`, or `default` where there is none.
fn whole(
    body: &Map<String, Value>,
    field: &str,
    (default, max): (i64, i64),
) -> Result<i64, SettingError> {
    let Some(value) = body.get(field) else { return Ok(default) };
    let number = value.as_i64().filter(|number| (0..=max).contains(number));
    number.ok_or_else(|| SettingError::at(field, SettingProblem::OutOfRange(max)))
}

/// The object at `at`, with no other fields than the known ones.
pub(crate) fn object<'v>(
    at: &str,
    value: &'v Value,
    known: &[&str],
) -> Result<&'v Map<String, Value>, SettingError> {
    let body =
        value.as_object().ok_or_else(|| SettingError::at(at, SettingProblem::NotAnObject))?;
    match body.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(body),
        Some(key) => {
            let field = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            Err(SettingError::at(&field, SettingProblem::NoSuchField))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_that_is_accepted() {
        for setting in Setting::ALL {
            let default = setting.default_value();
            assert_eq!(setting.read(&default), Ok(default.clone()), "{}", setting.name());
            assert_eq!(named(setting.name()), Some(Named::Setting(setting)));
        }
        assert_eq!(named("invoice_config"), Some(Named::Later));
        assert_eq!(named("invoice"), None);
    }

    #[test]
    fn a_field_that_is_left_out_takes_its_default() {
        for setting in [Setting::Tenant, Setting::CreditExpiry, Setting::BonusCreditsTopup] {
            assert_eq!(setting.read(&json!({})), Ok(setting.default_value()));
        }
        let limits = Setting::Tenant.read(&json!({ "max_users": 3 })).unwrap();
        assert_eq!(limits, json!({ "production": 1, "development": 2, "max_users": 3 }));
    }

    #[test]
    fn a_wrong_value_is_refused_at_its_field() {
        let below = |text: &str| json!({ "threshold": text, "condition": "below" });
        let table = [
            (Setting::Tenant, json!({ "production": -1 }), "production"),
            (Setting::Tenant, json!({ "productions": 1 }), "productions"),
            (Setting::Tenant, json!([]), ""),
            (Setting::CreditExpiry, json!({ "notice_days": [7, 0] }), "notice_days[1]"),
            (Setting::CreditExpiry, json!({ "notice_days": [7, 7] }), "notice_days[1]"),
            (
                Setting::CreditExpiry,
                json!({ "invoice_grace_seconds": "1" }),
                "invoice_grace_seconds",
            ),
            (Setting::WalletBalanceAlert, json!({ "alert_enabled": 1 }), "alert_enabled"),
            (Setting::WalletBalanceAlert, json!({ "alert_enabled": true }), ""),
            (Setting::WalletBalanceAlert, json!({ "critical": below("x") }), "critical.threshold"),
            (Setting::WalletBalanceAlert, json!({ "alert": true }), "alert"),
        ];
        for (setting, value, field) in table {
            let refused = setting.read(&value).map_err(|error| error.field);
            assert_eq!(refused, Err(field.to_owned()), "{value}");
        }
    }
}
