//! Answers that Farebox writes in place of a provider: refusals in both styles, and the ends of
//! streams that were cut or broke (paywalls 19.3, 19.4, 16.5, 17.5).
//!
//! Figures and texts come in, bytes go out. Nothing here decides.

use serde::Serialize;
use serde_json::{Value, json};

use super::reason::Reason;
use super::usage::Protocol;
use super::vector::Quantities;
use crate::amount::Amount;
use crate::id::{RequestId, TransactionId};
use crate::time::Timestamp;

/// The `paywall` object of a refusal. Fields that do not apply are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice<'a> {
    /// `blocked`, or `cut` at the end of a stream.
    pub status: &'static str,
    pub reason: &'a str,
    pub request_id: RequestId,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required_amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affordable_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<Timestamp>,
    /// Whole seconds after which a retry can help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// What every answer of ours repeats of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub protocol: Protocol,
    pub request_id: RequestId,
    /// As the client asked for it.
    pub model: &'a str,
    pub at: Timestamp,
    /// The client asked for the usage chunk.
    pub wants_usage: bool,
    /// How many choices the client asked for.
    pub choices: u64,
}

/// The comment line before the end of a stream (16.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled<'a> {
    /// `ok`, `clamped`, `cut`.
    pub status: &'a str,
    pub request_id: RequestId,
    /// What the user was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<TransactionId>,
    pub estimated: bool,
}

/// A client is told to come back after at most so long; longer waits are not for its SDK.
const RETRY_SECONDS_MAX: u64 = 60;
const CHOICES_MAX: u64 = 128;

impl<'a> Notice<'a> {
    pub fn blocked(reason: Reason, request_id: RequestId, message: &'a str) -> Notice<'a> {
        let reason = reason.name();
        Notice { status: "blocked", reason, request_id, message, ..Notice::default() }
    }

    /// Headers of both styles (7.3).
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("x-paywall-status", self.status.to_owned()),
            ("x-paywall-reason", self.reason.to_owned()),
        ];
        headers.extend(self.action_url.map(|url| ("x-paywall-action-url", url.to_owned())));
        headers
    }

    /// Headers of the error style that say whether a retry helps (7.1).
    pub fn retry_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        headers.extend(self.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        if self.retry_after.is_none_or(|seconds| seconds > RETRY_SECONDS_MAX) {
            headers.push(("x-should-retry", "false".to_owned()));
        }
        headers
    }
}

/// The body of the error style; its status is `reason.status()`.
pub fn error_body(protocol: Protocol, reason: Reason, notice: &Notice<'_>) -> Vec<u8> {
    let (kind, message, request) = (reason.error_type(protocol), notice.message, notice.request_id);
    let body = match protocol {
        Protocol::Messages => json!({
            "type": "error",
            "error": {"type": kind, "message": message},
            "request_id": request,
            "paywall": notice,
        }),
        _ => json!({
            "error": {"message": message, "type": kind, "param": null, "code": reason.code(),
                "request_id": request},
            "paywall": notice,
        }),
    };
    body.to_string().into_bytes()
}

