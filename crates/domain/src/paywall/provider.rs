//! A provider connection of a paywall: whom the proxy asks, where and with what (paywalls 16.1).
//!
//! The key and the custom headers are read here and kept elsewhere, sealed. Where an address leads
//! is judged by who may look names up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::edit::{PaywallError, Problem};
use super::fields::{count, merge_by_model, model, one_of_or_none, text};
use crate::key::last_four;
use crate::webhook::headers::{mask_custom_headers, validate_custom_headers};
use crate::webhook::receiver::ReceiverKind;

/// Connections of a paywall at most.
pub const PROVIDERS_MAX: usize = 50;
const NAME_BYTES_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 4_096;
const CONNECT_MS_MAX: u64 = 30_000;
const CONNECT_MS_DEFAULT: u64 = 5_000;
const SECONDS_MAX: u64 = 86_400;
const KINDS: &str = "openai, anthropic, openrouter, together, compatible, fake";

/// Which protocol and which quirks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    Openai,
    Anthropic,
    Openrouter,
    Together,
    /// Any other address that speaks OpenAI's protocol.
    Compatible,
    /// The development server of this product.
    Fake,
}

impl ProviderKind {
    pub const fn name(self) -> &'static str {
        match self {
            ProviderKind::Openai => "openai",
            ProviderKind::Anthropic => "anthropic",
            ProviderKind::Openrouter => "openrouter",
            ProviderKind::Together => "together",
            ProviderKind::Compatible => "compatible",
            ProviderKind::Fake => "fake",
        }
    }

    /// Where it is, unless the owner says otherwise.
    pub const fn base_url(self) -> Option<&'static str> {
        match self {
            ProviderKind::Openai => Some("https://api.openai.com/v1"),
            ProviderKind::Anthropic => Some("https://api.anthropic.com/v1"),
            ProviderKind::Openrouter => Some("https://openrouter.ai/api/v1"),
            ProviderKind::Together => Some("https://api.together.xyz/v1"),
            ProviderKind::Compatible | ProviderKind::Fake => None,
        }
    }

    /// Whether it answers nobody without a key.
    const fn needs_key(self) -> bool {
        self.base_url().is_some()
    }
}

/// A connection without its secrets: as it is stored in clear, and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Unique in the paywall; also the namespace of its models.
    pub name: String,
    pub kind: ProviderKind,
    /// Without a slash at its end.
    pub base_url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_last_four: Option<String>,
    /// Values that may be secret are masked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What clients call a model → what the provider calls it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub model_map: BTreeMap<String, String>,
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// None: as the paywall's limits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    pub connect_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let connect_ms = CONNECT_MS_DEFAULT;
        Timeouts { connect_ms, first_byte_seconds: None, idle_seconds: None }
    }
}

/// What is sealed of a connection.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSecrets {
    pub key: Option<String>,
    pub headers: BTreeMap<String, String>,
}

impl std::fmt::Debug for ProviderSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProviderSecrets")
    }
}

impl ProviderSecrets {
    pub fn is_empty(&self) -> bool {
        self.key.is_none() && self.headers.is_empty()
    }
}

/// A name of a connection: lower case, so that a namespace has one spelling.
pub fn is_provider_name(name: &str) -> bool {
    let inner = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(inner);
    fits && !name.starts_with(['-', '_'])
}

impl Provider {
    /// The connection that a body makes, with its secrets. `before` is what stood under the name:
    /// its key stays where the body gives none and the address is the same, so that nobody can
    /// send a key on to an address of his own.
    pub fn read(
        name: &str,
        body: &Value,
        before: Option<(&Provider, &ProviderSecrets)>,
    ) -> Result<(Provider, ProviderSecrets), PaywallError> {
        let members = body.as_object().ok_or_else(|| at("", Problem::NotAnObject))?;
        let draft = Draft::read(members)?;
        let kind = draft.kind.ok_or_else(|| at("kind", Problem::Missing))?;
        let base_url = draft.base_url.or_else(|| kind.base_url().map(str::to_owned));
        let base_url = base_url.ok_or_else(|| at("baseUrl", Problem::Missing))?;
        let same = before.filter(|(old, _)| old.kind == kind && old.base_url == base_url);
        let kept = same.and_then(|(_, secrets)| secrets.key.clone());
        let key = draft.key.or_else(|| kept.filter(|_| !draft.takes_key_away));
        if key.is_none() && kind.needs_key() {
            return Err(at("key", Problem::Missing));
        }
        validate_custom_headers(ReceiverKind::Endpoint, &draft.headers, key.is_some())
            .map_err(|_| at("headers", Problem::NotHeaders))?;
        let provider = Provider {
            name: name.to_owned(),
            kind,
            base_url,
            key_last_four: key.as_deref().map(shown_end),
            headers: mask_custom_headers(&draft.headers),
            model_map: draft.model_map,
            timeouts: draft.timeouts,
        };
        Ok((provider, ProviderSecrets { key, headers: draft.headers }))
    }

