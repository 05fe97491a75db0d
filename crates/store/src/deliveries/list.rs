//! Deliveries as they are listed: newest first, by what they are about.

use domain::place::{Place, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use rusqlite::{OptionalExtension, named_params, params};

use super::{COLUMNS, Delivery, row, rows};
use crate::database::Read;
use crate::error::Error;
use crate::value::Millis;

/// What a list is narrowed by; what is `None` narrows nothing.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub receiver: Option<ReceiverNo>,
    pub place: Option<Place>,
    /// Names of `DeliveryState`; empty for all.
    pub states: Vec<&'static str>,
    pub kind: Option<String>,
    pub subject: Option<String>,
    /// Only of subscriptions of this paywall.
    pub subscriptions_of: Option<i64>,
    pub created_from: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
}

/// Where a list goes on: below this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub created_at: Timestamp,
    pub place: Place,
    pub receiver: ReceiverNo,
}

impl Mark {
    pub fn of(delivery: &Delivery) -> Mark {
        let Delivery { created_at, place, receiver, .. } = *delivery;
        Mark { created_at, place, receiver }
    }
}

pub fn page(
    read: Read<'_>,
    scope: &Scope,
    filters: &Filters,
    (below, limit): (Option<Mark>, u32),
) -> Result<Vec<Delivery>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM deliveries WHERE env = :env
            AND (:below IS NULL OR (created_at, place, receiver) < (:below, :place, :receiver))
            AND (:from IS NULL OR created_at >= :from)
            AND (:before IS NULL OR created_at < :before)
            AND (:of IS NULL OR receiver = :of) AND (:event IS NULL OR place = :event)
            AND (:states = '' OR instr(:states, ' ' || state || ' ') > 0)
            AND (:kind IS NULL OR kind = :kind) AND (:subject IS NULL OR subject = :subject)
            AND (:paywall IS NULL OR receiver IN (SELECT no FROM receivers
                WHERE env = :env AND kind = 'subscription' AND paywall = :paywall))
         ORDER BY created_at DESC, place DESC, receiver DESC LIMIT :limit"
    ))?;
    let states = match filters.states.as_slice() {
        [] => String::new(),
        names => format!(" {} ", names.join(" ")),
    };
    let found = select.query_map(
        named_params! {
            ":env": scope.env.get(),
            ":below": below.map(|mark| Millis(mark.created_at)),
            ":place": below.map(|mark| mark.place.raw()),
            ":receiver": below.map(|mark| mark.receiver.0),
            ":from": filters.created_from.map(Millis),
            ":before": filters.created_before.map(Millis),
            ":of": filters.receiver.map(|no| no.0),
            ":event": filters.place.map(Place::raw),
            ":states": states,
            ":kind": filters.kind,
            ":subject": filters.subject,
            ":paywall": filters.subscriptions_of,
            ":limit": limit,
        },
        row,
    )?;
    rows(found.collect())
}

/// The delivery that holds back later ones of an order key: the one that stands, or the first open.
pub fn first_open(
    read: Read<'_>,
    scope: &Scope,
    (receiver, order_key): (ReceiverNo, &str),
) -> Result<Option<Delivery>, Error> {
    let halted = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE env = ?1 AND receiver = ?2 AND order_key = ?3
            AND halts = 1 ORDER BY sequence LIMIT 1"
    );
    let open = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE env = ?1 AND receiver = ?2 AND order_key = ?3
            AND state IN ('due', 'leased', 'waiting') AND class <> 'replay'
         ORDER BY sequence LIMIT 1"
    );
    for text in [halted, open] {
        let mut select = read.connection.prepare_cached(&text)?;
        let found =
            select.query_row(params![scope.env.get(), receiver.0, order_key], row).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
