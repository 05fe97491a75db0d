//! The developer's own words in place of a template: asked for with a signed question, in time or
//! not at all.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response as Reply};
use axum::routing::post;
use domain::webhook::signature::{Signed, SigningKey, sign_body_hex, verify_v1};

use super::*;

type Asked = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A developer's server, which answers as its path says.
async fn developer() -> (String, Asked) {
    let asked = Asked::default();
    let router = Router::new().route("/{how}", post(answer)).with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (base, asked)
}

async fn answer(
    State(asked): State<Asked>,
    Path(how): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    asked.lock().unwrap().push((headers, body));
    match how.as_str() {
        "json" => (StatusCode::OK, r#"{"message":"Bitte aufladen"}"#).into_response(),
        "text" => (StatusCode::ACCEPTED, "Please top up").into_response(),
        "long" => (StatusCode::OK, format!("{{\"message\":\"{}\"}}", "\\u00e9".repeat(4_000)))
            .into_response(),
        "too-long" => (StatusCode::OK, "x".repeat(4_001)).into_response(),
        "endless" => (StatusCode::OK, "x".repeat(1 << 20)).into_response(),
        "bad" => (StatusCode::OK, "{broken").into_response(),
        "failed" => (StatusCode::INTERNAL_SERVER_ERROR, "no").into_response(),
        "moved" => (StatusCode::FOUND, [(header::LOCATION, "/json")], "moved").into_response(),
        _ => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            "late".into_response()
        }
    }
}

impl Wall {
    async fn asks(&self, url: &str) -> Value {
        let path = format!("/v1/paywalls/{}/templates", self.id);
        let custom = json!({ "url": url, "enabled": true, "timeoutMs": 400 });
        let templates =
            json!({ "customResponse": custom, "insufficientFunds": "Empty: {{ url }}" });
        let (status, _, body) = self.app.put(&path, &self.app.key, &templates).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn said(&self, extra: &Value) -> String {
        let got = self.chat("Hello", extra).await;
        assert_eq!((got.status, got.header("x-paywall-status")), (200, "blocked"));
        got.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    }
}

async fn wall() -> Wall {
    let payment = json!({ "rail": "custom", "topupUrl": "https://pay.example/{{ user }}" });
    Wall::with(&json!({ "payment": payment })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_developer_is_asked_with_a_signed_question() {
    let (wall, (base, asked)) = (wall().await, developer().await);
    let templates = wall.asks(&format!("{base}/json")).await;
    let secret = templates["customResponse"]["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let suffix = templates["customResponse"]["secretSuffix"].as_str().unwrap();
    assert!(suffix.len() == 6 && secret.ends_with(suffix));
    let request = wall.request(CHAT, chat("Hello", &json!({})).to_string());
    let got =
        Got::of(request.header("accept-language", "de-DE,de;q=0.9").send().await.unwrap()).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "Bitte aufladen");
    let (headers, body) = asked.lock().unwrap().pop().unwrap();
    let question: Value = serde_json::from_slice(&body).unwrap();
    let expected = json!({
        "paywallId": wall.id, "requestId": got.header("x-request-id"), "externalUserId": "ann",
        "reason": "insufficient_balance", "url": got.header("x-paywall-action-url"), "name": "Chat",
        "model": MODEL, "stream": false, "balance": "0", "currency": "USD", "locale": "de-DE",
        "walletUserId": question["walletUserId"],
    });
    assert_eq!(question, expected);
    assert!(question["walletUserId"].as_str().unwrap().starts_with("cust_"), "{question}");
    let text = |name: &str| headers[name].to_str().unwrap();
    assert_eq!(text("webhook-id"), got.header("x-request-id"));
    assert_eq!(text("x-paywalls-signature"), sign_body_hex(&secret, &body));
    let signed = Signed {
        id: text("webhook-id"),
        timestamp: text("webhook-timestamp"),
        signature: text("webhook-signature"),
    };
    let now = text("webhook-timestamp").parse().unwrap();
    verify_v1(&[SigningKey::parse(&secret)], signed, &body, now).unwrap();
    assert!(!headers.contains_key("authorization"));
    // Streams and errors speak the same words.
    let stream = wall.chat("Hello", &json!({ "stream": true })).await;
    assert_eq!(stream.words(), "Bitte aufladen");
    let body = chat("Hello", &json!({})).to_string();
    let error = wall.request(CHAT, body).header("x-paywall-on-block", "error");
    let error = Got::of(error.send().await.unwrap()).await;
    assert_eq!((error.status, &error.json()["error"]["message"]), (402, &json!("Bitte aufladen")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_answer_leaves_the_template() {
    let (wall, (base, asked)) = (wall().await, developer().await);
    for (how, expected) in [("text", "Please top up".to_owned()), ("long", "é".repeat(4_000))] {
        wall.asks(&format!("{base}/{how}")).await;
        assert_eq!(wall.said(&json!({})).await, expected);
    }
    for how in ["too-long", "endless", "bad", "failed", "moved", "slow"] {
        wall.asks(&format!("{base}/{how}")).await;
        let (before, began) = (asked.lock().unwrap().len(), Instant::now());
        let said = wall.said(&json!({})).await;
        assert!(said.starts_with("Empty: http"), "{how}: {said}");
        assert!(began.elapsed() < Duration::from_secs(2), "{how}");
        assert_eq!(asked.lock().unwrap().len(), before + 1, "{how}");
    }
    wall.asks("http://127.0.0.1:9/nobody").await;
    assert!(wall.said(&json!({})).await.starts_with("Empty: http"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_template_is_asked_for_and_only_while_it_is_on() {
    let (wall, (base, asked)) = (wall().await, developer().await);
    let made = wall.asks(&format!("{base}/json")).await;
    // Too dear for the caller's maximum: programs only, and no template.
    wall.deposit("ann", "1").await;
    let body = chat("Hello", &json!({ "max_tokens": 100 })).to_string();
    let request = wall.request(CHAT, body).header("x-paywall-max-cost", "0.000001");
    assert_eq!(request.send().await.unwrap().status(), 402);
    assert_eq!(wall.chat("Hello", &json!({ "max_tokens": 9 })).await.status, 200);
    assert!(asked.lock().unwrap().is_empty());
    // An outage in the assistant's words is.
    let path = format!("/v1/paywalls/{}", wall.id);
    let block = json!({ "block": { "providerStyle": "message" } });
    assert_eq!(wall.app.patch(&path, &wall.app.key, &block).await.0, 200);
    let got = wall.chat("[status 500]", &json!({ "max_tokens": 9 })).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "Bitte aufladen");
    assert_eq!(asked.lock().unwrap().len(), 1);
    // What is read may be sent back, and the secret stays.
    let templates = format!("{path}/templates");
    let (_, _, read) = wall.app.get(&templates, &wall.app.key).await;
    assert_eq!(read, made);
    let (status, _, again) = wall.app.put(&templates, &wall.app.key, &read).await;
    assert_eq!((status, &again), (200, &made));
    let off = json!({ "templates": { "customResponse": { "enabled": false } } });
    assert_eq!(wall.app.patch(&path, &wall.app.key, &off).await.0, 200);
    wall.chat("[status 500]", &json!({ "max_tokens": 9 })).await;
    assert_eq!(asked.lock().unwrap().len(), 1);
    let (_, _, whole) = wall.app.get(&path, &wall.app.key).await;
    assert!(!whole.to_string().contains("whsec_"));
}
