//! What operators and readers of the docs ask: health, metrics, the document, the page.

use serde_json::json;
use testkit::TestApp;

#[tokio::test]
async fn health_routes_need_no_key_and_hold_no_tenants_data() {
    let app = TestApp::start().await;
    let client = reqwest::Client::new();
    for path in ["/livez", "/readyz", "/health"] {
        let answer = client.get(format!("{}{path}", app.base)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["status"], "ok", "{path}");
    }
    let posted = client.post(format!("{}/health", app.base)).send().await.unwrap();
    assert_eq!(posted.status(), 200);
    app.get("/v1/nowhere", &app.key).await;
    app.get("/v1/test-clock", "an unknown key").await;
    let text = client.get(format!("{}/metrics", app.base)).send().await.unwrap();
    let text = text.text().await.unwrap();
    let clock = "surface=\"billing\",route=\"GET /v1/test-clock\",status=\"401\"} 1";
    assert!(text.contains(clock), "{text}");
    assert!(text.contains("farebox_refusals_total{reason=\"unauthorized\"} 1"), "{text}");
    assert!(!text.contains(&app.scope.tenant.to_string()));
}

#[tokio::test]
async fn the_ledger_and_the_ends_of_holds_are_counted() {
    let app = TestApp::start().await;
    let key = crate::paywall_key(&app).await;
    let post = async |path: &str, body: serde_json::Value| {
        let (status, _, answer) = app.post(path, &key, &body).await;
        assert!(status < 300, "{path}: {answer}");
        answer["id"].as_str().unwrap_or_default().to_owned()
    };
    post("/v1/user/balance/deposit", json!({ "user": "ann", "amount": "9" })).await;
    for end in ["capture", "release"] {
        let id = post("/v1/user/holds", json!({ "user": "ann", "amount": "2" })).await;
        post(&format!("/v1/user/holds/{id}/{end}"), json!({})).await;
    }
    for _ in 0..2 {
        let text = reqwest::get(format!("{}/metrics", app.base)).await.unwrap();
        let text = text.text().await.unwrap();
        for line in [
            "farebox_ledger_entries_total{kind=\"credit\",currency=\"USD\"} 1",
            "farebox_ledger_entries_total{kind=\"hold\",currency=\"USD\"} 2",
            "farebox_holds_closed_total{outcome=\"captured\"} 1",
            "farebox_holds_closed_total{outcome=\"released\"} 1",
            "farebox_invariant_violations_total{rule=\"balance\"} 0",
            "farebox_holds_open 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}

#[tokio::test]
async fn the_docs_page_names_every_call_and_runs_nothing() {
    let app = TestApp::start().await;
    let answer = reqwest::get(format!("{}/docs", app.base)).await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let page = answer.text().await.unwrap();
    for route in &server::http::routes().all {
        assert!(page.contains(route.doc.summary.split('\'').next().unwrap()), "{}", route.path);
    }
    assert!(!page.contains("<script"));
}

#[test]
fn the_checked_in_document_is_the_one_that_is_served() {
    let made = server::http::spec::document_text(&server::http::routes());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept.trim_end() == made.trim_end(),
        "openapi.json is not what the routes declare; look at the difference and keep it with\n    \
         cargo run -- openapi > openapi.json"
    );
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = server::http::spec::document(&server::http::routes());
    let text = document.to_string();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not there");
    }
}
