//! Events of proxied requests touch the paywall, the user and the wallet that paid.

use super::*;

/// Types of the feed's events that touch a channel.
async fn types_of(wall: &Wall, channel: &str) -> Vec<String> {
    let path = format!("/v1/webhooks/events?limit=1000&channel={channel}");
    let page = wall.app.get(&path, &wall.app.key).await.2;
    let data = page["data"].as_array().unwrap();
    data.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_a_wallet_hears_of_its_requests_however_they_are_settled() {
    for settlement in [json!({ "mode": "immediate" }), json!({ "mode": "lease" })] {
        let wall = Wall::with(&json!({ "settlement": settlement })).await;
        wall.deposit("ann", "1").await;
        wall.deposit("bob", "1").await;
        let prompt = "[prompt-tokens 10] [completion-tokens 10] Hello";
        assert_eq!(wall.chat(prompt, &json!({})).await.status, 200);
        assert_eq!(wall.chat("[status 500]", &json!({})).await.status, 502);
        assert!(wall.app.server.tasks.end(Duration::from_secs(10)).await);
        wall.app.engine.end_leases().await;
        wall.settled().await;

        let path = "/v1/webhooks/events?types=paywall.balance.deposit.created";
        let deposits = wall.app.get(path, &wall.app.key).await.2["data"].clone();
        let of = |user: usize, place: usize| deposits[user]["channels"][place].as_str().unwrap();
        assert_eq!(of(0, 2), format!("paywall:{}", wall.id));
        let ours = |name: &String| name.contains(".proxy.") || name.contains(".usage.");
        let mut all = types_of(&wall, of(0, 2)).await;
        all.retain(ours);
        assert!(all.len() >= 5, "{settlement}: {all:?}");
        for place in [0, 1] {
            let mut anns = types_of(&wall, of(0, place)).await;
            anns.retain(ours);
            assert_eq!(anns, all, "{settlement}: {}", of(0, place));
            let mut bobs = types_of(&wall, of(1, place)).await;
            bobs.retain(ours);
            assert_eq!(bobs, Vec::<String>::new(), "{settlement}: {}", of(1, place));
        }
    }
}
