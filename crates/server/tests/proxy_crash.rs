//! kill -9, or SIGTERM, in the middle of streams: what a client was told it paid is charged, once;
//! every story has one end; nothing stays held.
//!
//! `CRASHES` sets how often it is killed (10 in the normal run); the seed is printed.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, prints its seed, and is told how often to kill"
)]

mod process;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::amount::Amount;
use domain::id::splitmix;
use fakes::provider::{Provider, Settings};
use parking_lot::Mutex;
use process::{KEY, Server, post, prove};
use serde_json::{Value, json};

const CLIENTS: u64 = 12;
/// The second of each paywall is poor: his streams are cut and his requests refused.
const DEPOSITS: [(&str, &str); 3] = [("ann", "100"), ("bob", "0.0015"), ("cat", "50")];
/// Twice what a lease lives, and more than a timer needs.
const FREED_WITHIN: Duration = Duration::from_secs(15);
/// Longer than requests and streams may take once the process stops.
const ENDS_WITHIN: Duration = Duration::from_secs(25);
/// Longer than from one checkpoint of open streams to the next.
const LONG_RUN: Duration = Duration::from_millis(5_800);
const PROMPTS: [(&str, bool); 6] = [
    ("Hello", false),
    ("[gap 20] [chunks 100] Tell me", true),
    ("[slow 80] [words 50]", false),
    ("[chunks 40] Quick", true),
    ("[gap 20] [chunks 100] [no-usage]", true),
    ("[gap 5] [words 400] [no-usage]", true),
];

/// A paywall of the test.
#[derive(Clone)]
struct Wall {
    id: String,
    key: String,
    leases: bool,
}

/// An answer that a client has whole, with what it said of its price.
#[derive(Clone, Debug)]
struct Paid {
    wall: usize,
    request: String,
    cost: Amount,
}

type Acknowledged = Arc<Mutex<Vec<Paid>>>;

fn amount(value: &Value) -> Amount {
    Amount::parse(value.as_str().unwrap()).unwrap()
}

impl Wall {
    async fn make(client: &reqwest::Client, base: &str, settlement: Value, provider: &str) -> Wall {
        let leases = settlement["mode"] == "lease";
        let body = json!({ "name": "Crash", "currency": "USD", "settlement": settlement,
            "limits": { "streamStepTokens": 64, "drainSeconds": 1 } });
        let url = format!("{base}/v1/paywalls");
        let made = post(client, url, ("x-api-key", KEY), &body).await.unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let wall = Wall { id: text("id"), key: text("apiKey"), leases };
        let url = format!("{base}/v1/paywalls/{}/providers/main", wall.id);
        let body = json!({ "kind": "fake", "baseUrl": provider, "key": "sk-of-the-provider" });
        let answer = client.put(url).header("x-api-key", KEY).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        for (user, amount) in DEPOSITS {
            let bearer = format!("Bearer {}", wall.key);
            let url = format!("{base}/v1/user/balance/deposit");
            let body = json!({ "user": user, "amount": amount });
            post(client, url, ("authorization", &bearer), &body).await.unwrap();
        }
        wall
    }

    /// Units of the balance, and of what is held of it.
    async fn balance(&self, client: &reqwest::Client, base: &str, user: &str) -> (i128, i128) {
        let url = format!("{base}/v1/user/balance?user={user}");
        let answer = client.get(url).bearer_auth(&self.key).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        let units = |name: &str| body[name].as_str().unwrap().parse().unwrap();
        (units("balance"), units("held"))
    }

    /// A stream for `ann`, read until it ends or breaks.
    async fn says(&self, client: &reqwest::Client, base: &str, prompt: &str) {
        let body = json!({ "model": "gpt-test", "user": "ann", "stream": true, "max_tokens": 900,
            "messages": [{ "role": "user", "content": prompt }] });
        let url = format!("{base}/v1/chat/completions");
        let answer = client.post(url).bearer_auth(&self.key).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        drop(answer.text().await);
    }

