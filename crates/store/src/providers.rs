//! Provider connections of a paywall: what may be shown, and the sealed rest.

use crate::sql::{OptionalExtension, Row, params};
use domain::paywall::Provider;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::Millis;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredProvider {
    pub provider: Provider,
    /// Key and headers; none where there are none.
    pub sealed: Option<Vec<u8>>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "no, body, sealed, created_at, updated_at";

/// Makes the connection, or puts it in the place of the one with its name.
pub fn set(write: Write<'_>, paywall: i64, stored: &StoredProvider) -> Result<(), Error> {
    let body = serde_json::to_string(&stored.provider)
        .map_err(|problem| Error::corrupt("providers", paywall, problem))?;
    write
        .connection
        .prepare_cached(
            "INSERT INTO providers (paywall, name, body, sealed, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (paywall, name) DO UPDATE SET body = excluded.body,
                sealed = excluded.sealed, updated_at = excluded.updated_at",
        )?
        .execute(params![
            paywall,
            stored.provider.name,
            body,
            stored.sealed,
            Millis(stored.created_at),
            Millis(stored.updated_at),
        ])?;
    Ok(())
}

pub fn delete(write: Write<'_>, paywall: i64, name: &str) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("DELETE FROM providers WHERE paywall = ?1 AND name = ?2")?
        .execute(params![paywall, name])?;
    Ok(())
}

/// All of a paywall, oldest first: the order in which a bare model id looks for its connection.
pub fn of_paywall(read: Read<'_>, paywall: i64) -> Result<Vec<StoredProvider>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM providers WHERE paywall = ?1 ORDER BY no"
    ))?;
    let rows = select.query_map([paywall], row)?;
    rows.map(|raw| stored(raw?)).collect()
}

pub fn find(read: Read<'_>, paywall: i64, name: &str) -> Result<Option<StoredProvider>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM providers WHERE paywall = ?1 AND name = ?2"
    ))?;
    select.query_row(params![paywall, name], row).optional()?.map(stored).transpose()
}

type Raw = (i64, String, Option<Vec<u8>>, Millis, Millis);

fn row(row: &Row<'_>) -> crate::sql::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn stored((no, body, sealed, created_at, updated_at): Raw) -> Result<StoredProvider, Error> {
    let provider =
        serde_json::from_str(&body).map_err(|problem| Error::corrupt("providers", no, problem))?;
    Ok(StoredProvider { provider, sealed, created_at: created_at.0, updated_at: updated_at.0 })
}
