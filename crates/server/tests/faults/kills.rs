//! kill -9 of nodes that send webhooks, at random moments under load, on both databases: nothing
//! is lost, nothing is invented, and what comes twice was on its way when its node died.
//!
//! `KILLS` sets how often, `SEED` from which seed; `cargo xtask faults` sets both.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::id::{EventId, splitmix};
use domain::place::Placed as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::listener::{Listener, Mood, Seen};
use crate::process::{KEY, Server, post};
use crate::site::{Rows, Site, Told};

const CLIENTS: usize = 6;
const USERS: usize = 100;
const ENDPOINTS: usize = 2;
/// Its bodies are thin: they say which node sent them.
const NAMED: usize = 0;
const IN_FLIGHT: usize = 8;
/// Beside what is on the wire, so many answers may be in their transaction or wait for it.
const BEING_RECORDED: usize = 2 * 256;
/// From a request to the record of its answer, on a busy machine.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);
/// From the send of a request to its place in the receiver's list.
const READ_WITHIN: Duration = Duration::from_millis(500);
/// A silent node's lease, a look at it, and what has gathered behind it.
const ARRIVED_WITHIN: Duration = Duration::from_secs(90);
/// The receiver takes up to so long.
const TAKES_MAX_US: u64 = 12_000;

pub fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A change that a client knows to be done: when it heard, and from which node.
struct Acknowledged {
    at: Instant,
    node: u16,
}

/// Clients that charge and make customers, each key until some node has answered it.
struct Load {
    client: reqwest::Client,
    paywall_key: String,
    bases: Mutex<Vec<String>>,
    stop: AtomicBool,
    acknowledged: Mutex<HashMap<String, Acknowledged>>,
}

