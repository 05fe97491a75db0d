//! The story of one request: everything that explains what it cost, or why it was refused. Stored
//! in a few bytes (`packed`) and shown to the owner as JSON. Prompts and answers are never in it.
//!
//! It is also the record of the request's events (`event::story`), so what an event tells is
//! written once and never changed.

use serde::{Serialize, Serializer};

use super::estimate::Estimate;
use super::hold::{Clamped, Hold};
use super::vector::Quantities;
use super::{Bill, Part, Price, Pricing, Tariff};
use crate::amount::Amount;
use crate::currency::Currency;
use crate::id::{CustomerId, HoldId, PaywallId, RequestId, SettlementId, TransactionId};
use crate::paywall::SettlementMode;
use crate::time::Timestamp;
use crate::webhook::catalogue::EventType;

mod packed;

pub use packed::Packed;

const COUNTED: &str = "counted";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Open,
    Completed,
    Canceled,
    Failed,
    Blocked,
}

#[derive(Clone, Debug, Serialize)]
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
    pub settlement: SettlementMode,
    #[serde(with = "crate::paywall::upper_case")]
    pub currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    pub started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The rule that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_source: Option<String>,
    /// Price row and settings in force when the hold was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Tariff>,
    pub pricing: Pricing,
    pub decimals: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldStory>,
    /// It was told that a charge would follow, and what was held then.
    pub deferred: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deferred_amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge: Option<ChargeStory>,
    /// What it came to, until a batch charges it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Bill>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    pub cut: bool,
    /// `client` or `shutdown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canceled_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Types of its events, in order.
    #[serde(serialize_with = "names")]
    pub events: Vec<EventType>,
}

/// What was reserved, and on which figures.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldStory {
    pub amount: Amount,
    pub hold_ids: Vec<HoldId>,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_cap: Option<u64>,
    /// Why the output was shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clamped: Option<Clamped>,
    pub affordable_tokens: u64,
    pub estimate: Estimate,
}

/// Tokens by class, and whose count it is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageStory {
    /// `provider` or `counted`.
    pub source: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub tokens: Quantities,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_cost: Option<Price>,
}

#[derive(Clone, Debug, Serialize)]
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
    pub parts: Vec<Part>,
}

fn names<S: Serializer>(events: &[EventType], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(events.iter().map(|kind| kind.name()))
}

impl HoldStory {
    pub fn of(hold: &Hold, id: HoldId) -> HoldStory {
        HoldStory {
            amount: hold.amount,
            hold_ids: vec![id],
            prompt_tokens: hold.estimate.prompt_tokens,
            output_tokens: hold.output_tokens,
            sent_cap: hold.sent_cap,
            clamped: hold.clamped,
            affordable_tokens: hold.affordable_tokens,
            estimate: hold.estimate,
        }
    }
}

impl UsageStory {
    pub fn is_estimated(&self) -> bool {
        self.source == COUNTED
    }

    pub fn of(quantities: &Quantities, cost: Option<Price>, estimated: bool) -> UsageStory {
        UsageStory {
            source: if estimated { COUNTED } else { "provider" }.to_owned(),
            prompt_tokens: quantities.prompt_tokens(),
            completion_tokens: quantities.completion_tokens(),
            tokens: *quantities,
            provider_cost: cost,
        }
    }
}
