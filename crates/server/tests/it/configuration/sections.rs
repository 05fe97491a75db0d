//! Settings of a paywall, whole and by section.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_paywall_shows_the_published_defaults() {
    let owned = Owned::start().await;
    let body = owned.get("").await;
    let table = [
        ("/forwardUser", json!("as_is")),
        ("/pricing/mode", json!("tokens")),
        ("/pricing/markupPercent", json!("10")),
        ("/pricing/requestFee", json!("0")),
        ("/trial/amount", json!("0")),
        ("/trial/requireCard", json!(false)),
        ("/models/allow", json!([])),
        ("/limits/minOutputTokens", json!(16)),
        ("/limits/defaultOutputTokens", json!(4_096)),
        ("/limits/uncappedShare", json!("0.25")),
        ("/limits/streamStepTokens", json!(4_096)),
        ("/limits/onShort", json!("clamp")),
        ("/limits/drainSeconds", json!(30)),
        ("/limits/requestSeconds", json!(600)),
        ("/limits/firstByteSeconds", json!(300)),
        ("/limits/idleSeconds", json!(120)),
        ("/caps", json!({})),
        ("/settlement/mode", json!("immediate")),
        ("/settlement/strict", json!(true)),
        ("/settlement/maxLease", json!("1")),
        ("/settlement/leaseSeconds", json!(60)),
        ("/settlement/intervalMs", json!(1_000)),
        ("/settlement/batch", json!(100)),
        ("/block/style", json!("message")),
        ("/block/providerStyle", json!("error")),
        ("/templates/customResponse/timeoutMs", json!(2_000)),
        ("/privacy/storePrompts", json!(false)),
    ];
    for (pointer, expected) in table {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer}");
    }
    // What is read may be sent back: it changes nothing.
    let seen = owned.app.events().len();
    let (status, _, same) = owned.patch(&body).await;
    assert_eq!((status, &same["version"]), (200, &json!(1)), "{same}");
    assert!(owned.changes(seen).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_is_replaced_whole_and_told_once() {
    let owned = Owned::start().await;
    let seen = owned.app.events().len();
    let limits = json!({ "requestsPerMinute": 60, "caps": { "userDay": "2.5" } });
    let (status, _, body) = owned.put("/limits", &limits).await;
    assert_eq!((status, &body["requestsPerMinute"]), (200, &json!(60)), "{body}");
    assert_eq!(body["caps"], json!({ "userDay": "2.5" }));
    assert_eq!(owned.put("/limits", &body).await.2, body);
    assert_eq!(owned.changes(seen), [json!(["caps.userDay", "limits.requestsPerMinute"])]);
    let (_, _, body) = owned.put("/limits", &json!({ "maxRequests": 5 })).await;
    assert_eq!((&body["caps"], &body["requestsPerMinute"]), (&json!({}), &Value::Null));
    assert_eq!(owned.get("/limits").await, body);
    let pricing = json!({ "markupPercent": "20", "overrides": { "gpt-4.1": { "prompt": "3" } } });
    let (status, _, body) = owned.put("/pricing", &pricing).await;
    assert_eq!((status, &body["overrides"]["gpt-4.1"]["prompt"]), (200, &json!("3")), "{body}");
    assert_eq!(body["fees"], json!({ "processingPercent": "0", "processingFixed": "0" }));
    let whole = owned.get("").await;
    assert_eq!((&whole["version"], &whole["pricing"]["markupPercent"]), (&json!(4), &json!("20")));
    let templates = json!({ "limitReached": "Later, {{ name }}" });
    let (status, _, body) = owned.put("/templates", &templates).await;
    assert_eq!((status, &body["limitReached"]), (200, &json!("Later, {{ name }}")), "{body}");
    let shown = body["insufficientFunds"].as_str().unwrap();
    assert!(shown.contains("{{ url }}"), "the text that holds is shown: {shown}");
    let bad = json!({ "insufficientFunds": "no link" });
    let reply = owned.put("/templates", &bad).await;
    assert_eq!(refused(&reply), (400, "validation_error", "insufficientFunds"));
    let routes = ["/pricing", "/limits", "/templates"]
        .map(|rest| [(Method::GET, rest), (Method::PUT, rest)])
        .concat();
    owned.hidden_from_others(&routes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_setting_is_named_and_changes_nothing() {
    let owned = Owned::start().await;
    let bad = "validation_error";
    let patches = [
        (json!({ "limits": { "requestsPerSecond": 0 } }), "limits.requestsPerSecond"),
        (json!({ "limits": { "requestsPerSecond": "5" } }), "limits.requestsPerSecond"),
        (json!({ "limits": { "requestsPerSecond": 1.5 } }), "limits.requestsPerSecond"),
        (json!({ "limits": { "requestsPerSecond": -3 } }), "limits.requestsPerSecond"),
        (json!({ "limits": { "drainSeconds": {} } }), "limits.drainSeconds"),
        (json!({ "limits": [] }), "limits"),
        (json!({ "limits": { "nope": 1 } }), "limits.nope"),
        (json!({ "caps": { "userDay": "1e3" } }), "caps.userDay"),
        (json!({ "models": { "allow": [1] } }), "models.allow.0"),
        (json!({ "models": { "allow": "gpt-5" } }), "models.allow"),
        (json!({ "pricing": { "mode": "free" } }), "pricing.mode"),
        (json!({ "pricing": { "overrides": { "m": 5 } } }), "pricing.overrides.m"),
        (json!({ "trial": { "amount": "-1" } }), "trial.amount"),
        (json!({ "trial": { "expiresInDays": 1.5 } }), "trial.expiresInDays"),
        (json!({ "block": { "style": "loud" } }), "block.style"),
        (json!({ "forwardUser": true }), "forwardUser"),
        (json!({ "providers": { "openai": {} } }), "providers"),
        (json!({ "name": "a://b" }), "name"),
    ];
    for (patch, param) in patches {
        let reply = owned.patch(&patch).await;
        assert_eq!(refused(&reply), (400, bad, param), "{patch} {}", reply.2);
    }
    let puts = [
        ("/limits", json!({ "burst": 0 }), "burst"),
        ("/limits", json!({ "caps": [] }), "caps"),
        ("/pricing", json!({ "markupPercent": "-100.1" }), "markupPercent"),
        (
            "/templates",
            json!({ "customResponse": { "timeoutMs": 9_999 } }),
            "customResponse.timeoutMs",
        ),
    ];
    for (rest, body, param) in puts {
        let reply = owned.put(rest, &body).await;
        assert_eq!(refused(&reply), (400, bad, param), "{rest} {body} {}", reply.2);
    }
    for (rest, body) in [("/limits", "[]"), ("/limits", "5"), ("/limits", "{"), ("/limits", "null")]
    {
        let key = &owned.app.key;
        let sent =
            owned.app.send(Method::PUT, &owned.path(rest), key, &[], Some(body.into())).await;
        assert_eq!(sent.0, 400, "{rest} {body} {}", sent.2);
    }
    assert_eq!(owned.get("").await["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_custom_response_url_must_be_public() {
    let owned = Owned::start().await;
    for url in ["http://example.com/x", "https://10.0.0.1/x", "ftp://a.example", "nothing"] {
        let custom = json!({ "customResponse": { "url": url, "enabled": true } });
        let reply = owned.patch(&json!({ "templates": custom.clone() })).await;
        let param = "templates.customResponse.url";
        assert_eq!(refused(&reply), (400, "url_not_allowed", param), "{url}");
        let reply = owned.put("/templates", &custom).await;
        assert_eq!(refused(&reply), (400, "url_not_allowed", "customResponse.url"), "{url}");
    }
    // The operator of this server has allowed loopback.
    let custom = json!({ "customResponse": { "url": "http://127.0.0.1:9/x", "enabled": true } });
    let (status, _, body) = owned.put("/templates", &custom).await;
    assert_eq!((status, &body["customResponse"]["enabled"]), (200, &json!(true)), "{body}");
}
