//! Signing secrets of receivers: sealed, newest first. The text is never stored.

use crate::sql::{Row, params};
use domain::id::{ReceiverId, WebhookSecretId};
use domain::place::ReceiverNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::receiver::SecretKind;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub id: WebhookSecretId,
    pub kind: SecretKind,
    /// Of a key pair: its seed.
    pub sealed: Vec<u8>,
    /// The last characters, to tell secrets apart.
    pub suffix: String,
    /// Of a key pair.
    pub public_key: Option<String>,
    pub created_at: Timestamp,
    /// The newest of a kind has no end.
    pub expires_at: Option<Timestamp>,
}

const COLUMNS: &str = "s.id, s.kind, s.sealed, s.suffix, s.public_key, s.created_at, s.expires_at";
const OWNED: &str = "receiver = (SELECT no FROM receivers WHERE env = ?1 AND no = ?2)";

/// Adds the newest secret of its kind.
pub fn insert(
    write: Write<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    secret: &Secret,
) -> Result<(), Error> {
    let mut insert = write.connection.prepare_cached(
        "INSERT INTO receiver_secrets (receiver, id, kind, sealed, suffix, public_key, created_at)
         SELECT no, ?3, ?4, ?5, ?6, ?7, ?8 FROM receivers WHERE env = ?1 AND no = ?2",
    )?;
    insert.execute(params![
        scope.env.get(),
        receiver.0,
        Key(secret.id.0),
        secret.kind.name(),
        secret.sealed,
        secret.suffix,
        secret.public_key,
        Millis(secret.created_at),
    ])?;
    Ok(())
}

/// The newest secret of a kind has an end from now on.
pub fn end_newest(
    write: Write<'_>,
    scope: &Scope,
    (receiver, kind): (ReceiverNo, SecretKind),
    at: Timestamp,
) -> Result<(), Error> {
    let mut update = write.connection.prepare_cached(&format!(
        "UPDATE receiver_secrets SET expires_at = ?4
         WHERE {OWNED} AND kind = ?3 AND expires_at IS NULL"
    ))?;
    update.execute(params![scope.env.get(), receiver.0, kind.name(), Millis(at)])?;
    Ok(())
}

/// Forgets every secret of a kind.
pub fn delete_all(
    write: Write<'_>,
    scope: &Scope,
    (receiver, kind): (ReceiverNo, SecretKind),
) -> Result<(), Error> {
    let mut delete = write
        .connection
        .prepare_cached(&format!("DELETE FROM receiver_secrets WHERE {OWNED} AND kind = ?3"))?;
    delete.execute(params![scope.env.get(), receiver.0, kind.name()])?;
    Ok(())
}

/// Forgets secrets that have ended.
pub fn delete_ended(
    write: Write<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    now: Timestamp,
) -> Result<(), Error> {
    let mut delete = write.connection.prepare_cached(&format!(
        "DELETE FROM receiver_secrets WHERE {OWNED} AND expires_at <= ?3"
    ))?;
    delete.execute(params![scope.env.get(), receiver.0, Millis(now)])?;
    Ok(())
}

pub fn delete(
    write: Write<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    id: WebhookSecretId,
) -> Result<(), Error> {
    let mut delete = write
        .connection
        .prepare_cached(&format!("DELETE FROM receiver_secrets WHERE {OWNED} AND id = ?3"))?;
    delete.execute(params![scope.env.get(), receiver.0, Key(id.0)])?;
    Ok(())
}

/// The secrets that sign at `now`, newest first.
pub fn live(
    read: Read<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    now: Timestamp,
) -> Result<Vec<Secret>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM receiver_secrets s JOIN receivers r ON r.no = s.receiver
         WHERE r.env = ?1 AND s.receiver = ?2 AND (s.expires_at > ?3 OR s.expires_at IS NULL)
         ORDER BY s.no DESC"
    ))?;
    let rows = select.query_map(params![scope.env.get(), receiver.0, Millis(now)], secret)?;
    rows.map(|row| parsed(row?)).collect()
}

/// Key pairs of the environment that may sign at `now`, each with its endpoint, newest first.
pub fn key_pairs(
    read: Read<'_>,
    scope: &Scope,
    now: Timestamp,
) -> Result<Vec<(ReceiverId, Secret)>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, r.id FROM receiver_secrets s JOIN receivers r ON r.no = s.receiver
         WHERE r.env = ?1 AND r.state <> 'deleted' AND s.kind = 'v1a'
            AND (s.expires_at > ?2 OR s.expires_at IS NULL) ORDER BY s.no DESC"
    ))?;
    let rows = select.query_map(params![scope.env.get(), Millis(now)], |row| {
        Ok((ReceiverId(row.get::<Key>(7)?.0), secret(row)?))
    })?;
    let pair = |row: crate::sql::Result<(ReceiverId, Raw)>| {
        let (receiver, raw) = row?;
        Ok((receiver, parsed(raw)?))
    };
    rows.map(pair).collect()
}

type Raw = (Secret, String);

fn secret(row: &Row<'_>) -> crate::sql::Result<Raw> {
    let secret = Secret {
        id: WebhookSecretId(row.get::<Key>(0)?.0),
        kind: SecretKind::V1,
        sealed: row.get(2)?,
        suffix: row.get(3)?,
        public_key: row.get(4)?,
        created_at: row.get::<Millis>(5)?.0,
        expires_at: row.get::<Option<Millis>>(6)?.map(|at| at.0),
    };
    Ok((secret, row.get(1)?))
}

fn parsed((secret, kind): Raw) -> Result<Secret, Error> {
    let bad = || Error::corrupt("receiver_secrets", 0, format!("{} has no kind", secret.id));
    let kind = SecretKind::parse(&kind).ok_or_else(bad)?;
    Ok(Secret { kind, ..secret })
}
