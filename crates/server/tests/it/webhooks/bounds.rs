//! What an owner allows a receiver: requests at a time, and requests a second.

use std::time::Instant;

use super::moody::moody_stage;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn max_rps_is_obeyed_and_waiting_for_it_is_no_failure() {
    let (stage, moody) = moody_stage().await;
    let slow = stage.endpoint("/slow", &["customer.created"], json!({ "max_rps": 5 })).await;
    assert_eq!(slow["max_rps"], 5);
    let began = Instant::now();
    stage.customers(6).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let all = stage.deliveries(&slow).await;
    let waits = all.iter().filter(|one| one["waiting_for"] == "rate").count();
    assert!(waits > 0, "{all:?}");
    stage.drain().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(950), "six requests went out in {took:?}");
    assert_eq!(moody.asked("/slow").len(), 6);
    let all = stage.deliveries(&slow).await;
    assert!(all.iter().all(|one| one["attempts"] == 1 && one["status"] == "delivered"), "{all:?}");

    // No bound any more: what comes now goes at once.
    stage.change(&slow, json!({ "max_rps": null })).await;
    let began = Instant::now();
    for number in 0..10 {
        stage.customer(&format!("more-{number}")).await;
    }
    stage.drain().await;
    assert_eq!(moody.asked("/slow").len(), 16);
    assert!(began.elapsed() < Duration::from_millis(1_900), "at 5 a second it takes two");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_receiver_has_more_at_a_time_than_its_owner_allows() {
    let (stage, moody) = moody_stage().await;
    let table = [("/one", json!(1)), ("/three", json!(3)), ("/many", json!(64))];
    let mut made = Vec::new();
    for (path, most) in &table {
        let more = json!({ "max_in_flight": most });
        made.push(stage.endpoint(path, &["customer.created"], more).await);
    }
    stage.customers(30).await;
    stage.drain().await;
    assert_eq!(["/one", "/three"].map(|path| moody.asked(path).len()), [30, 30]);
    assert_eq!(moody.most("/one"), 1);
    assert!(moody.most("/three") <= 3 && moody.most("/many") <= 64);
    let path = format!("/v1/webhooks/endpoints/{}/stats", made[1]["id"].as_str().unwrap());
    let stats = stage.get(&path).await;
    assert_eq!((&stats["in_flight"], &stats["in_flight_limit"]), (&json!(0), &json!(3)));
    assert_eq!(stats["in_flight_limit_reason"], "max_in_flight");

    stage.change(&made[1], json!({ "max_in_flight": 1 })).await;
    for number in 0..10 {
        stage.customer(&format!("more-{number}")).await;
    }
    stage.drain().await;
    assert_eq!((moody.asked("/three").len(), moody.most("/three")), (40, 1));
    for wrong in [json!(0), json!(65), json!("8"), json!(1.5)] {
        let body = json!({ "max_in_flight": wrong });
        let path = format!("/v1/webhooks/endpoints/{}", made[0]["id"].as_str().unwrap());
        let (status, _, refused) = stage.app.patch(&path, &stage.app.key, &body).await;
        assert_eq!((status, &refused["param"]), (400, &json!("max_in_flight")), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_canceled_while_it_queues_is_never_sent() {
    let (stage, moody) = moody_stage().await;
    let slow = stage.endpoint("/slow", &["customer.created"], json!({ "max_rps": 2 })).await;
    stage.customers(3).await;
    let all = stage.deliveries(&slow).await;
    let last = all[2]["id"].as_str().unwrap();
    let (status, _, _) =
        stage.post(&format!("/v1/webhooks/deliveries/{last}/cancel"), &json!({})).await;
    assert_eq!(status, 200);
    stage.drain().await;
    let of = |one: &Value| one["event_id"].as_str().unwrap().to_owned();
    assert_eq!(moody.asked("/slow"), [of(&all[0]), of(&all[1])]);
}
