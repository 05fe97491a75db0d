//! The task that owns the lanes: takes in, starts, records, sweeps, drains and stops.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::place::{EnvNo, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use store::deliveries::{self, Handover};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::lane::Lane;
use super::prepare::{Prepared, prepare};
use super::record::{Ended, record};
use super::tend::{Round, Tended, tend};
use super::{Command, Shared};
use crate::clock::in_a_while;
use crate::error::Error;
use crate::ports::WebhookPort;

/// Slow receivers may have one slot in so many together, and one at least.
const SLOW_SHARE: u32 = 10;
/// Requests that are prepared in one read.
const PREPARED_MAX: usize = 64;
const RESULTS_MAX: usize = 256;
const RESULTS_WAIT: Duration = Duration::from_millis(2);
const TICK: Duration = Duration::from_millis(250);
/// Without due work every so many ticks are swept.
const IDLE_TICKS: u32 = 4;
/// Before results that could not be written are tried again.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// Idle lanes beyond this number are forgotten, with what they learned.
const LANES_MAX: usize = 4_096;

/// Something beside the loop ended.
enum Done {
    Prepared(Vec<(Handover, Result<Option<Prepared>, Error>)>),
    Sent(Box<Ended>),
    Recorded(Recorded),
    Tended(Box<Tended>),
}

/// What was written, and what could not be.
#[derive(Default)]
struct Recorded {
    written: Vec<Handover>,
    left: Vec<Ended>,
}

struct Drain {
    scope: Scope,
    until: Timestamp,
    done: oneshot::Sender<()>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each says whether one kind of work is under way"
)]
struct Sender {
    shared: Arc<Shared>,
    lanes: BTreeMap<ReceiverNo, Lane>,
    /// Deliveries that are queued, on the wire or being recorded, by environment.
    busy: HashMap<EnvNo, usize>,
    in_flight: u32,
    /// The receiver that got the last slot: the next one is after it.
    turn: ReceiverNo,
    preparing: bool,
    tending: bool,
    recording: bool,
    results: Vec<Ended>,
    flush_at: Option<Instant>,
    give_back: Vec<Handover>,
    /// Could not be prepared: due again later.
    postponed: Vec<Handover>,
    /// The last sweep failed: the next one waits for its tick.
    sweep_failed: bool,
    drains: Vec<Drain>,
    stopping: Option<oneshot::Sender<()>>,
    tasks: JoinSet<Done>,
    ticks: u32,
    /// The last sweep found something.
    pressing: bool,
}

pub async fn run(
    shared: Arc<Shared>,
    mut handovers: mpsc::UnboundedReceiver<Vec<Handover>>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut state = Sender::new(shared);
    let mut ticks = ticks();
    let mut open = true;
    loop {
        state.start_what_may();
        if state.has_stopped() {
            break;
        }
        let flush_at = state.flush_at;
        tokio::select! {
            biased;
            batch = handovers.recv(), if open => match batch {
                Some(batch) => state.take(batch),
                None => open = false,
            },
            Some(done) = state.tasks.join_next(), if !state.tasks.is_empty() => state.ended(done),
            Some(command) = commands.recv() => state.obey(command),
            () = until(flush_at), if flush_at.is_some() => state.flush(),
            _ = ticks.tick() => state.ticked(),
        }
    }
    state.give_all_back().await;
}

fn ticks() -> Interval {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        sleep_until(at).await;
    }
}

impl Sender {
    fn new(shared: Arc<Shared>) -> Sender {
        Sender {
            shared,
            lanes: BTreeMap::new(),
            busy: HashMap::new(),
            in_flight: 0,
            turn: ReceiverNo::default(),
            preparing: false,
            tending: false,
            recording: false,
            results: Vec::new(),
            flush_at: None,
            give_back: Vec::new(),
            postponed: Vec::new(),
            sweep_failed: false,
            drains: Vec::new(),
            stopping: None,
            tasks: JoinSet::new(),
            ticks: 0,
            pressing: true,
        }
    }

