//! Bad inputs: each is 400 and names the field, and nothing was written.

use serde_json::{Value, json};
use testkit::TestApp;

use super::wallet;

fn with(base: &Value, extra: &Value) -> Value {
    let mut body = base.clone();
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[expect(clippy::too_many_lines, reason = "one table of bad inputs")]
#[tokio::test]
async fn a_refusal_names_the_field_and_writes_nothing() {
    let app = TestApp::start().await;
    let (customer, id) = wallet(&app, "bad", json!({ "initial_credits_to_load": "5" })).await;
    let before = app.events().len();
    let new = json!({ "customer_id": customer, "currency": "eur" });
    let new_customer = json!({ "external_id": "x", "name": "X" });
    let topup = json!({ "credits_to_add": "1", "transaction_reason": "FREE_CREDIT_GRANT" });
    let debit = json!({ "credits": "1", "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": "b" });
    let bonus = json!({ "credits_to_add": "1", "transaction_reason": "PURCHASED_CREDIT_DIRECT" });
    let post = |path: &str, base: &Value, extra: Value, param: &'static str| {
        ("POST", path.to_owned(), with(base, &extra), param)
    };
    let put =
        |extra: Value, param: &'static str| ("PUT", format!("/v1/wallets/{id}"), extra, param);
    let top_path = format!("/v1/wallets/{id}/top-up");
    let debit_path = format!("/v1/wallets/{id}/debit");
    let alert = |settings: Value| json!({ "alert_settings": settings });
    let plan = |extra: Value| {
        let base = json!({ "threshold": "1", "amount": "1", "invoicing": false });
        json!({ "auto_topup": with(&base, &extra) })
    };
    let table = [
        post("/v1/customers", &json!({}), json!({ "name": "X" }), "external_id"),
        post("/v1/customers", &json!({}), json!({ "external_id": "x" }), "name"),
        post("/v1/customers", &new_customer, json!({ "email": "nobody" }), "email"),
        post("/v1/customers", &new_customer, json!({ "timezone": "+02:00" }), "timezone"),
        post("/v1/customers", &new_customer, json!({ "address_country": "ZZ" }), "address_country"),
        post("/v1/customers", &new_customer, json!({ "metadata": { "a": 1 } }), "metadata.a"),
        post("/v1/customers", &new_customer, json!({ "name": 5 }), "name"),
        post("/v1/wallets", &json!({}), json!({ "currency": "usd" }), "customer_id"),
        post("/v1/wallets", &new, json!({ "currency": "xxx" }), "currency"),
        post("/v1/wallets", &new, json!({ "wallet_type": "PAID" }), "wallet_type"),
        post("/v1/wallets", &new, json!({ "conversion_rate": "0" }), "conversion_rate"),
        post(
            "/v1/wallets",
            &new,
            json!({ "topup_conversion_rate": "-1" }),
            "topup_conversion_rate",
        ),
        post("/v1/wallets", &new, json!({ "overdraft_limit": "-1" }), "overdraft_limit"),
        post(
            "/v1/wallets",
            &new,
            json!({ "initial_credits_to_load": "-1" }),
            "initial_credits_to_load",
        ),
        post(
            "/v1/wallets",
            &new,
            json!({ "initial_credits_to_load": "0.0000000001" }),
            "initial_credits_to_load",
        ),
        post(
            "/v1/wallets",
            &new,
            json!({ "initial_credits_expiry_date_utc": "2001-01-01T00:00:00Z", "initial_credits_to_load": "1" }),
            "initial_credits_expiry_date_utc",
        ),
        post(
            "/v1/wallets",
            &new,
            json!({ "initial_credits_to_load_expiry_date": 20_011_340 }),
            "initial_credits_to_load_expiry_date",
        ),
        post("/v1/wallets", &new, alert(json!({ "alert_enabled": true })), "alert_settings"),
        post(
            "/v1/wallets",
            &new,
            alert(json!({ "critical": { "threshold": "x", "condition": "below" } })),
            "alert_settings.critical.threshold",
        ),
        post(
            "/v1/wallets",
            &new,
            json!({ "auto_topup": { "enabled": true, "amount": "1", "invoicing": false } }),
            "auto_topup.threshold",
        ),
        post("/v1/wallets", &new, plan(json!({ "amount": "0" })), "auto_topup.amount"),
        post("/v1/wallets", &new, plan(json!({ "max_per_day": 101 })), "auto_topup.max_per_day"),
        post(
            "/v1/wallets",
            &new,
            plan(json!({ "cooldown": { "value": 1, "unit": "week" } })),
            "auto_topup.cooldown.unit",
        ),
        post(
            "/v1/wallets",
            &new,
            json!({ "config": { "allowed_price_types": ["SOME"] } }),
            "config.allowed_price_types",
        ),
        post("/v1/wallets", &new, json!({ "metadata": ["a"] }), "metadata"),
        post(&top_path, &json!({}), json!({ "credits_to_add": "1" }), "transaction_reason"),
        post(
            &top_path,
            &topup,
            json!({ "transaction_reason": "CREDIT_EXPIRED" }),
            "transaction_reason",
        ),
        post(&top_path, &topup, json!({ "credits_to_add": null }), "credits_to_add"),
        post(&top_path, &topup, json!({ "credits_to_add": "0" }), "credits_to_add"),
        post(&top_path, &topup, json!({ "credits_to_add": "1e3" }), "credits_to_add"),
        post(&top_path, &topup, json!({ "credits_to_add": "0.1234567891" }), "credits_to_add"),
        post(
            &top_path,
            &topup,
            json!({ "credits_to_add": "1000000000000000000" }),
            "credits_to_add",
        ),
        post(&top_path, &topup, json!({ "amount": "2" }), "amount"),
        post(&top_path, &topup, json!({ "priority": -1 }), "priority"),
        post(
            &top_path,
            &topup,
            json!({ "expiry_date_utc": "2001-01-01T00:00:00Z" }),
            "expiry_date_utc",
        ),
        post(
            &top_path,
            &topup,
            json!({ "expiry_date": 29_990_101, "expiry_date_utc": "2999-01-02T00:00:00Z" }),
            "expiry_date_utc",
        ),
        post(&top_path, &bonus, json!({ "bonus_credits_to_add": "0" }), "bonus_credits_to_add"),
        post(
            &debit_path,
            &json!({}),
            with(&debit, &json!({ "idempotency_key": null })),
            "idempotency_key",
        ),
        post(&debit_path, &debit, json!({ "credits": "0" }), "credits"),
        post(
            &debit_path,
            &debit,
            json!({ "transaction_reason": "CREDIT_NOTE" }),
            "transaction_reason",
        ),
        post(
            &format!("/v1/wallets/{id}/modify"),
            &json!({}),
            json!({ "modification_type": "x" }),
            "modification_type",
        ),
        post(
            "/v1/alerts/setting",
            &json!({}),
            json!({ "entity_type": "wallet", "entity_id": id, "config": {} }),
            "entity_type",
        ),
        put(json!({ "name": "" }), "name"),
        put(json!({ "auto_topup": { "enabled": true } }), "auto_topup.threshold"),
        put(
            alert(
                json!({ "alert_enabled": true, "warning": { "threshold": "1", "condition": "below" } }),
            ),
            "alert_settings.warning",
        ),
    ];
    for (method, path, body, param) in table {
        let answer = match method {
            "PUT" => app.put(&path, &app.key, &body).await,
            _ => app.post(&path, &app.key, &body).await,
        };
        let (status, headers, refused) = answer;
        assert_eq!((status, &refused["param"]), (400, &json!(param)), "{path} {body} -> {refused}");
        assert_eq!(
            (&refused["code"], &headers["x-should-retry"]),
            (&json!("validation_error"), &"false".parse().unwrap()),
            "{path} {body}"
        );
        assert_eq!(app.events().len(), before, "{path} {body} wrote something");
    }
}

