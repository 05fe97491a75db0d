//! Events end with their time: whole days, in chunks, and the books still prove.

use super::*;

/// Makes everything that is there now look as if it had been recorded two days ago.
fn age(app: &TestApp) {
    let old = app.engine.real_now().plus_ms(-2 * DAY_MS).millis();
    for table in ["events", "entries"] {
        app.tamper(&format!("UPDATE {table} SET recorded_at = {old}"));
    }
}

async fn purge(app: &TestApp) -> usize {
    let mut rows = 0;
    loop {
        match app.engine.purge_events(1).await.unwrap() {
            0 => return rows,
            more => rows += more,
        }
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn old_events_are_gone_with_their_deliveries_and_the_rest_stays_whole() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["*"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
    let key = paywall_key(&stage.app).await;
    let deposit = async |user: &str| {
        let body = json!({ "user": user, "amount": "1" });
        assert_eq!(stage.app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    };
    deposit("ada").await;
    stage.drain().await;
    // What is still open at that age ends with its event.
    assert_eq!(stage.post(&format!("{path}/pause"), &json!({})).await.0, 200);
    deposit("bob").await;
    assert_eq!(purge(&stage.app).await, 0, "today's events stay");
    let old = stage.get("/v1/webhooks/events?limit=1000").await;
    let delivery = stage.deliveries(&endpoint).await.remove(0);
    age(&stage.app);
    stage.move_by(1_000).await;
    deposit("ada").await;
    let young = stage.get("/v1/webhooks/events?limit=1000").await;
    let young = young["data"].as_array().unwrap().len();
    let first = old["data"].as_array().unwrap().len();
    assert!(purge(&stage.app).await > 0);

    let feed = stage.get("/v1/webhooks/events?limit=1000").await;
    let positions: Vec<u64> = feed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["position"].as_u64().unwrap())
        .collect();
    let (first, young) = (u64::try_from(first).unwrap(), u64::try_from(young).unwrap());
    assert_eq!(positions, (first + 1..=young).collect::<Vec<_>>());
    let cursor = old["next_cursor"].as_str().unwrap();
    let at_the_edge = stage.get(&format!("/v1/webhooks/events?after={cursor}")).await;
    assert_eq!(at_the_edge["data"].as_array().unwrap().len(), positions.len());

    let gone = |path: String, code: &'static str| {
        let app = &stage.app;
        async move {
            let (status, _, body) = app.get(&path, &app.key).await;
            assert_eq!((status, &body["code"]), (410, &json!(code)), "{path}: {body}");
            body
        }
    };
    let event = old["data"][0]["id"].as_str().unwrap();
    gone(format!("/v1/webhooks/events/{event}"), "payload_purged").await;
    let expired = gone(format!("/v1/webhooks/events?after={event}"), "cursor_expired").await;
    let oldest = expired["details"]["oldest_cursor"].as_str().unwrap();
    assert_eq!(oldest, cursor);
    let id = delivery["id"].as_str().unwrap();
    gone(format!("/v1/webhooks/deliveries/{id}"), "payload_purged").await;
    let redeliver = format!("/v1/webhooks/deliveries/{id}/redeliver");
    assert_eq!(stage.post(&redeliver, &json!({})).await.0, 410);
    assert_eq!(
        stage.app.get(&format!("/v1/webhooks/events/{event}"), &stage.app.other_key).await.0,
        404
    );
    let retried = stage.post("/v1/webhooks/retry", &json!({ "ids": [event] })).await;
    assert_eq!(retried.2["queued"], 0);
    assert_eq!(stage.post(&format!("{path}/resume"), &json!({})).await.0, 200);
    let asked = json!({ "from": "2020-01-01T00:00:00Z" });
    let (status, _, refused) = stage.post(&format!("{path}/replays"), &asked).await;
    assert_eq!((status, &refused["code"]), (410, &json!("payload_purged")), "{refused}");
    let asked = json!({ "from": refused["details"]["oldest"], "only": "all" });
    let (status, _, replay) = stage.post(&format!("{path}/replays"), &asked).await;
    assert_eq!(status, 202, "{replay}");

    let left = stage.deliveries(&endpoint).await;
    assert!(!left.is_empty() && left.iter().all(|one| one["id"] != delivery["id"]));
    let proof = stage.app.engine.verify(stage.app.scope).await.unwrap();
    assert!(proof.balanced, "{proof:?}");
    deposit("ada").await;
    age(&stage.app);
    purge(&stage.app).await;
    assert_eq!(stage.get("/v1/webhooks/events").await["data"], json!([]));
    let proof = stage.app.engine.verify(stage.app.scope).await.unwrap();
    assert!(proof.balanced, "{proof:?}");
    deposit("ada").await;
    let proof = stage.app.engine.verify(stage.app.scope).await.unwrap();
    assert!(proof.balanced, "{proof:?}");
}
