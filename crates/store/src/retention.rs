//! How long events are kept. One row an environment says from which position on; what stands before
//! is gone for every reader at once, and its rows follow in chunks.
//!
//! The ledger is never touched: entries and chapters stay where they are, only their events end.

use crate::sql::{Connection, OptionalExtension, params};
use domain::place::{Place, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Millis, signed, unsigned};

const LOG: [&str; 3] = ["entries", "events", "chapters"];

/// What an environment keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The first position that is kept.
    pub from: u64,
    /// When the last event before it happened.
    pub purged_at: Option<Timestamp>,
}

impl Kept {
    /// Whether the event of a place of this environment is gone.
    pub fn is_gone(&self, place: Place) -> bool {
        (1..self.from).contains(&place.position())
    }
}

pub fn kept(read: Read<'_>, scope: &Scope) -> Result<Kept, Error> {
    let mut select =
        read.connection.prepare_cached("SELECT kept, purged_at FROM retention WHERE env = ?1")?;
    let found = select.query_row([scope.env.get()], |row| {
        let at: Millis = row.get(1)?;
        Ok(Kept { from: unsigned(row.get(0)?), purged_at: Some(at.0) })
    });
    Ok(found.optional()?.unwrap_or(Kept { from: 1, purged_at: None }))
}

/// What is kept once everything that was recorded before `cutoff` is gone; `None` if that is so
/// already. The log ends with its first event that is young enough, whatever follows.
pub fn due(read: Read<'_>, scope: &Scope, cutoff: Timestamp) -> Result<Option<Kept>, Error> {
    let now = kept(read, scope)?;
    let first = scope.env.place(now.from).raw();
    let end = scope.env.place(crate::events::head(read, scope)? + 1).raw();
    let mut young = end;
    for table in LOG {
        let mut select = read.connection.prepare_cached(&format!(
            "SELECT place FROM {table} WHERE place >= ?1 AND place < ?2 AND recorded_at >= ?3
             ORDER BY place LIMIT 1"
        ))?;
        let key = params![first, young, Millis(cutoff)];
        young = select.query_row(key, |row| row.get(0)).optional()?.unwrap_or(young);
    }
    if young <= first {
        return Ok(None);
    }
    let mut purged_at = Timestamp::default();
    for table in LOG {
        let mut select = read.connection.prepare_cached(&format!(
            "SELECT at FROM {table} WHERE place >= ?1 AND place < ?2 ORDER BY place DESC LIMIT 1"
        ))?;
        let at: Option<Millis> =
            select.query_row(params![first, young], |row| row.get(0)).optional()?;
        purged_at = purged_at.max(at.map_or(purged_at, |at| at.0));
    }
    let from = Place::from_raw(young).position();
    Ok(Some(Kept { from, purged_at: Some(purged_at) }))
}

/// Everything before is gone from this commit on.
pub fn set(write: Write<'_>, scope: &Scope, kept: Kept) -> Result<(), Error> {
    let mut upsert = write.connection.prepare_cached(
        "INSERT INTO retention (env, kept, purged_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (env) DO UPDATE SET kept = excluded.kept, purged_at = excluded.purged_at
         WHERE retention.kept < excluded.kept",
    )?;
    let purged_at = kept.purged_at.unwrap_or_default();
    upsert.execute(params![scope.env.get(), signed(kept.from), Millis(purged_at)])?;
    Ok(())
}

/// What one chunk removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub rows: usize,
    /// Order keys that lost the delivery which held others back.
    pub freed: Vec<(ReceiverNo, String)>,
}

/// Removes at most `limit` rows of what is gone: attempts, then deliveries, then events.
pub fn sweep(write: Write<'_>, scope: &Scope, limit: usize) -> Result<Swept, Error> {
    let kept = kept(write.read(), scope)?;
    let span = (scope.env.range().0, scope.env.place(kept.from).raw());
    let (connection, mut swept) = (write.connection, Swept::default());
    for receiver in receivers(connection, scope)? {
        let of = (receiver, span);
        swept.rows += delete(connection, ATTEMPTS, of, limit - swept.rows)?;
        if swept.rows < limit {
            freed(connection, of, limit - swept.rows, &mut swept.freed)?;
            swept.rows += delete(connection, DELIVERIES, of, limit - swept.rows)?;
        }
        if swept.rows >= limit {
            return Ok(swept);
        }
    }
    swept.rows += delete_events(connection, span, limit - swept.rows)?;
    Ok(swept)
}

fn delete_events(
    connection: &Connection,
    (first, end): (i64, i64),
    limit: usize,
) -> Result<usize, Error> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM events WHERE place IN (SELECT place FROM events
            WHERE place >= ?1 AND place < ?2 ORDER BY place LIMIT ?3)",
    )?;
    Ok(delete.execute(params![first, end, i64::try_from(limit).unwrap_or(i64::MAX)])?)
}

const ATTEMPTS: &str = "DELETE FROM attempts WHERE no IN (SELECT no FROM attempts
    WHERE receiver = ?1 AND place >= ?2 AND place < ?3 ORDER BY place LIMIT ?4)";
const DELIVERIES: &str = "DELETE FROM deliveries WHERE receiver = ?1 AND place IN (
    SELECT place FROM deliveries WHERE receiver = ?1 AND place >= ?2 AND place < ?3
    ORDER BY place LIMIT ?4)";

fn delete(
    connection: &Connection,
    text: &str,
    (receiver, (first, end)): (ReceiverNo, (i64, i64)),
    limit: usize,
) -> Result<usize, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(connection.prepare_cached(text)?.execute(params![receiver.0, first, end, limit])?)
}

/// Order keys whose later deliveries wait for one that goes now.
fn freed(
    connection: &Connection,
    (receiver, (first, end)): (ReceiverNo, (i64, i64)),
    limit: usize,
    found: &mut Vec<(ReceiverNo, String)>,
) -> Result<(), Error> {
    let mut select = connection.prepare_cached(
        "SELECT DISTINCT order_key FROM (SELECT order_key, state, halts FROM deliveries
            WHERE receiver = ?1 AND place >= ?2 AND place < ?3 ORDER BY place LIMIT ?4) AS gone
         WHERE order_key <> '' AND
             ((state = 'due' OR state = 'leased' OR state = 'waiting') OR halts = 1)",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let keys = select.query_map(params![receiver.0, first, end, limit], |row| row.get(0))?;
    for key in keys {
        found.push((receiver, key?));
    }
    Ok(())
}

/// Deleted ones too.
fn receivers(connection: &Connection, scope: &Scope) -> Result<Vec<ReceiverNo>, Error> {
    let mut select =
        connection.prepare_cached("SELECT no FROM receivers WHERE env = ?1 ORDER BY no")?;
    let rows = select.query_map([scope.env.get()], |row| Ok(ReceiverNo(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
