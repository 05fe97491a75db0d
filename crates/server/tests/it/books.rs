//! Books that are broken on purpose, in the database beside the server: the wallet is stopped, the
//! others go on, health, figures, events and audit log tell it, and the way back leads back.

use serde_json::{Value, json};
use testkit::TestApp;

use crate::paywall_key;

/// More rounds than a small database takes to be looked at whole.
const ROUNDS: usize = 4;

/// Two users with money, and what is stored of them in the rows that a fresh process reads.
async fn two_users() -> (TestApp, String) {
    let mut app = TestApp::start().await;
    let key = paywall_key(&app).await;
    for user in ["ann", "bob"] {
        let body = json!({ "user": user, "amount": "10" });
        assert_eq!(app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
        let body = json!({ "user": user, "amount": "2" });
        assert_eq!(app.post("/v1/user/charge", &key, &body).await.0, 200);
        let body = json!({ "user": user, "amount": "1" });
        assert_eq!(app.post("/v1/user/holds", &key, &body).await.0, 201);
    }
    app.restart().await;
    (app, key)
}

async fn charge(app: &TestApp, key: &str, user: &str) -> (u16, Value) {
    let body = json!({ "user": user, "amount": "1" });
    let (status, headers, answer) = app.post("/v1/user/charge", key, &body).await;
    assert_eq!(status == 503, headers.contains_key("retry-after"), "{answer}");
    (status, answer)
}

async fn check(app: &TestApp) -> usize {
    let mut found = 0;
    for _ in 0..ROUNDS {
        found += app.engine.check_books().await.unwrap();
    }
    found
}

async fn health(app: &TestApp) -> Value {
    app.get("/health", &app.key).await.2
}

/// The wallet of the first user, whose number is 1.
async fn wallet(app: &TestApp) -> String {
    let (_, _, page) = app.get("/v1/wallets?order=asc", &app.key).await;
    page["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn recheck(app: &TestApp, wallet: &str, rebuild: bool) -> Value {
    let path = format!("/v1/wallets/{wallet}/recheck");
    let (status, _, answer) = app.post(&path, &app.key, &json!({ "rebuild": rebuild })).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

const MORE: &str = "UPDATE balances SET credits = credits + 1000000000 WHERE wallet = 1";

#[tokio::test]
async fn right_books_are_left_alone() {
    let (app, key) = two_users().await;
    assert_eq!(check(&app).await, 0);
    assert_eq!(health(&app).await, json!({ "status": "ok" }));
    assert_eq!(charge(&app, &key, "ann").await.0, 200);
    assert_eq!(check(&app).await, 0);
}

#[tokio::test]
async fn a_wallet_whose_books_break_is_stopped_told_and_leads_no_other_into_it() {
    let (app, key) = two_users().await;
    let id = wallet(&app).await;
    app.tamper(MORE);
    assert_eq!(check(&app).await, 1);
    assert_eq!(check(&app).await, 0, "it is told once");
    let (status, refused) = charge(&app, &key, "ann").await;
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("ledger_unavailable")));
    let body = json!({ "user": "ann", "amount": "1" });
    assert_eq!(app.post("/v1/user/balance/deposit", &key, &body).await.0, 503, "nothing moves");
    assert_eq!(charge(&app, &key, "bob").await.0, 200, "another wallet goes on");
    assert_eq!(health(&app).await, json!({ "status": "degraded", "rules": ["balance"] }));
    assert_eq!(app.get("/readyz", &app.key).await.0, 200, "the node stays in its place");
    let text = reqwest::get(format!("{}/metrics", app.base)).await.unwrap().text().await.unwrap();
    for line in [
        "farebox_invariant_violations_total{rule=\"balance\"} 1",
        "farebox_invariant_violations_total{rule=\"chain\"} 0",
        "farebox_wallets_stopped 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    let (kind, event) = app
        .events()
        .into_iter()
        .rfind(|(_, body)| {
            body["data"]["wallet"]["id"] == json!(id) || body["wallet"]["id"] == json!(id)
        })
        .unwrap();
    assert_eq!(kind, "wallet.updated", "{event:#}");
    assert!(event.to_string().contains("\"wallet_status\":\"frozen\""), "{event:#}");
    let proof = app.engine.verify(app.scope).await.unwrap();
    assert!(proof.findings.iter().any(|one| one.message.contains(&id)), "{:?}", proof.findings);
}

#[tokio::test]
async fn a_stopped_wallet_comes_back_when_its_books_are_right_again() {
    let (mut app, key) = two_users().await;
    let id = wallet(&app).await;
    app.tamper(MORE);
    check(&app).await;
    let unfreeze = format!("/v1/wallets/{id}/unfreeze");
    assert_eq!(app.post(&unfreeze, &app.key, &json!({})).await.0, 400, "not before the repair");
    let found = recheck(&app, &id, false).await;
    assert_eq!((&found["stopped"], &found["finding"]["rule"]), (&json!(true), &json!("balance")));
    app.restart().await;
    assert_eq!(charge(&app, &key, "ann").await.0, 503, "a restart forgives nothing");
    assert_eq!(health(&app).await["rules"], json!(["balance"]), "nor does it forget why");
    let rebuilt = recheck(&app, &id, true).await;
    assert_eq!((&rebuilt["rebuilt"], &rebuilt["stopped"]), (&json!(true), &json!(true)));
    let right = recheck(&app, &id, false).await;
    assert_eq!((&right["balanced"], &right["stopped"]), (&json!(true), &json!(false)), "{right}");
    assert_eq!(health(&app).await, json!({ "status": "ok" }));
    assert_eq!(app.post(&unfreeze, &app.key, &json!({})).await.0, 200);
    let (status, paid) = charge(&app, &key, "ann").await;
    assert_eq!((status, &paid["balance"]["available"]), (200, &paid["balance"]["available"]));
    let proof = app.engine.verify(app.scope).await.unwrap();
    assert!(proof.balanced, "{:?}", proof.findings);
    assert_eq!(check(&app).await, 0);
}

#[tokio::test]
async fn a_broken_row_is_never_spent_from_even_before_a_check_saw_it() {
    let (app, key) = two_users().await;
    app.tamper(MORE);
    assert_eq!(charge(&app, &key, "ann").await.0, 503);
    assert_eq!(charge(&app, &key, "bob").await.0, 200);
    assert_eq!(check(&app).await, 1);
}

#[tokio::test]
async fn whatever_is_changed_in_the_file_is_found_by_its_rule() {
    let table = [
        (MORE, "balance"),
        ("UPDATE balances SET held = held + 1 WHERE wallet = 1", "balance"),
        ("UPDATE balances SET entries = entries + 1 WHERE wallet = 1", "balance"),
        ("UPDATE holds SET amount = amount + 1 WHERE wallet = 1", "balance"),
        ("DELETE FROM holds WHERE wallet = 1", "balance"),
        ("UPDATE entries SET credits = credits + 1 WHERE wallet = 1 AND kind = 1", "chain"),
        ("UPDATE entries SET after = after + 1, before = before + 1 WHERE wallet = 1", "chain"),
        ("UPDATE entries SET kind = 99 WHERE wallet = 1", "unreadable"),
        ("UPDATE wallet_versions SET body = '{' WHERE wallet = 1", "unreadable"),
    ];
    for (sql, rule) in table {
        let (app, _) = two_users().await;
        app.tamper(sql);
        assert!(check(&app).await >= 1, "{sql}");
        let rules = health(&app).await["rules"].clone();
        assert!(rules.as_array().unwrap().contains(&json!(rule)), "{sql}: {rules}");
    }
}

#[tokio::test]
async fn a_missing_row_of_the_log_degrades_health_and_stops_nobody() {
    for sql in [
        "DELETE FROM events WHERE place = (SELECT MIN(place) FROM events)",
        "UPDATE counters SET last = last + 1 WHERE scope = 'position'",
    ] {
        let (app, key) = two_users().await;
        app.tamper(sql);
        assert_eq!(check(&app).await, 1, "{sql}");
        assert_eq!(health(&app).await, json!({ "status": "degraded", "rules": ["gap"] }));
        assert_eq!(charge(&app, &key, "ann").await.0, 200);
    }
}
