//! Holds: money reserved with a deadline, then captured (all or part, once) or released.
//!
//! A hold moves credits from `available` to `held` and changes no balance. It keeps its lots: what
//! is held when a lot expires stays capturable; what comes free after the expiry expires then.

use super::account::{Account, Hold};
use super::entry::{
    Activity, Announce, Details, KeyUse, Kind, LedgerAccount, Reason, Status, Taken,
};
use super::log::{Draft, Log};
use super::refusal::Refusal;
use super::{alerts, expiry, spend};
use crate::amount::Amount;
use crate::place::Place;
use crate::scope::Cause;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub struct Reserve {
    pub credits: Amount,
    pub deadline: Timestamp,
    pub details: Details,
    pub key: Option<KeyUse>,
    /// See `Hold::quiet`.
    pub quiet: bool,
}

/// Takes `part` of a hold's money (all of it when absent); the rest is released.
#[derive(Clone, Debug)]
pub struct Capture {
    pub hold: Place,
    pub part: Option<Amount>,
    pub fee: Amount,
    pub details: Details,
    pub key: Option<KeyUse>,
}

pub fn reserve(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    ask: Reserve,
) -> Result<Place, Refusal> {
    account.must_spend()?;
    if ask.deadline <= log.now {
        return Err(Refusal::ExpiryInPast(ask.deadline));
    }
    spend::must_cover(account, ask.credits)?;
    let begun = log.begin();
    let taken = account.reserve(ask.credits);
    let place = log.next_place();
    account.held += ask.credits;
    account.holds.push(Hold {
        place,
        amount: ask.credits,
        deadline: ask.deadline,
        created_at: log.now,
        taken: taken.clone(),
        quiet: ask.quiet,
    });
    account.changes.holds.push(place);
    let mut details = ask.details;
    details.expires_at = Some(ask.deadline);
    let draft = Draft {
        kind: Kind::Hold,
        reason: None,
        activity: Activity::Hold,
        status: Status::Completed,
        announce: if ask.quiet { Announce::Quiet } else { Announce::HoldCreated },
        from: LedgerAccount::Available,
        to: LedgerAccount::Held,
        credits: ask.credits,
        amount: account.worth(ask.credits),
        fee: Amount::ZERO,
        taken,
        details,
        key: ask.key,
    };
    log.post(account, draft, cause, log.now);
    log.seal(account, begun);
    Ok(place)
}

/// Captures a hold once. The rest is released in the same operation, without an event of its own.
pub fn capture(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    ask: Capture,
) -> Result<Place, Refusal> {
    account.must_move()?;
    let index = find(account, ask.hold)?;
    let hold = &account.holds[index];
    if hold.deadline <= log.now {
        return Err(Refusal::HoldExpired);
    }
    let part = ask.part.unwrap_or(hold.amount);
    if part > hold.amount {
        return Err(Refusal::CaptureExceedsHold { asked: part, held: hold.amount });
    }
    let begun = log.begin();
    let hold_id = hold.place.hold_id(hold.created_at);
    let announce = if hold.quiet { Announce::Transaction } else { Announce::Charge };
    let taken = take_held(account, index, part);
    let mut details = ask.details;
    details.hold_id = Some(hold_id);
    let draft = Draft {
        kind: Kind::Debit,
        reason: Some(Reason::ManualBalanceDebit),
        activity: Activity::Charge,
        status: Status::Completed,
        announce,
        from: LedgerAccount::Held,
        to: LedgerAccount::Revenue,
        credits: part,
        amount: account.worth(part),
        fee: ask.fee,
        taken,
        details,
        key: ask.key,
    };
    let place = log.post(account, draft, cause, log.now);
    account.settle_debt();
    alerts::finish(account, log, begun, cause);
    expiry::post_due(account, log);
    Ok(place)
}

/// Ends a hold; `release_cause` is `released` or `expired`, and `at` the instant it ended.
pub fn release(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    hold: Place,
    release_cause: &str,
) -> Result<Place, Refusal> {
    if account.is_stopped() {
        return Err(Refusal::WalletStopped);
    }
    let index = find(account, hold)?;
    let begun = log.begin();
    let amount = account.holds[index].amount;
    let at = if release_cause == "expired" { account.holds[index].deadline } else { log.now };
    let hold_id = hold.hold_id(account.holds[index].created_at);
    let quiet = account.holds[index].quiet;
    take_held(account, index, Amount::ZERO);
    let details = Details {
        hold_id: Some(hold_id),
        release_cause: Some(release_cause.to_owned()),
        ..Details::default()
    };
    let draft = Draft {
        kind: Kind::Release,
        reason: None,
        activity: Activity::Release,
        status: Status::Completed,
        announce: if quiet { Announce::Quiet } else { Announce::HoldReleased },
        from: LedgerAccount::Held,
        to: LedgerAccount::Available,
        credits: amount,
        amount: account.worth(amount),
        fee: Amount::ZERO,
        taken: Vec::new(),
        details,
        key: None,
    };
    let place = log.post(account, draft, cause, at);
    log.seal(account, begun);
    account.settle_debt();
    expiry::post_due(account, log);
    Ok(place)
}

/// Releases every hold whose deadline has come, oldest deadline first.
pub fn release_due(account: &mut Account, log: &mut Log<'_>) {
    loop {
        let due = account.holds.iter().filter(|hold| hold.deadline <= log.now);
        let Some(place) = due.min_by_key(|hold| hold.deadline).map(|hold| hold.place) else {
            return;
        };
        if release(account, log, &Cause::schedule(), place, "expired").is_err() {
            return;
        }
    }
}

fn find(account: &Account, hold: Place) -> Result<usize, Refusal> {
    account.holds.iter().position(|open| open.place == hold).ok_or(Refusal::HoldClosed)
}

/// Closes the hold at `index`: `part` leaves its lots for good, the rest is free again.
fn take_held(account: &mut Account, index: usize, part: Amount) -> Vec<Taken> {
    let hold = account.holds.remove(index);
    account.held -= hold.amount;
    account.changes.holds.push(hold.place);
    let mut missing = part;
    let mut taken = Vec::new();
    for reserved in &hold.taken {
        let used = reserved.credits.min(missing);
        account.changes.lots.push(reserved.lot);
        if let Some(lot) = account.lot_mut(reserved.lot) {
            lot.held -= reserved.credits;
            lot.remaining -= used;
        }
        if used.is_positive() {
            taken.push(Taken { credits: used, ..*reserved });
            missing -= used;
        }
    }
    account.sweep();
    taken
}
