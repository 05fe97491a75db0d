//! What a request asks for, read whole before anything happens. A refusal here writes nothing.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName};
use domain::amount::Amount;
use domain::id::RequestId;
use domain::ledger::entry::KeyUse;
use domain::paywall::{BlockStyle, ExternalUser, parse_charge_amount};
use domain::proxy::ask::{Ask, AskError};
use domain::proxy::usage::Protocol;
use domain::scope::{Scope, Source};
use engine::{Class, Error, Fault};
use store::paywalls::Stored;
use tokio::time::Instant;

use super::endpoint;
use crate::http::call::Call;
use crate::http::paywall_calls::{Named, key_of, named, wanted_style};

static X_PAYWALL_MAX_COST: HeaderName = HeaderName::from_static("x-paywall-max-cost");

/// What is kept of the request beside what the engine takes.
pub struct Front {
    pub request: RequestId,
    pub scope: Scope,
    pub protocol: Protocol,
    pub paywall: Arc<Stored>,
    pub ask: Arc<Ask>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub query: String,
    pub user: Option<ExternalUser>,
    /// What the request itself says of how to refuse it.
    pub wanted: Option<BlockStyle>,
    /// `Idempotency-Key`
    pub key: Option<KeyUse>,
    pub began: Instant,
}

pub struct Asked {
    pub call: engine::proxy::Call,
    /// In a box: it moves with the request from task to task.
    pub front: Box<Front>,
}

pub fn read(call: Call, protocol: Protocol) -> Result<(Asked, Named), Error> {
    let paywall = call.paywall()?;
    let ask = Ask::read(protocol, &call.body).map_err(|error| refused(&error))?;
    let ask = Arc::new(ask);
    let named = named(&call, ask.user.as_deref())?;
    let mut cause = call.cause();
    cause.actor.source = Source::Proxy;
    let admitted = engine::proxy::Call {
        scope: call.scope,
        max_cost: max_cost(&call, paywall.paywall.decimals)?,
        paywall: paywall.clone(),
        user: named.user.clone(),
        cause,
        endpoint: endpoint(protocol),
        protocol,
        ask: ask.clone(),
    };
    let front = Front {
        request: call.request,
        scope: call.scope,
        protocol,
        paywall,
        ask,
        user: Some(named.user.clone()),
        wanted: wanted_style(&call)?,
        key: key_of(&call, &named.user)?,
        headers: call.headers,
        body: call.body,
        query: call.query,
        began: Instant::now(),
    };
    Ok((Asked { call: admitted, front: Box::new(front) }, named))
}

pub fn refused(error: &AskError) -> Error {
    let param = if error.param.is_empty() { "body" } else { error.param };
    Error::invalid(param, format!("{param} {}", error.problem))
}

fn max_cost(call: &Call, decimals: u32) -> Result<Option<Amount>, Error> {
    let Some(value) = call.headers.get(&X_PAYWALL_MAX_COST) else { return Ok(None) };
    let refused = |problem: String| {
        let message = format!("X-Paywall-Max-Cost {problem}");
        Fault::new(Class::Invalid, "invalid_amount", message).at("X-Paywall-Max-Cost")
    };
    let text = value.to_str().map_err(|_| refused("must be an amount".to_owned()))?;
    let amount = parse_charge_amount(text, decimals);
    amount.map(Some).map_err(|error| refused(error.to_string()).into())
}