    fn take(&mut self, batch: Vec<Handover>) {
        if self.stopping.is_some() {
            return;
        }
        for handover in batch {
            if self.lanes.entry(handover.receiver).or_default().take(handover) {
                *self.busy.entry(handover.place.env()).or_default() += 1;
            } else {
                self.give_back.push(handover);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Drain { scope, until, done } => {
                self.drains.push(Drain { scope, until, done });
            }
            Command::Stop { done } => self.stopping = Some(done),
        }
    }

    fn ticked(&mut self) {
        self.ticks += 1;
        self.sweep_failed = false;
        if self.pressing || self.ticks.is_multiple_of(IDLE_TICKS) {
            self.sweep();
        }
    }

    fn start_what_may(&mut self) {
        if self.stopping.is_none() {
            self.start_requests();
            let hungry = || self.lanes.values().any(Lane::is_hungry);
            let drained = || self.drains.iter().any(|drain| self.is_quiet(drain.scope.env));
            let back = !self.give_back.is_empty() || !self.postponed.is_empty();
            if !self.sweep_failed && (back || hungry() || drained()) {
                self.sweep();
            }
        }
        if self.results.len() >= RESULTS_MAX {
            self.flush();
        }
    }

    /// Picks what may start, receivers in turn, and prepares it in one read.
    fn start_requests(&mut self) {
        if self.preparing {
            return;
        }
        let picked = self.pick();
        if picked.is_empty() {
            return;
        }
        self.preparing = true;
        let shared = self.shared.clone();
        self.tasks.spawn(async move { Done::Prepared(prepare_all(shared, picked).await) });
    }

    fn pick(&mut self) -> Vec<Handover> {
        let mut picked = Vec::new();
        let slow: u32 =
            self.lanes.values().filter(|lane| lane.is_slow()).map(|lane| lane.in_flight).sum();
        let most = self.shared.in_flight_max;
        let mut slow_room = (most / SLOW_SHARE).max(1).saturating_sub(slow);
        loop {
            let before = picked.len();
            let after = self.lanes.range(ReceiverNo(self.turn.0 + 1)..).map(|(no, _)| *no);
            let turns: Vec<_> =
                after.chain(self.lanes.range(..=self.turn).map(|(no, _)| *no)).collect();
            for no in turns {
                if picked.len() >= PREPARED_MAX || self.in_flight >= most {
                    return picked;
                }
                let Some(lane) = self.lanes.get_mut(&no).filter(|lane| lane.may_start()) else {
                    continue;
                };
                if lane.is_slow() {
                    if slow_room == 0 {
                        continue;
                    }
                    slow_room -= 1;
                }
                picked.extend(lane.queue.pop_front());
                lane.in_flight += 1;
                self.in_flight += 1;
                self.turn = no;
            }
            if picked.len() == before {
                return picked;
            }
        }
    }

    fn ended(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Prepared(all)) => self.prepared(all),
            Ok(Done::Sent(sent)) => self.sent(*sent),
            Ok(Done::Recorded(recorded)) => self.recorded(recorded),
            Ok(Done::Tended(tended)) => self.tended(*tended),
            // The next start of the process makes what it held due again.
            Err(error) => tracing::error!(%error, "a part of the sending step panicked"),
        }
    }

    fn prepared(&mut self, all: Vec<(Handover, Result<Option<Prepared>, Error>)>) {
        self.preparing = false;
        for (handover, prepared) in all {
            match prepared {
                Ok(Some(prepared)) if self.stopping.is_none() => {
                    let port = self.shared.port.clone();
                    self.tasks
                        .spawn(async move { Done::Sent(Box::new(post(port, prepared).await)) });
                }
                Ok(_) => self.dropped(handover),
                Err(error) => {
                    tracing::error!(%error, receiver = handover.receiver.0, "not sent");
                    self.dropped(handover);
                    self.postponed.push(handover);
                }
            }
        }
    }

    /// A delivery that is not to be sent now leaves its slot.
    fn dropped(&mut self, handover: Handover) {
        self.free_slot(handover.receiver);
        self.rest(handover);
    }

    fn free_slot(&mut self, receiver: ReceiverNo) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(&receiver) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
    }

    fn rest(&mut self, handover: Handover) {
        if let Some(count) = self.busy.get_mut(&handover.place.env()) {
            *count = count.saturating_sub(1);
        }
    }

    fn sent(&mut self, sent: Ended) {
        let outcome = sent.attempt.outcome.name();
        *self.shared.counts.lock().entry(outcome).or_default() += 1;
        self.free_slot(sent.handover.receiver);
        if let Some(lane) = self.lanes.get_mut(&sent.handover.receiver) {
            let failure = sent.failure(domain::id::DeliveryId::default(), 0);
            lane.learn(sent.attempt.duration_ms, failure.as_ref());
        }
        self.results.push(sent);
        self.flush_at.get_or_insert_with(|| in_a_while(RESULTS_WAIT));
    }

    /// Writes the results so far, one transaction an environment.
    fn flush(&mut self) {
        self.flush_at = None;
        if self.recording || self.results.is_empty() {
            return;
        }
        self.recording = true;
        let mut by_env: BTreeMap<EnvNo, Vec<Ended>> = BTreeMap::new();
        for sent in std::mem::take(&mut self.results) {
            by_env.entry(sent.scope.env).or_default().push(sent);
        }
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let mut recorded = Recorded::default();
            for (_, batch) in by_env {
                record_all(&shared, batch, &mut recorded).await;
            }
            Done::Recorded(recorded)
        });
    }

    fn recorded(&mut self, recorded: Recorded) {
        self.recording = false;
        for handover in recorded.written {
            self.rest(handover);
        }
        if !self.results.is_empty() {
            self.flush_at.get_or_insert_with(|| in_a_while(Duration::ZERO));
        }
        // When the process stops they stay leased, and are sent again by the next one.
        if !recorded.left.is_empty() && self.stopping.is_none() {
            self.results.extend(recorded.left);
            self.flush_at = Some(in_a_while(WRITE_AGAIN));
        }
    }

    fn sweep(&mut self) {
        if self.tending || self.stopping.is_some() {
            return;
        }
        self.tending = true;
        if self.lanes.len() > LANES_MAX {
            self.lanes.retain(|_, lane| !lane.is_idle());
        }
        let spilled = self.lanes.iter().filter(|(_, lane)| lane.spilled);
        let round = Round {
            give_back: std::mem::take(&mut self.give_back),
            postponed: std::mem::take(&mut self.postponed),
            epochs: spilled.map(|(no, lane)| (*no, lane.epoch)).collect(),
            rooms: self.lanes.iter().map(|(no, lane)| (*no, lane.room())).collect(),
            until: self.drains.iter().map(|drain| (drain.scope.env, drain.until)).collect(),
        };
        let shared = self.shared.clone();
        self.tasks.spawn(async move { Done::Tended(Box::new(tend(shared, round).await)) });
    }

    fn tended(&mut self, tended: Tended) {
        self.tending = false;
        self.pressing = tended.claimed.values().any(|count| *count > 0);
        if let Some(error) = tended.error {
            tracing::error!(%error, "the sweep failed");
            self.give_back.extend(tended.kept.0);
            self.postponed.extend(tended.kept.1);
            self.sweep_failed = true;
            return;
        }
        for (no, epoch) in tended.epochs {
            let Some(lane) = self.lanes.get_mut(&no) else { continue };
            if lane.epoch == epoch && !tended.full.contains(&no) {
                lane.spilled = false;
                lane.epoch = 0;
            }
        }
        for env in tended.drained {
            if tended.claimed.get(&env).copied().unwrap_or(0) == 0 && self.is_quiet(env) {
                self.finish_drains(env);
            }
        }
    }

    /// Nothing of the environment is on its way.
    fn is_quiet(&self, env: EnvNo) -> bool {
        self.busy.get(&env).copied().unwrap_or(0) == 0
    }

    fn finish_drains(&mut self, env: EnvNo) {
        for drain in self.drains.extract_if(.., |drain| drain.scope.env == env) {
            let _ = drain.done.send(());
        }
    }

    fn has_stopped(&mut self) -> bool {
        if self.stopping.is_none() {
            return false;
        }
        if self.tasks.is_empty() && !self.results.is_empty() {
            self.flush();
        }
        self.tasks.is_empty()
    }

    async fn give_all_back(&mut self) {
        let scope = crate::bootstrap::nowhere();
        let given = self
            .shared
            .engine
            .change(scope, |tx| Ok(deliveries::give_back_all(tx.write()?)?))
            .await;
        if let Err(error) = given {
            tracing::error!(%error, "leases are given back at the next start");
        }
        for drain in self.drains.drain(..) {
            let _ = drain.done.send(());
        }
        if let Some(done) = self.stopping.take() {
            let _ = done.send(());
        }
    }
}

