//! Charges at full speed, and what the clients were told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::process::{KEY, Server, post};

pub const CLIENTS: usize = 8;
const USERS: usize = 3;
const DEPOSIT: i64 = 1_000_000;
const KNOCK_EVERY: Duration = Duration::from_millis(20);
const LOAD_MAX: Duration = Duration::from_mins(1);

/// A paywall whose users have money.
#[derive(Clone)]
pub struct House {
    pub client: reqwest::Client,
    pub key: String,
    /// Keys of loads that were settled up.
    charged: Arc<AtomicUsize>,
}

/// What clients know of their charges, by key.
#[derive(Default)]
pub struct Told {
    /// Acknowledged, with the activity's id.
    pub acknowledged: BTreeMap<String, String>,
    /// Refused: status, body, whether it says when to come again.
    pub refused: BTreeMap<String, (u16, Value, bool)>,
    /// No answer came: done or not.
    pub unknown: BTreeSet<String>,
    pub slowest: Duration,
}

pub struct Load {
    began: Instant,
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    clients: JoinSet<()>,
}

impl House {
    /// A paywall with three users on a fresh server.
    pub async fn open(server: &Server) -> House {
        let client = testkit::http_client();
        server.ready(&client).await;
        let body = json!({ "name": "Faults", "currency": "USD" });
        let url = format!("{}/v1/paywalls", server.base);
        let paywall = post(&client, url, ("x-api-key", KEY), &body).await.unwrap();
        let key = paywall["apiKey"].as_str().unwrap().to_owned();
        let house = House { client, key, charged: Arc::default() };
        for user in 0..USERS {
            let body = json!({ "user": format!("user-{user}"), "amount": DEPOSIT.to_string() });
            house.call(&server.base, "/v1/user/balance/deposit", &body).await.unwrap();
        }
        house
    }

    pub async fn call(&self, base: &str, path: &str, body: &Value) -> Option<Value> {
        let bearer = format!("Bearer {}", self.key);
        post(&self.client, format!("{base}{path}"), ("authorization", &bearer), body).await
    }

