//! The receivers of a world's webhooks: they fail, hang and lie as the seed says, and remember
//! what came.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use domain::id::splitmix;
use domain::webhook::schedule::Outcome;
use engine::ports::{Attempt, Request, WebhookPort};
use serde_json::Value;

use super::ground::{Gauge, Mark};

/// Failures of one delivery at most: well within every schedule of retries.
const FAILURES_MAX: u64 = 3;

#[derive(Default)]
struct Got {
    /// (receiver, event) → how often it was tried, and how often success was answered.
    copies: BTreeMap<(String, String), (u64, u64)>,
    /// First successes, in their order.
    order: Vec<(String, String)>,
    /// Successes since everything was last known to be recorded.
    open: BTreeSet<(String, String)>,
    /// Successes whose record a crash may have taken.
    doubtful: BTreeMap<(String, String), u64>,
    healthy: bool,
    gauge: Gauge,
    /// How much was on disk when the last request came: only what is there is told.
    mark: Mark,
    /// What the requests said that they were.
    kinds: BTreeMap<String, BTreeSet<String>>,
}

pub struct Mailbox {
    seed: u64,
    got: Mutex<Got>,
}

impl Mailbox {
    pub fn new(seed: u64) -> Mailbox {
        Mailbox { seed, got: Mutex::default() }
    }

    /// Another life of the world begins.
    pub fn begin(&self, gauge: Gauge) {
        let mut got = self.got.lock().unwrap();
        got.gauge = gauge;
        got.mark = Mark::default();
    }

    pub fn mark(&self) -> Mark {
        self.got.lock().unwrap().mark
    }

    /// The types that were told under an event's id.
    pub fn kinds(&self, event: &str) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.kinds.get(event).into_iter().flatten().cloned().collect()
    }

    /// From now on everything is taken at once.
    pub fn heal(&self) {
        self.got.lock().unwrap().healthy = true;
    }

    /// What was answered is recorded.
    pub fn quiet(&self) {
        self.got.lock().unwrap().open.clear();
    }

    /// The process died: what was answered since it was quiet may come again.
    pub fn crashed(&self) {
        let mut got = self.got.lock().unwrap();
        for one in std::mem::take(&mut got.open) {
            *got.doubtful.entry(one).or_default() += 1;
        }
    }

    /// Ids of events that a receiver took, in the order of its first answers.
    pub fn taken(&self, receiver: &str) -> Vec<String> {
        let got = self.got.lock().unwrap();
        let own = got.order.iter().filter(|(to, _)| to == receiver);
        own.map(|(_, event)| event.clone()).collect()
    }

    /// Deliveries that came again although nobody could doubt their success.
    pub fn doubled(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        let allowed = |one| 1 + got.doubtful.get(one).copied().unwrap_or_default();
        let too_many = got.copies.iter().filter(|(one, (_, taken))| *taken > allowed(*one));
        too_many.map(|((to, event), (_, taken))| format!("{to} got {event} {taken}×")).collect()
    }

    pub fn count(&self) -> u64 {
        self.got.lock().unwrap().copies.values().map(|(_, taken)| taken).sum()
    }

    fn note_kind(&self, event: &str, body: &[u8]) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let kind = body["event_type"].as_str().or(body["type"].as_str()).unwrap_or_default();
        let mut got = self.got.lock().unwrap();
        got.kinds.entry(event.to_owned()).or_default().insert(kind.to_owned());
    }

    fn answer(&self, receiver: &str, event: &str) -> (Outcome, Option<u16>) {
        let mut got = self.got.lock().unwrap();
        got.mark = got.gauge.mark();
        let one = (receiver.to_owned(), event.to_owned());
        let luck = one
            .0
            .bytes()
            .chain(one.1.bytes())
            .fold(self.seed, |luck, byte| splitmix(luck ^ u64::from(byte)));
        let failures = if luck.is_multiple_of(3) { (luck >> 8) % (FAILURES_MAX + 1) } else { 0 };
        let copy = got.copies.entry(one.clone()).or_default();
        copy.0 += 1;
        let tries = copy.0;
        if tries <= failures && !got.healthy {
            return match (luck >> (8 * (tries % 4 + 1))) % 5 {
                0 => (Outcome::HttpError, Some(503)),
                1 => (Outcome::HttpError, Some(404)),
                2 => (Outcome::Timeout, None),
                3 => (Outcome::ConnectionLost, None),
                _ => (Outcome::ConnectFailed, None),
            };
        }
        copy_taken(&mut got, one);
        (Outcome::Delivered, Some(200))
    }
}

fn copy_taken(got: &mut Got, one: (String, String)) {
    let copy = got.copies.entry(one.clone()).or_default();
    copy.1 += 1;
    if copy.1 == 1 {
        got.order.push(one.clone());
    }
    got.open.insert(one);
}

impl WebhookPort for Mailbox {
    fn post(&self, request: Request) -> Pin<Box<dyn Future<Output = Attempt> + Send + '_>> {
        let host = request.url.trim_start_matches("https://");
        let receiver = host.split('.').next().unwrap_or_default().to_uppercase();
        let header = request.headers.iter().find(|(name, _)| name == "webhook-id");
        let event = header.map(|(_, value)| value.clone()).unwrap_or_default();
        self.note_kind(&event, &request.body);
        Box::pin(async move {
            for _ in 0..event.bytes().last().unwrap_or_default() % 4 {
                tokio::task::yield_now().await;
            }
            let (outcome, status) = self.answer(&receiver, &event);
            Attempt {
                outcome,
                status,
                duration_ms: 1,
                retry_after: None,
                snippet: Vec::new(),
                address: None,
                error: None,
                reconnected: false,
                timing: domain::webhook::receiver::Timing::default(),
            }
        })
    }
}
