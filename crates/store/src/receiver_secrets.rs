//! Signing secrets of receivers: sealed, newest first. The text is never stored.

use crate::sql::params;
use domain::id::WebhookSecretId;
use domain::place::ReceiverNo;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub id: WebhookSecretId,
    /// `v1`.
    pub kind: String,
    pub sealed: Vec<u8>,
    /// The last characters, to tell secrets apart.
    pub suffix: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// Adds a secret, after those before it have ended.
pub fn replace(
    write: Write<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    secret: &Secret,
) -> Result<(), Error> {
    let owned = "receiver = (SELECT no FROM receivers WHERE env = ?1 AND no = ?2)";
    let connection = write.connection;
    connection
        .prepare_cached(&format!("DELETE FROM receiver_secrets WHERE {owned}"))?
        .execute(params![scope.env.get(), receiver.0])?;
    connection
        .prepare_cached(
            "INSERT INTO receiver_secrets (receiver, id, kind, sealed, suffix, created_at,
                expires_at)
             SELECT no, ?3, ?4, ?5, ?6, ?7, ?8 FROM receivers WHERE env = ?1 AND no = ?2",
        )?
        .execute(params![
            scope.env.get(),
            receiver.0,
            Key(secret.id.0),
            secret.kind,
            secret.sealed,
            secret.suffix,
            Millis(secret.created_at),
            secret.expires_at.map(Millis),
        ])?;
    Ok(())
}

/// The live secrets, newest first.
pub fn live(read: Read<'_>, scope: &Scope, receiver: ReceiverNo) -> Result<Vec<Secret>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT s.id, s.kind, s.sealed, s.suffix, s.created_at, s.expires_at
         FROM receiver_secrets s JOIN receivers r ON r.no = s.receiver
         WHERE r.env = ?1 AND s.receiver = ?2 ORDER BY s.no DESC",
    )?;
    let rows = select.query_map(params![scope.env.get(), receiver.0], |row| {
        Ok(Secret {
            id: WebhookSecretId(row.get::<Key>(0)?.0),
            kind: row.get(1)?,
            sealed: row.get(2)?,
            suffix: row.get(3)?,
            created_at: row.get::<Millis>(4)?.0,
            expires_at: row.get::<Option<Millis>>(5)?.map(|at| at.0),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
