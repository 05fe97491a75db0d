//! `data` of the events of proxied requests and metered charges (paywalls 20.3, rows 17 to 19 and
//! 23 to 27).
//!
//! Each type writes its own fields into the `Data` that already names paywall and owner; who tells
//! which event, and when, is not decided here.

use serde_json::{Value, json};

use super::paywall::{Data, Subject};
use crate::amount::Amount;
use crate::currency::Currency;
use crate::id::{CustomerId, PriceId, RequestId, SettlementId, TransactionId};
use crate::proxy::Bill;
use crate::proxy::vector::{Class, Quantities};
use crate::time::Timestamp;

/// The request that all events of one call name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    pub request: RequestId,
    pub user: CustomerId,
    pub external_user: &'a str,
    /// As the client asked for it.
    pub model: &'a str,
}

/// Tokens that were metered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    pub quantities: Quantities,
    /// By our own count: the provider gave none.
    pub estimated: bool,
}

impl Call<'_> {
    /// Subject of `paywall.proxy.*` and `paywall.request.*`.
    pub fn subject(&self) -> Subject {
        self.subject_of("paywall.request", self.request.to_string())
    }

    /// Subject of `paywall.usage.*`: the activity where there is one, else the request.
    pub fn usage_subject(&self, activity: Option<TransactionId>) -> Subject {
        let id = activity.map_or_else(|| self.request.to_string(), |id| id.to_string());
        self.subject_of("paywall.usage", id)
    }

    fn subject_of(&self, kind: &'static str, id: String) -> Subject {
        Subject { kind, id, external_id: Some(self.external_user.to_owned()) }
    }

    fn named(&self, data: Data) -> Data {
        data.with("requestId", self.request.to_string())
            .with("walletUserId", self.user.to_string())
            .with("externalUserId", self.external_user)
            .with("model", self.model)
    }
}

impl Metered {
    fn json(&self) -> Value {
        let count = |class| self.quantities.get(class);
        let (prompt, completion) =
            (self.quantities.prompt_tokens(), self.quantities.completion_tokens());
        json!({
            "promptTokens": prompt,
            "completionTokens": completion,
            "totalTokens": prompt.saturating_add(completion),
            "cachedTokens": count(Class::CachedInput),
            "cacheWriteTokens": self.cache_writes(),
            "reasoningTokens": count(Class::Reasoning),
            "audioTokens": self.audio(),
            "estimated": self.estimated,
        })
    }

    fn cache_writes(&self) -> u64 {
        let quantities = &self.quantities;
        quantities.get(Class::CacheWrite).saturating_add(quantities.get(Class::CacheWrite1h))
    }

    fn audio(&self) -> u64 {
        let quantities = &self.quantities;
        quantities.get(Class::AudioInput).saturating_add(quantities.get(Class::AudioOutput))
    }
}

/// `paywall.usage.charge.created`.
#[derive(Clone, Copy, Debug)]
pub struct UsageCharge {
    pub activity: TransactionId,
    pub settlement: SettlementId,
    pub metered: Metered,
    pub bill: Bill,
    /// The part of the amount that the wallet did not have and that nobody owes.
    pub uncollected: Amount,
    pub currency: Currency,
    pub price: Option<PriceId>,
    /// It was told before that this charge would follow.
    pub was_deferred: bool,
}

impl UsageCharge {
    pub fn data(&self, data: Data, call: &Call<'_>) -> Data {
        let (metered, request) = (&self.metered, call.request.to_string());
        let count = |class| metered.quantities.get(class);
        call.named(data)
            .with("activityId", self.activity.to_string())
            .with("promptTokens", metered.quantities.prompt_tokens())
            .with("completionTokens", metered.quantities.completion_tokens())
            .cost("cost", self.bill.cost)
            .maybe("deferredRequestId", self.was_deferred.then_some(request))
            .with("settlementReference", self.settlement.to_string())
            .money("amount", self.bill.amount)
            .with("currency", self.currency.upper())
            .maybe("priceId", self.price.map(|id| id.to_string()))
            .with("cachedTokens", count(Class::CachedInput))
            .with("cacheWriteTokens", metered.cache_writes())
            .with("reasoningTokens", count(Class::Reasoning))
            .with("audioTokens", metered.audio())
            .with("estimated", metered.estimated)
            .money("uncollected", self.uncollected)
    }
}

