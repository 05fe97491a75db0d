//! Open lots in a few bytes, so that a charge of a usual wallet writes one row.
//!
//! About 30 bytes a lot; see `domain::packed`.

use domain::amount::Amount;
use domain::ledger::entry::Reason;
use domain::ledger::lot::Lot;
use domain::packed::{pull, pull_maybe, push, push_maybe, small};
use domain::place::Place;
use domain::time::Timestamp;

pub(super) fn write(lots: &[Lot]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(lots.len() * 40);
    for lot in lots {
        for number in [
            i128::from(lot.place.raw()),
            i128::from(lot.created_at.millis()),
            i128::from(lot.reason.code()),
            lot.original.nanos(),
            lot.remaining.nanos(),
            lot.held.nanos(),
        ] {
            push(&mut bytes, number);
        }
        push_maybe(&mut bytes, lot.priority, push_whole);
        push_maybe(&mut bytes, lot.expires_at.map(Timestamp::millis), push_whole);
    }
    bytes
}

pub(super) fn read(bytes: &[u8]) -> Vec<Lot> {
    let mut rest = bytes;
    std::iter::from_fn(|| read_lot(&mut rest)).collect()
}

fn read_lot(rest: &mut &[u8]) -> Option<Lot> {
    let place = Place::from_raw(small(pull(rest)?)?);
    let created_at = Timestamp::from_millis(small(pull(rest)?)?);
    Some(Lot {
        place,
        created_at,
        reason: Reason::from_code(small(pull(rest)?)?)?,
        original: Amount::from_nanos(pull(rest)?),
        remaining: Amount::from_nanos(pull(rest)?),
        held: Amount::from_nanos(pull(rest)?),
        priority: pull_maybe(rest, pull_whole)?,
        expires_at: pull_maybe(rest, pull_whole)?.map(Timestamp::from_millis),
    })
}

fn push_whole(bytes: &mut Vec<u8>, number: i64) {
    push(bytes, i128::from(number));
}

fn pull_whole(rest: &mut &[u8]) -> Option<i64> {
    small(pull(rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn lots()(numbers in prop::collection::vec(
            (any::<i64>(), 0..=i64::MAX, 1..=12_i64, -10_i128.pow(27)..10_i128.pow(27),
             prop::option::of(any::<i64>()), prop::option::of(any::<i64>())), 0..30)
        ) -> Vec<Lot> {
            numbers.into_iter().map(|(place, at, reason, nanos, priority, expiry)| Lot {
                place: Place::from_raw(place),
                created_at: Timestamp::from_millis(at),
                reason: Reason::from_code(reason).unwrap(),
                original: Amount::from_nanos(nanos),
                remaining: Amount::from_nanos(nanos / 2),
                held: Amount::from_nanos(nanos / 3),
                priority,
                expires_at: expiry.map(Timestamp::from_millis),
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn packing_keeps_every_digit(lots in lots()) {
            prop_assert_eq!(read(&write(&lots)), lots);
        }
    }
}
