//! Paywalls: one row each, with the whole configuration.

use crate::sql::{OptionalExtension, Row, params};
use domain::id::PaywallId;
use domain::paywall::Paywall;
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

/// A paywall and its number in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub no: i64,
    pub paywall: Paywall,
}

pub fn insert(write: Write<'_>, scope: &Scope, paywall: &Paywall, by: &str) -> Result<i64, Error> {
    let no = write
        .connection
        .prepare_cached(
            "INSERT INTO paywalls (env, id, name, status, body, created_at, updated_at, created_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) RETURNING no",
        )?
        .query_row(
            params![
                scope.env.get(),
                Key(paywall.id.0),
                paywall.name,
                status(paywall),
                body(paywall)?,
                Millis(paywall.created_at),
                by,
            ],
            |row| row.get(0),
        )?;
    Ok(no)
}

pub fn set(write: Write<'_>, scope: &Scope, no: i64, paywall: &Paywall) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE paywalls SET name = ?3, status = ?4, body = ?5, updated_at = ?6
             WHERE env = ?1 AND no = ?2",
        )?
        .execute(params![
            scope.env.get(),
            no,
            paywall.name,
            status(paywall),
            body(paywall)?,
            Millis(paywall.updated_at),
        ])?;
    Ok(())
}

pub fn find(read: Read<'_>, scope: &Scope, id: PaywallId) -> Result<Option<Stored>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT no, body FROM paywalls WHERE env = ?1 AND id = ?2")?;
    select.query_row(params![scope.env.get(), Key(id.0)], row).optional()?.map(stored).transpose()
}

pub fn find_by_no(read: Read<'_>, scope: &Scope, no: i64) -> Result<Option<Stored>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT no, body FROM paywalls WHERE env = ?1 AND no = ?2")?;
    select.query_row(params![scope.env.get(), no], row).optional()?.map(stored).transpose()
}

/// Newest first, below number `before`.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Stored>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT no, body FROM paywalls WHERE env = ?1 AND no < ?2 ORDER BY no DESC LIMIT ?3",
    )?;
    let before = before.unwrap_or(i64::MAX);
    let rows = select.query_map(params![scope.env.get(), before, limit], row)?;
    rows.map(|raw| stored(raw?)).collect()
}

fn row(row: &Row<'_>) -> crate::sql::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn stored((no, body): (i64, String)) -> Result<Stored, Error> {
    let paywall =
        serde_json::from_str(&body).map_err(|problem| Error::corrupt("paywalls", no, problem))?;
    Ok(Stored { no, paywall })
}

fn body(paywall: &Paywall) -> Result<String, Error> {
    serde_json::to_string(paywall).map_err(|problem| Error::corrupt("paywalls", 0, problem))
}

fn status(paywall: &Paywall) -> &'static str {
    if paywall.is_archived() { "archived" } else { "active" }
}
