//! Receivers that are up or down as a test says, and what they were asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use domain::webhook::receiver::Timing;
use domain::webhook::schedule::Outcome;

use super::*;

/// The time that a request takes, so that several are on the wire at once.
const TOOK: Duration = Duration::from_millis(3);

#[derive(Default)]
pub struct Moody(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    down: BTreeSet<String>,
    /// Path and event of each request, in order.
    asked: Vec<(String, String)>,
    in_flight: BTreeMap<String, usize>,
    most: BTreeMap<String, usize>,
}

impl Moody {
    pub fn down(&self, path: &str) {
        self.0.lock().unwrap().down.insert(path.to_owned());
    }

    pub fn up(&self, path: &str) {
        self.0.lock().unwrap().down.remove(path);
    }

    /// Events that a path was asked to take, in order.
    pub fn asked(&self, path: &str) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        let own = seen.asked.iter().filter(|(asked, _)| asked == path);
        own.map(|(_, event)| event.clone()).collect()
    }

    /// Most requests that were on the wire to a path at once, since this was last asked.
    pub fn most(&self, path: &str) -> usize {
        self.0.lock().unwrap().most.remove(path).unwrap_or_default()
    }

    fn begin(&self, path: &str, request: &Request) -> bool {
        let header = request.headers.iter().find(|(name, _)| name == "webhook-id");
        let event = header.map(|(_, value)| value.clone()).unwrap_or_default();
        let mut seen = self.0.lock().unwrap();
        seen.asked.push((path.to_owned(), event));
        let now = seen.in_flight.entry(path.to_owned()).or_default();
        *now += 1;
        let now = *now;
        let most = seen.most.entry(path.to_owned()).or_default();
        *most = now.max(*most);
        !seen.down.contains(path)
    }

    fn end(&self, path: &str) {
        *self.0.lock().unwrap().in_flight.get_mut(path).unwrap() -= 1;
    }
}

impl WebhookPort for Moody {
    fn post(&self, request: Request) -> Pin<Box<dyn Future<Output = Attempt> + Send + '_>> {
        let path = format!("/{}", request.url.rsplit('/').next().unwrap());
        Box::pin(async move {
            let up = self.begin(&path, &request);
            tokio::time::sleep(TOOK).await;
            self.end(&path);
            Attempt {
                outcome: if up { Outcome::Delivered } else { Outcome::HttpError },
                status: Some(if up { 200 } else { 500 }),
                duration_ms: 3,
                retry_after: None,
                snippet: Vec::new(),
                address: None,
                error: None,
                reconnected: false,
                timing: Timing::default(),
            }
        })
    }
}

/// As `stage`, with receivers that do as they are told.
pub async fn moody_stage() -> (Stage, Arc<Moody>) {
    let app = TestApp::start().await;
    app.stand_at(Timestamp::from_millis(NOON));
    let sink = Sink::start("127.0.0.1:0".parse().unwrap(), SinkSettings::default()).await.unwrap();
    let moody = Arc::new(Moody::default());
    let deliverer = Deliverer::start(app.engine.clone(), moody.clone());
    (Stage { app, sink, deliverer }, moody)
}

impl Stage {
    /// Moves the test clock, with everything that is due on the way.
    pub async fn advance(&self, ms: i64) {
        let moved = self.app.engine.advance_clock(self.app.scope, Cause::schedule(), ms);
        tokio::time::timeout(Duration::from_mins(1), moved).await.unwrap().unwrap();
    }

    pub async fn endpoint_now(&self, endpoint: &Value) -> Value {
        self.get(&format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap())).await
    }

    pub async fn change(&self, endpoint: &Value, change: Value) {
        let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
        let (status, _, body) = self.app.patch(&path, &self.app.key, &change).await;
        assert_eq!(status, 200, "{body}");
    }

    pub async fn customers(&self, count: usize) {
        for number in 0..count {
            self.customer(&format!("customer-{number}")).await;
        }
    }
}
