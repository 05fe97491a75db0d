//! Real nodes on one PostgreSQL: what a wallet has is spent once, whoever is killed. Each test has
//! a server of its own, with fsync on.

use std::collections::BTreeMap;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::nodes::NODE_LEASE_MS;
use parking_lot::Mutex;
use serde_json::{Value, json};
use testkit::postgres::Postgres;

use crate::process::{KEY, Server, binary, post};
use crate::stop::signal;

const CLIENTS: usize = 8;
/// The server's own waits for a database that is away are shorter.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Nodes look for silent ones once in two seconds.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(4);

/// Keys of acknowledged charges, with their activity ids.
type Acknowledged = Arc<Mutex<BTreeMap<String, String>>>;

struct Cluster {
    postgres: Postgres,
    folder: tempfile::TempDir,
    client: reqwest::Client,
    paywall_key: String,
}

impl Cluster {
    /// A database, a paywall, and a user with so much money.
    async fn start(amount: &str) -> (Cluster, Server) {
        let postgres = Postgres::start();
        let folder = tempfile::tempdir().unwrap();
        let client = testkit::http_client();
        let mut cluster = Cluster { postgres, folder, client, paywall_key: String::new() };
        let first = cluster.node().await;
        let body = json!({ "name": "Nodes", "currency": "USD" });
        let url = format!("{}/v1/paywalls", first.base);
        let paywall = post(&cluster.client, url, ("x-api-key", KEY), &body).await.unwrap();
        paywall["apiKey"].as_str().unwrap().clone_into(&mut cluster.paywall_key);
        let body = json!({ "user": "ann", "amount": amount });
        let url = format!("{}/v1/user/balance/deposit", first.base);
        let bearer = format!("Bearer {}", cluster.paywall_key);
        post(&cluster.client, url, ("authorization", &bearer), &body).await.unwrap();
        (cluster, first)
    }

    /// One more node, ready.
    async fn node(&self) -> Server {
        self.node_with(&[]).await
    }

    async fn node_with(&self, settings: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let url = self.postgres.url();
        let settings = [settings, &[("FAREBOX_DATABASE_URL", &url)]].concat();
        let node = Server::start_with(&folder, &settings);
        node.ready(&self.client).await;
        node
    }

    /// Status of a charge of one unit, and its activity where it was made.
    async fn charge(&self, base: &str, key: &str) -> (u16, Option<String>, bool) {
        let request = self
            .client
            .post(format!("{base}/v1/user/charge"))
            .bearer_auth(&self.paywall_key)
            .header("idempotency-key", key)
            .timeout(ANSWERED_WITHIN)
            .json(&json!({ "user": "ann", "amount": "1" }));
        let Ok(answer) = request.send().await else { return (0, None, false) };
        let status = answer.status().as_u16();
        let may_retry = answer.headers().contains_key("retry-after");
        let body: Value = answer.json().await.unwrap_or_default();
        let done = body["success"] == true;
        let activity = body["activityId"].as_str().filter(|_| done).map(ToOwned::to_owned);
        (status, activity, may_retry)
    }

    /// Clients that charge until `stop`, each key at one node after the other until it is answered.
    fn load(
        self: &Arc<Self>,
        bases: &[String],
        (stop, acknowledged): (&Arc<AtomicBool>, &Acknowledged),
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let clients = (0..CLIENTS).map(|client| {
            let (cluster, bases) = (self.clone(), bases.to_owned());
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let mut turn = client;
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("{client}-{number}");
                    loop {
                        turn += 1;
                        let base = &bases[turn % bases.len()];
                        match cluster.charge(base, &key).await {
                            (200, Some(activity), _) => {
                                acknowledged.lock().insert(key, activity);
                                break;
                            }
                            // Refused: the money is spent.
                            (200..500, None, _) => return,
                            (status, _, may_retry) => {
                                assert!(status == 0 || may_retry, "{status} without retry-after");
                                tokio::time::sleep(Duration::from_millis(50)).await;
                            }
                        }
                    }
                }
            })
        });
        clients.collect()
    }

    /// Every acknowledged key answers as it did; the books balance and hold exactly those.
    async fn prove(&self, base: &str, acknowledged: &Acknowledged) {
        let acknowledged = std::mem::take(&mut *acknowledged.lock());
        println!("{} acknowledged charges", acknowledged.len());
        for (key, activity) in &acknowledged {
            let (status, again, _) = self.charge(base, key).await;
            assert_eq!((status, again.as_ref()), (200, Some(activity)), "{key}");
        }
        let url = format!("{base}/v1/verify");
        let proof = self.client.get(url).header("x-api-key", KEY).send().await.unwrap();
        let proof: Value = proof.json().await.unwrap();
        assert_eq!(proof["balanced"], true, "{proof:#}");
        let revenue = &proof["totals"]["USD"]["revenue"];
        assert_eq!(revenue, &json!(acknowledged.len().to_string()), "each is there once");
    }
}

