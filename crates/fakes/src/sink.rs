//! A webhook receiver for development: it keeps what it gets, says whether each signature holds,
//! and misbehaves on request, by path.
//!
//! | path | what a sender meets |
//! |---|---|
//! | `/ok`, any other | 200 |
//! | `/fail/{status}` | that status |
//! | `/gone` | 410 |
//! | `/redirect` | 302 to `/ok` |
//! | `/flaky/{percent}` | 500 in that share of the requests, by the seed |
//! | `/retry-after/{value}` | 503 with that `retry-after` |
//! | `/hang` | the request is read, nothing is answered |
//! | `/slow-loris` | an answer, one byte at a time, whose head never ends |
//! | `/endless` | 200 and a body without an end |
//! | `/lie-length` | a body shorter than its `content-length`, then the end |
//! | `/close` | the end before any answer |
//! | `/drip` | 200 and half of a body, then silence |
//! | `/many-headers` | 200 with more header lines than anyone needs |
//! | `/garbage` | bytes that are not HTTP |
//!
//! Every answer carries `x-farebox-fake: webhook-sink`. Memory is bounded by the `…_MAX` below,
//! and everything ends when the `Sink` is dropped. Written on plain TCP, since no server library
//! lies about its own answers.

mod answer;
mod connection;
mod request;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::webhook::signature::{SigningKey, VerifyError};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};

pub const CONNECTIONS_MAX: usize = 256;
/// The oldest record makes room for the newest.
pub const RECORDS_MAX: usize = 16_384;
const STREAM_MAX: usize = 256;

/// What the sink needs to know before it starts.
#[derive(Clone, Default)]
pub struct Settings {
    /// `whsec_…`; without one no signature is checked.
    pub secret: Option<String>,
    /// Unix seconds, for the age of a signature: a fake reads no clock. Without it no age is wrong.
    pub now_seconds: Option<fn() -> i64>,
    /// Decides which requests `/flaky` fails; the same seed, the same requests.
    pub seed: u64,
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub signature: Signature,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Valid,
    Invalid(VerifyError),
    /// A `webhook-id`, `-timestamp` or `-signature` header is missing.
    Missing,
    /// The sink has no secret.
    Unchecked,
}

/// A running sink. Dropping it closes the port and every connection.
pub struct Sink {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    keys: Mutex<Vec<SigningKey>>,
    now_seconds: Option<fn() -> i64>,
    seed: u64,
    records: Mutex<VecDeque<Received>>,
    stream: broadcast::Sender<Received>,
    connections: AtomicU64,
    requests: AtomicU64,
}

impl Sink {
    /// Listens on `addr`; port 0 takes a free one.
    pub async fn start(addr: SocketAddr, settings: Settings) -> io::Result<Sink> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(&settings));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Sink { addr, shared, accepting })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of one of the paths above.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Requests that begin from now on are checked with this secret alone.
    pub fn set_secret(&self, secret: &str) {
        *locked(&self.shared.keys) = vec![SigningKey::parse(secret)];
    }

    /// The newest requests, oldest first.
    pub fn received(&self) -> Vec<Received> {
        locked(&self.shared.records).iter().cloned().collect()
    }

    /// Every request from now on; a reader that is too slow is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Received> {
        self.shared.stream.subscribe()
    }

    /// How many connections were ever accepted.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn new(settings: &Settings) -> Shared {
        Shared {
            keys: Mutex::new(settings.secret.iter().map(|text| SigningKey::parse(text)).collect()),
            now_seconds: settings.now_seconds,
            seed: settings.seed,
            records: Mutex::new(VecDeque::new()),
            stream: broadcast::channel(STREAM_MAX).0,
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// Keeps and streams one request, and gives its number, from 0.
    fn record(&self, received: Received) -> u64 {
        // Nobody listening is no error.
        let _ = self.stream.send(received.clone());
        let mut records = locked(&self.records);
        if records.len() == RECORDS_MAX {
            records.pop_front();
        }
        records.push_back(received);
        self.requests.fetch_add(1, Ordering::Relaxed)
    }
}

/// A record stays whole when a thread that held it panicked: every change is one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Owns the connections, so that aborting this task ends them.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        if open.len() >= CONNECTIONS_MAX {
            open.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else { continue };
        while open.try_join_next().is_some() {}
        shared.connections.fetch_add(1, Ordering::Relaxed);
        open.spawn(connection::serve(stream, Arc::clone(&shared)));
    }
}
