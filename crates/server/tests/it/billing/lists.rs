//! Lists: exact totals, order, paging, filters with every operator, expansion, ignored fields.

use serde_json::{Value, json};
use testkit::TestApp;

use super::{debit, get, text, top_up, wallet};

async fn customers(app: &TestApp) -> Vec<String> {
    let mut ids = Vec::new();
    for index in 0..5 {
        let body = json!({
            "external_id": format!("c-{index}"), "name": format!("Name {index}"),
            "email": format!("c{index}@example.com"), "metadata": { "tier": if index < 2 { "gold" } else { "tin" } },
        });
        let (status, _, made) = app.post("/v1/customers", &app.key, &body).await;
        assert_eq!(status, 201, "{made}");
        ids.push(text(&made["id"]));
    }
    ids
}

async fn names(app: &TestApp, body: Value) -> (Vec<String>, i64) {
    let (status, _, page) = app.post("/v1/customers/search", &app.key, &body).await;
    assert_eq!(status, 200, "{body} -> {page}");
    let names = page["items"].as_array().unwrap().iter().map(|item| text(&item["external_id"]));
    (names.collect(), page["pagination"]["total"].as_i64().unwrap())
}

#[tokio::test]
async fn pages_are_newest_first_and_their_total_is_exact() {
    let app = TestApp::start().await;
    let ids = customers(&app).await;
    let page = get(&app, "/v1/customers?limit=2&offset=1").await;
    assert_eq!(page["pagination"], json!({ "total": 5, "limit": 2, "offset": 1 }));
    let got: Vec<String> =
        page["items"].as_array().unwrap().iter().map(|item| text(&item["id"])).collect();
    assert_eq!(got, [ids[3].clone(), ids[2].clone()]);
    let page = get(&app, "/v1/customers?order=asc&sort=external_id&limit=1").await;
    assert_eq!(page["items"][0]["external_id"], "c-0");
    let page = get(&app, &format!("/v1/customers?customer_ids={},{}", ids[0], ids[4])).await;
    assert_eq!(page["pagination"]["total"], 2);
    let page = get(&app, "/v1/customers?status=deleted").await;
    assert_eq!((&page["items"], &page["pagination"]["total"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn every_operator_filters() {
    let app = TestApp::start().await;
    let ids = customers(&app).await;
    let filter = |field: &str, operator: &str, value: Value| json!({ "order": "asc", "filters": [{ "field": field, "operator": operator, "value": value }] });
    let text_of = |text: &str| json!({ "string": text });
    let third = text(&get(&app, &format!("/v1/customers/{}", ids[2])).await["created_at"]);
    let table: [(Value, i64); 13] = [
        (filter("external_id", "eq", text_of("c-1")), 1),
        (filter("name", "contains", text_of("NAME")), 5),
        (filter("name", "not_contains", text_of("3")), 4),
        (filter("external_id", "in", json!({ "array": ["c-1", "c-2", "x"] })), 2),
        (filter("external_id", "not_in", json!({ "array": ["c-1", "c-2"] })), 3),
        (filter("metadata.tier", "eq", text_of("gold")), 2),
        (filter("metadata.none", "not_in", json!({ "array": ["x"] })), 5),
        (filter("created_at", "gte", json!({ "date": third })), 3),
        (filter("id", "eq", text_of(&ids[0])), 1),
        (filter("id", "eq", text_of("wallet_00000000000000000000000000")), 0),
        (filter("created_at", "before", json!({ "date": "2001-01-01T00:00:00Z" })), 0),
        (filter("created_at", "after", json!({ "date": "2001-01-01T00:00:00Z" })), 5),
        (json!({ "start_time": third, "email": "c3@example.com" }), 1),
    ];
    for (body, expected) in table {
        let (found, total) = names(&app, body.clone()).await;
        assert_eq!((total, found.len()), (expected, usize::try_from(expected).unwrap()), "{body}");
    }
    let body = json!({ "sort": [{ "field": "external_id", "direction": "desc" }], "limit": 2 });
    assert_eq!(names(&app, body).await, (vec!["c-4".to_owned(), "c-3".to_owned()], 5));
}

#[tokio::test]
async fn what_a_list_cannot_do_is_refused_by_name() {
    let app = TestApp::start().await;
    let value = json!({ "string": "x" });
    let table = [
        (json!({ "limit": 0 }), "limit"),
        (json!({ "limit": 1_001 }), "limit"),
        (json!({ "offset": -1 }), "offset"),
        (json!({ "order": "up" }), "order"),
        (json!({ "status": "gone" }), "status"),
        (json!({ "sort": "shoe_size" }), "sort"),
        (json!({ "sort": [{ "field": "shoe_size" }] }), "sort[0].field"),
        (json!({ "expand": "plan" }), "expand"),
        (json!({ "start_time": "yesterday" }), "start_time"),
        (
            json!({ "filters": [{ "field": "shoe_size", "operator": "eq", "value": value }] }),
            "filters[0].field",
        ),
        (
            json!({ "filters": [{ "field": "name", "operator": "like", "value": value }] }),
            "filters[0].operator",
        ),
        (
            json!({ "filters": [{ "field": "name", "operator": "gt", "value": value }] }),
            "filters[0].operator",
        ),
        (json!({ "filters": [{ "field": "name", "operator": "eq" }] }), "filters[0].value"),
        (
            json!({ "filters": [{ "field": "status", "operator": "eq", "value": value }] }),
            "filters[0].value",
        ),
        (
            json!({ "filters": [{ "field": "name", "operator": "eq", "data_type": "float", "value": value }] }),
            "filters[0].data_type",
        ),
    ];
    for (body, param) in table {
        let (status, _, refused) = app.post("/v1/customers/search", &app.key, &body).await;
        assert_eq!((status, &refused["param"]), (400, &json!(param)), "{body} -> {refused}");
    }
    let body = json!({ "shoe_size": 46 });
    let (status, headers, _) = app.post("/v1/customers/search", &app.key, &body).await;
    assert_eq!(
        (status, &headers["x-farebox-ignored-fields"]),
        (200, &"shoe_size".parse().unwrap())
    );
}

#[tokio::test]
async fn transactions_are_found_by_what_they_are() {
    let app = TestApp::start().await;
    let (customer, first) = wallet(&app, "t-1", json!({ "initial_credits_to_load": "5" })).await;
    let (_, second) = wallet(&app, "t-2", json!({})).await;
    top_up(&app, &second, "20").await;
    debit(&app, &first, "3", "t-debit").await;
    let table = [
        (json!({}), 3),
        (json!({ "type": "credit" }), 2),
        (json!({ "transaction_reason": "FREE_CREDIT_GRANT" }), 1),
        (json!({ "wallet_id": second }), 1),
        (json!({ "customer_id": customer }), 2),
        (json!({ "credits_available_gt": 2 }), 1),
        (
            json!({ "filters": [{ "field": "credit_amount", "operator": "gte", "data_type": "number", "value": { "number": 5 } }] }),
            2,
        ),
        (
            json!({ "filters": [{ "field": "idempotency_key", "operator": "eq", "value": { "string": "t-debit" } }] }),
            1,
        ),
        (json!({ "status": "deleted" }), 0),
    ];
    for (body, total) in table {
        let (status, _, page) = app.post("/v1/wallets/transactions/search", &app.key, &body).await;
        assert_eq!(
            (status, &page["pagination"]["total"]),
            (200, &json!(total)),
            "{body} -> {page}"
        );
    }
    let path =
        format!("/v1/wallets/{first}/transactions?expand=customer,wallet,created_by_user&limit=1");
    let page = get(&app, &path).await;
    let row = &page["items"][0];
    assert_eq!((&row["type"], &page["pagination"]["total"]), (&json!("debit"), &json!(2)));
    assert_eq!(row["customer"]["external_id"], "t-1");
    assert_eq!(row["wallet"]["id"], first.as_str());
    assert_eq!(row["created_by_user"]["id"], row["created_by"]);
    let page =
        get(&app, "/v1/wallets?expand=customer,credits_available_breakdown&wallet_status=active")
            .await;
    assert_eq!(page["pagination"]["total"], 2);
    assert_eq!(page["items"][0]["credits_available_breakdown"]["purchased"], "20");
    let (_, _, page) =
        app.post("/v1/wallets/search", &app.key, &json!({ "status": "closed" })).await;
    assert_eq!(page["pagination"]["total"], 0);
}
