//! A receiver that fails: its circuit, what is told of it, and when it is switched off.

use super::moody::moody_stage;
use super::*;

const SECOND_MS: i64 = 1_000;
/// More than go out before the circuit is known to be open.
const COUNT: usize = 30;

/// Triggers of a delivery's attempts, oldest first.
async fn triggers(stage: &Stage, delivery: &Value) -> Vec<String> {
    let id = delivery["id"].as_str().unwrap();
    let attempts = stage.get(&format!("/v1/webhooks/deliveries/{id}/attempts")).await;
    let all = attempts["data"].as_array().unwrap();
    all.iter().rev().map(|one| one["trigger"].as_str().unwrap().to_owned()).collect()
}

/// What the environment told of its receivers, in order.
async fn told(stage: &Stage) -> Vec<Value> {
    let feed = stage.get("/v1/webhooks/events?after=start&limit=1000").await;
    let data = feed["data"].as_array().unwrap().clone();
    data.into_iter()
        .map(|one| one["body"].clone())
        .filter(|body| {
            let kind = body["event_type"].as_str().or(body["type"].as_str()).unwrap_or_default();
            kind.contains("webhook.") && !kind.ends_with("created") && !kind.ends_with("updated")
        })
        .collect()
}

#[tokio::test]
async fn a_dead_endpoint_spends_nothing_until_a_probe_finds_it_alive() {
    let (stage, moody) = moody_stage().await;
    let dead = stage.endpoint("/dead", &["customer.created"], json!({})).await;
    let good = stage.endpoint("/good", &["customer.created"], json!({})).await;
    moody.down("/dead");
    stage.customers(COUNT).await;
    stage.drain().await;
    assert_eq!(moody.asked("/good").len(), COUNT, "the good one waits for nobody");
    let spent = moody.asked("/dead").len();
    assert!((10..COUNT).contains(&spent), "{spent}: the circuit opens after ten");
    let now = stage.endpoint_now(&dead).await;
    assert_eq!((&now["circuit"], time(&now["next_probe_at"])), (&json!("open"), NOON + 5_000));
    for one in stage.deliveries(&dead).await {
        assert_eq!(one["waiting_for"], "circuit", "{one}");
        assert_eq!(one["next_attempt_at"], now["next_probe_at"]);
    }
    let first = stage.deliveries(&dead).await.remove(0);

    // After 5, 10 and 20 s more, one at a time, and always the oldest.
    for (by_s, probes) in [(4, 0), (1, 1), (9, 1), (1, 2), (19, 2), (1, 3)] {
        stage.advance(by_s * SECOND_MS).await;
        assert_eq!(moody.asked("/dead").len(), spent + probes, "after {by_s} s more");
    }
    assert_eq!(triggers(&stage, &first).await, ["schedule", "probe", "probe", "probe"]);
    let later = stage.deliveries(&dead).await;
    assert_eq!(later[0]["attempts"], 1, "a probe spends nothing");
    let sum: u64 = later.iter().map(|one| one["attempts"].as_u64().unwrap()).sum();
    assert_eq!(usize::try_from(sum).unwrap(), spent);

    // By hand it goes at once, and counts as a probe.
    let last = &later[COUNT - 1];
    let path = format!("/v1/webhooks/deliveries/{}/redeliver", last["id"].as_str().unwrap());
    assert_eq!(stage.post(&path, &json!({})).await.0, 202);
    stage.drain().await;
    assert_eq!(moody.asked("/dead").last().unwrap(), last["event_id"].as_str().unwrap());
    let now = stage.endpoint_now(&dead).await;
    assert_eq!(time(&now["next_probe_at"]), NOON + 35_000 + 80_000);

    // New events wait too, and a receiver that is back gets all, the oldest first and slowly.
    stage.customer("new").await;
    stage.drain().await;
    moody.up("/dead");
    moody.most("/dead");
    let before = moody.asked("/dead").len();
    stage.advance(80 * SECOND_MS).await;
    let now = stage.endpoint_now(&dead).await;
    assert_eq!((&now["circuit"], &now["next_probe_at"]), (&json!("closed"), &Value::Null));
    let all = stage.deliveries(&dead).await;
    assert!(all.iter().all(|one| one["status"] == "delivered"), "{all:?}");
    let sent = moody.asked("/dead")[before..].to_vec();
    let ids = all.iter().map(|one| one["event_id"].as_str().unwrap().to_owned());
    let first: Vec<_> = ids.take(4).collect();
    assert_eq!((sent.len(), &sent[..4]), (COUNT + 1, &first[..]), "the oldest first");
    assert!((2..=8).contains(&moody.most("/dead")), "1, 2, 4, …");
    let stats = stage.get(&stats_path(&good)).await;
    assert_eq!((&stats["delivered"], &stats["success_rate"]), (&json!(COUNT + 1), &json!(1.0)));
}

