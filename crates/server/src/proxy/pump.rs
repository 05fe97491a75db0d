//! A stream under way: reads from the provider are metered and passed on, until it ends, is cut,
//! breaks, or nobody reads it any more (paywalls 16.5, 17.5, 17.7).

use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use domain::id::RequestId;
use domain::proxy::blocked::{Notice, Settled as Comment};
use domain::proxy::hold::Hold;
use domain::proxy::reason::Reason;
use domain::proxy::stream::{Next, Step, StreamMeter};
use domain::proxy::vector::{Class, Quantities};
use engine::Error;
use engine::proxy::replay::Keeping;
use engine::proxy::{CanceledBy, End, Grown, Halt, Outcome, Settled};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::answer;
use super::client::{Client, Sent};
use super::exchange::{Exchange, STOP_GRACE, stopped};
use super::failure::Failure;
use super::replay::Sending;
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

type Extending = Pin<Box<dyn Future<Output = Result<Grown, Error>> + Send>>;

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
    /// Why it cannot.
    halt: Halt,
    /// That a charge will follow is told, or being told.
    opened: Option<JoinHandle<()>>,
    entry: Entry,
    deadline: Instant,
    stopping: watch::Receiver<bool>,
    /// The process stops, and this stream with it.
    stops_at: Option<Instant>,
    /// What was sent, where a key shall give it again.
    sent: Option<Sending>,
    /// Since when the next read is waited for, and its silence not filled.
    waits_since: Instant,
    filled_at: Instant,
    alarm: Pin<Box<Sleep>>,
}

/// What comes next from the provider, or instead of it.
enum Read {
    Piece(Bytes),
    End,
    Broken(Unreached),
    /// Nobody has read for as long as it is drained.
    Drained,
    /// The process stops.
    Stopped,
}

/// How the stream ended.
enum Ending {
    Whole,
    /// The money or a limit ended.
    Cut,
    Broken(Failure),
    Left,
    Stopped,
}

