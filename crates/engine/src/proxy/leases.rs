//! The leases of this process: which wallet's money it may promise, to which requests it has, and
//! what they came to. All of it is memory; the ledger is changed in `renewal`.

use std::collections::HashMap;
use std::sync::Arc;

use domain::amount::Amount;
use domain::paywall::{ExternalUser, Settlement};
use domain::place::Place;
use domain::proxy::chapter::Scene;
use domain::proxy::hold::{Extension, Funds, Hold};
use domain::proxy::lease::Lease;
use domain::proxy::story::Story;
use domain::scope::{Cause, Scope};
use domain::time::{SECOND_MS, Timestamp};
use domain::wallet::Payer;
use parking_lot::Mutex;
use store::paywalls::Stored as StoredPaywall;
use tokio::sync::Notify;

use super::Ticket;
use super::admission::{Asked, fitting};
use super::extension::extension_of;
use super::reckoning::Used;

/// A stopped wallet is asked again after so long.
const REFUSED_MS: i64 = 10 * SECOND_MS;

/// By the wallet's number.
#[derive(Default)]
pub(crate) struct Leases {
    by_wallet: Mutex<HashMap<i64, Arc<Leased>>>,
    /// Told when a lease must be settled before its time.
    pub(super) due: Notify,
}

/// One wallet of one paywall.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(super) scope: Scope,
    pub(super) wallet: i64,
    pub(super) payer: Payer,
    pub(super) user: ExternalUser,
    /// One renewal at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) lease: Lease,
    pub(super) granted: Option<Granted>,
    /// The wallet's other money, as the last renewal saw it.
    pub(super) beside: Funds,
    /// Requests that are under way.
    pub(super) running: u64,
    /// Those that ended and are not settled.
    pub(super) ended: Vec<Ended>,
    /// With its newest settings.
    pub(super) paywall: Arc<StoredPaywall>,
    /// Nothing is let in, because what is held is about to change, or the wallet is stopped.
    pub(super) frozen: bool,
    /// When the ledger refused to settle it because the wallet is stopped; world time.
    pub(super) refused_at: Option<Timestamp>,
    /// No longer in the list.
    dead: bool,
    /// World time.
    pub(super) settled_at: Timestamp,
    pub(super) used_at: Timestamp,
}

/// The hold in the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) place: Place,
    pub(super) at: Timestamp,
    pub(super) deadline: Timestamp,
}

/// A request that ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) story: Story,
    /// `None`: nothing is charged.
    pub(super) used: Option<Used>,
    pub(super) cause: Cause,
    /// What is not told yet.
    pub(super) scenes: Vec<Scene>,
}

impl Ended {
    pub(super) fn price(&self) -> Amount {
        self.used.as_ref().map(|used| used.bill.amount).unwrap_or_default()
    }
}

/// What a lease that is due wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Renewal,
    /// It was not used for long.
    End,
}

impl Leases {
    /// The wallet's lease, with nothing granted where it is new.
    pub(super) fn of(&self, asked: &Asked) -> Arc<Leased> {
        let mut all = self.by_wallet.lock();
        all.entry(asked.sight.wallet).or_insert_with(|| Arc::new(Leased::of(asked))).clone()
    }

