//! Where leases meet the ledger: one transaction pays what has ended, tells it, and leases anew
//! (paywalls 18.1, 18.2).

use std::sync::Arc;

use domain::amount::Amount;
use domain::event::paywall::{Data, Subject, Told};
use domain::ledger::Refusal;
use domain::ledger::entry::Details;
use domain::ledger::hold::{self, Reserve};
use domain::ledger::usage::{self, Collected, UsageCharge, shared_out};
use domain::place::Place;
use domain::proxy::chapter::{Line, Scene};
use domain::proxy::hold::{Extension, Funds, Hold, Stuck};
use domain::proxy::lease;
use domain::scope::Cause;
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use parking_lot::Mutex;
use store::Tx;
use store::paywalls::Stored as StoredPaywall;
use store::proxy_requests::{Noted, Standing};

use super::Ticket;
use super::admission::{Asked, fitting, funds};
use super::extension::extension_of;
use super::leases::{Ended, Granted, Leased, lives_ms};
use crate::blocks::Caller;
use crate::charges::tell_depleted;
use crate::error::Error;
use crate::run::Engine;
use crate::users::Sight;

/// What a lease's entry refers to, and to which node.
pub(super) const LEASE: &str = "LEASE";

/// What is wanted of the money beside paying what has ended.
#[derive(Clone)]
pub(super) enum Want {
    /// As much as before.
    Renewal,
    /// No more than what is promised.
    Least,
    /// Room for a request.
    Admission(Arc<Asked>),
    /// Room for more output of a request.
    Extension(Arc<Ticket>, Box<Hold>),
}

/// What was found room for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    pub(super) hold: Option<Hold>,
    pub(super) extension: Option<Result<Extension, Stuck>>,
}

/// A lease as its renewal finds it.
pub(super) struct Renewing {
    pub(super) paywall: Arc<StoredPaywall>,
    pub(super) user: domain::paywall::ExternalUser,
    pub(super) sight: Sight,
    pub(super) holds: Vec<Place>,
    /// Promised to requests under way.
    pub(super) in_flight: Amount,
    /// What a renewal keeps.
    pub(super) kept: Amount,
}

struct Renewed {
    granted: Option<Granted>,
    amount: Amount,
    beside: Funds,
    room: Room,
}

impl Engine {
    /// Renews a lease; its `turn` is the caller's.
    pub(super) async fn renew(&self, leased: &Leased, want: Want) -> Result<Room, Error> {
        let (renewing, ended, paid) = leased.begin_renewal(&want);
        let ended = Arc::new(Mutex::new(ended));
        let (work, wanted) = (ended.clone(), want.clone());
        let done = self
            .movement(leased.scope, move |tx| renew(tx, &renewing, &mut work.lock(), &wanted))
            .await;
        let steady_now = self.steady_now();
        match done {
            Ok(renewed) => {
                leased.end_renewal(&want, (&renewed, paid), steady_now);
                Ok(renewed.room)
            }
            Err(error) => {
                let is_stopped = matches!(error, Error::Refused(Refusal::WalletStopped));
                let refused_at = is_stopped.then_some(steady_now);
                leased.undo_renewal(std::mem::take(&mut *ended.lock()), refused_at);
                Err(error)
            }
        }
    }
}

impl Leased {
    fn begin_renewal(&self, want: &Want) -> (Renewing, Vec<Ended>, Amount) {
        let mut state = self.state.lock();
        let ended = std::mem::take(&mut state.ended);
        let paid: Amount = ended.iter().map(Ended::price).sum();
        // What is let in during a renewal that keeps all is covered by what it keeps.
        state.frozen |= !matches!(want, Want::Renewal);
        let renewing = Renewing {
            paywall: state.paywall.clone(),
            user: self.user.clone(),
            sight: Sight {
                wallet: self.wallet,
                payer: self.payer,
                first_seen_at: Timestamp::default(),
                suspended: false,
            },
            holds: state.granted.iter().map(|granted| granted.place).collect(),
            in_flight: state.lease.in_flight,
            kept: state.lease.kept(paid),
        };
        (renewing, ended, paid)
    }

    fn end_renewal(&self, want: &Want, (renewed, paid): (&Renewed, Amount), steady_now: Timestamp) {
        let mut state = self.state.lock();
        state.lease.renew(paid, renewed.amount);
        state.granted = renewed.granted;
        state.beside = renewed.beside;
        state.frozen = false;
        state.refused_at = None;
        // Wallets take turns, so that not all of them are settled at the same moment.
        let early_ms = if matches!(want, Want::Renewal) { 0 } else { self.phase_ms(&state) };
        state.settled_at = steady_now.plus_ms(-early_ms);
        if let Some(hold) = &renewed.room.hold {
            state.lease.in_flight += hold.amount;
            state.running += 1;
            state.used_at = steady_now;
        }
        if let (Want::Extension(_, old), Some(Ok(new))) = (want, &renewed.room.extension) {
            state.lease.in_flight += new.amount - old.amount;
        }
    }

