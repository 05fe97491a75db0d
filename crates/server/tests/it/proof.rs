//! The books' proof: true books pass, and one changed byte is named.

use domain::scope::Cause;
use domain::webhook::address::AllowList;
use domain::webhook::catalogue::EventType;
use domain::webhook::channel::Channels;
use domain::webhook::receiver::DeliveryState;
use engine::steps::deliver::Deliverer;
use engine::verify;
use serde_json::json;
use store::deliveries::{Delivery, Filters};
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
    if app.engine.database().path().is_none() {
        return;
    }
    app.engine.database().backup(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(MARK.len()).position(|part| part == MARK.as_bytes()).unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let database = store::Database::open(&store::Location::file(path), false).unwrap();
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

/// The rules of the findings, each once.
async fn broken_rules(app: &TestApp) -> Vec<&'static str> {
    let mut rules: Vec<_> =
        app.engine.verify(app.scope).await.unwrap().findings.iter().map(|one| one.rule).collect();
    rules.dedup();
    rules
}

#[tokio::test]
async fn an_event_about_nothing_is_found() {
    let app = TestApp::start().await;
    some_money(&app).await;
    assert!(broken_rules(&app).await.is_empty());
    let tell = |tx: &mut store::Tx<'_>| {
        let subject = format!("customer:{}", domain::id::CustomerId::default());
        let kind = EventType::CUSTOMER_CREATED;
        Ok(tx.tell((subject, Channels::default()), kind, &Cause::schedule(), |_| b"{}".to_vec())?)
    };
    app.engine.change(app.scope, tell).await.unwrap();
    assert_eq!(broken_rules(&app).await, ["invented"]);
}

/// Two deliveries of one subject to an endpoint that nobody sends to.
async fn two_in_order(app: &TestApp) -> Vec<Delivery> {
    let body = json!({ "url": "http://127.0.0.1:9/x", "types": ["customer.*"] });
    assert_eq!(app.post("/v1/webhooks/endpoints", &app.key, &body).await.0, 201);
    let body = json!({ "external_id": "ann", "name": "Ann" });
    let (_, _, made) = app.post("/v1/customers", &app.key, &body).await;
    let path = format!("/v1/customers/{}", made["id"].as_str().unwrap());
    assert_eq!(app.put(&path, &app.key, &json!({ "name": "Anna" })).await.0, 200);
    let filters = Filters::default();
    let scope = app.scope;
    let read =
        |read: store::Read<'_>| Ok(store::deliveries::page(read, &scope, &filters, (None, 10))?);
    let mut found = app.engine.read_now(read).unwrap();
    found.sort_by_key(|delivery| delivery.place);
    assert_eq!(found.len(), 2);
    found
}

async fn set(app: &TestApp, delivery: Delivery) {
    let scope = app.scope;
    let work =
        move |tx: &mut store::Tx<'_>| Ok(store::deliveries::set(tx.write()?, &scope, &delivery)?);
    app.engine.change(scope, work).await.unwrap();
}

#[tokio::test]
async fn a_success_before_its_turn_is_found() {
    let app = TestApp::start().await;
    let [mut first, mut second] = <[Delivery; 2]>::try_from(two_in_order(&app).await).unwrap();
    assert!(broken_rules(&app).await.is_empty());
    second.state = DeliveryState::Done;
    second.delivered_at = Some(second.created_at.plus_ms(5));
    set(&app, second.clone()).await;
    assert_eq!(broken_rules(&app).await, ["order"], "the first is not done");
    first.state = DeliveryState::Done;
    first.delivered_at = Some(second.created_at.plus_ms(9));
    set(&app, first.clone()).await;
    assert_eq!(broken_rules(&app).await, ["order"], "the first was done later");
    first.delivered_at = Some(second.created_at.plus_ms(1));
    set(&app, first).await;
    assert!(broken_rules(&app).await.is_empty());
}

#[tokio::test]
async fn a_delivery_that_a_sender_forgot_is_found_while_one_runs() {
    let app = TestApp::start().await;
    let mut first = two_in_order(&app).await.remove(0);
    first.state = DeliveryState::Leased;
    first.next_at = first.next_at.plus_ms(-7 * 60_000);
    set(&app, first).await;
    assert!(broken_rules(&app).await.is_empty(), "without a sender a lease says nothing");
    let client = server::ports::webhook_client::GuardedClient::new(AllowList::default());
    let deliverer = Deliverer::start(app.engine.clone(), std::sync::Arc::new(client));
    deliverer.abort();
    assert_eq!(broken_rules(&app).await, ["stuck"]);
}
