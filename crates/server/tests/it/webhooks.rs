//! Webhooks end to end: receivers that misbehave, order, pauses, clocks, the feed, crashes.

mod backlog;
mod bounds;
mod channels;
mod health;
mod moody;
mod operational;

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::customer::NewCustomer;
use domain::scope::{Cause, Scope};
use domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};
use domain::webhook::address::AllowList;
use domain::webhook::channel::Channels;
use domain::webhook::signature::sign_body_hex;
use engine::Engine;
use engine::ports::{Attempt, Request, WebhookPort};
use engine::steps::deliver::Deliverer;
use fakes::sink::{Settings as SinkSettings, Signature, Sink};
use serde_json::{Value, json};
use server::ports::webhook_client::GuardedClient;
use testkit::TestApp;
use tokio::sync::mpsc;

use crate::paywall_key;

mod replay;
mod retention;
mod rotation;

/// Later than the world's time: no clock runs back.
const NOON: i64 = 2_000_000_000_000;

/// A server whose clock stands, a receiver, and a sender that is drained by hand.
struct Stage {
    app: TestApp,
    sink: Sink,
    deliverer: Deliverer,
}

fn loopback() -> AllowList {
    AllowList { allow: vec!["127.0.0.0/8".parse().unwrap()], ..AllowList::default() }
}

async fn stage() -> Stage {
    let app = TestApp::start().await;
    app.stand_at(Timestamp::from_millis(NOON));
    let at = "127.0.0.1:0".parse().unwrap();
    let sink = Sink::start(at, SinkSettings::default()).await.unwrap();
    let port = Arc::new(GuardedClient::new(loopback()));
    let deliverer = Deliverer::start(app.engine.clone(), port);
    Stage { app, sink, deliverer }
}

impl Stage {
    /// An endpoint of the sink; `more` is merged into the body. Returns the answer.
    async fn endpoint(&self, path: &str, types: &[&str], more: Value) -> Value {
        let mut body = json!({ "url": self.sink.url(path), "types": types });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, _, made) = self.post("/v1/webhooks/endpoints", &body).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    async fn post(&self, path: &str, body: &Value) -> testkit::Reply {
        self.app.post(path, &self.app.key, body).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, _, body) = self.app.get(path, &self.app.key).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn customer(&self, name: &str) {
        customer(&self.app.engine, self.app.scope, name).await;
    }

    async fn drain(&self) {
        let scope = self.app.scope;
        let now = self.app.engine.now(&scope);
        let drained = self.deliverer.drain_due(scope, now);
        tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap();
    }

    async fn move_by(&self, ms: i64) {
        let now = self.app.engine.now(&self.app.scope);
        self.app.stand_at(now.plus_ms(ms));
        self.drain().await;
    }

    /// Deliveries of an endpoint, oldest first.
    async fn deliveries(&self, endpoint: &Value) -> Vec<Value> {
        let id = endpoint["id"].as_str().unwrap();
        let list = self.get(&format!("/v1/webhooks/deliveries?limit=100&endpoint_id={id}")).await;
        let mut all = list["data"].as_array().unwrap().clone();
        all.reverse();
        all
    }

    fn bodies(&self) -> Vec<Value> {
        let received = self.sink.received();
        received.iter().map(|one| serde_json::from_slice(&one.body).unwrap()).collect()
    }
}

async fn customer(engine: &Engine, scope: Scope, name: &str) {
    let new = NewCustomer::named(name);
    let work = move |tx: &mut store::Tx<'_>| {
        engine::customers::create(tx, &Cause::schedule(), new.clone()).map(drop)
    };
    engine.change(scope, work).await.unwrap();
}

fn time(value: &Value) -> i64 {
    Timestamp::parse(value.as_str().unwrap()).unwrap().millis()
}

