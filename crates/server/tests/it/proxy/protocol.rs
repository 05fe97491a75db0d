//! The edges of the protocols: text completions, trailers, silence, and figures beyond all reason.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const COMPLETIONS: &str = "/v1/completions";

async fn complete(wall: &Wall, prompt: &str, extra: &Value) -> Got {
    let mut body = json!({ "model": MODEL, "user": "ann", "prompt": prompt });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Got::of(wall.request(COMPLETIONS, body.to_string()).send().await.unwrap()).await
}

/// The texts of a stream of completions, joined.
fn texts(got: &Got) -> String {
    let chunks = got.chunks();
    let text = |chunk: &Value| chunk["choices"][0]["text"].as_str().map(str::to_owned);
    chunks.iter().filter_map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_completed_plain_and_as_a_stream() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let prompt = "[prompt-tokens 1001] [completion-tokens 333] [words 12] Hello";
    let plain = complete(&wall, prompt, &json!({ "max_tokens": 500 })).await;
    assert_eq!((plain.status, plain.header("x-paywall-cost")), (200, "0.001834"), "{}", plain.text);
    assert_eq!(plain.json()["object"], "text_completion");
    let text = plain.json()["choices"][0]["text"].as_str().unwrap().to_owned();
    let stream = complete(&wall, prompt, &json!({ "stream": true, "max_tokens": 500 })).await;
    assert!(stream.is_done(), "{}", stream.text);
    assert_eq!((texts(&stream), &stream.comment()["cost"]), (text, &json!("0.001834")));
    assert!(stream.chunks().iter().all(|chunk| chunk["usage"].is_null()), "{}", stream.text);
    let asked: Value = serde_json::from_slice(&wall.last_received().body).unwrap();
    assert_eq!(asked["stream_options"]["include_usage"], true);
    assert_eq!(wall.last_received().path, COMPLETIONS);
    let order = [
        "proxy.request.started",
        "usage.charge.created",
        "proxy.request.completed",
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.completed",
        "usage.charge.created",
    ];
    assert_eq!(wall.told(), order);
    assert_eq!(wall.balance("ann").await, (1_000_000 - 2 * 1_834, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_without_money_is_answered_and_one_that_runs_out_is_cut() {
    let wall = Wall::with(&json!({ "limits": { "streamStepTokens": 16 } })).await;
    for stream in [false, true] {
        let got = complete(&wall, "Hello", &json!({ "stream": stream })).await;
        assert_eq!((got.status, got.header("x-paywall-status")), (200, "blocked"), "{}", got.text);
        let text = if stream { texts(&got) } else { got.json()["choices"][0]["text"].to_string() };
        assert!(text.len() > 10, "{}", got.text);
    }
    wall.deposit("ann", "0.0005").await;
    let got = complete(&wall, "[words 3000] [burst 5]", &json!({ "stream": true })).await;
    assert!(got.is_done(), "{}", got.text);
    let last = got.chunks().pop().unwrap();
    assert_eq!(last["choices"][0], json!({ "text": "", "index": 0, "finish_reason": "length" }));
    assert_eq!(
        (&last["paywall"]["status"], &got.comment()["status"]),
        (&json!("cut"), &json!("cut"))
    );
    let (balance, held) = wall.balance("ann").await;
    assert!(balance >= 0 && held == 0, "{balance} {held}");
}

/// Every byte of the answer to a chat, which closes its connection.
async fn raw_chat(wall: &Wall, headers: &str, prompt: &str) -> String {
    let address = wall.app.base.strip_prefix("http://").unwrap();
    let body = chat(prompt, &json!({ "stream": true })).to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n{headers}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        wall.key,
        body.len()
    );
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all((head + &body).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_trailers_is_told_of_a_cut_in_one() {
    let wall = Wall::with(&json!({ "limits": { "streamStepTokens": 16 } })).await;
    let cases = [
        ("te: trailers\r\nconnection: te, close\r\n", "[words 3000] [burst 5]", true),
        ("connection: close\r\n", "[words 3000] [burst 5]", false),
        ("te: trailers\r\nconnection: te, close\r\n", "[words 3]", false),
    ];
    for (headers, prompt, told) in cases {
        wall.deposit("ann", "0.0005").await;
        let text = raw_chat(&wall, headers, prompt).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let end = if told { "\r\n0\r\nx-paywall-status: cut\r\n\r\n" } else { "\r\n0\r\n\r\n" };
        assert!(text.ends_with(end), "{headers} {prompt}: {text}");
        let announced = text.contains("\r\ntrailer: x-paywall-status\r\n");
        assert_eq!(announced, headers.starts_with("te"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_provider_is_bridged_by_a_comment_every_fifteen_seconds() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let body = chat("[chunks 1] [gap 16000]", &json!({ "stream": true, "max_tokens": 9 }));
    let mut answer = wall.send(&body).await;
    let read = async {
        let mut text = String::new();
        while !text.contains(": keep-alive\n\n") {
            let chunk = answer.chunk().await.unwrap().unwrap();
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    };
    let text = tokio::time::timeout(Duration::from_millis(15_900), read).await.unwrap();
    assert!(!text.contains("[DONE]"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_at_most_128_characters() {
    let wall = Wall::start().await;
    for (length, status) in [(128, 200), (129, 400)] {
        let user = "é".repeat(length);
        let ascii = "u".repeat(length);
        let body = chat("Hello", &json!({ "user": user })).to_string();
        let by_body = wall.request(CHAT, body);
        let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Hello" }] });
        let by_header = wall.request(CHAT, body.to_string()).header("x-paywall-user", &ascii);
        let by_path = wall.request(&format!("/v1/{ascii}/chat/completions"), body.to_string());
        for request in [by_body, by_header, by_path] {
            let got = Got::of(request.send().await.unwrap()).await;
            assert_eq!(got.status, status, "{length}: {}", got.text);
            let refused = got.json()["error"]["code"] == "invalid_user";
            assert_eq!(refused, status == 400, "{}", got.text);
        }
    }
    assert_eq!(wall.provider.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_beyond_all_reason_takes_what_is_there_and_no_more() {
    let most = u64::MAX;
    for mode in ["immediate", "lease"] {
        let wall = Wall::with(&json!({ "settlement": { "mode": mode } })).await;
        for stream in [false, true] {
            wall.deposit("ann", "1").await;
            let prompt = format!("[prompt-tokens {most}] [completion-tokens {most}] Hello");
            let got = wall.chat(&prompt, &json!({ "stream": stream, "max_tokens": 50 })).await;
            assert_eq!(got.status, 200, "{mode} {stream}: {}", got.text);
            assert!(!stream || got.is_done(), "{}", got.text);
            wall.app.engine.end_leases().await;
            assert_eq!(wall.balance("ann").await, (0, 0), "{mode} {stream}");
        }
        assert_eq!(wall.settled().await, [("completed".to_owned(), 2)].into());
        let proof = wall.app.engine.verify(wall.app.scope).await.unwrap();
        assert!(proof.balanced, "{:#?}", proof.findings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_beyond_all_reason_is_refused_or_lets_nobody_in() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let prices = ["99999999999999999999999999999999999999", "100000000000000000000", "1000000000"];
    for price in prices {
        let body = json!({ "pricing": { "overrides": { MODEL: { "completion": price } } } });
        let path = format!("/v1/paywalls/{}", wall.id);
        let (status, _, answer) = wall.app.patch(&path, &wall.app.key, &body).await;
        assert!([200, 400].contains(&status), "{price}: {answer}");
        for stream in [false, true] {
            let got = wall.chat("Hello", &json!({ "stream": stream })).await;
            let passed = status == 400;
            assert_eq!(got.status, 200, "{price}: {}", got.text);
            assert_eq!(
                got.header("x-paywall-status") != "blocked",
                passed,
                "{price}: {}",
                got.text
            );
        }
    }
    let (balance, held) = wall.balance("ann").await;
    assert!(balance > 0 && held == 0, "{balance} {held}");
}
