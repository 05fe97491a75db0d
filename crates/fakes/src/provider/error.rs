//! Refusals in the words of each protocol.

use serde_json::json;

use super::ask::Refusal;
use super::framing::{Plain, Script};
use super::switches::Switches;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    OpenAi,
    Anthropic,
}

/// What went wrong, before a protocol puts it into words.
pub(super) struct Fault<'a> {
    pub(super) status: u16,
    pub(super) message: &'a str,
    pub(super) param: Option<&'a str>,
    pub(super) code: Option<&'a str>,
}

impl<'a> Fault<'a> {
    pub(super) fn new(status: u16, message: &'a str) -> Fault<'a> {
        Fault { status, message, param: None, code: None }
    }

    pub(super) fn plain(&self, protocol: Protocol, number: u64) -> Plain {
        let Fault { status, message, param, code } = *self;
        let kind = kind(protocol, status, code);
        let body = match protocol {
            Protocol::OpenAi => json!({ "error": {
                "message": message, "type": kind, "param": param, "code": code } }),
            Protocol::Anthropic => json!({ "type": "error",
                "error": { "type": kind, "message": message },
                "request_id": format!("req_fake_{number}") }),
        };
        Plain::new(status, number, body.to_string().into_bytes())
    }
}

fn kind(protocol: Protocol, status: u16, code: Option<&str>) -> &str {
    match (protocol, status) {
        (Protocol::OpenAi, 429) => code.unwrap_or("rate_limit_error"),
        (Protocol::Anthropic, 529) => "overloaded_error",
        (Protocol::OpenAi, 500..) => "server_error",
        (Protocol::OpenAi, 402) => "insufficient_quota",
        (Protocol::Anthropic, 401) => "authentication_error",
        (Protocol::Anthropic, 402) => "billing_error",
        (Protocol::Anthropic, 403) => "permission_error",
        (Protocol::Anthropic, 404) => "not_found_error",
        (Protocol::Anthropic, 429) => "rate_limit_error",
        (Protocol::Anthropic, 500..) => "api_error",
        _ => "invalid_request_error",
    }
}

pub(super) fn refused(refusal: &Refusal, protocol: Protocol, number: u64) -> Script {
    let param = Some(refusal.field);
    Fault { param, ..Fault::new(400, refusal.message) }.plain(protocol, number).script()
}

/// The error that the prompt asks for, if it asks for one.
pub(super) fn asked(switches: &Switches, protocol: Protocol, number: u64) -> Option<Script> {
    let quota = switches.has("quota");
    let status = switches.number("status").or(quota.then_some(429))?;
    let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status))?;
    let code = match status {
        401 => Some("invalid_api_key"),
        429 if quota => Some("insufficient_quota"),
        429 => Some("rate_limit_exceeded"),
        _ => None,
    };
    let fault = Fault { code, ..Fault::new(status, "The prompt asked for this error") };
    let mut plain = fault.plain(protocol, number);
    let wait = switches.number("retry-after").or((status == 429 && !quota).then_some(1));
    if let Some(seconds) = wait {
        plain.headers = format!("retry-after: {seconds}\r\n");
    }
    Some(plain.with_faults(switches))
}
