//! The request as its provider gets it: the client's bytes, but for the few members that we must
//! set (paywalls 16.3).

use std::time::Duration;

use axum::body::Bytes;
use domain::paywall::{ForwardUser, Provider, ProviderKind};
use domain::proxy::edit::{Edit, edited, hashed_user};
use domain::proxy::usage::Protocol;
use engine::proxy::Ticket;
use tokio::time::Instant;

use super::ask::Front;
use super::{endpoint, headers};
use crate::ports::provider_client::Request;

/// `None` only where the body cannot be edited, which reading it has ruled out.
pub fn request(front: &Front, ticket: &Ticket, deadline: Instant) -> Option<Request> {
    let target = &ticket.target;
    Some(Request {
        url: url(&target.provider, endpoint(front.protocol), &front.query),
        headers: headers::for_provider(&front.headers, &target.secrets, front.protocol),
        body: body(front, ticket)?,
        connect: Duration::from_millis(target.provider.timeouts.connect_ms),
        first_byte: first_byte(front, &target.provider),
        deadline,
    })
}

/// Our path at the provider, with the client's query.
pub fn url(provider: &Provider, path: &str, query: &str) -> String {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let mut url = [&provider.base_url, path].concat();
    if !query.is_empty() {
        url.push('?');
        url.push_str(query);
    }
    url
}

pub fn first_byte(front: &Front, provider: &Provider) -> Duration {
    let seconds = provider.timeouts.first_byte_seconds;
    Duration::from_secs(seconds.unwrap_or(front.paywall.paywall.limits.first_byte_seconds))
}

pub fn idle(front: &Front, provider: &Provider) -> Duration {
    let seconds = provider.timeouts.idle_seconds;
    Duration::from_secs(seconds.unwrap_or(front.paywall.paywall.limits.idle_seconds))
}

fn body(front: &Front, ticket: &Ticket) -> Option<Bytes> {
    let (ask, target) = (&front.ask, &ticket.target);
    let mut edits = Vec::new();
    if target.upstream != ask.model {
        edits.push(Edit::Model(&target.upstream));
    }
    edits.extend(caps(front, target.provider.kind, ticket.hold.sent_cap));
    if asks_for_usage(front) {
        edits.push(Edit::IncludeUsage);
    }
    let hashed = hashed(front);
    edits.extend(user_edit(front, &hashed));
    if edits.is_empty() {
        return Some(front.body.clone());
    }
    edited(&front.body, &edits).ok().map(Bytes::from)
}

/// The user as a provider may know one; empty where it gets no such name.
pub fn hashed(front: &Front) -> String {
    let paywall = &front.paywall.paywall;
    match &front.ask.user {
        Some(user) if paywall.forward_user == ForwardUser::Hash => hashed_user(paywall.id, user),
        _ => String::new(),
    }
}

/// Streams of the OpenAI family tell their usage only when asked.
fn asks_for_usage(front: &Front) -> bool {
    let on_request = matches!(front.protocol, Protocol::Chat | Protocol::Completions);
    on_request && front.ask.stream && !front.ask.wants_usage
}

/// A member of the client's that asks for less stays as it is.
fn caps(front: &Front, kind: ProviderKind, cap: Option<u64>) -> Vec<Edit<'static>> {
    let Some(tokens) = cap else { return Vec::new() };
    let given = |member: &str| match member {
        "max_completion_tokens" => front.ask.max_completion_tokens,
        _ => front.ask.max_tokens,
    };
    let knows_newer = kind == ProviderKind::Openai && front.protocol == Protocol::Chat;
    let members = front.ask.cap_members(knows_newer).into_iter();
    let too_large = members.filter(|member| given(member).is_none_or(|given| given > tokens));
    too_large.map(|member| Edit::Cap { member, tokens }).collect()
}

/// Where the body names the user, the provider sees of it what the paywall wants.
pub fn user_edit<'a>(front: &Front, hashed: &'a str) -> Option<Edit<'a>> {
    front.ask.user.as_ref()?;
    let in_metadata = front.protocol == Protocol::Messages;
    match front.paywall.paywall.forward_user {
        ForwardUser::AsIs => None,
        ForwardUser::Drop if in_metadata => Some(Edit::NoMetadataUser),
        ForwardUser::Drop => Some(Edit::NoUser),
        ForwardUser::Hash if in_metadata => Some(Edit::MetadataUser(hashed)),
        ForwardUser::Hash => Some(Edit::User(hashed)),
    }
}
