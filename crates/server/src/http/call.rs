//! One request that has been let in: who calls, in which environment, with what.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName};
use domain::id::RequestId;
use domain::ledger::entry::KeyUse;
use domain::role::Grant;
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};
use engine::portal_sessions::Visitor;
use engine::{Class, Error, Fault};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::keys::StoredKey;
use store::paywalls::Stored as StoredPaywall;

mod nul;

use super::route::Surface;

/// Longest text of an idempotency key.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// Kind of the key in memory that a person's session acts by. No stored key has it.
pub const SESSION_KIND: &str = "session";

pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Who sent the request.
#[derive(Clone)]
pub enum Caller {
    Nobody,
    /// A key of the environment.
    Key(Arc<StoredKey>),
    /// A paywall's key, and the paywall.
    Paywall(Arc<StoredKey>, Arc<StoredPaywall>),
    /// A customer, in the portal.
    Customer(Arc<Visitor>),
}

impl Caller {
    /// The key as logs may show it; empty for nobody.
    pub fn key_mask(&self) -> String {
        match self {
            Caller::Nobody => String::new(),
            Caller::Key(key) | Caller::Paywall(key, _) => key.display.clone(),
            Caller::Customer(visitor) => visitor.session.display.clone(),
        }
    }
}

pub struct Call {
    pub request: RequestId,
    pub caller: Caller,
    pub scope: Scope,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Method and pattern of the route, such as `POST /v1/user/charge`.
    pub route: &'static str,
    pub(crate) path: HashMap<String, String>,
    /// As it came, or as a cursor carries it.
    pub query: String,
}

impl Call {
    /// An id or name from the path. What is not of its kind is not there.
    pub fn path<T: FromStr>(&self, name: &str, what: &str) -> Result<T, Error> {
        let text = self.path.get(name).ok_or_else(|| Error::not_found(what))?;
        if text.contains('\0') {
            return Err(Error::not_found(what));
        }
        text.parse().map_err(|_| Error::not_found(what))
    }

    /// Refuses a query with a character that no text of ours has, so none is searched for.
    pub fn checked(self) -> Result<Call, Error> {
        if self.query.contains("%00") {
            return Err(Error::invalid("query", "the character U+0000 stands in no text"));
        }
        Ok(self)
    }

