//! Alert settings: reading, the rules that they keep, and their thresholds as plain numbers.
//!
//! One shape for wallets, features and spend. Whether the numbers are credits or currency is known
//! by the owner of the settings, not here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine::Level;
use crate::amount::{Amount, NumberError};
use crate::json;

/// The alert settings of a wallet, a feature, a spend alert or the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    #[serde(rename = "alert_enabled")]
    pub enabled: bool,
    #[serde(rename = "alert_threshold_type", default)]
    pub threshold_type: ThresholdType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<Threshold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Threshold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Threshold>,
    /// How far outside of the outermost threshold a value must be to count as recovered.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recovery_margin: Amount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    pub threshold: Amount,
    pub condition: Condition,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdType {
    #[default]
    Absolute,
    /// Per cent of a base, which `Settings::resolve` is given.
    Percentage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Above,
    Below,
}

/// Settings ready for comparison: one condition, numbers in the unit of the value. At least one
/// threshold is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    pub condition: Condition,
    pub critical: Option<Amount>,
    pub warning: Option<Amount>,
    pub info: Option<Amount>,
    pub recovery_margin: Amount,
}

/// Why settings were refused, and at which field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct SettingsError {
    /// The path in the body, such as `alert_settings.critical.threshold`.
    pub field: String,
    pub problem: SettingsProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsProblem {
    #[error("must be an object")]
    NotAnObject,
    #[error("must be true or false")]
    NotABoolean,
    #[error("must be \"absolute\" or \"percentage\"")]
    UnknownThresholdType,
    #[error("must be \"above\" or \"below\"")]
    UnknownCondition,
    #[error("is required")]
    Missing,
    #[error("{0}")]
    Number(#[from] NumberError),
    #[error("must not be below zero")]
    Negative,
    #[error("needs at least one of critical, warning and info when alerts are enabled")]
    NoThreshold,
    #[error("needs critical to be set too")]
    WarningWithoutCritical,
    #[error("must be the same on all levels")]
    MixedConditions,
    #[error("is on the wrong side: below wants critical ≤ warning ≤ info, above the reverse")]
    WrongOrder,
}

const ROOT: &str = "alert_settings";

fn is_zero(amount: &Amount) -> bool {
    amount.is_zero()
}

impl SettingsError {
    fn at(path: &str, problem: SettingsProblem) -> SettingsError {
        let field = if path.is_empty() { ROOT.to_owned() } else { format!("{ROOT}.{path}") };
        SettingsError { field, problem }
    }

    /// The same error for settings that stand elsewhere in a body, such as at `config`.
    #[must_use]
    pub fn under(self, root: &str) -> SettingsError {
        let field = format!("{root}{}", self.field.strip_prefix(ROOT).unwrap_or_default());
        SettingsError { field, ..self }
    }
}

impl Settings {
    /// What holds where neither the wallet nor the tenant has said anything: off.
    pub fn tenant_default() -> Settings {
        let critical = Threshold { threshold: Amount::ZERO, condition: Condition::Below };
        Settings { critical: Some(critical), ..Settings::off() }
    }

    /// No alerts and no thresholds.
    pub fn off() -> Settings {
        Settings {
            enabled: false,
            threshold_type: ThresholdType::Absolute,
            critical: None,
            warning: None,
            info: None,
            recovery_margin: Amount::ZERO,
        }
    }

    /// Reads and validates the object. Numbers may be strings or JSON numbers.
    pub fn from_json(value: &Value) -> Result<Settings, SettingsError> {
        let body =
            value.as_object().ok_or_else(|| SettingsError::at("", SettingsProblem::NotAnObject))?;
        let field = |name: &str| body.get(name).filter(|value| !value.is_null());
        let settings = Settings {
            enabled: field("alert_enabled").map_or(Ok(false), read_switch)?,
            threshold_type: field("alert_threshold_type")
                .map_or(Ok(ThresholdType::default()), read_type)?,
            critical: field("critical").map(|v| read_level("critical", v)).transpose()?,
            warning: field("warning").map(|v| read_level("warning", v)).transpose()?,
            info: field("info").map(|v| read_level("info", v)).transpose()?,
            recovery_margin: field("recovery_margin")
                .map_or(Ok(Amount::ZERO), |v| read_number("recovery_margin", v))?,
        };
        settings.validate()
    }

    /// The rules between the fields; gives the settings back when they hold.
    pub fn validate(self) -> Result<Settings, SettingsError> {
        if self.recovery_margin.is_negative() {
            return Err(SettingsError::at("recovery_margin", SettingsProblem::Negative));
        }
        if self.enabled && self.present().next().is_none() {
            return Err(SettingsError::at("", SettingsProblem::NoThreshold));
        }
        if self.warning.is_some() && self.critical.is_none() {
            return Err(SettingsError::at("warning", SettingsProblem::WarningWithoutCritical));
        }
        self.check_ladder()?;
        Ok(self)
    }

    fn check_ladder(&self) -> Result<(), SettingsError> {
        let mut inner: Option<Threshold> = None;
        for (name, outer) in self.present() {
            if let Some(inner) = inner {
                if inner.condition != outer.condition {
                    let path = format!("{name}.condition");
                    return Err(SettingsError::at(&path, SettingsProblem::MixedConditions));
                }
                if !outer.condition.holds(inner.threshold, outer.threshold) {
                    let path = format!("{name}.threshold");
                    return Err(SettingsError::at(&path, SettingsProblem::WrongOrder));
                }
            }
            inner = Some(outer);
        }
        Ok(())
    }

    /// The levels that are set, the worst first.
    fn present(&self) -> impl Iterator<Item = (&'static str, Threshold)> {
        [("critical", self.critical), ("warning", self.warning), ("info", self.info)]
            .into_iter()
            .filter_map(|(name, level)| level.map(|level| (name, level)))
    }

    /// The thresholds as plain numbers. None means that the machine is not evaluated: alerts are
    /// off, nothing is set, or a percentage has no base yet.
    pub fn resolve(&self, base: Option<Amount>) -> Option<Levels> {
        let (_, worst) = self.present().next().filter(|_| self.enabled)?;
        let base = match self.threshold_type {
            ThresholdType::Absolute => None,
            ThresholdType::Percentage => Some(base?),
        };
        let plain = |number: Amount| base.map_or(number, |base| base.percent(number));
        let level = |level: Option<Threshold>| level.map(|level| plain(level.threshold));
        Some(Levels {
            condition: worst.condition,
            critical: level(self.critical),
            warning: level(self.warning),
            info: level(self.info),
            recovery_margin: plain(self.recovery_margin),
        })
    }
}

impl Condition {
    /// Whether `value` has reached `threshold`; the threshold itself counts.
    fn holds(self, value: Amount, threshold: Amount) -> bool {
        match self {
            Condition::Above => value >= threshold,
            Condition::Below => value <= threshold,
        }
    }
}

impl Levels {
    pub fn reaches(&self, value: Amount, threshold: Amount) -> bool {
        self.condition.holds(value, threshold)
    }

    /// The threshold moved outwards by the recovery margin.
    pub fn widened(&self, threshold: Amount) -> Amount {
        match self.condition {
            Condition::Above => threshold - self.recovery_margin,
            Condition::Below => threshold + self.recovery_margin,
        }
    }

    /// The mildest level that is set, with its threshold.
    pub fn outermost(&self) -> (Level, Amount) {
        let set = |level: Level, threshold: Option<Amount>| threshold.map(|t| (level, t));
        set(Level::Info, self.info)
            .or_else(|| set(Level::Warning, self.warning))
            .unwrap_or((Level::InAlarm, self.critical.unwrap_or_default()))
    }

    /// The threshold to tell for a level that was entered; for ok it is the outermost one. A
    /// level that is not set has none.
    pub fn threshold_of(&self, level: Level) -> Option<Amount> {
        match level {
            Level::Ok => Some(self.outermost().1),
            Level::Info => self.info,
            Level::Warning => self.warning,
            Level::InAlarm => self.critical,
        }
    }
}

fn read_switch(value: &Value) -> Result<bool, SettingsError> {
    value.as_bool().ok_or_else(|| SettingsError::at("alert_enabled", SettingsProblem::NotABoolean))
}

fn read_type(value: &Value) -> Result<ThresholdType, SettingsError> {
    ThresholdType::deserialize(value).map_err(|_| {
        SettingsError::at("alert_threshold_type", SettingsProblem::UnknownThresholdType)
    })
}

fn read_level(name: &str, value: &Value) -> Result<Threshold, SettingsError> {
    let body =
        value.as_object().ok_or_else(|| SettingsError::at(name, SettingsProblem::NotAnObject))?;
    let field = |field: &str| {
        let path = format!("{name}.{field}");
        match body.get(field).filter(|value| !value.is_null()) {
            Some(value) => Ok((path, value)),
            None => Err(SettingsError::at(&path, SettingsProblem::Missing)),
        }
    };
    let (path, threshold) = field("threshold")?;
    let threshold = read_number(&path, threshold)?;
    let (path, condition) = field("condition")?;
    let condition = Condition::deserialize(condition)
        .map_err(|_| SettingsError::at(&path, SettingsProblem::UnknownCondition))?;
    Ok(Threshold { threshold, condition })
}

fn read_number(path: &str, value: &Value) -> Result<Amount, SettingsError> {
    json::amount(value).map_err(|error| SettingsError::at(path, error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn level(threshold: &str, condition: &str) -> Value {
        json!({"threshold": threshold, "condition": condition})
    }

    #[test]
    fn reads_and_writes_the_wire_shape() {
        let full = json!({
            "alert_enabled": true, "alert_threshold_type": "absolute",
            "critical": level("50", "below"), "warning": level("100", "below"),
            "info": level("200", "below"), "recovery_margin": "2.5",
        });
        let settings = Settings::from_json(&full).unwrap();
        assert_eq!(serde_json::to_value(&settings).unwrap(), full);
        assert_eq!(serde_json::from_value::<Settings>(full).unwrap(), settings);

        let off = Settings::from_json(&json!({"alert_enabled": false, "critical": null})).unwrap();
        assert_eq!(off, Settings::off());
        let written = json!({"alert_enabled": false, "alert_threshold_type": "absolute"});
        assert_eq!(serde_json::to_value(&off).unwrap(), written);
    }

    #[test]
    fn numbers_may_be_json_numbers() {
        let settings = Settings::from_json(&json!({
            "alert_enabled": true,
            "critical": {"threshold": 12.5, "condition": "above"},
            "info": {"threshold": -3, "condition": "above"},
        }));
        let settings = settings.unwrap();
        assert_eq!(settings.critical.unwrap().threshold.to_string(), "12.5");
        assert_eq!(settings.info.unwrap().threshold.to_string(), "-3");
    }

    #[test]
    fn refuses_and_names_the_field() {
        use SettingsProblem as P;
        let on = |rest: Value| {
            let mut body = json!({"alert_enabled": true});
            body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            body
        };
        let table = [
            (json!([]), "alert_settings", P::NotAnObject),
            (on(json!({})), "alert_settings", P::NoThreshold),
            (json!({"alert_enabled": "yes"}), "alert_settings.alert_enabled", P::NotABoolean),
            (
                on(json!({"warning": level("5", "below")})),
                "alert_settings.warning",
                P::WarningWithoutCritical,
            ),
            (on(json!({"critical": 5})), "alert_settings.critical", P::NotAnObject),
            (
                on(json!({"critical": {"condition": "below"}})),
                "alert_settings.critical.threshold",
                P::Missing,
            ),
            (
                on(json!({"critical": {"threshold": "1"}})),
                "alert_settings.critical.condition",
                P::Missing,
            ),
            (
                on(json!({"critical": level("1", "under")})),
                "alert_settings.critical.condition",
                P::UnknownCondition,
            ),
            (
                on(json!({"critical": level("1e3", "below")})),
                "alert_settings.critical.threshold",
                P::Number(NumberError::Malformed),
            ),
            (
                on(json!({"critical": level("1", "below"), "info": level("2", "above")})),
                "alert_settings.info.condition",
                P::MixedConditions,
            ),
            (
                on(json!({"critical": level("2", "below"), "info": level("1", "below")})),
                "alert_settings.info.threshold",
                P::WrongOrder,
            ),
            (
                on(json!({"critical": level("1", "above"), "warning": level("2", "above")})),
                "alert_settings.warning.threshold",
                P::WrongOrder,
            ),
            (
                on(json!({"info": level("2", "below"), "recovery_margin": "-1"})),
                "alert_settings.recovery_margin",
                P::Negative,
            ),
            (
                on(json!({"info": level("2", "below"), "alert_threshold_type": "ratio"})),
                "alert_settings.alert_threshold_type",
                P::UnknownThresholdType,
            ),
        ];
        for (body, field, problem) in table {
            let error = Settings::from_json(&body).unwrap_err();
            assert_eq!((error.field.as_str(), error.problem), (field, problem), "{body}");
        }
        let elsewhere = Settings::from_json(&on(json!({"critical": 5}))).unwrap_err();
        assert_eq!(elsewhere.under("config").field, "config.critical");
    }

    #[test]
    fn accepts_equal_thresholds_info_alone_and_both_directions() {
        for body in [
            json!({"alert_enabled": true, "info": level("5", "below")}),
            json!({"alert_enabled": true, "critical": level("5", "below"),
                   "warning": level("5", "below"), "info": level("5", "below")}),
            json!({"alert_enabled": true, "critical": level("9", "above"),
                   "warning": level("8", "above"), "info": level("7", "above")}),
            json!({"alert_enabled": false}),
            json!({}),
        ] {
            assert!(Settings::from_json(&body).is_ok(), "{body}");
        }
    }

    #[test]
    fn percentages_need_a_base() {
        let settings = Settings::from_json(&json!({
            "alert_enabled": true, "alert_threshold_type": "percentage",
            "critical": level("10", "below"), "info": level("50", "below"),
            "recovery_margin": "5",
        }));
        let settings = settings.unwrap();
        assert_eq!(settings.resolve(None), None);
        let levels = settings.resolve(Some(Amount::units(200))).unwrap();
        assert_eq!(levels.critical, Some(Amount::units(20)));
        assert_eq!(levels.info, Some(Amount::units(100)));
        assert_eq!(levels.recovery_margin, Amount::units(10));
    }

    #[test]
    fn what_is_off_or_empty_is_not_evaluated() {
        assert_eq!(Settings::tenant_default().resolve(None), None);
        assert_eq!(Settings { enabled: true, ..Settings::off() }.resolve(None), None);
        let on = Settings { enabled: true, ..Settings::tenant_default() };
        let levels = on.resolve(None).unwrap();
        assert_eq!(levels.outermost(), (Level::InAlarm, Amount::ZERO));
        assert_eq!(levels.threshold_of(Level::Ok), Some(Amount::ZERO));
        assert_eq!(levels.threshold_of(Level::Warning), None);
    }
}
