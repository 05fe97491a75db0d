//! What a paywall allows in rate, number and size of requests, and in money spent (paywalls 15,
//! 17). Numbers only: the rules that apply them are the proxy's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::amount::Amount;

/// Limits by (paywall, user); what is none does not bind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Requests that may come at once, above the even pace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// In one calendar day of the paywall's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u64>,
    /// As `max_requests`, for single models.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub max_requests_per_model: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens_per_request: Option<u64>,
    /// A clamp to less than this is a refusal.
    pub min_output_tokens: u64,
    pub default_output_tokens: u64,
    /// Part of the available money, 0 to 1, that a request without a cap may hold as it is.
    pub uncapped_share: Amount,
    pub stream_step_tokens: u64,
    pub on_short: OnShort,
    pub drain_seconds: u64,
    pub request_seconds: u64,
    pub first_byte_seconds: u64,
    pub idle_seconds: u64,
}

/// What becomes of a request that the money affords in part only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnShort {
    #[default]
    Clamp,
    Block,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            requests_per_second: None,
            requests_per_minute: None,
            burst: None,
            max_requests: None,
            max_requests_per_model: BTreeMap::new(),
            concurrency: None,
            max_tokens_per_request: None,
            min_output_tokens: 16,
            default_output_tokens: 4_096,
            uncapped_share: Amount::from_nanos(250_000_000),
            stream_step_tokens: 4_096,
            on_short: OnShort::Clamp,
            drain_seconds: 30,
            request_seconds: 600,
            first_byte_seconds: 300,
            idle_seconds: 120,
        }
    }
}

/// Money charged and held in a calendar day or month of the paywall's zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Caps {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_day: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_month: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paywall_day: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paywall_month: Option<Amount>,
}