    /// What the provider itself calls a model.
    pub fn model_for<'m>(&'m self, model: &'m str) -> &'m str {
        self.model_map.get(model).map_or(model, String::as_str)
    }
}

/// The last four characters, unless that were most of the key.
fn shown_end(key: &str) -> String {
    if key.len() < 12 { String::new() } else { last_four(key) }
}

fn at(param: &str, problem: Problem) -> PaywallError {
    PaywallError::new(param, problem)
}

#[derive(Default)]
struct Draft {
    kind: Option<ProviderKind>,
    base_url: Option<String>,
    key: Option<String>,
    takes_key_away: bool,
    headers: BTreeMap<String, String>,
    model_map: BTreeMap<String, String>,
    timeouts: Timeouts,
}

impl Draft {
    fn read(members: &Map<String, Value>) -> Result<Draft, PaywallError> {
        let mut draft = Draft::default();
        for (field, value) in members {
            draft.read_field(field, value).map_err(|error| error.under(field))?;
        }
        Ok(draft)
    }

    fn read_field(&mut self, field: &str, value: &Value) -> Result<(), PaywallError> {
        match field {
            "kind" => self.kind = one_of_or_none(value, KINDS)?,
            "baseUrl" if value.is_null() => {}
            "baseUrl" => self.base_url = Some(text(value)?.trim_end_matches('/').to_owned()),
            "key" if value.is_null() => self.takes_key_away = true,
            "key" => self.key = Some(key(value)?),
            "headers" => self.headers = headers(value)?,
            "modelMap" => merge_by_model(&mut self.model_map, value, |_, value| {
                let target = text(value)?;
                model(target, false)?;
                Ok(target.to_owned())
            })?,
            "timeouts" => self.timeouts = timeouts(value)?,
            // What is read may be sent back.
            "name" | "keyLastFour" | "createdAt" | "updatedAt" => {}
            _ => return Err(Problem::Unknown.into()),
        }
        Ok(())
    }
}

fn key(value: &Value) -> Result<String, Problem> {
    let key = text(value)?;
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=KEY_BYTES_MAX).contains(&key.len()) {
        Ok(key.to_owned())
    } else {
        Err(Problem::NotAKey)
    }
}

fn headers(value: &Value) -> Result<BTreeMap<String, String>, PaywallError> {
    if value.is_null() {
        return Ok(BTreeMap::new());
    }
    let members = value.as_object().ok_or(Problem::WrongType("an object"))?;
    let read = |(name, value): (&String, &Value)| {
        let value = text(value).map_err(|problem| at(name, problem))?;
        let lower = name.to_ascii_lowercase();
        if lower == "cookie" || lower.starts_with("x-paywall-") {
            return Err(at(name, Problem::NotHeaders));
        }
        Ok((name.clone(), value.to_owned()))
    };
    members.iter().map(read).collect()
}

