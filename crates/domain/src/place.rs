//! Places: where a thing of the log stands. Entries, events, holds and deliveries are found by it.
//!
//! The log of an environment is numbered from 1 without gaps, in commit order. A place is the
//! environment's number and that position in one integer, and every id of the log carries it.

use crate::id::{
    AlertLogId, DeliveryId, EventId, HoldId, ReceiverId, SettlementId, TransactionId, Ulid,
};
use crate::time::Timestamp;

/// Number of an environment inside one database, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvNo(u16);

/// An environment's number and a position of its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(i64);

const POSITION_BITS: u32 = 40;
const POSITION_MASK: i64 = (1 << POSITION_BITS) - 1;
const TAG_BITS: u32 = 24;
const TAG_MASK: u128 = (1 << TAG_BITS) - 1;
/// Positions from here on number what stands outside the log: test deliveries.
pub const TEST_POSITIONS: u64 = 1 << (POSITION_BITS - 1);

/// What a place is the id of; keeps ids of one place apart.
const TAG_EVENT: u128 = 0;
const TAG_TRANSACTION: u128 = 1;
const TAG_HOLD: u128 = 2;
const TAG_SETTLEMENT: u128 = 3;
const TAG_ALERT: u128 = 4;

impl EnvNo {
    pub const fn new(no: u16) -> EnvNo {
        EnvNo(no)
    }

    pub const fn get(self) -> u16 {
        self.0
    }

    /// The first and last place of this environment's log, for range queries.
    pub fn range(self) -> (i64, i64) {
        let first = i64::from(self.0) << POSITION_BITS;
        (first, first | (POSITION_MASK >> 1))
    }

    pub fn place(self, position: u64) -> Place {
        Place((i64::from(self.0) << POSITION_BITS) | (position.cast_signed() & POSITION_MASK))
    }
}

impl Place {
    pub const fn from_raw(raw: i64) -> Place {
        Place(raw)
    }

    pub const fn raw(self) -> i64 {
        self.0
    }

    pub fn env(self) -> EnvNo {
        EnvNo(u16::try_from(self.0 >> POSITION_BITS).unwrap_or_default())
    }

    pub const fn position(self) -> u64 {
        (self.0 & POSITION_MASK).cast_unsigned()
    }

    /// The place `offset` positions further on.
    #[must_use]
    pub fn offset(self, offset: u64) -> Place {
        self.env().place(self.position() + offset)
    }

    fn ulid(self, at: Timestamp, tag: u128) -> Ulid {
        Ulid::new(at, (u128::from(self.0.cast_unsigned()) << TAG_BITS) | tag)
    }

    fn of(ulid: Ulid) -> Place {
        Place(i64::try_from((ulid.unique() >> TAG_BITS) & 0xFF_FFFF_FFFF_FFFF).unwrap_or_default())
    }

    pub fn event_id(self, at: Timestamp) -> EventId {
        EventId(self.ulid(at, TAG_EVENT))
    }

    pub fn transaction_id(self, at: Timestamp) -> TransactionId {
        TransactionId(self.ulid(at, TAG_TRANSACTION))
    }

    pub fn hold_id(self, at: Timestamp) -> HoldId {
        HoldId(self.ulid(at, TAG_HOLD))
    }

    pub fn settlement_id(self, at: Timestamp) -> SettlementId {
        SettlementId(self.ulid(at, TAG_SETTLEMENT))
    }

    pub fn alert_id(self, at: Timestamp) -> AlertLogId {
        AlertLogId(self.ulid(at, TAG_ALERT))
    }

    /// The delivery of the event at this place to receiver number `receiver`.
    pub fn delivery_id(self, at: Timestamp, receiver: ReceiverNo) -> DeliveryId {
        DeliveryId(self.ulid(at, u128::from(receiver.0)))
    }
}

/// Number of a receiver inside one database, from 1; below 2²⁴.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverNo(pub u32);

/// Ids that know their place.
pub trait Placed {
    fn place(self) -> Place;
}

macro_rules! placed {
    ($($name:ident)*) => {$(
        impl Placed for $name {
            fn place(self) -> Place {
                Place::of(self.0)
            }
        }
    )*};
}

placed! { EventId TransactionId HoldId SettlementId AlertLogId DeliveryId }

impl DeliveryId {
    pub fn receiver_no(self) -> ReceiverNo {
        ReceiverNo(u32::try_from(self.0.unique() & TAG_MASK).unwrap_or_default())
    }
}

impl ReceiverId {
    /// Receivers are numbered too, and their id carries the number.
    pub fn numbered(fresh: Ulid, no: ReceiverNo) -> ReceiverId {
        ReceiverId(Ulid((fresh.0 & !TAG_MASK) | u128::from(no.0)))
    }

    pub fn no(self) -> ReceiverNo {
        ReceiverNo(u32::try_from(self.0.unique() & TAG_MASK).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_log_lead_back_to_their_place() {
        let at = Timestamp::from_millis(1_770_000_000_000);
        let place = EnvNo::new(65_535).place((1 << 39) - 1);
        assert_eq!(place.event_id(at).place(), place);
        assert_eq!(place.transaction_id(at).place(), place);
        let delivery = place.delivery_id(at, ReceiverNo(77));
        assert_eq!((delivery.place(), delivery.receiver_no()), (place, ReceiverNo(77)));
        assert_eq!((place.env(), place.position()), (EnvNo::new(65_535), (1 << 39) - 1));
    }

    #[test]
    fn ids_are_ordered_as_their_places() {
        let at = Timestamp::from_millis(5);
        let env = EnvNo::new(3);
        assert!(env.place(9).event_id(at) < env.place(10).event_id(at));
        assert!(env.place(10).offset(1) == env.place(11));
    }
}