#[tokio::test]
async fn every_answer_has_its_documented_result_and_next_wait() {
    let stage = stage().await;
    // (path, result, seconds until the next attempt, without jitter)
    let table = [
        ("/ok", "delivered", None),
        ("/fail/500", "http_error", Some(5)),
        ("/fail/404", "http_error", Some(5)),
        ("/fail/304", "http_error", Some(5)),
        ("/fail/429", "http_error", Some(60)),
        ("/fail/502", "http_error", Some(60)),
        ("/gone", "gone", None),
        ("/redirect", "redirect_refused", Some(5)),
        ("/retry-after/7", "http_error", Some(60)),
        ("/retry-after/300", "http_error", Some(300)),
        ("/retry-after/-1", "http_error", Some(60)),
        ("/hang", "timeout", Some(60)),
        ("/slow-loris", "timeout", Some(60)),
        ("/drip", "timeout_body", Some(60)),
        ("/endless", "delivered", None),
        ("/lie-length", "connection_lost", Some(5)),
        ("/close", "connection_lost", Some(5)),
        ("/many-headers", "bad_response", Some(5)),
        ("/garbage", "bad_response", Some(5)),
    ];
    let mut endpoints = Vec::new();
    for (path, ..) in table {
        let more = json!({ "timeout_seconds": 1 });
        endpoints.push(stage.endpoint(path, &["customer.created"], more).await);
    }
    stage.customer("one").await;
    stage.drain().await;
    for ((path, result, wait_s), endpoint) in table.into_iter().zip(&endpoints) {
        let all = stage.deliveries(endpoint).await;
        assert_eq!(all.len(), 1, "{path}");
        assert_eq!(
            (&all[0]["last_result"], &all[0]["attempts"]),
            (&json!(result), &json!(1)),
            "{path}"
        );
        match wait_s {
            None => assert_eq!(all[0]["next_attempt_at"], Value::Null, "{path}"),
            Some(wait_s) => {
                let wait_ms = time(&all[0]["next_attempt_at"]) - NOON;
                let least = wait_s * 1_000;
                assert!((least..=least * 6 / 5).contains(&wait_ms), "{path}: {wait_ms}");
                assert_eq!(all[0]["waiting_for"], "schedule", "{path}");
            }
        }
    }
    let gone = endpoints[6]["id"].as_str().unwrap();
    let gone = stage.get(&format!("/v1/webhooks/endpoints/{gone}")).await;
    assert_eq!((&gone["state"], &gone["state_reason"]), (&json!("disabled"), &json!("gone")));
}

#[tokio::test]
async fn a_failure_holds_back_its_own_order_key_and_nothing_else() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/fail/500", &["customer.*"], json!({})).await;
    let id = endpoint["id"].as_str().unwrap();
    let patch = |n: u8| {
        move |tx: &mut store::Tx<'_>| {
            tx.tell(
                ("customer:same".to_owned(), Channels::default()),
                domain::webhook::catalogue::EventType::CUSTOMER_UPDATED,
                &Cause::schedule(),
                |telling| {
                    domain::event::billing::render(telling, "customer:same", &json!({ "n": n }))
                },
            )?;
            Ok(())
        }
    };
    for n in 1..=4 {
        stage.app.engine.change(stage.app.scope, patch(n)).await.unwrap();
    }
    stage.customer("another").await;
    stage.drain().await;
    assert_eq!(stage.sink.received().len(), 2, "the head of each key, once");
    let all = stage.deliveries(&endpoint).await;
    let waiting: Vec<_> = all.iter().map(|one| one["waiting_for"].clone()).collect();
    assert_eq!(waiting, ["schedule", "order", "order", "order", "schedule"]);
    assert_eq!(all[1]["blocked_by"], all[0]["id"]);

    let path = format!("/v1/webhooks/endpoints/{id}");
    let url = json!({ "url": stage.sink.url("/ok") });
    assert_eq!(stage.app.patch(&path, &stage.app.key, &url).await.0, 200);
    stage.drain().await;
    assert_eq!(stage.sink.received().len(), 2, "nothing is due before its time");
    stage.move_by(6_000).await;
    let sequences: Vec<_> = stage
        .bodies()
        .into_iter()
        .skip(2)
        .filter(|body| body["subject"]["id"] == "same")
        .map(|body| body["sequence"].clone())
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let all = stage.deliveries(&endpoint).await;
    assert!(all.iter().all(|one| one["status"] == "delivered"), "{all:?}");
}

