//! The list of models: only what is allowed and can be routed, with what users pay.

use super::*;

async fn models(owned: &Owned, path: &str) -> Value {
    let (status, _, body) = owned.app.get(path, &owned.key).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

async fn fake(owned: &Owned) {
    let body = json!({ "kind": "fake", "baseUrl": "http://127.0.0.1:9/v1" });
    assert_eq!(owned.put("/providers/fake", &body).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_follows_every_setting() {
    let owned = Owned::with(&json!({ "pricing": { "markupPercent": "20" } })).await;
    let empty = models(&owned, "/v1/models").await;
    assert_eq!((&empty["data"], &empty["object"]), (&json!([]), &json!("list")));
    fake(&owned).await;
    let list = models(&owned, "/v1/models").await;
    assert!(ids(&list).contains(&"gpt-test"), "{list}");
    assert_eq!(list["first_id"], list["data"][0]["id"]);
    assert_eq!(list["has_more"], false);
    let row = models(&owned, "/v1/models/gpt-test").await;
    let pricing = json!({ "prompt": "1.2", "cached_input": "0.6", "cache_write": "1.5",
        "cache_write_1h": "2.4", "completion": "2.4", "request": "0" });
    assert_eq!(row["pricing"], pricing);
    assert_eq!((&row["object"], &row["type"]), (&json!("model"), &json!("model")));
    assert_eq!((&row["owned_by"], &row["name"]), (&json!("fake"), &json!("gpt-test")));
    assert!(
        row["created"].is_i64() && row["created_at"].is_string() && row["display_name"].is_string()
    );
    assert_eq!(models(&owned, "/v1/models/fake/gpt-test").await["pricing"], pricing);
    let price = json!({ "model": "gpt-test", "provider": "fake", "prices": { "input": "10" } });
    assert_eq!(owned.post("/prices", &price).await.0, 201);
    let row = models(&owned, "/v1/models/gpt-test").await;
    assert_eq!(
        (&row["pricing"]["prompt"], &row["pricing"]["completion"]),
        (&json!("12"), &json!("0"))
    );
    let patch = json!({ "models": { "allow": ["gpt-*", "quick"], "deny": ["gpt-free"],
        "aliases": { "quick": "gpt-test" } }, "pricing": { "overrides": {
        "gpt-4o-mini": { "prompt": "7", "request": "0.5", "markup": false } } } });
    assert_eq!(owned.patch(&patch).await.0, 200);
    let list = models(&owned, "/v1/models").await;
    assert_eq!(ids(&list), ["gpt-test", "gpt-4o-mini", "gpt-5-mini", "quick"], "{list}");
    let pricing = models(&owned, "/v1/models/gpt-4o-mini").await["pricing"].clone();
    assert_eq!(pricing, json!({ "prompt": "7", "completion": "0", "request": "0.5" }));
    let free = owned.app.get("/v1/models/gpt-free", &owned.key).await;
    assert_eq!((free.0, &free.2["error"]["code"]), (404, &json!("model_not_found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_needs_a_key_and_no_user() {
    let owned = Owned::with(&json!({ "trial": { "amount": "1" } })).await;
    fake(&owned).await;
    assert_eq!(owned.app.get("/v1/models", "nothing").await.0, 401);
    assert_eq!(owned.app.get("/v1/models", &owned.app.key).await.0, 401);
    let count = || owned.app.events().iter().filter(|(name, _)| name.contains("trial")).count();
    models(&owned, "/v1/models").await;
    assert_eq!(count(), 0);
    // A user who is named is seen for the first time.
    let list = models(&owned, "/v1/models?user=eve").await;
    assert_eq!(models(&owned, "/v1/eve/models").await, list);
    assert_eq!(count(), 1);
    assert_eq!(owned.app.get("/v1/models?user=%20eve", &owned.key).await.0, 400);
}
