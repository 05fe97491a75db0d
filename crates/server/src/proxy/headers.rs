//! Which headers pass between client and provider (paywalls 7.3, 16.3).
//!
//! What speaks of one connection, of credentials, or of the provider's own limits stays on its
//! side; everything else passes, known or not.

use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use domain::paywall::ProviderSecrets;
use domain::proxy::usage::Protocol;

const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Of one connection.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "host",
];

/// Credentials, what is said to us alone, and what tells the provider who the user is.
const STAY_HERE: [&str; 13] = [
    "authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "accept-encoding",
    "expect",
    "idempotency-key",
    "forwarded",
    "x-real-ip",
    "via",
    "openai-organization",
    "openai-project",
    "x-request-id",
];
const STAY_HERE_BY_PREFIX: [&str; 2] = ["x-paywall-", "x-forwarded-"];

/// What a provider says of itself, of its operator's account, or of its connection.
const STAY_THERE: [&str; 15] = [
    "set-cookie",
    "x-request-id",
    "request-id",
    "retry-after",
    "x-should-retry",
    "date",
    "server",
    "via",
    "alt-svc",
    "strict-transport-security",
    "cf-ray",
    "cf-cache-status",
    "openai-organization",
    "openai-project",
    "anthropic-organization-id",
];
const STAY_THERE_BY_PREFIX: [&str; 4] =
    ["x-ratelimit-", "anthropic-ratelimit-", "ratelimit", "x-paywall-"];

/// What the provider gets: the client's headers, and the connection's own key and headers.
pub fn for_provider(
    client: &HeaderMap,
    secrets: &ProviderSecrets,
    protocol: Protocol,
) -> HeaderMap {
    let mut headers = passing(client, &STAY_HERE, &STAY_HERE_BY_PREFIX);
    // The body has been read as JSON, whatever the client called it.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut put = |name: &str, value: &str| {
        if let (Ok(name), Ok(mut value)) =
            (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    match (&secrets.key, protocol) {
        (Some(key), Protocol::Messages) => put("x-api-key", key),
        (Some(key), _) => put("authorization", &format!("Bearer {key}")),
        (None, _) => {}
    }
    for (name, value) in &secrets.headers {
        put(name, value);
    }
    if protocol == Protocol::Messages && !headers.contains_key("anthropic-version") {
        headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
    }
    headers
}

/// What the client gets of the provider's headers, with the provider's id of the request.
pub fn for_client(provider: &HeaderMap) -> HeaderMap {
    let mut headers = passing(provider, &STAY_THERE, &STAY_THERE_BY_PREFIX);
    if let Some(id) = upstream_request(provider) {
        headers.insert("x-upstream-request-id", id.clone());
    }
    headers
}

pub fn upstream_request(provider: &HeaderMap) -> Option<&HeaderValue> {
    provider.get("x-request-id").or_else(|| provider.get("request-id"))
}

fn passing(headers: &HeaderMap, names: &[&str], prefixes: &[&str]) -> HeaderMap {
    let of_connection: Vec<&str> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let stays = |name: &str| {
        HOP_BY_HOP.contains(&name)
            || names.contains(&name)
            || prefixes.iter().any(|prefix| name.starts_with(prefix))
            || of_connection.iter().any(|other| other.eq_ignore_ascii_case(name))
    };
    let pass = headers.iter().filter(|(name, _)| !stays(name.as_str()));
    pass.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn secrets() -> ProviderSecrets {
        let headers = [("x-team".to_owned(), "blue".to_owned())].into();
        ProviderSecrets { key: Some("sk-real".to_owned()), headers }
    }

    #[test]
    fn the_provider_sees_its_own_key_and_nothing_of_ours() {
        let client = map(&[
            ("authorization", "Bearer pw_ours"),
            ("x-api-key", "pw_ours"),
            ("x-paywall-key", "pw_ours"),
            ("x-paywall-user", "ann"),
            ("cookie", "a=b"),
            ("accept-encoding", "gzip"),
            ("connection", "keep-alive, X-Odd"),
            ("x-odd", "1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("anthropic-beta", "tools"),
            ("user-agent", "sdk"),
            ("content-type", "application/x-www-form-urlencoded"),
        ]);
        let sent = for_provider(&client, &secrets(), Protocol::Chat);
        let expected = map(&[
            ("anthropic-beta", "tools"),
            ("user-agent", "sdk"),
            ("content-type", "application/json"),
            ("authorization", "Bearer sk-real"),
            ("x-team", "blue"),
        ]);
        assert_eq!(sent, expected);
        let sent = for_provider(&map(&[]), &secrets(), Protocol::Messages);
        let expected = map(&[
            ("content-type", "application/json"),
            ("x-api-key", "sk-real"),
            ("x-team", "blue"),
            ("anthropic-version", ANTHROPIC_VERSION),
        ]);
        assert_eq!(sent, expected);
        let own = map(&[("anthropic-version", "2024-01-01")]);
        let sent = for_provider(&own, &secrets(), Protocol::Messages);
        assert_eq!(sent["anthropic-version"], "2024-01-01");
    }

    #[test]
    fn the_client_sees_the_providers_request_id_and_none_of_its_limits() {
        let provider = map(&[
            ("content-type", "application/json"),
            ("x-request-id", "req_1"),
            ("x-ratelimit-limit-requests", "5"),
            ("anthropic-ratelimit-requests-limit", "5"),
            ("set-cookie", "a=b"),
            ("transfer-encoding", "chunked"),
            ("openai-organization", "acme"),
            ("openai-processing-ms", "12"),
        ]);
        let expected = map(&[
            ("content-type", "application/json"),
            ("openai-processing-ms", "12"),
            ("x-upstream-request-id", "req_1"),
        ]);
        assert_eq!(for_client(&provider), expected);
    }
}
