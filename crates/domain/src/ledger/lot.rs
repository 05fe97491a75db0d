//! Lots: credit by where it came from, what is left of it and until when (billing 4.5).

use std::cmp::{Ordering, Reverse};

use super::entry::{Entry, Reason, Taken};
use crate::amount::Amount;
use crate::place::Place;
use crate::time::Timestamp;

/// Priority of credit that was paid for: after trials and promotions (paywalls 4.4).
pub const PAID_PRIORITY: i64 = 50;

/// One credit entry and what is left of it. `held ≤ remaining ≤ original`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Place of the credit entry that made it.
    pub place: Place,
    pub reason: Reason,
    pub original: Amount,
    pub remaining: Amount,
    /// The part of `remaining` that open holds have reserved.
    pub held: Amount,
    pub priority: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl Lot {
    /// The lot that a credit entry made, as it was before anything was taken from it.
    pub fn of(entry: &Entry) -> Lot {
        let own = entry.own_lot();
        Lot {
            place: entry.place,
            reason: entry.lot_reason(),
            original: own,
            remaining: own,
            held: Amount::ZERO,
            priority: entry.details.priority,
            expires_at: entry.details.expires_at,
            created_at: entry.at,
        }
    }

    pub fn free(&self) -> Amount {
        self.remaining - self.held
    }

    /// Spendable before the instant of expiry and not at it.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expiry| expiry <= now)
    }

    /// First to be spent first: priority, expiry, larger, older. Total, so that equal requests
    /// consume equally.
    pub fn spending_order(&self, other: &Lot) -> Ordering {
        let none_last = |priority: Option<i64>| (priority.is_none(), priority);
        let no_expiry_last = |expiry: Option<Timestamp>| (expiry.is_none(), expiry);
        none_last(self.priority)
            .cmp(&none_last(other.priority))
            .then(no_expiry_last(self.expires_at).cmp(&no_expiry_last(other.expires_at)))
            .then(Reverse(self.original).cmp(&Reverse(other.original)))
            .then(self.created_at.cmp(&other.created_at))
            .then(self.place.cmp(&other.place))
    }
}

/// Takes up to `credits` from the free parts of `lots` (in spending order) with `take`, which
/// changes the lot. Returns what was taken; less than asked where the lots end.
pub fn allocate(
    lots: &mut [Lot],
    credits: Amount,
    mut take: impl FnMut(&mut Lot, Amount),
) -> Vec<Taken> {
    let mut missing = credits;
    let mut taken = Vec::with_capacity(1);
    for lot in lots.iter_mut() {
        if !missing.is_positive() {
            break;
        }
        let part = lot.free().min(missing);
        if part.is_positive() {
            take(lot, part);
            taken.push(Taken { lot: lot.place, lot_at: lot.created_at, credits: part });
            missing -= part;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::EnvNo;

    fn lot(position: u64, priority: Option<i64>, expiry: Option<i64>, credits: i64) -> Lot {
        Lot {
            place: EnvNo::new(1).place(position),
            reason: Reason::FreeCreditGrant,
            original: Amount::units(credits),
            remaining: Amount::units(credits),
            held: Amount::ZERO,
            priority,
            expires_at: expiry.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(position.cast_signed()),
        }
    }

    #[test]
    fn spends_by_priority_then_expiry_then_size_then_age() {
        let mut lots = [
            lot(1, None, None, 5),
            lot(2, Some(9), None, 5),
            lot(3, Some(1), None, 5),
            lot(4, Some(1), Some(50), 5),
            lot(5, Some(1), Some(50), 8),
            lot(6, None, None, 5),
        ];
        lots.sort_by(Lot::spending_order);
        let order: Vec<u64> = lots.iter().map(|lot| lot.place.position()).collect();
        assert_eq!(order, [5, 4, 3, 2, 1, 6]);
    }

    #[test]
    fn allocation_leaves_held_credits_alone_and_says_which_lot_paid() {
        let mut lots = [lot(1, None, None, 5), lot(2, None, None, 5)];
        lots[0].held = Amount::units(3);
        let taken = allocate(&mut lots, Amount::units(4), |lot, credits| lot.remaining -= credits);
        let parts: Vec<(u64, Amount)> =
            taken.iter().map(|taken| (taken.lot.position(), taken.credits)).collect();
        assert_eq!(parts, [(1, Amount::units(2)), (2, Amount::units(2))]);
        assert_eq!(lots[0].free(), Amount::ZERO);
    }
}
