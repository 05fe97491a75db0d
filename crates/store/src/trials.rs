//! Trial credit that was given: one row for each customer of a paywall that got some.

use crate::sql::{OptionalExtension, params};
use domain::amount::Amount;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Millis, Money};

/// All that the paywall has given so far.
pub fn total(read: Read<'_>, paywall: i64) -> Result<Amount, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT total FROM trials WHERE paywall = ?1 ORDER BY no DESC LIMIT 1")?;
    let total: Option<Money> = select.query_row([paywall], |row| row.get(0)).optional()?;
    Ok(total.map_or(Amount::ZERO, |total| total.0))
}

/// Notes a grant. False where the customer had one before: then nothing is written.
pub fn insert(
    write: Write<'_>,
    (paywall, customer): (i64, i64),
    credits: Amount,
    at: Timestamp,
) -> Result<bool, Error> {
    let total = total(write.read(), paywall)? + credits;
    let inserted = write
        .connection
        .prepare_cached(
            "INSERT INTO trials (paywall, customer, credits, total, at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (paywall, customer) DO NOTHING",
        )?
        .execute(params![paywall, customer, Money(credits), Money(total), Millis(at)])?;
    Ok(inserted == 1)
}
