//! The provider over a real socket: its protocols, its faults, and that it ends.
#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use std::time::{Duration, Instant};

use fakes::provider::{Provider, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CHAT: &str = "/v1/chat/completions";
const KEYS: &str = "authorization: Bearer any\r\nx-api-key: any\r\nanthropic-version: 2023-06-01";

async fn provider() -> Provider {
    Provider::start("127.0.0.1:0".parse().unwrap(), Settings::default()).await.unwrap()
}

fn chat(prompt: &str) -> Value {
    json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]})
}

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn send(provider: &Provider, path: &str, headers: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\n{headers}\r\nconnection: close");
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    let text = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything that came until the end, with the chunks of HTTP put together.
async fn post(provider: &Provider, path: &str, headers: &str, body: &Value) -> (String, Vec<u8>) {
    let mut stream = send(provider, path, headers, body).await;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let at = all.windows(4).position(|it| it == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    let head = String::from_utf8(all[..at].to_vec()).unwrap();
    let rest = &all[at..];
    let body = if head.contains("chunked") { joined(rest) } else { rest.to_vec() };
    (head, body)
}

fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|it| it == b"\r\n") {
        let size = std::str::from_utf8(&rest[..at]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        body.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 4 + size..];
    }
    body
}

/// The JSON of each event, as the rules of event streams read them.
fn events(body: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(body.to_vec()).unwrap().replace("\r\n", "\n");
    let data = |event: &str| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    let datas = text.split("\n\n").map(data).filter(|data| !data.is_empty() && data != "[DONE]");
    datas.map(|data| serde_json::from_str(&data).unwrap_or(Value::String(data))).collect()
}

fn said(events: &[Value]) -> String {
    let content = |event: &Value| {
        let openai = event.pointer("/choices/0/delta/content");
        openai.or(event.pointer("/delta/text")).and_then(Value::as_str).map(ToOwned::to_owned)
    };
    events.iter().filter_map(content).collect()
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn a_plain_chat_says_its_words_and_counts_them() {
    let provider = provider().await;
    let (head, body) = post(&provider, CHAT, KEYS, &chat("Say it [words 3]")).await;
    let body = parsed(&body);
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("x-farebox-fake: llm-provider"));
    assert_eq!(body["id"], "chatcmpl-fake-1");
    assert_eq!(body["choices"][0]["message"]["content"], "amber birch cedar");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["prompt_tokens"], 4);
    assert_eq!(body["usage"]["completion_tokens"], 3);
    let received = provider.received();
    assert_eq!(received[0].header("authorization"), Some("Bearer any"));
    assert_eq!(parsed(&received[0].body)["model"], "m");
}

#[tokio::test]
async fn a_stream_says_what_the_plain_answer_says_however_it_is_framed() {
    let provider = provider().await;
    let ways = [
        "",
        "[gap 1]",
        "[burst 2]",
        "[odd-framing]",
        "[multi-line]",
        "[emoji-split]",
        "[chunks 3]",
    ];
    for (path, way) in ways.iter().flat_map(|way| [(CHAT, way), ("/v1/messages", way)]) {
        let prompt = chat(&format!("{way} [words 7]"));
        let (_, plain) = post(&provider, path, KEYS, &prompt).await;
        let plain = parsed(&plain);
        let text =
            plain.pointer("/choices/0/message/content").unwrap_or(&plain["content"][0]["text"]);
        let (_, body) = post(&provider, path, KEYS, &with(prompt, &json!({"stream": true}))).await;
        assert_eq!(said(&events(&body)), text.as_str().unwrap(), "{path} {way}");
    }
}

#[tokio::test]
async fn usage_comes_in_a_stream_of_chat_only_when_asked() {
    let provider = provider().await;
    let stream = with(chat("a b [words 2]"), &json!({"stream": true, "n": 2}));
    let (_, body) = post(&provider, CHAT, KEYS, &stream).await;
    assert!(events(&body).iter().all(|event| event.get("usage").is_none()));
    assert!(body.ends_with(b"data: [DONE]\n\n"));
    let asked = with(stream, &json!({"stream_options": {"include_usage": true}}));
    let (_, body) = post(&provider, CHAT, KEYS, &asked).await;
    let events = events(&body);
    let (last, others) = events.split_last().unwrap();
    assert!(others.iter().all(|event| event["usage"].is_null()));
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 4);
}

#[tokio::test]
async fn a_message_streams_its_events_in_order_with_cumulative_usage() {
    let provider = provider().await;
    let more = json!({"stream": true, "system": "be kind"});
    let prompt = chat("a [words 2] [cached 2] [cache-write 1]");
    let (_, body) = post(&provider, "/v1/messages", KEYS, &with(prompt, &more)).await;
    let events = events(&body);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let delta = "content_block_delta";
    let (start, stop) = ("content_block_start", "content_block_stop");
    let order =
        ["message_start", start, "ping", delta, delta, stop, "message_delta", "message_stop"];
    assert_eq!(kinds, order);
    let usage = &events[0]["message"]["usage"];
    assert_eq!([&usage["input_tokens"], &usage["cache_read_input_tokens"]], [6, 2]);
    assert_eq!([&usage["cache_creation_input_tokens"], &usage["output_tokens"]], [1, 1]);
    assert_eq!(events[6]["usage"]["output_tokens"], 2);
    assert_eq!(events[6]["delta"]["stop_reason"], "end_turn");
}

