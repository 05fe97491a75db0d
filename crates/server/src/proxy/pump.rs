//! A stream under way: reads from the provider are metered and passed on, until it ends, is cut,
//! breaks, or nobody reads it any more (paywalls 16.5, 17.5, 17.7).

use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use domain::proxy::blocked::{Notice, Settled as Comment};
use domain::proxy::hold::Hold;
use domain::proxy::stream::{Next, Step, StreamMeter};
use domain::proxy::vector::{Class, Quantities};
use engine::Error;
use engine::proxy::{End, Outcome, Settled};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer;
use super::client::{Client, Sent};
use super::exchange::Exchange;
use super::failure::Failure;
use super::under_way::Entry;
use crate::ports::provider_client::{Answered, Reading, Unreached};

/// After so long a silence a comment keeps intermediaries from closing the connection.
const QUIET_MAX: Duration = Duration::from_secs(15);
const KEEP_OPEN: &[u8] = b": keep-alive\n\n";
/// At this part of the hold it is extended.
const EXTEND_AT_PERCENT: u64 = 70;
/// Reads that are passed on at once.
const READS_AT_ONCE: usize = 32;
/// For the end of a body whose last event has come, so that its connection can be kept.
const TAIL_MAX: Duration = Duration::from_secs(1);
/// What a stream may still take when the process stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

type Extending = Pin<Box<dyn Future<Output = Result<Option<Hold>, Error>> + Send>>;

/// Whether the hold can grow.
enum Growth {
    Idle,
    Running(Extending),
    Over,
}

pub struct Pump {
    exchange: Exchange,
    status: StatusCode,
    headers: HeaderMap,
    body: Reading,
    meter: StreamMeter,
    client: Client,
    hold: Hold,
    growth: Growth,
    /// That a charge will follow is told, or being told.
    opened: Option<JoinHandle<()>>,
    entry: Entry,
    deadline: Instant,
    stopping: watch::Receiver<bool>,
}

/// What comes next from the provider, or instead of it.
enum Read {
    Piece(Bytes),
    End,
    Broken(Unreached),
    /// Nobody has read for as long as it is drained.
    Drained,
}

/// How the stream ended.
enum Ending {
    Whole,
    /// The money or a limit ended.
    Cut,
    Broken(Failure),
    Left,
}

impl Pump {
    pub fn new(exchange: Exchange, answered: Answered, client: Client) -> Pump {
        let (ask, hold) = (&exchange.front.ask, exchange.ticket.hold);
        let protocol = exchange.front.protocol;
        Pump {
            meter: StreamMeter::new(protocol, ask.wants_usage, hold.budget_tokens()),
            status: answered.status,
            headers: answered.headers,
            body: answered.body,
            client,
            hold,
            growth: Growth::Idle,
            opened: None,
            entry: exchange.app.under_way.enter(&exchange.ticket),
            deadline: exchange.deadline,
            stopping: exchange.app.stopping(),
            exchange,
        }
    }

    pub async fn run(mut self) {
        let ending = self.relay().await;
        if let Growth::Running(extending) = std::mem::replace(&mut self.growth, Growth::Over) {
            drop(extending.await);
        }
        match ending {
            Ending::Broken(failure) if self.client.is_waiting() => {
                self.exchange.fail(&failure, self.client).await;
            }
            ending => self.end(ending).await,
        }
    }

    async fn relay(&mut self) -> Ending {
        loop {
            let mut next = Some(self.read().await);
            let (mut pieces, mut reads) = (Vec::new(), 0);
            while let Some(read) = next.take() {
                if let Some(ending) = self.take(read, &mut pieces).await {
                    self.pass(pieces).await;
                    return ending;
                }
                reads += 1;
                if reads < READS_AT_ONCE {
                    next = self.body.next().now_or_never().map(Read::of);
                }
            }
            self.pass(pieces).await;
            self.extend_early();
        }
    }

    /// Meters one read and gathers what of it is passed on.
    async fn take(&mut self, read: Read, pieces: &mut Vec<Bytes>) -> Option<Ending> {
        let mut is_end = false;
        let step = match read {
            Read::Piece(piece) => self.meter.feed(piece),
            Read::End => {
                is_end = true;
                Ok(self.meter.finish())
            }
            Read::Broken(unreached) => return Some(Ending::Broken(unreached.into())),
            Read::Drained => return Some(Ending::Left),
        };
        let Ok(mut step) = step else { return Some(self.unreadable()) };
        loop {
            let Step { relay, next } = step;
            pieces.extend(relay);
            match next {
                Next::More if is_end => return Some(self.closed()),
                Next::More => return None,
                Next::Last => return Some(Ending::Whole),
                Next::OverBudget { tokens } => {
                    self.pass(std::mem::take(pieces)).await;
                    if !self.extend_to(tokens).await {
                        let is_gone = self.client.is_gone();
                        return Some(if is_gone { Ending::Left } else { Ending::Cut });
                    }
                    let Ok(resumed) = self.meter.resume() else { return Some(self.unreadable()) };
                    step = resumed;
                }
            }
        }
    }

