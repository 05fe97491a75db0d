//! Paywalls: the configuration of one, and how it is made, changed and archived.
//!
//! Field names are camelCase on the wire, because `changedFields` tells the same paths. Fields of
//! stages that are not built are refused, never stored and ignored. Money, users' wallets and the
//! text of keys are other modules' matter.

mod charge;
mod edit;
mod fields;
mod limits;
mod models;
mod provider;
mod section;
mod settlement;
mod templates;
mod topup;
mod user;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use charge::{ChargeAmountError, charge_amount_from_json, parse_charge_amount};
pub use edit::{Birth, Change, PaywallError, Problem};
pub use limits::{Caps, Limits, OnShort};
pub use models::Models;
pub use provider::{
    PROVIDERS_MAX, Provider, ProviderKind, ProviderSecrets, Timeouts, is_provider_name,
};
pub use section::Section;
pub use settlement::{Settlement, SettlementMode, Trial};
pub use templates::{CustomResponse, Templates};
pub use topup::fill_topup_url;
pub use user::{ExternalUser, UserError};

use crate::amount::Amount;
use crate::currency::Currency;
use crate::id::PaywallId;
use crate::proxy::Pricing;
use crate::time::Timestamp;

/// A paywall as stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paywall {
    pub id: PaywallId,
    pub name: String,
    pub mode: Mode,
    #[serde(with = "upper_case")]
    pub currency: Currency,
    /// Places of its money on the wire: 6 or 9.
    pub decimals: u32,
    /// IANA name; rules the calendar day of quotas.
    pub timezone: String,
    pub identity_scope: IdentityScope,
    /// How far below zero a spend may take the available balance.
    pub overdraft: Amount,
    #[serde(default)]
    pub forward_user: ForwardUser,
    pub fees: Fees,
    pub payment: Payment,
    #[serde(default)]
    pub pricing: Pricing,
    #[serde(default)]
    pub trial: Trial,
    #[serde(default)]
    pub models: Models,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub caps: Caps,
    #[serde(default)]
    pub settlement: Settlement,
    pub block: Block,
    #[serde(default)]
    pub templates: Templates,
    #[serde(default)]
    pub privacy: Privacy,
    pub metadata: Map<String, Value>,
    /// Starts at 1 and rises with every change.
    pub version: u64,
    pub status: PaywallStatus,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_reason: Option<String>,
    pub secret_last_four: String,
    /// Whether it belongs to a production environment.
    pub livemode: bool,
}

/// Who holds the money of its users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Default,
    Shared,
}

/// Whether one external id is one customer in the environment, or in this paywall only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityScope {
    #[default]
    Environment,
    Paywall,
}

/// The operator's part inside a charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fees {
    pub processing_percent: Amount,
    pub processing_fixed: Amount,
}

impl Fees {
    /// The operator's part of a charge: never more than the charge itself.
    pub fn of(&self, charge: Amount) -> Amount {
        (charge.percent(self.processing_percent) + self.processing_fixed).min(charge)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    pub rail: Rail,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topup_url: Option<String>,
}

/// How users bring money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rail {
    #[default]
    None,
    Custom,
    Stripe,
}

/// What a provider sees of the user's id in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardUser {
    #[default]
    AsIs,
    Hash,
    Drop,
}

/// How refusals are told, by what refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Block {
    pub style: BlockStyle,
    /// For day quotas and spend caps; none: as `style`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_style: Option<BlockStyle>,
    /// For failures of a provider.
    pub provider_style: BlockStyle,
}

impl Default for Block {
    fn default() -> Block {
        let provider_style = BlockStyle::Error;
        Block { style: BlockStyle::Message, limit_style: None, provider_style }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Privacy {
    pub store_prompts: bool,
}

/// How a refusal for want of money is told: as a message to the user, or as an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockStyle {
    #[default]
    Message,
    Error,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaywallStatus {
    #[default]
    Active,
    Archived,
}

impl Paywall {
    pub fn is_archived(&self) -> bool {
        self.status == PaywallStatus::Archived
    }

    /// The archived paywall; None when it is archived already.
    pub fn archive(&self, reason: Option<String>, at: Timestamp) -> Option<Paywall> {
        (!self.is_archived()).then(|| Paywall {
            status: PaywallStatus::Archived,
            archived_at: Some(at),
            archive_reason: reason,
            updated_at: at,
            version: self.version + 1,
            ..self.clone()
        })
    }

    /// The paywall at work again; None when it is.
    pub fn unarchive(&self, at: Timestamp) -> Option<Paywall> {
        self.is_archived().then(|| Paywall {
            status: PaywallStatus::Active,
            archived_at: None,
            archive_reason: None,
            updated_at: at,
            version: self.version + 1,
            ..self.clone()
        })
    }

    /// What the customer of one of its users is called in the environment.
    pub fn customer_external_id(&self, user: &ExternalUser) -> String {
        match self.identity_scope {
            IdentityScope::Environment => user.as_str().to_owned(),
            IdentityScope::Paywall => format!("{}:{user}", self.id),
        }
    }
}

/// Paywalls show the currency in upper case; the rest of the product stores lower case.
pub(crate) mod upper_case {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::currency::Currency;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
    pub fn serialize<S: Serializer>(currency: &Currency, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&currency.upper())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
        Currency::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(super) fn paywall() -> Paywall {
        let birth =
            Birth { id: PaywallId::default(), at: Timestamp::default(), ..Birth::default() };
        Paywall::create(&json!({"name": "Chat", "currency": "usd"}), birth).unwrap()
    }

    #[test]
    fn wire_shape_reads_back() {
        let paywall = paywall();
        let wire = serde_json::to_value(&paywall).unwrap();
        assert_eq!(wire["currency"], "USD");
        assert_eq!(wire["payment"], json!({"rail": "none"}));
        assert_eq!(wire["fees"], json!({"processingPercent": "0", "processingFixed": "0"}));
        assert_eq!(wire["identityScope"], "environment");
        assert_eq!(wire["secretLastFour"], "");
        assert_eq!(serde_json::from_value::<Paywall>(wire).unwrap(), paywall);
    }

    #[test]
    fn archiving_and_back_each_happen_once() {
        let (at, paywall) = (Timestamp::from_millis(9), paywall());
        assert_eq!(paywall.unarchive(at), None);
        let archived = paywall.archive(Some("old".to_owned()), at).unwrap();
        assert_eq!((archived.archived_at, archived.version), (Some(at), 2));
        assert_eq!(archived.archive(None, at), None);
        let back = archived.unarchive(at).unwrap();
        assert_eq!((back.archived_at, back.archive_reason, back.version), (None, None, 3));
    }

    #[test]
    fn customers_may_be_kept_apart() {
        let user = ExternalUser::parse("ann").unwrap();
        let mut paywall = paywall();
        assert_eq!(paywall.customer_external_id(&user), "ann");
        paywall.identity_scope = IdentityScope::Paywall;
        assert_eq!(paywall.customer_external_id(&user), format!("{}:ann", paywall.id));
    }
}
