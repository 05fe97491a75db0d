//! Events: what is told of a change, as the bytes that every reader and receiver gets.
//!
//! Three kinds of rows are events. An `Event` carries its body, rendered when it was written. An
//! entry of the ledger is its own event record: `entry::render` makes the body from the entry and
//! from the versions of wallet and customer that it names, all of which never change. A chapter
//! names scenes of proxied requests, whose stories say the rest (`story`). All give the same bytes
//! for ever; nothing here may read anything else.

pub mod alert;
pub mod billing;
pub mod customer;
pub mod entry;
pub mod paywall;
pub mod proxy;
pub mod story;
pub mod wallet;

use crate::id::{EventId, RequestId};
use crate::place::Place;
use crate::time::Timestamp;
use crate::webhook::catalogue::EventType;
use crate::webhook::channel::Channels;

/// One event with its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub place: Place,
    pub at: Timestamp,
    pub kind: EventType,
    /// `type:id` of the thing whose events are counted.
    pub subject: String,
    /// What is kept in order at a receiver.
    pub order_key: String,
    pub sequence: u64,
    /// Number of the paywall, for events of the paywall family.
    pub paywall: Option<i64>,
    pub channels: Channels,
    pub body: Vec<u8>,
    pub request: Option<RequestId>,
    pub idempotency_key: Option<String>,
    /// In the feed, but never delivered.
    pub suppressed: bool,
}

impl Event {
    pub fn id(&self) -> EventId {
        self.place.event_id(self.at)
    }
}

/// Writes a body. Serialising our own types to memory cannot fail.
fn bytes(body: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
