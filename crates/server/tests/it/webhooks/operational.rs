//! Events about delivery itself: who hears of them, and who never does.

use super::*;

/// Types that an endpoint was sent, in order.
async fn types_of(stage: &Stage, endpoint: &Value) -> Vec<String> {
    let all = stage.deliveries(endpoint).await;
    all.iter().map(|one| one["event_type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_watching_endpoint_hears_of_the_others_and_never_of_itself() {
    let stage = stage().await;
    let watch = stage.endpoint("/ok/watch", &["webhook.*"], json!({})).await;
    let url = format!("{}?token=abc", stage.sink.url("/ok/other"));
    let more = json!({ "url": url, "custom_headers": { "x-own-token": "hidden" } });
    let other = stage.endpoint("/ok/other", &["*"], more).await;
    for endpoint in [&other, &watch] {
        let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
        let change = json!({ "description": "new" });
        assert_eq!(stage.app.patch(&path, &stage.app.key, &change).await.0, 200);
        for action in ["pause", "resume", "disable", "enable"] {
            assert_eq!(stage.post(&format!("{path}/{action}"), &json!({})).await.0, 200);
        }
        let body = json!({ "overlap_seconds": 0 });
        assert_eq!(stage.post(&format!("{path}/rotate"), &body).await.0, 200);
    }
    let path = format!("/v1/webhooks/endpoints/{}", other["id"].as_str().unwrap());
    assert_eq!(stage.app.delete(&path, &stage.app.key).await.0, 204);
    stage.drain().await;
    let told = ["created", "updated", "paused", "resumed", "disabled", "enabled"];
    let told = told.into_iter().chain(["secret_rotated", "deleted"]);
    let told: Vec<_> = told.map(|name| format!("webhook.endpoint.{name}")).collect();
    assert_eq!(types_of(&stage, &watch).await, told);
    for received in stage.sink.received() {
        let text = String::from_utf8(received.body.clone()).unwrap();
        assert!(!text.contains("abc") && !text.contains("hidden") && !text.contains("whsec"));
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["subject"], json!({ "type": "webhook_endpoint", "id": other["id"] }));
        assert_eq!(body["endpoint"]["id"], other["id"]);
    }
    let bodies = stage.bodies();
    assert_eq!(bodies[1]["previous_attributes"], json!({ "description": "" }));
    assert_eq!(bodies[4]["reason"], "owner");
}

#[tokio::test]
async fn a_delivery_that_is_given_up_is_told_once_and_that_is_not() {
    let stage = stage().await;
    let more = json!({ "retry_schedule": [1] });
    let dead = stage.endpoint("/fail/500", &["customer.created", "webhook.*"], more.clone()).await;
    let watch = stage.endpoint("/fail/500/watch", &["webhook.delivery.*"], more).await;
    stage.customer("one").await;
    let (engine, scope) = (&stage.app.engine, stage.app.scope);
    engine.advance_clock(scope, Cause::schedule(), MINUTE_MS).await.unwrap();
    assert_eq!(types_of(&stage, &watch).await, ["webhook.delivery.exhausted"]);
    let told = stage.bodies().into_iter().find(|body| body["delivery"].is_object()).unwrap();
    let gone = stage.deliveries(&dead).await.remove(1);
    assert_eq!((&gone["id"], &gone["status"]), (&told["delivery"]["id"], &json!("exhausted")));
    assert_eq!(told["event"]["type"], "customer.created");
    assert_eq!((&told["endpoint"]["id"], &told["receiver"]), (&dead["id"], &json!("endpoint")));
    let all = stage.deliveries(&watch).await;
    assert_eq!(all[0]["status"], "exhausted", "it was given up too, and nobody was told");
    let dead = types_of(&stage, &dead).await;
    assert_eq!(dead, ["webhook.endpoint.created", "customer.created"], "nothing about itself");
}
