//! Forwarding: signed like in production, in order for each subject, a few at a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::webhook::body::{DeliveryFrame, Form, render};
use domain::webhook::catalogue::Family;
use domain::webhook::headers::{Credentials, DeliveryFacts, delivery_headers};
use domain::webhook::receiver::{EventNaming, PayloadFormat, PayloadMode, ReceiverKind};
use domain::webhook::signature::{SigningKey, secret_from_bytes};
use engine::random::Random;
use tokio::sync::{Semaphore, oneshot};

use super::super::client::{builder, root};
use super::super::{Context, Failure, out};
use super::frame::Event;
use super::{Args, Tasks};

const IN_FLIGHT_MAX: usize = 8;
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(15);
const RETRY_WAITS_S: [u64; 3] = [5, 30, 120];
const SECRET_BYTES: usize = 24;

/// What became of one attempt.
pub struct Sent {
    pub status: Option<u16>,
    pub duration_ms: u64,
    pub error: Option<String>,
}

impl Sent {
    pub fn is_good(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    pub fn words(&self) -> String {
        let result = self.status.map(|status| status.to_string());
        let result = result.or(self.error.clone()).unwrap_or_default();
        format!("{result}  {} ms", self.duration_ms)
    }
}

pub struct Forwarder {
    http: reqwest::Client,
    url: String,
    kind: ReceiverKind,
    secret: String,
    keys: Vec<SigningKey>,
    headers: BTreeMap<String, String>,
    retry: bool,
    slots: Semaphore,
}

impl Forwarder {
    pub fn new(context: &Context, args: &Args) -> Result<Option<Forwarder>, Failure> {
        let Some(url) = &args.forward_to else { return Ok(None) };
        url::Url::parse(url).map_err(|error| Failure::Usage(format!("{url:?}: {error}")))?;
        let secret = context.config.listen_secret.clone().unwrap_or_else(|| {
            let secret = secret_from_bytes(&Random::System.bytes::<SECRET_BYTES>());
            out::say(&format!("signing with {secret}"));
            secret
        });
        let http = builder().timeout(ATTEMPT_TIME_MAX).build();
        Ok(Some(Forwarder {
            http: http.map_err(|error| Failure::Bad(error.to_string()))?,
            url: url.clone(),
            kind: ReceiverKind::parse(&args.kind).unwrap_or(ReceiverKind::Endpoint),
            keys: vec![SigningKey::parse(&secret)],
            secret,
            headers: args.headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?,
            retry: args.retry,
            slots: Semaphore::new(IN_FLIGHT_MAX),
        }))
    }

    /// Sends until it is taken or the tries are used up, and prints each result.
    async fn deliver(&self, event: &Event, json: bool) {
        let waits: &[u64] = if self.retry { &RETRY_WAITS_S } else { &[] };
        let mut attempt: u32 = 1;
        loop {
            let sent = self.send(event, attempt).await;
            // A closed output ends the program at the next event that is read.
            drop(out::line(&event.line(Some(&sent), json)));
            let wait = usize::try_from(attempt - 1).ok().and_then(|index| waits.get(index));
            match wait {
                Some(wait) if !sent.is_good() => {
                    tokio::time::sleep(Duration::from_secs(*wait)).await;
                }
                _ => return,
            }
            attempt += 1;
        }
    }

    async fn send(&self, event: &Event, attempt: u32) -> Sent {
        let Ok(_slot) = self.slots.acquire().await else {
            return Sent { status: None, duration_ms: 0, error: Some("stopped".to_owned()) };
        };
        let body = body(event, attempt);
        let mut request = self.http.post(&self.url);
        for (name, value) in self.lines(event, attempt, &body) {
            request = request.header(name, value);
        }
        let began = Instant::now();
        let answer = request.body(body.into_owned()).send().await;
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match answer {
            Ok(answer) => Sent { status: Some(answer.status().as_u16()), duration_ms, error: None },
            Err(error) => Sent { status: None, duration_ms, error: Some(root(&error)) },
        }
    }

    fn lines(&self, event: &Event, attempt: u32, body: &[u8]) -> Vec<(String, String)> {
        let parsed: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let version = parsed.get("version").map(|version| match version.as_str() {
            Some(text) => text.to_owned(),
            None => version.to_string(),
        });
        let credentials =
            Credentials { keys: &self.keys, newest_secret: &self.secret, bearer: None };
        let facts = DeliveryFacts {
            product_version: env!("CARGO_PKG_VERSION"),
            event_id: &event.id,
            event_type: &event.kind,
            event_version: version.as_deref().unwrap_or("1"),
            subject: &event.subject(),
            sequence: event.sequence,
            attempt,
            sent_at: engine::clock::real_now(),
            credentials,
            custom: &self.headers,
            traceparent: None,
            body,
        };
        delivery_headers(self.kind, &facts)
    }
}

/// The bytes that a receiver of this kind would get.
fn body(event: &Event, attempt: u32) -> Cow<'_, [u8]> {
    let stored = event.body.get().as_bytes();
    let now = engine::clock::real_now();
    let form = Form {
        family: if event.family == "paywall" { Family::Paywall } else { Family::Billing },
        mode: PayloadMode::Full,
        naming: EventNaming::Full,
        format: PayloadFormat::Flat,
        delivery: DeliveryFrame {
            id: "listen",
            subscription_id: "listen",
            attempts: attempt,
            created_at: now,
            updated_at: now,
        },
        event_url: "",
    };
    render(stored, &form).unwrap_or(Cow::Borrowed(stored))
}

fn header(text: &str) -> Result<(String, String), Failure> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| Failure::Usage(format!("{text:?} is not 'Name: value'")))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Events under way. Those of one subject run one after the other.
#[derive(Default)]
pub struct Lanes {
    tasks: Tasks,
    /// Ends when the last event of the subject has ended.
    last: HashMap<String, oneshot::Receiver<()>>,
}

impl Lanes {
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    pub fn start(&mut self, forwarder: Arc<Forwarder>, event: Event, json: bool) {
        let (done, ended) = oneshot::channel();
        let before = self.last.insert(event.subject(), ended);
        self.tasks.spawn(async move {
            if let Some(before) = before {
                // Its sender is dropped at the latest when its task ends.
                drop(before.await);
            }
            forwarder.deliver(&event, json).await;
            // Nobody waits where no other event of the subject came.
            let _ = done.send(());
        });
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.is_empty() {
            self.last.clear();
        }
    }

    /// Waits for one of them.
    pub async fn one(&mut self) {
        self.tasks.join_next().await;
    }

    /// Waits for all of them.
    pub async fn end(&mut self) {
        while self.tasks.join_next().await.is_some() {}
        self.last.clear();
    }
}