async fn prepare_all(
    shared: Arc<Shared>,
    picked: Vec<Handover>,
) -> Vec<(Handover, Result<Option<Prepared>, Error>)> {
    let all = picked.clone();
    let reading = shared.clone();
    let read = shared.engine.read(move |read| {
        let one = |handover: &Handover| {
            (*handover, prepare(&reading.engine, &reading.memory, read, *handover))
        };
        Ok(picked.iter().map(one).collect::<Vec<_>>())
    });
    match read.await {
        Ok(prepared) => prepared,
        Err(error) => {
            tracing::error!(%error, "deliveries could not be read");
            let later = |handover| (handover, Err(Error::Store(store::Error::Unavailable)));
            all.into_iter().map(later).collect()
        }
    }
}

async fn post(port: Arc<dyn WebhookPort>, prepared: Prepared) -> Ended {
    let attempt = port.post(prepared.request).await;
    Ended {
        handover: prepared.handover,
        scope: prepared.scope,
        trigger: prepared.trigger,
        started_at: prepared.started_at,
        sent_at: prepared.sent_at,
        attempt,
    }
}

async fn record_all(shared: &Shared, batch: Vec<Ended>, recorded: &mut Recorded) {
    let Some(first) = batch.first() else { return };
    let scope = first.scope;
    let all = batch.clone();
    let work = move |tx: &mut store::Tx<'_>| {
        tx.is_routine();
        all.iter().try_for_each(|sent| record(tx, sent))
    };
    match shared.engine.change(scope, work).await {
        Ok(()) => recorded.written.extend(batch.iter().map(|sent| sent.handover)),
        Err(error) => {
            tracing::error!(%error, "results are kept until they can be written");
            recorded.left.extend(batch);
        }
    }
}
