//! When the charge of a request is posted (paywalls 18), and what is given to new users (13).

use serde::{Deserialize, Serialize};

use crate::amount::Amount;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settlement {
    pub mode: SettlementMode,
    /// Whether usage is committed before the last byte of an answer goes out.
    pub strict: bool,
    /// Largest lease of one node on one wallet.
    pub max_lease: Amount,
    pub lease_seconds: u64,
    pub interval_ms: u64,
    /// Charges that are settled together at most.
    pub batch: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementMode {
    /// With the request.
    #[default]
    Immediate,
    /// In batches, against money that a node has leased.
    Lease,
}

impl Default for Settlement {
    fn default() -> Settlement {
        Settlement {
            mode: SettlementMode::Immediate,
            strict: true,
            max_lease: Amount::units(1),
            lease_seconds: 60,
            interval_ms: 1_000,
            batch: 100,
        }
    }
}

/// Credit that a user gets at first sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trial {
    /// Zero: none.
    pub amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u64>,
    /// What the paywall gives away in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Amount>,
    pub require_card: bool,
}

impl Trial {
    /// What the next new user gets, after `granted` went to others.
    pub fn next_grant(&self, granted: Amount) -> Option<Amount> {
        let left = self.budget.is_none_or(|budget| granted + self.amount <= budget);
        (self.amount.is_positive() && !self.require_card && left).then_some(self.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_whole_or_none_and_never_beyond_the_budget() {
        let units = Amount::units;
        let trial = |amount, budget| Trial { amount, budget, ..Trial::default() };
        let table = [
            (trial(units(0), None), units(0), None),
            (trial(units(2), None), units(1_000), Some(units(2))),
            (trial(units(2), Some(units(5))), units(2), Some(units(2))),
            (trial(units(2), Some(units(5))), units(4), None),
            (trial(units(2), Some(units(0))), units(0), None),
            (Trial { require_card: true, ..trial(units(2), None) }, units(0), None),
        ];
        for (trial, granted, expected) in table {
            assert_eq!(trial.next_grant(granted), expected, "{trial:?} after {granted}");
        }
    }
}
