//! How people come in: passwords, sessions and one-time links. Of sessions and links only the
//! SHA-256 is stored, of passwords what argon2id makes of them.
//!
//! These rows stand above environments, as people do: a session names its environment, and is found
//! only where that belongs to its person's tenant.

use crate::sql::{OptionalExtension, params};
use domain::id::{EnvironmentId, TenantId, UserId};
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

/// What is asked for at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub user: UserId,
    /// As argon2id wrote it, with its salt and its cost.
    pub hash: String,
    pub failures: u32,
    pub locked_until: Option<Timestamp>,
    /// The first environment of the person's tenant.
    pub scope: Scope,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub user: UserId,
    pub scope: Scope,
    pub created_at: Timestamp,
    pub seen_at: Timestamp,
    pub expires_at: Timestamp,
    /// The tenant may not act.
    pub tenant_suspended: bool,
}

/// A one-time link; without a person it makes the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub user: Option<UserId>,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// Sets a person's address and password, and forgets its failures. An address that another person
/// has is a conflict.
pub fn set_login(
    write: Write<'_>,
    user: UserId,
    (email, hash): (&str, &str),
    at: Timestamp,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO logins (user_id, email, hash, failures, updated_at)
             VALUES (?1, ?2, ?3, 0, ?4)
             ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, hash = excluded.hash,
                failures = 0, locked_until = NULL, updated_at = excluded.updated_at",
        )?
        .execute(params![Key(user.0), email, hash, Millis(at)])?;
    Ok(())
}

/// The login of an address in small letters.
pub fn find_login(read: Read<'_>, email: &str) -> Result<Option<Login>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT l.user_id, l.hash, l.failures, l.locked_until, e.no, e.id, t.id, e.live
         FROM logins l JOIN users u ON u.id = l.user_id AND u.status = 'published'
         JOIN tenants t ON t.no = u.tenant JOIN environments e ON e.tenant = t.no
         WHERE l.email = ?1 ORDER BY e.no LIMIT 1",
    )?;
    let found = select.query_row([email], |row| {
        Ok(Login {
            user: UserId(row.get::<Key>(0)?.0),
            hash: row.get(1)?,
            failures: row.get(2)?,
            locked_until: row.get::<Option<Millis>>(3)?.map(|at| at.0),
            scope: Scope {
                env: EnvNo::new(row.get(4)?),
                environment: EnvironmentId(row.get::<Key>(5)?.0),
                tenant: TenantId(row.get::<Key>(6)?.0),
                live: row.get(7)?,
            },
        })
    });
    Ok(found.optional()?)
}

