//! Another tenant's key finds nothing, on every route that names an id.

use axum::http::Method;
use serde_json::{Value, json};
use testkit::TestApp;

use super::wallet;

#[tokio::test]
async fn another_tenants_things_are_not_there() {
    let app = TestApp::start().await;
    let (customer, id) = wallet(&app, "mine", json!({ "initial_credits_to_load": "5" })).await;
    let before = app.events().len();
    let topup = json!({ "credits_to_add": "1", "transaction_reason": "FREE_CREDIT_GRANT" });
    let debit = json!({ "credits": "1", "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": "b" });
    let modify = json!({ "modification_type": "prepaid_to_postpaid" });
    let new = json!({ "customer_id": customer, "currency": "eur" });
    let named = json!({ "external_customer_id": "mine", "currency": "eur" });
    let (none, name) = (json!({}), json!({ "name": "Z" }));
    let (c, w) = (format!("/v1/customers/{customer}"), format!("/v1/wallets/{id}"));
    let table: Vec<(Method, String, &Value)> = vec![
        (Method::GET, c.clone(), &none),
        (Method::PUT, c.clone(), &name),
        (Method::DELETE, c.clone(), &none),
        (Method::POST, format!("{c}/erase"), &none),
        (Method::GET, format!("{c}/wallets"), &none),
        (Method::GET, format!("/v1/customers/wallets?id={customer}"), &none),
        (Method::GET, "/v1/customers/wallets?lookup_key=mine".to_owned(), &none),
        (Method::GET, "/v1/customers/external/mine".to_owned(), &none),
        (Method::GET, "/v1/customers/lookup/mine".to_owned(), &none),
        (Method::PUT, format!("/v1/customers?id={customer}"), &name),
        (Method::PUT, "/v1/customers?external_customer_id=mine".to_owned(), &name),
        (Method::POST, "/v1/wallets".to_owned(), &new),
        (Method::POST, "/v1/wallets".to_owned(), &named),
        (Method::GET, w.clone(), &none),
        (Method::PUT, w.clone(), &name),
        (Method::GET, format!("{w}/transactions"), &none),
        (Method::GET, format!("{w}/balance/real-time"), &none),
        (Method::GET, format!("{w}/balance/real-time-cached"), &none),
        (Method::POST, format!("{w}/top-up"), &topup),
        (Method::POST, format!("{w}/debit"), &debit),
        (Method::POST, format!("{w}/modify"), &modify),
        (Method::POST, format!("{w}/freeze"), &none),
        (Method::POST, format!("{w}/unfreeze"), &none),
        (Method::POST, format!("{w}/terminate"), &none),
    ];
    for (method, path, body) in &table {
        let bytes = serde_json::to_vec(body).unwrap();
        let (status, _, refused) =
            app.send(method.clone(), path, &app.other_key, &[], Some(bytes)).await;
        assert_eq!((status, &refused["code"]), (404, &json!("not_found")), "{method} {path}");
    }
    for path in [
        "/v1/customers/search",
        "/v1/wallets/search",
        "/v1/wallets/transactions/search",
        "/v1/alerts/search",
    ] {
        let (status, _, page) = app.post(path, &app.other_key, &json!({})).await;
        assert_eq!((status, &page["pagination"]["total"]), (200, &json!(0)), "{path}");
    }
    assert_eq!(app.events().len(), before);
    for path in [
        format!("/v1/customers/{id}"),
        format!("/v1/wallets/{customer}"),
        "/v1/wallets/x".to_owned(),
    ] {
        assert_eq!(app.get(&path, &app.key).await.0, 404, "{path}");
    }
}
