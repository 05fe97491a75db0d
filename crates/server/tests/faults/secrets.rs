//! What is secret stays so: the loudest log that there is, and every answer that lists things, are
//! read for keys, tokens, secrets, prompts and card numbers that the server was given or made.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use fakes::provider::{Provider, Settings};
use fakes::sink::Sink;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{KEY, Server};

const SEAL_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const PROVIDER_KEY: &str = "sk-of-the-provider-4711";
const HEADER: &str = "header-value-0815";
const CARD: &str = "4242424242424242";
const PROMPT: &str = "my-words-are-nobody-elses";
const WRONG_KEY: &str = "fbx_test_sk_WrongWrongWrongWrongWrongWrongWrong0000";

struct Asker {
    client: reqwest::Client,
    base: String,
}

impl Asker {
    async fn send(&self, call: &str, key: &str, body: Option<&Value>) -> (u16, String) {
        let (method, path) = call.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        request = request.header("x-api-key", key).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// A success, as JSON.
    async fn made(&self, call: &str, key: &str, body: Value) -> Value {
        let (status, text) = self.send(call, key, Some(&body)).await;
        assert!((200..300).contains(&status), "{call}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// A server that says everything it can, into a file.
fn loud(folder: &Path, log: &Path) -> Server {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(env!("CARGO_BIN_EXE_farebox"))
        .arg("serve")
        .env("FAREBOX_LISTEN", format!("127.0.0.1:{port}"))
        .env("FAREBOX_DATA_DIR", folder)
        .env("FAREBOX_API_KEY", KEY)
        .env("FAREBOX_LOG", "trace")
        .env("FAREBOX_ENCRYPTION_KEY", SEAL_KEY)
        .env("FAREBOX_ALLOW_PRIVATE_TARGETS", "127.0.0.0/8")
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap())
        .spawn()
        .unwrap();
    Server { child, base: format!("http://127.0.0.1:{port}") }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Makes one of everything that has a secret, and returns all of them.
async fn make(ask: &Asker, provider: &str, hook: &str) -> (String, String, Vec<String>) {
    let key = ask
        .made(
            "POST /v1/secrets/api/keys",
            KEY,
            json!({ "name": "second",
        "type": "private_key", "roles": ["super_admin"] }),
        )
        .await;
    let paywall = ask
        .made(
            "POST /v1/paywalls",
            KEY,
            json!({ "name": "Wall", "currency": "USD",
        "privacy": { "storePrompts": true } }),
        )
        .await;
    let (id, first) = (text(&paywall["id"]), text(&paywall["apiKey"]));
    let rotated = ask.made(&format!("POST /v1/paywalls/{id}/secret/rotate"), KEY, json!({})).await;
    let wall_key = text(&rotated["apiKey"]);
    let connection = json!({ "kind": "fake", "baseUrl": provider, "key": PROVIDER_KEY,
        "headers": { "x-auth-token": HEADER } });
    ask.made(&format!("PUT /v1/paywalls/{id}/providers/main"), KEY, connection).await;
    let endpoint = ask
        .made(
            "POST /v1/webhooks/endpoints",
            KEY,
            json!({ "url": hook,
        "types": ["*"], "custom_headers": { "X-Auth-Token": HEADER } }),
        )
        .await;
    let subscription = ask
        .made("POST /v1/webhooks/subscriptions", &wall_key, json!({ "url": hook, "events": ["*"] }))
        .await;
    let secrets = vec![
        text(&key["api_key"]),
        first,
        wall_key.clone(),
        text(&endpoint["secret"]),
        text(&subscription["subscription"]["secret"]),
    ];
    (id, wall_key, secrets)
}

/// Calls that carry secrets to where they might be written down: right ones and wrong ones.
async fn use_them(ask: &Asker, wall_key: &str) {
    let chat = |stream: bool, model: &str| {
        json!({ "model": model, "user": "ann", "stream": stream, "max_tokens": 20,
            "messages": [{ "role": "user", "content": format!("[echo] {PROMPT} {CARD}") }] })
    };
    let deposit = json!({ "user": "ann", "amount": "5" });
    ask.made("POST /v1/user/balance/deposit", wall_key, deposit).await;
    for (stream, model) in [(false, "gpt-test"), (true, "gpt-test"), (false, "unknown-model")] {
        ask.send("POST /v1/chat/completions", wall_key, Some(&chat(stream, model))).await;
    }
    ask.send("POST /v1/chat/completions", WRONG_KEY, Some(&chat(false, "gpt-test"))).await;
    ask.send("GET /v1/wallets", WRONG_KEY, None).await;
    ask.send(&format!("GET /v1/wallets?api_key={KEY}&card={CARD}"), KEY, None).await;
    ask.send(&format!("GET /v1/customers/external/{CARD}"), KEY, None).await;
    ask.send(&format!("GET /nowhere/{CARD}"), KEY, None).await;
    let wrong = json!({ "kind": CARD, "baseUrl": "no address", "key": PROVIDER_KEY });
    ask.send("POST /v1/wallets", KEY, Some(&wrong)).await;
    let charge = json!({ "user": "ann", "amount": "0.5" });
    ask.made("POST /v1/user/charge", wall_key, charge).await;
}

/// Every secret that the text has in it.
fn found(text: &str, secrets: &[String]) -> Vec<String> {
    secrets.iter().filter(|secret| text.contains(secret.as_str())).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_secret_prompt_or_card_number_is_in_any_log_line_or_listing_or_event() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let provider = Provider::start(at, Settings::default()).await.unwrap();
    let sink = Sink::start(at, fakes::sink::Settings::default()).await.unwrap();
    let server = loud(&folder.path().join("data"), &log);
    let ask = Asker { client: testkit::http_client(), base: server.base.clone() };
    server.ready(&ask.client).await;
    let (wall, wall_key, mut secrets) = make(&ask, &provider.base_url(), &sink.url("/ok")).await;
    use_them(&ask, &wall_key).await;
    let always = [KEY, SEAL_KEY, PROVIDER_KEY, HEADER, WRONG_KEY];
    secrets.extend(always.map(str::to_owned));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    for (call, key) in [
        ("GET /v1/secrets/api/keys".to_owned(), KEY),
        ("GET /v1/paywalls".to_owned(), KEY),
        (format!("GET /v1/paywalls/{wall}"), KEY),
        (format!("GET /v1/paywalls/{wall}/providers"), KEY),
        (format!("GET /v1/paywalls/{wall}/requests"), KEY),
        ("GET /v1/webhooks/endpoints".to_owned(), KEY),
        ("GET /v1/webhooks/subscriptions".to_owned(), &wall_key),
        ("GET /v1/webhooks/deliveries?limit=100".to_owned(), KEY),
        ("GET /v1/webhooks/events?after=start&limit=1000".to_owned(), KEY),
        ("POST /v1/activity".to_owned(), KEY),
        ("GET /metrics".to_owned(), KEY),
    ] {
        let body = call.starts_with("POST").then(|| json!({ "limit": 100 }));
        let (status, text) = ask.send(&call, key, body.as_ref()).await;
        assert_eq!(status, 200, "{call}: {text}");
        assert_eq!(found(&text, &secrets), Vec::<String>::new(), "{call}: {text}");
    }
    for received in sink.received() {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        assert_eq!(found(&body, &secrets), Vec::<String>::new(), "{body}");
        assert!(!body.contains(PROMPT), "{body}");
    }
    assert!(!sink.received().is_empty());
    server.kill();
    secrets.extend([CARD, PROMPT].map(str::to_owned));
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.lines().count() > 20, "the log is no log: {said}");
    for line in said.lines() {
        assert_eq!(found(line, &secrets), Vec::<String>::new(), "{line}");
    }
}
