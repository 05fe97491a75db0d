//! Asks LLM providers: one request over a kept connection to a checked address, its answer read
//! piece by piece. It sends what it is given; whom to ask, with what, and what an answer costs are
//! decided elsewhere. It never asks twice: a request that may have arrived is never repeated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::webhook::address::AllowList;
use domain::webhook::schedule::Outcome;
use domain::webhook::target::Target;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::RwLock;
use tokio::time::{Instant, timeout_at};

use super::webhook_client::connection::{Connection, Unanswered};
use super::webhook_client::failure::Failed;
use super::webhook_client::pool::Key;
use super::webhook_client::{GuardedClient, Names};

/// A connection of a paywall may say less.
const CONNECT_MAX: Duration = Duration::from_secs(30);
const IDLE_PER_HOST_MAX: usize = 512;
/// URLs whose reading is kept.
const PLACES_MAX: usize = 4_096;

/// Shared by all requests; cloning it shares its connections.
#[derive(Clone)]
pub struct ProviderClient {
    guarded: Arc<GuardedClient>,
    /// By the URL as it was given. Connections have few, and are asked all the time.
    places: Arc<RwLock<HashMap<String, Arc<Place>>>>,
}

/// A URL, read: whether it may be asked is told by what is written of it and the operator's word,
/// and neither changes while the process runs.
struct Place {
    target: Target,
    key: Key,
    host: HeaderValue,
    /// Path and query.
    path: Uri,
}

/// One POST.
#[derive(Debug)]
pub struct Request {
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// For name, connection and TLS together.
    pub connect: Duration,
    /// From the request to the head of its answer.
    pub first_byte: Duration,
    /// Of all of it.
    pub deadline: Instant,
}

/// The head of an answer; its body is still to come.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Reading,
}

/// A body under way. Dropping it closes the connection, unless it has been read to its end.
pub struct Reading {
    incoming: Incoming,
    connection: Option<Connection>,
    client: ProviderClient,
}

/// Why there is no answer, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreached {
    #[error("the provider cannot be reached: {0}")]
    NoConnection(String),
    #[error("the provider did not answer in time")]
    Slow,
    #[error("the provider ended the connection before its answer")]
    Lost,
    #[error("the provider's answer is not HTTP that can be read")]
    Unreadable,
}

impl ProviderClient {
    /// With the operator's word on addresses.
    pub fn new(list: AllowList) -> ProviderClient {
        let patience = (CONNECT_MAX, IDLE_PER_HOST_MAX);
        let guarded = GuardedClient::with_patience(list, Names::System, patience);
        ProviderClient { guarded: Arc::new(guarded), places: Arc::default() }
    }

    /// Sends it once, and waits for the head of the answer.
    pub async fn send(&self, request: Request) -> Result<Answered, Unreached> {
        let place = self.place(request.url)?;
        let message = place.message(request.headers, request.body);
        let patience = (request.connect, request.first_byte, request.deadline);
        let (answer, connection) = self.exchange(&place, message, patience).await?;
        let (head, incoming) = answer.into_parts();
        let body = Reading { incoming, connection: Some(connection), client: self.clone() };
        Ok(Answered { status: head.status, headers: head.headers, body })
    }

    fn place(&self, url: String) -> Result<Arc<Place>, Failed> {
        if let Some(known) = self.places.read().get(&url) {
            return Ok(known.clone());
        }
        let place = Arc::new(Place::of(self.guarded.target(&url)?)?);
        // A query is the client's, and may be another one each time.
        if !url.contains('?') {
            let mut places = self.places.write();
            if places.len() >= PLACES_MAX {
                places.clear();
            }
            places.insert(url, place.clone());
        }
        Ok(place)
    }

    async fn exchange(
        &self,
        place: &Place,
        mut message: http::Request<Full<Bytes>>,
        (connect, first_byte, deadline): (Duration, Duration, Instant),
    ) -> Result<(hyper::Response<Incoming>, Connection), Unreached> {
        if let Some(mut kept) = self.guarded.reuse(&place.key) {
            let late = deadline.min(Instant::now() + first_byte);
            let sent = timeout_at(late, kept.send(message)).await;
            match sent.map_err(|_| Unreached::Slow)? {
                Ok(answer) => return Ok((answer, kept)),
                Err(Unanswered::Unsent(unsent)) => message = *unsent,
                Err(Unanswered::Failed(failed)) => return Err(failed.into()),
            }
        }
        // In a box: it is rare, and whoever waits stays small.
        let dial = Box::pin(self.guarded.dial(&place.target, place.key.clone()));
        let dialled = timeout_at(deadline.min(Instant::now() + connect), dial).await;
        let unreached = || Unreached::NoConnection("no connection in time".to_owned());
        let mut fresh = dialled.map_err(|_| unreached())??;
        let late = deadline.min(Instant::now() + first_byte);
        let sent = timeout_at(late, fresh.send(message)).await;
        let answer = sent.map_err(|_| Unreached::Slow)?.map_err(Failed::from)?;
        Ok((answer, fresh))
    }
}

impl Reading {
    /// The next piece; `None` after the last one. Waits as long as it takes.
    pub async fn next(&mut self) -> Option<Result<Bytes, Unreached>> {
        loop {
            let connection = self.connection.as_mut()?;
            match connection.frame(&mut self.incoming).await {
                None => {
                    if let Some(connection) = self.connection.take() {
                        self.client.guarded.give_back(connection);
                    }
                    return None;
                }
                Some(Err(error)) => {
                    self.connection = None;
                    return Some(Err(Failed::while_reading(&error).into()));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
            }
        }
    }
}

impl From<Failed> for Unreached {
    fn from(failed: Failed) -> Unreached {
        match failed.outcome {
            Outcome::ConnectionLost => Unreached::Lost,
            Outcome::BadResponse => Unreached::Unreadable,
            Outcome::Timeout | Outcome::TimeoutBody => Unreached::Slow,
            _ => Unreached::NoConnection(failed.error),
        }
    }
}

impl Place {
    fn of(target: Target) -> Result<Place, Failed> {
        let url = target.url();
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let host = HeaderValue::from_str(host).map_err(|_| Failed::unsendable("the URL's host"))?;
        let path = path.parse().map_err(|_| Failed::unsendable("the URL's path"))?;
        Ok(Place { key: Key::of(&target), host, path, target })
    }

    fn message(&self, mut headers: HeaderMap, body: Bytes) -> http::Request<Full<Bytes>> {
        headers.insert(HOST, self.host.clone());
        let mut message = hyper::Request::new(Full::new(body));
        *message.method_mut() = Method::POST;
        *message.uri_mut() = self.path.clone();
        *message.headers_mut() = headers;
        message
    }
}
