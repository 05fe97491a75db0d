//! What a client is told when its provider fails (paywalls 16.6).

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, StatusCode};
use domain::paywall::BlockStyle;
use domain::proxy::blocked::Notice;
use domain::proxy::template::{Places, Template};
use domain::proxy::usage::Protocol;
use domain::time::Timestamp;

use super::ask::Front;
use super::{blocked, headers};
use crate::http::answer::Answer;
use crate::http::errors;
use crate::http::route::Surface;
use crate::ports::provider_client::Unreached;

/// Why there is no answer to pass on.
pub enum Failure {
    Unreached(Unreached),
    /// The provider's refusal, as it came.
    Refused(Box<Refused>),
    /// It is no answer of the protocol.
    BadAnswer {
        status: u16,
    },
}

pub struct Refused {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl From<Unreached> for Failure {
    fn from(unreached: Unreached) -> Failure {
        Failure::Unreached(unreached)
    }
}

impl Failure {
    /// `errorCode`, and the status for the client.
    pub fn code_and_status(&self) -> (&'static str, u16) {
        match self {
            Failure::Unreached(Unreached::Slow) => ("provider_timeout", 504),
            Failure::Unreached(Unreached::Unreadable) | Failure::BadAnswer { .. } => {
                ("provider_bad_response", 502)
            }
            Failure::Unreached(_) => ("provider_unavailable", 502),
            Failure::Refused(refused) => refused.code_and_status(),
        }
    }

    /// What the provider answered.
    pub fn upstream_status(&self) -> Option<u16> {
        match self {
            Failure::Unreached(_) => None,
            Failure::BadAnswer { status } => Some(*status),
            Failure::Refused(refused) => Some(refused.status.as_u16()),
        }
    }

    /// The code of an outage that is told in the assistant's words.
    pub fn outage_in_words(&self, front: &Front) -> Option<&'static str> {
        let (code, status) = self.code_and_status();
        let is_outage = status >= 500 && !is_of_account(code);
        (is_outage && front.style_of_outage() == BlockStyle::Message).then_some(code)
    }

    /// `words`: the developer's own, in place of the template.
    pub fn answer(&self, front: &Front, (at, words): (Timestamp, Option<String>)) -> Answer {
        let (code, status) = self.code_and_status();
        if let Failure::Refused(refused) = self
            && code == "provider_rejected"
        {
            return refused.pass_on();
        }
        if let Some(code) = self.outage_in_words(front) {
            return outage(front, code, (at, words));
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let answer = errors::upstream((status, code), self.words(), front.surface(), front.request);
        self.with_hints(answer, code)
    }

    /// Nothing of what the provider said: it may tell of the operator's account.
    fn words(&self) -> &'static str {
        match self.code_and_status().0 {
            "provider_timeout" => "the provider did not answer in time",
            "provider_bad_response" => "the provider's answer cannot be read",
            "provider_unavailable" => "the provider cannot be reached",
            "provider_auth_failed" => "the provider refused the paywall's own key",
            "provider_quota_exhausted" => "the paywall's own account at the provider is used up",
            "provider_rate_limited" => "the provider takes no more requests for now",
            _ => "the provider failed",
        }
    }

    fn with_hints(&self, answer: Answer, code: &str) -> Answer {
        if is_of_account(code) {
            return self.with_id(answer.with("x-should-retry", "false"));
        }
        let Failure::Refused(refused) = self else { return answer };
        if code != "provider_rate_limited" {
            return self.with_id(answer);
        }
        let wait = refused.headers.get("retry-after").and_then(|value| value.to_str().ok());
        self.with_id(answer.with("retry-after", wait.unwrap_or("1")))
    }

    fn with_id(&self, answer: Answer) -> Answer {
        let Failure::Refused(refused) = self else { return answer };
        let id = headers::upstream_request(&refused.headers).and_then(|id| id.to_str().ok());
        match id {
            Some(id) => answer.with("x-upstream-request-id", id),
            None => answer,
        }
    }
}

/// The operator must act; neither the user nor a retry can help.
fn is_of_account(code: &str) -> bool {
    matches!(code, "provider_auth_failed" | "provider_quota_exhausted")
}

impl Refused {
    fn code_and_status(&self) -> (&'static str, u16) {
        match self.status.as_u16() {
            401 | 403 => ("provider_auth_failed", 502),
            402 => ("provider_quota_exhausted", 502),
            429 if self.is_quota() => ("provider_quota_exhausted", 502),
            429 => ("provider_rate_limited", 429),
            status @ 400..=499 => ("provider_rejected", status),
            500..=599 => ("provider_error", 502),
            _ => ("provider_bad_response", 502),
        }
    }

    fn is_quota(&self) -> bool {
        let quota = b"insufficient_quota";
        self.body.windows(quota.len()).any(|part| part == quota)
    }

    /// The provider's own words about the client's request.
    fn pass_on(&self) -> Answer {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers::for_client(&self.headers);
        Answer::Raw(Box::new(response)).with("x-should-retry", "false")
    }
}

impl Front {
    fn surface(&self) -> Surface {
        match self.protocol {
            Protocol::Messages => Surface::Messages,
            _ => Surface::Paywall,
        }
    }

    fn style_of_outage(&self) -> BlockStyle {
        match self.protocol {
            // Who asks for errors gets errors.
            _ if self.wanted == Some(BlockStyle::Error) => BlockStyle::Error,
            Protocol::Embeddings => BlockStyle::Error,
            _ => self.paywall.paywall.block.provider_style,
        }
    }
}

/// An outage in the assistant's words, where the paywall wants that.
fn outage(front: &Front, code: &'static str, (at, words): (Timestamp, Option<String>)) -> Answer {
    let paywall = &front.paywall.paywall;
    let places = Places { name: &paywall.name, ..Places::default() };
    let template = || Template::ModelUnavailable.render(&paywall.templates, &places);
    let message = words.unwrap_or_else(template);
    let request_id = front.request;
    let notice = Notice {
        status: "blocked",
        reason: code,
        request_id,
        message: &message,
        ..Notice::default()
    };
    blocked::as_message(front, &notice, at)
}
