//! A lease: money of one wallet that a node holds in the ledger, so that it may let requests in
//! without asking for each (paywalls 18.1).
//!
//! Holds of requests under way and charges that are not yet settled are together never more than
//! what was granted, unless a usage comes out above its hold.

use crate::amount::Amount;

/// The part of `available` that a lease is for.
const SHARE: i128 = 20;
/// Charges are settled early at this part of the lease.
const USED_UP_PERCENT: i128 = 80;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Held in the ledger.
    pub granted: Amount,
    /// Holds of requests under way.
    pub in_flight: Amount,
    /// Charges of requests that ended.
    pub unsettled: Amount,
}

impl Lease {
    /// What new requests may take.
    pub fn room(&self) -> Amount {
        (self.granted - self.in_flight - self.unsettled).or_zero()
    }

    /// Takes room for a request's hold, or for more of it. Returns whether there was enough.
    pub fn take(&mut self, amount: Amount) -> bool {
        let fits = amount <= self.room();
        if fits {
            self.in_flight += amount;
        }
        fits
    }

    /// A request ended: its hold goes, and what it costs stays.
    pub fn end(&mut self, held: Amount, price: Amount) {
        self.in_flight -= held;
        self.unsettled += price;
    }

    /// What was unsettled has been paid, and so much is granted from here on.
    pub fn renew(&mut self, paid: Amount, granted: Amount) {
        self.unsettled -= paid;
        self.granted = granted;
    }

    /// What a renewal must keep, so that no request that is let in meanwhile goes uncovered.
    pub fn kept(&self, paid: Amount) -> Amount {
        (self.granted - paid).or_zero()
    }

    pub fn is_used_up(&self) -> bool {
        let used = self.unsettled.nanos().saturating_mul(100);
        self.unsettled.is_positive() && used >= self.granted.nanos().saturating_mul(USED_UP_PERCENT)
    }
}

/// How much to lease: a share of what is spendable, at most `most`, and at least `needed`, which
/// the caller knows to be spendable.
pub fn size(spendable: Amount, needed: Amount, most: Amount) -> Amount {
    let share = Amount::from_nanos(spendable.or_zero().nanos() / SHARE);
    share.min(most).max(needed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(nanos: i128) -> Amount {
        Amount::from_nanos(nanos)
    }

    #[test]
    fn a_lease_is_a_twentieth_within_its_bounds_and_never_less_than_needed() {
        let units = Amount::units;
        let table = [
            (units(100), units(0), units(10), units(5)),
            (units(100), units(7), units(10), units(7)),
            (units(1_000), units(0), units(10), units(10)),
            (units(1_000), units(20), units(10), units(20)),
            (units(-5), units(0), units(10), units(0)),
        ];
        for (spendable, needed, most, expected) in table {
            assert_eq!(size(spendable, needed, most), expected, "{spendable} {needed} {most}");
        }
    }

    #[test]
    fn charges_are_settled_early_at_four_fifths() {
        let lease = |unsettled| Lease {
            granted: amount(100),
            in_flight: amount(0),
            unsettled: amount(unsettled),
        };
        assert!(!lease(79).is_used_up());
        assert!(lease(80).is_used_up());
        assert!(!Lease::default().is_used_up());
    }

    proptest! {
        /// Whatever is let in, ended and settled, in any order: promised money is never more than
        /// granted money, and a renewal keeps enough for what was let in while it ran.
        #[test]
        fn promises_never_exceed_the_grant(
            steps in prop::collection::vec((0u8..3, 0i128..50), 0..80)
        ) {
            let mut lease = Lease { granted: amount(100), ..Lease::default() };
            let mut open: Vec<i128> = Vec::new();
            for (step, size) in steps {
                match step {
                    0 => if lease.take(amount(size)) { open.push(size) },
                    1 => if let Some(held) = open.pop() {
                        lease.end(amount(held), amount(held.min(size)));
                    },
                    _ => {
                        let paid = lease.unsettled;
                        let kept = lease.kept(paid);
                        lease.renew(paid, kept);
                        if open.is_empty() {
                            lease.granted = amount(100);
                        }
                    }
                }
                let flying: i128 = open.iter().sum();
                prop_assert_eq!(lease.in_flight, amount(flying));
                prop_assert!(lease.in_flight + lease.unsettled <= lease.granted);
            }
        }
    }
}