fn stats_path(endpoint: &Value) -> String {
    format!("/v1/webhooks/endpoints/{}/stats", endpoint["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_single_delivery_that_fails_opens_no_circuit() {
    let (stage, moody) = moody_stage().await;
    let more = json!({ "retry_schedule": vec![1; 15] });
    let dead = stage.endpoint("/dead", &["customer.created"], more).await;
    moody.down("/dead");
    stage.customer("one").await;
    stage.drain().await;
    stage.advance(MINUTE_MS).await;
    let now = stage.endpoint_now(&dead).await;
    assert_eq!((moody.asked("/dead").len(), &now["circuit"]), (16, &json!("closed")));
}

#[tokio::test]
async fn another_url_closes_the_circuit_and_clears_the_row() {
    let (stage, moody) = moody_stage().await;
    let dead = stage.endpoint("/dead", &["customer.created"], json!({})).await;
    moody.down("/dead");
    stage.customers(12).await;
    stage.drain().await;
    assert_eq!(stage.endpoint_now(&dead).await["circuit"], "open");
    stage.change(&dead, json!({ "url": stage.sink.url("/other") })).await;
    let now = stage.endpoint_now(&dead).await;
    assert_eq!((&now["circuit"], &now["failures_in_a_row"]), (&json!("closed"), &json!(0)));
    stage.advance(10 * SECOND_MS).await;
    assert_eq!(moody.asked("/other").len(), 12);
}

#[tokio::test]
async fn failing_is_told_after_half_an_hour_and_recovery_once() {
    let (stage, moody) = moody_stage().await;
    let watch = stage.endpoint("/watch", &["webhook.endpoint.*"], json!({})).await;
    let more = json!({ "retry_schedule": [3_000, 3_000] });
    let dead = stage.endpoint("/dead", &["customer.created"], more).await;
    moody.down("/dead");
    stage.customer("one").await;
    stage.drain().await;
    stage.advance(30 * MINUTE_MS - 1).await;
    assert!(told(&stage).await.is_empty());
    stage.advance(1).await;
    let failing = told(&stage).await;
    assert_eq!(failing[0]["event_type"], "webhook.endpoint.failing");
    assert_eq!((time(&failing[0]["first_failure_at"]), &failing[0]["pending"]), (NOON, &json!(1)));
    assert_eq!(failing[0]["last_result"], "http_error");
    stage.advance(HOUR_MS).await;
    assert_eq!(told(&stage).await.len(), 1, "once in that row");
    moody.up("/dead");
    stage.advance(HOUR_MS).await;
    let all = told(&stage).await;
    assert_eq!((all.len(), &all[1]["event_type"]), (2, &json!("webhook.endpoint.recovered")));
    assert_eq!(time(&all[1]["failing_since"]), NOON + 30 * MINUTE_MS);
    assert_eq!(moody.asked("/watch").len(), 3, "made, failing, recovered");
    assert_eq!(stage.deliveries(&watch).await.len(), 3);
    assert_eq!(stage.endpoint_now(&dead).await["failures_in_a_row"], 0);
}

#[tokio::test]
async fn an_endpoint_without_success_for_three_days_is_switched_off() {
    let (stage, moody) = moody_stage().await;
    stage.endpoint("/watch", &["webhook.endpoint.disabled"], json!({})).await;
    // All attempts are over before the three days are: only a timer can see their end.
    let more = json!({ "retry_schedule": vec![10_000; 20] });
    let dead = stage.endpoint("/dead", &["customer.created"], more).await;
    let weak = json!({ "retry_schedule": [10_000] });
    let few = stage.endpoint("/few", &["customer.created"], weak).await;
    moody.down("/dead");
    moody.down("/few");
    stage.customer("one").await;
    stage.drain().await;
    stage.advance(3 * DAY_MS - MINUTE_MS).await;
    assert_eq!(stage.endpoint_now(&dead).await["state"], "enabled");
    // What comes now waits in the queue of one that is switched off.
    stage.customer("two").await;
    stage.drain().await;
    stage.advance(MINUTE_MS).await;
    let now = stage.endpoint_now(&dead).await;
    assert_eq!((&now["state"], &now["state_reason"]), (&json!("disabled"), &json!("auto")));
    assert_eq!(stage.deliveries(&dead).await[1]["status"], "parked");
    assert_eq!(stage.endpoint_now(&few).await["state"], "enabled", "too few attempts");
    let off: Vec<_> = told(&stage).await;
    let off = off.iter().find(|one| one["event_type"] == "webhook.endpoint.disabled").unwrap();
    assert_eq!((&off["reason"], &off["parked"]), (&json!("auto"), &json!(1)));
    assert_eq!(moody.asked("/watch").len(), 1);

    // Whoever switches it on again begins a new row.
    moody.up("/dead");
    let path = format!("/v1/webhooks/endpoints/{}/enable", dead["id"].as_str().unwrap());
    assert_eq!(stage.post(&path, &json!({})).await.0, 200);
    stage.drain().await;
    assert_eq!(stage.deliveries(&dead).await[1]["status"], "delivered");
}

#[tokio::test]
async fn a_subscription_without_success_for_three_days_is_deactivated() {
    let (stage, moody) = moody_stage().await;
    let key = paywall_key(&stage.app).await;
    let body = json!({ "url": stage.sink.url("/dead"), "events": ["balance.*"] });
    let (status, _, made) = stage.app.post("/v1/webhooks/subscriptions", &key, &body).await;
    assert_eq!(status, 201, "{made}");
    moody.down("/dead");
    for _ in 0..6 {
        let body = json!({ "user": "ada", "amount": "1" });
        assert_eq!(stage.app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    }
    stage.drain().await;
    assert_eq!(moody.asked("/dead").len(), 6, "it has no circuit");
    stage.advance(3 * DAY_MS - MINUTE_MS).await;
    let path =
        format!("/v1/webhooks/subscriptions/{}", made["subscription"]["id"].as_str().unwrap());
    let (_, _, now) = stage.app.get(&path, &key).await;
    assert_eq!(now["subscription"]["isActive"], true, "{now}");
    let before = moody.asked("/dead").len();
    assert!(before > 60, "{before}: the schedule is kept as written");
    stage.advance(MINUTE_MS).await;
    let (_, _, now) = stage.app.get(&path, &key).await;
    let now = &now["subscription"];
    assert_eq!((&now["isActive"], now["pausedReason"].is_string()), (&json!(false), true), "{now}");
    let all = told(&stage).await;
    let kinds: Vec<_> = all
        .iter()
        .map(|body| body["event_type"].as_str().or(body["type"].as_str()).unwrap())
        .collect();
    let expected = ["webhook.endpoint.failing", "paywall.webhook.subscription.deactivated"];
    assert_eq!(kinds, expected);
    assert_eq!(all[0]["receiver"], "subscription");
    stage.advance(HOUR_MS).await;
    assert_eq!(moody.asked("/dead").len(), before, "no further request");
}

#[tokio::test]
async fn a_halted_order_key_says_so_and_goes_on_when_its_owner_acts() {
    let (stage, moody) = moody_stage().await;
    let more = json!({ "retry_schedule": [1], "on_exhausted": "halt" });
    let dead = stage.endpoint("/dead", &["customer.*"], more).await;
    moody.down("/dead");
    stage.customer("one").await;
    let events = stage.get("/v1/webhooks/events?after=start").await;
    let subject = events["data"].as_array().unwrap().last().unwrap()["body"]["subject"].clone();
    let id = subject["id"].as_str().unwrap().to_owned();
    for name in ["a", "b"] {
        let path = format!("/v1/customers/{id}");
        let reply = stage.app.put(&path, &stage.app.key, &json!({ "name": name })).await;
        assert_eq!(reply.0, 200, "{}", reply.2);
    }
    stage.drain().await;
    stage.advance(MINUTE_MS).await;
    let all = stage.deliveries(&dead).await;
    let waits: Vec<_> = all.iter().map(|one| one["waiting_for"].clone()).collect();
    assert_eq!(waits, ["halted", "halted", "halted"]);
    assert_eq!((&all[0]["status"], &all[2]["blocked_by"]), (&json!("exhausted"), &all[0]["id"]));
    let stats = stage.get(&stats_path(&dead)).await;
    let blocked = &stats["blocked_order_keys"][0];
    assert_eq!((&blocked["waiting"], &blocked["waiting_for"]), (&json!(2), &json!("halted")));
    assert_eq!((&stats["exhausted"], &stats["failed"]["http_error"]), (&json!(1), &json!(2)));
    moody.up("/dead");
    stage.change(&dead, json!({ "on_exhausted": "skip" })).await;
    stage.drain().await;
    let states: Vec<_> =
        stage.deliveries(&dead).await.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(states, ["exhausted", "delivered", "delivered"]);
}

#[tokio::test]
async fn figures_are_of_ones_own_endpoints_alone() {
    let (stage, moody) = moody_stage().await;
    let dead = stage.endpoint("/dead", &["customer.created"], json!({})).await;
    stage.endpoint("/good", &["customer.created"], json!({})).await;
    moody.down("/dead");
    stage.customers(3).await;
    stage.drain().await;
    let all = stage.get("/v1/webhooks/stats?window=1h").await;
    assert_eq!(
        (&all["attempts"], &all["delivered"], &all["pending"]),
        (&json!(6), &json!(3), &json!(3))
    );
    assert_eq!(
        (&all["worst"][0]["endpoint_id"], all["worst"].as_array().unwrap().len()),
        (&dead["id"], 1)
    );
    assert_eq!(all["duration_ms"]["p50"], 3);
    let (status, _, refused) = stage.app.get("/v1/webhooks/stats?window=2h", &stage.app.key).await;
    assert_eq!((status, &refused["param"]), (400, &json!("window")));
    assert_eq!(stage.app.get(&stats_path(&dead), &stage.app.other_key).await.0, 404);
    let (_, _, other) = stage.app.get("/v1/webhooks/stats", &stage.app.other_key).await;
    assert_eq!((&other["attempts"], &other["endpoints"]), (&json!(0), &json!(0)));
    stage.advance(2 * HOUR_MS).await;
    moody.up("/dead");
    let hour = stage.get("/v1/webhooks/stats?window=1h").await;
    let day = stage.get("/v1/webhooks/stats").await;
    assert!(hour["attempts"].as_u64() < day["attempts"].as_u64(), "{hour} {day}");
}
