//! Farebox's own headers on a provider's answer (paywalls 7.3).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::proxy::hold::{Clamped, Hold};
use domain::proxy::limits::Remaining;
use domain::proxy::usage::Protocol;
use domain::time::Timestamp;
use engine::proxy::{Settled, Ticket};

use super::headers;

/// What the client gets of the head, before anything is settled.
pub fn head(provider: &HeaderMap, ticket: &Ticket, now: Timestamp) -> HeaderMap {
    let (mut headers, hold) = (headers::for_client(provider), &ticket.hold);
    if let Some(left) = &ticket.remaining {
        put_limit(&mut headers, left, (ticket.call.protocol, now));
    }
    put(&mut headers, "x-paywall-status", status(hold));
    put(&mut headers, "x-paywall-settlement", "immediate");
    if let Some(tokens) = hold.sent_cap {
        put(&mut headers, "x-paywall-max-tokens", &tokens.to_string());
    }
    if let Some(why) = hold.clamped {
        put(&mut headers, "x-paywall-clamped", reason(why));
    }
    headers
}

/// The tightest limit of the paywall, in the forms that clients read (conventions 5).
fn put_limit(headers: &mut HeaderMap, left: &Remaining, (protocol, now): (Protocol, Timestamp)) {
    let (limit, remaining) = (left.limit.to_string(), left.remaining.to_string());
    let seconds = left.reset_seconds.to_string();
    let plain = [
        ("ratelimit-limit", &limit),
        ("ratelimit-remaining", &remaining),
        ("ratelimit-reset", &seconds),
        ("x-ratelimit-limit", &limit),
        ("x-ratelimit-remaining", &remaining),
        ("x-ratelimit-reset", &seconds),
    ];
    for (name, value) in plain {
        put(headers, name, value);
    }
    if protocol == Protocol::Messages {
        let wait = i64::try_from(left.reset_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        let reset = Timestamp::from_millis(now.millis().saturating_add(wait)).to_string();
        put(headers, "anthropic-ratelimit-requests-limit", &limit);
        put(headers, "anthropic-ratelimit-requests-remaining", &remaining);
        put(headers, "anthropic-ratelimit-requests-reset", &reset);
    } else {
        put(headers, "x-ratelimit-limit-requests", &limit);
        put(headers, "x-ratelimit-remaining-requests", &remaining);
        put(headers, "x-ratelimit-reset-requests", &format!("{seconds}s"));
    }
}

/// What a plain answer tells of its settlement.
pub fn put_settled(headers: &mut HeaderMap, settled: &Settled) {
    put(headers, "x-paywall-cost", &settled.amount.to_string());
    put(headers, "x-paywall-balance", &settled.available.to_string());
    if let Some(activity) = settled.activity {
        put(headers, "x-paywall-activity", &activity.to_string());
    }
    if settled.estimated {
        put(headers, "x-paywall-estimated", "true");
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

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
