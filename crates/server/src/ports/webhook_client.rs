//! The guarded client: one POST to an address that a user gave, which may be hostile.
//!
//! A name is resolved once, all its addresses are checked, and the connection goes to exactly the
//! checked address, so that a name server has no second word. Redirects are never followed, proxy
//! variables never read, answers never decompressed, and what is read is bounded. It does not
//! sign, retry by schedule or record: it says what became of one attempt.
//!
//! HTTP/1.1 only. HTTP/2 would save connections, not requests: a lane has at most 64 in flight.

pub(super) mod connection;
pub(super) mod failure;
mod names;
pub(super) mod pool;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::webhook::address::AllowList;
use domain::webhook::receiver::Timing;
use domain::webhook::schedule::Outcome;
use domain::webhook::target::{Target, TargetError};
use http::header::{HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

use connection::{Connection, Connector, Unanswered};
use engine::ports::WebhookPort;
pub use engine::ports::{Attempt, Request};
use failure::Failed;
pub use names::Names;
use pool::{Key, Pool};

/// Read of an answer's body; then the connection is closed and the status counts.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Kept of an answer's body.
pub const SNIPPET_BYTES_MAX: usize = 4_096;
const RETRY_AFTER_BYTES_MAX: usize = 128;
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// As many as a receiver may have requests in flight.
const IDLE_PER_HOST_MAX: usize = 64;

/// Shared by all lanes; cloning it shares its connections. Use it inside a tokio runtime.
#[derive(Clone)]
pub struct GuardedClient {
    list: Arc<AllowList>,
    names: Names,
    connector: Connector,
    pool: Arc<Pool>,
}

/// What is known of an attempt while it runs, and stays known when it fails.
#[derive(Default)]
struct Trace {
    status: Option<u16>,
    retry_after: Option<String>,
    snippet: Vec<u8>,
    address: Option<IpAddr>,
    reconnected: bool,
    timing: Timing,
}

type Message = hyper::Request<Full<Bytes>>;

impl GuardedClient {
    pub fn new(list: AllowList) -> GuardedClient {
        GuardedClient::with_names(list, Names::System)
    }

    /// With another source of addresses. The guard is the same.
    pub fn with_names(list: AllowList, names: Names) -> GuardedClient {
        GuardedClient::with_patience(list, names, (CONNECT_MAX, IDLE_PER_HOST_MAX))
    }

    pub(super) fn with_patience(
        list: AllowList,
        names: Names,
        (connect_max, idle_max): (Duration, usize),
    ) -> GuardedClient {
        let (connector, pool) = (Connector::new(connect_max), Arc::new(Pool::new(idle_max)));
        GuardedClient { list: Arc::new(list), names, connector, pool }
    }

    /// Sends the request once. It always answers, and within `timeout_ms`.
    pub async fn post(&self, request: &Request) -> Attempt {
        let started = Instant::now();
        let deadline = started + Duration::from_millis(request.timeout_ms);
        let mut trace = Trace::default();
        let result = self.attempt(request, deadline, (&mut trace, SNIPPET_BYTES_MAX)).await;
        trace.into_attempt(result, started.elapsed())
    }

    /// The body of a 2xx answer that is whole and at most so long; what else comes is none.
    pub async fn ask(&self, request: &Request, bytes_max: usize) -> Option<Vec<u8>> {
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
        let mut trace = Trace::default();
        let asked = self.attempt(request, deadline, (&mut trace, bytes_max + 1)).await;
        let is_good = asked.is_ok() && trace.status.is_some_and(|status| status / 100 == 2);
        Some(trace.snippet).filter(|body| is_good && body.len() <= bytes_max)
    }

    /// Judges a URL that is to be saved, with one look-up of its name, and gives its one spelling.
    /// A name that does not resolve passes: it is judged again at every send.
    pub async fn check(&self, url: &str) -> Result<String, TargetError> {
        let target = Target::parse(url, &self.list)?;
        let addresses = self.names.resolve(target.host()).await.unwrap_or_default();
        target.check_resolved(&addresses, &self.list_with_own(&addresses))?;
        Ok(target.as_str().to_owned())
    }

    /// The operator's list, and which of these addresses are the machine's own: a public one too
    /// leads back to this server or to its neighbours.
    fn list_with_own(&self, addresses: &[IpAddr]) -> AllowList {
        let mut list = AllowList::clone(&self.list);
        list.own.extend(addresses.iter().copied().filter(is_own));
        list
    }

    async fn attempt(
        &self,
        request: &Request,
        deadline: Instant,
        (trace, kept_max): (&mut Trace, usize),
    ) -> Result<Outcome, Failed> {
        let began = Instant::now();
        let head = timeout_at(deadline, self.exchange(request, trace)).await;
        let (answer, mut connection) = head.map_err(|_| Failed::no_head())??;
        trace.timing.first_byte_ms = Some(ms(began.elapsed()));
        let status = answer.status().as_u16();
        trace.status = Some(status);
        trace.retry_after = retry_after(answer.headers());
        let (incoming, kept) = (answer.into_body(), (&mut trace.snippet, kept_max));
        let body = timeout_at(deadline, read_body((incoming, &mut connection), kept)).await;
        if body.map_err(|_| Failed::no_end())?? {
            self.pool.put(connection);
        }
        Ok(Outcome::of_status(status))
    }

    /// Up to the head of the answer, on a reused connection or a new one.
    async fn exchange(
        &self,
        request: &Request,
        trace: &mut Trace,
    ) -> Result<(Response<Incoming>, Connection), Failed> {
        let target = Target::parse(&request.url, &self.list).map_err(Failed::blocked)?;
        let mut message = message(&target, request)?;
        let key = Key::of(&target);
        if let Some(mut reused) = self.pool.take(&key) {
            trace.address = Some(reused.address);
            match reused.send(message).await {
                Ok(answer) => return Ok((answer, reused)),
                Err(Unanswered::Failed(failed)) => return Err(failed),
                Err(Unanswered::Unsent(unsent)) => message = *unsent,
            }
            trace.reconnected = true;
            trace.address = None;
        }
        let mut fresh = self.connect(&target, key, trace).await?;
        let answer = fresh.send(message).await.map_err(Failed::from)?;
        Ok((answer, fresh))
    }

    /// What is written of an address passes, or nothing is looked up.
    pub(super) fn target(&self, url: &str) -> Result<Target, Failed> {
        Target::parse(url, &self.list).map_err(Failed::blocked)
    }

    /// A connection that waits for its next request.
    pub(super) fn reuse(&self, key: &Key) -> Option<Connection> {
        self.pool.take(key)
    }

    /// A new connection to an address that passes.
    pub(super) async fn dial(&self, target: &Target, key: Key) -> Result<Connection, Failed> {
        self.connect(target, key, &mut Trace::default()).await
    }

    /// The connection's answer was read to its end.
    pub(super) fn give_back(&self, connection: Connection) {
        self.pool.put(connection);
    }

    /// Every address of the name passes, or none is connected to.
    async fn connect(
        &self,
        target: &Target,
        key: Key,
        trace: &mut Trace,
    ) -> Result<Connection, Failed> {
        let resolved_at = Instant::now();
        let addresses = self.names.resolve(target.host()).await?;
        trace.timing.dns_ms = Some(ms(resolved_at.elapsed()));
        let list = self.list_with_own(&addresses);
        target.check_resolved(&addresses, &list).map_err(Failed::blocked)?;
        trace.address = addresses.first().copied();
        let connection = self.connector.open(target, &addresses, (key, resolved_at)).await?;
        trace.address = Some(connection.address);
        trace.timing.connect_ms = Some(ms(connection.opened.connect));
        trace.timing.tls_ms = connection.opened.tls.map(ms);
        Ok(connection)
    }
}

fn ms(took: Duration) -> u32 {
    u32::try_from(took.as_millis()).unwrap_or(u32::MAX)
}

/// Only an address of this machine can be bound to. Nothing is sent.
fn is_own(address: &IpAddr) -> bool {
    std::net::UdpSocket::bind((*address, 0)).is_ok()
}

impl WebhookPort for GuardedClient {
    fn post(&self, request: Request) -> Pin<Box<dyn Future<Output = Attempt> + Send + '_>> {
        Box::pin(async move { GuardedClient::post(self, &request).await })
    }
}