impl Load {
    fn begin(site: &Site, paywall_key: String, nodes: &[Server]) -> (Arc<Load>, JoinSet<()>) {
        let load = Arc::new(Load {
            client: site.client.clone(),
            paywall_key,
            bases: Mutex::new(nodes.iter().map(|node| node.base.clone()).collect()),
            stop: AtomicBool::new(false),
            acknowledged: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(load.clone().work(client));
        }
        (load, clients)
    }

    async fn work(self: Arc<Self>, client: usize) {
        let mut chance = splitmix(client as u64);
        for number in 0.. {
            let key = format!("c{client}-{number}");
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                chance = splitmix(chance);
                let base = {
                    let bases = self.bases.lock();
                    bases[below(chance, bases.len())].clone()
                };
                if let Some(name) = self.change(&base, &key, number + client).await {
                    let known = Acknowledged { at: Instant::now(), node: port(&base) };
                    self.acknowledged.lock().insert(name, known);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_micros(chance % 12_000)).await;
        }
    }

    /// The name of what was done; nothing without an answer, or with one that says to come again.
    async fn change(&self, base: &str, key: &str, number: usize) -> Option<String> {
        let request = if number.is_multiple_of(2) {
            let body = json!({ "user": format!("user-{}", number / 2 % USERS), "amount": "1" });
            let request = self.client.post(format!("{base}/v1/user/charge"));
            request.bearer_auth(&self.paywall_key).json(&body)
        } else {
            let body = json!({ "external_id": key, "name": "Faults" });
            let request = self.client.post(format!("{base}/v1/customers"));
            request.header("x-api-key", KEY).json(&body)
        };
        let request = request.header("idempotency-key", key).timeout(Duration::from_secs(10));
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.ok()?;
        if status >= 500 || status == 409 {
            return None;
        }
        assert!(status < 300, "{key} at {base}: {status} {body}");
        Some(body["activityId"].as_str().unwrap_or(key).to_owned())
    }
}

fn below(chance: u64, count: usize) -> usize {
    usize::try_from(chance % count as u64).unwrap()
}

fn port(base: &str) -> u16 {
    base.rsplit(':').next().unwrap().parse().unwrap()
}

/// Ports of nodes that were killed, and when.
type Deaths = Vec<(u16, Instant)>;

/// Kills nodes at random moments, and starts one for each.
async fn kill(
    site: &Site,
    load: &Load,
    nodes: &mut [Server],
    (kills, mut seed): (usize, u64),
) -> Deaths {
    let mut deaths = Deaths::new();
    while deaths.len() < kills {
        seed = splitmix(seed);
        tokio::time::sleep(Duration::from_millis(30 + seed % 1_200)).await;
        let both = (seed >> 32).is_multiple_of(8);
        let first = below(seed >> 40, nodes.len());
        for (number, node) in nodes.iter_mut().enumerate() {
            if both || number == first {
                node.child.kill().unwrap();
                deaths.push((port(&node.base), Instant::now()));
                node.child.wait().unwrap();
                *node = site.node();
            }
        }
        *load.bases.lock() = nodes.iter().map(|node| node.base.clone()).collect();
    }
    deaths
}

async fn survives_kills(site: Site, count: usize) {
    let kills: usize = setting("KILLS", 6);
    let seed: u64 = setting("SEED", u64::from(std::process::id()));
    println!("seed {seed}, {kills} kills, {count} nodes");
    let mut chance = seed;
    let listener = Listener::start(Box::new(move |_| {
        chance = splitmix(chance);
        (Mood::Well, Duration::from_micros(chance % TAKES_MAX_US))
    }));
    let listener = listener.await;
    let mut nodes = vec![site.node()];
    nodes[0].ready(&site.client).await;
    for number in 0..ENDPOINTS {
        let form = if number == NAMED { "thin" } else { "full" };
        let more = json!({ "payload_mode": form, "max_in_flight": IN_FLIGHT });
        site.endpoint(&nodes[0].base, (&listener.base, number), more).await;
    }
    let key = site.paywall(&nodes[0].base, USERS).await;
    for _ in 1..count {
        let node = site.node();
        node.ready(&site.client).await;
        nodes.push(node);
    }
    let (load, mut clients) = Load::begin(&site, key, &nodes);
    let deaths = kill(&site, &load, &mut nodes, (kills, seed)).await;
    nodes[0].ready(&site.client).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    load.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let took = settled(&site, &listener).await;
    println!("{} expired leases at the last nodes", expired_leases(&site, &nodes).await);
    let case = Case {
        told: site.feed(&nodes[0].base).await,
        rows: site.rows(),
        deaths,
        acknowledged: std::mem::take(&mut *load.acknowledged.lock()),
        seen: std::mem::take(&mut *listener.seen.lock()),
    };
    println!("all is there {took:?} after the last change");
    case.judge();
    drop(nodes);
    site.prove();
}

/// Waits until no delivery is open, and nothing comes any more.
async fn settled(site: &Site, listener: &Listener) -> Duration {
    let (began, mut quiet) = (Instant::now(), (0, Instant::now()));
    loop {
        let now = (listener.count(), site.open());
        if now.0 != quiet.0 {
            quiet = (now.0, Instant::now());
        } else if now.1 == 0 && quiet.1.elapsed() > Duration::from_millis(500) {
            return began.elapsed();
        }
        assert!(quiet.1.elapsed() < ARRIVED_WITHIN, "{} deliveries never came", now.1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Deliveries that these nodes took over, by their own count.
async fn expired_leases(site: &Site, nodes: &[Server]) -> u64 {
    let name = "farebox_webhook_leases_expired_total ";
    let mut sum = 0;
    for node in nodes {
        node.ready(&site.client).await;
        let text = site.client.get(format!("{}/metrics", node.base)).send().await.unwrap();
        let text = text.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        sum += line.unwrap().parse::<u64>().unwrap();
    }
    sum
}

/// Everything that is known afterwards.
struct Case {
    told: BTreeMap<EventId, Told>,
    rows: Rows,
    deaths: Deaths,
    acknowledged: HashMap<String, Acknowledged>,
    /// In the order of their arrival.
    seen: Vec<Seen>,
}

impl Case {
    fn judge(&self) {
        println!(
            "{} acknowledged changes, {} events, {} requests",
            self.acknowledged.len(),
            self.told.len(),
            self.seen.len()
        );
        self.nothing_is_lost();
        self.nothing_is_invented();
        self.each_is_recorded_once();
        for endpoint in 0..ENDPOINTS {
            self.what_comes_twice_was_on_its_way(endpoint);
            self.first_arrivals_are_in_order(endpoint);
        }
        self.between_commit_and_send();
    }

    /// Each acknowledged change has its one event, and each event came to each endpoint.
    fn nothing_is_lost(&self) {
        let mut named: HashMap<&str, usize> = HashMap::new();
        for told in self.told.values() {
            if let Some(name) = &told.name {
                *named.entry(name).or_default() += 1;
            }
        }
        for name in self.acknowledged.keys() {
            assert_eq!(named.get(name.as_str()), Some(&1), "events of {name}");
        }
        for endpoint in 0..ENDPOINTS {
            let came: HashSet<_> = self.at(endpoint).map(|seen| seen.event).collect();
            let lost: Vec<_> = self.told.keys().filter(|event| !came.contains(event)).collect();
            assert!(lost.is_empty(), "endpoint {endpoint} never got {lost:?}");
        }
    }

    /// The feed knows all that came, under the same id and number.
    fn nothing_is_invented(&self) {
        for seen in &self.seen {
            let told = self.told.get(&seen.event);
            assert_eq!(told.map(|told| told.sequence), Some(seen.sequence), "{seen:?}");
        }
    }

    /// One attempt of each delivery is in the database: the others ended with their node.
    fn each_is_recorded_once(&self) {
        assert_eq!(self.rows.len(), self.told.len() * ENDPOINTS);
        for ((endpoint, place), row) in &self.rows {
            assert_eq!((row.state.as_str(), row.attempts), ("done", 1), "{endpoint}: {place}");
        }
    }

    fn at(&self, endpoint: usize) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.endpoint == endpoint)
    }

    /// Requests of an event before its last one were never recorded. Their node was killed soon
    /// after them, with no more of them than it had on their way.
    fn what_comes_twice_was_on_its_way(&self, endpoint: usize) {
        let mut by_event: HashMap<_, Vec<&Seen>> = HashMap::new();
        for seen in self.at(endpoint) {
            by_event.entry(seen.event).or_default().push(seen);
        }
        let (mut by_death, mut latest): (BTreeMap<usize, usize>, _) =
            (BTreeMap::new(), Duration::ZERO);
        for all in by_event.values() {
            let (last, before) = all.split_last().unwrap();
            assert_eq!(last.attempt, 1, "{last:?}");
            for seen in before {
                assert_eq!(seen.attempt, 1, "{seen:?}");
                let same = endpoint == NAMED || seen.digest == last.digest;
                assert!(same, "another body the second time: {seen:?}");
                let (kill, waited) = self.death_of(seen);
                latest = latest.max(waited);
                *by_death.entry(kill).or_default() += 1;
            }
        }
        let doubled: usize = by_death.values().sum();
        let most = by_death.values().max().copied().unwrap_or(0);
        println!("endpoint {endpoint}: {doubled} requests were not recorded");
        println!("{most} of them at one kill, at most; the oldest {latest:?} before it");
        assert!(most <= IN_FLIGHT + BEING_RECORDED, "{most} were on their way at one kill");
    }

    /// The kill that kept this request from being recorded, and how long after it that was.
    fn death_of(&self, seen: &Seen) -> (usize, Duration) {
        let killed = |(number, (node, at)): (usize, &(u16, Instant))| {
            let waited = at.saturating_duration_since(seen.at);
            // What was written to the socket before the kill may be read after it.
            let is_near = seen.at < *at + READ_WITHIN && waited < RECORDED_WITHIN;
            (is_near && (seen.node == *node || seen.node == 0)).then_some((number, waited))
        };
        let found = self.deaths.iter().enumerate().filter_map(killed);
        let found = found.min_by_key(|(_, waited)| *waited);
        assert!(found.is_some(), "sent twice, and no kill is near: {seen:?}");
        found.unwrap()
    }

    fn first_arrivals_are_in_order(&self, endpoint: usize) {
        let mut last: HashMap<u32, u64> = HashMap::new();
        let mut came = HashSet::new();
        for seen in self.at(endpoint).filter(|seen| came.insert(seen.event)) {
            let key = self.rows[&(endpoint, seen.event.place().raw())].order_key;
            let before = last.insert(key, seen.sequence);
            assert!(before < Some(seen.sequence), "{seen:?} after {before:?} of its subject");
        }
    }

    /// How many events the node that wrote them did not live to send.
    fn between_commit_and_send(&self) {
        let mut first: HashMap<_, &Seen> = HashMap::new();
        for seen in self.at(NAMED) {
            first.entry(seen.event).or_insert(seen);
        }
        let left = self.told.iter().filter(|(event, told)| {
            let known = told.name.as_ref().and_then(|name| self.acknowledged.get(name));
            known.is_some_and(|known| {
                let mut deaths = self.deaths.iter();
                let death = deaths.find(|(node, at)| *node == known.node && *at >= known.at);
                death.is_some_and(|(_, at)| first[event].at > *at)
            })
        });
        println!("{} events were committed by a node that did not live to send them", left.count());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_survive_kills_of_the_node_on_a_file() {
    survives_kills(Site::on_a_file(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_survive_kills_of_two_nodes_on_a_server() {
    survives_kills(Site::on_a_server(), 2).await;
}

/// A node dies with deliveries that it has begun and others that it has not: the next one counts
/// them, and sends them.
async fn takes_over(site: Site) {
    const CUSTOMERS: usize = 5;
    let listener = Listener::start(Box::new(|_| (Mood::Well, Duration::from_secs(3)))).await;
    let mut first = site.node();
    first.ready(&site.client).await;
    let (one_thin, to) = (json!({ "payload_mode": "thin" }), (listener.base.as_str(), 0));
    site.endpoint(&first.base, to, one_thin).await;
    let is_shared = site.postgres.is_some();
    let mut nodes = if is_shared { vec![site.node()] } else { Vec::new() };
    for number in 0..CUSTOMERS {
        let body = json!({ "external_id": format!("customer-{number}"), "name": "Faults" });
        let url = format!("{}/v1/customers", first.base);
        post(&site.client, url, ("x-api-key", KEY), &body).await.unwrap();
    }
    if is_shared {
        assert_eq!(expired_leases(&site, &nodes).await, 0);
    }
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    if !is_shared {
        nodes.push(site.node());
    }
    settled(&site, &listener).await;
    assert_eq!(expired_leases(&site, &nodes).await, CUSTOMERS as u64);
    let seen = std::mem::take(&mut *listener.seen.lock());
    let by = |node: &str| seen.iter().filter(|seen| seen.node == port(node)).count();
    assert!((1..CUSTOMERS).contains(&by(&first.base)), "it had begun some: {seen:?}");
    assert_eq!(by(&nodes[0].base), CUSTOMERS, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_had_leased_is_counted_by_the_next_one_on_a_file() {
    takes_over(Site::on_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_had_leased_is_counted_by_another_one_on_a_server() {
    takes_over(Site::on_a_server()).await;
}
