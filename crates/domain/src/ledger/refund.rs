//! Refunds: credits of a charge go back to the lots that they came from (paywalls 12.2).
//!
//! What was taken last comes back first, so a charge of which a part was refunded stands as a
//! smaller charge would. Credits whose lot has expired since, and those that no lot had paid, make
//! new lots. The rule trusts the sum of the earlier refunds that it is given; `verify` proves it.

use super::account::Account;
use super::alerts;
use super::entry::{
    Activity, Announce, Details, Entry, KeyUse, Kind, LedgerAccount, Reason, Status, Taken,
};
use super::log::{Draft, Log};
use super::lot::{Lot, PAID_PRIORITY};
use super::refusal::Refusal;
use crate::amount::Amount;
use crate::place::Place;
use crate::scope::Cause;

/// What can still be refunded: of the charge, and of the part of it that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub of_charge: Amount,
    pub of_part: Amount,
}

impl Left {
    pub fn amount(self) -> Amount {
        self.of_charge.min(self.of_part).or_zero()
    }

    /// The amount to refund: what is asked, or all that is left.
    pub fn grant(self, asked: Option<Amount>) -> Result<Amount, Refusal> {
        let left = self.amount();
        match asked {
            _ if left.is_zero() => Err(Refusal::AlreadyRefunded),
            Some(asked) if asked > left => Err(Refusal::RefundExceedsCharge { asked, left }),
            asked => Ok(asked.unwrap_or(left)),
        }
    }
}

/// Gives `credits` of a charge back.
#[derive(Clone, Debug)]
pub struct Refund<'r> {
    pub charge: &'r Entry,
    /// The lots that the charge took from, as they were made.
    pub lots: &'r [Lot],
    /// Credits of the charge that were given back before.
    pub refunded: Amount,
    pub credits: Amount,
    pub details: Details,
    pub key: Option<KeyUse>,
}

/// Credits that make a new lot, by where they came from.
#[derive(Clone, Copy, Debug)]
struct Fresh {
    reason: Reason,
    priority: Option<i64>,
    credits: Amount,
}

/// Where the credits of one refund go.
#[derive(Clone, Debug, Default)]
struct Plan {
    /// Back into these lots, each with its share.
    back: Vec<(Lot, Taken)>,
    fresh: Vec<Fresh>,
}

/// Posts the refund: one row, and one more for each further source whose lot has to be made anew.
/// Returns the places of the rows.
pub fn post(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    ask: Refund<'_>,
) -> Result<Vec<Place>, Refusal> {
    account.must_move()?;
    account.must_stay_in_range(ask.credits)?;
    let mut plan = Plan::of(&ask, log);
    let begun = log.begin();
    let (mut key, mut places) = (ask.key, Vec::new());
    let mut fresh = std::mem::take(&mut plan.fresh).into_iter();
    let mut back = plan.back;
    loop {
        let made = fresh.next();
        if made.is_none() && back.is_empty() {
            break;
        }
        let row = (std::mem::take(&mut back), made);
        let draft = give(account, log, row, (ask.charge, ask.details.clone()));
        places.push(log.post(account, Draft { key: key.take(), ..draft }, cause, log.now));
        account.settle_debt();
    }
    alerts::finish(account, log, begun, cause);
    Ok(places)
}

/// Changes the lots, and drafts the row that says so.
fn give(
    account: &mut Account,
    log: &Log<'_>,
    (back, fresh): (Vec<(Lot, Taken)>, Option<Fresh>),
    (charge, mut details): (&Entry, Details),
) -> Draft {
    details.parent = Some(charge.id());
    let debt = account.debt();
    for (lot, share) in &back {
        account.put_back(lot, share.credits);
    }
    if let Some(fresh) = fresh {
        account.add_lot(fresh.lot(log), debt);
        details.priority = fresh.priority;
        details.lot_reason = Some(fresh.reason.name().to_owned());
    }
    let taken: Vec<Taken> = back.into_iter().map(|(_, share)| share).collect();
    let made = fresh.map_or(Amount::ZERO, |fresh| fresh.credits);
    let credits = taken.iter().map(|share| share.credits).sum::<Amount>() + made;
    let of_paywall = account.wallet.paywall.is_some();
    Draft {
        kind: Kind::Credit,
        reason: Some(Reason::CreditAdjustment),
        activity: Activity::Refund,
        status: Status::Completed,
        announce: if of_paywall { Announce::Refund } else { Announce::Transaction },
        from: LedgerAccount::Revenue,
        to: LedgerAccount::Available,
        credits,
        amount: account.worth(credits),
        // The operator's part of the charge stays the operator's.
        fee: Amount::ZERO,
        taken,
        details,
        key: None,
    }
}

