//! The worked sequence A of the alert machines, over HTTP: what is sent after each step.

use serde_json::json;
use testkit::TestApp;

use super::{debit, get, text, top_up, wallet};

const BALANCE_EVENTS: [&str; 4] = [
    "wallet.credit_balance.dropped",
    "wallet.credit_balance.recovered",
    "wallet.ongoing_balance.dropped",
    "wallet.ongoing_balance.recovered",
];

/// The balance events since the last call.
fn told(app: &TestApp, seen: &mut usize) -> Vec<String> {
    let events = app.events();
    let new = events[*seen..].iter().map(|(kind, _)| kind.clone());
    let new = new.filter(|kind| BALANCE_EVENTS.contains(&kind.as_str())).collect();
    *seen = events.len();
    new
}

#[tokio::test]
async fn a_wallet_with_a_critical_threshold_tells_each_crossing_once() {
    let app = TestApp::start().await;
    let alerts = json!({ "alert_settings": {
        "alert_enabled": true, "critical": { "threshold": "50", "condition": "below" } } });
    let (_, id) = wallet(&app, "sequence-a", alerts).await;
    let mut seen = 0;
    assert_eq!(told(&app, &mut seen), Vec::<String>::new(), "an empty wallet is silent");
    let (dropped, recovered) = (
        vec!["wallet.credit_balance.dropped", "wallet.ongoing_balance.dropped"],
        vec!["wallet.credit_balance.recovered", "wallet.ongoing_balance.recovered"],
    );
    let steps: [(&str, &str, &str, Vec<&str>); 7] = [
        ("top-up", "100", "100", vec![]),
        ("debit", "50", "50", dropped.clone()),
        ("debit", "10", "40", vec![]),
        ("top-up", "10", "50", vec![]),
        ("top-up", "0.01", "50.01", recovered),
        ("top-up", "10", "60.01", vec![]),
        ("debit", "30", "30.01", dropped),
    ];
    for (index, (verb, credits, settled, expected)) in steps.into_iter().enumerate() {
        match verb {
            "debit" => drop(debit(&app, &id, credits, &format!("step-{index}")).await),
            _ => drop(top_up(&app, &id, credits).await),
        }
        assert_eq!(told(&app, &mut seen), expected, "step {index}");
        let shown = get(&app, &format!("/v1/wallets/{id}")).await;
        assert_eq!(shown["credit_balance"], settled, "step {index}");
    }
    let body = json!({ "entity_id": id, "alert_type": "low_credit_balance", "order": "asc" });
    let (status, _, log) = app.post("/v1/alerts/search", &app.key, &body).await;
    assert_eq!((status, &log["pagination"]["total"]), (200, &json!(3)), "{log}");
    let levels: Vec<_> =
        log["items"].as_array().unwrap().iter().map(|row| text(&row["alert_status"])).collect();
    assert_eq!(levels, ["in_alarm", "ok", "in_alarm"]);
    let last = app.events().into_iter().rev().find(|(kind, _)| kind == BALANCE_EVENTS[0]).unwrap();
    let row = &log["items"][2];
    assert_eq!(last.1["id"], row["event_id"]);
    assert_eq!(last.1["alert"]["alert_log_id"], row["id"]);
    assert_eq!(last.1["alert"]["credit_balance"], row["alert_info"]["value_at_time"]);
}

#[tokio::test]
async fn an_edit_evaluates_at_once_and_switching_off_is_silent() {
    let app = TestApp::start().await;
    let critical = |threshold: &str| {
        json!({ "alert_settings": {
        "alert_enabled": true, "critical": { "threshold": threshold, "condition": "below" } } })
    };
    let extra = json!({ "initial_credits_to_load": "40" });
    let (_, id) = wallet(&app, "edited", extra).await;
    let path = format!("/v1/wallets/{id}");
    let mut seen = 0;
    told(&app, &mut seen);
    let table = [
        (critical("50"), vec!["wallet.credit_balance.dropped", "wallet.ongoing_balance.dropped"]),
        (
            critical("3"),
            vec!["wallet.credit_balance.recovered", "wallet.ongoing_balance.recovered"],
        ),
        (critical("45"), vec!["wallet.credit_balance.dropped", "wallet.ongoing_balance.dropped"]),
        (json!({ "alert_settings": { "alert_enabled": false } }), vec![]),
        (json!({ "alert_settings": null }), vec![]),
    ];
    for (patch, expected) in table {
        let (status, _, shown) = app.put(&path, &app.key, &patch).await;
        assert_eq!(status, 200, "{shown}");
        assert_eq!(told(&app, &mut seen), expected, "{patch}");
        assert_eq!(shown["alert_settings"].is_null(), patch["alert_settings"].is_null());
    }
    let shown = get(&app, &path).await;
    assert_eq!((&shown["alert_state"], &shown["credit_alert_state"]), (&json!("ok"), &json!("ok")));
}
