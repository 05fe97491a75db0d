//! Idempotency keys of proxied calls: the work is done once, and its answer is given again.

use super::*;

const MESSAGES: &str = "/v1/messages";

impl Wall {
    async fn keyed(&self, path: &str, key: &str, body: &Value) -> Got {
        let request = self.request(path, body.to_string()).header("idempotency-key", key);
        Got::of(request.send().await.unwrap()).await
    }
}

/// The answer of the first call, byte for byte, with the headers that tell of it.
fn assert_replayed(first: &Got, again: &Got) {
    assert_eq!(again.header("idempotent-replayed"), "true", "{}", again.text);
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    for name in ["content-type", "x-paywall-status", "x-paywall-cost", "x-paywall-balance"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(again.header("x-paywall-activity"), first.header("x-paywall-activity"));
    assert_eq!(again.header("x-upstream-request-id"), first.header("x-upstream-request-id"));
}

fn bodies() -> Vec<(&'static str, Value)> {
    let message = |extra: &Value| {
        let mut body = chat("Hello [words 7]", &json!({ "max_tokens": 50 }));
        body["metadata"] = json!({ "user_id": "ann" });
        body.as_object_mut().unwrap().remove("user");
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    vec![
        (CHAT, chat("Hello [words 7]", &json!({ "max_tokens": 50 }))),
        (CHAT, chat("Hello [words 7]", &json!({ "max_tokens": 50, "stream": true }))),
        ("/v1/ann/chat/completions", chat("Hi [words 3]", &json!({ "max_tokens": 50 }))),
        (MESSAGES, message(&json!({}))),
        (MESSAGES, message(&json!({ "stream": true }))),
        ("/v1/embeddings", json!({ "model": MODEL, "user": "ann", "input": "one two" })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer_and_pays_nothing() {
    let mut wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let mut firsts = Vec::new();
    for (index, (path, body)) in bodies().into_iter().enumerate() {
        let key = format!("key-{index}");
        let first = wall.keyed(path, &key, &body).await;
        assert_eq!(first.status, 200, "{path}: {}", first.text);
        firsts.push((path, key, body, first));
    }
    wall.settled().await;
    let before = (wall.balance("ann").await, wall.app.events().len(), wall.provider.requests());
    assert_eq!(before.2, 6);
    for round in 0..2 {
        for (path, key, body, first) in &firsts {
            assert_replayed(first, &wall.keyed(path, key, body).await);
        }
        let after = (wall.balance("ann").await, wall.app.events().len(), wall.provider.requests());
        assert_eq!(after, before, "round {round}");
        wall.app.restart().await;
    }
    let proof = wall.app.engine.verify(wall.app.scope).await.unwrap();
    assert!(proof.balanced, "{:#?}", proof.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_in_the_path_is_the_same_route_and_another_user_another_request() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    wall.deposit("bob", "1").await;
    let mut body = chat("Hi", &json!({ "max_tokens": 50 }));
    body.as_object_mut().unwrap().remove("user");
    let first = wall.keyed("/v1/ann/chat/completions", "k", &body).await;
    let named = wall.request(CHAT, body.to_string()).header("x-paywall-user", "ann");
    let again = Got::of(named.header("idempotency-key", "k").send().await.unwrap()).await;
    assert_replayed(&first, &again);
    let other = wall.keyed("/v1/bob/chat/completions", "k", &body).await;
    assert_eq!((other.status, other.error()), (422, "idempotency_key_reused".into()));
    assert_eq!(wall.provider.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_first_is_at_work_others_wait_and_other_bodies_are_refused() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let body = chat("[slow 700]", &json!({ "max_tokens": 50 }));
    let others = async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let same = wall.keyed(CHAT, "k", &body).await;
        assert_eq!((same.status, same.header("retry-after")), (409, "1"), "{}", same.text);
        assert_eq!(same.error(), "idempotency_key_in_use");
        let other = wall.keyed(CHAT, "k", &chat("Hello", &json!({}))).await;
        assert_eq!((other.status, other.error()), (422, "idempotency_key_reused".into()));
    };
    let (first, ()) = tokio::join!(wall.keyed(CHAT, "k", &body), others);
    assert_replayed(&first, &wall.keyed(CHAT, "k", &body).await);
    let other = wall.keyed(CHAT, "k", &chat("Hello", &json!({}))).await;
    assert_eq!((other.status, other.error()), (422, "idempotency_key_reused".into()));
    assert_eq!(wall.provider.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_does_the_work() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    for stream in [false, true] {
        let body =
            chat("[gap 2] [slow 50] [words 20]", &json!({ "stream": stream, "max_tokens": 50 }));
        let key = format!("key-{stream}");
        let before = wall.provider.requests();
        let sent = (0..40).map(|_| wall.keyed(CHAT, &key, &body));
        let got = futures_util::future::join_all(sent).await;
        assert_eq!(wall.provider.requests() - before, 1);
        let first = got
            .iter()
            .find(|got| got.header("idempotent-replayed").is_empty() && got.status == 200);
        let first = first.unwrap();
        for got in &got {
            assert!(got.status == 409 || got.text == first.text, "{}", got.text);
        }
        assert_replayed(first, &wall.keyed(CHAT, &key, &body).await);
    }
    assert_eq!(wall.settled().await, [("completed".to_owned(), 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_no_work_is_tried_again() {
    let wall = Wall::start().await;
    // A new user has no money: the assistant says so, and the same key works after a deposit.
    let body = chat("Hello [words 2]", &json!({ "max_tokens": 50 }));
    for _ in 0..2 {
        let blocked = wall.keyed(CHAT, "k", &body).await;
        assert_eq!((blocked.status, blocked.header("x-paywall-status")), (200, "blocked"));
    }
    wall.deposit("ann", "1").await;
    let first = wall.keyed(CHAT, "k", &body).await;
    assert_eq!(first.header("x-paywall-status"), "ok");
    assert_replayed(&first, &wall.keyed(CHAT, "k", &body).await);
    assert_eq!(wall.provider.requests(), 1);
    for (index, prompt) in ["[status 500]", "[status 400]", "[cut 2]"].into_iter().enumerate() {
        let body = chat(prompt, &json!({ "max_tokens": 50, "stream": prompt == "[cut 2]" }));
        let key = format!("key-{index}");
        for _ in 0..2 {
            let before = wall.provider.requests();
            let got = wall.keyed(CHAT, &key, &body).await;
            assert_eq!(got.header("idempotent-replayed"), "", "{prompt}");
            assert_eq!(wall.provider.requests(), before + 1, "{prompt}");
        }
    }
    let unknown = json!({ "model": "no-such-model", "user": "ann", "messages": [] });
    for _ in 0..2 {
        assert_eq!(wall.keyed(CHAT, "u", &unknown).await.header("idempotent-replayed"), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_left_is_a_new_request() {
    let wall = Wall::with(&json!({ "limits": { "drainSeconds": 0 } })).await;
    wall.deposit("ann", "1").await;
    let body = chat("[words 100] [gap 10]", &json!({ "stream": true, "max_tokens": 900 }));
    let request = wall.request(CHAT, body.to_string()).header("idempotency-key", "k");
    let mut answer = request.send().await.unwrap();
    answer.chunk().await.unwrap();
    drop(answer);
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 1)].into());
    let whole = wall.keyed(CHAT, "k", &body).await;
    assert!(whole.is_done(), "{}", whole.text);
    assert_replayed(&whole, &wall.keyed(CHAT, "k", &body).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_answer_that_was_drained_waits_for_the_repeat() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let prompt = "[slow 600] [prompt-tokens 1000] [completion-tokens 500]";
    let body = chat(prompt, &json!({ "max_tokens": 900 }));
    let request = wall.request(CHAT, body.to_string()).header("idempotency-key", "k");
    assert!(request.timeout(Duration::from_millis(200)).send().await.is_err());
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 1)].into());
    let again = wall.keyed(CHAT, "k", &body).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
    assert_eq!(again.json()["usage"]["completion_tokens"], 500);
    assert_eq!(again.header("x-paywall-cost"), "0.0022");
    assert_eq!(wall.balance("ann").await, (1_000_000 - 2_200, 0));
    assert_eq!(wall.provider.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_above_four_mebibytes_is_not_stored_and_not_run_again() {
    let wall = Wall::start().await;
    wall.deposit("ann", "50").await;
    for (prompt, stream) in [("[big-event 5000000]", false), ("[words 20000]", true)] {
        let body = chat(prompt, &json!({ "stream": stream, "n": if stream { 4 } else { 1 } }));
        let key = format!("key-{stream}");
        let first = wall.keyed(CHAT, &key, &body).await;
        assert_eq!(first.status, 200);
        let length = first.text.len();
        assert!(length > 4 << 20, "{prompt} {length}");
        let before = (wall.settled().await, wall.balance("ann").await, wall.provider.requests());
        let again = wall.keyed(CHAT, &key, &body).await;
        assert_eq!((again.status, again.error()), (409, "answer_not_stored".into()));
        assert_eq!(again.header("x-should-retry"), "false");
        let after = (wall.settled().await, wall.balance("ann").await, wall.provider.requests());
        assert_eq!(after, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_is_sealed_and_ends_after_seven_days() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let body = chat("Hello [words 7]", &json!({ "max_tokens": 50 }));
    let first = wall.keyed(CHAT, "k", &body).await;
    let word = first.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let stored = || {
        let scope = wall.app.scope;
        let find =
            |no| wall.app.engine.read_now(|read| Ok(store::replies::find(read, &scope, no)?));
        let all = (1..100).filter_map(|no| find(no).unwrap());
        all.filter(|reply| reply.key.key == "k").map(|reply| reply.body).collect::<Vec<_>>()
    };
    let kept = stored().concat();
    assert!(kept.len() > word.len());
    let holds = |text: &str| kept.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!holds(&word) && !holds("x-paywall"));
    let day_ms = 86_400_000;
    let now = wall.app.engine.now(&wall.app.scope);
    for (days, status) in [(6, 200), (8, 409)] {
        wall.app.stand_at(now.plus_ms(days * day_ms));
        wall.app.engine.run_timers(wall.app.scope).await.unwrap();
        let again = wall.keyed(CHAT, "k", &body).await;
        assert_eq!(again.status, status, "after {days} days: {}", again.text);
    }
    assert_eq!(wall.keyed(CHAT, "k", &body).await.error(), "idempotency_key_spent");
    assert_eq!(stored(), [Vec::<u8>::new()]);
    assert_eq!(wall.provider.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_did_its_work() {
    let wall = Wall::with(&json!({ "limits": { "streamStepTokens": 16 } })).await;
    wall.deposit("ann", "0.0005").await;
    let body = chat("[words 3000] [burst 5]", &json!({ "stream": true }));
    let first = wall.keyed(CHAT, "k", &body).await;
    assert_eq!(first.comment()["status"], "cut");
    assert_replayed(&first, &wall.keyed(CHAT, "k", &body).await);
    assert_eq!(wall.provider.requests(), 1);
}
