//! Which headers pass between client and provider (paywalls 7.3, 16.3).
//!
//! What speaks of one connection, of credentials, or of the provider's own limits stays on its
//! side; everything else passes, known or not.

use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use domain::paywall::ProviderSecrets;
use domain::proxy::usage::Protocol;

const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Room for what is added to the headers that pass.
const ADDED: usize = 8;

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
static UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");

/// Of one connection.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "content-length"
            | "host"
    )
}

/// Credentials, what is said to us alone, and what tells the provider who the user is.
fn stays_here(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "x-api-key"
            | "api-key"
            | "cookie"
            | "accept-encoding"
            | "expect"
            | "idempotency-key"
            | "forwarded"
            | "x-real-ip"
            | "via"
            | "openai-organization"
            | "openai-project"
            | "x-request-id"
    ) || name.starts_with("x-paywall-")
        || name.starts_with("x-forwarded-")
}

/// What a provider says of itself, of its operator's account, or of its connection.
fn stays_there(name: &str) -> bool {
    matches!(
        name,
        "set-cookie"
            | "x-request-id"
            | "request-id"
            | "retry-after"
            | "x-should-retry"
            | "date"
            | "server"
            | "via"
            | "alt-svc"
            | "strict-transport-security"
            | "cf-ray"
            | "cf-cache-status"
            | "openai-organization"
            | "openai-project"
            | "anthropic-organization-id"
    ) || name.starts_with("ratelimit")
        || name.starts_with("x-paywall-")
        || name.starts_with("x-ratelimit-")
        || name.starts_with("anthropic-ratelimit-")
}

/// What the provider gets: the client's headers, and the connection's own key and headers.
pub fn for_provider(
    client: &HeaderMap,
    secrets: &ProviderSecrets,
    protocol: Protocol,
) -> HeaderMap {
    let mut headers = passing(client, stays_here);
    // The body has been read as JSON, whatever the client called it.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut put = |name: HeaderName, value: String| {
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    match (&secrets.key, protocol) {
        (Some(key), Protocol::Messages) => put(X_API_KEY.clone(), key.clone()),
        (Some(key), _) => put(AUTHORIZATION, ["Bearer ", key].concat()),
        (None, _) => {}
    }
    for (name, value) in &secrets.headers {
        if let Ok(name) = name.parse() {
            put(name, value.clone());
        }
    }
    if protocol == Protocol::Messages && !headers.contains_key("anthropic-version") {
        headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
    }
    headers
}

/// What the client gets of the provider's headers, with the provider's id of the request.
pub fn for_client(provider: &HeaderMap) -> HeaderMap {
    let mut headers = passing(provider, stays_there);
    if let Some(id) = upstream_request(provider) {
        headers.insert(&UPSTREAM_REQUEST_ID, id.clone());
    }
    headers
}

pub fn upstream_request(provider: &HeaderMap) -> Option<&HeaderValue> {
    provider.get(&X_REQUEST_ID).or_else(|| provider.get(&REQUEST_ID))
}

fn passing(headers: &HeaderMap, stays: impl Fn(&str) -> bool) -> HeaderMap {
    let of_connection: Vec<&str> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let named = |name: &str| of_connection.iter().any(|other| other.eq_ignore_ascii_case(name));
    let mut passing = HeaderMap::with_capacity(headers.len() + ADDED);
    for (name, value) in headers {
        let text = name.as_str();
        if !is_hop_by_hop(text) && !stays(text) && !named(text) {
            passing.append(name, value.clone());
        }
    }
    passing
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
