//! Sessions of customers in the portal: who a token's SHA-256 stands for, and until when. Whether
//! it is good now is the engine's to say.

use crate::sql::{OptionalExtension, params};
use domain::id::{EnvironmentId, TenantId};
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub hash: [u8; 32],
    pub scope: Scope,
    /// Number of the customer.
    pub customer: i64,
    /// First 12 and last 4 characters of the token.
    pub display: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// The tenant may not act.
    pub tenant_suspended: bool,
}

pub fn insert(write: Write<'_>, session: &Session) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO portal_sessions (hash, env, customer, display, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            session.hash,
            session.scope.env.get(),
            session.customer,
            session.display,
            Millis(session.created_at),
            Millis(session.expires_at),
        ])?;
    Ok(())
}

/// The session of a token, in any environment: this is how a customer is known.
pub fn find(read: Read<'_>, hash: &[u8; 32]) -> Result<Option<Session>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT s.env, e.id, t.id, e.live, s.customer, s.display, s.created_at, s.expires_at,
            t.status
         FROM portal_sessions s JOIN environments e ON e.no = s.env
         JOIN tenants t ON t.no = e.tenant WHERE s.hash = ?1",
    )?;
    let found = select.query_row([hash], |row| {
        Ok(Session {
            hash: *hash,
            scope: Scope {
                env: EnvNo::new(row.get(0)?),
                environment: EnvironmentId(row.get::<Key>(1)?.0),
                tenant: TenantId(row.get::<Key>(2)?.0),
                live: row.get(3)?,
            },
            customer: row.get(4)?,
            display: row.get(5)?,
            created_at: row.get::<Millis>(6)?.0,
            expires_at: row.get::<Millis>(7)?.0,
            tenant_suspended: row.get::<String>(8)? == "suspended",
        })
    });
    Ok(found.optional()?)
}

/// Ends one session.
pub fn end(write: Write<'_>, scope: &Scope, hash: [u8; 32]) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("DELETE FROM portal_sessions WHERE env = ?1 AND hash = ?2")?
        .execute(params![scope.env.get(), hash])?;
    Ok(())
}

/// Ends all sessions of a customer, and tells how many there were.
pub fn end_of_customer(write: Write<'_>, scope: &Scope, customer: i64) -> Result<usize, Error> {
    let ended = write
        .connection
        .prepare_cached("DELETE FROM portal_sessions WHERE env = ?1 AND customer = ?2")?
        .execute(params![scope.env.get(), customer])?;
    Ok(ended)
}

/// Forgets sessions of the environment that ended before `at`.
pub fn sweep(write: Write<'_>, scope: &Scope, at: Timestamp) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("DELETE FROM portal_sessions WHERE env = ?1 AND expires_at < ?2")?
        .execute(params![scope.env.get(), Millis(at)])?;
    Ok(())
}
