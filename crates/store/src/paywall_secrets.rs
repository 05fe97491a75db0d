//! Secrets that a paywall signs with, sealed: one of each kind, made once.

use crate::sql::{OptionalExtension, params};
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::Millis;

/// Signs what the developer is asked for instead of a template.
pub const CUSTOM_RESPONSE: &str = "custom_response";

pub fn find(
    read: Read<'_>,
    scope: &Scope,
    (paywall, kind): (i64, &str),
) -> Result<Option<Vec<u8>>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT sealed FROM paywall_secrets WHERE env = ?1 AND paywall = ?2 AND kind = ?3",
    )?;
    let found = select.query_row(params![scope.env.get(), paywall, kind], |row| row.get(0));
    Ok(found.optional()?)
}

/// Does nothing where there is one.
pub fn insert(
    write: Write<'_>,
    scope: &Scope,
    (paywall, kind): (i64, &str),
    (sealed, at): (&[u8], Timestamp),
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO paywall_secrets (env, paywall, kind, sealed, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![scope.env.get(), paywall, kind, sealed, Millis(at)])?;
    Ok(())
}
