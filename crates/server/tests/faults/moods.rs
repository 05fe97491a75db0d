//! Receivers that fail at random: errors, silence, answers that break off, requests to come later,
//! short outages. In the end each has the whole set, each subject in order.
//!
//! `EVENTS` sets how many events, `SEED` from which seed; `cargo xtask faults` sets both.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use domain::id::splitmix;
use domain::place::Placed as _;
use serde_json::{Value, json};

use crate::kills::setting;
use crate::listener::{Listener, Mood, Seen};
use crate::process::{KEY, Server, post};
use crate::site::Site;

const ENDPOINTS: usize = 3;
/// Events that one charge makes.
const OF_A_CHARGE: usize = 3;
const BATCH: usize = 500;
/// Charges are made no further ahead of the receivers.
const AHEAD: usize = 60_000;
const OUTAGE: Duration = Duration::from_millis(300);
const UP: Duration = Duration::from_secs(30);
/// Without a request for so long, everyone waits for a time to come: the clock is moved there.
const IDLE: Duration = Duration::from_secs(1);
const MOVES: &str = "61s";
const GOES_ON_WITHIN: Duration = Duration::from_mins(2);

/// How one endpoint fares: by chance, and in outages.
struct Moods {
    chance: u64,
    down_until: [Option<Instant>; ENDPOINTS],
    met: BTreeMap<String, u64>,
}

impl Moods {
    /// One in seven fails.
    fn next(&mut self, endpoint: usize) -> (Mood, Duration) {
        self.chance = splitmix(self.chance);
        let is_down = self.down_until[endpoint].is_some_and(|until| Instant::now() < until);
        let mood = match self.chance % 10_000 {
            _ if is_down => Mood::Fails(503),
            0..1_000 => Mood::Fails(500),
            1_000..1_300 => Mood::Closes,
            1_300..1_320 => Mood::AsksForRest(2),
            1_320..1_330 => Mood::Hangs,
            1_330..1_340 if self.was_up_long(endpoint) => {
                self.down_until[endpoint] = Some(Instant::now() + OUTAGE);
                Mood::Fails(503)
            }
            _ => Mood::Well,
        };
        *self.met.entry(format!("{mood:?}")).or_default() += 1;
        (mood, Duration::from_micros((self.chance >> 32) % 1_000))
    }

    /// A circuit stays open for longer than its outage: there is time between two.
    fn was_up_long(&self, endpoint: usize) -> bool {
        self.down_until[endpoint].is_none_or(|until| until.elapsed() > UP)
    }
}

struct Play {
    site: Site,
    node: Server,
    listener: Listener,
    users: usize,
    paywall_key: String,
}

impl Play {
    async fn begin(site: Site, (events, seed): (usize, u64)) -> Play {
        let mut moods = Moods { chance: seed, down_until: [None; ENDPOINTS], met: BTreeMap::new() };
        let listener = Listener::start(Box::new(move |endpoint| moods.next(endpoint))).await;
        let node = site.node();
        node.ready(&site.client).await;
        for number in 0..ENDPOINTS {
            let more = json!({
                "timeout_seconds": 1, "retry_schedule": vec![1; 20], "max_in_flight": 32,
            });
            site.endpoint(&node.base, (&listener.base, number), more).await;
        }
        let users = (events / 50).clamp(20, 1_000);
        let paywall_key = site.paywall(&node.base, users).await;
        let play = Play { site, node, listener, users, paywall_key };
        play.own("/v1/test-clock", &json!({})).await;
        play
    }

    async fn own(&self, path: &str, body: &Value) {
        let url = format!("{}{path}", self.node.base);
        let done = post(&self.site.client, url, ("x-api-key", KEY), body).await;
        assert!(done.is_some(), "{path} failed");
    }

    /// Charges of many users at once.
    async fn charge(&self, numbers: Range<usize>) {
        let users = numbers.map(|number| format!("user-{}", number % self.users));
        let charges: Vec<_> = users.map(|user| json!({ "user": user, "amount": "1" })).collect();
        let url = format!("{}/v1/charges/batch", self.node.base);
        let bearer = format!("Bearer {}", self.paywall_key);
        let (client, body) = (&self.site.client, json!({ "charges": charges }));
        let done = post(client, url, ("authorization", &bearer), &body).await.unwrap();
        assert!(done["results"].as_array().unwrap().iter().all(|one| one["success"] == true));
    }

    /// Makes the events, no faster than they are taken.
    async fn make(&self, events: usize) {
        let charges = events.div_ceil(OF_A_CHARGE);
        for from in (0..charges).step_by(BATCH) {
            self.charge(from..charges.min(from + BATCH)).await;
            while self.site.open() > AHEAD as u64 {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }

    /// Until nothing is open. Where all wait for their time, it comes.
    async fn settle(&self) {
        let mut last = (0, Instant::now());
        let mut moved = 0;
        loop {
            let now = self.listener.count();
            if now != last.0 {
                last = (now, Instant::now());
            } else if self.site.open() == 0 {
                return println!("the clock was moved {moved} times");
            } else if last.1.elapsed() > IDLE {
                self.own("/v1/test-clock/advance", &json!({ "by": MOVES })).await;
                moved += 1;
            }
            assert!(last.1.elapsed() < GOES_ON_WITHIN, "{} deliveries stand", self.site.open());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn judge(&self) {
        let told = self.site.feed(&self.node.base).await;
        let rows = self.site.rows();
        let seen = std::mem::take(&mut *self.listener.seen.lock());
        println!("{} events, {} requests to {ENDPOINTS} receivers", told.len(), seen.len());
        assert!(rows.values().all(|row| row.state == "done"), "some were given up");
        for endpoint in 0..ENDPOINTS {
            let own = || seen.iter().filter(|seen| seen.endpoint == endpoint);
            let has: HashSet<_> = own().filter(|seen| seen.taken).map(|seen| seen.event).collect();
            let lost = told.keys().filter(|event| !has.contains(event)).count();
            assert_eq!((lost, has.len()), (0, told.len()), "endpoint {endpoint}");
            let key_of = |seen: &Seen| rows[&(endpoint, seen.event.place().raw())].order_key;
            in_order(own().filter(|seen| seen.taken), key_of);
            in_order(own(), key_of);
        }
    }
}

/// The first request of each event comes after all those before it in its subject.
fn in_order<'s>(all: impl Iterator<Item = &'s Seen>, key_of: impl Fn(&Seen) -> u32) {
    let (mut came, mut last) = (HashSet::new(), HashMap::new());
    for seen in all.filter(|seen| came.insert(seen.event)) {
        let before = last.insert(key_of(seen), seen.sequence);
        assert!(before < Some(seen.sequence), "{seen:?} after {before:?} of its subject");
    }
}

async fn moody_receivers_get_all(site: Site, few: usize) {
    let events: usize = setting("EVENTS", few);
    let seed: u64 = setting("SEED", u64::from(std::process::id()));
    println!("seed {seed}, {events} events");
    let began = Instant::now();
    let play = Play::begin(site, (events, seed)).await;
    play.make(events).await;
    println!("made within {:?}", began.elapsed());
    play.settle().await;
    println!("taken within {:?}", began.elapsed());
    play.judge().await;
    play.node.kill();
    play.site.prove();
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_fail_at_random_get_the_whole_ordered_set_from_a_file() {
    moody_receivers_get_all(Site::on_a_file(), 600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_fail_at_random_get_the_whole_ordered_set_from_a_server() {
    moody_receivers_get_all(Site::on_a_server(), 300).await;
}