    /// The query as a type; the message names the parameter.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        let deserializer = serde_path_to_error::deserialize(serde::de::value::MapDeserializer::<
            _,
            serde::de::value::Error,
        >::new(pairs));
        deserializer.map_err(|error| {
            let field = error.path().to_string();
            Error::invalid(field, error.into_inner().to_string())
        })
    }

    /// Names and values of the query, in order.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// The value of one query parameter.
    pub fn query_value(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Whether the route's path names this.
    pub fn has_path(&self, name: &str) -> bool {
        self.path.contains_key(name)
    }

    /// The query without one of its parameters.
    pub fn query_without(&self, name: &str) -> String {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        let rest = pairs.filter(|(key, _)| key != name);
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish()
    }

    /// Reads parameters from `query` from here on: those that a cursor carries.
    pub fn take_query(&mut self, query: String) {
        self.query = query;
    }

    /// The body as JSON of any shape; an empty body is an empty object.
    pub fn json(&self) -> Result<Value, Error> {
        self.body()
    }

    /// The body as a type; the message names the first bad field.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let bytes: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = error.path().to_string();
            let field = if field == "." { "body".to_owned() } else { field };
            Error::invalid(field, error.into_inner().to_string())
        })?;
        reader.end().map_err(|error| Error::invalid("body", error.to_string()))?;
        if let Some(field) = nul::field(bytes) {
            return Err(Error::invalid(field, "the character U+0000 cannot be stored"));
        }
        Ok(parsed)
    }

    /// The idempotency key of the request: the header, or the body's own (the same thing).
    pub fn key_use(&self, in_body: Option<&str>) -> Result<Option<KeyUse>, Error> {
        self.key_use_of(in_body, &self.body)
    }

    /// As `key_use`, where more than the body says what is asked; `request` is all of it.
    pub fn key_use_of(
        &self,
        in_body: Option<&str>,
        request: &[u8],
    ) -> Result<Option<KeyUse>, Error> {
        let header = self.headers.get(&IDEMPOTENCY_KEY).map(|value| value.to_str());
        let header = match header {
            Some(Ok(text)) => Some(text),
            Some(Err(_)) => return Err(bad_key()),
            None => None,
        };
        let key = match (header, in_body) {
            (Some(header), Some(body)) if header != body => {
                let message = "the header Idempotency-Key and the body's idempotency_key differ";
                return Err(Error::invalid("idempotency_key", message));
            }
            (header, body) => header.or(body),
        };
        let Some(key) = key else { return Ok(None) };
        if !is_idempotency_key(key) {
            return Err(bad_key());
        }
        Ok(Some(engine::idempotency::key_use(&self.keyed_route(), key, request)))
    }

    /// Scope of an idempotency key: the route with the things that it names; a paywall's own routes
    /// are apart for each paywall. Naming the user in the path makes no other route.
    pub fn keyed_route(&self) -> String {
        let mut route = self.route.replacen("/{user}", "", 1);
        if let Caller::Paywall(_, paywall) = &self.caller {
            route = format!("{route} {}", paywall.no);
        }
        if let Caller::Customer(visitor) = &self.caller {
            route = format!("{route} {}", visitor.customer.no);
        }
        let mut names: Vec<_> = self.path.iter().filter(|(name, _)| *name != "user").collect();
        names.sort();
        for (_, value) in names {
            route = format!("{route} {value}");
        }
        route
    }

    /// Who causes what this request changes.
    pub fn cause(&self) -> Cause {
        let (kind, id) = match &self.caller {
            Caller::Customer(visitor) => {
                let Actor { kind, id, .. } = visitor.actor();
                (kind, id)
            }
            Caller::Paywall(_, paywall) => (ActorKind::PaywallKey, paywall.paywall.id.to_string()),
            Caller::Key(key) => (ActorKind::PaywallOwner, key_owner(key)),
            Caller::Nobody => (ActorKind::System, "system".to_owned()),
        };
        let key = self.headers.get(&IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
        Cause {
            actor: Actor { source: self.source(), kind, id },
            request: Some(self.request),
            idempotency_key: key.map(str::to_owned),
        }
    }

    fn source(&self) -> Source {
        match &self.caller {
            Caller::Key(key) if key.kind == SESSION_KIND => Source::Dashboard,
            Caller::Customer(_) => Source::Portal,
            _ => Source::Api,
        }
    }

    /// What the caller's key may do.
    pub fn grants(&self) -> Vec<Grant> {
        match &self.caller {
            Caller::Key(key) => key.grants(),
            Caller::Paywall(..) | Caller::Customer(_) | Caller::Nobody => Vec::new(),
        }
    }

    /// The paywall of the caller's key.
    pub fn paywall(&self) -> Result<Arc<StoredPaywall>, Error> {
        match &self.caller {
            Caller::Paywall(_, paywall) => Ok(paywall.clone()),
            _ => {
                Err(Fault::new(Class::Unauthorized, "unauthorized", "a paywall key is needed")
                    .into())
            }
        }
    }

    /// The customer who calls.
    pub fn visitor(&self) -> Result<&Visitor, Error> {
        match &self.caller {
            Caller::Customer(visitor) => Ok(visitor),
            _ => {
                Err(Fault::new(Class::Unauthorized, "unauthorized", "a customer is needed").into())
            }
        }
    }

    /// Whose words a paywall's own routes speak.
    pub fn surface(&self) -> Surface {
        Surface::of_paywall(self.route)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An API key that did something is told by its owner.
fn key_owner(key: &StoredKey) -> String {
    key.user.map_or_else(|| key.created_by.clone(), |user| user.to_string())
}

/// 1 to 255 visible ASCII characters.
pub fn is_idempotency_key(text: &str) -> bool {
    let visible = text.bytes().all(|byte| (0x21..=0x7E).contains(&byte));
    !text.is_empty() && text.len() <= IDEMPOTENCY_KEY_CHARS_MAX && visible
}

fn bad_key() -> Error {
    Error::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
}