impl Trace {
    fn into_attempt(self, result: Result<Outcome, Failed>, took: Duration) -> Attempt {
        let (outcome, error) = match result {
            Ok(outcome) => (outcome, None),
            Err(failed) => (failed.outcome, Some(failed.error)),
        };
        Attempt {
            outcome,
            status: self.status,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            retry_after: self.retry_after,
            snippet: self.snippet,
            address: self.address,
            error,
            reconnected: self.reconnected,
            timing: self.timing,
        }
    }
}

fn message(target: &Target, request: &Request) -> Result<Message, Failed> {
    let url = target.url();
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut message = hyper::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = path.parse().map_err(|_| Failed::unsendable("the URL's path"))?;
    *message.headers_mut() = headers(&request.headers)?;
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let host = HeaderValue::from_str(host).map_err(|_| Failed::unsendable("the URL's host"))?;
    message.headers_mut().insert(HOST, host);
    Ok(message)
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, Failed> {
    let mut headers = HeaderMap::with_capacity(pairs.len() + 1);
    for (name, value) in pairs {
        let unsendable = || Failed::unsendable(&format!("the header {name:?}"));
        let key: HeaderName = name.parse().map_err(|_| unsendable())?;
        headers.append(key, value.parse().map_err(|_| unsendable())?);
    }
    Ok(headers)
}

fn retry_after(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    (text.len() <= RETRY_AFTER_BYTES_MAX).then(|| text.to_owned())
}

/// Whether the body ended; else it reached its limit, and its connection is of no more use.
async fn read_body(
    (mut body, connection): (Incoming, &mut Connection),
    (snippet, kept_max): (&mut Vec<u8>, usize),
) -> Result<bool, Failed> {
    let mut read = 0;
    while let Some(frame) = connection.frame(&mut body).await {
        let frame = frame.map_err(|error| Failed::while_reading(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        read += data.len();
        let room = kept_max - snippet.len();
        snippet.extend_from_slice(&data[..room.min(data.len())]);
        if read >= ANSWER_BYTES_MAX {
            return Ok(body.is_end_stream());
        }
    }
    Ok(true)
}
