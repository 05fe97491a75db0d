//! Bounds and races over HTTP: one key at many hands, overdrafts, bonuses, streams and waits; and
//! what is written down about who did what.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::TestApp;

use crate::paywall_key;

const BONUS: &str = "/v1/settings/bonus_credits_topup_config";
const PURCHASE: &str = "PURCHASED_CREDIT_DIRECT";

async fn balance(app: &TestApp, key: &str) -> Value {
    app.get("/v1/user/balance?user=ann", key).await.2["balance"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_fifty_hands_charges_once() {
    let app = std::sync::Arc::new(TestApp::start().await);
    let key = paywall_key(&app).await;
    let body = json!({ "user": "ann", "amount": "100" });
    assert_eq!(app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    let hands = (0..50).map(|_| {
        let (app, key) = (app.clone(), key.clone());
        tokio::spawn(async move {
            let body = json!({ "user": "ann", "amount": "1" });
            app.post_once("/v1/user/charge", &key, "the-one-key", &body).await
        })
    });
    let hands: Vec<_> = hands.collect();
    let (mut activities, mut first) = (std::collections::BTreeSet::new(), 0);
    for hand in hands {
        let (status, headers, answer) = hand.await.unwrap();
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
        first += u32::from(!headers.contains_key("idempotent-replayed"));
        activities.insert(answer["activityId"].as_str().unwrap().to_owned());
    }
    assert_eq!((activities.len(), first), (1, 1), "one charge, and one answer that made it");
    assert_eq!(balance(&app, &key).await, json!("99000000"));
}

#[tokio::test]
async fn a_paywalls_overdraft_is_a_floor_that_nobody_passes() {
    let app = TestApp::start().await;
    let body = json!({ "name": "Chat", "currency": "USD", "overdraft": "5" });
    let (_, _, made) = app.post("/v1/paywalls", &app.key, &body).await;
    let key = made["apiKey"].as_str().unwrap().to_owned();
    let charge = async |amount: &str| {
        let body = json!({ "user": "ann", "amount": amount });
        app.post("/v1/user/charge", &key, &body).await.2["success"].clone()
    };
    assert_eq!(charge("3").await, true);
    assert_eq!(charge("2.000001").await, false);
    assert_eq!(charge("2").await, true);
    assert_eq!(charge("0.000001").await, false);
    assert_eq!(balance(&app, &key).await, json!("-5000000"));
}

#[tokio::test]
async fn a_purchase_brings_the_bonus_of_its_slab() {
    let app = TestApp::start().await;
    let slab = |threshold: &str, kind: &str, value: &str| {
        json!({ "threshold": threshold, "operator": "gte",
            "bonus": { "type": kind, "value": value } })
    };
    let slabs = [slab("10", "flat", "1"), slab("100", "percentage", "20")];
    let value = json!({ "value": { "enabled": true, "slabs": slabs } });
    let (status, _, answer) = app.put(BONUS, &app.key, &value).await;
    assert_eq!(status, 200, "{answer}");
    let body = json!({ "external_id": "ann", "name": "Ann" });
    app.post("/v1/customers", &app.key, &body).await;
    let body = json!({ "external_customer_id": "ann", "currency": "usd" });
    let (_, _, wallet) = app.post("/v1/wallets", &app.key, &body).await;
    let path = format!("/v1/wallets/{}/top-up", wallet["id"].as_str().unwrap());
    let mut expected = Vec::new();
    for (credits, reason, after) in [
        ("9", PURCHASE, "9"),
        ("10", PURCHASE, "20"),
        ("100", PURCHASE, "140"),
        ("100", "FREE_CREDIT_GRANT", "240"),
    ] {
        let body = json!({ "credits_to_add": credits, "transaction_reason": reason });
        let (status, _, answer) = app.post(&path, &app.key, &body).await;
        assert_eq!(status, 200, "{answer}");
        expected.push((answer["wallet"]["credit_balance"].clone(), json!(after)));
    }
    for (found, after) in expected {
        assert_eq!(found, after);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_has_twenty_streams_and_gives_places_back() {
    let app = TestApp::start().await;
    let client = reqwest::Client::new();
    let open = async |key: &str| {
        let url = format!("{}/v1/webhooks/events/stream", app.base);
        client.get(url).header("x-api-key", key).send().await.unwrap()
    };
    let mut streams = Vec::new();
    for _ in 0..20 {
        let stream = open(&app.key).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = open(&app.key).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(open(&app.other_key).await.status(), 200, "another tenant has places of its own");
    streams.clear();
    // A place comes back when the server writes to a client that has gone.
    let body = json!({ "external_id": "ann", "name": "Ann" });
    assert_eq!(app.post("/v1/customers", &app.key, &body).await.0, 201);
    let began = Instant::now();
    while open(&app.key).await.status() != 200 {
        assert!(began.elapsed() < Duration::from_secs(10), "no place came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_waits_for_an_event_and_no_longer() {
    let app = std::sync::Arc::new(TestApp::start().await);
    let began = Instant::now();
    let (_, _, page) = app.get("/v1/webhooks/events?after=now&wait=1", &app.key).await;
    assert_eq!(page["data"], json!([]));
    assert!(began.elapsed() >= Duration::from_secs(1), "it was held back");
    let waiting = app.clone();
    let wait =
        async move { waiting.get("/v1/webhooks/events?after=now&wait=20", &waiting.key).await };
    let waiter = tokio::spawn(wait);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let body = json!({ "external_id": "ann", "name": "Ann" });
    assert_eq!(app.post("/v1/customers", &app.key, &body).await.0, 201);
    let (_, _, page) = waiter.await.unwrap();
    assert_eq!(page["data"][0]["type"], "customer.created");
    assert!(began.elapsed() < Duration::from_secs(15), "it came with the event");
}

#[tokio::test]
async fn the_last_use_of_a_key_is_kept() {
    let app = TestApp::start().await;
    let body = json!({ "name": "k", "type": "private_key", "roles": ["all_reader"] });
    let (_, _, made) = app.post("/v1/secrets/api/keys", &app.key, &body).await;
    let (id, key) = (&made["secret"]["id"], made["api_key"].as_str().unwrap());
    let last_use = async || {
        app.server.flush_uses().await.unwrap();
        let (_, _, list) = app.get("/v1/secrets/api/keys", &app.key).await;
        let all = list["items"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["id"] == *id).unwrap()["last_used_at"].clone()
    };
    assert_eq!(last_use().await, Value::Null);
    let before = app.engine.now(&app.scope).to_string();
    assert_eq!(app.get("/v1/environments", key).await.0, 200);
    assert!(last_use().await.as_str().unwrap() >= before.as_str());
}

#[tokio::test]
async fn what_is_done_to_deliveries_is_written_down() {
    let app = TestApp::start().await;
    let body = json!({ "url": "http://127.0.0.1:9/x", "types": ["customer.*"] });
    let (_, _, endpoint) = app.post("/v1/webhooks/endpoints", &app.key, &body).await;
    let body = json!({ "external_id": "ann", "name": "Ann" });
    assert_eq!(app.post("/v1/customers", &app.key, &body).await.0, 201);
    let (_, _, list) = app.get("/v1/webhooks/deliveries", &app.key).await;
    let one = &list["data"][0];
    let path = format!("/v1/webhooks/deliveries/{}", one["id"].as_str().unwrap());
    let test = format!("/v1/webhooks/endpoints/{}/test", endpoint["id"].as_str().unwrap());
    for (path, body) in [
        (format!("{path}/redeliver"), json!({})),
        (format!("{path}/cancel"), json!({})),
        ("/v1/webhooks/retry".to_owned(), json!({ "ids": [one["event_id"]] })),
        (test, json!({})),
    ] {
        let (status, _, answer) = app.post(&path, &app.key, &body).await;
        assert!(status < 300, "{path}: {answer}");
    }
    let (_, _, log) = app.post("/v1/activity", &app.key, &json!({ "limit": 4 })).await;
    let rows = log["data"].as_array().unwrap();
    let actions: Vec<_> = rows.iter().rev().map(|row| row["action"].as_str().unwrap()).collect();
    let expected = [
        "webhook_delivery.redelivered",
        "webhook_delivery.canceled",
        "webhook_events.retried",
        "webhook_endpoint.tested",
    ];
    assert_eq!(actions, expected);
    assert_eq!(rows[3]["entity"]["id"], one["id"]);
}
