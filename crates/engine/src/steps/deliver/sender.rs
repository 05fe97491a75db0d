//! The task that owns the lanes: takes in, starts, records, sweeps, drains and stops.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::place::{EnvNo, Place, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use store::deliveries::{self, Delivery, Handed, Handover};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::lane::Lane;
use super::prepare::{self, Prepared, Ready};
use super::record::{self, Ended};
use super::tend::{Round, Tended, tend};
use super::turns::Turns;
use super::{Command, Shared};
use crate::clock::in_a_while;
use crate::error::Error;
use crate::ports::WebhookPort;

const RESULTS_MAX: usize = 256;
const RESULTS_WAIT: Duration = Duration::from_millis(2);
const TICK: Duration = Duration::from_millis(250);
/// Without due work every so many ticks are swept.
const IDLE_TICKS: u32 = 4;
/// Before results that could not be written are tried again.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// Deliveries that a node has in memory; beyond that a lane has `LANE_MAX`, and what is more waits
/// in the database.
const HELD_MAX: usize = 65_536;
/// Of how many of them the row is kept too.
const KNOWN_MAX: usize = 16_384;
/// Idle lanes beyond this number are forgotten, with what they learned.
const LANES_MAX: usize = 4_096;

/// Something beside the loop ended.
enum Done {
    Prepared(Vec<(Handover, Result<Ready, Error>)>),
    Sent(Box<Ended>),
    Recorded(Recorded),
    Tended(Box<Tended>),
}

