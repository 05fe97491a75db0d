//! Idempotency keys of proxied requests that a node of a shared database works on, so that no other
//! one does. A key whose work is done is known by its answer; its claim goes.

use domain::ledger::entry::KeyUse;
use domain::scope::Scope;

use crate::error::Error;
use crate::sql::{OptionalExtension, params};
use crate::tx::Write;

/// A key's place: its route and its text.
pub type Named<'k> = (&'k str, &'k str);

/// Takes the key for this node, which asks with `key.request`. Where another node has it: what it
/// was asked there.
pub fn take(write: Write<'_>, scope: &Scope, key: &KeyUse) -> Result<Option<[u8; 16]>, Error> {
    let env = scope.env.get();
    let found: Option<(i64, [u8; 16])> = write
        .connection
        .prepare_cached(
            "SELECT node, request FROM claims WHERE env = ?1 AND route = ?2 AND key = ?3",
        )?
        .query_row(params![env, key.route, key.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((_, request)) = found.filter(|(node, _)| *node != write.node) {
        return Ok(Some(request));
    }
    write
        .connection
        .prepare_cached(
            "INSERT INTO claims (env, route, key, request, node) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (env, route, key) DO UPDATE SET request = excluded.request",
        )?
        .execute(params![env, key.route, key.key, key.request, write.node])?;
    Ok(None)
}

/// Gives a key back that this node has.
pub fn give_back(write: Write<'_>, scope: &Scope, (route, key): Named<'_>) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "DELETE FROM claims WHERE env = ?1 AND route = ?2 AND key = ?3 AND node = ?4",
        )?
        .execute(params![scope.env.get(), route, key, write.node])?;
    Ok(())
}

/// Gives back what a node has that is gone.
pub fn give_back_of(write: Write<'_>, node: i64) -> Result<(), Error> {
    write.connection.execute("DELETE FROM claims WHERE node = ?1", [node])?;
    Ok(())
}