#[tokio::test]
async fn a_pause_holds_everything_and_a_resume_sends_it_in_order() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["*"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
    let paused = stage.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!((paused.0, &paused.2["state"]), (200, &json!("paused")));
    let key = paywall_key(&stage.app).await;
    for _ in 0..5 {
        let body = json!({ "user": "ada", "amount": "1" });
        assert_eq!(stage.app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    }
    stage.drain().await;
    assert!(stage.sink.received().is_empty());
    let all = stage.deliveries(&endpoint).await;
    assert!(all.iter().all(|one| one["status"] == "parked"), "{all:?}");
    let refused = format!("/v1/webhooks/deliveries/{}/redeliver", all[0]["id"].as_str().unwrap());
    let refused = stage.post(&refused, &json!({})).await;
    assert_eq!((refused.0, &refused.2["code"]), (409, &json!("endpoint_paused")));

    assert_eq!(stage.post(&format!("{path}/resume"), &json!({})).await.0, 200);
    stage.drain().await;
    let of_wallet: Vec<_> = stage
        .bodies()
        .into_iter()
        .filter(|body| body["subject"]["type"] == "wallet")
        .map(|body| body["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(of_wallet, (1..=6).collect::<Vec<_>>(), "opened, and five credits");
}

#[tokio::test]
async fn an_event_is_sent_again_under_the_same_id() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["customer.created"], json!({})).await;
    stage.customer("one").await;
    stage.drain().await;
    let delivery = stage.deliveries(&endpoint).await.remove(0);
    let path = format!("/v1/webhooks/deliveries/{}", delivery["id"].as_str().unwrap());
    let again = stage.post(&format!("{path}/redeliver"), &json!({})).await;
    assert_eq!((again.0, &again.2["delivery_id"]), (202, &delivery["id"]));
    stage.drain().await;
    let received = stage.sink.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body, "billing bodies never change");
    assert_eq!(received[1].header("webhook-attempt"), Some("2"));
    let attempts = stage.get(&format!("{path}/attempts")).await;
    let triggers: Vec<_> =
        attempts["data"].as_array().unwrap().iter().map(|one| one["trigger"].clone()).collect();
    assert_eq!(triggers, ["manual", "schedule"]);

    let event = delivery["event_id"].clone();
    let retried = stage.post("/v1/webhooks/retry", &json!({ "ids": [event] })).await;
    assert_eq!((retried.0, &retried.2["queued"]), (200, &json!(1)), "{}", retried.2);
    stage.drain().await;
    assert_eq!(stage.sink.received().len(), 3);
}

#[tokio::test]
async fn retries_follow_the_environments_clock() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/fail/500", &["customer.created"], json!({})).await;
    stage.customer("one").await;
    stage.drain().await;
    let (engine, scope) = (&stage.app.engine, stage.app.scope);
    for (by_ms, attempts) in
        [(1_000, 1), (6_000, 2), (MINUTE_MS, 3), (HOUR_MS, 6), (5 * DAY_MS, 12)]
    {
        engine.advance_clock(scope, Cause::schedule(), by_ms).await.unwrap();
        let all = stage.deliveries(&endpoint).await;
        assert_eq!(all[0]["attempts"], attempts, "after {by_ms} ms more");
    }
    let all = stage.deliveries(&endpoint).await;
    assert_eq!(
        (&all[0]["status"], &all[0]["next_attempt_at"]),
        (&json!("exhausted"), &Value::Null)
    );
}

