//! A wallet is stopped while requests are under way: none is let in, none is paid, and after the
//! repair each has its one end.

use super::*;

async fn wallet(wall: &Wall) -> String {
    let (_, _, page) = wall.app.get("/v1/wallets", &wall.app.key).await;
    page["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn act(wall: &Wall, wallet: &str, action: &str) -> Value {
    let path = format!("/v1/wallets/{wallet}/{action}");
    let (status, _, answer) = wall.app.post(&path, &wall.app.key, &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn stopped_under_way(settlement: Value) {
    let wall = Wall::with(&json!({ "settlement": settlement })).await;
    wall.deposit("ann", "1").await;
    assert_eq!(wall.chat("[words 5]", &json!({})).await.status, 200);
    let (plain, stream) = (json!({}), json!({ "stream": true }));
    let prompt = "[slow 400] [words 5]";
    let under_way = async { tokio::join!(wall.chat(prompt, &plain), wall.chat(prompt, &stream)) };
    let breaks = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        wall.app
            .tamper("UPDATE entries SET amount = 1 WHERE place = (SELECT MIN(place) FROM entries)");
        assert_eq!(wall.app.engine.check_books().await.unwrap(), 1);
        let refused = wall.chat("[words 5]", &json!({})).await;
        assert_ne!(refused.status, 200, "{}", refused.text);
        let before = wall.balance("ann").await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(wall.balance("ann").await, before, "nothing moves");
        wall.app.tamper(
            "UPDATE entries SET amount = NULL WHERE place = (SELECT MIN(place) FROM entries)",
        );
        let id = wallet(&wall).await;
        assert_eq!(act(&wall, &id, "recheck").await["stopped"], false);
        act(&wall, &id, "unfreeze").await;
    };
    let (_, ()) = tokio::join!(under_way, breaks);
    assert_eq!(wall.chat("[words 5]", &json!({})).await.status, 200);
    assert!(wall.app.server.tasks.end(Duration::from_secs(20)).await, "a request has no end");
    wall.app.engine.end_leases().await;
    let ends: usize = wall.settled().await.values().sum();
    assert!(ends >= 4, "{:?}", wall.told());
    assert_eq!(wall.balance("ann").await.1, 0, "nothing is held");
    let proof = wall.app.engine.verify(wall.app.scope).await.unwrap();
    assert!(proof.balanced, "{:#?}", proof.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_stopped_wallet_wait_for_its_repair_and_end_once() {
    stopped_under_way(json!({ "mode": "immediate" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_wallets_lease_promises_nothing_and_is_settled_after_its_repair() {
    stopped_under_way(json!({ "mode": "lease", "intervalMs": 50 })).await;
}
