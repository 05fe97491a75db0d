//! Providers that fail: before any output nothing is charged, and the words are ours.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn before_any_output_nothing_is_charged() {
    let limits = json!({ "firstByteSeconds": 1, "idleSeconds": 1 });
    let wall = Wall::with(&json!({ "limits": limits })).await;
    wall.deposit("ann", "1").await;
    let table = [
        ("[status 500]", 502, "provider_error", ""),
        ("[status 529]", 502, "provider_error", ""),
        ("[status 429] [retry-after 7]", 429, "provider_rate_limited", ""),
        ("[quota]", 502, "provider_quota_exhausted", "false"),
        ("[status 401]", 502, "provider_auth_failed", "false"),
        ("[status 403]", 502, "provider_auth_failed", "false"),
        ("[status 402]", 502, "provider_quota_exhausted", "false"),
        ("[hang]", 504, "provider_timeout", ""),
        ("[cut-before]", 502, "provider_unavailable", ""),
    ];
    let mut count = 0;
    for (prompt, status, code, retry) in table {
        for stream in [false, true] {
            let got = wall.chat(prompt, &json!({ "stream": stream, "max_tokens": 50 })).await;
            assert_eq!(got.status, status, "{prompt} {stream}: {}", got.text);
            let body = got.json();
            assert_eq!(body["error"]["code"], code, "{prompt}");
            assert!(body["error"]["request_id"].is_string());
            assert_eq!(got.header("x-should-retry"), retry, "{prompt}");
            let event = wall.event("paywall.proxy.request.failed");
            assert_eq!(event["errorCode"], code, "{event}");
            count += 1;
        }
    }
    let limited = wall.chat("[status 429] [retry-after 7]", &json!({})).await;
    assert_eq!(limited.header("retry-after"), "7");
    assert_eq!(wall.balance("ann").await, (1_000_000, 0));
    assert_eq!(wall.settled().await, [("failed".to_owned(), count + 1)].into());
    assert!(!wall.told().iter().any(|name| name.starts_with("usage.")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_request_itself_passes_unchanged() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("[status 422]", &json!({})).await;
    assert_eq!(got.status, 422);
    assert_eq!(got.json()["error"]["message"], "The prompt asked for this error");
    assert_eq!(wall.event("paywall.proxy.request.failed")["errorCode"], "provider_rejected");
    assert_eq!(wall.balance("ann").await, (1_000_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_not_passed_on() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    for prompt in ["[bad-json]", "[cut 3]"] {
        let got = wall.chat(prompt, &json!({})).await;
        assert_eq!(got.status, 502, "{prompt}: {}", got.text);
    }
    assert_eq!(wall.balance("ann").await, (1_000_000, 0));
    wall.connect("http://127.0.0.1:1/v1").await;
    let got = wall.chat("Hello", &json!({})).await;
    assert_eq!((got.status, &got.json()["error"]["code"]), (502, &json!("provider_unavailable")));
    wall.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_dies_midway_leaves_no_whole_answer() {
    let wall = Wall::with(&json!({ "limits": { "idleSeconds": 1 } })).await;
    wall.deposit("ann", "1").await;
    let extra = json!({ "stream": true, "max_tokens": 100 });
    for prompt in ["[cut 4]", "[hang-after 4]"] {
        let got = wall.chat(prompt, &extra).await;
        assert_eq!(got.status, 200);
        assert!(!got.is_done() && !got.broken, "{prompt}: {}", got.text);
        let chunks = got.chunks();
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], "error", "{last}");
        assert_eq!(last["error"]["code"], "stream_interrupted");
        assert_eq!(got.words().split_whitespace().count(), 4, "{prompt}");
    }
    let got = wall.chat("[error-event 4]", &extra).await;
    assert!(!got.is_done(), "{}", got.text);
    let order = [
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.failed",
        "usage.charge.created",
    ];
    assert_eq!(wall.settled().await, [("failed".to_owned(), 3)].into());
    assert_eq!(wall.told()[..4], order);
    assert!(wall.balance("ann").await.0 < 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_may_be_told_in_the_chat() {
    let wall = Wall::with(&json!({ "block": { "providerStyle": "message" } })).await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("[status 500]", &json!({})).await;
    assert_eq!((got.status, &got.json()["object"]), (200, &json!("chat.completion")));
    let got = wall.chat("[status 401]", &json!({})).await;
    assert_eq!(got.status, 502);
}