fn timeouts(value: &Value) -> Result<Timeouts, PaywallError> {
    let mut timeouts = Timeouts::default();
    if value.is_null() {
        return Ok(timeouts);
    }
    for (field, value) in value.as_object().ok_or(Problem::WrongType("an object"))? {
        let read = || match field.as_str() {
            "connectMs" => count(value, 1..=CONNECT_MS_MAX),
            "firstByteSeconds" | "idleSeconds" => count(value, 1..=SECONDS_MAX),
            _ => Err(Problem::Unknown),
        };
        let number = read().map_err(|problem| at(field, problem))?;
        match field.as_str() {
            "connectMs" => timeouts.connect_ms = number.unwrap_or(CONNECT_MS_DEFAULT),
            "firstByteSeconds" => timeouts.first_byte_seconds = number,
            _ => timeouts.idle_seconds = number,
        }
    }
    Ok(timeouts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Result<(Provider, ProviderSecrets), PaywallError> {
        Provider::read("main", body, None)
    }

    #[test]
    fn a_connection_has_the_address_of_its_kind_and_shows_the_end_of_its_key() {
        let (provider, secrets) =
            read(&json!({"kind": "openai", "key": "sk-proj-abcdefgh1234"})).unwrap();
        assert_eq!(provider.base_url, "https://api.openai.com/v1");
        assert_eq!(provider.key_last_four.as_deref(), Some("1234"));
        assert_eq!(secrets.key.as_deref(), Some("sk-proj-abcdefgh1234"));
        let shown = serde_json::to_string(&provider).unwrap();
        assert!(!shown.contains("abcdefgh"), "{shown}");
        assert_eq!(provider.timeouts.connect_ms, 5_000);
        let body = json!({"kind": "compatible", "baseUrl": "https://a.example/v1/",
            "headers": {"api-key": "s3cret", "x-team": "blue"}, "modelMap": {"small": "x/y-1"}});
        let (provider, secrets) = read(&body).unwrap();
        assert_eq!(provider.base_url, "https://a.example/v1");
        assert_eq!(provider.headers["x-team"], "blue");
        assert_ne!(provider.headers["api-key"], "s3cret");
        assert_eq!(secrets.headers["api-key"], "s3cret");
        assert_eq!((provider.model_for("small"), provider.model_for("big")), ("x/y-1", "big"));
    }

    #[test]
    fn a_key_stays_where_it_was_and_never_moves_to_another_address() {
        let first = json!({"kind": "openai", "key": "sk-1"});
        let (provider, secrets) = read(&first).unwrap();
        let again = |body: Value| Provider::read("main", &body, Some((&provider, &secrets)));
        assert_eq!(again(json!({"kind": "openai"})).unwrap().1, secrets);
        for moved in [
            json!({"kind": "openai", "baseUrl": "https://b.example"}),
            json!({"kind": "anthropic"}),
            json!({"kind": "openai", "key": null}),
        ] {
            assert_eq!(again(moved).unwrap_err(), at("key", Problem::Missing));
        }
    }

    #[test]
    fn refuses_and_names_the_field() {
        let table = [
            (json!({}), "kind"),
            (json!({"kind": "azure"}), "kind"),
            (json!({"kind": "compatible"}), "baseUrl"),
            (json!({"kind": "fake"}), "baseUrl"),
            (json!({"kind": "openai", "key": ""}), "key"),
            (json!({"kind": "openai", "key": "a b"}), "key"),
            (json!({"kind": "openai", "key": 5}), "key"),
            (json!({"kind": "openai", "key": "k", "headers": {"host": "x"}}), "headers"),
            (json!({"kind": "openai", "key": "k", "headers": {"a": 1}}), "headers.a"),
            (
                json!({"kind": "openai", "key": "k", "headers": {"X-Paywall-User": "x"}}),
                "headers.X-Paywall-User",
            ),
            (json!({"kind": "openai", "key": "k", "modelMap": {"a": "b c"}}), "modelMap.a"),
            (
                json!({"kind": "openai", "key": "k", "timeouts": {"connectMs": 0}}),
                "timeouts.connectMs",
            ),
            (json!({"kind": "openai", "key": "k", "colour": 1}), "colour"),
            (json!("openai"), ""),
        ];
        for (body, param) in table {
            assert_eq!(read(&body).unwrap_err().param, param, "{body}");
        }
    }

    #[test]
    fn names_have_one_spelling() {
        for good in ["openai", "my-own_2", "0"] {
            assert!(is_provider_name(good), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "OpenAI", "a/b", "a b", "-a", "é", &long] {
            assert!(!is_provider_name(bad), "{bad}");
        }
    }
}