#[tokio::test]
async fn what_a_later_stage_brings_is_501_and_changes_nothing() {
    let app = TestApp::start().await;
    let (customer, id) = wallet(&app, "later", json!({})).await;
    let before = app.events().len();
    let plan = |extra: Value| {
        let base = json!({ "enabled": true, "threshold": "1", "amount": "1", "invoicing": false });
        json!({ "auto_topup": with(&base, &extra) })
    };
    let spend = json!({ "entity_type": "subscription", "entity_id": "subs_1", "config": {
        "alert_enabled": true, "critical": { "threshold": "1", "condition": "above" } } });
    let posts = [
        (
            format!("/v1/wallets/{id}/top-up"),
            json!({ "credits_to_add": "1", "transaction_reason": "PURCHASED_CREDIT_INVOICED" }),
        ),
        (
            format!("/v1/wallets/{id}/top-up"),
            json!({ "credits_to_add": "1", "transaction_reason": "PURCHASED_CREDIT_DIRECT", "checkout": { "payment_provider": "stripe" } }),
        ),
        (
            "/v1/customers".to_owned(),
            json!({ "external_id": "y", "name": "Y", "tax_rate_overrides": [{}] }),
        ),
        ("/v1/alerts/setting".to_owned(), spend),
    ];
    for (path, body) in posts {
        let (status, _, refused) = app.post(&path, &app.key, &body).await;
        assert_eq!(
            (status, &refused["code"]),
            (501, &json!("not_implemented")),
            "{path} {refused}"
        );
    }
    for patch in [plan(json!({ "invoicing": true })), plan(json!({ "collection": "charge" }))] {
        let (status, _, refused) = app.put(&format!("/v1/wallets/{id}"), &app.key, &patch).await;
        assert_eq!(
            (status, &refused["code"]),
            (501, &json!("not_implemented")),
            "{patch} {refused}"
        );
    }
    for rest in ["entitlements", "usage", "grants/upcoming", "invoices/summary", "payment-methods"]
    {
        let path = format!("/v1/customers/{customer}/{rest}");
        assert_eq!(app.get(&path, &app.key).await.0, 501, "{path}");
    }
    assert_eq!(app.get("/v1/customers/usage", &app.key).await.0, 501);
    assert_eq!(app.events().len(), before);
}
