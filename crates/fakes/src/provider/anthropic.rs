//! Answers in the words of Anthropic's messages, plain and as named events.

use serde_json::{Value, json};

use super::ask::Ask;
use super::framing::{self, Event, Plain, Script};
use super::reply::{Finish, Reply, Usage};

pub(super) fn answer(ask: &Ask, number: u64) -> Script {
    let reply = Reply::compose(ask);
    if ask.stream {
        return framing::stream(events(ask, &reply, number), number, &ask.switches);
    }
    let mut body = message(ask, number);
    body["content"] = json!([block(&reply, number)]);
    body["stop_reason"] = json!(reason(reply.finish));
    if let Some(used) = reply.usage {
        body["usage"] = usage(used, used.completion);
    }
    Plain::new(200, number, body.to_string().into_bytes()).with_faults(&ask.switches)
}

/// The answer of `count_tokens`.
pub(super) fn count(ask: &Ask, number: u64) -> Script {
    let tokens = ask.switches.number("prompt-tokens").unwrap_or(ask.prompt_tokens);
    let body = json!({ "input_tokens": tokens });
    Plain::new(200, number, body.to_string().into_bytes()).with_faults(&ask.switches)
}

fn message(ask: &Ask, number: u64) -> Value {
    json!({
        "id": format!("msg_fake_{number}"), "type": "message", "role": "assistant",
        "model": ask.model, "content": [], "stop_reason": null, "stop_sequence": null,
    })
}

fn block(reply: &Reply, number: u64) -> Value {
    match &reply.call {
        Some(name) => {
            // Arguments that the cap ended are no JSON, and none are sent then.
            let input = serde_json::from_str(&reply.text()).unwrap_or_else(|_| json!({}));
            let id = format!("toolu_fake_{number}");
            json!({ "type": "tool_use", "id": id, "name": name, "input": input })
        }
        None => json!({ "type": "text", "text": reply.text() }),
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Call => "tool_use",
    }
}

/// Anthropic counts what was cached and what was written apart from the rest of the input.
fn usage(used: Usage, output: u64) -> Value {
    let written = used.cache_write + used.cache_write_1h;
    let mut body = json!({
        "input_tokens": used.prompt - used.cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": used.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": used.cache_write,
            "ephemeral_1h_input_tokens": used.cache_write_1h,
        },
        "output_tokens": output,
        "service_tier": "standard",
    });
    tell_thinking(&mut body, used);
    body
}

fn tell_thinking(usage: &mut Value, used: Usage) {
    if used.reasoning > 0 {
        usage["output_tokens_details"] = json!({ "thinking_tokens": used.reasoning });
    }
}

fn events(ask: &Ask, reply: &Reply, number: u64) -> Vec<Event> {
    let mut start = message(ask, number);
    if let Some(used) = reply.usage {
        // A first token is already there when a message starts, as with the real one.
        start["usage"] = usage(used, used.completion.min(1));
    }
    let opened = match block(reply, number) {
        mut call if reply.call.is_some() => {
            call["input"] = json!({});
            call
        }
        _ => json!({ "type": "text", "text": "" }),
    };
    let mut events = vec![
        event("message_start", &json!({ "message": start })),
        event("content_block_start", &json!({ "index": 0, "content_block": opened })),
        event("ping", &json!({})),
    ];
    for piece in &reply.pieces {
        let delta = match reply.call {
            Some(_) => json!({ "type": "input_json_delta", "partial_json": piece }),
            None => json!({ "type": "text_delta", "text": piece }),
        };
        events.push(event("content_block_delta", &json!({ "index": 0, "delta": delta })));
    }
    events.push(event("content_block_stop", &json!({ "index": 0 })));
    let mut last =
        json!({ "delta": { "stop_reason": reason(reply.finish), "stop_sequence": null } });
    if let Some(used) = reply.usage {
        last["usage"] = json!({ "output_tokens": used.completion });
        tell_thinking(&mut last["usage"], used);
    }
    events.push(event("message_delta", &last));
    events.push(event("message_stop", &json!({})));
    events
}

/// The type comes first in each event's JSON, as the real one sends it.
fn event(name: &'static str, rest: &Value) -> Event {
    let rest = rest.to_string();
    let comma = if rest == "{}" { "" } else { "," };
    let data = format!("{{\"type\":\"{name}\"{comma}{}", &rest[1..]);
    Event { name: Some(name), data, delta: name == "content_block_delta" }
}