/// `paywall.usage.charge.deferred`.
#[derive(Clone, Copy, Debug)]
pub struct Deferred {
    pub held: Amount,
    pub currency: Currency,
}

impl Deferred {
    pub fn data(&self, data: Data, call: &Call<'_>) -> Data {
        call.named(data)
            .with("deferredRequestId", call.request.to_string())
            .money("heldAmount", self.held)
            .with("currency", self.currency.upper())
    }
}

/// `paywall.usage.rate.limited`, once for each user, day and limit.
#[derive(Clone, Copy, Debug)]
pub struct RateLimited<'a> {
    /// Setting that refused, such as `maxRequests`.
    pub limit_key: &'a str,
    pub limit: u64,
    pub used: u64,
    /// `second`, `minute` or `day`.
    pub window: &'a str,
    /// The day in the paywall's zone, `YYYY-MM-DD`.
    pub date: &'a str,
    pub reset_at: Timestamp,
}

impl RateLimited<'_> {
    pub fn data(&self, data: Data, call: &Call<'_>) -> Data {
        call.named(data)
            .with("limit", self.limit)
            .with("date", self.date)
            .with("window", self.window)
            .with("resetAt", self.reset_at.to_string())
            .with("limitKey", self.limit_key)
            .with("used", self.used)
    }
}

/// `paywall.proxy.request.started`.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    pub stream: bool,
    /// Path of the route, such as `/v1/chat/completions`.
    pub endpoint: &'a str,
}

impl Started<'_> {
    pub fn data(&self, data: Data, call: &Call<'_>) -> Data {
        call.named(data).with("stream", self.stream).with("endpoint", self.endpoint)
    }
}

/// `paywall.proxy.request.completed`.
#[derive(Clone, Copy, Debug)]
pub struct Completed<'a> {
    pub metered: Metered,
    pub latency_ms: u64,
    pub provider: &'a str,
    pub finish_reason: Option<&'a str>,
    /// The stream was cut because money or a limit ended.
    pub cut: bool,
    /// Absent where the charge follows.
    pub activity: Option<TransactionId>,
}

impl Completed<'_> {
    pub fn data(&self, data: Data, call: &Call<'_>) -> Data {
        call.named(data)
            .with("usage", self.metered.json())
            .with("latencyMs", self.latency_ms)
            .with("provider", self.provider)
            .maybe("finishReason", self.finish_reason)
            .with("cut", self.cut)
            .maybe("activityId", self.activity.map(|id| id.to_string()))
    }
}

/// `paywall.proxy.request.failed`.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// One of paywalls 16.6, or `node_lost`.
    pub error_code: &'a str,
    /// What the provider answered.
    pub http_status: Option<u16>,
    pub provider: Option<&'a str>,
    /// What had been delivered.
    pub metered: Option<Metered>,
}

impl Failed<'_> {
    pub fn data(&self, data: Data, call: &Call<'_>) -> Data {
        call.named(data)
            .with("errorCode", self.error_code)
            .maybe("httpStatus", self.http_status)
            .maybe("provider", self.provider)
            .maybe("usage", self.metered.map(|metered| metered.json()))
    }
}

/// `paywall.proxy.request.canceled`.
#[derive(Clone, Copy, Debug)]
pub struct Canceled<'a> {
    /// `client` or `shutdown`.
    pub canceled_by: &'a str,
    pub metered: Metered,
}

impl Canceled<'_> {
    pub fn data(&self, data: Data, call: &Call<'_>) -> Data {
        call.named(data).with("usage", self.metered.json()).with("canceledBy", self.canceled_by)
    }
}

/// `paywall.proxy.request.blocked`.
#[derive(Clone, Copy, Debug)]
pub struct Blocked<'a> {
    pub reason: &'a str,
}

