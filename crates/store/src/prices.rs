//! Price rows of a paywall. A row is written once; only its end is set later, by the row after it.

use crate::sql::{OptionalExtension, Row, params};
use domain::id::PriceId;
use domain::proxy::PriceRow;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

/// A row and its number in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPrice {
    pub no: i64,
    pub row: PriceRow,
}

/// Which rows a list shows.
#[derive(Clone, Debug, Default)]
pub struct Only {
    pub model: Option<String>,
    pub provider: Option<String>,
}

pub fn insert(write: Write<'_>, paywall: i64, price: &PriceRow) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO prices (paywall, id, model, provider, body, effective_from)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            paywall,
            Key(price.id.0),
            price.model,
            price.provider,
            body(price)?,
            Millis(price.effective_from),
        ])?;
    Ok(())
}

/// Writes the end of a row.
pub fn end(write: Write<'_>, paywall: i64, price: &PriceRow) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("UPDATE prices SET body = ?3 WHERE paywall = ?1 AND id = ?2")?
        .execute(params![paywall, Key(price.id.0), body(price)?])?;
    Ok(())
}

pub fn find(read: Read<'_>, paywall: i64, id: PriceId) -> Result<Option<StoredPrice>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT no, body FROM prices WHERE paywall = ?1 AND id = ?2")?;
    select.query_row(params![paywall, Key(id.0)], row).optional()?.map(stored).transpose()
}

pub fn of_paywall(read: Read<'_>, paywall: i64) -> Result<Vec<PriceRow>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT no, body FROM prices WHERE paywall = ?1 ORDER BY no")?;
    let rows = select.query_map([paywall], row)?;
    rows.map(|raw| Ok(stored(raw?)?.row)).collect()
}

/// Newest first, below number `before`.
pub fn page(
    read: Read<'_>,
    paywall: i64,
    only: &Only,
    (before, limit): (Option<i64>, u32),
) -> Result<Vec<StoredPrice>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT no, body FROM prices WHERE paywall = ?1 AND no < ?2
            AND (model = ?3 OR ?3 IS NULL) AND (provider = ?4 OR ?4 IS NULL)
         ORDER BY no DESC LIMIT ?5",
    )?;
    let before = before.unwrap_or(i64::MAX);
    let rows = select.query_map(params![paywall, before, only.model, only.provider, limit], row)?;
    rows.map(|raw| stored(raw?)).collect()
}

fn row(row: &Row<'_>) -> crate::sql::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn stored((no, body): (i64, String)) -> Result<StoredPrice, Error> {
    let row =
        serde_json::from_str(&body).map_err(|problem| Error::corrupt("prices", no, problem))?;
    Ok(StoredPrice { no, row })
}

fn body(price: &PriceRow) -> Result<String, Error> {
    serde_json::to_string(price).map_err(|problem| Error::corrupt("prices", 0, problem))
}
