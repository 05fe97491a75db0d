//! Open lots in a few bytes, so that a charge of a usual wallet writes one row.
//!
//! Every number is a zigzag LEB128 integer of up to 128 bits; what may be absent is its value plus
//! one, or zero. About 30 bytes a lot.

use domain::amount::Amount;
use domain::ledger::entry::Reason;
use domain::ledger::lot::Lot;
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
        push_maybe(&mut bytes, lot.priority);
        push_maybe(&mut bytes, lot.expires_at.map(Timestamp::millis));
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
        priority: pull_maybe(rest)?.value,
        expires_at: pull_maybe(rest)?.value.map(Timestamp::from_millis),
    })
}

pub(super) fn small(number: i128) -> Option<i64> {
    i64::try_from(number).ok()
}

pub(super) fn push(bytes: &mut Vec<u8>, number: i128) {
    let mut rest = ((number << 1) ^ (number >> 127)).cast_unsigned();
    loop {
        let low = (rest & 0x7F).to_le_bytes()[0];
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

pub(super) fn pull(rest: &mut &[u8]) -> Option<i128> {
    let mut value: u128 = 0;
    let mut shift = 0;
    loop {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u128::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
        shift += 7;
    }
}

fn push_maybe(bytes: &mut Vec<u8>, number: Option<i64>) {
    match number {
        None => bytes.push(0),
        Some(number) => {
            bytes.push(1);
            push(bytes, i128::from(number));
        }
    }
}

/// What may be absent.
struct Maybe {
    value: Option<i64>,
}

/// `None` is an end of the bytes.
fn pull_maybe(rest: &mut &[u8]) -> Option<Maybe> {
    let (&there, tail) = rest.split_first()?;
    *rest = tail;
    let value = if there == 0 { None } else { Some(small(pull(rest)?)?) };
    Some(Maybe { value })
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