    /// Begins charges of 1 with keys of `name`, until the load is ended.
    pub fn load(&self, base: &str, name: &str) -> Load {
        let (stop, told, began) = (Arc::default(), Arc::default(), Instant::now());
        let mut load = Load { began, stop, told, clients: JoinSet::new() };
        for number in 0..CLIENTS {
            let (house, base) = (self.clone(), base.to_owned());
            let (stop, told) = (load.stop.clone(), load.told.clone());
            let name = format!("{name}-{number}");
            load.clients.spawn(async move {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    if !house.charge(&base, &format!("{name}-{count}"), &told).await {
                        // Nobody is there: nothing is learned from knocking on.
                        tokio::time::sleep(KNOCK_EVERY).await;
                    }
                }
            });
        }
        load
    }

    /// Whether there was an answer.
    pub async fn charge(&self, base: &str, key: &str, told: &Mutex<Told>) -> bool {
        let began = Instant::now();
        let answer = self.send(base, key).await;
        let mut told = told.lock();
        told.slowest = told.slowest.max(began.elapsed());
        match answer {
            Some((200, body, _, _)) => {
                assert_eq!(body["success"], true, "{body}");
                let activity = body["activityId"].as_str().unwrap().to_owned();
                told.acknowledged.insert(key.to_owned(), activity);
            }
            Some((status, body, again, _)) => {
                told.refused.insert(key.to_owned(), (status, body, again));
            }
            None => {
                told.unknown.insert(key.to_owned());
                return false;
            }
        }
        true
    }

    /// Charges one after the other, each for half a second, until one is refused. What they were
    /// told, those without an answer included.
    pub async fn until_refused(&self, base: &str, name: &str, within: Duration) -> Told {
        let (told, began) = (Mutex::<Told>::default(), Instant::now());
        for number in 0.. {
            let key = format!("{name}-{number}");
            let asked = self.charge(base, &key, &told);
            if tokio::time::timeout(Duration::from_millis(500), asked).await.is_err() {
                told.lock().unknown.insert(key);
            } else if !told.lock().refused.is_empty() {
                break;
            }
            assert!(began.elapsed() < within, "{name}: nothing is refused");
        }
        println!("{name}: refused after {:?}", began.elapsed());
        told.into_inner()
    }

    /// Status, body, whether there is a `retry-after`, whether it is a replay.
    async fn send(&self, base: &str, key: &str) -> Option<(u16, Value, bool, bool)> {
        let number: usize = key.rsplit('-').next().unwrap().parse().unwrap();
        let request = self
            .client
            .post(format!("{base}/v1/user/charge"))
            .bearer_auth(&self.key)
            .header("idempotency-key", key)
            .json(&json!({ "user": format!("user-{}", number % USERS), "amount": "1" }));
        let answer = request.send().await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let has = |name: &str| headers.contains_key(name);
        let (again, replayed) = (has("retry-after"), has("idempotent-replayed"));
        Some((status, answer.json().await.ok()?, again, replayed))
    }

    pub async fn balance(&self, base: &str, user: usize) -> Option<i64> {
        let url = format!("{base}/v1/user/balance?user=user-{user}");
        let answer = self.client.get(url).bearer_auth(&self.key).send().await.ok()?;
        let body: Value = answer.json().await.ok()?;
        let whole = body["balanceFormatted"].as_str()?.strip_suffix(".00")?;
        whole.parse().ok()
    }

    /// Each of these charges is there, with its id.
    pub async fn has(&self, base: &str, acknowledged: &BTreeMap<String, String>) {
        let all = stream::iter(acknowledged).map(async |(key, activity)| {
            let (status, body, _, replayed) = self.send(base, key).await.unwrap();
            assert_eq!((status, replayed), (200, true), "the charge of {key} is not there");
            assert_eq!(body["activityId"], **activity, "{key} has another charge now");
        });
        all.buffer_unordered(CLIENTS).collect::<()>().await;
    }

    /// As `has`; each refused charge is not there; all keys together, sent once more, have taken 1
    /// each and no more.
    pub async fn settle_up(&self, base: &str, told: &Told) {
        self.has(base, &told.acknowledged).await;
        let refused = stream::iter(told.refused.keys()).map(async |key| {
            let (status, body, _, replayed) = self.send(base, key).await.unwrap();
            assert_eq!((status, replayed), (200, false), "{key} was refused and done: {body}");
        });
        refused.buffer_unordered(CLIENTS).collect::<()>().await;
        let unknown = stream::iter(&told.unknown).map(async |key| {
            let (status, body, ..) = self.send(base, key).await.unwrap();
            assert_eq!(status, 200, "{key}: {body}");
        });
        unknown.buffer_unordered(CLIENTS).collect::<()>().await;
        let keys = told.acknowledged.len() + told.refused.len() + told.unknown.len();
        let all = self.charged.fetch_add(keys, Ordering::Relaxed) + keys;
        let mut left = 0;
        for user in 0..USERS {
            left += self.balance(base, user).await.unwrap();
        }
        let users = i64::try_from(USERS).unwrap();
        assert_eq!(left, users * DEPOSIT - i64::try_from(all).unwrap(), "something is doubled");
    }
}

impl Told {
    /// Takes what others were told, whose keys are other ones.
    pub fn add(&mut self, others: Told) {
        self.acknowledged.extend(others.acknowledged);
        self.refused.extend(others.refused);
        self.unknown.extend(others.unknown);
        self.slowest = self.slowest.max(others.slowest);
    }
}

impl Load {
    /// How many were acknowledged so far.
    pub fn count(&self) -> usize {
        self.told.lock().acknowledged.len()
    }

    pub fn acknowledged(&self) -> BTreeMap<String, String> {
        self.told.lock().acknowledged.clone()
    }

    /// Whether it takes longer than any fault should.
    pub fn is_over(&self) -> bool {
        self.began.elapsed() > LOAD_MAX
    }

    pub fn refusals(&self) -> usize {
        self.told.lock().refused.len()
    }

    /// Waits until so many more were acknowledged.
    pub async fn goes_on(&self, more: usize) {
        let (began, enough) = (Instant::now(), self.count() + more);
        while self.count() < enough {
            assert!(began.elapsed() < Duration::from_secs(20), "no charges go through");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the clients, and says what they were told.
    pub async fn end(mut self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let told = std::mem::take(&mut *self.told.lock());
        println!(
            "{} acknowledged, {} refused, {} without an answer, the slowest after {:?}",
            told.acknowledged.len(),
            told.refused.len(),
            told.unknown.len(),
            told.slowest
        );
        told
    }
}

/// Every refusal is a 503 in the paywall's error shape that says when to come again.
pub fn refused_well(told: &Told) {
    for (key, (status, body, again)) in &told.refused {
        assert_eq!((*status, *again), (503, true), "{key}: {body}");
        assert_eq!(body["error"]["code"], "ledger_unavailable", "{key}: {body}");
    }
}
