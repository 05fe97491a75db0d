//! What the engine asks of the outside world. The server has the real clients, tests have others.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use domain::webhook::receiver::Timing;
use domain::webhook::schedule::Outcome;

/// Sends deliveries.
pub trait WebhookPort: Send + Sync {
    /// Sends the request once. It always answers, and within `timeout_ms`.
    fn post(&self, request: Request) -> Pin<Box<dyn Future<Output = Attempt> + Send + '_>>;
}

/// One POST. The headers are sent as they are, with a `host` from the URL.
#[derive(Clone, Debug)]
pub struct Request {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// For everything: name, connection, answer.
    pub timeout_ms: u64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub duration_ms: u64,
    /// As the receiver wrote it.
    pub retry_after: Option<String>,
    /// The first bytes of the answer's body.
    pub snippet: Vec<u8>,
    /// Never that of a refused name.
    pub address: Option<IpAddr>,
    /// For the receiver's owner; it names no refused address.
    pub error: Option<String>,
    /// A reused connection had been closed before anything was written, and a new one was opened.
    pub reconnected: bool,
    pub timing: Timing,
}
