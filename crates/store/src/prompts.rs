//! Prompts and answers of proxied requests, sealed; only of paywalls whose owner wants them kept.

use crate::sql::{OptionalExtension, params};
use domain::id::RequestId;
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::Key;

/// What was asked and what was answered, sealed.
pub type Sealed = (Vec<u8>, Vec<u8>);

/// Does nothing where the request has a row.
pub fn insert(
    write: Write<'_>,
    scope: &Scope,
    request: RequestId,
    (prompt, answer): (&[u8], &[u8]),
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO proxy_prompts (request, env, prompt, answer) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![Key(request.0), scope.env.get(), prompt, answer])?;
    Ok(())
}

pub fn find(read: Read<'_>, scope: &Scope, request: RequestId) -> Result<Option<Sealed>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT prompt, answer FROM proxy_prompts WHERE request = ?1 AND env = ?2",
    )?;
    let found = select
        .query_row(params![Key(request.0), scope.env.get()], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}
