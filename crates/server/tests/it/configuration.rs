//! What an owner configures for the proxy: settings, trial credit, providers, prices, models.

mod models;
mod prices;
mod providers;
mod sections;
mod trials;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Reply, TestApp};

/// A paywall of the first tenant, as its owner sees it.
struct Owned {
    app: TestApp,
    id: String,
    key: String,
}

impl Owned {
    async fn start() -> Owned {
        Owned::with(&json!({})).await
    }

    async fn with(extra: &Value) -> Owned {
        let app = TestApp::start().await;
        let mut body = json!({ "name": "Chat", "currency": "USD" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (status, _, made) = app.post("/v1/paywalls", &app.key, &body).await;
        assert_eq!(status, 201, "{made}");
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Owned { id: text("id"), key: text("apiKey"), app }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/paywalls/{}{rest}", self.id)
    }

    async fn get(&self, rest: &str) -> Value {
        let (status, _, body) = self.app.get(&self.path(rest), &self.app.key).await;
        assert_eq!(status, 200, "{rest}: {body}");
        body
    }

    async fn put(&self, rest: &str, body: &Value) -> Reply {
        self.app.put(&self.path(rest), &self.app.key, body).await
    }

    async fn post(&self, rest: &str, body: &Value) -> Reply {
        self.app.post(&self.path(rest), &self.app.key, body).await
    }

    async fn patch(&self, body: &Value) -> Reply {
        self.app.patch(&self.path(""), &self.app.key, body).await
    }

    /// `changedFields` of the events that were told since `seen` events.
    fn changes(&self, seen: usize) -> Vec<Value> {
        let told = self.app.events().split_off(seen);
        let updated = told.into_iter().filter(|(name, _)| name == "paywall.updated");
        updated.map(|(_, body)| body["data"]["changedFields"].clone()).collect()
    }

    /// Another tenant finds nothing at any of these.
    async fn hidden_from_others(&self, routes: &[(Method, &str)]) {
        for (method, rest) in routes {
            let body = (method != Method::GET).then(|| b"{}".to_vec());
            let key = &self.app.other_key;
            let sent = self.app.send(method.clone(), &self.path(rest), key, &[], body).await;
            assert_eq!(sent.0, 404, "{method} {rest}: {}", sent.2);
            // A paywall's key opens none of them either.
            let sent = self.app.send(method.clone(), &self.path(rest), &self.key, &[], None).await;
            assert_eq!(sent.0, 401, "{method} {rest}: {}", sent.2);
        }
    }
}

/// `(status, code, param)` of a refusal.
fn refused(reply: &Reply) -> (u16, &str, &str) {
    let text = |name: &str| reply.2[name].as_str().unwrap_or_default();
    (reply.0, text("code"), text("param"))
}
