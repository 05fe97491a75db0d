//! Giving credit: top-ups, deposits, grants and their bonus. Each makes a lot.

use super::account::Account;
use super::alerts;
use super::entry::{Activity, Announce, Details, KeyUse, Kind, LedgerAccount, Reason, Status};
use super::log::{Draft, Log};
use super::lot::Lot;
use super::refusal::Refusal;
use crate::amount::Amount;
use crate::place::Place;
use crate::scope::Cause;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub struct Credit {
    pub credits: Amount,
    /// Price paid in currency for a purchase; worth for everything else.
    pub amount: Amount,
    pub reason: Reason,
    pub activity: Activity,
    /// Account that it comes from; normally `reason.origin_account()`.
    pub from: LedgerAccount,
    pub priority: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub details: Details,
    pub key: Option<KeyUse>,
}

/// Credits that come with a purchase and share its fate (billing 4.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bonus {
    pub credits: Amount,
    pub expires_at: Option<Timestamp>,
}

/// Adds the credit that a paywall gives to a new user by itself: an event of its own tells it.
pub fn grant_trial(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    credit: Credit,
) -> Result<Place, Refusal> {
    account.must_move()?;
    account.must_stay_in_range(credit.credits)?;
    let begun = log.begin();
    account.percent_base = Some(credit.credits);
    let place = post_as(account, log, cause, (credit, Announce::TrialGranted));
    alerts::finish(account, log, begun, cause);
    Ok(place)
}

/// Adds credit, and its bonus as a second row. Returns the places of both.
pub fn add(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    credit: Credit,
    bonus: Option<Bonus>,
) -> Result<(Place, Option<Place>), Refusal> {
    account.must_move()?;
    let total = credit.credits + bonus.as_ref().map_or(Amount::ZERO, |bonus| bonus.credits);
    account.must_stay_in_range(total)?;
    for expiry in [credit.expires_at, bonus.as_ref().and_then(|bonus| bonus.expires_at)] {
        if let Some(expiry) = expiry.filter(|expiry| *expiry <= log.now) {
            return Err(Refusal::ExpiryInPast(expiry));
        }
    }
    let begun = log.begin();
    let priority = credit.priority;
    let place = post(account, log, cause, credit);
    let parent = place.transaction_id(log.now);
    let bonus_place = bonus.map(|bonus| {
        let row = bonus_row(account, &bonus, priority, parent);
        post(account, log, cause, row)
    });
    account.percent_base = Some(total);
    alerts::finish(account, log, begun, cause);
    Ok((place, bonus_place))
}

fn bonus_row(
    account: &Account,
    bonus: &Bonus,
    priority: Option<i64>,
    parent: crate::id::TransactionId,
) -> Credit {
    Credit {
        credits: bonus.credits,
        amount: account.worth(bonus.credits),
        reason: Reason::PurchasedCreditBonus,
        activity: Activity::Topup,
        from: LedgerAccount::Promotion,
        priority,
        expires_at: bonus.expires_at,
        details: Details { parent: Some(parent), ..Details::default() },
        key: None,
    }
}

/// Posts one credit row and its lot, without alerts: for operations of several rows.
pub(super) fn post(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    credit: Credit,
) -> Place {
    let announce = announce(account, credit.activity);
    post_as(account, log, cause, (credit, announce))
}

fn post_as(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    (credit, announce): (Credit, Announce),
) -> Place {
    let debt = account.debt();
    let mut details = credit.details;
    details.priority = credit.priority;
    details.expires_at = credit.expires_at;
    let lot = Lot {
        place: log.next_place(),
        reason: credit.reason,
        original: credit.credits,
        remaining: credit.credits,
        held: Amount::ZERO,
        priority: credit.priority,
        expires_at: credit.expires_at,
        created_at: log.now,
    };
    account.add_lot(lot, debt);
    let draft = Draft {
        kind: Kind::Credit,
        reason: Some(credit.reason),
        activity: credit.activity,
        status: Status::Completed,
        announce,
        from: credit.from,
        to: LedgerAccount::Available,
        credits: credit.credits,
        amount: credit.amount,
        fee: Amount::ZERO,
        taken: Vec::new(),
        details,
        key: credit.key,
    };
    log.post(account, draft, cause, log.now)
}

fn announce(account: &Account, activity: Activity) -> Announce {
    match (account.wallet.paywall.is_some(), activity) {
        (false, _) => Announce::Transaction,
        (true, Activity::Refund) => Announce::Refund,
        (true, Activity::Adjustment) => Announce::Adjustment,
        (true, _) => Announce::Deposit,
    }
}
