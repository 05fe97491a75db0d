//! The price book: rows are added, end each other and are never edited.

use domain::time::Timestamp;

use super::*;

const NOON: i64 = 2_000_000_000_000;

fn row(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "provider": "openai", "prices": { "input": prompt, "output": "2" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_row_ends_the_open_one() {
    let owned = Owned::start().await;
    let at = |ms| owned.app.stand_at(Timestamp::from_millis(NOON + ms));
    at(0);
    let seen = owned.app.events().len();
    let (status, _, first) = owned.post("/prices", &row("gpt-5", "1")).await;
    assert_eq!((status, &first["prices"]["prompt"]), (201, &json!("1")), "{first}");
    assert_eq!((&first["currency"], &first["effectiveTo"]), (&json!("USD"), &Value::Null));
    at(1_000);
    let (status, _, second) = owned.post("/prices", &row("gpt-5", "3")).await;
    assert_eq!(status, 201, "{second}");
    assert_eq!(owned.post("/prices", &row("gpt-4.1", "4")).await.0, 201);
    let id = first["id"].as_str().unwrap();
    let ended = owned.get(&format!("/prices/{id}")).await;
    assert_eq!(ended["effectiveTo"], second["effectiveFrom"]);
    assert_eq!(ended["prices"], first["prices"]);
    let list = owned.get("/prices?model=gpt-5").await;
    assert_eq!(list["data"], json!([second, ended]));
    let page = owned.get("/prices?limit=2").await;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (2, &json!(true)));
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(
        owned.get(&format!("/prices?limit=2&cursor={cursor}")).await["data"],
        json!([ended])
    );
    assert_eq!(owned.changes(seen), [json!(["prices"]), json!(["prices"]), json!(["prices"])]);
    assert_eq!(owned.get("").await["version"], 4);
    let routes = [(Method::GET, "/prices"), (Method::POST, "/prices")];
    owned.hidden_from_others(&routes).await;
    let path = format!("/prices/{id}");
    owned.hidden_from_others(&[(Method::GET, path.as_str())]).await;
    assert_eq!(owned.app.get(&owned.path("/prices/price_x"), &owned.app.key).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_never_overlap_and_a_repeat_adds_none() {
    let owned = Owned::start().await;
    let span = |from: &str, to: Value| {
        let mut row = row("gpt-5", "1");
        row["effectiveFrom"] = json!(from);
        row["effectiveTo"] = to;
        row
    };
    let (january, march) = ("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z");
    assert_eq!(owned.post("/prices", &span(january, json!(march))).await.0, 201);
    let inside = owned.post("/prices", &span("2026-02-01T00:00:00Z", Value::Null)).await;
    assert_eq!((inside.0, &inside.2["code"]), (409, &json!("price_overlap")));
    assert_eq!(owned.post("/prices", &span(march, Value::Null)).await.0, 201);
    let before = owned.post("/prices", &span("2025-12-01T00:00:00Z", json!(january))).await;
    assert_eq!(before.0, 201, "half open: {}", before.2);
    let (path, key) = (owned.path("/prices"), &owned.app.key);
    let body = row("gpt-4.1", "1");
    let first = owned.app.post_once(&path, key, "k1", &body).await;
    let again = owned.app.post_once(&path, key, "k1", &body).await;
    assert_eq!((first.0, &first.2), (201, &again.2));
    assert_eq!(again.1["idempotent-replayed"], "true");
    assert_eq!(owned.get("/prices?model=gpt-4.1").await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_is_refused_by_its_field() {
    let owned = Owned::start().await;
    let with = |field: &str, value: Value| {
        let mut row = row("gpt-5", "1");
        row[field] = value;
        row
    };
    let table = [
        (json!({}), "model"),
        (json!([]), ""),
        (with("model", json!(5)), "model"),
        (with("provider", json!("")), "provider"),
        (with("prices", json!("1")), "prices"),
        (with("prices", json!({ "input": "-1" })), "prices.input"),
        (with("prices", json!({ "input": "1e3" })), "prices.input"),
        (with("prices", json!({ "words": "1" })), "prices.words"),
        (with("currency", json!("xxx")), "currency"),
        (with("effectiveFrom", json!("soon")), "effectiveFrom"),
        (with("effectiveTo", json!("2020-01-01T00:00:00Z")), "effectiveTo"),
        (with("longContext", json!({ "above": 0 })), "longContext.above"),
        (with("colour", json!("red")), "colour"),
    ];
    for (body, param) in table {
        let reply = owned.post("/prices", &body).await;
        assert_eq!(refused(&reply), (400, "validation_error", param), "{body} {}", reply.2);
    }
    assert_eq!(owned.get("/prices").await["data"], json!([]));
}
