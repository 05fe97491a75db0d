//! Wallets: creation, movements, bonus, expiry, freezing, closing, replays.

use domain::time::Timestamp;
use serde_json::{Value, json};
use testkit::TestApp;

use super::{balance, debit, get, text, top_up, wallet};

#[tokio::test]
async fn amounts_are_strings_and_the_two_rates_are_kept_apart() {
    let app = TestApp::start().await;
    let extra = json!({ "conversion_rate": "0.01", "topup_conversion_rate": "0.008" });
    let (_, id) = wallet(&app, "rates", extra).await;
    let path = format!("/v1/wallets/{id}/top-up");
    let body = json!({ "amount": "8.00", "transaction_reason": "PURCHASED_CREDIT_DIRECT" });
    let (status, _, answer) = app.post(&path, &app.key, &body).await;
    assert_eq!(status, 200, "{answer}");
    let row = &answer["wallet_transaction"];
    assert_eq!((&row["credit_amount"], &row["amount"]), (&json!("1000"), &json!("8")));
    assert_eq!(row["credits_available"], "1000");
    assert_eq!(answer["wallet"]["balance"], "10");
    let shown = balance(&app, &id).await;
    let figures = ["balance", "credit_balance", "real_time_balance", "real_time_credit_balance"];
    let values: Vec<String> = figures.iter().map(|name| text(&shown[*name])).collect();
    assert_eq!(values, ["10", "1000", "10", "1000"]);
    assert_eq!(shown["is_cached_fallback"], false);
    assert_eq!(shown["credits_available_breakdown"], json!({"purchased": "1000", "free": "0"}));
}

#[tokio::test]
async fn the_same_key_moves_once_and_another_body_is_refused() {
    let app = TestApp::start().await;
    let (_, id) = wallet(&app, "keys", json!({})).await;
    let path = format!("/v1/wallets/{id}/top-up");
    let body = json!({
        "credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT", "idempotency_key": "k",
    });
    let (_, _, first) = app.post(&path, &app.key, &body).await;
    let (status, headers, again) = app.post(&path, &app.key, &body).await;
    assert_eq!((status, &again), (200, &first));
    assert_eq!(headers["idempotent-replayed"], "true");
    assert_eq!(first["wallet_transaction"]["idempotency_key"], "k");
    let mut other = body.clone();
    other["credits_to_add"] = json!("6");
    let (status, _, refused) = app.post(&path, &app.key, &other).await;
    assert_eq!((status, &refused["code"]), (422, &json!("idempotency_key_reused")));
    debit(&app, &id, "2", "d").await;
    debit(&app, &id, "2", "d").await;
    assert_eq!(balance(&app, &id).await["credit_balance"], "3");
    let list = get(&app, &format!("/v1/wallets/{id}/transactions")).await;
    assert_eq!(list["pagination"]["total"], 2);
    assert_eq!(list["items"][0]["consumption_breakdown"][0]["credits"], "2");
    assert_eq!(list["items"][1]["credits_available"], "3");
}

