//! Test clocks: they move forward only, and what falls due on the way happens at its own instant.

use domain::time::{DAY_MS, Timestamp};
use serde_json::json;
use testkit::TestApp;

use crate::paywall_key;

const CLOCK: &str = "/v1/test-clock";

async fn attach(app: &TestApp, body: serde_json::Value) -> (u16, serde_json::Value) {
    let (status, _, body) = app.post(CLOCK, &app.key, &body).await;
    (status, body)
}

async fn advance(app: &TestApp, body: serde_json::Value) -> (u16, serde_json::Value) {
    let (status, _, body) = app.post("/v1/test-clock/advance", &app.key, &body).await;
    (status, body)
}

#[tokio::test]
async fn a_clock_is_attached_moved_and_removed() {
    let app = TestApp::start().await;
    let (_, _, real) = app.get(CLOCK, &app.key).await;
    assert_eq!(real["mode"], "real");
    assert_eq!(advance(&app, json!({ "by": "1d" })).await.0, 400, "there is none to move");
    let at = app.engine.now(&app.scope).plus_ms(DAY_MS);
    let (status, body) = attach(&app, json!({ "at": at, "frozen": true })).await;
    assert_eq!((status, &body["mode"], &body["now"]), (201, &json!("frozen"), &json!(at)));
    assert_eq!(attach(&app, json!({})).await.0, 409, "one clock is enough");
    let (status, body) = advance(&app, json!({ "by": "1d 12h" })).await;
    assert_eq!((status, &body["now"]), (200, &json!(at.plus_ms(36 * 3_600_000))));
    for bad in [json!({ "to": at }), json!({ "by": "-1d" }), json!({}), json!({ "by": "900w" })] {
        assert_eq!(advance(&app, bad.clone()).await.0, 400, "{bad}");
    }
    let other = app.get(CLOCK, &app.other_key).await.2;
    assert_eq!(other["mode"], "real", "another tenant's time is its own");
    assert_eq!(app.delete(CLOCK, &app.key).await.0, 204);
    assert_eq!(app.get(CLOCK, &app.key).await.2["mode"], "real");
}

#[tokio::test]
async fn moving_a_clock_expires_credits_at_their_instant_before_it_answers() {
    let app = TestApp::start().await;
    let key = paywall_key(&app).await;
    attach(&app, json!({ "frozen": true })).await;
    let expires_at: Timestamp = app.engine.now(&app.scope).plus_ms(10 * DAY_MS);
    let body = json!({
        "user": "ann", "amount": "5", "metadata": { "source": "promo", "expiresAt": expires_at },
    });
    assert_eq!(app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    let (status, standing) = advance(&app, json!({ "by": "30d" })).await;
    assert_eq!((status, &standing["next_due_at"]), (200, &json!(null)), "nothing is left");
    let told: Vec<String> = app.events().into_iter().map(|(kind, _)| kind).collect();
    let count = |name: &str| told.iter().filter(|kind| kind.as_str() == name).count();
    assert_eq!(count("wallet.credits.expiring"), 2, "seven days and one day before: {told:?}");
    assert_eq!(count("wallet.credits.expired"), 1, "{told:?}");
    let expired = app.events().into_iter().find(|(kind, _)| kind == "wallet.credits.expired");
    let text = expired.unwrap().1.to_string();
    assert!(text.contains(&expires_at.to_string()), "{text}");
}
