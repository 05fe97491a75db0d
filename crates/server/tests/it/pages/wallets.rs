//! Automatic top-up on a wallet's page.

use super::*;

fn plan() -> Vec<(&'static str, &'static str)> {
    vec![
        ("enabled", "on"),
        ("threshold", "60"),
        ("amount", "20"),
        ("cooldown", "1"),
        ("cooldown_unit", "hour"),
        ("max_per_day", "3"),
        ("reason", "agreed by mail"),
        ("once", "a"),
    ]
}

#[tokio::test]
async fn an_automatic_top_up_shows_what_it_does_at_once_and_is_set_with_its_reason() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let (_, id) = wallet(&app, &app.key, "ann").await;
    let path = format!("/wallets/{id}/do/auto-topup");
    let read = async || app.get(&format!("/v1/wallets/{id}"), &app.key).await.2;
    assert!(person.page(&path).await.contains("Top up automatically"));
    let shown = person.post(&path, &plan()).await.text().await.unwrap();
    assert!(shown.contains("70.00") && shown.contains("nothing has happened yet"), "{shown}");
    assert!(shown.contains("at most 3 times"), "{shown}");
    assert_eq!(read().await["auto_topup"], Value::Null);
    let confirmed = [&plan()[..], &[("step", "confirm")]].concat();
    for _ in 0..2 {
        assert_eq!(person.post(&path, &confirmed).await.status(), 303);
    }
    let now = read().await;
    assert_eq!(
        (&now["auto_topup"]["threshold"], &now["credit_balance"]),
        (&json!("60"), &json!("70"))
    );
    let search = json!({ "entity_id": id, "action": "wallet.auto_topup_edited" });
    let (_, _, log) = app.post("/v1/activity", &app.key, &search).await;
    assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log:#}");
    assert!(log.to_string().contains("agreed by mail"));
    let page = person.page(&format!("/wallets/{id}")).await;
    assert!(page.contains("not again for 1 hour") && page.contains("/do/auto-topup"), "{page}");
    let off = [("threshold", "60"), ("reason", "they left"), ("once", "b"), ("step", "confirm")];
    assert_eq!(person.post(&path, &off).await.status(), 303);
    let now = read().await;
    assert_eq!(now["auto_topup"]["enabled"], false);
    assert_eq!(now["auto_topup"]["cooldown"], Value::Null, "what is empty ends");
}

#[tokio::test]
async fn a_plan_that_cannot_be_is_refused_in_words_and_a_reader_sets_none() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let (_, id) = wallet(&app, &app.key, "ann").await;
    let path = format!("/wallets/{id}/do/auto-topup");
    for (pairs, words) in [
        (vec![("enabled", "on"), ("reason", "because")], "Threshold is required"),
        (vec![("threshold", "5"), ("amount", "-1"), ("reason", "because")], "Amount"),
        (vec![("threshold", HOSTILE), ("amount", "1"), ("reason", "because")], "Threshold"),
        (vec![("threshold", "5"), ("amount", "1")], "Say in a few words why"),
    ] {
        let shown = person.post(&path, &pairs).await.text().await.unwrap();
        assert!(shown.contains("role=\"alert\"") && shown.contains(words), "{words}: {shown}");
        assert!(!shown.contains("<script>window"));
    }
    let reader = Person::reader(&app).await;
    assert_eq!(reader.get(&path).await.status(), 403);
    assert_eq!(reader.post(&path, &plan()).await.status(), 403);
    let (_, foreign) = wallet(&app, &app.other_key, "bob").await;
    let path = format!("/wallets/{foreign}/do/auto-topup");
    assert_eq!(person.get(&path).await.status(), 404);
    assert_eq!(person.post(&path, &plan()).await.status(), 404);
}
