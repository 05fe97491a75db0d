//! The billing API over HTTP: customers, wallets, their transactions and their alerts.

mod bad_inputs;
mod lists;
mod sequences;
mod tenants;
mod wallets;

use serde_json::{Value, json};
use testkit::TestApp;

/// A customer and its wallet in usd, with the fields of `extra`.
async fn wallet(app: &TestApp, external_id: &str, extra: Value) -> (String, String) {
    let body = json!({ "external_id": external_id, "name": "Ada" });
    let (status, _, customer) = app.post("/v1/customers", &app.key, &body).await;
    assert_eq!(status, 201, "{customer}");
    let mut body = json!({ "external_customer_id": external_id, "currency": "usd" });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let (status, _, wallet) = app.post("/v1/wallets", &app.key, &body).await;
    assert_eq!(status, 200, "{wallet}");
    (text(&customer["id"]), text(&wallet["id"]))
}

async fn top_up(app: &TestApp, wallet: &str, credits: &str) -> Value {
    let body = json!({
        "credits_to_add": credits, "transaction_reason": "PURCHASED_CREDIT_DIRECT",
    });
    let path = format!("/v1/wallets/{wallet}/top-up");
    let (status, _, answer) = app.post(&path, &app.key, &body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn debit(app: &TestApp, wallet: &str, credits: &str, key: &str) -> Value {
    let body = json!({
        "credits": credits, "transaction_reason": "MANUAL_BALANCE_DEBIT",
        "idempotency_key": key,
    });
    let path = format!("/v1/wallets/{wallet}/debit");
    let (status, _, answer) = app.post(&path, &app.key, &body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn get(app: &TestApp, path: &str) -> Value {
    let (status, _, answer) = app.get(path, &app.key).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn balance(app: &TestApp, wallet: &str) -> Value {
    get(app, &format!("/v1/wallets/{wallet}/balance/real-time")).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