    fn unreadable(&self) -> Ending {
        Ending::Broken(Failure::BadAnswer { status: self.status.as_u16() })
    }

    /// The provider closed a stream without its last event: whole only if it had told its end.
    fn closed(&self) -> Ending {
        if self.meter.seen().finish_reason.is_some() {
            Ending::Whole
        } else {
            Ending::Broken(Unreached::Lost.into())
        }
    }

    /// The next read. Meanwhile the hold grows, silence is filled, and a client may leave.
    async fn read(&mut self) -> Read {
        let idle_at = Instant::now() + self.exchange.idle();
        let mut quiet_at = Instant::now() + QUIET_MAX;
        loop {
            let drained_at = self.client.gone_at().map(|at| at + self.exchange.drain());
            let until = idle_at.min(self.deadline).min(drained_at.unwrap_or(quiet_at));
            tokio::select! {
                biased;
                next = self.body.next() => return Read::of(next),
                extended = extended(&mut self.growth) => self.apply(extended),
                () = self.client.left() => self.client.leave(),
                () = stopped(&mut self.stopping), if !is_soon(self.deadline) => {
                    self.deadline = self.deadline.min(Instant::now() + STOP_GRACE);
                }
                () = sleep_until(until) => {
                    let now = Instant::now();
                    if drained_at.is_some_and(|at| at <= now) {
                        return Read::Drained;
                    }
                    if now >= idle_at.min(self.deadline) {
                        return Read::Broken(Unreached::Slow);
                    }
                    quiet_at = now + QUIET_MAX;
                    self.send(vec![Bytes::from_static(KEEP_OPEN)]).await;
                }
            }
        }
    }

    /// Passes pieces on, and tells with the first output that a charge will follow.
    async fn pass(&mut self, pieces: Vec<Bytes>) {
        if self.opened.is_none() && self.meter.seen().output_bytes > 0 {
            self.tell_opened();
        }
        self.entry.set(self.meter.output_tokens());
        if !pieces.is_empty() {
            self.send(pieces).await;
        }
    }

    fn tell_opened(&mut self) {
        let (engine, ticket) = (self.exchange.app.engine.clone(), self.exchange.ticket.clone());
        self.opened = Some(tokio::spawn(async move {
            if let Err(error) = engine.stream_opened(&ticket).await {
                tracing::warn!(%error, "an open stream was not told");
            }
        }));
    }

    async fn send(&mut self, pieces: Vec<Bytes>) {
        if self.client.is_waiting() {
            self.begin();
        }
        self.client.send(Sent::Pieces(pieces), self.deadline).await;
    }

    fn begin(&mut self) {
        let mut head = Response::new(());
        *head.status_mut() = self.status;
        let mut headers = answer::head(&self.headers, &self.exchange.ticket, self.exchange.now());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        if self.takes_trailers() {
            headers.insert(header::TRAILER, HeaderValue::from_static("x-paywall-status"));
        }
        *head.headers_mut() = headers;
        self.client.begin(head);
    }

    fn takes_trailers(&self) -> bool {
        let te = self.exchange.front.headers.get(header::TE).and_then(|te| te.to_str().ok());
        te.is_some_and(|te| te.to_ascii_lowercase().contains("trailers"))
    }

    fn can_extend(&self) -> bool {
        let most = self.hold.extends_to.unwrap_or_default();
        matches!(self.growth, Growth::Idle) && self.hold.output_tokens < most
    }

    /// In the background, before it is needed.
    fn extend_early(&mut self) {
        let is_due = self.meter.has_used_percent(EXTEND_AT_PERCENT);
        if is_due && self.can_extend() && !self.client.is_gone() {
            self.extend();
        }
    }

    fn extend(&mut self) {
        let (engine, ticket) = (self.exchange.app.engine.clone(), self.exchange.ticket.clone());
        let hold = self.hold;
        let work = async move { engine.extend(&ticket, hold).await };
        self.growth = Growth::Running(Box::pin(work));
    }

    /// Whether the hold pays for so many tokens now.
    async fn extend_to(&mut self, tokens: u64) -> bool {
        while self.hold.budget_tokens() < tokens {
            if self.can_extend() && !self.client.is_gone() {
                self.extend();
            }
            if !matches!(self.growth, Growth::Running(_)) {
                return false;
            }
            let extended = extended(&mut self.growth).await;
            self.apply(extended);
        }
        true
    }

