//! Refusals: in the assistant's words, plain and as a stream, or as an error.

use super::*;

async fn poor() -> Wall {
    let payment = json!({ "rail": "custom", "topupUrl": "https://pay.example/{{ user }}" });
    Wall::with(&json!({ "payment": payment })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_money_is_answered_in_the_chat() {
    let wall = poor().await;
    let plain = wall.chat("Hello", &json!({})).await;
    assert_eq!(plain.status, 200, "{}", plain.text);
    assert_eq!(plain.header("x-paywall-status"), "blocked");
    assert_eq!(plain.header("x-paywall-reason"), "insufficient_balance");
    let body = plain.json();
    let content = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(content.contains(plain.header("x-paywall-action-url")), "{content}");
    assert_eq!(body["usage"]["total_tokens"], 0);
    assert_eq!(body["id"], format!("chatcmpl-{}", plain.header("x-request-id")));
    assert_eq!(body["paywall"]["requestId"], plain.header("x-request-id"));
    let stream = wall.chat("Hello", &json!({ "stream": true })).await;
    assert!(stream.is_done() && stream.header("content-type").contains("event-stream"));
    assert_eq!(stream.words(), content);
    let order = [
        "proxy.request.started",
        "balance.depleted",
        "balance.topup.link.created",
        "request.blocked",
        "proxy.request.blocked",
    ];
    assert_eq!(wall.told()[..5], order);
    assert_eq!(wall.provider.requests(), 0);
    assert_eq!(wall.settled().await, [("blocked".to_owned(), 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_an_error() {
    let wall = poor().await;
    for (path, body) in [
        (CHAT, chat("Hello", &json!({}))),
        (CHAT, chat("Hello", &json!({ "stream": true }))),
        (
            "/v1/embeddings",
            json!({ "model": "text-embedding-3-small", "input": "a", "user": "ann" }),
        ),
    ] {
        let request = wall.request(path, body.to_string()).header("x-paywall-on-block", "error");
        let got = Got::of(request.send().await.unwrap()).await;
        assert_eq!(got.status, 402, "{}", got.text);
        assert_eq!(got.header("x-should-retry"), "false");
        let body = got.json();
        assert_eq!(body["error"]["code"], "insufficient_balance");
        assert_eq!(body["error"]["type"], "insufficient_quota");
        assert_eq!(body["paywall"]["actionUrl"], got.header("x-paywall-action-url"));
    }
    let ask = json!({ "model": "claude-haiku-4-5", "max_tokens": 5, "metadata": { "user_id": "ann" },
        "messages": [{ "role": "user", "content": "hi" }] });
    let request = wall.request("/v1/messages", ask.to_string());
    let got = request.header("x-paywall-on-block", "error").send().await.unwrap();
    let got = Got::of(got).await;
    assert_eq!((got.status, &got.json()["error"]["type"]), (402, &json!("billing_error")));
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_are_not_allowed_are_not_asked() {
    let wall = Wall::with(&json!({ "models": { "deny": ["gpt-test"] } })).await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("Hello", &json!({})).await;
    assert_eq!((got.status, got.header("x-paywall-reason")), (200, "model_not_allowed"));
    let request = wall.request(CHAT, chat("x", &json!({})).to_string());
    let got = request.header("x-paywall-on-block", "error").send().await.unwrap();
    assert_eq!(got.status().as_u16(), 403);
    assert_eq!(wall.provider.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_used_up_says_when_to_come_again() {
    let wall = Wall::with(&json!({ "limits": { "maxRequests": 1 } })).await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("Hello", &json!({ "max_tokens": 20 })).await;
    assert_eq!(got.header("x-paywall-status"), "ok");
    for name in ["ratelimit", "x-ratelimit"] {
        assert_eq!(got.header(&format!("{name}-limit")), "1");
        assert_eq!(got.header(&format!("{name}-remaining")), "0");
    }
    assert_eq!(got.header("x-ratelimit-limit-requests"), "1");
    let request = wall.request(CHAT, chat("x", &json!({})).to_string());
    let got = Got::of(request.header("x-paywall-on-block", "error").send().await.unwrap()).await;
    assert_eq!((got.status, got.header("x-paywall-reason")), (429, "rate_limited"), "{}", got.text);
    assert!(got.header("retry-after").parse::<u64>().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maximum_of_the_caller_is_kept() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let ask = |cost: &'static str| {
        let body = chat("Hello", &json!({ "max_tokens": 1000 })).to_string();
        wall.request(CHAT, body).header("x-paywall-max-cost", cost).send()
    };
    let got = Got::of(ask("0.000001").await.unwrap()).await;
    assert_eq!((got.status, &got.json()["error"]["code"]), (402, &json!("max_cost_exceeded")));
    assert_eq!(ask("1").await.unwrap().status().as_u16(), 200);
}
