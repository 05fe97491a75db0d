//! Figures for watching a database, and the proof that it can be written. Nothing here names a
//! tenant.

use crate::sql::params;
use domain::ledger::entry::{Kind, LedgerAccount};
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Millis, unsigned};

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
        "SELECT MIN(created_at) FROM deliveries WHERE
         (state = 'due' OR state = 'leased' OR state = 'waiting')",
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

/// Entries of one kind and currency, and how they ended a hold if they did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tallied {
    pub kind: &'static str,
    pub currency: String,
    /// `captured`, `released` or `expired`.
    pub hold_outcome: Option<String>,
    pub count: u64,
}

/// The environment's entries after a position, counted, and the position up to which.
pub fn tally(read: Read<'_>, scope: &Scope, after: u64) -> Result<(Vec<Tallied>, u64), Error> {
    let head = crate::events::head(read, scope)?;
    let mut select = read.connection.prepare_cached(
        "SELECT e.kind, w.currency, COUNT(*),
            CASE WHEN e.kind = ?3 THEN json_extract(e.details, '$.release_cause')
                 WHEN e.kind = ?4 AND e.from_account = ?5 THEN 'captured' END AS outcome
         FROM entries e JOIN wallets w ON w.no = e.wallet
         WHERE e.place > ?1 AND e.place <= ?2 GROUP BY e.kind, w.currency, outcome",
    )?;
    let places = (scope.env.place(after).raw(), scope.env.place(head).raw());
    let codes = (Kind::Release.code(), Kind::Debit.code(), LedgerAccount::Held.code());
    let key = params![places.0, places.1, codes.0, codes.1, codes.2];
    let rows = select.query_map(key, |row| {
        let kind = Kind::from_code(row.get(0)?).ok_or(crate::sql::Error::Form)?;
        Ok(Tallied {
            kind: kind.name(),
            currency: row.get(1)?,
            hold_outcome: row.get(3)?,
            count: unsigned(row.get(2)?),
        })
    })?;
    Ok((rows.collect::<Result<_, _>>()?, head))
}

/// Writes one small row: fails where the file cannot be written or the disk is full.
pub fn probe(write: Write<'_>, at: Timestamp) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO meta (name, value) VALUES ('probe', CAST(?1 AS BIGINT))
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute([Millis(at)])?;
    Ok(())
}

/// How the deliveries and receivers of all environments stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhooks {
    /// Open and parked deliveries, by state.
    pub deliveries: Vec<(String, i64)>,
    /// Receivers, by kind, state and whether their circuit is open.
    pub receivers: Vec<(String, String, bool, i64)>,
    /// Order keys with deliveries that wait for one before them.
    pub blocked_order_keys: i64,
}

pub fn webhooks(read: Read<'_>) -> Result<Webhooks, Error> {
    let connection = read.connection;
    let mut open = connection.prepare_cached(
        "SELECT state, COUNT(*) FROM deliveries WHERE
         (state = 'due' OR state = 'leased' OR state = 'waiting')
         GROUP BY state ORDER BY state",
    )?;
    let open = open.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut deliveries: Vec<(String, i64)> = open.collect::<Result<_, _>>()?;
    let mut parked =
        connection.prepare_cached("SELECT COUNT(*) FROM deliveries WHERE state = 'parked'")?;
    deliveries.push(("parked".to_owned(), parked.query_row([], |row| row.get(0))?));
    let mut receivers = connection.prepare_cached(
        "SELECT kind, state, circuit_until IS NOT NULL AS is_open, COUNT(*) FROM receivers
         WHERE state <> 'deleted' GROUP BY kind, state, is_open ORDER BY kind, state, is_open",
    )?;
    let receivers =
        receivers.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let mut blocked = connection.prepare_cached(
        "SELECT COUNT(*) FROM (SELECT DISTINCT receiver, order_key FROM deliveries
            WHERE (state = 'due' OR state = 'leased' OR state = 'waiting')
                AND state = 'waiting') AS keys",
    )?;
    Ok(Webhooks {
        deliveries,
        receivers: receivers.collect::<Result<_, _>>()?,
        blocked_order_keys: blocked.query_row([], |row| row.get(0))?,
    })
}