#[tokio::test]
async fn tools_are_called_with_arguments_that_fit() {
    let provider = provider().await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    let body = with(chat("[tool]"), &json!({ "tools": tools }));
    let (_, plain) = post(&provider, CHAT, KEYS, &body).await;
    let choice = &parsed(&plain)["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let arguments = "{\"city\":\"Paris\"}";
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["arguments"], arguments);
    let (_, stream) = post(&provider, CHAT, KEYS, &with(body, &json!({"stream": true}))).await;
    let pieces = events(&stream);
    let piece = |event: &Value| {
        let at = "/choices/0/delta/tool_calls/0/function/arguments";
        event.pointer(at).and_then(Value::as_str).map(ToOwned::to_owned)
    };
    assert_eq!(pieces.iter().filter_map(piece).collect::<String>(), arguments);
    let tools = json!([{"name": "f", "input_schema": schema}]);
    let more = json!({ "tools": tools, "tool_choice": {"type": "any"} });
    let (_, body) = post(&provider, "/v1/messages", KEYS, &with(chat("x"), &more)).await;
    assert_eq!(parsed(&body)["content"][0]["input"], json!({"city": "Paris"}));
}

#[tokio::test]
async fn faults_come_as_they_were_asked_for() {
    let provider = provider().await;
    let cases = [
        ("[status 429]", "429", Some("retry-after: 1"), "rate_limit_exceeded"),
        ("[status 500] [retry-after 9]", "500", Some("retry-after: 9"), "server_error"),
        ("[quota]", "429", None, "insufficient_quota"),
        ("[status 401]", "401", None, "invalid_api_key"),
        ("[bad-json]", "200", None, "delta"),
    ];
    for (prompt, status, header, text) in cases {
        let (head, body) = post(&provider, CHAT, KEYS, &chat(prompt)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{prompt}: {head}");
        assert!(header.is_none_or(|header| head.contains(header)), "{prompt}: {head}");
        assert!(String::from_utf8(body).unwrap().contains(text), "{prompt}");
    }
    let (head, _) = post(&provider, CHAT, KEYS, &chat("[cut-before]")).await;
    assert_eq!(head, "");
    let stream = |prompt: &str| with(chat(prompt), &json!({"stream": true}));
    for (fault, deltas) in
        [("[cut 3]", 3), ("[error-event 2]", 2), ("[no-done]", 10), ("[cut 0]", 0)]
    {
        let (_, body) = post(&provider, CHAT, KEYS, &stream(fault)).await;
        assert_eq!(said(&events(&body)).split_whitespace().count(), deltas, "{fault}");
        assert!(!body.ends_with(b"[DONE]\n\n"), "{fault}");
    }
}

#[tokio::test]
async fn keys_are_asked_for_in_each_protocols_own_header() {
    let settings = Settings { api_key: Some("right".to_owned()), ..Settings::default() };
    let provider = Provider::start("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let cases = [
        (CHAT, "authorization: Bearer right", "200"),
        (CHAT, "authorization: Bearer wrong", "401"),
        (CHAT, "x-api-key: right", "401"),
        ("/v1/messages", "x-api-key: right\r\nanthropic-version: 2023-06-01", "200"),
        ("/v1/messages", "x-api-key: right", "400"),
        ("/v1/messages", "anthropic-version: 2023-06-01", "401"),
        ("/v1/messages/count_tokens", "x-api-key: right\r\nanthropic-version: 2023-06-01", "200"),
        ("/v1/nothing", "authorization: Bearer right", "404"),
    ];
    for (path, headers, status) in cases {
        let (head, _) = post(&provider, path, headers, &chat("x")).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers}: {head}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_at_once() {
    let provider = provider().await;
    let prompts = ["[hang]", "[slow 60000]", "[gap 60000]", "[hang-after-deltas]"];
    for (count, prompt) in (1..).zip(prompts) {
        let body = with(chat(prompt), &json!({"stream": true}));
        let stream = send(&provider, CHAT, KEYS, &body).await;
        while provider.requests() < count {
            tokio::task::yield_now().await;
        }
        drop(stream);
        let counted = async {
            while provider.disconnects() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(5), counted).await.unwrap();
    }
}

#[tokio::test]
async fn waits_are_kept_and_dropping_the_provider_ends_it() {
    let provider = provider().await;
    let began = Instant::now();
    post(&provider, CHAT, KEYS, &chat("[slow 40]")).await;
    assert!(began.elapsed() >= Duration::from_millis(40));
    let began = Instant::now();
    post(&provider, CHAT, KEYS, &chat("[slow-us 20500]")).await;
    assert!(began.elapsed() >= Duration::from_micros(20_500));
    let addr = provider.addr();
    let mut stream = send(&provider, CHAT, KEYS, &chat("[hang]")).await;
    while provider.requests() < 3 {
        tokio::task::yield_now().await;
    }
    drop(provider);
    let mut rest = Vec::new();
    assert!(matches!(stream.read_to_end(&mut rest).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(addr).await.is_err());
}
