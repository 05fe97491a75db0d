//! `POST /v1/messages/count_tokens`: the provider counts, and nobody pays (paywalls 6.1). Key,
//! paywall and user must be in order as for a message; nothing is held, told or charged.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Response};
use domain::paywall::BlockStyle;
use domain::proxy::ask::Ask;
use domain::proxy::edit::{Edit, edited};
use domain::proxy::usage::Protocol;
use engine::Error;
use engine::proxy::Target;
use tokio::time::Instant;

use super::ask::{Front, refused};
use super::failure::{Failure, Refused};
use super::{blocked, exchange, forward, headers};
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::paywall_calls::{both, find_named};
use crate::http::route::Routes;
use crate::http::spec::Doc;
use crate::ports::provider_client::Request;

const PATH: &str = "/v1/messages/count_tokens";

pub fn routes(routes: Routes) -> Routes {
    let doc = Doc::new("Proxy", "countTokens", "Count the tokens of a message, for nothing");
    both(routes, (Method::POST, PATH), doc, serve)
}

async fn serve(app: App, call: Call) -> Result<Answer, Error> {
    let ask = Ask::read(Protocol::Messages, &call.body).map_err(|error| refused(&error))?;
    let named = find_named(&call, ask.user.as_deref())?;
    // Its form is checked; the answer of a question need not be kept.
    call.key_use(None)?;
    let outcome = counted(&app, &call, (ask, named.as_ref().map(|named| &named.user))).await;
    match named {
        Some(named) => named.mark(outcome, &call),
        None => outcome,
    }
}

async fn counted(
    app: &App,
    call: &Call,
    (ask, user): (Ask, Option<&domain::paywall::ExternalUser>),
) -> Result<Answer, Error> {
    let paywall = call.paywall()?;
    let (of, cause) = ((&paywall, user), call.cause());
    let passing = app.engine.passing(call.scope, of, &ask.model, &cause).await?;
    let front = front(call, ask)?;
    let at = app.engine.now(&call.scope);
    let target = match passing {
        Ok(target) => target,
        Err(refusal) => return Ok(blocked::answer(&front, &refusal, (at, None))),
    };
    let most = Duration::from_secs(paywall.paywall.limits.request_seconds);
    let deadline = Instant::now() + most;
    let asked = asked(app, (&front, deadline), &target).await;
    Ok(asked.unwrap_or_else(|failure| failure.answer(&front, (at, None))))
}

/// A count has no words to put a notice in: every refusal is an error.
fn front(call: &Call, ask: Ask) -> Result<Front, Error> {
    Ok(Front {
        request: call.request,
        scope: call.scope,
        protocol: Protocol::Messages,
        paywall: call.paywall()?,
        ask: Arc::new(ask),
        headers: call.headers.clone(),
        body: call.body.clone(),
        query: call.query.clone(),
        user: None,
        wanted: Some(BlockStyle::Error),
        key: None,
        began: Instant::now(),
    })
}

async fn asked(
    app: &App,
    (front, deadline): (&Front, Instant),
    target: &Target,
) -> Result<Answer, Failure> {
    let body = body(front, target).ok_or(Failure::BadAnswer { status: 400 })?;
    let provider = &target.provider;
    let mut answered = app
        .providers
        .send(Request {
            url: forward::url(provider, PATH, &front.query),
            headers: headers::for_provider(&front.headers, &target.secrets, front.protocol),
            body,
            connect: Duration::from_millis(provider.timeouts.connect_ms),
            first_byte: forward::first_byte(front, provider),
            deadline,
        })
        .await?;
    let status = answered.status;
    let idle = forward::idle(front, provider);
    let body = exchange::whole(&mut answered.body, status, (idle, deadline)).await?;
    let headers = answered.headers;
    if !status.is_success() {
        return Err(Failure::Refused(Box::new(Refused { status, headers, body })));
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers::for_client(&headers);
    Ok(Answer::Raw(Box::new(response)))
}

fn body(front: &Front, target: &Target) -> Option<Bytes> {
    let hashed = forward::hashed(front);
    let mut edits: Vec<Edit<'_>> = forward::user_edit(front, &hashed).into_iter().collect();
    if target.upstream != front.ask.model {
        edits.push(Edit::Model(&target.upstream));
    }
    if edits.is_empty() {
        return Some(front.body.clone());
    }
    edited(&front.body, &edits).ok().map(Bytes::from)
}