impl Fresh {
    fn lot(self, log: &Log<'_>) -> Lot {
        Lot {
            place: log.next_place(),
            reason: self.reason,
            original: self.credits,
            remaining: self.credits,
            held: Amount::ZERO,
            priority: self.priority,
            expires_at: None,
            created_at: log.now,
        }
    }
}

impl Plan {
    fn of(ask: &Refund<'_>, log: &Log<'_>) -> Plan {
        let mut plan = Plan::default();
        let (shares, uncovered) = shares(ask.charge, ask.refunded, ask.credits);
        // What no lot had paid was a debt, which money that was bought has filled or will fill.
        plan.make(Reason::CreditAdjustment, Some(PAID_PRIORITY), uncovered);
        for share in shares {
            match ask.lots.iter().find(|lot| lot.place == share.lot) {
                Some(lot) if lot.is_expired(log.now) => {
                    plan.make(lot.reason, lot.priority, share.credits);
                }
                Some(lot) => plan.back.push((lot.clone(), share)),
                None => plan.make(Reason::CreditAdjustment, Some(PAID_PRIORITY), share.credits),
            }
        }
        plan
    }

    fn make(&mut self, reason: Reason, priority: Option<i64>, credits: Amount) {
        if credits.is_zero() {
            return;
        }
        let same = |fresh: &&mut Fresh| fresh.reason == reason && fresh.priority == priority;
        match self.fresh.iter_mut().find(same) {
            Some(fresh) => fresh.credits += credits,
            None => self.fresh.push(Fresh { reason, priority, credits }),
        }
    }
}

/// Which lots `credits` of a charge came from, after `refunded` went back before: the last of what
/// is still taken. The second figure is what no lot had paid; it was taken last of all.
fn shares(charge: &Entry, refunded: Amount, credits: Amount) -> (Vec<Taken>, Amount) {
    let until = charge.credits - refunded;
    let from = until - credits;
    let within =
        |start: Amount, length: Amount| ((start + length).min(until) - start.max(from)).or_zero();
    let (mut start, mut shares) = (Amount::ZERO, Vec::new());
    for taken in &charge.taken {
        let share = within(start, taken.credits);
        if share.is_positive() {
            shares.push(Taken { credits: share, ..*taken });
        }
        start += taken.credits;
    }
    (shares, within(start, charge.credits - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(whole: i64) -> Amount {
        Amount::units(whole)
    }

    /// What `grant` says as text, so that a table can hold it.
    fn granted(left: (i64, i64), asked: Option<i64>) -> String {
        let left = Left { of_charge: units(left.0), of_part: units(left.1) };
        match left.grant(asked.map(units)) {
            Ok(amount) => amount.to_string(),
            Err(Refusal::AlreadyRefunded) => "already".to_owned(),
            Err(Refusal::RefundExceedsCharge { left, .. }) => format!("exceeds {left}"),
            Err(other) => other.to_string(),
        }
    }

    #[test]
    fn a_refund_is_bounded_by_its_part_and_by_the_charge() {
        let table = [
            ((10, 10), None, "10"),
            ((10, 10), Some(4), "4"),
            ((10, 10), Some(11), "exceeds 10"),
            ((10, 3), None, "3"),
            ((10, 3), Some(4), "exceeds 3"),
            ((2, 3), None, "2"),
            ((0, 3), None, "already"),
            ((5, 0), Some(1), "already"),
            ((5, -1), Some(1), "already"),
        ];
        for (left, asked, expected) in table {
            assert_eq!(granted(left, asked), expected, "{left:?} {asked:?}");
        }
    }
}
