//! The header lines of one delivery, by the kind of its receiver, and the rules for those that an
//! owner adds.
//!
//! The one place that writes them: the server, the `listen` command and tests send what stands
//! here.

use std::collections::{BTreeMap, BTreeSet};

use super::receiver::ReceiverKind;
use super::signature::{SigningKey, sign, sign_body_hex};
use crate::time::Timestamp;

pub const CUSTOM_HEADERS_MAX: usize = 10;
pub const NAME_BYTES_MAX: usize = 256;
pub const VALUE_BYTES_MAX: usize = 1_024;
pub const MASK: &str = "********";

/// What the sender, the connection and the framing own, for either kind.
const RESERVED: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "accept-encoding",
];
const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "x-paywalls-", "proxy-"];
/// Parts of names whose values are shown to nobody.
const SECRET_PARTS: [&str; 4] = ["auth", "token", "secret", "key"];
const AUTHORIZATION: &str = "authorization";
const USER_AGENT: &str = "user-agent";

/// Everything that the header lines of one attempt depend on.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryFacts<'a> {
    /// Of Farebox, for `user-agent`.
    pub product_version: &'a str,
    pub event_id: &'a str,
    /// As it stands in the body that is sent.
    pub event_type: &'a str,
    /// Of a paywall event, as it stands in the body that is sent.
    pub event_version: &'a str,
    /// `<type>:<id>` of what is counted.
    pub subject: &'a str,
    pub sequence: u64,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Real time of this attempt.
    pub sent_at: Timestamp,
    pub credentials: Credentials<'a>,
    pub custom: &'a BTreeMap<String, String>,
    pub traceparent: Option<&'a str>,
    /// The bytes that go out.
    pub body: &'a [u8],
}

#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Of all live secrets, newest first.
    pub keys: &'a [SigningKey],
    /// The text of the newest secret: it keys the older signature.
    pub newest_secret: &'a str,
    pub bearer: Option<&'a str>,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Why custom headers are refused; which one, by name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("must have at most {CUSTOM_HEADERS_MAX} entries")]
    TooMany,
    #[error("\"{0}\" is not a header name")]
    BadName(String),
    #[error("\"{0}\" is set by Farebox and cannot be replaced")]
    Reserved(String),
    #[error("\"{0}\" is there twice: names differ in more than their case")]
    Twice(String),
    #[error("the value of \"{0}\" must have at most {VALUE_BYTES_MAX} bytes")]
    TooLong(String),
    #[error("the value of \"{0}\" must not contain control characters")]
    BadValue(String),
    #[error("\"{0}\" cannot stand beside a bearer token: give one of them")]
    BesideBearer(String),
}

/// The lines of one attempt, each name once. Custom headers come last.
pub fn delivery_headers(kind: ReceiverKind, facts: &DeliveryFacts<'_>) -> Vec<(String, String)> {
    let mut lines = Vec::with_capacity(20);
    let replaced = |name: &str| facts.custom.keys().any(|key| key.eq_ignore_ascii_case(name));
    push(&mut lines, "content-type", "application/json".to_owned());
    push(&mut lines, "accept-encoding", "identity".to_owned());
    if !replaced(USER_AGENT) {
        push(&mut lines, USER_AGENT, format!("Farebox-Webhooks/{}", facts.product_version));
    }
    push_signed(&mut lines, kind, facts);
    match kind {
        ReceiverKind::Endpoint => push_endpoint(&mut lines, facts),
        ReceiverKind::Subscription => push_subscription(&mut lines, facts),
    }
    if let Some(bearer) = facts.credentials.bearer.filter(|_| !replaced(AUTHORIZATION)) {
        push(&mut lines, AUTHORIZATION, format!("Bearer {bearer}"));
    }
    if let Some(traceparent) = facts.traceparent.filter(|_| !replaced("traceparent")) {
        push(&mut lines, "traceparent", traceparent.to_owned());
    }
    lines.extend(facts.custom.iter().map(|(name, value)| (name.clone(), value.clone())));
    lines
}

fn push(lines: &mut Vec<(String, String)>, name: &str, value: String) {
    lines.push((name.to_owned(), value));
}

/// Id, time and signature; endpoints get them under the names of both client families.
fn push_signed(lines: &mut Vec<(String, String)>, kind: ReceiverKind, facts: &DeliveryFacts<'_>) {
    let seconds = facts.sent_at.seconds();
    let signature = sign(facts.credentials.keys, facts.event_id, seconds, facts.body);
    let families: &[&str] = match kind {
        ReceiverKind::Endpoint => &["webhook", "svix"],
        ReceiverKind::Subscription => &["webhook"],
    };
    for family in families {
        push(lines, &format!("{family}-id"), facts.event_id.to_owned());
        push(lines, &format!("{family}-timestamp"), seconds.to_string());
        push(lines, &format!("{family}-signature"), signature.clone());
    }
}

