//! From a request to the answer that is played: who may ask, what for, and in which protocol.

use serde_json::Value;

use super::ask::{self, Ask, Refusal};
use super::error::{self, Fault, Protocol};
use super::framing::{self, Plain, Script};
use super::request::Request;
use super::{Settings, anthropic, completions, embeddings, models, openai};

pub(super) fn answer(request: &Request, settings: &Settings, number: u64) -> Script {
    let protocol = protocol(request);
    if let Some(fault) = stopped(request, protocol, settings) {
        return fault.plain(protocol, number).script();
    }
    match (request.method(), request.path()) {
        ("POST", "/v1/chat/completions" | "/v1/completions") => {
            chat(request, Protocol::OpenAi, number)
        }
        ("POST", "/v1/messages" | "/v1/messages/count_tokens") => {
            chat(request, Protocol::Anthropic, number)
        }
        ("POST", "/v1/embeddings") => embed(request, number),
        ("GET", "/v1/models") => json(number, &models::list()),
        ("GET", path) if path.starts_with("/v1/models/") => model(path, protocol, number),
        _ => Fault::new(404, "unknown route").plain(protocol, number).script(),
    }
}

/// The routes of models are shared: there the header of Anthropic's version tells.
fn protocol(request: &Request) -> Protocol {
    let named = request.path().starts_with("/v1/messages");
    let versioned = request.header("anthropic-version").is_some();
    if named || (versioned && request.path().starts_with("/v1/models")) {
        Protocol::Anthropic
    } else {
        Protocol::OpenAi
    }
}

/// Anthropic takes a bearer's key too: its clients have sent one since 2026.
fn key(request: &Request, protocol: Protocol) -> Option<&str> {
    let bearer = request.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
    let own = request.header("x-api-key").filter(|_| protocol == Protocol::Anthropic);
    own.or(bearer)
}

/// Who must not be answered.
fn stopped(request: &Request, protocol: Protocol, settings: &Settings) -> Option<Fault<'static>> {
    let right = match (&settings.api_key, key(request, protocol)) {
        (_, None | Some("")) => false,
        (Some(only), Some(key)) => only == key,
        (None, Some(_)) => true,
    };
    let unversioned = request.header("anthropic-version").is_none();
    let fault = |status, message, code| Some(Fault { code, ..Fault::new(status, message) });
    match protocol {
        _ if !right => fault(401, "Incorrect API key provided", Some("invalid_api_key")),
        Protocol::Anthropic if unversioned => {
            fault(400, "anthropic-version: header is required", None)
        }
        _ => None,
    }
}

fn chat(request: &Request, protocol: Protocol, number: u64) -> Script {
    let asked = parsed(request).and_then(|body| read(request, &body, protocol));
    let ask = match asked {
        Ok(ask) => ask,
        Err(refusal) => return error::refused(&refusal, protocol, number),
    };
    let fault = framing::without_a_byte(&ask.switches)
        .or_else(|| error::asked(&ask.switches, protocol, number));
    fault.unwrap_or_else(|| match protocol {
        _ if counts_only(request) => anthropic::count(&ask, number),
        Protocol::OpenAi if completes_text(request) => completions::answer(&ask, number),
        Protocol::OpenAi => openai::answer(&ask, number),
        Protocol::Anthropic => anthropic::answer(&ask, number),
    })
}

fn counts_only(request: &Request) -> bool {
    request.path().ends_with("/count_tokens")
}

fn completes_text(request: &Request) -> bool {
    request.path() == "/v1/completions"
}

fn parsed(request: &Request) -> Result<Value, Refusal> {
    let unread = Refusal { field: "body", message: "We could not parse the JSON body" };
    serde_json::from_slice(&request.body).map_err(|_| unread)
}

fn read(request: &Request, body: &Value, protocol: Protocol) -> Result<Ask, Refusal> {
    match protocol {
        Protocol::OpenAi if completes_text(request) => ask::completion(body),
        Protocol::OpenAi => ask::openai(body),
        Protocol::Anthropic if counts_only(request) => ask::openai(body),
        Protocol::Anthropic => ask::anthropic(body),
    }
}

fn embed(request: &Request, number: u64) -> Script {
    let body = match parsed(request) {
        Ok(body) => body,
        Err(refusal) => return error::refused(&refusal, Protocol::OpenAi, number),
    };
    let switches = embeddings::switches(&body);
    let fault = framing::without_a_byte(&switches)
        .or_else(|| error::asked(&switches, Protocol::OpenAi, number));
    fault.unwrap_or_else(|| match embeddings::answer(&body) {
        Ok(body) => Plain::new(200, number, body.to_string().into()).with_faults(&switches),
        Err(refusal) => error::refused(&refusal, Protocol::OpenAi, number),
    })
}

fn model(path: &str, protocol: Protocol, number: u64) -> Script {
    let id = path.trim_start_matches("/v1/models/");
    if models::MODELS.contains(&id) {
        return json(number, &models::row(id));
    }
    let fault = Fault::new(404, "The model does not exist");
    Fault { code: Some("model_not_found"), ..fault }.plain(protocol, number).script()
}

fn json(number: u64, body: &Value) -> Script {
    Plain::new(200, number, body.to_string().into_bytes()).script()
}
