//! Farebox's own headers on a provider's answer (paywalls 7.3).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::proxy::hold::{Clamped, Hold};
use domain::proxy::limits::Remaining;
use domain::proxy::usage::Protocol;
use domain::time::Timestamp;
use engine::proxy::{Settled, Ticket};

use super::headers;

/// Names are checked when this is compiled, not with every answer.
mod name {
    use super::HeaderName;

    pub static STATUS: HeaderName = HeaderName::from_static("x-paywall-status");
    pub static SETTLEMENT: HeaderName = HeaderName::from_static("x-paywall-settlement");
    pub static MAX_TOKENS: HeaderName = HeaderName::from_static("x-paywall-max-tokens");
    pub static CLAMPED: HeaderName = HeaderName::from_static("x-paywall-clamped");
    pub static COST: HeaderName = HeaderName::from_static("x-paywall-cost");
    pub static BALANCE: HeaderName = HeaderName::from_static("x-paywall-balance");
    pub static ACTIVITY: HeaderName = HeaderName::from_static("x-paywall-activity");
    pub static ESTIMATED: HeaderName = HeaderName::from_static("x-paywall-estimated");

    /// Limit, remaining, reset.
    type Limit = [HeaderName; 3];

    pub static PLAIN_LIMITS: [Limit; 2] = [
        [
            HeaderName::from_static("ratelimit-limit"),
            HeaderName::from_static("ratelimit-remaining"),
            HeaderName::from_static("ratelimit-reset"),
        ],
        [
            HeaderName::from_static("x-ratelimit-limit"),
            HeaderName::from_static("x-ratelimit-remaining"),
            HeaderName::from_static("x-ratelimit-reset"),
        ],
    ];
    pub static OPENAI_LIMIT: Limit = [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ];
    pub static ANTHROPIC_LIMIT: Limit = [
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    ];
}

/// What the client gets of the head, before anything is settled.
pub fn head(provider: &HeaderMap, ticket: &Ticket, now: Timestamp) -> HeaderMap {
    let (mut headers, hold) = (headers::for_client(provider), &ticket.hold);
    if let Some(left) = &ticket.remaining {
        put_limit(&mut headers, left, (ticket.call.protocol, now));
    }
    headers.insert(&name::STATUS, HeaderValue::from_static(status(hold)));
    let settlement = if ticket.is_deferred() { "deferred" } else { "immediate" };
    headers.insert(&name::SETTLEMENT, HeaderValue::from_static(settlement));
    if let Some(tokens) = hold.sent_cap {
        headers.insert(&name::MAX_TOKENS, tokens.into());
    }
    if let Some(why) = hold.clamped {
        headers.insert(&name::CLAMPED, HeaderValue::from_static(reason(why)));
    }
    headers
}

/// The tightest limit of the paywall, in the forms that clients read (conventions 5).
fn put_limit(headers: &mut HeaderMap, left: &Remaining, (protocol, now): (Protocol, Timestamp)) {
    let (limit, remaining) = (HeaderValue::from(left.limit), HeaderValue::from(left.remaining));
    let mut put_all = |names: &'static [HeaderName; 3], reset: HeaderValue| {
        for (name, value) in names.iter().zip([limit.clone(), remaining.clone(), reset]) {
            headers.insert(name, value);
        }
    };
    for names in &name::PLAIN_LIMITS {
        put_all(names, left.reset_seconds.into());
    }
    let (names, reset) = if protocol == Protocol::Messages {
        let wait = i64::try_from(left.reset_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        let reset = Timestamp::from_millis(now.millis().saturating_add(wait));
        (&name::ANTHROPIC_LIMIT, reset.to_string())
    } else {
        (&name::OPENAI_LIMIT, format!("{}s", left.reset_seconds))
    };
    if let Ok(reset) = HeaderValue::try_from(reset) {
        put_all(names, reset);
    }
}

/// What a plain answer tells of its settlement.
pub fn put_settled(headers: &mut HeaderMap, settled: &Settled) {
    put(headers, &name::COST, settled.amount.to_string());
    put(headers, &name::BALANCE, settled.available.to_string());
    if let Some(activity) = settled.activity {
        put(headers, &name::ACTIVITY, activity.to_string());
    }
    if settled.estimated {
        headers.insert(&name::ESTIMATED, HeaderValue::from_static("true"));
    }
}

pub const fn status(hold: &Hold) -> &'static str {
    if hold.clamped.is_some() { "clamped" } else { "ok" }
}

const fn reason(why: Clamped) -> &'static str {
    match why {
        Clamped::Balance => "balance",
        Clamped::Default => "default",
        Clamped::Limit => "limit",
        Clamped::Cap => "cap",
        Clamped::MaxCost => "max_cost",
    }
}

fn put(headers: &mut HeaderMap, name: &'static HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