#[tokio::test]
async fn one_open_wallet_of_a_kind_and_a_new_one_after_it_is_closed() {
    let app = TestApp::start().await;
    let extra = json!({ "initial_credits_to_load": "7" });
    let (customer, id) = wallet(&app, "single", extra).await;
    let body = json!({ "customer_id": customer, "currency": "USD" });
    let (status, _, refused) = app.post("/v1/wallets", &app.key, &body).await;
    assert_eq!((status, &refused["code"]), (409, &json!("already_exists")));
    let path = format!("/v1/customers/{customer}");
    let (status, _, refused) = app.delete(&path, &app.key).await;
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_operation")));
    let end = format!("/v1/wallets/{id}/terminate");
    let (status, _, closed) = app.post(&end, &app.key, &json!({})).await;
    assert_eq!((status, &closed["wallet_status"]), (200, &json!("closed")));
    assert_eq!(closed["credit_balance"], "0");
    let (status, _, refused) = app.post(&end, &app.key, &json!({})).await;
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_operation")));
    let (status, _, again) = app.post("/v1/wallets", &app.key, &body).await;
    assert_eq!(status, 200, "{again}");
    let end = format!("/v1/wallets/{}/terminate", text(&again["id"]));
    app.post(&end, &app.key, &json!({})).await;
    let (status, _, _) = app.delete(&path, &app.key).await;
    assert_eq!(status, 204);
    assert_eq!(app.get(&path, &app.key).await.0, 404);
    let kinds: Vec<String> = app.events().into_iter().map(|(kind, _)| kind).collect();
    let expected = [
        "customer.created",
        "wallet.created",
        "wallet.transaction.created",
        "wallet.transaction.created",
        "wallet.terminated",
        "wallet.created",
        "wallet.terminated",
        "customer.deleted",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn what_has_expired_is_in_no_figure_before_and_after_it_is_posted() {
    let app = TestApp::start().await;
    app.stand_at(Timestamp::parse("2027-11-01T00:00:00Z").unwrap());
    let (_, id) = wallet(&app, "expiry", json!({})).await;
    let path = format!("/v1/wallets/{id}/top-up");
    let body = json!({
        "credits_to_add": "10", "transaction_reason": "FREE_CREDIT_GRANT", "expiry_date": 20_271_102,
    });
    let (status, _, answer) = app.post(&path, &app.key, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["wallet_transaction"]["expiry_date"], "2027-11-02T00:00:00.000Z");
    top_up(&app, &id, "5").await;
    app.stand_at(Timestamp::parse("2027-11-01T23:59:59.999Z").unwrap());
    assert_eq!(balance(&app, &id).await["credit_balance"], "15");
    app.stand_at(Timestamp::parse("2027-11-02T00:00:00Z").unwrap());
    let shown = balance(&app, &id).await;
    assert_eq!(shown["real_time_credit_balance"], "5");
    assert_eq!(shown["credits_available_breakdown"], json!({"purchased": "5", "free": "0"}));
    debit(&app, &id, "1", "after").await;
    let list = get(&app, &format!("/v1/wallets/{id}/transactions?type=debit&order=asc")).await;
    let reasons: Vec<String> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| text(&row["transaction_reason"]))
        .collect();
    assert_eq!(reasons, ["CREDIT_EXPIRED", "MANUAL_BALANCE_DEBIT"]);
    assert_eq!(list["items"][0]["created_at"], "2027-11-02T00:00:00.000Z");
}

#[tokio::test]
async fn a_purchase_brings_its_bonus_and_both_are_told() {
    let app = TestApp::start().await;
    let (_, id) = wallet(&app, "bonus", json!({})).await;
    let path = format!("/v1/wallets/{id}/top-up");
    let body = json!({
        "credits_to_add": "100", "bonus_credits_to_add": "10", "priority": 3,
        "transaction_reason": "PURCHASED_CREDIT_DIRECT",
    });
    let (status, _, answer) = app.post(&path, &app.key, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["wallet"]["credit_balance"], "110");
    let list = get(&app, &format!("/v1/wallets/{id}/transactions?order=asc")).await;
    let bonus = &list["items"][1];
    assert_eq!(bonus["transaction_reason"], "PURCHASED_CREDIT_BONUS");
    assert_eq!(bonus["parent_transaction_id"], answer["wallet_transaction"]["id"]);
    let told = app.events().into_iter().filter(|(kind, _)| kind == "wallet.transaction.created");
    let told: Vec<Value> = told.map(|(_, body)| body["transaction"]["id"].clone()).collect();
    assert_eq!(told, [list["items"][0]["id"].clone(), bonus["id"].clone()]);
}

#[tokio::test]
async fn a_frozen_wallet_takes_credits_and_spends_none() {
    let app = TestApp::start().await;
    let (_, id) = wallet(&app, "frozen", json!({ "initial_credits_to_load": "5" })).await;
    let path = format!("/v1/wallets/{id}");
    let (status, _, frozen) = app.post(&format!("{path}/freeze"), &app.key, &json!({})).await;
    assert_eq!((status, &frozen["wallet_status"]), (200, &json!("frozen")));
    top_up(&app, &id, "1").await;
    let body = json!({
        "credits": "1", "transaction_reason": "MANUAL_BALANCE_DEBIT", "idempotency_key": "f",
    });
    let (status, _, refused) = app.post(&format!("{path}/debit"), &app.key, &body).await;
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_operation")));
    let (status, _, active) = app.post(&format!("{path}/unfreeze"), &app.key, &json!({})).await;
    assert_eq!((status, &active["wallet_status"]), (200, &json!("active")));
    // A refusal is not stored: the same key works now.
    let (status, _, _) = app.post(&format!("{path}/debit"), &app.key, &body).await;
    assert_eq!(status, 200);
    let updates = app.events().into_iter().filter(|(kind, _)| kind == "wallet.updated");
    let before: Vec<Value> =
        updates.map(|(_, body)| body["previous_attributes"]["wallet_status"].clone()).collect();
    assert_eq!(before, ["active", "frozen"]);
}

#[tokio::test]
async fn a_conversion_keeps_each_lot() {
    let app = TestApp::start().await;
    let (customer, id) = wallet(&app, "convert", json!({ "initial_credits_to_load": "5" })).await;
    top_up(&app, &id, "20").await;
    let body = json!({ "modification_type": "prepaid_to_postpaid" });
    let (status, _, new) = app.post(&format!("/v1/wallets/{id}/modify"), &app.key, &body).await;
    assert_eq!((status, &new["wallet_type"]), (200, &json!("POST_PAID")), "{new}");
    assert_eq!(
        (&new["credit_balance"], &new["config"]),
        (&json!("25"), &json!({"allowed_price_types": ["ALL"]}))
    );
    let shown = balance(&app, &text(&new["id"])).await;
    assert_eq!(shown["credits_available_breakdown"], json!({"purchased": "20", "free": "5"}));
    let all = get(&app, &format!("/v1/customers/{customer}/wallets")).await;
    let states: Vec<String> =
        all.as_array().unwrap().iter().map(|wallet| text(&wallet["wallet_status"])).collect();
    assert_eq!(states, ["closed", "active"]);
}

#[tokio::test]
async fn auto_topup_attempts_until_above_the_threshold_or_cooled_down() {
    let app = TestApp::start().await;
    let plan = |cooldown: Value| {
        json!({ "auto_topup": { "enabled": true, "threshold": 50, "amount": "10",
            "invoicing": false, "cooldown": cooldown } })
    };
    let (_, id) = wallet(&app, "auto", plan(Value::Null)).await;
    assert_eq!(balance(&app, &id).await["credit_balance"], "0");
    top_up(&app, &id, "5").await;
    assert_eq!(balance(&app, &id).await["credit_balance"], "55");
    let (_, id) = wallet(&app, "cool", plan(json!({ "value": 1, "unit": "day" }))).await;
    top_up(&app, &id, "5").await;
    let shown = balance(&app, &id).await;
    assert_eq!(shown["credit_balance"], "15");
    assert_eq!(shown["auto_topup"]["max_per_day"], 10);
    let clear = json!({ "auto_topup": { "cooldown": { "value": 0, "unit": "day" } } });
    let (status, _, cleared) = app.put(&format!("/v1/wallets/{id}"), &app.key, &clear).await;
    assert_eq!((status, &cleared["auto_topup"]["cooldown"]), (200, &Value::Null));
    assert_eq!(cleared["auto_topup"]["amount"], "10", "the rest is kept");
}

#[tokio::test]
async fn later_events_name_the_customers_new_version() {
    let app = TestApp::start().await;
    let (customer, id) = wallet(&app, "rename", json!({})).await;
    let body = json!({ "name": "Grace", "external_id": "renamed" });
    let path = format!("/v1/customers/{customer}");
    let (status, _, shown) = app.put(&path, &app.key, &body).await;
    assert_eq!((status, &shown["name"]), (200, &json!("Grace")));
    top_up(&app, &id, "1").await;
    let (_, last) = app.events().pop().unwrap();
    assert_eq!(
        (&last["customer"]["name"], &last["customer"]["external_id"]),
        (&json!("Grace"), &json!("renamed"))
    );
    assert_eq!(app.get("/v1/customers/external/rename", &app.key).await.0, 404);
    assert_eq!(get(&app, "/v1/customers/external/renamed").await["id"], customer.as_str());
    let (status, _, erased) = app.post(&format!("{path}/erase"), &app.key, &json!({})).await;
    assert_eq!((status, &erased["name"]), (200, &json!("[erased]")));
}
