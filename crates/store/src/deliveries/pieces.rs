//! Deliveries of a receiver that change their state together, a piece at a time: a backlog may have
//! millions of rows, and nobody else writes meanwhile.
//!
//! Order holds between two pieces because of every order key the open deliveries come before the
//! parked ones: the last are parked first, and the first come back first.

use crate::sql::{OptionalExtension, params, params_from_iter};
use domain::place::{Place, ReceiverNo, TEST_POSITIONS};
use domain::scope::Scope;
use domain::time::Timestamp;

use super::queue::free_heads;
use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Millis, signed};

/// Parks up to `limit` open deliveries, the last of their order key first. Returns how many.
pub fn park(
    write: Write<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    limit: i64,
) -> Result<usize, Error> {
    let mut update = write.connection.prepare_cached(
        "UPDATE deliveries SET state = 'parked' WHERE env = ?1 AND receiver = ?2 AND place IN (
            SELECT o.place FROM deliveries AS o WHERE o.receiver = ?2
                AND (o.state = 'due' OR o.state = 'leased' OR o.state = 'waiting')
                AND o.place & ?3 = 0
            ORDER BY o.order_key DESC, o.sequence DESC LIMIT ?4)",
    )?;
    let test = signed(TEST_POSITIONS);
    Ok(update.execute(params![scope.env.get(), receiver.0, test, limit])?)
}

/// Up to `limit` parked deliveries, the first first, are due at `at`; with `ordered`, only the
/// first of each order key. Returns how many came back.
pub fn unpark(
    write: Write<'_>,
    scope: &Scope,
    (receiver, ordered): (ReceiverNo, bool),
    (at, limit): (Timestamp, i64),
) -> Result<usize, Error> {
    let connection = write.connection;
    let places: Vec<i64> = connection
        .prepare_cached(
            "SELECT place FROM deliveries WHERE env = ?1 AND receiver = ?2 AND state = 'parked'
             ORDER BY place LIMIT ?3",
        )?
        .query_map(params![scope.env.get(), receiver.0, limit], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let (Some(&first), Some(&last)) = (places.first(), places.last()) else { return Ok(0) };
    let mut update = connection.prepare_cached(
        "UPDATE deliveries SET next_at = ?3,
            state = CASE WHEN ?4 AND order_key <> '' AND class <> 'replay' THEN 'waiting'
                ELSE 'due' END
         WHERE env = ?1 AND receiver = ?2 AND state = 'parked' AND place BETWEEN ?5 AND ?6",
    )?;
    let moved =
        update.execute(params![scope.env.get(), receiver.0, Millis(at), ordered, first, last])?;
    free_heads(write, scope, (receiver, (first, last)))?;
    if ordered {
        crate::replays::line_up(write, scope, (receiver, (first, last)))?;
    }
    Ok(moved)
}

/// Discards up to `limit` deliveries that are open or parked, up to the place `upto`. Returns how
/// many.
pub fn discard(
    write: Write<'_>,
    scope: &Scope,
    (receiver, upto): (ReceiverNo, Place),
    limit: i64,
) -> Result<usize, Error> {
    let test = signed(TEST_POSITIONS);
    let key = |left: i64| params_from_iter([env(scope), receiver.0.into(), test, upto.raw(), left]);
    let mut open = write.connection.prepare_cached(
        "UPDATE deliveries SET state = 'discarded' WHERE env = ?1 AND receiver = ?2 AND place IN (
            SELECT o.place FROM deliveries AS o WHERE o.receiver = ?2
                AND (o.state = 'due' OR o.state = 'leased' OR o.state = 'waiting')
                AND o.place & ?3 = 0
                AND o.place <= ?4 LIMIT ?5)",
    )?;
    let moved = open.execute(key(limit))?;
    let mut parked = write.connection.prepare_cached(
        "UPDATE deliveries SET state = 'discarded' WHERE env = ?1 AND receiver = ?2 AND place IN (
            SELECT o.place FROM deliveries AS o WHERE o.receiver = ?2
                AND o.state = 'parked' AND o.place & ?3 = 0 AND o.place <= ?4 LIMIT ?5)",
    )?;
    Ok(moved + parked.execute(key(limit - i64::try_from(moved).unwrap_or(limit)))?)
}

fn env(scope: &Scope) -> i64 {
    i64::from(scope.env.get())
}

/// Deliveries of the receiver that are open.
pub fn count_open(read: Read<'_>, scope: &Scope, receiver: ReceiverNo) -> Result<usize, Error> {
    let mut count = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM deliveries WHERE env = ?1 AND receiver = ?2
            AND (state = 'due' OR state = 'leased' OR state = 'waiting') AND place & ?3 = 0",
    )?;
    let key = params![scope.env.get(), receiver.0, signed(TEST_POSITIONS)];
    let open: i64 = count.query_row(key, |row| row.get(0))?;
    Ok(usize::try_from(open).unwrap_or(0))
}

/// The last event that the receiver was to get.
pub fn last_place(
    read: Read<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
) -> Result<Option<Place>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT place FROM deliveries WHERE env = ?1 AND receiver = ?2 AND place < ?3
         ORDER BY place DESC LIMIT 1",
    )?;
    let test = scope.env.place(TEST_POSITIONS).raw();
    let found = select.query_row(params![scope.env.get(), receiver.0, test], |row| row.get(0));
    Ok(found.optional()?.map(Place::from_raw))
}
