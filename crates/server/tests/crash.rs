//! kill -9 at random moments under load: what was acknowledged is there, once, and is told once.
//!
//! `CRASHES` sets how often (200 in the normal run); the seed is printed.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, prints its seed, and is told how often to kill"
)]

mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::id::splitmix;
use fakes::sink::{Settings, Signature, Sink};
use parking_lot::Mutex;
use process::{KEY, Server, post, prove};
use serde_json::{Value, json};

const CLIENTS: u64 = 8;
/// Retries of interrupted deliveries wait 30 s and more; leases are void at a start.
const ARRIVED_WITHIN: Duration = Duration::from_secs(150);

/// What the clients know to be done: keys of acknowledged charges, with their activity ids.
type Acknowledged = Arc<Mutex<Vec<(String, String)>>>;

async fn charge(
    client: &reqwest::Client,
    base: &str,
    paywall_key: &str,
    (user, key): (&str, &str),
) -> Option<String> {
    let request = client
        .post(format!("{base}/v1/user/charge"))
        .bearer_auth(paywall_key)
        .header("idempotency-key", key)
        .json(&json!({ "user": user, "amount": "1" }));
    let answer = request.send().await.ok()?;
    let ok = answer.status().is_success();
    let body: Value = answer.json().await.ok()?;
    assert!(!ok || body["success"] == true, "{body}");
    ok.then(|| body["activityId"].as_str().unwrap().to_owned())
}

/// Charges until told to stop or the server is gone.
async fn load(
    client: reqwest::Client,
    (base, paywall_key): (String, String),
    (name, stop): (String, Arc<AtomicBool>),
    acknowledged: Acknowledged,
) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("{name}-{number}");
        let user = format!("user-{}", number % 3);
        match charge(&client, &base, &paywall_key, (&user, &key)).await {
            Some(activity) => acknowledged.lock().push((key, activity)),
            None => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_charges_survive_every_kill() {
    let crashes: u64 =
        std::env::var("CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}, {crashes} crashes");
    let folder = tempfile::tempdir().unwrap();
    let client = testkit::http_client();
    let server = Server::start(folder.path());
    server.ready(&client).await;
    let body = json!({ "name": "Crash", "currency": "USD" });
    let url = format!("{}/v1/paywalls", server.base);
    let paywall = post(&client, url, ("x-api-key", KEY), &body).await.unwrap();
    let paywall_key = paywall["apiKey"].as_str().unwrap().to_owned();
    for user in 0..3 {
        let body = json!({ "user": format!("user-{user}"), "amount": "1000000" });
        let url = format!("{}/v1/user/balance/deposit", server.base);
        let bearer = format!("Bearer {paywall_key}");
        post(&client, url, ("authorization", &bearer), &body).await.unwrap();
    }
    let sink = subscribe(&client, &server.base, &paywall_key).await;
    server.kill();
    let acknowledged: Acknowledged = Acknowledged::default();
    for crash in 0..crashes {
        let server = Server::start(folder.path());
        server.ready(&client).await;
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS).map(|number| {
            let target = (server.base.clone(), paywall_key.clone());
            let name = (format!("c{crash}-{number}"), stop.clone());
            tokio::spawn(load(client.clone(), target, name, acknowledged.clone()))
        });
        let clients: Vec<_> = clients.collect();
        seed = splitmix(seed);
        tokio::time::sleep(Duration::from_micros(1_000 + seed % 60_000)).await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
    }
    let server = Server::start(folder.path());
    server.ready(&client).await;
    let acknowledged = std::mem::take(&mut *acknowledged.lock());
    println!("{} acknowledged charges", acknowledged.len());
    assert!(acknowledged.len() as u64 > crashes, "the load was no load");
    replayed_once(&client, &server.base, &paywall_key, &acknowledged).await;
    told_once(&client, &server.base, &acknowledged).await;
    arrived(&sink, &acknowledged).await;
    server.kill();
    prove(folder.path());
}

/// Each key answers with the activity that it acknowledged, again.
async fn replayed_once(
    client: &reqwest::Client,
    base: &str,
    paywall_key: &str,
    acknowledged: &[(String, String)],
) {
    for (key, activity) in acknowledged {
        let number: u64 = key.rsplit('-').next().unwrap().parse().unwrap();
        let user = format!("user-{}", number % 3);
        let again = charge(client, base, paywall_key, (&user, key)).await;
        assert_eq!(again.as_ref(), Some(activity), "the charge of key {key} is not there");
    }
}

/// The feed tells each acknowledged charge once, and no activity twice.
async fn told_once(client: &reqwest::Client, base: &str, acknowledged: &[(String, String)]) {
    let mut told = BTreeSet::new();
    let mut after = "start".to_owned();
    loop {
        let url = format!(
            "{base}/v1/webhooks/events?types=paywall.balance.charge.completed&limit=1000&after={after}"
        );
        let answer = client.get(url).header("x-api-key", KEY).send().await.unwrap();
        let page: Value = answer.json().await.unwrap();
        for frame in page["data"].as_array().unwrap() {
            let activity = frame["body"]["data"]["activityId"].as_str().unwrap().to_owned();
            assert!(told.insert(activity.clone()), "{activity} is told twice");
        }
        page["next_cursor"].as_str().unwrap().clone_into(&mut after);
        if page["has_more"] == false {
            break;
        }
    }
    for (_, activity) in acknowledged {
        assert!(told.contains(activity), "{activity} is not told");
    }
}

/// A subscription to completed charges, with a receiver that answers.
async fn subscribe(client: &reqwest::Client, base: &str, paywall_key: &str) -> Sink {
    let settings = Settings { secret: None, now_seconds: None, seed: 1 };
    let sink = Sink::start("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let url = format!("{base}/v1/webhooks/subscriptions");
    let bearer = format!("Bearer {paywall_key}");
    let body = json!({ "url": sink.url("/ok"), "events": ["paywall.balance.charge.completed"] });
    let made = post(client, url, ("authorization", &bearer), &body).await.unwrap();
    sink.set_secret(made["subscription"]["secret"].as_str().unwrap());
    sink
}

/// Each acknowledged charge reaches the receiver, signed; a second copy has the same id.
async fn arrived(sink: &Sink, acknowledged: &[(String, String)]) {
    let began = Instant::now();
    loop {
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for received in sink.received() {
            assert_eq!(received.signature, Signature::Valid, "{:?}", received.headers);
            let body: Value = serde_json::from_slice(&received.body).unwrap();
            let activity = body["data"]["activityId"].as_str().unwrap().to_owned();
            let id = body["id"].as_str().unwrap().to_owned();
            let first = ids.entry(activity).or_insert_with(|| id.clone());
            assert_eq!(*first, id, "one charge was told under two ids");
        }
        let missing = acknowledged.iter().filter(|(_, activity)| !ids.contains_key(activity));
        let missing = missing.count();
        if missing == 0 {
            println!("{} requests for {} charges", sink.received().len(), ids.len());
            return;
        }
        assert!(began.elapsed() < ARRIVED_WITHIN, "{missing} webhooks never came");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
