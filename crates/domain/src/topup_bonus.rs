//! The bonus that a purchase of credits brings: slabs by size of the purchase (billing 4.8).
//!
//! Which purchase asks, and where the bonus is posted, is not known here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::amount::Amount;
use crate::json;
use crate::setting::{SettingError, SettingProblem};
use crate::time::{DAY_MS, Timestamp};

/// More slabs than this are a mistake.
const SLABS_MAX: usize = 50;
/// An expiry further away than this many units is a mistake.
const DURATION_MAX: i64 = 10_000;

/// The setting `bonus_credits_topup_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopupBonus {
    pub enabled: bool,
    /// By threshold, descending.
    pub slabs: Vec<Slab>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slab {
    pub threshold: Amount,
    operator: Operator,
    pub bonus: Bonus,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<Lifetime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Operator {
    Gte,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bonus {
    #[serde(rename = "type")]
    pub kind: BonusKind,
    pub value: Amount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BonusKind {
    Flat,
    Percentage,
}

/// How long a bonus lives, in calendar units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lifetime {
    #[serde(rename = "expiration_duration")]
    pub count: i64,
    #[serde(rename = "expiration_duration_unit")]
    pub unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Unit {
    Day,
    Week,
    Month,
    Year,
}

impl Lifetime {
    /// The instant at which a bonus of `now` ends; days and months are those of UTC.
    pub fn end(self, now: Timestamp) -> Timestamp {
        match self.unit {
            Unit::Day => now.plus_ms(self.count.saturating_mul(DAY_MS)),
            Unit::Week => now.plus_ms(self.count.saturating_mul(7 * DAY_MS)),
            Unit::Month => now.plus_months(self.count),
            Unit::Year => now.plus_months(self.count.saturating_mul(12)),
        }
    }
}

impl TopupBonus {
    /// The slab of a purchase: the highest threshold that it reaches. None when switched off.
    pub fn slab_of(&self, purchased: Amount) -> Option<&Slab> {
        self.slabs.iter().filter(|_| self.enabled).find(|slab| slab.threshold <= purchased)
    }

    /// Reads and validates the setting.
    pub fn from_json(value: &Value) -> Result<TopupBonus, SettingError> {
        let body = crate::setting::object("", value, &["enabled", "slabs"])?;
        let enabled = match body.get("enabled") {
            None => false,
            Some(Value::Bool(enabled)) => *enabled,
            Some(_) => return Err(SettingError::at("enabled", SettingProblem::NotABoolean)),
        };
        let mut slabs = read_slabs(body.get("slabs"))?;
        slabs.sort_by_key(|slab| std::cmp::Reverse(slab.threshold));
        if let Some(at) = slabs.windows(2).position(|two| two[0].threshold == two[1].threshold) {
            let field = format!("slabs[{at}].threshold");
            return Err(SettingError::at(&field, SettingProblem::Twice));
        }
        Ok(TopupBonus { enabled, slabs })
    }
}

impl Slab {
    /// The bonus credits of a purchase that falls into this slab.
    pub fn bonus_of(&self, purchased: Amount) -> Amount {
        match self.bonus.kind {
            BonusKind::Flat => self.bonus.value,
            BonusKind::Percentage => purchased.percent(self.bonus.value),
        }
    }
}

fn read_slabs(value: Option<&Value>) -> Result<Vec<Slab>, SettingError> {
    let rows = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(rows)) if rows.len() <= SLABS_MAX => rows,
        Some(_) => return Err(SettingError::at("slabs", SettingProblem::NotAList)),
    };
    rows.iter().enumerate().map(|(index, row)| read_slab(&format!("slabs[{index}]"), row)).collect()
}

fn read_slab(at: &str, value: &Value) -> Result<Slab, SettingError> {
    let known =
        ["threshold", "operator", "bonus", "expiration_duration", "expiration_duration_unit"];
    let body = crate::setting::object(at, value, &known)?;
    if body.get("operator").is_some_and(|operator| operator != "gte") {
        let field = format!("{at}.operator");
        return Err(SettingError::at(&field, SettingProblem::Unknown("gte")));
    }
    let threshold = read_amount(&format!("{at}.threshold"), body.get("threshold"))?;
    let bonus = read_bonus(&format!("{at}.bonus"), body.get("bonus").unwrap_or(&Value::Null))?;
    let expires_after = read_lifetime(at, body)?;
    Ok(Slab { threshold, operator: Operator::Gte, bonus, expires_after })
}

fn read_bonus(at: &str, value: &Value) -> Result<Bonus, SettingError> {
    let body = crate::setting::object(at, value, &["type", "value"])?;
    let kind = match body.get("type").and_then(Value::as_str) {
        Some("flat") => BonusKind::Flat,
        Some("percentage") => BonusKind::Percentage,
        _ => {
            let problem = SettingProblem::Unknown("flat, percentage");
            return Err(SettingError::at(&format!("{at}.type"), problem));
        }
    };
    let value = read_amount(&format!("{at}.value"), body.get("value"))?;
    Ok(Bonus { kind, value })
}

fn read_amount(at: &str, value: Option<&Value>) -> Result<Amount, SettingError> {
    let value = value.ok_or_else(|| SettingError::at(at, SettingProblem::Missing))?;
    let amount = json::amount(value).map_err(|error| SettingError::at(at, error.into()))?;
    if amount.is_negative() {
        return Err(SettingError::at(at, SettingProblem::Negative));
    }
    Ok(amount)
}

fn read_lifetime(at: &str, body: &Map<String, Value>) -> Result<Option<Lifetime>, SettingError> {
    let present = |name: &str| body.get(name).filter(|value| !value.is_null());
    let (count, unit) = (present("expiration_duration"), present("expiration_duration_unit"));
    let Some(count) = count else { return Ok(None) };
    let count =
        count.as_i64().filter(|count| (1..=DURATION_MAX).contains(count)).ok_or_else(|| {
            SettingError::at(
                &format!("{at}.expiration_duration"),
                SettingProblem::OutOfRange(DURATION_MAX),
            )
        })?;
    let unit = unit.map_or(Ok(Unit::Day), Unit::deserialize).map_err(|_| {
        let problem = SettingProblem::Unknown("DAY, WEEK, MONTH, YEAR");
        SettingError::at(&format!("{at}.expiration_duration_unit"), problem)
    })?;
    Ok(Some(Lifetime { count, unit }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slab(threshold: &str, kind: &str, value: &str) -> Value {
        json!({ "threshold": threshold, "operator": "gte", "bonus": { "type": kind, "value": value } })
    }

    #[test]
    fn the_highest_slab_that_is_reached_decides() {
        let setting = json!({ "enabled": true, "slabs": [
            slab("0", "flat", "0"), slab("5000", "flat", "750"), slab("1000", "percentage", "10"),
        ]});
        let bonus = TopupBonus::from_json(&setting).unwrap();
        for (purchased, expected) in [(500, 0), (1_000, 100), (3_000, 300), (6_000, 750)] {
            let purchased = Amount::units(purchased);
            let slab = bonus.slab_of(purchased).unwrap();
            assert_eq!(slab.bonus_of(purchased), Amount::units(expected));
        }
        let off = TopupBonus { enabled: false, ..bonus };
        assert_eq!(off.slab_of(Amount::units(9_000)), None);
    }

    #[test]
    fn what_is_read_is_written_back() {
        let mut row = slab("10", "flat", "1");
        row["expiration_duration"] = json!(2);
        row["expiration_duration_unit"] = json!("WEEK");
        let setting = json!({ "enabled": true, "slabs": [row] });
        let bonus = TopupBonus::from_json(&setting).unwrap();
        assert_eq!(serde_json::to_value(bonus).unwrap(), setting);
    }

    #[test]
    fn a_wrong_slab_is_refused_at_its_field() {
        let table = [
            (json!({ "slabs": [slab("-1", "flat", "1")] }), "slabs[0].threshold"),
            (json!({ "slabs": [slab("1", "gift", "1")] }), "slabs[0].bonus.type"),
            (json!({ "slabs": [slab("1", "flat", "x")] }), "slabs[0].bonus.value"),
            (
                json!({ "slabs": [slab("1", "flat", "1"), slab("1", "flat", "2")] }),
                "slabs[0].threshold",
            ),
            (json!({ "slabs": {} }), "slabs"),
            (json!({ "enabled": "yes" }), "enabled"),
            (json!({ "slab": [] }), "slab"),
        ];
        for (setting, field) in table {
            assert_eq!(TopupBonus::from_json(&setting).unwrap_err().field, field);
        }
    }

    #[test]
    fn a_month_ends_on_the_last_day_where_it_has_no_such_day() {
        let now = Timestamp::parse("2026-01-31T10:00:00Z").unwrap();
        let end = Lifetime { count: 1, unit: Unit::Month }.end(now);
        assert_eq!(end.to_string(), "2026-02-28T10:00:00.000Z");
        assert_eq!(Lifetime { count: 2, unit: Unit::Day }.end(now), now.plus_ms(2 * DAY_MS));
    }
}
