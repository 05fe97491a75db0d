//! Answers of handlers, before they become responses.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use engine::idempotency::{Answered, Reply};
use serde::Serialize;

/// Ignored fields that are named at most.
const IGNORED_MAX: usize = 50;

/// A finished answer, or a response that streams.
pub enum Answer {
    Whole { status: StatusCode, body: Bytes, headers: Vec<(HeaderName, HeaderValue)> },
    Raw(Box<Response<Body>>),
}

impl Answer {
    /// 200 with `body` as JSON.
    pub fn ok(body: &impl Serialize) -> Answer {
        Answer::json(StatusCode::OK, body)
    }

    pub fn created(body: &impl Serialize) -> Answer {
        Answer::json(StatusCode::CREATED, body)
    }

    pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(body).unwrap_or_default().into();
        Answer::Whole { status, body, headers: Vec::new() }
    }

    /// A page or a text that is not JSON.
    pub fn text(kind: &'static str, body: impl Into<Bytes>) -> Answer {
        let mut response = Response::new(Body::from(body.into()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Answer::Raw(Box::new(response))
    }

    /// 204.
    pub fn nothing() -> Answer {
        Answer::Whole { status: StatusCode::NO_CONTENT, body: Bytes::new(), headers: Vec::new() }
    }

    /// The stored or fresh answer of an idempotent command.
    pub fn of(answered: Answered) -> Answer {
        let status = StatusCode::from_u16(answered.reply.status).unwrap_or(StatusCode::OK);
        let body = answered.reply.body.into();
        Answer::Whole { status, body, headers: Vec::new() }.replayed(answered.replayed)
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Answer {
        let Ok(value) = HeaderValue::from_str(value) else { return self };
        let name = HeaderName::from_static(name);
        match &mut self {
            Answer::Whole { headers, .. } => headers.push((name, value)),
            Answer::Raw(response) => drop(response.headers_mut().insert(name, value)),
        }
        self
    }

    /// Names the fields of the request that meant nothing here.
    #[must_use]
    pub fn ignoring(self, unknown: &[String]) -> Answer {
        let plain = |name: &&String| name.bytes().all(|byte| byte.is_ascii_graphic());
        let names: Vec<&str> =
            unknown.iter().filter(plain).take(IGNORED_MAX).map(String::as_str).collect();
        if names.is_empty() {
            self
        } else {
            self.with("x-farebox-ignored-fields", &names.join(","))
        }
    }

    #[must_use]
    pub fn replayed(self, replayed: bool) -> Answer {
        if replayed { self.with("idempotent-replayed", "true") } else { self }
    }

    pub fn into_response(self) -> Response<Body> {
        match self {
            Answer::Raw(response) => *response,
            Answer::Whole { status, body, headers } => {
                let empty = body.is_empty();
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                if !empty {
                    let json = HeaderValue::from_static("application/json");
                    response.headers_mut().insert(header::CONTENT_TYPE, json);
                }
                response.headers_mut().extend(headers);
                response
            }
        }
    }
}

/// The reply of an idempotent command: rendered inside its transaction.
pub fn reply(status: u16, body: &impl Serialize) -> Reply {
    Reply { status, body: serde_json::to_vec(body).unwrap_or_default() }
}
