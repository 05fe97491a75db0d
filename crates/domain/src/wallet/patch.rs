//! What a client may change of a wallet, and what the change replaced (billing 4.9).
//!
//! Currency and rates never change; a balance is nothing that can be edited.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{AutoTopup, Collection, Cooldown, CooldownUnit, PriceType, Wallet};
use crate::alert::settings::Settings;
use crate::amount::Amount;

/// Attempts in 24 hours when nobody says.
pub const TOPUPS_PER_DAY: u32 = 10;

/// What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalletPatch {
    pub name: Option<String>,
    pub description: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub auto_topup: Option<AutoTopupPatch>,
    pub allowed_price_types: Option<Vec<PriceType>>,
    /// `Some(None)` takes the own settings away: the tenant's hold again.
    pub alert_settings: Option<Option<Settings>>,
    pub overdraft_limit: Option<Amount>,
}

/// A change of auto top-up, merged into what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoTopupPatch {
    pub enabled: Option<bool>,
    pub threshold: Option<Amount>,
    pub amount: Option<Amount>,
    pub invoicing: Option<bool>,
    /// A value of 0 takes the cool-down away.
    pub cooldown: Option<(u32, CooldownUnit)>,
    pub max_per_day: Option<u32>,
    pub max_amount_per_day: Option<Amount>,
}

/// A field that a first auto top-up must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auto_topup.{0} is required")]
pub struct MissingField(pub &'static str);

impl AutoTopupPatch {
    /// The plan after the change; without one before, threshold, amount and invoicing are needed.
    pub fn apply(&self, before: Option<&AutoTopup>) -> Result<AutoTopup, MissingField> {
        let first = |name, given: bool| {
            if given || before.is_some() { Ok(()) } else { Err(MissingField(name)) }
        };
        first("threshold", self.threshold.is_some())?;
        first("amount", self.amount.is_some())?;
        first("invoicing", self.invoicing.is_some())?;
        let mut plan = before.cloned().unwrap_or(AutoTopup {
            enabled: false,
            threshold: Amount::ZERO,
            amount: Amount::ZERO,
            invoicing: false,
            cooldown: None,
            collection: Collection::External,
            max_per_day: TOPUPS_PER_DAY,
            max_amount_per_day: None,
        });
        plan.enabled = self.enabled.unwrap_or(plan.enabled);
        plan.threshold = self.threshold.unwrap_or(plan.threshold);
        plan.amount = self.amount.unwrap_or(plan.amount);
        plan.invoicing = self.invoicing.unwrap_or(plan.invoicing);
        plan.max_per_day = self.max_per_day.unwrap_or(plan.max_per_day);
        plan.max_amount_per_day = self.max_amount_per_day.or(plan.max_amount_per_day);
        if let Some((value, unit)) = self.cooldown {
            plan.cooldown = (value > 0).then_some(Cooldown { value, unit });
        }
        Ok(plan)
    }
}

impl Wallet {
    /// The wallet after the change, and the values that it replaced by their names on the wire. An
    /// empty map means that nothing changed.
    pub fn apply(&self, patch: &WalletPatch) -> Result<(Wallet, Map<String, Value>), MissingField> {
        let mut next = self.clone();
        let set = |field: &mut String, new: &Option<String>| {
            if let Some(new) = new {
                new.clone_into(field);
            }
        };
        set(&mut next.name, &patch.name);
        set(&mut next.description, &patch.description);
        if let Some(metadata) = &patch.metadata {
            next.metadata.clone_from(metadata);
        }
        if let Some(change) = &patch.auto_topup {
            next.auto_topup = Some(change.apply(self.auto_topup.as_ref())?);
        }
        if let Some(types) = &patch.allowed_price_types {
            next.allowed_price_types.clone_from(types);
        }
        if let Some(settings) = &patch.alert_settings {
            next.alert_settings.clone_from(settings);
        }
        next.overdraft_limit = patch.overdraft_limit.unwrap_or(next.overdraft_limit);
        let previous = self.replaced_by(&next);
        Ok((next, previous))
    }

    /// What `next` replaced of this wallet, by the names on the wire.
    pub fn replaced_by(&self, next: &Wallet) -> Map<String, Value> {
        let after = next.editable();
        let mut previous = self.editable();
        previous.retain(|name, value| after.get(name) != Some(value));
        previous
    }

    fn editable(&self) -> Map<String, Value> {
        let fields = json!({
            "name": self.name,
            "description": self.description,
            "metadata": self.metadata,
            "auto_topup": self.auto_topup,
            "config": { "allowed_price_types": self.allowed_price_types },
            "alert_settings": self.alert_settings,
            "overdraft_limit": self.overdraft_limit,
            "wallet_status": self.status,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> AutoTopupPatch {
        AutoTopupPatch {
            enabled: Some(true),
            threshold: Some(Amount::units(5)),
            amount: Some(Amount::units(10)),
            invoicing: Some(false),
            cooldown: Some((1, CooldownUnit::Day)),
            ..AutoTopupPatch::default()
        }
    }

    #[test]
    fn a_change_is_merged_and_a_cleared_cooldown_stays_cleared() {
        let plan = first().apply(None).unwrap();
        assert_eq!((plan.max_per_day, plan.cooldown.is_some()), (TOPUPS_PER_DAY, true));
        let clear =
            AutoTopupPatch { cooldown: Some((0, CooldownUnit::Day)), ..AutoTopupPatch::default() };
        let cleared = clear.apply(Some(&plan)).unwrap();
        assert_eq!((cleared.cooldown, cleared.amount), (None, plan.amount));
        let louder =
            AutoTopupPatch { amount: Some(Amount::units(20)), ..AutoTopupPatch::default() };
        assert_eq!(louder.apply(Some(&cleared)).unwrap().cooldown, None);
    }

    #[test]
    fn a_first_plan_needs_its_three_numbers() {
        let missing = |patch: AutoTopupPatch| patch.apply(None).unwrap_err().0;
        assert_eq!(missing(AutoTopupPatch { threshold: None, ..first() }), "threshold");
        assert_eq!(missing(AutoTopupPatch { amount: None, ..first() }), "amount");
        assert_eq!(missing(AutoTopupPatch { invoicing: None, ..first() }), "invoicing");
    }
}
