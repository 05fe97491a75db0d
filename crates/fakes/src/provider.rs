//! An LLM provider for development: it speaks the protocols of OpenAI and of Anthropic over HTTP,
//! invents its answers by fixed rules, and misbehaves when the prompt tells it to. It knows no
//! model, reads no clock and takes no chance: answers to equal requests differ in their ids alone.
//!
//! | route | protocol |
//! |---|---|
//! | `POST /v1/chat/completions`, `POST /v1/completions`, plain and stream | OpenAI |
//! | `POST /v1/embeddings` | OpenAI |
//! | `POST /v1/messages`, plain and stream; `POST /v1/messages/count_tokens` | Anthropic |
//! | `GET /v1/models`, `GET /v1/models/{id}` | both |
//!
//! **Tokens.** A word is what stands between white space, and a word is one token. The prompt has
//! the words of `system` and of every text of every message, switches included; tools and images
//! count nothing. An answer has ten words, or as many as the output cap allows. What is made for a
//! schema (tool arguments, `json_schema`) has one token for each begun four bytes, and the name of
//! a tool is one more. With `n`, the output counts n times. A word is a delta of its own.
//!
//! **Switches** stand in the last message of the user, such as `[slow 200] Hello [words 5]`:
//!
//! | switch | what happens |
//! |---|---|
//! | `[words N]`, `[chunks N]` | N words; N deltas (and as many words, unless said otherwise) |
//! | `[tool]` | the first tool given is called, as with a `tool_choice` that demands one |
//! | `[cached N]`, `[cache-write N]`, `[cache-write-1h N]` | tokens of the prompt, at most all |
//! | `[reasoning N]` | N tokens of output before the words, which nobody sees |
//! | `[prompt-tokens N]`, `[completion-tokens N]` | what the usage claims, whatever was said |
//! | `[no-usage]`, `[zero-usage]` | the answer has no usage; a usage of zeros |
//! | `[slow MS]`, `[gap MS]` | wait before the first byte; between events |
//! | `[slow-us N]` | as `[slow MS]`, in microseconds; as fine as `Settings::waits` is |
//! | `[burst N]` | a write for each N events; without it and without a gap all go in one write |
//! | `[status N]`, `[retry-after S]`, `[quota]` | an error; its header; a 429 for spent quota |
//! | `[hang]`, `[cut-before]` | no byte of an answer; the end before one |
//! | `[cut N]`, `[hang-after N]`, `[error-event N]` | after N deltas: the end, silence, an error |
//! | `[hang-after-deltas]`, `[no-done]` | silence before the usage; a clean end without `[DONE]` |
//! | `[odd-framing]` | single bytes, CRLF, comments, two events a write, `data:` without blank |
//! | `[multi-line]` | each event's JSON stands in two `data:` lines |
//! | `[emoji-split]` | an emoji after each word, sent in two halves |
//! | `[big-event N]` | the first delta is one word of N bytes; without N of a million |
//! | `[bad-json]` | an answer, or a second event, that is not JSON |
//!
//! Every answer carries `x-farebox-fake: llm-provider`. A key must be given in a header of its
//! protocol; any will do, unless `Settings` names one.

mod anthropic;
mod ask;
mod completions;
mod connection;
mod embeddings;
mod error;
mod framing;
mod models;
mod openai;
mod reply;
mod request;
mod route;
mod schema;
mod switches;
pub mod waits;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub const CONNECTIONS_MAX: usize = 8_192;

/// What the provider needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The only key that is taken. Without it any key will do.
    pub api_key: Option<String>,
    /// How many requests are kept; the oldest makes room for the newest.
    pub records_max: usize,
    /// How `[slow]`, `[slow-us]` and `[gap]` wait.
    pub waits: Arc<dyn waits::Waits>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { api_key: None, records_max: 4_096, waits: Arc::new(waits::Coarse) }
    }
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// From 1, in the order in which they were read. Answers name it in their ids.
    pub number: u64,
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A running provider. Dropping it closes the port and every connection.
pub struct Provider {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    settings: Settings,
    records: Mutex<VecDeque<Received>>,
    connections: AtomicU64,
    requests: AtomicU64,
    disconnects: AtomicU64,
}

impl Provider {
    /// Listens on `addr`; port 0 takes a free one.
    pub async fn start(addr: SocketAddr, settings: Settings) -> io::Result<Provider> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(settings));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Provider { addr, shared, accepting })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What an OpenAI client takes as its base URL; Anthropic's adds `/v1` by itself.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// The newest requests, oldest first.
    pub fn received(&self) -> Vec<Received> {
        locked(&self.shared.records).iter().cloned().collect()
    }

    /// How many requests were ever read.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many connections were ever accepted.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How often a client left before its answer was written. An answer in one write is never
    /// left early; `[gap]`, `[slow]` and `[hang]` see a client leave at once.
    pub fn disconnects(&self) -> u64 {
        self.shared.disconnects.load(Ordering::Relaxed)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn new(settings: Settings) -> Shared {
        Shared {
            settings,
            records: Mutex::new(VecDeque::new()),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
        }
    }

    /// Counts one request, keeps it, and gives its number.
    fn record(&self, request: &request::Request) -> u64 {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if self.settings.records_max > 0 {
            let received = request.received(number);
            let mut records = locked(&self.records);
            if records.len() >= self.settings.records_max {
                records.pop_front();
            }
            records.push_back(received);
        }
        number
    }
}

/// A list stays whole when a thread that held it panicked: every change is one step.
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
