//! Provider connections: their keys go in and never come out.

use super::*;

const KEY: &str = "sk-proj-very-secret-1234";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_in_and_never_comes_out() {
    let owned = Owned::start().await;
    let seen = owned.app.events().len();
    let body = json!({ "kind": "openai", "key": KEY, "headers": { "OpenAI-Organization": "org",
        "x-auth-token": "tok-secret" }, "timeouts": { "connectMs": 1500 } });
    let (status, headers, made) = owned.put("/providers/openai", &body).await;
    assert_eq!((status, &made["keyLastFour"]), (200, &json!("1234")), "{made}");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(made["baseUrl"], "https://api.openai.com/v1");
    assert_eq!((&made["name"], &made["timeouts"]["connectMs"]), (&json!("openai"), &json!(1500)));
    assert_eq!(made["headers"]["OpenAI-Organization"], "org");
    let list = owned.get("/providers").await;
    assert_eq!((&list["data"][0], &list["has_more"]), (&made, &json!(false)));
    // The same again, as it was sent or as it was read, changes nothing.
    assert_eq!(owned.put("/providers/openai", &body).await.2, made);
    assert_eq!(owned.changes(seen), [json!(["providers.openai"])]);
    let other = json!({ "kind": "openai", "key": "sk-other-key-9999" });
    assert_eq!(owned.put("/providers/openai", &other).await.2["keyLastFour"], "9999");
    assert_eq!(owned.get("").await["version"], 3);
    let deleted = owned.app.delete(&owned.path("/providers/openai"), &owned.app.key).await;
    assert_eq!(deleted.0, 204);
    let deleted = owned.app.delete(&owned.path("/providers/openai"), &owned.app.key).await;
    assert_eq!(deleted.0, 404);
    assert_eq!(owned.get("/providers").await["data"], json!([]));
    let told = serde_json::to_string(&owned.app.events()).unwrap();
    let (status, _, audit) = owned.app.post("/v1/activity", &owned.app.key, &json!({})).await;
    assert!(status == 200 && audit.to_string().contains("providers.openai"), "{audit}");
    for text in [told, list.to_string(), audit.to_string()] {
        for secret in [KEY, "tok-secret", "sk-other"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    owned
        .hidden_from_others(&[
            (Method::GET, "/providers"),
            (Method::PUT, "/providers/openai"),
            (Method::DELETE, "/providers/openai"),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_gets_the_opened_key_until_it_changes() {
    let owned = Owned::start().await;
    let id = owned.id.parse().unwrap();
    let paywall = || owned.app.engine.find_paywall(&owned.app.scope, id).unwrap();
    let offer = || owned.app.engine.offer(&owned.app.scope, &paywall()).unwrap();
    assert!(offer().providers.is_empty());
    let body = json!({ "kind": "compatible", "baseUrl": "http://127.0.0.1:9/v1", "key": KEY,
        "headers": { "x-team": "blue" } });
    assert_eq!(owned.put("/providers/mine", &body).await.0, 200);
    let secrets = offer().secrets("mine").unwrap();
    assert_eq!((secrets.key.as_deref(), secrets.headers["x-team"].as_str()), (Some(KEY), "blue"));
    // Another address needs the key again.
    let moved = json!({ "kind": "compatible", "baseUrl": "http://127.0.0.1:8/v1" });
    let (_, _, shown) = owned.put("/providers/mine", &moved).await;
    assert_eq!(shown["keyLastFour"], Value::Null);
    assert_eq!(offer().secrets("mine").unwrap().key, None);
    assert!(offer().secrets("other").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_connection_is_refused_by_its_field() {
    let owned = Owned::start().await;
    let bad = "validation_error";
    let table = [
        ("openai", json!({ "kind": "openai" }), bad, "key"),
        ("openai", json!({ "kind": "azure", "key": "k" }), bad, "kind"),
        ("openai", json!({ "kind": 5, "key": "k" }), bad, "kind"),
        ("openai", json!({}), bad, "kind"),
        ("openai", json!([]), bad, ""),
        ("mine", json!({ "kind": "compatible" }), bad, "baseUrl"),
        ("mine", json!({ "kind": "openai", "key": "k", "baseUrl": 7 }), bad, "baseUrl"),
        ("mine", json!({ "kind": "openai", "key": "k", "timeouts": [] }), bad, "timeouts"),
        (
            "mine",
            json!({ "kind": "openai", "key": "k", "headers": { "host": "x" } }),
            bad,
            "headers",
        ),
        ("mine", json!({ "kind": "openai", "key": "k", "secret": "x" }), bad, "secret"),
        ("Bad%20Name", json!({ "kind": "openai", "key": "k" }), bad, "name"),
        (
            "mine",
            json!({ "kind": "compatible", "baseUrl": "http://example.com/v1" }),
            "url_not_allowed",
            "baseUrl",
        ),
        (
            "mine",
            json!({ "kind": "compatible", "baseUrl": "https://169.254.169.254/v1" }),
            "url_not_allowed",
            "baseUrl",
        ),
    ];
    for (name, body, code, param) in table {
        let reply = owned.put(&format!("/providers/{name}"), &body).await;
        assert_eq!(refused(&reply), (400, code, param), "{name} {body} {}", reply.2);
    }
    assert_eq!(owned.get("/providers").await["data"], json!([]));
    assert_eq!(owned.get("").await["version"], 1);
}
