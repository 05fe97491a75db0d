//! Counting tokens: the provider's word, for nothing, to those who may ask for a message.

use super::*;

const PATH: &str = "/v1/messages/count_tokens";

fn question(prompt: &str) -> Value {
    json!({ "model": MODEL, "messages": [{ "role": "user", "content": prompt }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_passed_on_and_costs_nothing() {
    let wall = Wall::start().await;
    let events = wall.told().len();
    for path in [PATH, "/v1/ann/messages/count_tokens"] {
        let body = question("one two three").to_string();
        let request = wall.request(path, body.clone()).header("anthropic-beta", "x");
        let got = Got::of(request.send().await.unwrap()).await;
        assert_eq!(
            (got.status, got.json()["input_tokens"].clone()),
            (200, json!(3)),
            "{}",
            got.text
        );
        let received = wall.last_received();
        assert_eq!(received.path, "/v1/messages/count_tokens");
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(received.header("x-api-key"), Some("sk-of-the-provider"));
        assert_eq!(received.header("anthropic-beta"), Some("x"));
    }
    assert_eq!(wall.told().len(), events);
    assert_eq!(wall.balance("ann").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_gets_an_error_in_the_words_of_the_protocol() {
    let wall =
        Wall::with(&json!({ "block": { "style": "message", "providerStyle": "message" } })).await;
    wall.deposit("ann", "1").await;
    let send = async |body: Value, user: &str| {
        let request = wall.request(PATH, body.to_string()).header("x-paywall-user", user);
        Got::of(request.send().await.unwrap()).await
    };
    let missing = send(json!({ "model": MODEL }), "ann").await;
    assert_eq!((missing.status, missing.kind()), (400, "invalid_request_error".into()));
    let unknown = send(json!({ "model": "no-such-model", "messages": [] }), "ann").await;
    assert_eq!((unknown.status, unknown.kind()), (404, "not_found_error".into()));
    let failed = send(question("[status 500]"), "ann").await;
    assert_eq!((failed.status, failed.kind()), (502, "api_error".into()), "{}", failed.text);
    let path = format!("/v1/paywalls/{}/users/ann/suspend", wall.id);
    let (status, _, answer) = wall.app.post(&path, &wall.app.key, &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let suspended = send(question("Hi"), "ann").await;
    assert_eq!((suspended.status, suspended.kind()), (403, "permission_error".into()));
    assert_eq!(suspended.header("x-paywall-reason"), "user_suspended");
    assert_eq!(send(question("Hi"), "bob").await.status, 200);
    let stranger = wall.request(PATH, question("Hi").to_string()).header("x-paywall-key", "pw_no");
    assert_eq!(stranger.send().await.unwrap().status(), 401);
    assert!(wall.told().is_empty(), "{:?}", wall.told());
}

impl Got {
    fn kind(&self) -> String {
        self.json()["error"]["type"].as_str().unwrap_or_default().to_owned()
    }
}
