//! The books' proof: true books pass, and one changed byte is named.

use engine::verify;
use serde_json::json;
use testkit::TestApp;

use crate::paywall_key;

const MARK: &str = "a-key-that-stands-in-one-entry-only";

async fn some_money(app: &TestApp) {
    let key = paywall_key(app).await;
    for number in 0..5 {
        let body = json!({ "user": format!("user-{}", number % 2), "amount": "10" });
        assert_eq!(app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    }
    let body = json!({ "user": "user-1", "amount": "2.5" });
    let (status, _, charged) = app.post_once("/v1/user/charge", &key, MARK, &body).await;
    assert_eq!((status, &charged["success"]), (200, &json!(true)), "{charged}");
    let body = json!({ "user": "user-0", "amount": "1" });
    assert_eq!(app.post("/v1/user/charge", &key, &body).await.0, 200);
}

#[tokio::test]
async fn true_books_balance() {
    let app = TestApp::start().await;
    some_money(&app).await;
    let (status, _, proof) = app.get("/v1/verify", &app.key).await;
    assert_eq!(status, 200);
    assert_eq!(proof["balanced"], true, "{proof:#}");
    assert_eq!(proof["entries"], 7);
    assert_eq!(proof["wallets"], 2);
    assert_eq!(proof["totals"]["USD"]["available"], "46.5", "{proof:#}");
    let (_, _, other) = app.get("/v1/verify", &app.other_key).await;
    assert_eq!(other["entries"], 0, "another tenant's books are not these");
}

#[tokio::test]
async fn one_changed_byte_in_an_entry_is_named() {
    let app = TestApp::start().await;
    some_money(&app).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    app.engine.database().backup(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(MARK.len()).position(|part| part == MARK.as_bytes()).unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let database = store::Database::open(&path, false).unwrap();
    let summaries = verify::database(&database, &mut |_| {}).unwrap();
    let summary = summaries.iter().find(|summary| summary.entries > 0).unwrap();
    assert!(!summary.balanced);
    let finding = &summary.findings[0];
    assert_eq!(finding.rule, "chain", "{finding:?}");
    let charged = app.engine.read_now(|read| {
        let mut found = None;
        store::entries::scan(read, app.scope.env.range(), false, |entry| {
            found = found.take().or(entry.key.as_ref().is_some().then(|| entry.id().to_string()));
            Some(())
        })?;
        Ok(found)
    });
    assert_eq!(finding.id, charged.unwrap(), "the entry itself is named");
}
