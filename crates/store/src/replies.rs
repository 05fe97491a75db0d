//! First answers of idempotent requests, byte for byte, for those that are no entry themselves.

use crate::sql::{OptionalExtension, params};
use domain::ledger::entry::KeyUse;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::timers;
use crate::tx::Write;
use crate::value::Millis;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReply {
    pub key: KeyUse,
    pub status: u16,
    pub body: Vec<u8>,
}

pub fn insert(
    write: Write<'_>,
    scope: &Scope,
    reply: &StoredReply,
    at: Timestamp,
) -> Result<i64, Error> {
    let no = write
        .connection
        .prepare_cached(
            "INSERT INTO replies (env, route, key, request, status, body, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING no",
        )?
        .query_row(
            params![
                scope.env.get(),
                reply.key.route,
                reply.key.key,
                reply.key.request,
                reply.status,
                reply.body,
                Millis(at),
            ],
            |row| row.get(0),
        )?;
    Ok(no)
}

/// As `insert`, for an answer that a timer takes away when it is `due`.
pub fn insert_for_a_time(
    write: Write<'_>,
    scope: &Scope,
    reply: &StoredReply,
    (at, due): (Timestamp, Timestamp),
) -> Result<i64, Error> {
    let no = insert(write, scope, reply, at)?;
    timers::arm(write.connection, [(scope.env, timers::REPLY, no, due)])?;
    Ok(no)
}

/// Takes the answer away. That its key was used stays known.
pub fn empty(write: Write<'_>, scope: &Scope, no: i64) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("UPDATE replies SET body = ?3 WHERE env = ?1 AND no = ?2")?
        .execute(params![scope.env.get(), no, Vec::<u8>::new()])?;
    Ok(())
}

pub fn find(read: Read<'_>, scope: &Scope, no: i64) -> Result<Option<StoredReply>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT route, key, request, status, body FROM replies WHERE env = ?1 AND no = ?2",
    )?;
    let found = select.query_row(params![scope.env.get(), no], |row| {
        Ok(StoredReply {
            key: KeyUse { route: row.get(0)?, key: row.get(1)?, request: row.get(2)? },
            status: row.get(3)?,
            body: row.get(4)?,
        })
    });
    Ok(found.optional()?)
}