/// Not signed: they help to route.
fn push_endpoint(lines: &mut Vec<(String, String)>, facts: &DeliveryFacts<'_>) {
    push(lines, "webhook-event", facts.event_type.to_owned());
    push(lines, "webhook-subject", facts.subject.to_owned());
    push(lines, "webhook-sequence", facts.sequence.to_string());
    push(lines, "webhook-attempt", facts.attempt.to_string());
}

fn push_subscription(lines: &mut Vec<(String, String)>, facts: &DeliveryFacts<'_>) {
    let signature = sign_body_hex(facts.credentials.newest_secret, facts.body);
    push(lines, "X-Paywalls-Event", format!("{}@{}", facts.event_type, facts.event_version));
    push(lines, "X-Paywalls-Signature", signature);
    push(lines, "X-Paywalls-Timestamp", facts.sent_at.to_string());
}

/// The rules for headers that an owner adds. `has_bearer` matters to endpoints only: a subscription
/// always has a bearer token, and its own `Authorization` replaces it.
pub fn validate_custom_headers(
    kind: ReceiverKind,
    headers: &BTreeMap<String, String>,
    has_bearer: bool,
) -> Result<(), HeaderError> {
    if headers.len() > CUSTOM_HEADERS_MAX {
        return Err(HeaderError::TooMany);
    }
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        check_name(kind, name, &lower)?;
        check_value(name, value)?;
        if kind == ReceiverKind::Endpoint && has_bearer && lower == AUTHORIZATION {
            return Err(HeaderError::BesideBearer(name.clone()));
        }
        if !seen.insert(lower) {
            return Err(HeaderError::Twice(name.clone()));
        }
    }
    Ok(())
}

fn check_name(kind: ReceiverKind, name: &str, lower: &str) -> Result<(), HeaderError> {
    let is_token = !name.is_empty() && name.bytes().all(is_token_byte);
    if !is_token || name.len() > NAME_BYTES_MAX {
        return Err(HeaderError::BadName(name.chars().take(NAME_BYTES_MAX).collect()));
    }
    let of_endpoints =
        kind == ReceiverKind::Endpoint && (lower == USER_AGENT || lower.starts_with("svix-"));
    if of_endpoints
        || RESERVED.contains(&lower)
        || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        return Err(HeaderError::Reserved(name.to_owned()));
    }
    Ok(())
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.')
        || matches!(byte, b'^'..=b'`' | b'|' | b'~')
}

fn check_value(name: &str, value: &str) -> Result<(), HeaderError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(HeaderError::TooLong(name.to_owned()));
    }
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(HeaderError::BadValue(name.to_owned()));
    }
    Ok(())
}

