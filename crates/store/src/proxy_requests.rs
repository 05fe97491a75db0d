//! Requests of the proxy: what is under way, and the whole story of each one that ended.

use domain::id::RequestId;
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis, signed, unsigned};

/// The state in which a request may still be settled.
pub const OPEN: &str = "open";
/// It has ended, and what it costs is still to be taken from its lease.
pub const UNSETTLED: &str = "unsettled";

/// A request as stored; `story` is JSON.
#[derive(Clone, Debug)]
pub struct StoredRequest {
    pub id: RequestId,
    pub paywall: i64,
    pub wallet: i64,
    pub state: &'static str,
    pub started_at: Timestamp,
    /// Output tokens that were counted at the last checkpoint.
    pub counted: u64,
    pub story: String,
}

const COLUMNS: &str = "id, paywall, wallet, state, started_at, counted, story";

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredRequest> {
    let state = match row.get_ref(3)?.as_str()? {
        OPEN => OPEN,
        UNSETTLED => UNSETTLED,
        _ => ENDED,
    };
    Ok(StoredRequest {
        id: RequestId(row.get::<_, Key>(0)?.0),
        paywall: row.get(1)?,
        wallet: row.get(2)?,
        state,
        started_at: row.get::<_, Millis>(4)?.0,
        counted: unsigned(row.get(5)?),
        story: row.get(6)?,
    })
}

/// Nothing is to come.
pub const ENDED: &str = "ended";

/// Writes requests as they are now, new or known. What was counted stays.
pub(crate) fn save(
    connection: &Connection,
    requests: &[(EnvNo, StoredRequest)],
) -> Result<(), Error> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO proxy_requests (id, env, paywall, wallet, state, started_at, counted, story)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (env, paywall, id) DO UPDATE SET state = excluded.state,
            story = excluded.story",
    )?;
    for (env, request) in requests {
        upsert.execute(params![
            Key(request.id.0),
            env.get(),
            request.paywall,
            request.wallet,
            request.state,
            Millis(request.started_at),
            signed(request.counted),
            request.story,
        ])?;
    }
    Ok(())
}

/// Notes how far an open stream came.
pub fn checkpoint(
    write: Write<'_>,
    scope: &Scope,
    (paywall, id): (i64, RequestId),
    counted: u64,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE proxy_requests SET counted = ?4
             WHERE env = ?1 AND paywall = ?2 AND id = ?3 AND state = 'open'",
        )?
        .execute(params![scope.env.get(), paywall, Key(id.0), signed(counted)])?;
    Ok(())
}

/// A request of a paywall.
pub fn find(
    read: Read<'_>,
    scope: &Scope,
    (paywall, id): (i64, RequestId),
) -> Result<Option<StoredRequest>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM proxy_requests WHERE env = ?1 AND paywall = ?2 AND id = ?3"
    ))?;
    let values = params![scope.env.get(), paywall, Key(id.0)];
    Ok(select.query_row(values, from_row).optional()?)
}

/// Requests that nobody ended yet, and those that are not settled.
pub fn open(read: Read<'_>, scope: &Scope) -> Result<Vec<StoredRequest>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM proxy_requests
         WHERE env = ?1 AND state IN ('open', 'unsettled') ORDER BY no"
    ))?;
    let rows = select.query_map([scope.env.get()], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Requests of a wallet that are under way.
pub fn count_open(read: Read<'_>, scope: &Scope, wallet: i64) -> Result<u64, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM proxy_requests
         WHERE env = ?1 AND wallet = ?2 AND state IN ('open', 'unsettled') AND state = 'open'",
    )?;
    Ok(unsigned(select.query_row([i64::from(scope.env.get()), wallet], |row| row.get(0))?))
}

/// Requests of a paywall, newest first, older than `before`.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    paywall: i64,
    (before, limit): (Option<RequestId>, u32),
) -> Result<Vec<StoredRequest>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM proxy_requests
         WHERE env = ?1 AND paywall = ?2 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
    ))?;
    let before = before.map(|id| Key(id.0));
    let rows = select.query_map(params![scope.env.get(), paywall, before, limit], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
