//! Farebox's own headers on a provider's answer (paywalls 7.3).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::proxy::hold::{Clamped, Hold};
use engine::proxy::Settled;

use super::headers;

/// What the client gets of the head, before anything is settled.
pub fn head(provider: &HeaderMap, hold: &Hold) -> HeaderMap {
    let mut headers = headers::for_client(provider);
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
