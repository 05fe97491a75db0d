//! Clients that leave: what the provider made until then is paid, once, and nothing stays held.

use super::*;

/// Reads until so many words came, and leaves.
async fn leave_after(wall: &Wall, prompt: &str, words: usize) {
    let mut answer = wall.send(&chat(prompt, &json!({ "stream": true, "max_tokens": 900 }))).await;
    let mut text = String::new();
    while text.matches("\"content\":\"").count() <= words {
        match answer.chunk().await.unwrap() {
            Some(chunk) => text.push_str(&String::from_utf8_lossy(&chunk)),
            None => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_early_pays_what_was_made() {
    let wall = Wall::with(&json!({ "limits": { "drainSeconds": 1 } })).await;
    wall.deposit("ann", "1").await;
    leave_after(&wall, "[words 800] [gap 10]", 3).await;
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 1)].into());
    let (balance, _) = wall.balance("ann").await;
    assert!(balance < 1_000_000, "{balance}");
    assert_eq!(wall.event("paywall.proxy.request.canceled")["canceledBy"], "client");
    assert_eq!(wall.provider.disconnects(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_after_the_last_delta_pays_in_full() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    // 20 deltas, then silence of a second before the usage.
    let prompt = "[words 20] [prompt-tokens 1000] [completion-tokens 500] [gap 40]";
    leave_after(&wall, prompt, 19).await;
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 1)].into());
    // (1000 + 500 × 2) / 1,000,000 × 1.1
    assert_eq!(wall.balance("ann").await, (1_000_000 - 2_200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_drain_the_provider_is_left_at_once() {
    let wall = Wall::with(&json!({ "limits": { "drainSeconds": 0 } })).await;
    wall.deposit("ann", "1").await;
    leave_after(&wall, "[words 800] [gap 20]", 3).await;
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_silent_provider_pays_nothing() {
    let wall = Wall::with(&json!({ "limits": { "drainSeconds": 1 } })).await;
    wall.deposit("ann", "1").await;
    for stream in [false, true] {
        let body = chat("[hang]", &json!({ "stream": stream, "max_tokens": 9 })).to_string();
        let sent = wall.request(CHAT, body).timeout(Duration::from_millis(300)).send().await;
        assert!(sent.is_err());
    }
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 2)].into());
    assert_eq!(wall.balance("ann").await, (1_000_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_answer_that_nobody_waits_for_is_paid() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let prompt = "[slow 600] [prompt-tokens 1000] [completion-tokens 500]";
    let body = chat(prompt, &json!({ "max_tokens": 900 })).to_string();
    let sent = wall.request(CHAT, body).timeout(Duration::from_millis(200)).send().await;
    assert!(sent.is_err());
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 1)].into());
    assert_eq!(wall.balance("ann").await, (1_000_000 - 2_200, 0));
}

/// That it has left is found out by a write that waited for it, and the provider is silent then.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_without_having_read_is_drained_no_longer_than_others() {
    let wall = Wall::with(&json!({ "limits": { "drainSeconds": 1 } })).await;
    wall.deposit("ann", "1").await;
    // More than the buffers of both sockets hold.
    let prompt = "[words 4000] [burst 64] [gap 1] [hang-after-deltas]";
    let ask = json!({ "stream": true, "max_tokens": 4_000, "n": 16 });
    let answer = wall.send(&chat(prompt, &ask)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let left = std::time::Instant::now();
    drop(answer);
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 1)].into());
    assert!(left.elapsed() < Duration::from_secs(8), "{:?}", left.elapsed());
    assert!(wall.balance("ann").await.0 < 1_000_000 - 100_000);
}
