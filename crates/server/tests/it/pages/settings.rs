//! Settings by their fields.

use super::*;

/// Names and values of a form.
type Pairs = &'static [(&'static str, &'static str)];

async fn value(app: &TestApp, name: &str) -> Value {
    let (status, _, found) = app.get(&format!("/v1/settings/{name}"), &app.key).await;
    assert_eq!(status, 200, "{found}");
    found
}

#[tokio::test]
async fn each_setting_is_saved_by_its_fields_and_goes_back_to_its_default() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let table: [(&str, Pairs, Value); 5] = [
        (
            "wallet_balance_alert_config",
            &[
                ("alert_enabled", "on"),
                ("alert_threshold_type", "percentage"),
                ("condition", "below"),
                ("critical", "10"),
                ("warning", "25"),
            ],
            json!({ "alert_enabled": true, "alert_threshold_type": "percentage",
                "critical": { "threshold": "10", "condition": "below" },
                "warning": { "threshold": "25", "condition": "below" } }),
        ),
        (
            "bonus_credits_topup_config",
            &[
                ("enabled", "on"),
                ("slabs-1-threshold", "100"),
                ("slabs-1-bonus-type", "percentage"),
                ("slabs-1-bonus-value", "10"),
            ],
            json!({ "enabled": true, "slabs": [{ "threshold": "100", "operator": "gte",
                "bonus": { "type": "percentage", "value": "10" } }] }),
        ),
        (
            "tenant_config",
            &[("production", "3"), ("development", "4"), ("max_users", "")],
            json!({ "production": 3, "development": 4, "max_users": 10 }),
        ),
        (
            "credit_expiry_config",
            &[("invoice_grace_seconds", "0"), ("notice_days", "30, 7")],
            json!({ "invoice_grace_seconds": 0, "notice_days": [30, 7] }),
        ),
        ("customer_portal_config", &[("allow_top_up", "on")], json!(true)),
    ];
    for (name, pairs, expected) in table {
        let path = format!("/settings/values/{name}");
        assert!(person.page("/settings").await.contains(&path), "{name}");
        assert!(person.page(&path).await.contains("As JSON"), "{name}");
        assert_eq!(person.post(&path, pairs).await.status(), 303, "{name}");
        let found = value(&app, name).await;
        let seen = if expected == true { &found["value"]["allow_top_up"] } else { &found["value"] };
        assert_eq!(*seen, expected, "{name}");
        assert_eq!(person.post(&format!("{path}/reset"), &[]).await.status(), 303, "{name}");
        assert_eq!(value(&app, name).await["is_default"], true, "{name}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_beside_its_field_and_nothing_is_saved() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let table: [(&str, Pairs, &str, &str); 5] = [
        ("tenant_config", &[("production", "many")], "production", "Must be a whole number"),
        ("credit_expiry_config", &[("notice_days", "7, 7")], "notice_days", "Stands there twice"),
        (
            "wallet_balance_alert_config",
            &[
                ("alert_enabled", "on"),
                ("alert_threshold_type", "absolute"),
                ("condition", "below"),
                ("critical", "30"),
                ("warning", "20"),
            ],
            "warning",
            "Is on the wrong side",
        ),
        (
            "bonus_credits_topup_config",
            &[
                ("slabs-0-threshold", "-1"),
                ("slabs-0-bonus-type", "flat"),
                ("slabs-0-bonus-value", "5"),
            ],
            "slabs-0-threshold",
            "Must not be below zero",
        ),
        ("tenant_config", &[("max_users", HOSTILE)], "max_users", "&lt;script&gt;window"),
    ];
    for (name, pairs, field, words) in table {
        let path = format!("/settings/values/{name}");
        let shown = person.post(&path, pairs).await.text().await.unwrap();
        let problem = format!("aria-invalid=\"true\" aria-describedby=\"{field}-help\"");
        assert!(shown.contains(&problem) && shown.contains(words), "{field}: {shown}");
        assert!(shown.contains("Nothing was saved") && !shown.contains("<script>window"));
        assert_eq!(value(&app, name).await["is_default"], true, "{name}");
    }
}

#[tokio::test]
async fn the_raw_json_is_taken_too_and_what_is_none_is_refused_in_words() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let path = "/settings/values/tenant_config";
    let given = [("json", "{\"max_users\": 3}")];
    assert_eq!(person.post(path, &given).await.status(), 303);
    assert_eq!(value(&app, "tenant_config").await["value"]["max_users"], 3);
    for (json, words) in [("{", "no JSON"), ("{\"max\": 1}", "not a field of this setting")] {
        let shown = person.post(path, &[("json", json)]).await.text().await.unwrap();
        assert!(shown.contains(words) && shown.contains("role=\"alert\""), "{shown}");
    }
}

#[tokio::test]
async fn a_reader_sees_settings_and_changes_none() {
    let app = TestApp::start().await;
    Person::first(&app).await;
    let reader = Person::reader(&app).await;
    let path = "/settings/values/tenant_config";
    let page = reader.page(path).await;
    assert!(page.contains("<fieldset disabled>") && !page.contains(">Save<"), "{page}");
    for path in [path.to_owned(), format!("{path}/reset")] {
        assert_eq!(reader.post(&path, &[("production", "9")]).await.status(), 403);
    }
    assert_eq!(reader.get("/settings/values/nonsense").await.status(), 404);
    assert_eq!(value(&app, "tenant_config").await["is_default"], true);
}
