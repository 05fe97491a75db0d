//! Deliveries: one event for one receiver, written with the event, for whoever matches then.
//!
//! `routing` writes them, `queue` moves them between their states, `pieces` many at a time, `list`
//! shows them. When and how
//! one is sent is the engine's.

mod list;
pub mod pieces;
mod queue;
mod routing;

use crate::sql::Row;
use domain::id::DeliveryId;
use domain::place::{Place, ReceiverNo, TEST_POSITIONS};
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use domain::webhook::receiver::{Class, DeliveryState, Trigger};
use domain::webhook::schedule::Outcome;

use crate::error::Error;
use crate::value::{Millis, unsigned};

pub use list::{Filters, Mark, first_open, page};
pub use queue::{
    Due, claim, claim_probe, due, find, find_all, give_back, give_back_all, give_back_of, insert,
    next_due, promote, release, set, set_all, test_place,
};
pub use routing::{Head, Routing};
pub(crate) use routing::{append, heads, matches, order_key, routing};

/// A delivery that is leased to this process, for its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    pub receiver: ReceiverNo,
    pub place: Place,
    pub class: Class,
    /// Leased by the commit of its event; else it was claimed, promoted or asked for.
    pub fresh: bool,
    /// It goes out although the circuit of its receiver is open.
    pub probe: bool,
}

/// What a commit has for the sender of its process, in its order.
#[derive(Debug)]
pub enum Handed {
    Leased(Handover),
    /// The same, with the row that the commit wrote too.
    Fresh(Handover, Box<Delivery>),
    /// Deliveries of the receiver may be others than they were.
    Changed(ReceiverNo),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub receiver: ReceiverNo,
    /// Of its event; test deliveries have places of their own.
    pub place: Place,
    /// Time of the event.
    pub at: Timestamp,
    pub kind: EventType,
    /// `<type>:<id>` of what is counted.
    pub subject: String,
    /// Empty for what goes without order.
    pub order_key: String,
    pub sequence: u64,
    pub class: Class,
    pub state: DeliveryState,
    /// Place in the schedule.
    pub step: u8,
    pub attempts: u32,
    /// Attempts that were probes of a circuit.
    pub probes: u32,
    pub next_at: Timestamp,
    /// Of a test delivery.
    pub body: Option<Vec<u8>>,
    pub last_code: Option<u16>,
    pub last_result: Option<Outcome>,
    pub last_error: Option<String>,
    pub last_attempt_at: Option<Timestamp>,
    pub last_duration_ms: Option<i64>,
    /// First success.
    pub delivered_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// What causes the next attempt.
    pub trigger: Trigger,
    /// Exhausted, and its order key stands until someone acts.
    pub halts: bool,
    /// Number of the last replay that opened it.
    pub replay: Option<i64>,
}

pub(crate) const COLUMNS: &str =
    "receiver, place, at, kind, subject, order_key, sequence, class, state, step,
    attempts, next_at, body, last_code, last_result, last_error, last_attempt_at, last_duration_ms,
    delivered_at, created_at, updated_at, trigger, halts, replay, probes";

impl Delivery {
    pub fn id(&self) -> DeliveryId {
        self.place.delivery_id(self.at, self.receiver)
    }

    pub fn is_test(&self) -> bool {
        is_test(self.place)
    }

    /// Number of its next attempt.
    pub fn next_number(&self) -> u32 {
        self.attempts + self.probes + 1
    }

    /// As receivers see it; that of a test is marked.
    pub fn event_id(&self) -> String {
        event_id(self.place, self.at)
    }
}

pub fn is_test(place: Place) -> bool {
    place.position() >= TEST_POSITIONS
}

/// The id of the event at a place.
pub fn event_id(place: Place, at: Timestamp) -> String {
    let id = place.event_id(at);
    if is_test(place) { format!("evt_test_{}", id.0) } else { id.to_string() }
}

pub(crate) fn row(row: &Row<'_>) -> crate::sql::Result<Delivery> {
    let text = |index| row.get_ref(index)?.as_str().map_err(crate::sql::Error::from);
    let time = |index| -> crate::sql::Result<Option<Timestamp>> {
        Ok(row.get::<Option<Millis>>(index)?.map(|at| at.0))
    };
    let bad = || crate::sql::Error::Form;
    let last_result: Option<String> = row.get(14)?;
    Ok(Delivery {
        receiver: ReceiverNo(row.get(0)?),
        place: Place::from_raw(row.get(1)?),
        at: row.get::<Millis>(2)?.0,
        kind: EventType::parse(text(3)?).ok_or_else(bad)?,
        subject: row.get(4)?,
        order_key: row.get(5)?,
        sequence: unsigned(row.get(6)?),
        class: Class::parse(text(7)?).ok_or_else(bad)?,
        state: DeliveryState::parse(text(8)?).ok_or_else(bad)?,
        step: row.get(9)?,
        attempts: row.get(10)?,
        next_at: row.get::<Millis>(11)?.0,
        body: row.get(12)?,
        last_code: row.get(13)?,
        last_result: last_result.as_deref().and_then(Outcome::parse),
        last_error: row.get(15)?,
        last_attempt_at: time(16)?,
        last_duration_ms: row.get(17)?,
        delivered_at: time(18)?,
        created_at: row.get::<Millis>(19)?.0,
        updated_at: row.get::<Millis>(20)?.0,
        trigger: Trigger::parse(text(21)?).ok_or_else(bad)?,
        halts: row.get(22)?,
        replay: row.get(23)?,
        probes: row.get(24)?,
    })
}

fn rows(found: Vec<crate::sql::Result<Delivery>>) -> Result<Vec<Delivery>, Error> {
    Ok(found.into_iter().collect::<Result<_, _>>()?)
}
