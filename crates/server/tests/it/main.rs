//! Black-box tests of the whole server over HTTP, one binary; a file a part of the product.
#![expect(
    clippy::unwrap_used,
    clippy::similar_names,
    reason = "a test stops at the first surprise, and its paths and patches are alike"
)]

mod access;
mod answers;
mod billing;
mod books;
mod clock;
mod configuration;
mod dashboard;
mod fuzz;
mod harness;
mod limits;
mod operations;
mod pages;
mod paywalls;
mod portal;
mod proof;
mod proxy;
mod refunds;
mod strangers;
mod webhooks;
mod world;

use domain::scope::Cause;
use serde_json::json;
use testkit::TestApp;

/// The key of a new paywall of the first tenant.
async fn paywall_key(app: &TestApp) -> String {
    let body = json!({ "name": "Demo", "currency": "USD" });
    let made = app.engine.create_paywall(app.scope, Cause::schedule(), body).await.unwrap();
    made.api_key
}
mod keys;