    /// One chat. `None`: the answer is not whole.
    async fn chat(&self, client: &reqwest::Client, base: &str, number: u64) -> Option<Value> {
        let [prompt, user, capped] = [number, number / 6, number / 18];
        let (prompt, stream) = PROMPTS[usize::try_from(prompt % 6).unwrap()];
        let (user, _) = DEPOSITS[usize::try_from(user % 3).unwrap()];
        let mut body = json!({ "model": "gpt-test", "user": user, "stream": stream,
            "messages": [{ "role": "user", "content": prompt }] });
        if capped % 2 == 0 {
            body["max_tokens"] = json!(500);
        }
        let url = format!("{base}/v1/chat/completions");
        let request = client.post(url).bearer_auth(&self.key).json(&body);
        let answer = request.send().await.ok()?;
        let headers = answer.headers().clone();
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let text = answer.text().await.ok()?;
        if header("x-paywall-status").is_none_or(|status| status == "blocked") {
            return Some(Value::Null);
        }
        if !stream {
            return Some(json!({ "requestId": header("x-request-id"),
                "cost": header("x-paywall-cost") }));
        }
        let comment = text.lines().rev().find_map(|line| line.strip_prefix(": paywall "))?;
        text.trim_end().ends_with("[DONE]").then(|| serde_json::from_str(comment).unwrap())
    }
}

