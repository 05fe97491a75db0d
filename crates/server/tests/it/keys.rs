//! Keys, the tenant, environments, settings, users and the audit log.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::{Value, json};
use testkit::TestApp;

const KEYS: &str = "/v1/secrets/api/keys";

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Makes a key with these roles; its text and its id.
async fn key(app: &TestApp, roles: &[&str]) -> (String, String) {
    let body = json!({ "name": "a key", "type": "private_key", "roles": roles });
    let (status, _, made) = app.post(KEYS, &app.key, &body).await;
    assert_eq!(status, 201, "{made}");
    (text(&made["api_key"]), text(&made["secret"]["id"]))
}

#[tokio::test]
async fn a_key_is_shown_once_and_masked_ever_after() {
    let app = TestApp::start().await;
    let (clear, id) = key(&app, &["all_reader"]).await;
    assert!(clear.starts_with("fbx_test_sk_") && clear.len() == 50);
    let (status, _, list) = app.get(KEYS, &clear).await;
    assert_eq!(status, 200);
    let row = list["items"].as_array().unwrap().iter().find(|row| row["id"] == json!(id)).unwrap();
    assert_eq!(row["display_id"], format!("fbx_test_sk_…{}", &clear[46..]));
    assert_eq!(row["roles"], json!(["all_reader"]));
    assert!(!list.to_string().contains(&clear));
    let (_, _, log) = app.post("/v1/activity", &app.key, &json!({ "entity_id": id })).await;
    assert_eq!(log["data"][0]["action"], "secret.created");
    assert!(!log.to_string().contains(&clear), "the audit log holds no secrets");
}

