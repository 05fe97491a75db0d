//! What the dashboard's pages let people do, a file a section: who may, that what is refused
//! changes nothing, and that what others wrote stays text.

mod portal;
mod requests;
mod settings;
mod wallets;
mod webhooks;

use domain::percent;
use serde_json::{Value, json};
use testkit::TestApp;

use crate::dashboard::{HOSTILE, Person, text, wallet};

/// An endpoint of the environment of a key.
async fn endpoint(app: &TestApp, key: &str) -> String {
    let body = json!({
        "url": "http://127.0.0.1:9/hooks", "types": ["*"], "description": HOSTILE,
    });
    let (status, _, made) = app.post("/v1/webhooks/endpoints", key, &body).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id")
}

/// Whether the page names hostile text as text, and runs none of it.
fn is_tame(page: &str) -> bool {
    page.contains("&lt;script&gt;window.hacked")
        && !page.contains("<script>window")
        && !page.contains("<img src=x")
        && !page.contains(" style=\"")
}
