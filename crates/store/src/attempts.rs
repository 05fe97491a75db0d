//! Attempts: one row for each HTTP request, append only.

use crate::sql::{Row, params};
use domain::place::{Place, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::receiver::{Timing, Trigger};
use domain::webhook::schedule::Outcome;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::Millis;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    pub number: u32,
    pub trigger: Trigger,
    /// On the environment's clock.
    pub started_at: Timestamp,
    /// Real time.
    pub sent_at: Timestamp,
    pub duration_ms: i64,
    pub code: Option<u16>,
    pub result: Outcome,
    pub error: Option<String>,
    pub retry_after_s: Option<u32>,
    pub address: Option<String>,
    pub reconnected: bool,
    /// First bytes of the answer's body.
    pub snippet: Vec<u8>,
    pub timing: Timing,
}

pub fn insert_all(
    write: Write<'_>,
    rows: &[((ReceiverNo, Place), AttemptRow)],
) -> Result<(), Error> {
    let mut insert = write.connection.bulk(
        "INSERT INTO attempts (receiver, place, number, trigger, started_at, sent_at, duration_ms,
            code, result, error, retry_after_s, address, reconnected, snippet, dns_ms, connect_ms,
            tls_ms, first_byte_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?;
    for ((receiver, place), row) in rows {
        insert.push(params![
            receiver.0,
            place.raw(),
            row.number,
            row.trigger.name(),
            Millis(row.started_at),
            Millis(row.sent_at),
            row.duration_ms,
            row.code,
            row.result.name(),
            row.error,
            row.retry_after_s,
            row.address,
            row.reconnected,
            row.snippet,
            row.timing.dns_ms,
            row.timing.connect_ms,
            row.timing.tls_ms,
            row.timing.first_byte_ms,
        ])?;
    }
    Ok(insert.finish()?)
}

/// Attempts of one delivery, newest first.
pub fn of_delivery(
    read: Read<'_>,
    scope: &Scope,
    (receiver, place): (ReceiverNo, Place),
) -> Result<Vec<AttemptRow>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT a.number, a.trigger, a.started_at, a.sent_at, a.duration_ms, a.code, a.result,
            a.error, a.retry_after_s, a.address, a.reconnected, a.snippet, a.dns_ms, a.connect_ms,
            a.tls_ms, a.first_byte_ms
         FROM attempts a JOIN deliveries d ON d.receiver = a.receiver AND d.place = a.place
         WHERE d.env = ?1 AND a.receiver = ?2 AND a.place = ?3 ORDER BY a.number DESC",
    )?;
    let rows = select.query_map(params![scope.env.get(), receiver.0, place.raw()], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row(row: &Row<'_>) -> crate::sql::Result<AttemptRow> {
    let (trigger, result): (String, String) = (row.get(1)?, row.get(6)?);
    let bad = || crate::sql::Error::Form;
    Ok(AttemptRow {
        number: row.get(0)?,
        trigger: Trigger::parse(&trigger).ok_or_else(bad)?,
        started_at: row.get::<Millis>(2)?.0,
        sent_at: row.get::<Millis>(3)?.0,
        duration_ms: row.get(4)?,
        code: row.get(5)?,
        result: Outcome::parse(&result).ok_or_else(bad)?,
        error: row.get(7)?,
        retry_after_s: row.get(8)?,
        address: row.get(9)?,
        reconnected: row.get(10)?,
        snippet: row.get::<Option<Vec<u8>>>(11)?.unwrap_or_default(),
        timing: Timing {
            dns_ms: row.get(12)?,
            connect_ms: row.get(13)?,
            tls_ms: row.get(14)?,
            first_byte_ms: row.get(15)?,
        },
    })
}