#[tokio::test]
async fn both_kinds_of_receivers_get_their_own_signatures() {
    let stage = stage().await;
    let key = paywall_key(&stage.app).await;
    let endpoint = stage.endpoint("/ok/endpoint", &["*", "paywall.*"], json!({})).await;
    stage.sink.set_secret(endpoint["secret"].as_str().unwrap());
    stage.customer("one").await;
    stage.drain().await;
    let received = stage.sink.received().pop().unwrap();
    assert_eq!(received.signature, Signature::Valid);
    assert_eq!(received.header("svix-signature"), received.header("webhook-signature"));

    let body = json!({ "url": stage.sink.url("/ok/subscription"), "events": ["balance.*"] });
    let (status, _, made) = stage.app.post("/v1/webhooks/subscriptions", &key, &body).await;
    assert_eq!(status, 201, "{made}");
    let made = &made["subscription"];
    assert_eq!(made["events"], json!(["paywall.balance.*"]));
    stage.sink.set_secret(made["secret"].as_str().unwrap());
    let body = json!({ "user": "ada", "amount": "1" });
    assert_eq!(stage.app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    stage.drain().await;
    let all = stage.sink.received();
    let mut of_subscription = all.iter().filter(|one| one.path == "/ok/subscription");
    let one = of_subscription.next().unwrap();
    assert_eq!(one.signature, Signature::Valid);
    let hex = sign_body_hex(made["secret"].as_str().unwrap(), &one.body);
    assert_eq!(one.header("x-paywalls-signature"), Some(hex.as_str()));
    assert_eq!(one.header("x-paywalls-event"), Some("paywall.balance.deposit.created@2024-05-01"));
    let bearer = format!("Bearer {}", made["bearerToken"].as_str().unwrap());
    assert_eq!(one.header("authorization"), Some(bearer.as_str()));
    assert_eq!(one.header("svix-id"), None);
    let (_, _, logs) = stage.app.get("/v1/webhooks/logs", &key).await;
    let log = &logs["logs"][0];
    assert_eq!((&log["status"], &log["event"]["status"]), (&json!("success"), &json!("success")));
}

#[tokio::test]
async fn a_rotated_secret_signs_alone_and_a_test_is_marked() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["wallet.created"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
    let rotated = stage.post(&format!("{path}/rotate"), &json!({ "overlap_seconds": 0 })).await;
    assert_eq!(rotated.0, 200, "{}", rotated.2);
    assert_ne!(rotated.2["secret"], endpoint["secret"]);
    stage.sink.set_secret(rotated.2["secret"].as_str().unwrap());
    assert_eq!(stage.post(&format!("{path}/disable"), &json!({})).await.0, 200);
    let tested = stage.post(&format!("{path}/test"), &json!({})).await;
    assert_eq!(tested.0, 202, "{}", tested.2);
    stage.drain().await;
    let received = stage.sink.received().pop().unwrap();
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(received.signature, Signature::Valid);
    assert_eq!((&body["test"], &body["event_type"]), (&json!(true), &json!("wallet.created")));
    assert_eq!(
        (&body["sequence"], body["id"].as_str()),
        (&json!(0), received.header("webhook-id"))
    );
    assert!(body["id"].as_str().unwrap().starts_with("evt_test_"));
    let feed = stage.get("/v1/webhooks/events").await;
    let data = feed["data"].as_array().unwrap();
    assert!(data.iter().all(|one| one["family"] == "operational"), "a test is in no feed");
}

#[tokio::test]
async fn every_type_has_a_sample_with_its_name() {
    let stage = stage().await;
    let types = stage.get("/v1/webhooks/types").await;
    for one in types["data"].as_array().unwrap() {
        let (name, sample) = (&one["type"], &one["sample"]);
        let told = if one["family"] == "paywall" { &sample["type"] } else { &sample["event_type"] };
        assert_eq!(told, name);
        let test =
            if one["family"] == "paywall" { &sample["metadata"]["test"] } else { &sample["test"] };
        assert_eq!(test, &json!(true), "{name}");
        assert_eq!(sample["sequence"], 0, "{name}");
        assert!(sample["id"].as_str().unwrap().starts_with("evt_test_"), "{name}");
    }
    let one = stage.get("/v1/webhooks/types/wallet.created").await;
    assert_eq!(one["schema"]["properties"]["wallet"]["type"], "object");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_of_the_feed_sees_every_event_once_while_charges_run() {
    let app = Arc::new(TestApp::start().await);
    let key = paywall_key(&app).await;
    let body = json!({ "user": "ada", "amount": "100" });
    assert_eq!(app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    let charging: Vec<_> = (0..4)
        .map(|_| {
            let (app, key) = (app.clone(), key.clone());
            tokio::spawn(async move {
                for _ in 0..15 {
                    let body = json!({ "user": "ada", "amount": "0.01" });
                    assert_eq!(app.post("/v1/user/charge", &key, &body).await.0, 200);
                }
            })
        })
        .collect();
    let (mut seen, mut after) = (Vec::new(), "start".to_owned());
    loop {
        let done = charging.iter().all(tokio::task::JoinHandle::is_finished);
        let path = format!("/v1/webhooks/events?limit=7&after={after}");
        let (status, _, page) = app.get(&path, &app.key).await;
        assert_eq!(status, 200, "{page}");
        let data = page["data"].as_array().unwrap();
        seen.extend(data.iter().map(|one| one["position"].as_u64().unwrap()));
        after = page["next_cursor"].as_str().unwrap().to_owned();
        if done && data.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    assert_eq!(seen.len(), app.events().len());
    let (_, _, mine) = app.get("/v1/webhooks/events?limit=100", "").await;
    assert_eq!(mine["code"], "unauthorized");
    let headers = [("x-paywall-key", key.as_str())];
    let get = reqwest::Method::GET;
    let (status, _, of_paywall) =
        app.send(get, "/v1/webhooks/events?limit=100", "", &headers, None).await;
    assert_eq!(status, 200, "{of_paywall}");
    let sequences: Vec<_> = of_paywall["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    for task in charging {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn the_stream_begins_where_it_is_told_and_waits_for_what_comes() {
    use futures_util::StreamExt as _;
    let stage = stage().await;
    stage.customer("one").await;
    let url = format!("{}/v1/webhooks/events/stream?after=start", stage.app.base);
    let answer = reqwest::Client::new().get(url).header("x-api-key", &stage.app.key).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let (mut chunks, mut text) = (answer.bytes_stream(), String::new());
    let mut told = false;
    while text.matches("event: event").count() < 2 {
        let chunk = tokio::time::timeout(Duration::from_secs(5), chunks.next()).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        if !told && text.contains("event: event") {
            told = true;
            stage.customer("two").await;
        }
    }
    assert!(text.starts_with("retry: 1000\nevent: ready\n"), "{text}");
    assert!(text.contains("\nid: cur_") && text.contains("\"type\":\"customer.created\""));
}

#[tokio::test]
async fn another_tenant_finds_nothing() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["customer.created"], json!({})).await;
    stage.customer("one").await;
    stage.drain().await;
    let id = endpoint["id"].as_str().unwrap();
    let delivery = stage.deliveries(&endpoint).await.remove(0);
    let (dlv, evt) = (delivery["id"].as_str().unwrap(), delivery["event_id"].as_str().unwrap());
    let other = &stage.app.other_key;
    for path in [
        format!("/v1/webhooks/endpoints/{id}"),
        format!("/v1/webhooks/deliveries/{dlv}"),
        format!("/v1/webhooks/deliveries/{dlv}/attempts"),
        format!("/v1/webhooks/events/{evt}"),
    ] {
        assert_eq!(stage.app.get(&path, other).await.0, 404, "{path}");
    }
    for path in ["pause", "resume", "disable", "enable", "test"] {
        let path = format!("/v1/webhooks/endpoints/{id}/{path}");
        assert_eq!(stage.app.post(&path, other, &json!({})).await.0, 404, "{path}");
    }
    for path in ["redeliver", "cancel"] {
        let path = format!("/v1/webhooks/deliveries/{dlv}/{path}");
        assert_eq!(stage.app.post(&path, other, &json!({})).await.0, 404, "{path}");
    }
    let path = format!("/v1/webhooks/endpoints/{id}");
    assert_eq!(stage.app.patch(&path, other, &json!({ "description": "x" })).await.0, 404);
    assert_eq!(stage.app.delete(&path, other).await.0, 404);
    let retried = stage.app.post("/v1/webhooks/retry", other, &json!({ "ids": [evt] })).await;
    assert_eq!(retried.2["queued"], 0);
    let (_, _, list) = stage.app.get("/v1/webhooks/deliveries", other).await;
    assert_eq!(list["data"], json!([]));
    stage.drain().await;
    assert_eq!(stage.sink.received().len(), 1, "nothing was sent for another tenant");
}

#[tokio::test]
async fn addresses_and_lists_are_judged_at_save() {
    let stage = stage().await;
    let table = [
        (json!({ "url": "http://10.0.0.1/x", "types": ["*"] }), "url_not_allowed", "url"),
        (json!({ "url": "https://intranet/x", "types": ["*"] }), "url_not_allowed", "url"),
        (json!({ "url": "https://example.com/x", "types": [] }), "validation_error", "types"),
        (json!({ "url": "https://example.com/x", "types": ["no"] }), "validation_error", "types"),
        (json!({ "url": "https://example.com/x" }), "validation_error", "types"),
        (
            json!({ "url": "https://example.com/x", "types": ["*"], "max_rps": 1_001 }),
            "validation_error",
            "max_rps",
        ),
    ];
    for (body, code, param) in table {
        let (_, _, refused) = stage.post("/v1/webhooks/endpoints", &body).await;
        assert_eq!((&refused["code"], &refused["param"]), (&json!(code), &json!(param)), "{body}");
    }
    assert_eq!(stage.get("/v1/webhooks/endpoints").await["data"], json!([]));
}

/// A node on the database at `path`, as a start of the binary makes it.
fn open_node(path: &Path) -> Arc<Engine> {
    let database = store::Database::open(&testkit::ground::location(path), true).unwrap();
    let settings = engine::Settings {
        seal: engine::seal::Seal::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap(),
        random: engine::random::Random::System,
        public_url: "http://127.0.0.1".to_owned(),
    };
    Engine::start(database, settings).unwrap()
}

/// A receiver that never answers, and says what it was asked.
struct Silent(mpsc::UnboundedSender<Request>);

impl WebhookPort for Silent {
    fn post(&self, request: Request) -> Pin<Box<dyn Future<Output = Attempt> + Send + '_>> {
        self.0.send(request).unwrap();
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn what_a_crash_leaves_open_is_sent_by_the_next_start_under_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("farebox.db");
    let at = "127.0.0.1:0".parse().unwrap();
    let sink = Sink::start(at, SinkSettings::default()).await.unwrap();
    let first = open_node(&path);
    let scope = first.ensure_tenant("Crash").await.unwrap();
    let body = json!({ "types": ["customer.created"], "ordering": "none" });
    let mut edit = engine::endpoints::read(&body).unwrap();
    edit.url = Some(sink.url("/ok"));
    let made = first.create_endpoint(scope, (edit, Cause::schedule()), None, |_| {
        engine::idempotency::Reply { status: 201, body: Vec::new() }
    });
    made.await.unwrap();
    let (sender, mut asked) = mpsc::unbounded_channel();
    let crashing = Deliverer::start(first.clone(), Arc::new(Silent(sender)));
    for number in 0..20 {
        customer(&first, scope, &format!("customer-{number}")).await;
    }
    let id = |request: &Request| {
        request.headers.iter().find(|(name, _)| name == "webhook-id").unwrap().1.clone()
    };
    let mut on_the_wire = BTreeSet::new();
    // As many as a receiver has that never succeeded.
    while on_the_wire.len() < 2 {
        on_the_wire.insert(id(&asked.recv().await.unwrap()));
    }
    crashing.abort();
    first.close();
    drop(first);

    let second = open_node(&path);
    let client = Arc::new(GuardedClient::new(loopback()));
    let deliverer = Deliverer::start(second.clone(), client);
    deliverer.drain_due(scope, second.now(&scope)).await;
    let sent: Vec<_> = sink.received();
    let ids: BTreeSet<_> =
        sent.iter().map(|one| one.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!((sent.len(), ids.len()), (20, 20));
    assert!(on_the_wire.is_subset(&ids), "what was on the wire comes again under its id");
    deliverer.stop().await;
    second.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_on_the_wire_than_the_operator_allows() {
    let app = TestApp::start().await;
    let (sender, mut asked) = mpsc::unbounded_channel();
    let port = Arc::new(Silent(sender));
    let deliverer = Deliverer::start_bounded(app.engine.clone(), port, 1);
    let body = json!({ "url": "http://127.0.0.1:9/x", "types": ["customer.created"],
        "ordering": "none" });
    assert_eq!(app.post("/v1/webhooks/endpoints", &app.key, &body).await.0, 201);
    for number in 0..8 {
        customer(&app.engine, app.scope, &format!("customer-{number}")).await;
    }
    asked.recv().await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(400), asked.recv()).await;
    assert!(more.is_err(), "a second started although the first has not ended");
    deliverer.abort();
}
