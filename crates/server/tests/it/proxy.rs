//! The paywalled proxy, against a provider that misbehaves on demand.

mod blocked;
mod channels;
mod count_tokens;
mod custom_response;
mod failures;
mod leases;
mod leaving;
mod parallel;
mod plain;
mod prompts;
mod protocol;
mod refunds;
mod replay;
mod shutdown;
mod stopped;
mod streams;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fakes::provider::{Provider, Received, Settings};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use testkit::{TestApp, http_client};

const CHAT: &str = "/v1/chat/completions";
/// Costs 1 USD for a million tokens in, and 2 for a million out.
const MODEL: &str = "gpt-test";

/// A paywall with a provider behind it, and a user with money.
struct Wall {
    app: TestApp,
    provider: Provider,
    id: String,
    key: String,
    client: reqwest::Client,
}

impl Wall {
    async fn start() -> Wall {
        Wall::with(&json!({})).await
    }

    async fn with(extra: &Value) -> Wall {
        let app = TestApp::start().await;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let provider = Provider::start(at, Settings::default()).await.unwrap();
        let mut body = json!({ "name": "Chat", "currency": "USD" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (status, _, made) = app.post("/v1/paywalls", &app.key, &body).await;
        assert_eq!(status, 201, "{made}");
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let (id, key) = (text("id"), text("apiKey"));
        let wall = Wall { app, provider, id, key, client: http_client() };
        wall.connect(&wall.provider.base_url()).await;
        wall
    }

    async fn connect(&self, base_url: &str) {
        let path = format!("/v1/paywalls/{}/providers/main", self.id);
        let body = json!({ "kind": "fake", "baseUrl": base_url, "key": "sk-of-the-provider" });
        let (status, _, answer) = self.app.put(&path, &self.app.key, &body).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn deposit(&self, user: &str, amount: &str) {
        let body = json!({ "user": user, "amount": amount });
        let (status, _, answer) = self.app.post("/v1/user/balance/deposit", &self.key, &body).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Units of the user's balance, and of what is held of it.
    async fn balance(&self, user: &str) -> (i64, i64) {
        let path = format!("/v1/user/balance?user={user}");
        let (status, _, body) = self.app.get(&path, &self.key).await;
        assert_eq!(status, 200, "{body}");
        let units = |name: &str| body[name].as_str().unwrap().parse().unwrap();
        (units("balance"), units("held"))
    }

    fn request(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let url = format!("{}{path}", self.app.base);
        let request = self.client.request(Method::POST, url).bearer_auth(&self.key);
        request.header("content-type", "application/json").body(body)
    }

    async fn send(&self, body: &Value) -> Response {
        self.request(CHAT, body.to_string()).send().await.unwrap()
    }

    /// A chat of the user `ann`; the answer's body as text.
    async fn chat(&self, prompt: &str, extra: &Value) -> Got {
        Got::of(self.send(&chat(prompt, extra)).await).await
    }

    fn last_received(&self) -> Received {
        self.provider.received().pop().unwrap()
    }

    /// Names of the events of proxied requests so far, without `paywall.`.
    fn told(&self) -> Vec<String> {
        let names = self.app.events().into_iter().map(|(name, _)| name);
        let ours = ["proxy.", "usage.", "request.", "balance.depleted", "balance.topup"];
        let names = names.filter_map(|name| name.strip_prefix("paywall.").map(str::to_owned));
        names.filter(|name| ours.iter().any(|our| name.starts_with(our))).collect()
    }

    /// The newest event of this type.
    fn event(&self, name: &str) -> Value {
        let named = |(other, _): &(String, Value)| other == name;
        let body = self.app.events().into_iter().rfind(named).unwrap().1;
        body.get("data").cloned().unwrap_or(body)
    }

    /// Waits until every request has had its end and nothing is held, and counts the ends.
    async fn settled(&self) -> BTreeMap<String, usize> {
        for _ in 0..400 {
            let (ends, open) = self.ends();
            if open == 0 && self.balance("ann").await.1 == 0 {
                return ends;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let (ends, open) = self.ends();
        assert_eq!(open, 0, "not settled: {:?}", self.told());
        ends
    }

    /// How often each terminal event was told; and how many requests have none.
    fn ends(&self) -> (BTreeMap<String, usize>, usize) {
        let (mut ends, mut started, mut closed) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, body) in self.app.events() {
            let Some(name) = name.strip_prefix("paywall.proxy.request.") else { continue };
            let request = find(&body, "requestId").unwrap();
            if name == "started" {
                started.push(request);
                continue;
            }
            assert!(started.contains(&request), "{name} without a start");
            assert!(!closed.contains(&request), "a second end: {name}");
            closed.push(request);
            *ends.entry(name.to_owned()).or_default() += 1;
        }
        (ends, started.len() - closed.len())
    }
}

/// The first member of this name, however deep.
fn find(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(map) => match map.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => map.values().find_map(|value| find(value, name)),
        },
        Value::Array(list) => list.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

fn chat(prompt: &str, extra: &Value) -> Value {
    let mut body = json!({ "model": MODEL, "user": "ann",
        "messages": [{ "role": "user", "content": prompt }] });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// A whole answer.
struct Got {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
    /// The body broke off.
    broken: bool,
}

impl Got {
    async fn of(mut answer: Response) -> Got {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let (mut bytes, mut broken) = (Vec::new(), false);
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        Got { status, headers, text: String::from_utf8(bytes).unwrap(), broken }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of an error.
    fn error(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The JSON of each event of a stream.
    fn chunks(&self) -> Vec<Value> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("data:"));
        let json = lines.map(str::trim).filter(|data| *data != "[DONE]");
        json.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The words of a stream, joined.
    fn words(&self) -> String {
        let chunks = self.chunks();
        let text =
            |chunk: &Value| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
        chunks.iter().filter_map(text).collect()
    }

    /// What the comment before the last line tells.
    fn comment(&self) -> Value {
        let line = self.text.lines().rev().find_map(|line| line.strip_prefix(": paywall "));
        serde_json::from_str(line.unwrap_or("null")).unwrap()
    }

    fn is_done(&self) -> bool {
        let last = self.text.trim_end().lines().last().unwrap_or_default();
        last.strip_prefix("data:").is_some_and(|data| data.trim() == "[DONE]")
    }
}