impl Reply<'_> {
    /// The message style of a plain request: 200 with the notice's message as the answer.
    pub fn message_body(&self, notice: &Notice<'_>) -> Vec<u8> {
        let text = notice.message;
        let mut body = match self.protocol {
            Protocol::Messages => self.message(&json!([{"type": "text", "text": text}])),
            Protocol::Completions => self.object(
                "text_completion",
                &json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": "stop"}]),
            ),
            Protocol::Chat | Protocol::Embeddings => self.object(
                "chat.completion",
                &json!([{"index": 0, "message": {"role": "assistant", "content": text},
                    "logprobs": null, "finish_reason": "stop"}]),
            ),
        };
        match self.protocol {
            Protocol::Messages => body["stop_reason"] = "end_turn".into(),
            _ => body["usage"] = usage(0, 0),
        }
        body["paywall"] = json!(notice);
        body.to_string().into_bytes()
    }

    /// The message style of a stream: all its events, from the first to the last line.
    pub fn message_stream(&self, notice: &Notice<'_>) -> Vec<u8> {
        let text = notice.message;
        let mut events = match self.protocol {
            Protocol::Messages => self.message_events(text),
            Protocol::Completions => data(&self.chunk(&json!({"text": text}), &Value::Null)),
            Protocol::Chat | Protocol::Embeddings => [
                json!({"delta": {"role": "assistant", "content": ""}}),
                json!({"delta": {"content": text}}),
            ]
            .iter()
            .flat_map(|choice| data(&self.chunk(choice, &Value::Null)))
            .collect(),
        };
        events.extend(self.stop(("stop", "end_turn"), notice, 0));
        events.extend(self.usage_chunk(&Quantities::default()));
        events.extend_from_slice(self.last_line());
        events
    }

    /// The well-formed end of a stream that was cut, up to where usage, comment and last line
    /// follow. `open_block` is the content block that the provider has not closed (messages).
    pub fn cut(&self, notice: &Notice<'_>, output_tokens: u64, open_block: Option<u64>) -> Vec<u8> {
        let mut events = Vec::new();
        if let (Protocol::Messages, Some(index)) = (self.protocol, open_block) {
            events = event("content_block_stop", &json!({"index": index}));
        }
        events.extend(self.stop(("length", "max_tokens"), notice, output_tokens));
        events
    }

    /// What a client gets when the provider dies midway; nothing follows it (16.5).
    pub fn broken(&self, code: &str, message: &str) -> Vec<u8> {
        if self.protocol == Protocol::Messages {
            let error = json!({"type": "api_error", "message": message});
            return event("error", &json!({"error": error, "request_id": self.request_id}));
        }
        let mut chunk = self.chunk(&self.empty_choice(), &"error".into());
        chunk["error"] = json!({"message": message, "type": "api_error", "param": null,
            "code": code, "request_id": self.request_id});
        data(&chunk)
    }

    /// Usage for who asked for it; empty for all others.
    pub fn usage_chunk(&self, quantities: &Quantities) -> Vec<u8> {
        if !self.wants_usage || self.protocol == Protocol::Messages {
            return Vec::new();
        }
        let mut chunk = self.object(self.chunk_object(), &json!([]));
        chunk["usage"] = usage(quantities.prompt_tokens(), quantities.completion_tokens());
        data(&chunk)
    }

    /// The protocol's own last event.
    pub const fn last_line(&self) -> &'static [u8] {
        match self.protocol {
            Protocol::Messages => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            _ => b"data: [DONE]\n\n",
        }
    }

    /// The event that ends the output and carries the notice.
    fn stop(
        &self,
        (finish, stop_reason): (&str, &str),
        notice: &Notice<'_>,
        output_tokens: u64,
    ) -> Vec<u8> {
        if self.protocol == Protocol::Messages {
            let delta = json!({"stop_reason": stop_reason, "stop_sequence": null});
            let usage = json!({"output_tokens": output_tokens});
            let body = json!({"delta": delta, "usage": usage, "paywall": notice});
            return event("message_delta", &body);
        }
        let mut chunk = self.chunk(&self.empty_choice(), &finish.into());
        if finish == "length" {
            let first = chunk["choices"][0].take();
            let of = |index: u64| {
                let mut choice = first.clone();
                choice["index"] = index.into();
                choice
            };
            let choices = self.choices.clamp(1, CHOICES_MAX);
            chunk["choices"] = (0..choices).map(of).collect();
        }
        chunk["paywall"] = json!(notice);
        data(&chunk)
    }

    fn empty_choice(&self) -> Value {
        match self.protocol {
            Protocol::Completions => json!({"text": ""}),
            _ => json!({"delta": {}}),
        }
    }

    fn chunk(&self, choice: &Value, finish: &Value) -> Value {
        let mut choice = choice.clone();
        choice["index"] = 0.into();
        choice["finish_reason"] = finish.clone();
        self.object(self.chunk_object(), &json!([choice]))
    }

    const fn chunk_object(&self) -> &'static str {
        match self.protocol {
            Protocol::Completions => "text_completion",
            _ => "chat.completion.chunk",
        }
    }

    fn object(&self, object: &str, choices: &Value) -> Value {
        let prefix = if self.protocol == Protocol::Completions { "cmpl" } else { "chatcmpl" };
        json!({
            "id": format!("{prefix}-{}", self.request_id),
            "object": object,
            "created": self.at.seconds(),
            "model": self.model,
            "choices": choices,
        })
    }

    fn message(&self, content: &Value) -> Value {
        json!({
            "id": format!("msg_{}", self.request_id),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": null,
            "stop_sequence": null,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        })
    }

    fn message_events(&self, text: &str) -> Vec<u8> {
        let start = json!({"message": self.message(&json!([]))});
        let block = json!({"index": 0, "content_block": {"type": "text", "text": ""}});
        let delta = json!({"index": 0, "delta": {"type": "text_delta", "text": text}});
        [
            event("message_start", &start),
            event("content_block_start", &block),
            event("content_block_delta", &delta),
            event("content_block_stop", &json!({"index": 0})),
        ]
        .concat()
    }
}

impl Settled<'_> {
    /// One comment, which every reader of events skips.
    pub fn comment(&self) -> Vec<u8> {
        let body = serde_json::to_string(self).unwrap_or_default();
        format!(": paywall {body}\n\n").into_bytes()
    }
}

fn usage(prompt: u64, completion: u64) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt.saturating_add(completion),
    })
}

fn data(body: &Value) -> Vec<u8> {
    format!("data: {body}\n\n").into_bytes()
}

/// An event of the Messages protocol, whose data repeats its type first.
fn event(kind: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let members = body.strip_prefix('{').unwrap_or_default();
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{members}\n\n").into_bytes()
}
