//! One admitted request on its way to the provider and back. It ends in exactly one settlement,
//! whoever fails or leaves.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, StatusCode, header};
use bytes::BytesMut;
use domain::proxy::count::tokens_of_bytes;
use domain::proxy::usage::{self, Answer as Said};
use domain::time::Timestamp;
use engine::proxy::replay::Claim;
use engine::proxy::{Admission, CanceledBy, End, Outcome, Settled, Ticket};
use engine::{Class, Error, Fault};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::ask::{Asked, Front};
use super::client::Client;
use super::failure::{Failure, Refused};
use super::pump::Pump;
use super::{answer, blocked, custom_response, forward, replay};
use crate::app::App;
use crate::http::answer::Answer;
use crate::ports::provider_client::{Answered, Reading, Unreached};

/// Largest plain answer.
const ANSWER_BYTES_MAX: usize = 32 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// What a request may still take when the process stops.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
const EVENT_STREAM: &[u8] = b"text/event-stream";
/// A hold lives this much longer than request and drain (paywalls 17.4).
const HOLD_GRACE: Duration = Duration::from_mins(1);

pub struct Exchange {
    pub app: App,
    pub front: Box<Front>,
    pub ticket: Arc<Ticket>,
    /// Of the request's idempotency key.
    pub claim: Option<Claim>,
    /// The whole request ends here.
    pub deadline: Instant,
}

/// What the provider answered, as far as it goes at once.
enum Got {
    Plain { status: StatusCode, headers: HeaderMap, body: Bytes },
    Stream(Answered),
}

/// Why there is no answer.
enum Without {
    Failure(Failure),
    /// The client has gone, and nothing came while it was waited for.
    Client,
    /// The process stops.
    Time,
}

/// Some providers tell an error with status 200.
#[derive(Deserialize)]
struct MayFail<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Admits the request and carries it through.
pub async fn run(app: App, asked: Asked, sender: oneshot::Sender<Result<Answer, Error>>) {
    let Asked { call, front } = asked;
    let client = Client::Waiting(sender);
    let claim = match replay::claim(&app, &front).await {
        Ok(claim) => claim,
        Err(answer) => return client.answer(answer),
    };
    match app.engine.admit(call).await {
        Err(error) => {
            drop(claim);
            client.answer(Err(error));
        }
        Ok(Admission::Blocked(refusal)) => {
            let words = match refusal.reason.template() {
                Some(_) => {
                    let told = (refusal.reason.name(), refusal.link.as_deref());
                    Box::pin(custom_response::ask(&app, &front, told)).await
                }
                None => None,
            };
            drop(claim);
            let at = app.engine.now(&front.scope);
            client.answer(Ok(blocked::answer(&front, &refusal, (at, words))));
        }
        Ok(Admission::Admitted(ticket)) => {
            let seconds = front.paywall.paywall.limits.request_seconds;
            let deadline = front.began + Duration::from_secs(seconds);
            Exchange { app, front, ticket, claim, deadline }.carry(client).await;
        }
    }
}

impl Exchange {
    async fn carry(self, mut client: Client) {
        if client.is_gone() {
            return Box::pin(self.cancel()).await;
        }
        match self.answered(&mut client).await {
            Err(Without::Client) => Box::pin(self.cancel()).await,
            Err(Without::Time) => Box::pin(self.shut_down(client)).await,
            Err(Without::Failure(failure)) => Box::pin(self.fail(&failure, client)).await,
            Ok(Got::Stream(answered)) => {
                Box::pin(Pump::new(self, answered, client).run()).await;
            }
            Ok(Got::Plain { status, headers, body }) => {
                self.deliver((status, headers, body), client).await;
            }
        }
    }

