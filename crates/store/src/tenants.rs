//! Tenants, their environments and users. The only module whose rows are above a scope.

use domain::id::{EnvironmentId, TenantId};
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub scope: Scope,
    pub name: String,
    /// The test clock's state as the engine writes it; absent for real time.
    pub clock: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub created_by: String,
}

const SELECT: &str = "SELECT e.no, e.id, t.id, e.live, e.name, e.clock, e.created_at, e.updated_at,
    e.created_by FROM environments e JOIN tenants t ON t.no = e.tenant";

/// The new tenant's number. `body` holds what only answers show.
pub fn insert(
    connection: Write<'_>,
    id: TenantId,
    (name, body): (&str, &str),
    at: Timestamp,
) -> Result<i64, Error> {
    let no = connection
        .connection
        .prepare_cached(
            "INSERT INTO tenants (id, name, status, body, created_at, updated_at)
             VALUES (?1, ?2, 'published', ?3, ?4, ?4) RETURNING no",
        )?
        .query_row(params![Key(id.0), name, body, Millis(at)], |row| row.get(0))?;
    Ok(no)
}

pub fn insert_environment(
    write: Write<'_>,
    (tenant, id): (TenantId, EnvironmentId),
    (name, live): (&str, bool),
    (by, at): (&str, Timestamp),
) -> Result<Scope, Error> {
    let no: u16 = write
        .connection
        .prepare_cached(
            "INSERT INTO environments (id, tenant, name, live, created_at, updated_at, created_by)
             SELECT ?1, no, ?3, ?4, ?5, ?5, ?6 FROM tenants WHERE id = ?2 RETURNING no",
        )?
        .query_row(params![Key(id.0), Key(tenant.0), name, live, Millis(at), by], |row| {
            row.get(0)
        })?;
    Ok(Scope { env: EnvNo::new(no), environment: id, tenant, live })
}

/// Every environment of the database, for clocks and background work.
pub fn environments(read: Read<'_>) -> Result<Vec<Environment>, Error> {
    let mut select = read.connection.prepare_cached(&format!("{SELECT} ORDER BY e.no"))?;
    let rows = select.query_map([], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub fn find_environment(read: Read<'_>, env: EnvNo) -> Result<Option<Environment>, Error> {
    let mut select = read.connection.prepare_cached(&format!("{SELECT} WHERE e.no = ?1"))?;
    Ok(select.query_row([env.get()], row).optional()?)
}

pub fn set_clock(write: Write<'_>, scope: &Scope, clock: Option<&str>) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("UPDATE environments SET clock = ?2 WHERE no = ?1")?
        .execute(params![scope.env.get(), clock])?;
    Ok(())
}

fn row(row: &Row<'_>) -> rusqlite::Result<Environment> {
    Ok(Environment {
        scope: Scope {
            env: EnvNo::new(row.get(0)?),
            environment: EnvironmentId(row.get::<_, Key>(1)?.0),
            tenant: TenantId(row.get::<_, Key>(2)?.0),
            live: row.get(3)?,
        },
        name: row.get(4)?,
        clock: row.get(5)?,
        created_at: row.get::<_, Millis>(6)?.0,
        updated_at: row.get::<_, Millis>(7)?.0,
        created_by: row.get(8)?,
    })
}
