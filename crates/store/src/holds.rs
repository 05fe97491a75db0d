//! How holds ended. The open ones are part of their wallet's account.

use crate::sql::OptionalExtension;
use domain::place::Place;
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;

/// Notes the entry that captured or released the hold at `hold`.
pub fn insert_end(write: Write<'_>, hold: Place, entry: Place) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("INSERT INTO hold_ends (hold, entry) VALUES (?1, ?2)")?
        .execute([hold.raw(), entry.raw()])?;
    Ok(())
}

/// The entry that captured or released the hold, if it was not its deadline that ended it.
pub fn find_end(read: Read<'_>, scope: &Scope, hold: Place) -> Result<Option<Place>, Error> {
    if hold.env() != scope.env {
        return Ok(None);
    }
    let mut select =
        read.connection.prepare_cached("SELECT entry FROM hold_ends WHERE hold = ?1")?;
    let entry: Option<i64> = select.query_row([hold.raw()], |row| row.get(0)).optional()?;
    Ok(entry.map(Place::from_raw))
}