impl Blocked<'_> {
    pub fn data(&self, data: Data, call: &Call<'_>) -> Data {
        call.named(data).with("reason", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PaywallId, TenantId};
    use crate::proxy::Price;

    const CALL: Call<'static> = Call {
        request: RequestId(crate::id::Ulid(1)),
        user: CustomerId(crate::id::Ulid(2)),
        external_user: "ann",
        model: "gpt-5",
    };

    fn metered() -> Metered {
        let quantities = Quantities::default()
            .with(Class::Input, 10)
            .with(Class::CachedInput, 5)
            .with(Class::CacheWrite, 1)
            .with(Class::CacheWrite1h, 2)
            .with(Class::Output, 20)
            .with(Class::Reasoning, 7)
            .with(Class::AudioOutput, 3);
        Metered { quantities, estimated: false }
    }

    fn base() -> Data {
        Data::new(PaywallId::default(), TenantId::default())
    }

    fn text(data: &Data) -> String {
        serde_json::to_string(data).unwrap()
    }

    #[test]
    fn a_usage_charge_tells_tokens_cost_and_amount_exactly() {
        let charge = UsageCharge {
            activity: TransactionId::default(),
            settlement: SettlementId::default(),
            metered: metered(),
            bill: Bill {
                cost: Price::parse("0.000000000001").unwrap(),
                amount: Amount::parse("0.000001").unwrap(),
            },
            uncollected: Amount::ZERO,
            currency: Currency::USD,
            price: None,
            was_deferred: true,
        };
        let json = text(&charge.data(base(), &CALL));
        for part in [
            "\"cost\":0.000000000001,\"costDecimal\":\"0.000000000001\"",
            "\"amount\":0.000001,\"amountDecimal\":\"0.000001\"",
            "\"uncollected\":0,\"uncollectedDecimal\":\"0\"",
            "\"promptTokens\":18,\"completionTokens\":30",
            "\"cachedTokens\":5,\"cacheWriteTokens\":3,\"reasoningTokens\":7,\"audioTokens\":3",
            "\"deferredRequestId\":\"req_00000000000000000000000001\"",
            "\"currency\":\"USD\"",
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
        let plain = UsageCharge { was_deferred: false, ..charge };
        assert!(!text(&plain.data(base(), &CALL)).contains("deferredRequestId"));
    }

    #[test]
    fn each_event_has_the_fields_of_its_row() {
        let limited = RateLimited {
            limit_key: "maxRequests",
            limit: 5,
            used: 5,
            window: "day",
            date: "2026-11-22",
            reset_at: Timestamp::default(),
        };
        let deferred = Deferred { held: Amount::units(1), currency: Currency::USD };
        let completed = Completed {
            metered: metered(),
            latency_ms: 5,
            provider: "openai",
            finish_reason: Some("stop"),
            cut: false,
            activity: None,
        };
        let failed = Failed {
            error_code: "provider_error",
            http_status: Some(500),
            provider: None,
            metered: None,
        };
        let table: [(Data, &[&str]); 7] = [
            (
                limited.data(base(), &CALL),
                &["limit", "date", "window", "resetAt", "limitKey", "used"],
            ),
            (
                deferred.data(base(), &CALL),
                &["deferredRequestId", "heldAmount", "heldAmountDecimal"],
            ),
            (
                Started { stream: true, endpoint: "/v1/x" }.data(base(), &CALL),
                &["stream", "endpoint"],
            ),
            (
                completed.data(base(), &CALL),
                &["usage", "latencyMs", "provider", "finishReason", "cut"],
            ),
            (failed.data(base(), &CALL), &["errorCode", "httpStatus"]),
            (
                Canceled { canceled_by: "client", metered: metered() }.data(base(), &CALL),
                &["usage", "canceledBy"],
            ),
            (Blocked { reason: "rate_limited" }.data(base(), &CALL), &["reason"]),
        ];
        for (data, fields) in table {
            let read: Value = serde_json::from_str(&text(&data)).unwrap();
            let every = ["paywallId", "ownerUserId", "requestId", "walletUserId", "model"];
            for field in every.iter().chain(fields) {
                assert!(read.get(field).is_some(), "{field} in {read}");
            }
        }
    }

    #[test]
    fn subjects_are_the_request_or_its_activity() {
        let subject = CALL.subject();
        assert_eq!((subject.kind, subject.id), ("paywall.request", CALL.request.to_string()));
        assert_eq!(CALL.usage_subject(None).id, CALL.request.to_string());
        let activity = TransactionId::default();
        assert_eq!(CALL.usage_subject(Some(activity)).id, activity.to_string());
    }
}