    fn undo_renewal(&self, mut ended: Vec<Ended>, refused_at: Option<Timestamp>) {
        let mut state = self.state.lock();
        ended.append(&mut state.ended);
        state.ended = ended;
        state.frozen = refused_at.is_some();
        state.refused_at = refused_at;
    }
}

/// It refuses before it posts, or not at all.
fn renew(
    tx: &mut Tx<'_>,
    of: &Renewing,
    ended: &mut [Ended],
    want: &Want,
) -> Result<Renewed, Error> {
    settle_together(tx, of, ended)?;
    let funds = funds(tx, of.sight.wallet)?;
    let beside = Funds {
        available: funds.available - of.in_flight,
        held: funds.held + of.in_flight,
        ..funds
    };
    let room = room(want, beside);
    let (needed, grows) = match (want, room.hold, room.extension) {
        (Want::Renewal, ..) => (of.kept, true),
        (Want::Admission(_), Some(hold), _) => (of.in_flight + hold.amount, true),
        (Want::Extension(_, old), _, Some(Ok(new))) => {
            (of.in_flight + new.amount - old.amount, true)
        }
        _ => (of.in_flight, false),
    };
    let spendable = funds.spendable().or_zero();
    let needed = needed.min(spendable);
    let most = of.paywall.paywall.settlement.max_lease;
    let amount = if grows { lease::size(spendable, needed, most) } else { needed };
    let granted = grant(tx, of, amount)?;
    let amount = if granted.is_some() { amount } else { Amount::ZERO };
    let beside = Funds { available: funds.available - amount, held: funds.held + amount, ..funds };
    Ok(Renewed { granted, amount, beside, room })
}

fn room(want: &Want, beside: Funds) -> Room {
    match want {
        Want::Renewal | Want::Least => Room::default(),
        Want::Admission(asked) => Room { hold: fitting(asked, beside), ..Room::default() },
        Want::Extension(ticket, hold) => {
            let extension = extension_of(ticket, hold, (beside, &[]));
            Room { extension: Some(extension), ..Room::default() }
        }
    }
}

/// Holds money for this process. A wallet that may not spend gives none.
fn grant(tx: &mut Tx<'_>, of: &Renewing, credits: Amount) -> Result<Option<Granted>, Error> {
    let now = tx.now();
    let deadline = now.plus_ms(lives_ms(&of.paywall.paywall.settlement).saturating_mul(2));
    let details = Details {
        reference_type: Some(LEASE.to_owned()),
        reference_id: Some(tx.node().to_string()),
        ..Details::default()
    };
    let ask = Reserve { credits, deadline, details, key: None, quiet: true };
    let held = tx.account(of.sight.wallet, |account, log| {
        hold::reserve(account, log, &Cause::schedule(), ask)
    })?;
    let granted = |place| Granted { place, at: now, deadline };
    Ok(held.and_then(Result::ok).map(granted))
}

/// Pays for all that ended with one entry, frees the rest of the lease, and tells it (paywalls 21,
/// row 14).
pub(super) fn settle_together(
    tx: &mut Tx<'_>,
    of: &Renewing,
    ended: &mut [Ended],
) -> Result<(), Error> {
    let prices: Vec<Amount> =
        ended.iter().filter(|ended| ended.used.is_some()).map(Ended::price).collect();
    let paid = if prices.is_empty() {
        free(tx, of)?;
        None
    } else {
        Some(collect(tx, of, &prices)?)
    };
    tell_ends(tx, of, ended)?;
    if let Some((collected, at)) = paid {
        note_charges(ended, &prices, (collected, at));
        tell_charges(tx, of, ended, (collected, at))?;
    }
    let of = (of.paywall.no, of.sight.wallet);
    for one in ended.iter().filter(|one| one.is_unwritten()) {
        tx.save_request(Noted::new(of, one.last_standing(), &one.story));
    }
    Ok(())
}

impl Ended {
    /// Its last words are not stored yet. A request that costs nothing may have had them when it
    /// ended.
    fn is_unwritten(&self) -> bool {
        self.used.is_some() || !self.scenes.is_empty()
    }

    /// A request whose beginning is told was stored with it.
    pub(super) fn last_standing(&self) -> Standing {
        Standing::Ended { known: self.scenes.first() != Some(&Scene::Started) }
    }
}

fn free(tx: &mut Tx<'_>, of: &Renewing) -> Result<(), Error> {
    let freed = tx.account(of.sight.wallet, |account, log| {
        usage::free(account, log, &Cause::schedule(), &of.holds)
    })?;
    Ok(freed.ok_or_else(|| Error::not_found("wallet"))??)
}