    async fn answered(&self, client: &mut Client) -> Result<Got, Without> {
        let came = tokio::select! {
            biased;
            came = client.unless_left(self.drain(), self.ask_provider()) => came,
            () = stopped(self.app.stopping(), STOP_GRACE) => return Err(Without::Time),
        };
        came.ok_or(Without::Client)?.map_err(Without::Failure)
    }

    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.front.paywall.paywall.limits.drain_seconds)
    }

    pub fn idle(&self) -> Duration {
        forward::idle(&self.front, &self.ticket.target.provider)
    }

    pub fn now(&self) -> Timestamp {
        self.app.engine.now(&self.front.scope)
    }

    async fn ask_provider(&self) -> Result<Got, Failure> {
        let request = forward::request(&self.front, &self.ticket, self.deadline);
        let request = request.ok_or(Failure::BadAnswer { status: 400 })?;
        let mut answered = self.app.providers.send(request).await?;
        let status = answered.status;
        if status.is_success() && is_stream(&answered.headers) {
            return Ok(Got::Stream(answered));
        }
        let body = whole(&mut answered.body, status, (self.idle(), self.deadline)).await?;
        let headers = answered.headers;
        if status.is_success() {
            return Ok(Got::Plain { status, headers, body });
        }
        Err(Failure::Refused(Box::new(Refused { status, headers, body })))
    }

    /// Settles a plain answer, then passes it on.
    async fn deliver(self, plain: (StatusCode, HeaderMap, Bytes), client: Client) {
        let (status, headers, body) = plain;
        let said = usage::answer(self.front.protocol, &body);
        let Some(said) = said.filter(|said| !is_error(said, &body)) else {
            let failure = Failure::BadAnswer { status: status.as_u16() };
            return Box::pin(self.fail(&failure, client)).await;
        };
        let by = CanceledBy::Client;
        let whole = Outcome::Completed { cut: false };
        let outcome = if client.is_gone() { Outcome::Canceled { by } } else { whole };
        let mut head = answer::head(&headers, &self.ticket, self.now());
        let end = self.with_plain(self.end(outcome, said, status), (status, &head, &body));
        match self.settle(end).await {
            Err(error) => {
                client.answer(Err(error));
                // The client got nothing, so nothing is charged; but the request has its end.
                let failed = Outcome::Failed { code: "ledger_unavailable", http_status: None };
                let end = || self.bare_end(failed.clone(), Some(status.as_u16()));
                self.settle_stubbornly(end).await;
            }
            Ok(settled) => {
                self.keep_prompt(&body).await;
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                answer::put_settled(&mut head, &settled);
                *response.headers_mut() = head;
                client.answer(Ok(Answer::Raw(Box::new(response))));
            }
        }
    }

    fn end(&self, outcome: Outcome, said: Said, status: StatusCode) -> End {
        End {
            outcome,
            usage: said.usage,
            counted_output_tokens: tokens_of_bytes(said.output_bytes),
            has_output: true,
            model: said.model,
            service_tier: said.service_tier,
            finish_reason: said.finish_reason,
            latency_ms: self.latency_ms(),
            upstream_status: Some(status.as_u16()),
            reply: None,
        }
    }

    /// An end without output.
    fn bare_end(&self, outcome: Outcome, upstream_status: Option<u16>) -> End {
        End {
            outcome,
            usage: None,
            counted_output_tokens: 0,
            has_output: false,
            model: None,
            service_tier: None,
            finish_reason: None,
            latency_ms: self.latency_ms(),
            upstream_status,
            reply: None,
        }
    }

    pub fn latency_ms(&self) -> u64 {
        u64::try_from(self.front.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The client has gone, and nothing came.
    async fn cancel(self) {
        let canceled = Outcome::Canceled { by: CanceledBy::Client };
        self.settle_stubbornly(|| self.bare_end(canceled.clone(), None)).await;
    }

    /// The process stops before any output.
    pub async fn shut_down(&self, client: Client) {
        let by = if client.is_gone() { CanceledBy::Client } else { CanceledBy::Shutdown };
        let canceled = Outcome::Canceled { by };
        self.settle_stubbornly(|| self.bare_end(canceled.clone(), None)).await;
        let message = "the server is stopping; send the request again";
        client.answer(Err(Fault::new(Class::Unavailable, "service_unavailable", message).into()));
    }

    /// Before any output: nothing is charged.
    pub async fn fail(&self, failure: &Failure, client: Client) {
        let (code, _) = failure.code_and_status();
        let http_status = failure.upstream_status();
        let end =
            || self.bare_end(Outcome::Failed { code, http_status }, failure.upstream_status());
        match self.settle(end()).await {
            Ok(_) => {
                self.keep_prompt(&[]).await;
                let words = match failure.outage_in_words(&self.front) {
                    Some(code) => custom_response::ask(&self.app, &self.front, (code, None)).await,
                    None => None,
                };
                client.answer(Ok(failure.answer(&self.front, (self.now(), words))));
            }
            Err(error) => {
                client.answer(Err(error));
                self.settle_stubbornly(end).await;
            }
        }
    }

    pub fn keeps_prompts(&self) -> bool {
        self.front.paywall.paywall.privacy.store_prompts
    }

    /// For the owner who wants it. What cannot be kept keeps nobody from an answer.
    pub async fn keep_prompt(&self, answer: &[u8]) {
        if self.keeps_prompts() {
            let (engine, front) = (&self.app.engine, &self.front);
            let texts = (&front.body[..], answer);
            let kept = Box::pin(engine.keep_prompt(front.scope, front.request, texts));
            if let Err(error) = kept.await {
                tracing::warn!(request = %front.request, %error, "a prompt was not kept");
            }
        }
    }

    pub async fn settle(&self, end: End) -> Result<Settled, Error> {
        let settled = self.app.engine.settle(&self.ticket, end).await?;
        if let Some(claim) = &self.claim {
            claim.release();
        }
        Ok(settled)
    }

    /// Tries until the hold's own deadline, when the sweeper takes it.
    pub async fn settle_stubbornly(&self, end: impl Fn() -> End) -> Option<Settled> {
        let over = self.deadline + self.drain() + HOLD_GRACE;
        let mut wait = RETRY_FIRST;
        loop {
            match self.settle(end()).await {
                Ok(settled) => return Some(settled),
                Err(error) if Instant::now() + wait < over && !self.app.is_stopping() => {
                    tracing::warn!(%error, "a request is not settled; trying again");
                }
                Err(error) => {
                    tracing::error!(%error, "a request is not settled; its hold will be swept");
                    return None;
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }
}

/// The whole body, within bounds. Mostly it comes in one piece, which is not copied.
pub async fn whole(
    body: &mut Reading,
    status: StatusCode,
    (idle, deadline): (Duration, Instant),
) -> Result<Bytes, Failure> {
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    loop {
        let late = deadline.min(Instant::now() + idle);
        let piece = timeout_at(late, body.next()).await.map_err(|_| Unreached::Slow)?;
        let Some(piece) = piece else { break };
        let piece = piece?;
        if first.len() + rest.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(Failure::BadAnswer { status: status.as_u16() });
        }
        if first.is_empty() {
            first = piece;
        } else {
            rest.extend_from_slice(&piece);
        }
    }
    Ok(if rest.is_empty() { first } else { [&first[..], &rest].concat().into() })
}

/// Ends so long after the process was told to stop.
pub async fn stopped(mut stopping: watch::Receiver<bool>, grace: Duration) {
    drop(stopping.wait_for(|stopping| *stopping).await);
    sleep(grace).await;
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().trim_ascii_start());
    let start = kind.and_then(|kind| kind.get(..EVENT_STREAM.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM))
}

fn is_error(said: &Said, body: &[u8]) -> bool {
    let silent = said.usage.is_none() && said.output_bytes == 0;
    let error = || serde_json::from_slice::<MayFail<'_>>(body).ok()?.error;
    silent && error().is_some_and(|error| error.get() != "null")
}