/// Whether a text can be sent as a bearer token: visible ASCII without blanks.
pub fn is_bearer_token(text: &str) -> bool {
    (1..=VALUE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The headers as they are read back: what may be a credential is masked.
pub fn mask_custom_headers(headers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |name: &String, value: &String| {
        let lower = name.to_ascii_lowercase();
        let secret = SECRET_PARTS.iter().any(|part| lower.contains(part));
        if secret { MASK.to_owned() } else { value.clone() }
    };
    headers.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn custom(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn lines(
        kind: ReceiverKind,
        bearer: Option<&str>,
        custom: &BTreeMap<String, String>,
    ) -> Vec<(String, String)> {
        let keys = [SigningKey::parse(SECRET)];
        let facts = DeliveryFacts {
            product_version: "1.2.3",
            event_id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            event_type: "paywall.updated",
            event_version: "2024-05-01",
            subject: "paywall:pw_1",
            sequence: 17,
            attempt: 2,
            sent_at: Timestamp::from_millis(1_614_265_330_250),
            credentials: Credentials { keys: &keys, newest_secret: SECRET, bearer },
            custom,
            traceparent: None,
            body: br#"{"test": 2432232314}"#,
        };
        delivery_headers(kind, &facts)
    }

    fn text(lines: &[(String, String)]) -> String {
        lines.iter().flat_map(|(name, value)| [name, ": ", value, "\n"]).collect()
    }

    #[test]
    fn endpoints_get_the_names_of_both_client_families() {
        let lines = lines(ReceiverKind::Endpoint, Some("tok"), &custom(&[("X-Team", "pay")]));
        let expected = "\
content-type: application/json
accept-encoding: identity
user-agent: Farebox-Webhooks/1.2.3
webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
webhook-timestamp: 1614265330
webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
svix-id: msg_p5jXN8AQM9LWM0D4loKWxJek
svix-timestamp: 1614265330
svix-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
webhook-event: paywall.updated
webhook-subject: paywall:pw_1
webhook-sequence: 17
webhook-attempt: 2
authorization: Bearer tok
X-Team: pay
";
        assert_eq!(text(&lines), expected);
    }

    #[test]
    fn subscriptions_get_their_own_and_no_other() {
        let lines = lines(ReceiverKind::Subscription, Some("tok"), &custom(&[]));
        let hex = sign_body_hex(SECRET, br#"{"test": 2432232314}"#);
        let expected = format!(
            "\
content-type: application/json
accept-encoding: identity
user-agent: Farebox-Webhooks/1.2.3
webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
webhook-timestamp: 1614265330
webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
X-Paywalls-Event: paywall.updated@2024-05-01
X-Paywalls-Signature: {hex}
X-Paywalls-Timestamp: 2021-02-25T15:02:10.250Z
authorization: Bearer tok
"
        );
        assert_eq!(text(&lines), expected);
    }

    #[test]
    fn a_custom_authorization_replaces_the_bearer_token() {
        let own = custom(&[("AUTHORIZATION", "Basic x"), ("User-Agent", "mine")]);
        let lines = lines(ReceiverKind::Subscription, Some("tok"), &own);
        let mut names: Vec<_> = lines.iter().map(|line| line.0.to_ascii_lowercase()).collect();
        assert!(lines.contains(&("AUTHORIZATION".to_owned(), "Basic x".to_owned())));
        assert!(!text(&lines).contains("tok") && !text(&lines).contains("Farebox-"));
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn custom_headers_keep_to_the_rules() {
        let of = |name: &str| name.to_owned();
        let long = "v".repeat(VALUE_BYTES_MAX + 1);
        let table = [
            ("X-Team", "a\tb", None),
            ("x-ü", "a", Some(HeaderError::BadName(of("x-ü")))),
            ("", "a", Some(HeaderError::BadName(of("")))),
            ("x y", "a", Some(HeaderError::BadName(of("x y")))),
            ("x:", "a", Some(HeaderError::BadName(of("x:")))),
            ("x", &long, Some(HeaderError::TooLong(of("x")))),
            ("x", &long[1..], None),
            ("x", "a\r\nb: c", Some(HeaderError::BadValue(of("x")))),
            ("x", "a\0", Some(HeaderError::BadValue(of("x")))),
            ("x", "ü", None),
            ("Authorization", "Basic x", None),
        ];
        for (name, value, error) in table {
            let result =
                validate_custom_headers(ReceiverKind::Endpoint, &custom(&[(name, value)]), false);
            assert_eq!(result.err(), error, "{name}: {value}");
        }
    }

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        let both = "host Content-Type content-length CONTENT-ENCODING transfer-encoding connection \
            keep-alive te trailer upgrade expect proxy-authorization webhook-id Webhook-X \
            x-paywalls-event accept-encoding";
        let endpoints_only = "user-agent svix-id";
        for name in both.split_whitespace().chain(endpoints_only.split_whitespace()) {
            let headers = custom(&[(name, "a")]);
            let refused = Err(HeaderError::Reserved(name.to_owned()));
            let endpoint = validate_custom_headers(ReceiverKind::Endpoint, &headers, false);
            assert_eq!(endpoint, refused, "{name}");
            let subscription = validate_custom_headers(ReceiverKind::Subscription, &headers, true);
            assert_eq!(subscription.is_err(), both.contains(name), "{name}");
        }
    }

    #[test]
    fn counts_cases_and_bearers_are_checked() {
        let many: BTreeMap<_, _> = (0..11).map(|n| (format!("x-{n}"), String::new())).collect();
        let check = |headers: &BTreeMap<_, _>, bearer| {
            validate_custom_headers(ReceiverKind::Endpoint, headers, bearer)
        };
        assert_eq!(check(&many, false), Err(HeaderError::TooMany));
        let twice = custom(&[("X-A", "1"), ("x-a", "2")]);
        assert_eq!(check(&twice, false), Err(HeaderError::Twice("x-a".to_owned())));
        let own = custom(&[("Authorization", "Basic x")]);
        let refused = Err(HeaderError::BesideBearer("Authorization".to_owned()));
        assert_eq!(check(&own, true), refused);
        assert_eq!(validate_custom_headers(ReceiverKind::Subscription, &own, true), Ok(()));
        assert!(is_bearer_token("abc") && !is_bearer_token("") && !is_bearer_token("a b"));
    }

    #[test]
    fn credentials_are_masked_when_read() {
        let headers = custom(&[("X-Api-KEY", "1"), ("Authorization", "2"), ("x-team", "3")]);
        let masked = mask_custom_headers(&headers);
        assert_eq!(
            masked,
            custom(&[("X-Api-KEY", MASK), ("Authorization", MASK), ("x-team", "3")])
        );
    }
}