impl Pump {
    pub fn new(exchange: Exchange, answered: Answered, client: Client) -> Pump {
        let (ask, hold) = (&exchange.front.ask, exchange.ticket.hold);
        let (protocol, now) = (exchange.front.protocol, Instant::now());
        Pump {
            meter: StreamMeter::new(protocol, ask.wants_usage, hold.budget_tokens()),
            status: answered.status,
            headers: answered.headers,
            body: answered.body,
            client,
            hold,
            growth: Growth::Idle,
            halt: Halt::AT_MAXIMUM,
            opened: None,
            entry: exchange.app.under_way.enter(&exchange.ticket),
            deadline: exchange.deadline,
            stopping: exchange.app.stopping(),
            stops_at: None,
            sent: None,
            waits_since: now,
            filled_at: now,
            alarm: Box::pin(sleep_until(exchange.deadline)),
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
            Ending::Stopped if self.client.is_waiting() => {
                self.exchange.shut_down(self.client).await;
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
            Read::Stopped => return Some(Ending::Stopped),
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
        self.waits_since = Instant::now();
        self.filled_at = self.waits_since;
        loop {
            // It may ring early, so that it is not set with every read; it never rings late.
            let until = self.until();
            if until < self.alarm.deadline() {
                self.alarm.as_mut().reset(until);
            }
            tokio::select! {
                biased;
                next = self.body.next() => return Read::of(next),
                extended = extended(&mut self.growth) => self.apply(extended),
                () = self.client.left() => self.client.leave(),
                () = stops(&mut self.stopping), if self.stops_at.is_none() => {
                    self.stops_at = Some(Instant::now() + STOP_GRACE);
                }
                () = self.alarm.as_mut() => {
                    if let Some(over) = self.ring().await {
                        return over;
                    }
                    let until = self.until();
                    self.alarm.as_mut().reset(until);
                }
            }
        }
    }

    /// When something is to be done, if nothing comes before.
    fn until(&self) -> Instant {
        let (idle_at, quiet_at) = (self.idle_at(), self.filled_at + QUIET_MAX);
        let until = idle_at.min(self.deadline).min(self.drained_at().unwrap_or(quiet_at));
        self.stops_at.map_or(until, |at| at.min(until))
    }

    fn idle_at(&self) -> Instant {
        self.waits_since + self.exchange.idle()
    }

    /// When a stream that nobody reads any more is given up.
    fn drained_at(&self) -> Option<Instant> {
        self.client.gone_at().map(|at| at + self.exchange.drain())
    }

    /// What of it is over, if anything is.
    async fn ring(&mut self) -> Option<Read> {
        let now = Instant::now();
        if self.drained_at().is_some_and(|at| at <= now) {
            return Some(Read::Drained);
        }
        if self.stops_at.is_some_and(|at| at <= now) {
            return Some(Read::Stopped);
        }
        if now >= self.idle_at().min(self.deadline) {
            return Some(Read::Broken(Unreached::Slow));
        }
        if now >= self.filled_at + QUIET_MAX {
            self.filled_at = now;
            self.send(vec![Bytes::from_static(KEEP_OPEN)]).await;
        }
        None
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
        if self.exchange.ticket.is_deferred() {
            return;
        }
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
        let piece = joined(pieces);
        if let Some(sent) = &mut self.sent {
            sent.add(&piece);
        }
        self.client.send(Sent::Piece(piece), patience(self.deadline, &self.stopping)).await;
    }

    fn begin(&mut self) {
        let mut head = Response::new(());
        *head.status_mut() = self.status;
        *head.headers_mut() = self.head();
        if self.exchange.claim.is_some() || self.exchange.keeps_prompts() {
            self.sent = Some(Sending::begun(head.headers()));
        }
        self.client.begin(head);
    }

    fn head(&self) -> HeaderMap {
        let mut headers = answer::head(&self.headers, &self.exchange.ticket, self.exchange.now());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        if self.takes_trailers() {
            headers.insert(header::TRAILER, HeaderValue::from_static("x-paywall-status"));
        }
        headers
    }

    fn takes_trailers(&self) -> bool {
        let te = self.exchange.front.headers.get(header::TE).and_then(|te| te.to_str().ok());
        te.is_some_and(|te| te.to_ascii_lowercase().contains("trailers"))
    }

    fn may_grow(&self) -> bool {
        let most = self.hold.extends_to.unwrap_or_default();
        self.hold.output_tokens < most && !self.client.is_gone()
    }

    /// In the background, before it is needed.
    fn extend_early(&mut self) {
        let is_due = self.meter.has_used_percent(EXTEND_AT_PERCENT);
        if is_due && matches!(self.growth, Growth::Idle) && self.may_grow() {
            self.extend();
        }
    }

    fn extend(&mut self) {
        let (engine, ticket) = (self.exchange.app.engine.clone(), self.exchange.ticket.clone());
        let hold = self.hold;
        let work = async move { engine.extend(&ticket, hold).await };
        self.growth = Growth::Running(Box::pin(work));
    }

    /// Whether the hold pays for so many tokens now. It is asked for once more: money may have come
    /// since it could not grow in the background, and what holds it now is the reason to tell.
    async fn extend_to(&mut self, tokens: u64) -> bool {
        if let Growth::Running(_) = self.growth {
            let extended = extended(&mut self.growth).await;
            self.apply(extended);
        }
        while self.hold.budget_tokens() < tokens {
            if !self.may_grow() {
                self.halt = Halt::AT_MAXIMUM;
                return false;
            }
            self.extend();
            let extended = extended(&mut self.growth).await;
            self.apply(extended);
            if let Growth::Over = self.growth {
                return false;
            }
        }
        true
    }

    fn apply(&mut self, extended: Result<Grown, Error>) {
        self.growth = Growth::Over;
        match extended {
            Ok(Ok(hold)) => {
                self.growth = Growth::Idle;
                self.hold = hold;
                self.meter.set_budget(hold.budget_tokens());
            }
            Ok(Err(halt)) => self.halt = halt,
            Err(error) => {
                self.halt = Halt { reason: Reason::InsufficientBalance, ..Halt::AT_MAXIMUM };
                self.halt.limit_source = None;
                tracing::warn!(%error, "a hold was not extended");
            }
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
            Ending::Broken(_) => self.send_broken("the provider's answer broke off").await,
            Ending::Stopped => self.send_broken("the server is stopping").await,
            Ending::Whole | Ending::Left => {}
        }
        let settled = self.settle(self.summary(outcome.clone())).await;
        let sent = self.sent.as_ref().map_or(&[][..], Sending::bytes);
        self.exchange.keep_prompt(sent).await;
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
        let canceled = Outcome::Canceled { by: CanceledBy::Client };
        match ending {
            Ending::Broken(_) => failed,
            Ending::Whole if self.meter.seen().failed => failed,
            Ending::Stopped => Outcome::Canceled { by: self.stopped_by() },
            Ending::Left => canceled,
            Ending::Whole | Ending::Cut if self.client.is_gone() => canceled,
            Ending::Whole => Outcome::Completed { cut: false },
            Ending::Cut => Outcome::Completed { cut: true },
        }
    }

    /// A client that had left before the process was told to stop has ended the request itself.
    fn stopped_by(&self) -> CanceledBy {
        let (gone, stops) = (self.client.gone_at(), self.stops_at);
        let left = gone.zip(stops).is_some_and(|(gone, stops)| gone + STOP_GRACE < stops);
        if left { CanceledBy::Client } else { CanceledBy::Shutdown }
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
            usage: seen.usage,
            counted_output_tokens: self.meter.output_tokens(),
            has_output: seen.output_bytes > 0,
            model: seen.model.clone(),
            service_tier: seen.service_tier.clone(),
            finish_reason,
            latency_ms: self.exchange.latency_ms(),
            upstream_status: Some(self.status.as_u16()),
            reply: self.reply(&outcome),
            outcome,
        }
    }

    /// Of a stream that ended well, with the last bytes that are not sent yet.
    fn reply(&self, outcome: &Outcome) -> Option<Keeping> {
        let Outcome::Completed { cut } = *outcome else { return None };
        self.exchange.claim.as_ref()?;
        let unsent = || Sending::begun(&self.head());
        let (sent, last) = (self.sent.as_ref(), self.last(cut));
        let last = move |settled: &Settled| last.pieces(settled).concat();
        self.exchange.keep_stream(self.status, sent.unwrap_or(&unsent()), last)
    }

    /// A well-formed end in the provider's place.
    async fn send_cut(&mut self) {
        let link = self.tell_cut().await;
        let notice = Notice {
            status: "cut",
            reason: self.halt.reason.name(),
            request_id: self.exchange.front.request,
            action_url: link.as_deref(),
            limit_source: self.halt.limit_source,
            reset_at: self.halt.reset_at,
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

    /// Money that ended is told, with the link to bring more; a limit on spending is not.
    async fn tell_cut(&mut self) -> Option<String> {
        if self.halt.reason != Reason::InsufficientBalance {
            return None;
        }
        let told = self.exchange.app.engine.stream_cut(&self.exchange.ticket).await;
        told.unwrap_or_else(|error| {
            tracing::warn!(%error, "a cut stream was not told");
            None
        })
    }

    /// So that nobody takes a broken answer for a whole one.
    async fn send_broken(&mut self, words: &str) {
        let reply = self.exchange.front.reply(self.exchange.now());
        let broken = reply.broken("stream_interrupted", words);
        self.send(vec![broken.into()]).await;
    }

    fn last(&self, cut: bool) -> Last {
        let reply = self.exchange.front.reply(self.exchange.now());
        let own = || Bytes::from_static(reply.last_line());
        Last {
            status: if cut { "cut" } else { answer::status(&self.hold) },
            request: self.exchange.front.request,
            line: self.meter.last_line().filter(|_| !cut).unwrap_or_else(own),
        }
    }

    async fn send_last(&mut self, cut: bool, settled: &Settled) {
        let pieces = self.last(cut).pieces(settled);
        self.send(pieces).await;
        if cut && self.takes_trailers() {
            let status = HeaderValue::from_static("cut");
            let trailers = [(header::HeaderName::from_static("x-paywall-status"), status)];
            let trailers = Sent::Trailers(trailers.into_iter().collect());
            self.client.send(trailers, patience(self.deadline, &self.stopping)).await;
        }
    }
}

/// What ends a stream, once it is settled.
struct Last {
    status: &'static str,
    request: RequestId,
    line: Bytes,
}

impl Last {
    fn pieces(&self, settled: &Settled) -> Vec<Bytes> {
        let comment = Comment {
            status: self.status,
            request_id: self.request,
            cost: Some(settled.amount),
            balance: Some(settled.available),
            activity_id: settled.activity,
            estimated: settled.estimated,
        };
        vec![comment.comment().into(), self.line.clone()]
    }
}

/// What is passed on at once goes as one: one chunk, one write.
fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.len() {
        1 => pieces.remove(0),
        _ => pieces.concat().into(),
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
async fn extended(growth: &mut Growth) -> Result<Grown, Error> {
    match growth {
        Growth::Running(extending) => extending.await,
        Growth::Idle | Growth::Over => std::future::pending().await,
    }
}

async fn stops(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// How long a client that does not read is waited for.
async fn patience(deadline: Instant, stopping: &watch::Receiver<bool>) {
    tokio::select! {
        () = sleep_until(deadline) => {}
        () = stopped(stopping.clone(), STOP_GRACE) => {}
    }
}