async fn end(clients: Vec<tokio::task::JoinHandle<()>>) {
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_spend_a_wallet_to_its_last_unit_and_no_further() {
    let (cluster, first) = Cluster::start("300").await;
    let second = cluster.node().await;
    let cluster = Arc::new(cluster);
    let (stop, acknowledged) = (Arc::default(), Acknowledged::default());
    let bases = [first.base.clone(), second.base.clone()];
    end(cluster.load(&bases, (&stop, &acknowledged))).await;
    assert_eq!(acknowledged.lock().len(), 300);
    cluster.prove(&second.base, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_leaves_nothing_open_and_its_callers_go_on_at_the_other() {
    let (cluster, first) = Cluster::start("1000000").await;
    let second = cluster.node().await;
    let cluster = Arc::new(cluster);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
    let bases = [first.base.clone(), second.base.clone()];
    let clients = cluster.load(&bases, (&stop, &acknowledged));
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.kill();
    let at_kill = acknowledged.lock().len();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    end(clients).await;
    assert!(acknowledged.lock().len() > at_kill + CLIENTS, "the other node went on");
    cluster.prove(&second.base, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_under_load_costs_no_acknowledged_charge_and_doubles_none() {
    let (cluster, first) = Cluster::start("1000000").await;
    let cluster = Arc::new(cluster);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
    let clients = cluster.load(std::slice::from_ref(&first.base), (&stop, &acknowledged));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.postgres.kill();
        let began = Instant::now();
        loop {
            let (status, _, may_retry) = cluster.charge(&first.base, "while-away").await;
            if status == 503 {
                assert!(may_retry);
                break;
            }
            assert!(began.elapsed() < ANSWERED_WITHIN, "{status} while the database is away");
        }
        let before = acknowledged.lock().len();
        cluster.postgres.begin();
        let began = Instant::now();
        while acknowledged.lock().len() <= before {
            assert!(began.elapsed() < ANSWERED_WITHIN, "charges go on once it is back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let (status, away, _) = cluster.charge(&first.base, "while-away").await;
    acknowledged.lock().insert("while-away".to_owned(), away.unwrap_or_default());
    assert_eq!(status, 200);
    stop.store(true, Ordering::Relaxed);
    end(clients).await;
    cluster.prove(&first.base, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_away_for_long_while_no_commit_was_open_is_found_again() {
    let (cluster, first) = Cluster::start("1000000").await;
    assert_eq!(cluster.charge(&first.base, "before").await.0, 200);
    cluster.postgres.kill();
    // Longer than a caller waits whose transaction could not begin.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let (status, _, may_retry) = cluster.charge(&first.base, "while-away").await;
        assert!(status == 503 && may_retry, "{status} while the database is away");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.postgres.begin();
    let began = Instant::now();
    while cluster.charge(&first.base, "while-away").await.0 != 200 {
        assert!(began.elapsed() < ANSWERED_WITHIN, "charges go on once it is back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How a node ended that ends by itself.
async fn ended(node: &mut Server) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(ended) = node.child.try_wait().unwrap() {
            return ended;
        }
        assert!(began.elapsed() < ANSWERED_WITHIN, "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_frozen_and_given_up_writes_nothing_more_and_ends() {
    let (cluster, mut first) = Cluster::start("1000").await;
    let second = cluster.node().await;
    let acknowledged = Acknowledged::default();
    signal(&first, "STOP");
    tokio::time::sleep(Duration::from_millis(NODE_LEASE_MS.unsigned_abs()) + TAKEN_OVER_WITHIN)
        .await;
    let (status, made, _) = cluster.charge(&second.base, "meanwhile").await;
    assert_eq!(status, 200, "the other goes on");
    acknowledged.lock().insert("meanwhile".to_owned(), made.unwrap());
    signal(&first, "CONT");
    let (status, made, may_retry) = cluster.charge(&first.base, "too-late").await;
    assert!(made.is_none() && (status == 0 || may_retry), "{status}: what it wrote was taken");
    assert!(!ended(&mut first).await.success(), "so that it is started again");
    cluster.prove(&second.base, &acknowledged).await;
}

/// Asks each node again and again whether it is ready, as a balancer does.
fn balance(cluster: &Arc<Cluster>, ready: &Ready) -> tokio::task::JoinHandle<()> {
    let (cluster, ready) = (cluster.clone(), ready.clone());
    tokio::spawn(async move {
        loop {
            let known = ready.lock().clone();
            for (base, _) in known {
                let asked = cluster.client.get(format!("{base}/readyz")).send().await;
                let is_ready = asked.is_ok_and(|answer| answer.status() == 200);
                ready.lock().entry(base).and_modify(|known| *known = is_ready);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

/// The nodes behind the balancer, and whether each is ready.
type Ready = Arc<Mutex<BTreeMap<String, bool>>>;

/// Clients that charge until `stop` at nodes that are ready. None of their requests may fail.
fn steady(
    cluster: &Arc<Cluster>,
    ready: &Ready,
    (stop, acknowledged): (&Arc<AtomicBool>, &Acknowledged),
) -> Vec<tokio::task::JoinHandle<()>> {
    let clients = (0..CLIENTS).map(|client| {
        let (cluster, ready) = (cluster.clone(), ready.clone());
        let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for number in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                let known = ready.lock().clone();
                let bases: Vec<_> = known.into_iter().filter(|(_, is_ready)| *is_ready).collect();
                let key = format!("{client}-{number}");
                let (base, _) = &bases[number % bases.len()];
                let (status, made, _) = cluster.charge(base, &key).await;
                assert_eq!(status, 200, "{key} at {base}: no request fails");
                acknowledged.lock().insert(key, made.unwrap());
            }
        })
    });
    clients.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_replaced_one_by_one_under_load_fail_no_request() {
    let (cluster, first) = Cluster::start("1000000").await;
    let delayed = [("FAREBOX_STOP_DELAY_SECONDS", "1")];
    let mut nodes = [cluster.node_with(&delayed).await, cluster.node_with(&delayed).await];
    let cluster = Arc::new(cluster);
    let ready = Ready::default();
    ready.lock().extend(nodes.iter().map(|node| (node.base.clone(), true)));
    let balancer = balance(&cluster, &ready);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
    let clients = steady(&cluster, &ready, (&stop, &acknowledged));
    for _ in 0..3 {
        let next = cluster.node_with(&delayed).await;
        ready.lock().insert(next.base.clone(), true);
        let mut old = std::mem::replace(&mut nodes[0], next);
        nodes.rotate_left(1);
        signal(&old, "TERM");
        let ended = ended(&mut old).await;
        assert!(ended.success(), "it left by itself: {ended}");
        ready.lock().remove(&old.base);
    }
    stop.store(true, Ordering::Relaxed);
    end(clients).await;
    balancer.abort();
    cluster.prove(&first.base, &acknowledged).await;
}

/// What a newer release may do to tables that an older one still works on.
const EXPANDED: &str = "ALTER TABLE customers ADD COLUMN next TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE balances ADD COLUMN next BIGINT; ALTER TABLE entries ADD COLUMN next BIGINT;
    ALTER TABLE deliveries ADD COLUMN next BIGINT NOT NULL DEFAULT 7;
    CREATE INDEX next_entries ON entries (next); CREATE TABLE next (no BIGINT PRIMARY KEY);
    UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = 'schema'";
/// A report that holds what it reads: the migration waits for it, and everyone for the migration.
const LONG_READ: &str = "SELECT pg_sleep(2) FROM (SELECT COUNT(*) FROM entries) AS counted";

/// What a fresh start says that fails.
fn refusal(cluster: &Cluster) -> String {
    let started = Command::new("timeout")
        .arg("20")
        .arg(binary())
        .arg("serve")
        .env("FAREBOX_LISTEN", "127.0.0.1:0")
        .env("FAREBOX_DATA_DIR", cluster.folder.path())
        .env("FAREBOX_DATABASE_URL", cluster.postgres.url())
        .env("FAREBOX_API_KEY", KEY)
        .env("FAREBOX_ENCRYPTION_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
        .output()
        .unwrap();
    assert!(!started.status.success(), "it serves tables that it does not know");
    let said = [started.stdout, started.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// Lists and customers beside the charges: what reads and writes the other expanded tables.
async fn makes_customers(cluster: &Cluster, (base, name): (&str, &str)) {
    let url = format!("{base}/v1/customers");
    let body = json!({ "external_id": name, "name": "Next" });
    let made = post(&cluster.client, url.clone(), ("x-api-key", KEY), &body).await;
    assert!(made.is_some(), "{name} is refused");
    let listed = cluster.client.get(url).header("x-api-key", KEY).send().await.unwrap();
    assert_eq!(listed.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_go_on_while_a_newer_release_expands_their_tables_and_no_older_one_starts() {
    let (cluster, first) = Cluster::start("1000000").await;
    let second = cluster.node().await;
    let (cluster, ready) = (Arc::new(cluster), Ready::default());
    ready.lock().extend([(first.base.clone(), true), (second.base.clone(), true)]);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
    let clients = steady(&cluster, &ready, (&stop, &acknowledged));
    makes_customers(&cluster, (&first.base, "before")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (reading, expanding) = (cluster.clone(), cluster.clone());
    let read = tokio::task::spawn_blocking(move || reading.postgres.run(LONG_READ));
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::task::spawn_blocking(move || expanding.postgres.run(EXPANDED)).await.unwrap();
    read.await.unwrap();
    let before = acknowledged.lock().len();
    for node in [&first, &second] {
        makes_customers(&cluster, (&node.base, &node.base)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(acknowledged.lock().len() > before, "they went on");
    let asked = cluster.clone();
    let said = tokio::task::spawn_blocking(move || refusal(&asked)).await.unwrap();
    assert!(said.contains("newer release"), "{said}");
    stop.store(true, Ordering::Relaxed);
    end(clients).await;
    cluster.prove(&first.base, &acknowledged).await;
}
