//! The answer to a request that was not admitted: as words of the assistant, or as an error.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use domain::paywall::BlockStyle;
use domain::proxy::blocked::{Notice, Reply, error_body};
use domain::proxy::reason::Reason;
use domain::proxy::template::{Places, Template};
use domain::time::Timestamp;
use engine::proxy::Blocked;

use super::ask::Front;
use crate::http::answer::Answer;

impl Front {
    /// What answers of ours repeat of the request.
    pub fn reply(&self, at: Timestamp) -> Reply<'_> {
        Reply {
            protocol: self.protocol,
            request_id: self.request,
            model: &self.ask.model,
            at,
            wants_usage: self.ask.wants_usage,
            choices: self.ask.choices,
        }
    }
}

/// `words`: the developer's own, in place of the template.
pub fn answer(
    front: &Front,
    blocked: &Blocked,
    (at, words): (Timestamp, Option<String>),
) -> Answer {
    let paywall = &front.paywall.paywall;
    let message = words.unwrap_or_else(|| message(front, blocked));
    let currency = paywall.currency.upper();
    let notice = Notice {
        action_url: blocked.link.as_deref(),
        required_amount: blocked.required,
        available: blocked.available,
        currency: blocked.required.or(blocked.available).map(|_| currency.as_str()),
        affordable_tokens: blocked.affordable_tokens,
        limit_source: blocked.limit_source.as_deref(),
        reset_at: blocked.reset_at,
        retry_after: blocked.retry_after_s,
        ..Notice::blocked(blocked.reason, front.request, &message)
    };
    match blocked.reason.style(front.protocol, front.wanted, &paywall.block) {
        BlockStyle::Message => as_message(front, &notice, at),
        BlockStyle::Error => {
            let body = error_body(front.protocol, blocked.reason, &notice);
            let status = StatusCode::from_u16(blocked.reason.status());
            let status = status.unwrap_or(StatusCode::FORBIDDEN);
            let answer = Answer::Whole { status, body: body.into(), headers: Vec::new() };
            let headers = notice.headers().into_iter().chain(notice.retry_headers());
            headers.fold(answer, |answer, (name, value)| answer.with(name, &value))
        }
    }
}

/// 200 with the notice as the assistant's words, plain or as the stream that was asked for.
pub fn as_message(front: &Front, notice: &Notice<'_>, at: Timestamp) -> Answer {
    let reply = front.reply(at);
    let answer = if front.ask.stream {
        events(reply.message_stream(notice).into())
    } else {
        let body = reply.message_body(notice).into();
        Answer::Whole { status: StatusCode::OK, body, headers: Vec::new() }
    };
    notice.headers().into_iter().fold(answer, |answer, (name, value)| answer.with(name, &value))
}

fn events(body: Bytes) -> Answer {
    let mut response = Response::new(Body::from(body));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Answer::Raw(Box::new(response))
}

/// The paywall's words for the reason, else plain ones for programmers.
fn message(front: &Front, blocked: &Blocked) -> String {
    if let Some(template) = blocked.reason.template() {
        return filled(front, template, blocked);
    }
    let text = match blocked.reason {
        Reason::RateLimited => "Too many requests in a short time; try again a little later.",
        Reason::ConcurrencyLimited => "Too many requests at the same time; let one end first.",
        Reason::MaxCostExceeded => "This request may cost more than X-Paywall-Max-Cost allows.",
        Reason::PaywallArchived => "This paywall is archived and takes no requests.",
        Reason::UserSuspended => "This user is suspended.",
        Reason::ProviderNotConfigured => "No provider is configured that can answer this.",
        Reason::PolicyViolation => "A policy of this paywall forbids the request.",
        _ => "The request cannot be taken as it is.",
    };
    text.to_owned()
}

fn filled(front: &Front, template: Template, blocked: &Blocked) -> String {
    let paywall = &front.paywall.paywall;
    let (currency, digits) = (paywall.currency.upper(), paywall.currency.digits());
    let balance = blocked.available.map_or_else(String::new, |available| {
        format!("{} {currency}", available.formatted(digits, paywall.decimals))
    });
    let reset = blocked.reset_at.map_or_else(String::new, |at| at.to_string());
    let url = blocked.link.as_deref();
    template.render(
        &paywall.templates,
        &Places { url, name: &paywall.name, balance: &balance, reset: &reset },
    )
}
