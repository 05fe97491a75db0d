//! Figures of the whole database for watching it, and the proof that it can be written. Above every
//! scope: nothing here names a tenant.

use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::Millis;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub holds_open: i64,
    /// When the oldest delivery that is not done was made.
    pub oldest_pending: Option<Timestamp>,
    /// Wallets on which nothing moves because an invariant broke.
    pub wallets_stopped: i64,
}

pub fn load(read: Read<'_>) -> Result<Gauges, Error> {
    let count = |sql: &str| -> Result<i64, Error> {
        Ok(read.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    };
    let mut oldest = read.connection.prepare_cached(
        "SELECT MIN(created_at) FROM deliveries WHERE state IN ('due', 'leased', 'waiting')",
    )?;
    let oldest: Option<Millis> = oldest.query_row([], |row| row.get(0))?;
    Ok(Gauges {
        holds_open: count("SELECT COUNT(*) FROM holds")?,
        oldest_pending: oldest.map(|at| at.0),
        wallets_stopped: stopped(read)?,
    })
}

/// How many wallets an invariant has stopped.
pub fn stopped(read: Read<'_>) -> Result<i64, Error> {
    let mut select =
        read.connection.prepare_cached("SELECT COUNT(*) FROM balances WHERE stopped = 1")?;
    Ok(select.query_row([], |row| row.get(0))?)
}

/// Writes one small row: fails where the file cannot be written or the disk is full.
pub fn probe(write: Write<'_>, at: Timestamp) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO meta (name, value) VALUES ('probe', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute([Millis(at)])?;
    Ok(())
}
