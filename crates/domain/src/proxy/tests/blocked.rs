//! Promises about the answers that Farebox writes itself.

use serde_json::{Value, json};

use crate::amount::Amount;
use crate::id::{RequestId, Ulid};
use crate::proxy::blocked::{Notice, Reply, Settled, error_body};
use crate::proxy::reason::Reason;
use crate::proxy::sse::Splitter;
use crate::proxy::stream::{Next, StreamMeter};
use crate::proxy::usage::Protocol;
use crate::proxy::*;
use crate::time::Timestamp;

const REQUEST: RequestId = RequestId(Ulid(7));
const ID: &str = "req_00000000000000000000000007";
const URL: &str = "https://pay.example/x";

fn notice() -> Notice<'static> {
    Notice {
        action_url: Some(URL),
        required_amount: Some(Amount::units(2)),
        available: Some(Amount::ZERO),
        currency: Some("USD"),
        affordable_tokens: Some(0),
        ..Notice::blocked(Reason::InsufficientBalance, REQUEST, "Add credit: https://pay.example/x")
    }
}

fn reply(protocol: Protocol) -> Reply<'static> {
    Reply {
        protocol,
        request_id: REQUEST,
        model: "gpt-5",
        at: Timestamp::from_millis(5_000),
        wants_usage: true,
        choices: 2,
    }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The data of every event.
fn events(stream: &[u8]) -> Vec<String> {
    let mut splitter = Splitter::default();
    splitter.push(bytes::Bytes::copy_from_slice(stream));
    let mut found = Vec::new();
    while let Some(frame) = splitter.take().unwrap() {
        let data = frame.fields().data;
        found.extend(data.map(|data| String::from_utf8(data.into_owned()).unwrap()));
    }
    assert!(splitter.finish().is_none(), "every event is ended");
    found
}

#[test]
fn errors_have_the_shape_of_the_protocol_and_the_paywall_object() {
    let paywall = json!({
        "status": "blocked", "reason": "insufficient_balance", "requestId": ID,
        "message": "Add credit: https://pay.example/x", "actionUrl": URL, "requiredAmount": "2",
        "available": "0", "currency": "USD", "affordableTokens": 0,
    });
    let message = "Add credit: https://pay.example/x";
    let openai = json!({
        "error": {"message": message, "type": "insufficient_quota", "param": null,
            "code": "insufficient_balance", "request_id": ID},
        "paywall": paywall,
    });
    let anthropic = json!({
        "type": "error", "error": {"type": "billing_error", "message": message},
        "request_id": ID, "paywall": paywall,
    });
    let body = |protocol| read(&error_body(protocol, Reason::InsufficientBalance, &notice()));
    assert_eq!(body(Protocol::Chat), openai);
    assert_eq!(body(Protocol::Messages), anthropic);
}

#[test]
fn headers_say_what_is_wrong_and_whether_to_try_again() {
    let names = |headers: &[(&'static str, String)]| -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    };
    assert_eq!(
        names(&notice().headers()),
        [
            "x-paywall-status: blocked",
            "x-paywall-reason: insufficient_balance",
            "x-paywall-action-url: https://pay.example/x",
        ]
    );
    let retry = |retry_after| names(&Notice { retry_after, ..notice() }.retry_headers());
    assert_eq!(retry(None), ["x-should-retry: false"]);
    assert_eq!(retry(Some(1)), ["retry-after: 1"]);
    assert_eq!(retry(Some(60)), ["retry-after: 60"]);
    assert_eq!(retry(Some(61)), ["retry-after: 61", "x-should-retry: false"]);
}

#[test]
fn the_message_style_is_an_answer_of_the_protocol() {
    let chat = read(&reply(Protocol::Chat).message_body(&notice()));
    assert_eq!(chat["id"], format!("chatcmpl-{ID}"));
    assert_eq!((&chat["object"], &chat["created"]), (&json!("chat.completion"), &json!(5)));
    let choice = &chat["choices"][0];
    assert_eq!(choice["message"], json!({"role": "assistant", "content": notice().message}));
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("stop")));
    let zero = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    assert_eq!((&chat["usage"], &chat["paywall"]["status"]), (&zero, &json!("blocked")));
    let text = read(&reply(Protocol::Completions).message_body(&notice()));
    assert_eq!(
        (&text["object"], &text["choices"][0]["text"]),
        (&json!("text_completion"), &json!(notice().message))
    );
    let message = read(&reply(Protocol::Messages).message_body(&notice()));
    assert_eq!(message["content"], json!([{"type": "text", "text": notice().message}]));
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["paywall"]["actionUrl"], URL);
}

