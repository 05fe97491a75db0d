//! What calls with a paywall key share: naming the user, amounts and metadata, the prefix form.

use std::collections::HashSet;
use std::sync::OnceLock;

use axum::http::{HeaderName, HeaderValue, Method};
use domain::amount::Amount;
use domain::id::RequestId;
use domain::ledger::entry::KeyUse;
use domain::paywall::{BlockStyle, ExternalUser, charge_amount_from_json};
use engine::{Class, Error, Fault};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::answer::Answer;
use super::call::{Call, IDEMPOTENCY_KEY};
use super::errors;
use super::route::{Access, Routes, Surface};
use super::spec::Doc;
use crate::app::App;

/// Largest metadata of a deposit, charge or hold.
const METADATA_BYTES_MAX: usize = 16 << 10;

static X_PAYWALL_USER: HeaderName = HeaderName::from_static("x-paywall-user");
static X_PAYWALL_ON_BLOCK: HeaderName = HeaderName::from_static("x-paywall-on-block");

/// Adds a route in both forms: as it is, and with the user as its first segment.
pub fn both<F, R>(
    routes: Routes,
    (method, path): (Method, &'static str),
    doc: Doc,
    handler: F,
) -> Routes
where
    F: Fn(App, Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Answer, Error>> + Send + 'static,
{
    let rest = path.strip_prefix("/v1").unwrap_or(path);
    let prefixed: &'static str = format!("/v1/{{user}}{rest}").leak();
    let operation: &'static str = format!("{}OfUser", doc.operation).leak();
    let named = Doc { operation, ..doc.clone() };
    let exact = handler.clone();
    routes.add((method.clone(), path), Access::Paywall, doc, exact).add(
        (method, prefixed),
        Access::Paywall,
        named,
        move |app, call| {
            let answer = (!is_reserved(&call)).then(|| handler(app, call));
            async move {
                match answer {
                    Some(answer) => answer.await,
                    None => Err(Error::not_found("route")),
                }
            }
        },
    )
}

/// First segments of routes are no users: such a user is named by body or header.
fn is_reserved(call: &Call) -> bool {
    static RESERVED: OnceLock<HashSet<&'static str>> = OnceLock::new();
    let reserved = RESERVED.get_or_init(|| {
        let segments = super::routes().all.into_iter().filter_map(|route| {
            let rest = route.path.strip_prefix("/v1/")?;
            rest.split('/').next().filter(|segment| !segment.starts_with('{'))
        });
        segments.chain(["webhooks", "checkout", "customers", "wallets", "messages"]).collect()
    });
    call.path.get("user").is_some_and(|user| reserved.contains(user.as_str()))
}

/// The user of a call, and how it was named.
#[derive(Clone, Debug)]
pub struct Named {
    pub user: ExternalUser,
    source: &'static str,
    /// Several were named, and they differ.
    conflict: bool,
}

impl Named {
    /// Says in the answer which of several names counted.
    pub fn mark(&self, outcome: Result<Answer, Error>, call: &Call) -> Result<Answer, Error> {
        self.mark_of(outcome, (call.surface(), call.request))
    }

    /// As `mark`, for a call that is used up.
    pub fn mark_of(
        &self,
        outcome: Result<Answer, Error>,
        (surface, request): (Surface, RequestId),
    ) -> Result<Answer, Error> {
        if !self.conflict {
            return outcome;
        }
        let refused = |error| errors::answer(&error, surface, request);
        let answer = outcome.unwrap_or_else(refused);
        Ok(answer
            .with("x-paywall-user-conflict", "true")
            .with("x-paywall-user-source", self.source))
    }
}

/// The user that the request names: body or query, then header, then path (paywalls 5.2).
pub fn named(call: &Call, in_body: Option<&str>) -> Result<Named, Error> {
    find_named(call, in_body)?.ok_or_else(|| {
        let message = "name the user in the body, in X-Paywall-User, or in the path";
        Fault::new(Class::Invalid, "user_required", message).at("user").into()
    })
}

/// As `named`, where a call may go without.
pub fn find_named(call: &Call, in_body: Option<&str>) -> Result<Option<Named>, Error> {
    let header = match call.headers.get(&X_PAYWALL_USER).map(HeaderValue::as_bytes) {
        None => None,
        Some(bytes) => Some(
            std::str::from_utf8(bytes)
                .map_err(|_| invalid_user("X-Paywall-User", "is not UTF-8"))?,
        ),
    };
    let in_path = call.path.get("user").map(String::as_str);
    let all = [("body", in_body), ("header", header), ("path", in_path)];
    let given = all.into_iter().filter_map(|(source, text)| Some((source, text?)));
    let mut given = given.filter(|(_, text)| !text.is_empty());
    let Some((source, text)) = given.next() else { return Ok(None) };
    let conflict = given.any(|(_, other)| other != text);
    Ok(Some(Named { user: user("user", text)?, source, conflict }))
}

/// A user id as one of the fields of a body.
pub fn user(field: &str, text: &str) -> Result<ExternalUser, Error> {
    ExternalUser::parse(text).map_err(|error| invalid_user(field, &error.to_string()))
}

fn invalid_user(field: &str, problem: &str) -> Error {
    Fault::new(Class::Invalid, "invalid_user", format!("{field}: {problem}")).at(field).into()
}

/// The body as a type; only an object is one.
pub fn object<T: DeserializeOwned>(call: &Call) -> Result<T, Error> {
    let first = call.body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| *byte != b'{') {
        return Err(Error::invalid("body", "must be a JSON object"));
    }
    call.body()
}

/// A member of a body as it was written.
pub type Raw = Option<Box<RawValue>>;

pub fn amount(call: &Call, field: &str, raw: &Raw) -> Result<Amount, Error> {
    let decimals = call.paywall()?.paywall.decimals;
    let json = raw.as_ref().map_or("null", |raw| raw.get());
    charge_amount_from_json(json, decimals).map_err(|error| {
        let message = format!("{field} {error}");
        Fault::new(Class::Invalid, "invalid_amount", message).at(field).into()
    })
}

/// The text of the metadata object, without white space between its parts.
pub fn metadata(field: &str, raw: &Raw) -> Result<Option<String>, Error> {
    let Some(raw) = raw else { return Ok(None) };
    if !raw.get().starts_with('{') {
        return Err(Error::invalid(field, "must be an object"));
    }
    let text = domain::json::compact(raw.get());
    if text.len() > METADATA_BYTES_MAX {
        return Err(Error::invalid(field, "must be at most 16 KiB"));
    }
    Ok(Some(text))
}

/// Metadata as it was sent; an empty object where none was.
pub fn raw_or_empty(text: Option<&str>) -> Box<RawValue> {
    let text = text.unwrap_or("{}").to_owned();
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[derive(Deserialize)]
struct MovementBody {
    #[serde(default)]
    amount: Raw,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    metadata: Raw,
}

/// Amount, user and metadata of a movement, read whole before anything happens.
pub struct Movement {
    pub amount: Amount,
    pub named: Named,
    pub metadata: Option<String>,
    pub key: Option<KeyUse>,
}

pub fn movement(call: &Call) -> Result<Movement, Error> {
    let body: MovementBody = object(call)?;
    let amount = amount(call, "amount", &body.amount)?;
    let named = named(call, body.user.as_deref())?;
    let metadata = metadata("metadata", &body.metadata)?;
    let key = key_of(call, &named.user)?;
    Ok(Movement { amount, named, metadata, key })
}

/// The key of a call for a user: the same body for another user is another request.
pub fn key_of(call: &Call, user: &ExternalUser) -> Result<Option<KeyUse>, Error> {
    if !call.headers.contains_key(&IDEMPOTENCY_KEY) {
        return Ok(None);
    }
    let request = [&call.body[..], &[0], user.as_str().as_bytes()].concat();
    call.key_use_of(None, &request)
}

/// How a refusal for want of money is told: the request's wish, else the paywall's setting.
pub fn block_style(call: &Call) -> Result<BlockStyle, Error> {
    let own = call.paywall()?.paywall.block.style;
    Ok(wanted_style(call)?.unwrap_or(own))
}

/// The request's own wish of how to be refused.
pub fn wanted_style(call: &Call) -> Result<Option<BlockStyle>, Error> {
    match call.headers.get(&X_PAYWALL_ON_BLOCK).map(HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"message") => Ok(Some(BlockStyle::Message)),
        Some(b"error") => Ok(Some(BlockStyle::Error)),
        Some(_) => Err(Error::invalid("X-Paywall-On-Block", "must be message or error")),
    }
}