    pub(super) fn find(&self, wallet: i64) -> Option<Arc<Leased>> {
        self.by_wallet.lock().get(&wallet).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Leased>> {
        self.by_wallet.lock().values().cloned().collect()
    }

    /// The wallet is stopped: nothing more is promised of it, and its settlement waits.
    pub(crate) fn freeze(&self, wallet: i64) {
        if let Some(leased) = self.find(wallet) {
            leased.state.lock().frozen = true;
        }
    }

    /// Takes a lease off the list that has nothing left.
    pub(super) fn forget_empty(&self, leased: &Leased) {
        let mut all = self.by_wallet.lock();
        let mut state = leased.state.lock();
        if state.running == 0 && state.ended.is_empty() && state.granted.is_none() {
            state.dead = true;
            all.remove(&leased.wallet);
        }
    }
}

impl Leased {
    fn of(asked: &Asked) -> Leased {
        let call = &asked.call;
        Leased {
            scope: call.scope,
            wallet: asked.sight.wallet,
            payer: asked.sight.payer,
            user: call.user.clone(),
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                lease: Lease::default(),
                granted: None,
                beside: Funds::default(),
                running: 0,
                ended: Vec::new(),
                paywall: call.paywall.clone(),
                frozen: false,
                refused_at: None,
                dead: false,
                settled_at: Timestamp::default(),
                used_at: Timestamp::default(),
            }),
        }
    }

    pub(super) fn paywall_no(&self) -> i64 {
        self.state.lock().paywall.no
    }

    /// This wallet's part of the interval between two settlements.
    pub(super) fn phase_ms(&self, state: &State) -> i64 {
        let interval = state.settings().interval_ms.max(1);
        let phase = domain::id::splitmix(self.wallet.cast_unsigned()) % interval;
        i64::try_from(phase).unwrap_or_default()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// Lets a request in that fits, and gives its hold and what it is held in.
    pub(super) fn let_in(&self, asked: &Asked, steady_now: Timestamp) -> Option<(Hold, Granted)> {
        let mut state = self.state.lock();
        let granted = state.granted.filter(|_| !state.frozen && !state.dead)?;
        let hold = fitting(asked, state.funds())?;
        if !state.lease.take(hold.amount) {
            return None;
        }
        state.running += 1;
        state.used_at = steady_now;
        if !Arc::ptr_eq(&state.paywall, &asked.call.paywall) {
            state.paywall = asked.call.paywall.clone();
        }
        Some((hold, granted))
    }

    /// More room for a request that is let in.
    pub(super) fn extend(&self, ticket: &Ticket, hold: &Hold) -> Option<Extension> {
        let mut state = self.state.lock();
        if state.frozen {
            return None;
        }
        let extension = extension_of(ticket, hold, (state.funds(), &[])).ok()?;
        state.lease.take(extension.amount - hold.amount).then_some(extension)
    }

    /// What a renewal found room for, with where it is held. Without a hold in the ledger, which
    /// a wallet that may not spend refuses, the room is given up.
    pub(super) fn held(&self, hold: Hold) -> Option<(Hold, Granted)> {
        let mut state = self.state.lock();
        if state.granted.is_none() {
            state.lease.in_flight -= hold.amount;
            state.running -= 1;
        }
        state.granted.map(|granted| (hold, granted))
    }

    /// The request is over; its charge waits for the next settlement. Returns whether that is due.
    pub(super) fn end(&self, held: Amount, ended: Ended, steady_now: Timestamp) -> bool {
        let mut state = self.state.lock();
        state.lease.end(held, ended.price());
        state.running -= 1;
        state.used_at = steady_now;
        state.ended.push(ended);
        state.is_full()
    }

    /// What the wallet has beside what is promised and spent.
    pub(super) fn available(&self) -> Amount {
        let state = self.state.lock();
        state.beside.available + state.lease.granted - state.lease.in_flight - state.lease.unsettled
    }

    pub(super) fn due(&self, (now, steady_now): (Timestamp, Timestamp)) -> Option<Due> {
        let state = self.state.lock();
        let settings = state.settings();
        let since = |at: Timestamp| steady_now.millis() - at.millis();
        if state.refused_at.is_some_and(|at| (0..REFUSED_MS).contains(&since(at))) {
            return None;
        }
        let lives_ms = lives_ms(&settings);
        let interval_ms = i64::try_from(settings.interval_ms).unwrap_or(i64::MAX);
        let ending = state
            .granted
            .is_some_and(|granted| granted.deadline.millis() - now.millis() <= lives_ms / 2);
        if state.running == 0 && since(state.used_at) >= lives_ms {
            return Some(Due::End);
        }
        let waited = !state.ended.is_empty() && since(state.settled_at) >= interval_ms;
        (waited || state.is_full() || ending && state.running > 0).then_some(Due::Renewal)
    }
}

/// How long a lease lives that nobody renews.
pub(super) fn lives_ms(settings: &Settlement) -> i64 {
    i64::try_from(settings.lease_seconds).unwrap_or(i64::MAX / SECOND_MS).saturating_mul(SECOND_MS)
}

impl State {
    pub(super) fn settings(&self) -> Settlement {
        self.paywall.paywall.settlement
    }

    /// What a request is decided on: what nobody was promised, in the lease or beside it.
    fn funds(&self) -> Funds {
        Funds { available: self.beside.available + self.lease.room(), ..self.beside }
    }

    fn is_full(&self) -> bool {
        let batch = usize::try_from(self.settings().batch).unwrap_or(usize::MAX);
        self.ended.len() >= batch || !self.ended.is_empty() && self.lease.is_used_up()
    }
}