/// Chats until told to stop or the server is gone.
async fn load(
    client: reqwest::Client,
    (base, walls): (String, Arc<[Wall; 2]>),
    (mut seed, stop): (u64, Arc<AtomicBool>),
    acknowledged: Acknowledged,
) {
    while !stop.load(Ordering::Relaxed) {
        seed = splitmix(seed);
        let wall = usize::try_from(seed % 2).unwrap();
        let Some(told) = walls[wall].chat(&client, &base, seed / 2).await else { return };
        if let Some(request) = told["requestId"].as_str() {
            let paid = Paid { wall, request: request.to_owned(), cost: amount(&told["cost"]) };
            acknowledged.lock().push(paid);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_answers_survive_every_kill() {
    let crashes: u64 =
        std::env::var("CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}, {crashes} crashes");
    let folder = tempfile::tempdir().unwrap();
    let client = testkit::http_client();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let provider = Provider::start(at, Settings::default()).await.unwrap();
    let server = Server::start(folder.path());
    server.ready(&client).await;
    let upstream = provider.base_url();
    let leased = json!({ "mode": "lease", "strict": true, "intervalMs": 200, "leaseSeconds": 2 });
    let walls = Arc::new([
        Wall::make(&client, &server.base, json!({ "mode": "immediate" }), &upstream).await,
        Wall::make(&client, &server.base, leased, &upstream).await,
    ]);
    server.kill();
    let acknowledged = Acknowledged::default();
    for crash in 0..crashes {
        let server = Server::start(folder.path());
        server.ready(&client).await;
        for (user, _) in DEPOSITS {
            let (balance, held) = walls[0].balance(&client, &server.base, user).await;
            assert!(held == 0 && balance >= 0, "crash {crash}: {user} has {balance}, held {held}");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            seed = splitmix(seed);
            let target = (server.base.clone(), walls.clone());
            let work = load(client.clone(), target, (seed, stop.clone()), acknowledged.clone());
            clients.push(tokio::spawn(work));
        }
        let time = Duration::from_micros(100_000 + seed % 1_400_000);
        tokio::time::sleep(if crash % 10 == 9 { LONG_RUN } else { time }).await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
    }
    let server = Server::start(folder.path());
    server.ready(&client).await;
    let acknowledged = std::mem::take(&mut *acknowledged.lock());
    println!("{} whole answers of {} requests", acknowledged.len(), provider.requests());
    assert!(acknowledged.len() as u64 > crashes, "the load was no load");
    for wall in &*walls {
        freed(&client, &server.base, wall).await;
    }
    let told = Told::read(&client, &server.base).await;
    assert!(told.whole().contains_key("failed node_lost"), "no kill cut a stream");
    charged_once(&client, &server.base, &walls, &told, &acknowledged).await;
    balanced(&client, &server.base, &walls, &told).await;
    server.kill();
    prove(folder.path());
}

/// Leases that nothing settles before the end of the process, with requests under way: some end
/// within the grace of a stop, some are ended by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_settles_what_is_leased_and_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let client = testkit::http_client();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let provider = Provider::start(at, Settings::default()).await.unwrap();
    let server = Server::start(folder.path());
    server.ready(&client).await;
    let leased = |strict| {
        json!({ "mode": "lease", "strict": strict, "batch": 10_000,
            "intervalMs": 60_000, "leaseSeconds": 60 })
    };
    let upstream = provider.base_url();
    let walls = Arc::new([
        Wall::make(&client, &server.base, leased(true), &upstream).await,
        Wall::make(&client, &server.base, leased(false), &upstream).await,
    ]);
    let (acknowledged, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let target = (server.base.clone(), walls.clone());
        let seed = (splitmix(number), stop.clone());
        clients.push(tokio::spawn(load(client.clone(), target, seed, acknowledged.clone())));
    }
    for wall in walls.iter() {
        let (client, base, wall) = (client.clone(), server.base.clone(), wall.clone());
        clients.push(tokio::spawn(async move {
            wall.says(&client, &base, "[gap 100] [words 400]").await;
        }));
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let balance = walls[0].balance(&client, &server.base, "ann").await;
    assert_eq!(balance.0, 100_000_000, "something is settled before the end");
    terminate(server);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    prove(folder.path());
    let server = Server::start(folder.path());
    server.ready(&client).await;
    for wall in &*walls {
        for (user, _) in DEPOSITS {
            let (balance, held) = wall.balance(&client, &server.base, user).await;
            assert!(held == 0 && balance >= 0, "{user} has {balance}, held {held}");
        }
    }
    let told = Told::read(&client, &server.base).await;
    let ends = told.whole();
    let canceled = ends.get("canceled").copied().unwrap_or_default();
    assert!(canceled >= 2 && !ends.contains_key("failed node_lost"), "{ends:?}");
    let acknowledged = std::mem::take(&mut *acknowledged.lock());
    assert!(acknowledged.len() > 3, "the load was no load: {}", acknowledged.len());
    charged_once(&client, &server.base, &walls, &told, &acknowledged).await;
    balanced(&client, &server.base, &walls, &told).await;
    server.kill();
    prove(folder.path());
}

/// What an operator's `kill` or a container's stop sends; the process ends by itself, well.
fn terminate(mut server: Server) {
    let sent = std::process::Command::new("kill")
        .args(["-s", "TERM", &server.child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let began = Instant::now();
    while server.child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < ENDS_WITHIN, "the server did not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = server.child.wait().unwrap();
    assert!(ended.success(), "{ended}");
}

/// Nothing is held of anyone's money, at the latest when the last lease has ended.
async fn freed(client: &reqwest::Client, base: &str, wall: &Wall) {
    let began = Instant::now();
    for (user, _) in DEPOSITS {
        loop {
            let (balance, held) = wall.balance(client, base, user).await;
            assert!(balance >= 0, "{user} owes {balance}");
            if held == 0 {
                break;
            }
            assert!(wall.leases, "{user} has {held} held");
            assert!(began.elapsed() < FREED_WITHIN, "{user} still has {held} held");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What the feed tells of each request.
#[derive(Default)]
struct Told {
    requests: BTreeMap<String, Story>,
}

#[derive(Debug, Default)]
struct Story {
    paywall: String,
    user: String,
    started: u32,
    /// Names of its terminal events, with the code of a failure.
    ends: Vec<String>,
    deferred: u32,
    /// Each charge, and what of it could not be collected.
    charges: Vec<(Amount, Amount)>,
}

impl Told {
    async fn read(client: &reqwest::Client, base: &str) -> Told {
        let (mut told, mut after) = (Told::default(), "start".to_owned());
        loop {
            let url = format!("{base}/v1/webhooks/events?limit=1000&after={after}");
            let answer = client.get(url).header("x-api-key", KEY).send().await.unwrap();
            let page: Value = answer.json().await.unwrap();
            for frame in page["data"].as_array().unwrap() {
                told.note(frame["type"].as_str().unwrap(), &frame["body"]["data"]);
            }
            page["next_cursor"].as_str().unwrap().clone_into(&mut after);
            if page["has_more"] == false {
                return told;
            }
        }
    }

    fn note(&mut self, kind: &str, data: &Value) {
        let Some(request) = data["requestId"].as_str() else { return };
        let story = self.requests.entry(request.to_owned()).or_default();
        for (field, name) in
            [(&mut story.paywall, "paywallId"), (&mut story.user, "externalUserId")]
        {
            data[name].as_str().unwrap().clone_into(field);
        }
        match kind {
            "paywall.proxy.request.started" => story.started += 1,
            "paywall.usage.charge.deferred" => story.deferred += 1,
            "paywall.usage.charge.created" => story
                .charges
                .push((amount(&data["amountDecimal"]), amount(&data["uncollectedDecimal"]))),
            _ => {
                if let Some(end) = kind.strip_prefix("paywall.proxy.request.") {
                    let code = data["errorCode"].as_str().unwrap_or_default();
                    story.ends.push(format!("{end} {code}").trim().to_owned());
                }
            }
        }
    }

    /// One start, one end, and for what was deferred one charge. Tells how often each end came.
    fn whole(&self) -> BTreeMap<&str, u32> {
        let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
        for (request, story) in &self.requests {
            assert_eq!(story.started, 1, "{request}: {story:?}");
            assert_eq!(story.ends.len(), 1, "{request}: {story:?}");
            assert!(story.deferred <= 1 && story.charges.len() <= 1, "{request}: {story:?}");
            assert!(story.deferred == 0 || story.charges.len() == 1, "{request}: {story:?}");
            *ends.entry(&story.ends[0]).or_default() += 1;
        }
        println!("{ends:?}");
        ends
    }
}

/// What a client was told that it paid is what was charged, once.
async fn charged_once(
    client: &reqwest::Client,
    base: &str,
    walls: &[Wall; 2],
    told: &Told,
    acknowledged: &[Paid],
) {
    for paid in acknowledged {
        let story = told.requests.get(&paid.request);
        let charges = story.iter().flat_map(|story| &story.charges).collect::<Vec<_>>();
        assert_eq!(charges.len(), 1, "{paid:?}: {story:?}");
        let (amount, lost) = charges[0];
        // Without a lease the client is told what was collected; with one, what is due.
        let due = walls[paid.wall].leases && paid.cost == *amount;
        assert!(due || paid.cost == *amount - *lost, "{paid:?}: {story:?}");
    }
    for paid in acknowledged.iter().step_by(7) {
        let wall = &walls[paid.wall].id;
        let url = format!("{base}/v1/paywalls/{wall}/requests/{}", paid.request);
        let answer = client.get(url).header("x-api-key", KEY).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["status"], "completed", "{body}");
        let told = &told.requests[&paid.request].charges[0];
        assert_eq!(amount(&body["charge"]["amount"]), told.0, "{body}");
    }
}

/// Balances are what the charges that were told leave of the deposits.
async fn balanced(client: &reqwest::Client, base: &str, walls: &[Wall; 2], told: &Told) {
    for wall in walls {
        for (user, deposit) in DEPOSITS {
            let theirs =
                told.requests.values().filter(|it| it.paywall == wall.id && it.user == user);
            let charges = theirs.flat_map(|story| &story.charges);
            let taken: Amount = charges.map(|(amount, lost)| *amount - *lost).sum();
            let left = (Amount::parse(deposit).unwrap() - taken).nanos() / 1_000;
            let (balance, _) = wall.balance(client, base, user).await;
            assert_eq!(balance, left, "{user}, leases: {}", wall.leases);
        }
    }
}