/// What was written, and what could not be.
#[derive(Default)]
struct Recorded {
    written: Vec<Handover>,
    left: Vec<Ended>,
    /// Receivers whose circuit closed.
    closed: Vec<ReceiverNo>,
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
    /// The same, of all environments.
    held: usize,
    /// Rows of queued deliveries as their commits wrote them: they need not be read.
    known: HashMap<(ReceiverNo, Place), Delivery>,
    /// No other node changes them.
    knows: bool,
    turns: Turns,
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
    mut handovers: mpsc::UnboundedReceiver<Vec<Handed>>,
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
        let (flush_at, rate_at) = (state.flush_at, state.turns.rate_at);
        tokio::select! {
            biased;
            batch = handovers.recv(), if open => match batch {
                Some(batch) => state.take(batch),
                None => open = false,
            },
            Some(done) = state.tasks.join_next(), if !state.tasks.is_empty() => state.ended(done),
            Some(command) = commands.recv() => state.obey(command),
            () = until(flush_at), if flush_at.is_some() => state.flush(),
            // What waited for its rate may start.
            () = until(rate_at), if rate_at.is_some() => state.turns.rate_at = None,
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
        let turns = Turns::new(shared.in_flight_max);
        let knows = !shared.engine.database().is_shared();
        Sender {
            shared,
            lanes: BTreeMap::new(),
            busy: HashMap::new(),
            held: 0,
            known: HashMap::new(),
            knows,
            turns,
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

    fn take(&mut self, batch: Vec<Handed>) {
        if self.stopping.is_some() {
            return;
        }
        for handed in batch {
            match handed {
                Handed::Leased(handover) => drop(self.hold(handover)),
                Handed::Fresh(handover, delivery) => {
                    if self.hold(handover) && self.knows && self.known.len() < KNOWN_MAX {
                        self.known.insert((handover.receiver, handover.place), *delivery);
                    }
                }
                Handed::Changed(receiver) => self.known.retain(|(of, _), _| *of != receiver),
            }
        }
    }

    /// Whether there was room for it.
    fn hold(&mut self, handover: Handover) -> bool {
        let spare = self.held < HELD_MAX;
        let held = self.lanes.entry(handover.receiver).or_default().take(handover, spare);
        if held {
            self.held += 1;
            *self.busy.entry(handover.place.env()).or_default() += 1;
        } else {
            self.give_back.push(handover);
        }
        held
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Drain { scope, until, done } => {
                self.drains.push(Drain { scope, until, done });
            }
            Command::Stop { done } => self.stopping = Some(done),
            Command::Doubt { receiver } => {
                if let Some(lane) = self.lanes.get_mut(&receiver) {
                    lane.doubt();
                }
            }
            Command::Look { receivers, answer } => {
                let figures = |no| Some((no, self.lanes.get(&no)?.figures()));
                // Whoever asked may have gone.
                drop(answer.send(receivers.into_iter().filter_map(figures).collect()));
            }
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
        // What is not recorded would go out again after a crash.
        if self.preparing || self.results.len() >= RESULTS_MAX {
            return;
        }
        let picked = self.turns.pick(&mut self.lanes, in_a_while(Duration::ZERO));
        if picked.is_empty() {
            return;
        }
        self.preparing = true;
        let shared = self.shared.clone();
        let keys = picked.iter().map(|one| (one.receiver, one.place));
        let known = keys.filter_map(|key| self.known.remove(&key)).collect();
        self.tasks.spawn(async move { Done::Prepared(prepare_all(shared, picked, known).await) });
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

    fn prepared(&mut self, all: Vec<(Handover, Result<Ready, Error>)>) {
        self.preparing = false;
        for (handover, ready) in all {
            if let Some(lane) = self.lanes.get_mut(&handover.receiver) {
                lane.asked();
            }
            match ready {
                Ok(Ready::Send(prepared)) if self.stopping.is_none() => self.send(*prepared),
                Ok(Ready::Held) => {
                    self.dropped(handover);
                    self.give_back.push(handover);
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

    fn send(&mut self, prepared: Prepared) {
        if let Some(lane) = self.lanes.get_mut(&prepared.handover.receiver) {
            lane.bound(prepared.bounds, in_a_while(Duration::ZERO));
        }
        let port = self.shared.port.clone();
        self.tasks.spawn(async move { Done::Sent(Box::new(post(port, prepared).await)) });
    }

    /// A delivery that is not to be sent now leaves its slot.
    fn dropped(&mut self, handover: Handover) {
        self.free_slot(&handover);
        self.rest(handover);
    }

    fn free_slot(&mut self, handover: &Handover) {
        self.turns.free(handover);
        if let Some(lane) = self.lanes.get_mut(&handover.receiver) {
            lane.free(handover.class);
        }
    }

    fn rest(&mut self, handover: Handover) {
        if let Some(count) = self.busy.get_mut(&handover.place.env()) {
            *count = count.saturating_sub(1);
        }
        self.held = self.held.saturating_sub(1);
    }

    fn sent(&mut self, sent: Ended) {
        self.shared.counts.attempt(sent.attempt.outcome, sent.attempt.duration_ms);
        self.free_slot(&sent.handover);
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
        for receiver in recorded.closed {
            self.lanes.entry(receiver).or_default().start_slowly();
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
            busy: self
                .lanes
                .iter()
                .filter(|(_, lane)| lane.in_flight() > 0)
                .map(|(no, _)| *no)
                .collect(),
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
            let found = tended.claimed.get(&env).copied().unwrap_or(0);
            if found == 0 && self.give_back.is_empty() && self.is_quiet(env) {
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
    known: Vec<Delivery>,
) -> Vec<(Handover, Result<Ready, Error>)> {
    let all = picked.clone();
    let reading = shared.clone();
    let read = shared.engine.read(move |read| {
        Ok(prepare::prepare_all((&reading.engine, &reading.memory), read, &picked, known))
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
        record::record_all(tx, &all)
    };
    match shared.engine.change_aside(scope, work).await {
        Ok(noted) => {
            recorded.written.extend(batch.iter().map(|sent| sent.handover));
            recorded.closed.extend(noted.closed);
            for (class, passed_ms) in noted.told {
                shared.counts.delivered(class, passed_ms);
            }
        }
        Err(error) => {
            tracing::error!(%error, "results are kept until they can be written");
            recorded.left.extend(batch);
        }
    }
}