#[test]
fn the_streamed_message_is_the_plain_one_in_pieces() {
    let events = events(&reply(Protocol::Chat).message_stream(&notice()));
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|data| read(data.as_bytes())).collect();
    let joined: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(joined, notice().message);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let stop = &chunks[chunks.len() - 2];
    assert_eq!(stop["choices"][0]["finish_reason"], "stop");
    assert_eq!(stop["paywall"]["reason"], "insufficient_balance");
    let last = &chunks[chunks.len() - 1];
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(0)));
    let silent = Reply { wants_usage: false, ..reply(Protocol::Chat) };
    let stream = String::from_utf8(silent.message_stream(&notice())).unwrap();
    assert!(!stream.contains("usage"));
}

#[test]
fn our_streams_are_read_by_our_own_meter() {
    for protocol in [Protocol::Chat, Protocol::Completions, Protocol::Messages] {
        let stream = reply(protocol).message_stream(&notice());
        let mut meter = StreamMeter::new(protocol, true, u64::MAX);
        let step = meter.feed(stream.into()).unwrap();
        assert_eq!(step.next, Next::Last, "{protocol:?}");
        let seen = meter.seen();
        assert_eq!(seen.output_bytes, notice().message.len() as u64, "{protocol:?}");
        assert!(!seen.failed && seen.open_block.is_none());
        assert_eq!(seen.usage.unwrap().quantities, Quantities::default());
        assert_eq!(meter.last_line().unwrap(), reply(protocol).last_line());
    }
}

#[test]
fn a_cut_ends_every_choice_and_every_open_block() {
    let cut = Notice { status: "cut", message: "", ..notice() };
    let chat = events(&reply(Protocol::Chat).cut(&cut, 9, None));
    let chunk = read(chat[0].as_bytes());
    let ends = json!([
        {"index": 0, "delta": {}, "finish_reason": "length"},
        {"index": 1, "delta": {}, "finish_reason": "length"},
    ]);
    assert_eq!((&chunk["choices"], &chunk["paywall"]["status"]), (&ends, &json!("cut")));
    assert!(chunk["paywall"].get("message").is_none());
    let messages = events(&reply(Protocol::Messages).cut(&cut, 9, Some(3)));
    assert_eq!(read(messages[0].as_bytes()), json!({"type": "content_block_stop", "index": 3}));
    let delta = read(messages[1].as_bytes());
    assert_eq!(delta["delta"]["stop_reason"], "max_tokens");
    assert_eq!(
        (&delta["usage"]["output_tokens"], &delta["paywall"]["status"]),
        (&json!(9), &json!("cut"))
    );
}

#[test]
fn a_broken_stream_tells_an_error_and_no_end() {
    let reply = |protocol| reply(protocol).broken("stream_interrupted", "the provider went away");
    let chat = events(&reply(Protocol::Chat));
    assert_eq!(chat.len(), 1);
    let chunk = read(chat[0].as_bytes());
    assert_eq!(chunk["choices"][0]["finish_reason"], "error");
    assert_eq!(chunk["error"]["code"], "stream_interrupted");
    let messages = events(&reply(Protocol::Messages));
    assert_eq!(read(messages[0].as_bytes())["error"]["type"], "api_error");
}

#[test]
fn the_settlement_is_a_comment_that_readers_skip() {
    let settled = Settled {
        status: "ok",
        request_id: REQUEST,
        cost: Some(Amount::parse("0.000003").unwrap()),
        balance: Some(Amount::units(1)),
        activity_id: None,
        estimated: false,
    };
    let line = String::from_utf8(settled.comment()).unwrap();
    let expected = format!(
        ": paywall {{\"status\":\"ok\",\"requestId\":\"{ID}\",\"cost\":\"0.000003\",\
         \"balance\":\"1\",\"estimated\":false}}\n\n"
    );
    assert_eq!(line, expected);
    assert_eq!(events(line.as_bytes()), [""; 0]);
}

#[test]
fn usage_comes_only_to_who_asked() {
    let used = Quantities::default().with(Class::Input, 3).with(Class::Output, 4);
    let asked = reply(Protocol::Chat);
    let chunk = read(events(&asked.usage_chunk(&used))[0].as_bytes());
    assert_eq!(chunk["usage"]["total_tokens"], 7);
    assert!(Reply { wants_usage: false, ..asked }.usage_chunk(&used).is_empty());
}