#[tokio::test]
async fn a_repeated_creation_shows_the_same_key_and_its_text_is_not_kept() {
    let app = TestApp::start().await;
    let body = json!({ "name": "once", "type": "private_key" });
    let (_, _, first) = app.post_once(KEYS, &app.key, "k1", &body).await;
    let (status, headers, again) = app.post_once(KEYS, &app.key, "k1", &body).await;
    assert_eq!((status, headers["idempotent-replayed"].to_str().unwrap()), (201, "true"));
    assert_eq!(first, again);
    let clear = text(&first["api_key"]);
    let Some(path) = app.engine.database().path() else { return };
    let (file, wal) = (std::fs::read(path), std::fs::read(path.with_extension("db-wal")));
    for bytes in [file.unwrap(), wal.unwrap()] {
        assert!(!bytes.windows(clear.len()).any(|part| part == clear.as_bytes()));
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_the_next_request() {
    let app = TestApp::start().await;
    let (clear, id) = key(&app, &["all_writer"]).await;
    assert_eq!(app.get("/v1/environments", &clear).await.0, 200);
    assert_eq!(app.delete(&format!("{KEYS}/{id}"), &app.key).await.0, 204);
    assert_eq!(app.get("/v1/environments", &clear).await.0, 401);
    assert_eq!(app.delete(&format!("{KEYS}/{id}"), &app.key).await.0, 404);
}

#[tokio::test]
async fn a_rotated_key_lives_for_its_overlap_and_no_longer() {
    let app = TestApp::start().await;
    let start = app.engine.real_now();
    app.stand_at(start);
    let (old, id) = key(&app, &["all_reader"]).await;
    let path = format!("{KEYS}/{id}/rotate");
    let (status, _, made) = app.post(&path, &app.key, &json!({ "overlap_seconds": 60 })).await;
    assert_eq!(status, 201, "{made}");
    let new = text(&made["api_key"]);
    assert_eq!(app.get("/v1/environments", &old).await.0, 200);
    assert_eq!(app.get("/v1/environments", &new).await.0, 200);
    app.stand_at(start.plus_ms(60_000));
    let (status, _, body) = app.get("/v1/environments", &old).await;
    assert_eq!(status, 401);
    assert!(text(&body["message"]).contains("expired"));
    assert_eq!(app.get("/v1/environments", &new).await.0, 200);
    let path = format!("{KEYS}/{}/rotate", text(&made["secret"]["id"]));
    assert_eq!(app.post(&path, &app.key, &json!({})).await.0, 201);
    assert_eq!(app.get("/v1/environments", &new).await.0, 401, "no overlap: at once");
    let late = json!({ "overlap_seconds": 604_801 });
    assert_eq!(app.post(&path, &app.key, &late).await.0, 400);
}

#[tokio::test]
async fn rights_are_what_the_key_was_given() {
    let app = TestApp::start().await;
    let (reader, _) = key(&app, &["all_reader"]).await;
    let (writer, _) = key(&app, &["all_writer"]).await;
    let (scoped, _) = key(&app, &["environment:read"]).await;
    let body = json!({ "name": "x", "type": "private_key" });
    for (key, path, expected) in [
        (&reader, "/v1/environments", 200),
        (&reader, KEYS, 200),
        (&scoped, "/v1/environments", 200),
        (&scoped, KEYS, 403),
        (&scoped, "/v1/rbac/roles", 403),
    ] {
        assert_eq!(app.get(path, key).await.0, expected, "{path}");
    }
    for key in [&reader, &writer, &scoped] {
        let (status, _, refused) = app.post(KEYS, key, &body).await;
        assert_eq!((status, refused["code"].as_str()), (403, Some("permission_denied")));
    }
    for roles in [json!(["admin"]), json!(["secret:write"]), json!(["wallet"])] {
        let body = json!({ "name": "x", "type": "private_key", "roles": roles });
        let (status, _, refused) = app.post(KEYS, &app.key, &body).await;
        assert_eq!((status, refused["param"].as_str()), (400, Some("roles[0]")), "{roles}");
    }
}

#[tokio::test]
async fn another_tenant_sees_none_of_it() {
    let app = TestApp::start().await;
    let (_, id) = key(&app, &["all_reader"]).await;
    let env = app.scope.environment;
    assert_eq!(app.delete(&format!("{KEYS}/{id}"), &app.other_key).await.0, 404);
    let rotate = format!("{KEYS}/{id}/rotate");
    assert_eq!(app.post(&rotate, &app.other_key, &json!({})).await.0, 404);
    assert_eq!(app.get(&format!("/v1/environments/{env}"), &app.other_key).await.0, 404);
    let tenant = format!("/v1/tenants/{}", app.scope.tenant);
    assert_eq!(app.get(&tenant, &app.other_key).await.0, 404);
    assert_eq!(app.get(&tenant, &app.key).await.0, 200);
    let body = json!({ "name": "x", "type": "private_key", "environment_id": env });
    assert_eq!(app.post(KEYS, &app.other_key, &body).await.0, 404);
    let (_, _, log) = app.post("/v1/activity", &app.other_key, &json!({ "entity_id": id })).await;
    assert_eq!(log["data"], json!([]));
}

#[tokio::test]
async fn an_environment_is_made_within_the_limits_and_gets_its_own_keys() {
    let app = TestApp::start().await;
    let body = json!({ "name": "Live", "type": "production" });
    let (status, _, made) = app.post("/v1/environments", &app.key, &body).await;
    assert_eq!((status, made["type"].as_str()), (201, Some("production")), "{made}");
    let (status, _, refused) = app.post("/v1/environments", &app.key, &body).await;
    assert_eq!((status, refused["code"].as_str()), (400, Some("invalid_operation")));
    let limits = json!({ "value": { "production": 2 } });
    assert_eq!(app.put("/v1/settings/tenant_config", &app.key, &limits).await.0, 200);
    assert_eq!(app.post("/v1/environments", &app.key, &body).await.0, 201);
    let (_, _, list) = app.get("/v1/environments", &app.key).await;
    assert_eq!(list["pagination"]["total"], 3);
    let body = json!({ "name": "k", "type": "private_key", "environment_id": made["id"] });
    let (_, _, live) = app.post(KEYS, &app.key, &body).await;
    let clear = text(&live["api_key"]);
    assert!(clear.starts_with("fbx_live_sk_"));
    let (_, _, theirs) = app.get(KEYS, &clear).await;
    assert_eq!(theirs["pagination"]["total"], 1, "keys stay in their environment");
    let path = format!("/v1/environments/{}", text(&made["id"]));
    let (status, _, named) = app.put(&path, &app.key, &json!({ "name": "Prod" })).await;
    assert_eq!((status, named["name"].as_str()), (200, Some("Prod")));
    assert_eq!(app.put(&path, &app.key, &json!({ "type": "development" })).await.0, 400);
    assert_eq!(app.post(&format!("{path}/clone"), &app.key, &json!({})).await.0, 501);
}

#[tokio::test]
async fn a_setting_is_validated_whole_and_can_be_reset() {
    let app = TestApp::start().await;
    let path = "/v1/settings/credit_expiry_config";
    let (_, _, before) = app.get(path, &app.key).await;
    assert_eq!(before["value"]["notice_days"], json!([7, 1]));
    let wrong = json!({ "value": { "notice_days": [3], "unknown": 1 } });
    let (status, _, refused) = app.put(path, &app.key, &wrong).await;
    assert_eq!((status, refused["param"].as_str()), (400, Some("value.unknown")));
    let right = json!({ "value": { "notice_days": [3, 14] } });
    let (status, _, after) = app.put(path, &app.key, &right).await;
    assert_eq!((status, &after["value"]["notice_days"]), (200, &json!([14, 3])));
    assert_eq!(after["value"]["invoice_grace_seconds"], 21_600);
    let (_, _, reset) = app.delete(path, &app.key).await;
    assert_eq!(reset["value"], before["value"]);
    let (_, _, log) =
        app.post("/v1/activity", &app.key, &json!({ "entity_type": "setting" })).await;
    let actions: Vec<&Value> =
        log["data"].as_array().unwrap().iter().map(|row| &row["action"]).collect();
    assert_eq!(actions, ["setting.reset", "setting.updated"]);
    assert_eq!(log["data"][1]["state"]["before"]["notice_days"], json!([7, 1]));
    assert_eq!(app.get("/v1/settings/no_such_config", &app.key).await.0, 404);
    assert_eq!(app.get("/v1/settings/invoice_config", &app.key).await.0, 501);
}

#[tokio::test]
async fn the_tenants_alert_setting_is_told_to_the_wallets_that_live_by_it() {
    let app = TestApp::start().await;
    let cause = domain::scope::Cause::schedule();
    let paywall = json!({ "name": "P", "currency": "USD" });
    let made = app.engine.create_paywall(app.scope, cause, paywall).await.unwrap();
    let deposit = json!({ "user": "u1", "amount": "5" });
    let (status, _, body) = app.post("/v1/user/balance/deposit", &made.api_key, &deposit).await;
    assert_eq!(status, 200, "{body}");
    let below = json!({ "threshold": "10", "condition": "below" });
    let value = json!({ "value": { "alert_enabled": true, "critical": below } });
    let path = "/v1/settings/wallet_balance_alert_config";
    assert_eq!(app.put(path, &app.key, &value).await.0, 200);
    let dropped = |events: &[(String, Value)]| {
        events.iter().filter(|(name, _)| name == "wallet.credit_balance.dropped").count()
    };
    assert_eq!(dropped(&app.events()), 1);
    assert_eq!(app.put(path, &app.key, &value).await.0, 200);
    assert_eq!(dropped(&app.events()), 1, "the same value changes nothing");
    assert_eq!(app.delete(path, &app.key).await.0, 200);
    let recovered = app.events().iter().any(|(name, _)| name.ends_with(".recovered"));
    assert!(!recovered, "switching off is silent");
}

#[tokio::test]
async fn a_program_has_an_account_whose_keys_end_with_it() {
    let app = TestApp::start().await;
    let (status, _, me) = app.get("/v1/users/me", &app.key).await;
    assert_eq!((status, me["type"].as_str()), (200, Some("user")));
    assert_eq!(me["tenant"]["id"], json!(app.scope.tenant));
    let body = json!({ "type": "service_account", "name": "bot", "roles": ["all_reader"] });
    let (status, _, bot) = app.post("/v1/users", &app.key, &body).await;
    assert_eq!(status, 201, "{bot}");
    let ask = json!({ "name": "k", "type": "private_key", "service_account_id": bot["id"] });
    let (_, _, made) = app.post(KEYS, &app.key, &ask).await;
    let clear = text(&made["api_key"]);
    assert_eq!(made["secret"]["roles"], json!(["all_reader"]), "a key inherits its owner's roles");
    let (_, _, owner) = app.get("/v1/users/me", &clear).await;
    assert_eq!(owner["id"], bot["id"]);
    let wide = json!({ "name": "k", "type": "private_key", "service_account_id": bot["id"],
        "roles": ["all_writer"] });
    assert_eq!(app.post(KEYS, &app.key, &wide).await.0, 403);
    let path = format!("/v1/users/{}", text(&bot["id"]));
    let roles = json!({ "roles": ["event_reader"] });
    let (_, _, changed) = app.put(&format!("{path}/roles"), &app.key, &roles).await;
    assert_eq!(changed["roles"], json!(["event_reader"]));
    let (_, _, found) = app.post("/v1/users/search", &app.key, &json!({})).await;
    assert_eq!(found["pagination"]["total"], 2);
    assert_eq!(app.delete(&path, &app.other_key).await.0, 404);
    assert_eq!(app.delete(&path, &app.key).await.0, 204);
    assert_eq!(app.get("/v1/users/me", &clear).await.0, 401);
    let (_, _, roles) = app.get("/v1/rbac/roles", &app.key).await;
    assert_eq!(roles["roles"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn the_audit_log_is_read_page_by_page() {
    let app = TestApp::start().await;
    for name in ["a", "b", "c"] {
        app.put("/v1/tenants/update", &app.key, &json!({ "name": name })).await;
    }
    let search = json!({ "limit": 2, "action": "tenant.updated" });
    let (_, _, first) = app.post("/v1/activity", &app.key, &search).await;
    assert_eq!(first["has_more"], true);
    assert_eq!(first["data"][0]["state"]["after"]["name"], "c");
    let next = json!({ "limit": 2, "cursor": first["next_cursor"] });
    let (_, _, second) = app.post("/v1/activity", &app.key, &next).await;
    assert_eq!(second["data"].as_array().unwrap().len(), 1);
    assert_eq!(second["next_cursor"], Value::Null);
    let path = format!("/v1/activity/{}", text(&second["data"][0]["id"]));
    let (status, _, row) = app.get(&path, &app.key).await;
    assert_eq!((status, &row["state"]["before"]["name"]), (200, &json!("First")));
    assert_eq!(app.get(&path, &app.other_key).await.0, 404);
}
