//! The harness itself: it starts, lets in who has a key and nobody else.

use testkit::TestApp;

#[tokio::test]
async fn a_server_starts_and_answers() {
    let app = TestApp::start().await;
    let (status, headers, body) = app.get("/livez", "").await;
    assert_eq!((status, body["status"].as_str()), (200, Some("ok")));
    assert!(headers.contains_key("x-request-id"));
    assert_ne!(app.scope.tenant, app.other_scope.tenant);
    assert!(app.events().is_empty());
}
