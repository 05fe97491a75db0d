//! Streams: the same bytes, the usage for who asked, and an end only after the settlement.

use super::*;

const STREAM: &str = "{\"stream\":true,\"max_tokens\":500}";

fn stream() -> Value {
    serde_json::from_str(STREAM).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_charged_before_its_last_line() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("[prompt-tokens 1001] [completion-tokens 333] Hello", &stream()).await;
    assert_eq!(got.status, 200);
    assert!(got.header("content-type").starts_with("text/event-stream"));
    assert_eq!(got.header("x-paywall-status"), "ok");
    assert_eq!(got.header("x-upstream-request-id"), "req_fake_1");
    assert!(got.is_done(), "{}", got.text);
    let comment = got.comment();
    assert_eq!(comment["status"], "ok");
    assert_eq!(comment["cost"], "0.001834");
    assert_eq!(comment["balance"], "0.998166");
    assert_eq!(comment["estimated"], false);
    assert_eq!(comment["requestId"], got.header("x-request-id"));
    assert!(comment["activityId"].as_str().unwrap().starts_with("wtxn_"));
    // Nobody asked for the usage chunk, so nobody sees it.
    assert!(got.chunks().iter().all(|chunk| chunk["usage"].is_null()), "{}", got.text);
    assert_eq!(wall.balance("ann").await, (998_166, 0));
    let order = [
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.completed",
        "usage.charge.created",
    ];
    assert_eq!(wall.told(), order);
    let asked: Value = serde_json::from_slice(&wall.last_received().body).unwrap();
    assert_eq!(asked["stream_options"]["include_usage"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_for_usage_sees_it_once() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let mut extra = stream();
    extra["stream_options"] = json!({ "include_usage": true });
    let got = wall.chat("Hello [words 5]", &extra).await;
    let usages: Vec<Value> =
        got.chunks().into_iter().filter(|chunk| !chunk["usage"].is_null()).collect();
    assert_eq!(usages.len(), 1, "{}", got.text);
    assert_eq!(usages[0]["choices"], json!([]));
    assert!(got.is_done());
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_of_any_kind_passes_unchanged() {
    let wall = Wall::start().await;
    wall.deposit("ann", "5").await;
    let plain = wall.chat("[words 12]", &json!({ "max_tokens": 500 })).await.json();
    let words = plain["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    for switch in ["[odd-framing]", "[multi-line]", "[burst 3]", "[gap 1]", "[no-done]"] {
        let got = wall.chat(&format!("[words 12] {switch}"), &stream()).await;
        assert!(got.is_done(), "{switch}: {}", got.text);
        if switch != "[multi-line]" {
            assert_eq!(got.words(), words, "{switch}");
        }
        assert_eq!(got.comment()["estimated"], false, "{switch}");
    }
    let got = wall.chat("[words 3] [emoji-split] [odd-framing]", &stream()).await;
    assert!(got.words().contains('\u{1f3ab}') || got.words().chars().any(|c| c > '\u{1f000}'));
    let got = wall.chat("[words 3] [no-usage]", &stream()).await;
    assert_eq!(got.comment()["estimated"], true);
    let ends = wall.settled().await;
    assert_eq!(ends, [("completed".to_owned(), 8)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_may_be_a_megabyte_and_no_more() {
    let wall = Wall::start().await;
    wall.deposit("ann", "50").await;
    let got = wall.chat("[big-event 900000]", &json!({ "stream": true })).await;
    assert!(got.is_done());
    let got = wall.chat("[big-event 1200000]", &json!({ "stream": true })).await;
    assert!(!got.is_done());
    wall.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_cap_holds_step_by_step() {
    let limits = json!({ "limits": { "streamStepTokens": 64 } });
    let wall = Wall::with(&limits).await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("[words 1500]", &json!({ "stream": true })).await;
    assert!(got.is_done(), "{}", got.text);
    assert_eq!(got.words().split_whitespace().count(), 1500);
    assert_eq!(got.comment()["status"], "ok");
    wall.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_cut_where_the_money_ends() {
    let limits = json!({ "limits": { "streamStepTokens": 16 },
        "payment": { "rail": "custom", "topupUrl": "https://pay.example/{{ user }}" } });
    let wall = Wall::with(&limits).await;
    wall.deposit("ann", "0.0005").await;
    let got = wall.chat("[words 3000] [burst 5]", &json!({ "stream": true })).await;
    assert_eq!(got.status, 200, "{}", got.text);
    assert!(got.is_done(), "{}", got.text);
    assert_eq!(got.comment()["status"], "cut");
    let chunks = got.chunks();
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!(last["paywall"]["status"], "cut");
    assert!(last["paywall"]["actionUrl"].as_str().unwrap().starts_with("http"), "{last}");
    let (balance, held) = wall.balance("ann").await;
    assert!(balance >= 0 && held == 0, "{balance} {held}");
    let told = wall.told();
    let order = [
        "proxy.request.started",
        "usage.charge.deferred",
        "balance.depleted",
        "balance.topup.link.created",
        "proxy.request.completed",
        "usage.charge.created",
    ];
    assert_eq!(told, order);
    assert_eq!(wall.event("paywall.proxy.request.completed")["cut"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_says_which_limit_it_was() {
    let steps = json!({ "streamStepTokens": 16 });
    let cap = json!({ "limits": steps, "caps": { "userDay": "0.0005" } });
    let cases = [
        (cap, None, "spend_cap_reached", json!("user_day")),
        (json!({ "limits": steps }), Some("0.0005"), "max_cost_exceeded", Value::Null),
    ];
    for (settings, max_cost, reason, source) in cases {
        let wall = Wall::with(&settings).await;
        wall.deposit("ann", "1").await;
        let body = chat("[words 3000] [burst 5]", &json!({ "stream": true })).to_string();
        let mut request = wall.request(CHAT, body);
        if let Some(most) = max_cost {
            request = request.header("x-paywall-max-cost", most);
        }
        let got = Got::of(request.send().await.unwrap()).await;
        assert!(got.is_done(), "{}", got.text);
        assert_eq!(got.comment()["status"], "cut", "{reason}");
        let told = got.chunks().pop().unwrap()["paywall"].clone();
        assert_eq!((&told["reason"], &told["limitSource"]), (&json!(reason), &source), "{told}");
        assert_eq!(told["actionUrl"], Value::Null);
        assert_eq!(told["resetAt"].is_string(), reason == "spend_cap_reached", "{told}");
        let order = [
            "proxy.request.started",
            "usage.charge.deferred",
            "proxy.request.completed",
            "usage.charge.created",
        ];
        assert_eq!(wall.told(), order);
        assert!(wall.balance("ann").await.0 >= 1_000_000 - 500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_balance_shortens_the_answer_and_says_so() {
    let wall = Wall::start().await;
    wall.deposit("ann", "0.0005").await;
    let got = wall.chat("hi [words 2000]", &json!({ "max_tokens": 2000 })).await;
    assert_eq!(got.header("x-paywall-status"), "clamped", "{}", got.text);
    assert_eq!(got.header("x-paywall-clamped"), "balance");
    let sent: Value = serde_json::from_slice(&wall.last_received().body).unwrap();
    assert_eq!(sent["max_tokens"].to_string(), got.header("x-paywall-max-tokens"));
    assert_eq!(got.json()["choices"][0]["finish_reason"], "length");
    assert!(wall.balance("ann").await.0 >= 0);
}
