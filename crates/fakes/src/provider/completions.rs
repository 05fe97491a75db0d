//! Answers in the words of OpenAI's text completions, plain and as chunks.

use serde_json::{Value, json};

use super::ask::Ask;
use super::framing::{self, Event, Plain, Script};
use super::openai::{CREATED, reason, usage};
use super::reply::Reply;

pub(super) fn answer(ask: &Ask, number: u64) -> Script {
    let reply = Reply::compose(ask);
    let id = format!("cmpl-fake-{number}");
    if ask.stream {
        return framing::stream(events(ask, &reply, &id), number, &ask.switches);
    }
    let text = reply.text();
    let choice = |index| choice(index, &text, Some(reason(reply.finish)));
    let choices: Vec<Value> = (0..ask.choices).map(choice).collect();
    let mut body = object(ask, &id, &choices);
    if let Some(used) = reply.usage {
        body["usage"] = json!(usage(used));
    }
    Plain::new(200, number, body.to_string().into_bytes()).with_faults(&ask.switches)
}

fn object(ask: &Ask, id: &str, choices: &[Value]) -> Value {
    json!({
        "id": id,
        "object": "text_completion",
        "created": CREATED,
        "model": ask.model,
        "choices": choices,
    })
}

fn choice(index: u64, text: &str, finish_reason: Option<&str>) -> Value {
    json!({ "text": text, "index": index, "logprobs": null, "finish_reason": finish_reason })
}

fn events(ask: &Ask, reply: &Reply, id: &str) -> Vec<Event> {
    let event = |choices: &[Value], delta: bool| {
        let data = object(ask, id, choices).to_string();
        Event { name: None, data, delta }
    };
    let mut events = Vec::with_capacity(reply.pieces.len() + 3);
    for piece in &reply.pieces {
        events.extend((0..ask.choices).map(|at| event(&[choice(at, piece, None)], true)));
    }
    let finish = Some(reason(reply.finish));
    events.extend((0..ask.choices).map(|at| event(&[choice(at, "", finish)], false)));
    if let Some(used) = reply.usage.filter(|_| ask.include_usage) {
        let mut last = object(ask, id, &[]);
        last["usage"] = json!(usage(used));
        events.push(Event { name: None, data: last.to_string(), delta: false });
    }
    events.push(Event { name: None, data: "[DONE]".to_owned(), delta: false });
    events
}
