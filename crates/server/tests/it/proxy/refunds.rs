//! Refunds of proxied requests, named by the request or by its charge.

use super::*;

const REFUND: &str = "/v1/user/refund";

async fn refund(wall: &Wall, body: Value) -> (u16, Value) {
    let (status, _, answer) = wall.app.post(REFUND, &wall.key, &body).await;
    (status, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_refunded_by_its_own_id() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("[prompt-tokens 1001] [completion-tokens 333] Hello", &json!({})).await;
    let (request, activity) = (got.header("x-request-id"), got.header("x-paywall-activity"));
    assert_eq!(got.header("x-paywall-cost"), "0.001834");
    let (status, answer) = refund(&wall, json!({ "requestId": request, "user": "bob" })).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")));
    let part = json!({ "requestId": request, "amount": "0.000834", "user": "ann" });
    let (status, answer) = refund(&wall, part).await;
    assert_eq!((status, &answer["remainingRefundable"]), (200, &json!("0.001")), "{answer}");
    let event = wall.event("paywall.balance.refund.created");
    let names = (&event["chargeActivityId"], &event["chargeRequestId"]);
    assert_eq!(names, (&json!(activity), &json!(request)));
    let much = json!({ "requestId": request, "amount": "0.001001" });
    let (status, answer) = refund(&wall, much).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("refund_exceeds_charge")));
    // What was refunded of the request counts for its charge as well.
    let (status, answer) = refund(&wall, json!({ "activityId": activity })).await;
    assert_eq!((status, &answer["refundedAmount"]), (200, &json!("0.001")), "{answer}");
    let (status, answer) = refund(&wall, json!({ "requestId": request })).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("already_refunded")));
    assert_eq!(wall.balance("ann").await, (1_000_000, 0));
    assert_eq!(wall.app.get("/v1/verify", &wall.app.key).await.2["balanced"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_collected_does_not_come_back() {
    let wall = Wall::start().await;
    wall.deposit("ann", "0.5").await;
    let got = wall.chat("[prompt-tokens 1000000] Hello", &json!({})).await;
    assert_eq!((got.status, wall.balance("ann").await), (200, (0, 0)), "{}", got.text);
    let body = json!({ "requestId": got.header("x-request-id") });
    let (status, answer) = refund(&wall, body).await;
    assert_eq!((status, &answer["refundedAmount"]), (200, &json!("0.5")), "{answer}");
    assert_eq!(wall.balance("ann").await, (500_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cost_nothing_has_nothing_to_refund() {
    let wall = Wall::start().await;
    let got = wall.chat("Hello", &json!({})).await;
    assert_eq!(got.header("x-paywall-status"), "blocked");
    let (status, answer) = refund(&wall, json!({ "requestId": got.header("x-request-id") })).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("already_refunded")));
    wall.deposit("ann", "1").await;
    let open =
        wall.request(CHAT, chat("[words 5] [gap 400]", &json!({ "stream": true })).to_string());
    let open = open.send().await.unwrap();
    let request = open.headers()["x-request-id"].to_str().unwrap().to_owned();
    let (status, answer) = refund(&wall, json!({ "requestId": request })).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("request_open")), "{answer}");
    assert!(Got::of(open).await.is_done());
    assert_eq!(refund(&wall, json!({ "requestId": request })).await.0, 200);
    assert_eq!(wall.balance("ann").await, (1_000_000, 0));
}
