//! Identities: (paywall, external user id) → customer and wallet.

use crate::sql::{OptionalExtension, Row, params};
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::Millis;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub paywall: i64,
    pub external_id: String,
    pub customer: i64,
    pub wallet: i64,
    pub suspended: bool,
    pub reason: Option<String>,
    /// First sight.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "paywall, external_id, customer, wallet, state, reason, created_at";

pub fn insert(write: Write<'_>, identity: &Identity) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO identities (paywall, external_id, customer, wallet, state, reason,
                created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (paywall, external_id) DO UPDATE SET wallet = excluded.wallet,
                customer = excluded.customer",
        )?
        .execute(params![
            identity.paywall,
            identity.external_id,
            identity.customer,
            identity.wallet,
            state(identity.suspended),
            identity.reason,
            Millis(identity.created_at),
        ])?;
    Ok(())
}

pub fn set_state(
    write: Write<'_>,
    paywall: i64,
    external_id: &str,
    (suspended, reason): (bool, Option<&str>),
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE identities SET state = ?3, reason = ?4 WHERE paywall = ?1 AND external_id = ?2",
        )?
        .execute(params![paywall, external_id, state(suspended), reason])?;
    Ok(())
}

pub fn find(read: Read<'_>, paywall: i64, external_id: &str) -> Result<Option<Identity>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM identities WHERE paywall = ?1 AND external_id = ?2"
    ))?;
    Ok(select.query_row(params![paywall, external_id], row).optional()?)
}

/// Users of a paywall, newest first; `before` is the first sight and the id of the last one shown.
pub fn page(
    read: Read<'_>,
    paywall: i64,
    before: Option<(Timestamp, &str)>,
    limit: u32,
) -> Result<Vec<Identity>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM identities
         WHERE paywall = ?1 AND (created_at, external_id) < (?2, ?3)
         ORDER BY created_at DESC, external_id DESC LIMIT ?4"
    ))?;
    let (at, id) = before.unwrap_or((Timestamp::from_millis(i64::MAX), ""));
    let rows = select.query_map(params![paywall, Millis(at), id, limit], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row(row: &Row<'_>) -> crate::sql::Result<Identity> {
    Ok(Identity {
        paywall: row.get(0)?,
        external_id: row.get(1)?,
        customer: row.get(2)?,
        wallet: row.get(3)?,
        suspended: row.get_ref(4)?.as_str()? == "suspended",
        reason: row.get(5)?,
        created_at: row.get::<Millis>(6)?.0,
    })
}

fn state(suspended: bool) -> &'static str {
    if suspended { "suspended" } else { "active" }
}