fn collect(
    tx: &mut Tx<'_>,
    of: &Renewing,
    prices: &[Amount],
) -> Result<(Collected, Timestamp), Error> {
    let details = Details { reference_type: Some("SETTLEMENT".to_owned()), ..Details::default() };
    let (holds, fees) = (&of.holds[..], of.paywall.paywall.fees);
    let ask = UsageCharge { holds, prices, kept: of.in_flight, fees, details };
    let collected = tx.account(of.sight.wallet, |account, log| {
        usage::collect(account, log, &Cause::schedule(), ask)
    })?;
    Ok((collected.ok_or_else(|| Error::not_found("wallet"))??, tx.now()))
}

fn note_charges(ended: &mut [Ended], prices: &[Amount], (paid, at): (Collected, Timestamp)) {
    let mut parts = shared_out(prices, paid.taken);
    for one in ended {
        let Some(used) = &one.used else { continue };
        let uncollected = used.bill.amount - parts.next().unwrap_or_default();
        one.story.charge = Some(used.charge(&one.story, (paid.place, at), uncollected));
        one.story.due = None;
        let told = Scene::Charged.event();
        // The work may run twice.
        if one.story.events.last() != Some(&told) {
            one.story.events.push(told);
        }
    }
}

/// What of the requests was not told when they ended: a chapter for all that one actor caused.
fn tell_ends(tx: &mut Tx<'_>, of: &Renewing, ended: &[Ended]) -> Result<(), Error> {
    let paywall = (of.paywall.no, of.paywall.paywall.id);
    for alike in ended.chunk_by(|one, next| is_alike(&one.cause, &next.cause)) {
        let lines: Vec<Line> = alike.iter().flat_map(untold).collect();
        if let (Some(first), false) = (alike.first(), lines.is_empty()) {
            tx.tell_chapter(paywall, of.sight.payer, &first.cause, (lines, None))?;
        }
    }
    Ok(())
}

fn untold(one: &Ended) -> impl Iterator<Item = Line> {
    let request = one.story.request_id;
    one.scenes.iter().map(move |&scene| Line { scene, request })
}

/// But for the request, which each line names.
fn is_alike(one: &Cause, other: &Cause) -> bool {
    (&one.actor, &one.idempotency_key) == (&other.actor, &other.idempotency_key)
}

fn tell_charges(
    tx: &mut Tx<'_>,
    of: &Renewing,
    ended: &mut [Ended],
    (paid, at): (Collected, Timestamp),
) -> Result<(), Error> {
    let cause = Cause::schedule();
    if paid.uncollected.is_positive() {
        let caller = Caller { user: &of.user, sight: &of.sight, cause: &cause };
        let available = funds(tx, of.sight.wallet)?.available;
        tell_depleted(tx, &of.paywall, caller, (paid.taken + paid.uncollected, available))?;
    }
    let paywall = (of.paywall.no, of.paywall.paywall.id);
    let charged = ended.iter().filter(|one| one.used.is_some());
    let line = |one: &Ended| Line { scene: Scene::Charged, request: one.story.request_id };
    let lines: Vec<Line> = charged.map(line).collect();
    let count = lines.len();
    tx.tell_chapter(paywall, of.sight.payer, &cause, (lines, Some(paid.place)))?;
    tell_settlement(tx, of, (paid, at), count)
}

fn tell_settlement(
    tx: &mut Tx<'_>,
    of: &Renewing,
    (paid, at): (Collected, Timestamp),
    requests: usize,
) -> Result<(), Error> {
    let (paywall, cause) = (&of.paywall.paywall, Cause::schedule());
    let activity = paid.place.transaction_id(at).to_string();
    let data = Data::new(paywall.id, tx.scope().tenant)
        .with("walletUserId", of.sight.payer.customer.to_string())
        .with("externalUserId", of.user.as_str())
        .with("activityId", activity.clone())
        .with("settlementReference", paid.place.settlement_id(at).to_string())
        .money("amount", paid.taken)
        .with("currency", paywall.currency.upper())
        .with("settledAt", at.to_string())
        .with("requestCount", requests);
    let external_id = Some(of.user.as_str().to_owned());
    let subject = Subject { kind: "paywall.balance", id: activity, external_id };
    let kind = EventType::PAYWALL_CHARGE_COMPLETED;
    let told = (of.paywall.no, paywall.id);
    tx.tell_paywall(told, Some(of.sight.payer), kind, &cause, |telling| {
        let actor = &cause.actor;
        let told = Told { paywall: paywall.id, data, metadata: None, actor, subject };
        domain::event::paywall::render(telling, &told)
    })?;
    Ok(())
}