    fn apply(&mut self, extended: Result<Option<Hold>, Error>) {
        self.growth = Growth::Over;
        match extended {
            Ok(Some(hold)) => {
                self.growth = Growth::Idle;
                self.hold = hold;
                self.meter.set_budget(hold.budget_tokens());
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a hold was not extended"),
        }
    }

    /// Settles, and only then says that it is over.
    async fn end(mut self, ending: Ending) {
        let outcome = self.outcome(&ending);
        if matches!(outcome, Outcome::Completed { .. }) && self.opened.is_none() {
            self.tell_opened();
        }
        if let Some(opened) = self.opened.take() {
            drop(opened.await);
        }
        match &ending {
            Ending::Cut => self.send_cut().await,
            Ending::Broken(_) => self.send_broken().await,
            Ending::Whole | Ending::Left => {}
        }
        let settled = self.settle(self.summary(outcome.clone())).await;
        if let (Outcome::Completed { cut }, Some(settled)) = (outcome, &settled) {
            self.send_last(cut, settled).await;
        }
        drop(self.client);
        if matches!(ending, Ending::Whole) {
            drop(timeout(TAIL_MAX, self.body.next()).await);
        }
    }

    fn outcome(&self, ending: &Ending) -> Outcome {
        let failed =
            Outcome::Failed { code: "stream_interrupted", http_status: Some(self.status.as_u16()) };
        match ending {
            Ending::Broken(_) => failed,
            Ending::Whole if self.meter.seen().failed => failed,
            Ending::Left => Outcome::Canceled,
            Ending::Whole | Ending::Cut if self.client.is_gone() => Outcome::Canceled,
            Ending::Whole => Outcome::Completed { cut: false },
            Ending::Cut => Outcome::Completed { cut: true },
        }
    }

    /// A client is not kept waiting for a ledger that cannot be written.
    async fn settle(&mut self, end: End) -> Option<Settled> {
        match self.exchange.settle(end.clone()).await {
            Ok(settled) => Some(settled),
            Err(error) => {
                tracing::warn!(%error, "a stream is not settled; trying again");
                self.client.leave();
                self.exchange.settle_stubbornly(|| end.clone()).await;
                None
            }
        }
    }

    fn summary(&self, outcome: Outcome) -> End {
        let seen = self.meter.seen();
        let was_cut = matches!(outcome, Outcome::Completed { cut: true });
        let finish_reason =
            if was_cut { Some("length".to_owned()) } else { seen.finish_reason.clone() };
        End {
            outcome,
            usage: seen.usage,
            counted_output_tokens: self.meter.output_tokens(),
            has_output: seen.output_bytes > 0,
            model: seen.model.clone(),
            service_tier: seen.service_tier.clone(),
            finish_reason,
            latency_ms: self.exchange.latency_ms(),
            upstream_status: Some(self.status.as_u16()),
        }
    }

    /// A well-formed end in the provider's place.
    async fn send_cut(&mut self) {
        let link = match self.exchange.app.engine.stream_cut(&self.exchange.ticket).await {
            Ok(link) => link,
            Err(error) => {
                tracing::warn!(%error, "a cut stream was not told");
                None
            }
        };
        let notice = Notice {
            status: "cut",
            reason: "insufficient_balance",
            request_id: self.exchange.front.request,
            action_url: link.as_deref(),
            ..Notice::default()
        };
        let (tokens, open_block) = (self.meter.output_tokens(), self.meter.seen().open_block);
        let reply = self.exchange.front.reply(self.exchange.now());
        let mut end = reply.cut(&notice, tokens, open_block);
        let prompt = self.hold.estimate.prompt_tokens;
        let counted = Quantities::default().with(Class::Input, prompt).with(Class::Output, tokens);
        end.extend(reply.usage_chunk(&counted));
        self.send(vec![end.into()]).await;
    }

    /// So that nobody takes a broken answer for a whole one.
    async fn send_broken(&mut self) {
        let reply = self.exchange.front.reply(self.exchange.now());
        let words = "the provider's answer broke off";
        let broken = reply.broken("stream_interrupted", words);
        self.send(vec![broken.into()]).await;
    }

    async fn send_last(&mut self, cut: bool, settled: &Settled) {
        let status = if cut { "cut" } else { answer::status(&self.hold) };
        let comment = Comment {
            status,
            request_id: self.exchange.front.request,
            cost: Some(settled.amount),
            balance: Some(settled.available),
            activity_id: settled.activity,
            estimated: settled.estimated,
        };
        let reply = self.exchange.front.reply(self.exchange.now());
        let own = || Bytes::from_static(reply.last_line());
        let last = self.meter.last_line().filter(|_| !cut).unwrap_or_else(own);
        self.send(vec![comment.comment().into(), last]).await;
        if cut && self.takes_trailers() {
            let status = HeaderValue::from_static("cut");
            let trailers = [(header::HeaderName::from_static("x-paywall-status"), status)];
            let trailers = Sent::Trailers(trailers.into_iter().collect());
            self.client.send(trailers, self.deadline).await;
        }
    }
}

impl Read {
    fn of(next: Option<Result<Bytes, Unreached>>) -> Read {
        match next {
            None => Read::End,
            Some(Ok(piece)) => Read::Piece(piece),
            Some(Err(unreached)) => Read::Broken(unreached),
        }
    }
}

/// Waits for the extension under way; for ever where there is none.
async fn extended(growth: &mut Growth) -> Result<Option<Hold>, Error> {
    match growth {
        Growth::Running(extending) => extending.await,
        Growth::Idle | Growth::Over => std::future::pending().await,
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

fn is_soon(deadline: Instant) -> bool {
    deadline <= Instant::now() + STOP_GRACE
}
