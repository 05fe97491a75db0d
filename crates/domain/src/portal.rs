//! What a customer sees and may do in the portal: the setting `customer_portal_config` (billing
//! 17.2). A value is read whole; what is left out takes its default.

use serde_json::{Map, Value, json};

use crate::setting::{SettingError, SettingProblem, object};

/// Sections with their items, each on where nobody says. Usage, plans and invoices wait for what
/// they will show.
const SECTIONS: [(&str, &[&str]); 4] = [
    ("overview", &["wallet_balance", "subscriptions", "usage_graph"]),
    ("usage", &["metric_cards", "usage_graph", "current_usage", "usage_breakdown"]),
    ("credits", &["wallet_balance", "wallet_transactions"]),
    ("invoices", &[]),
];

/// What a customer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// On the overview.
    Balance,
    /// With the wallets and their transactions.
    CreditBalance,
    Transactions,
}

/// What a customer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    EditDetails,
    TopUp,
    /// See the endpoints that are the customer's alone, and have a delivery sent again.
    Webhooks,
}

/// The setting, read and whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalConfig(Value);

impl Item {
    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Item::Balance => ("overview", "wallet_balance"),
            Item::CreditBalance => ("credits", "wallet_balance"),
            Item::Transactions => ("credits", "wallet_transactions"),
        }
    }
}

impl Allowance {
    const ALL: [Allowance; 3] = [Allowance::EditDetails, Allowance::TopUp, Allowance::Webhooks];

    const fn name(self) -> &'static str {
        match self {
            Allowance::EditDetails => "allow_edit_details",
            Allowance::TopUp => "allow_top_up",
            Allowance::Webhooks => "allow_webhooks",
        }
    }

    const fn default(self) -> bool {
        matches!(self, Allowance::EditDetails)
    }
}

impl Default for PortalConfig {
    fn default() -> PortalConfig {
        PortalConfig(whole(&Map::new()))
    }
}

impl PortalConfig {
    pub fn from_json(value: &Value) -> Result<PortalConfig, SettingError> {
        let sections = SECTIONS.iter().map(|(name, _)| *name);
        let known: Vec<&str> = sections.chain(Allowance::ALL.map(Allowance::name)).collect();
        let body = object("", value, &known)?;
        for (name, items) in SECTIONS {
            if let Some(section) = body.get(name) {
                let known: Vec<&str> =
                    std::iter::once("enabled").chain(items.iter().copied()).collect();
                check_flags(&format!("{name}."), object(name, section, &known)?, &known)?;
            }
        }
        check_flags("", body, &Allowance::ALL.map(Allowance::name))?;
        Ok(PortalConfig(whole(body)))
    }

    pub fn as_json(&self) -> &Value {
        &self.0
    }

    pub fn shows(&self, item: Item) -> bool {
        let (section, name) = item.place();
        self.0[section]["enabled"] == true && self.0[section][name] == true
    }

    /// Whether balances are shown anywhere.
    pub fn shows_balances(&self) -> bool {
        self.shows(Item::Balance) || self.shows(Item::CreditBalance)
    }

    pub fn allows(&self, what: Allowance) -> bool {
        self.0[what.name()] == true
    }
}

fn check_flags(at: &str, body: &Map<String, Value>, names: &[&str]) -> Result<(), SettingError> {
    let is_wrong = |name: &&&str| body.get(**name).is_some_and(|value| !value.is_boolean());
    match names.iter().find(is_wrong) {
        None => Ok(()),
        Some(name) => Err(SettingError::at(&format!("{at}{name}"), SettingProblem::NotABoolean)),
    }
}

/// With every field that was left out.
fn whole(body: &Map<String, Value>) -> Value {
    let mut all = Map::new();
    for (name, items) in SECTIONS {
        let given = |item: &str| body.get(name).and_then(|section| section.get(item)).cloned();
        let on = |item: &str| (item.to_owned(), given(item).unwrap_or(json!(true)));
        let section = std::iter::once("enabled").chain(items.iter().copied()).map(on);
        all.insert(name.to_owned(), Value::Object(section.collect()));
    }
    for what in Allowance::ALL {
        let value = body.get(what.name()).cloned().unwrap_or(json!(what.default()));
        all.insert(what.name().to_owned(), value);
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_says_the_customer_sees_the_money_and_may_edit_the_details_alone() {
        let config = PortalConfig::default();
        assert_eq!(PortalConfig::from_json(&json!({})), Ok(config.clone()));
        for item in [Item::Balance, Item::CreditBalance, Item::Transactions] {
            assert!(config.shows(item), "{item:?}");
        }
        let allowed = Allowance::ALL.map(|what| config.allows(what));
        assert_eq!(allowed, [true, false, false]);
    }

    #[test]
    fn a_section_that_is_off_shows_none_of_its_items() {
        let value =
            json!({ "credits": { "enabled": false }, "overview": { "wallet_balance": false } });
        let config = PortalConfig::from_json(&value).unwrap();
        assert!(!config.shows_balances() && !config.shows(Item::Transactions));
        let again = PortalConfig::from_json(config.as_json());
        assert_eq!(again, Ok(config));
    }

    #[test]
    fn a_wrong_value_is_refused_at_its_field() {
        let table = [
            (json!([]), ""),
            (json!({ "credit": {} }), "credit"),
            (json!({ "credits": true }), "credits"),
            (json!({ "credits": { "balance": true } }), "credits.balance"),
            (json!({ "credits": { "wallet_balance": "yes" } }), "credits.wallet_balance"),
            (json!({ "allow_webhooks": 1 }), "allow_webhooks"),
        ];
        for (value, field) in table {
            let refused = PortalConfig::from_json(&value).map_err(|error| error.field);
            assert_eq!(refused, Err(field.to_owned()), "{value}");
        }
    }
}
