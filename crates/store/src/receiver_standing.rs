//! How the deliveries of one receiver stand now: what is open, parked and held back. Each question
//! goes along the open rows of that receiver alone.

use crate::sql::params;
use domain::place::ReceiverNo;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::value::{Millis, unsigned};

/// Order keys that are named.
const BLOCKED_MAX: i64 = 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub pending: u64,
    pub oldest_pending_at: Option<Timestamp>,
    pub parked: u64,
    /// Order keys with deliveries that wait for one before them, those with most first.
    pub blocked: Vec<(String, u64)>,
}

pub fn load(read: Read<'_>, scope: &Scope, receiver: ReceiverNo) -> Result<Standing, Error> {
    let key = params![scope.env.get(), receiver.0];
    let mut open = read.connection.prepare_cached(
        "SELECT COUNT(*), MIN(created_at) FROM deliveries WHERE env = ?1 AND receiver = ?2
            AND (state = 'due' OR state = 'leased' OR state = 'waiting')",
    )?;
    let (pending, oldest): (i64, Option<Millis>) =
        open.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut parked = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM deliveries WHERE env = ?1 AND receiver = ?2 AND state = 'parked'",
    )?;
    let mut blocked = read.connection.prepare_cached(
        "SELECT order_key, COUNT(*) AS n FROM deliveries WHERE env = ?1 AND receiver = ?2
            AND (state = 'due' OR state = 'leased' OR state = 'waiting') AND state = 'waiting'
         GROUP BY order_key ORDER BY n DESC, order_key LIMIT ?3",
    )?;
    let rows = blocked.query_map(params![scope.env.get(), receiver.0, BLOCKED_MAX], |row| {
        Ok((row.get(0)?, unsigned(row.get(1)?)))
    })?;
    Ok(Standing {
        pending: unsigned(pending),
        oldest_pending_at: oldest.map(|at| at.0),
        parked: unsigned(parked.query_row(params![scope.env.get(), receiver.0], |row| row.get(0))?),
        blocked: rows.collect::<Result<_, _>>()?,
    })
}

/// Open deliveries of a receiver.
pub fn pending(read: Read<'_>, scope: &Scope, receiver: ReceiverNo) -> Result<u64, Error> {
    let mut open = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM deliveries WHERE env = ?1 AND receiver = ?2
            AND (state = 'due' OR state = 'leased' OR state = 'waiting')",
    )?;
    Ok(unsigned(open.query_row(params![scope.env.get(), receiver.0], |row| row.get(0))?))
}