/// Address and password of a person.
pub fn login_of(read: Read<'_>, user: UserId) -> Result<Option<(String, String)>, Error> {
    let mut select =
        read.connection.prepare_cached("SELECT email, hash FROM logins WHERE user_id = ?1")?;
    Ok(select.query_row([Key(user.0)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Whether anyone has a password yet.
pub fn has_logins(read: Read<'_>) -> Result<bool, Error> {
    let mut select = read.connection.prepare_cached("SELECT 1 FROM logins LIMIT 1")?;
    Ok(select.query_row([], |_| Ok(())).optional()?.is_some())
}

/// Stores how often in a row a person's password was wrong, and until when it is not asked for.
pub fn set_failures(
    write: Write<'_>,
    user: UserId,
    failures: u32,
    locked_until: Option<Timestamp>,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("UPDATE logins SET failures = ?2, locked_until = ?3 WHERE user_id = ?1")?
        .execute(params![Key(user.0), failures, locked_until.map(Millis)])?;
    Ok(())
}

pub fn insert_session(write: Write<'_>, hash: [u8; 32], session: &Session) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO sessions (hash, user_id, env, created_at, seen_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            hash,
            Key(session.user.0),
            session.scope.env.get(),
            Millis(session.created_at),
            Millis(session.seen_at),
            Millis(session.expires_at),
        ])?;
    Ok(())
}

/// The session of a hash, if its person is there and its environment is of the person's tenant.
pub fn find_session(read: Read<'_>, hash: &[u8; 32]) -> Result<Option<Session>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT s.user_id, e.no, e.id, t.id, e.live, s.created_at, s.seen_at, s.expires_at,
            t.status
         FROM sessions s JOIN users u ON u.id = s.user_id AND u.status = 'published'
         JOIN environments e ON e.no = s.env AND e.tenant = u.tenant
         JOIN tenants t ON t.no = u.tenant WHERE s.hash = ?1",
    )?;
    let found = select.query_row([hash], |row| {
        Ok(Session {
            user: UserId(row.get::<Key>(0)?.0),
            scope: Scope {
                env: EnvNo::new(row.get(1)?),
                environment: EnvironmentId(row.get::<Key>(2)?.0),
                tenant: TenantId(row.get::<Key>(3)?.0),
                live: row.get(4)?,
            },
            created_at: row.get::<Millis>(5)?.0,
            seen_at: row.get::<Millis>(6)?.0,
            expires_at: row.get::<Millis>(7)?.0,
            tenant_suspended: row.get::<String>(8)? == "suspended",
        })
    });
    Ok(found.optional()?)
}

/// Notes that the session was used.
pub fn see_session(write: Write<'_>, hash: [u8; 32], at: Timestamp) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("UPDATE sessions SET seen_at = ?2 WHERE hash = ?1")?
        .execute(params![hash, Millis(at)])?;
    Ok(())
}

/// Moves a session to another environment of its person's tenant. False where it is none.
pub fn move_session(
    write: Write<'_>,
    hash: [u8; 32],
    environment: EnvironmentId,
) -> Result<bool, Error> {
    let moved = write
        .connection
        .prepare_cached(
            "UPDATE sessions SET env = (SELECT no FROM environments WHERE id = ?2)
             WHERE hash = ?1 AND EXISTS (SELECT 1 FROM environments e
                JOIN users u ON u.tenant = e.tenant
                WHERE e.id = ?2 AND u.id = sessions.user_id)",
        )?
        .execute(params![hash, Key(environment.0)])?;
    Ok(moved > 0)
}

pub fn end_session(write: Write<'_>, hash: [u8; 32]) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("DELETE FROM sessions WHERE hash = ?1")?
        .execute(params![hash])?;
    Ok(())
}

/// Ends all sessions of a person.
pub fn end_sessions_of(write: Write<'_>, user: UserId) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("DELETE FROM sessions WHERE user_id = ?1")?
        .execute(params![Key(user.0)])?;
    Ok(())
}

/// Forgets sessions and links that ended before `at`.
pub fn sweep(write: Write<'_>, at: Timestamp) -> Result<(), Error> {
    for sql in [
        "DELETE FROM sessions WHERE expires_at < ?1",
        "DELETE FROM sign_in_links WHERE expires_at < ?1",
    ] {
        write.connection.prepare_cached(sql)?.execute([Millis(at)])?;
    }
    Ok(())
}

pub fn insert_link(
    write: Write<'_>,
    hash: [u8; 32],
    user: Option<UserId>,
    (at, expires_at): (Timestamp, Timestamp),
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO sign_in_links (hash, user_id, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![hash, user.map(|id| Key(id.0)), Millis(at), Millis(expires_at)])?;
    Ok(())
}

pub fn find_link(read: Read<'_>, hash: &[u8; 32]) -> Result<Option<Link>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT user_id, expires_at, used_at FROM sign_in_links WHERE hash = ?1")?;
    let found = select.query_row([hash], |row| {
        Ok(Link {
            user: row.get::<Option<Key>>(0)?.map(|key| UserId(key.0)),
            expires_at: row.get::<Millis>(1)?.0,
            used_at: row.get::<Option<Millis>>(2)?.map(|at| at.0),
        })
    });
    Ok(found.optional()?)
}

/// Uses a link up. False where it was used or has run out.
pub fn use_link(write: Write<'_>, hash: [u8; 32], at: Timestamp) -> Result<bool, Error> {
    let used = write
        .connection
        .prepare_cached(
            "UPDATE sign_in_links SET used_at = ?2
             WHERE hash = ?1 AND used_at IS NULL AND expires_at > ?2",
        )?
        .execute(params![hash, Millis(at)])?;
    Ok(used > 0)
}

/// A scope by a person: the first environment of the person's tenant.
pub fn scope_of(read: Read<'_>, user: UserId) -> Result<Option<Scope>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT e.no, e.id, t.id, e.live FROM users u JOIN tenants t ON t.no = u.tenant
         JOIN environments e ON e.tenant = t.no
         WHERE u.id = ?1 AND u.status = 'published' ORDER BY e.no LIMIT 1",
    )?;
    let found = select.query_row([Key(user.0)], |row| {
        Ok(Scope {
            env: EnvNo::new(row.get(0)?),
            environment: EnvironmentId(row.get::<Key>(1)?.0),
            tenant: TenantId(row.get::<Key>(2)?.0),
            live: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}
