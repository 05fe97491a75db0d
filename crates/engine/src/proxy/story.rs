//! The story of one request: everything that explains what it cost, or why it was refused. Stored
//! as JSON with the request and shown to the owner as it is. Prompts and answers are never in it.

use domain::amount::Amount;
use domain::id::{CustomerId, HoldId, PaywallId, RequestId, SettlementId, TransactionId};
use domain::proxy::hold::Hold;
use domain::proxy::vector::{Class, Quantities};
use domain::proxy::{Price, Pricing, Tariff};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Call, Target};
use crate::users::Sight;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Open,
    Completed,
    Canceled,
    Failed,
    Blocked,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    pub request_id: RequestId,
    pub paywall_id: PaywallId,
    pub status: Status,
    pub endpoint: String,
    pub stream: bool,
    pub external_user_id: String,
    pub wallet_user_id: CustomerId,
    pub requested_model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The rule that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_source: Option<String>,
    /// Price row and settings in force when the hold was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Tariff>,
    pub pricing: Pricing,
    pub decimals: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldStory>,
    /// It was told that a charge would follow.
    pub deferred: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<ChargeStory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    pub cut: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Types of its events, in order.
    pub events: Vec<String>,
}

/// What was reserved, and on which figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldStory {
    pub amount: Amount,
    pub hold_ids: Vec<HoldId>,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_cap: Option<u64>,
    /// Why the output was shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamped: Option<String>,
    pub affordable_tokens: u64,
    pub estimate: Value,
}

/// Tokens by class, and whose count it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageStory {
    /// `provider` or `counted`.
    pub source: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub tokens: serde_json::Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_cost: Option<Price>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeStory {
    /// What the provider takes.
    pub cost: Price,
    /// What the user pays: rounded up once to the paywall's decimals.
    pub amount: Amount,
    /// The part that the wallet did not have.
    pub uncollected: Amount,
    pub activity_id: TransactionId,
    pub settlement_reference: SettlementId,
    /// Quantity and price of each class that was charged.
    pub parts: Value,
}

impl Story {
    pub(super) fn begun(call: &Call, sight: &Sight, at: Timestamp) -> Story {
        let paywall = &call.paywall.paywall;
        Story {
            request_id: call.request(),
            paywall_id: paywall.id,
            status: Status::Open,
            endpoint: call.endpoint.to_owned(),
            stream: call.ask.stream,
            external_user_id: call.user.as_str().to_owned(),
            wallet_user_id: sight.customer,
            requested_model: call.ask.model.clone(),
            model: None,
            provider: None,
            started_at: at,
            ended_at: None,
            reason: None,
            limit_source: None,
            price: None,
            pricing: paywall.pricing.clone(),
            decimals: paywall.decimals,
            hold: None,
            deferred: false,
            usage: None,
            charge: None,
            error_code: None,
            http_status: None,
            finish_reason: None,
            cut: false,
            latency_ms: None,
            events: Vec::new(),
        }
    }

    pub(super) fn aimed(&mut self, target: &Target) {
        self.model = Some(target.model.clone());
        self.provider = Some(target.provider.name.clone());
        self.price.clone_from(&target.tariff);
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl HoldStory {
    pub(super) fn of(hold: &Hold, id: HoldId) -> HoldStory {
        let clamped = hold.clamped.and_then(|why| serde_json::to_value(why).ok());
        HoldStory {
            amount: hold.amount,
            hold_ids: vec![id],
            prompt_tokens: hold.estimate.prompt_tokens,
            output_tokens: hold.output_tokens,
            sent_cap: hold.sent_cap,
            clamped: clamped.and_then(|why| why.as_str().map(str::to_owned)),
            affordable_tokens: hold.affordable_tokens,
            estimate: serde_json::to_value(hold.estimate).unwrap_or_default(),
        }
    }
}

impl UsageStory {
    pub(super) fn of(quantities: &Quantities, cost: Option<Price>, estimated: bool) -> UsageStory {
        let classes = Class::ALL.into_iter().map(|class| (class, quantities.get(class)));
        let used = classes.filter(|(_, count)| *count > 0);
        UsageStory {
            source: if estimated { "counted" } else { "provider" }.to_owned(),
            prompt_tokens: quantities.prompt_tokens(),
            completion_tokens: quantities.completion_tokens(),
            tokens: used.map(|(class, count)| (class.name().to_owned(), count.into())).collect(),
            provider_cost: cost,
        }
    }
}
