//! Deliveries as they are listed: newest first, by what they are about.

use crate::sql::{OptionalExtension, params};
use domain::place::{Place, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;

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
    let text = format!(
        // A parameter's type is known where it is compared first, so that comes first.
        "SELECT {COLUMNS} FROM deliveries WHERE env = ?1
            AND ((created_at, place, receiver) < (?2, ?3, ?4) OR ?2 IS NULL)
            AND (created_at >= ?5 OR ?5 IS NULL) AND (created_at < ?6 OR ?6 IS NULL)
            AND (receiver = ?7 OR ?7 IS NULL) AND (place = ?8 OR ?8 IS NULL)
            AND (?9 = '' OR instr(?9, ' ' || state || ' ') > 0)
            AND (kind = ?10 OR ?10 IS NULL) AND (subject = ?11 OR ?11 IS NULL)
            AND (receiver IN (SELECT no FROM receivers
                WHERE env = ?1 AND kind = 'subscription' AND paywall = ?12) OR ?12 IS NULL)
         ORDER BY created_at DESC, place DESC, receiver DESC LIMIT ?13"
    );
    let mut select = read.connection.prepare_cached(&text)?;
    let states = match filters.states.as_slice() {
        [] => String::new(),
        names => format!(" {} ", names.join(" ")),
    };
    let found = select.query_map(
        params![
            scope.env.get(),
            below.map(|mark| Millis(mark.created_at)),
            below.map(|mark| mark.place.raw()),
            below.map(|mark| mark.receiver.0),
            filters.created_from.map(Millis),
            filters.created_before.map(Millis),
            filters.receiver.map(|no| no.0),
            filters.place.map(Place::raw),
            states,
            filters.kind,
            filters.subject,
            filters.subscriptions_of,
            limit,
        ],
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
            AND (state = 'due' OR state = 'leased' OR state = 'waiting') AND class <> 'replay'
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
