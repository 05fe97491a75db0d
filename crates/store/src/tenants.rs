//! Tenants and their environments. Their rows are above a scope.

use crate::sql::{OptionalExtension, Row, params};
use domain::id::{EnvironmentId, TenantId};
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub status: String,
    pub profile: Profile,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What only answers show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    #[serde(default)]
    pub billing_details: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub metadata: std::collections::BTreeMap<String, String>,
}

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

/// The tenant of a scope.
pub fn find(read: Read<'_>, scope: &Scope) -> Result<Option<Tenant>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT name, status, body, created_at, updated_at FROM tenants WHERE id = ?1",
    )?;
    let found = select.query_row([Key(scope.tenant.0)], |row| {
        let body: String = row.get(2)?;
        Ok(Tenant {
            id: scope.tenant,
            name: row.get(0)?,
            status: row.get(1)?,
            profile: serde_json::from_str(&body).unwrap_or_default(),
            created_at: row.get::<Millis>(3)?.0,
            updated_at: row.get::<Millis>(4)?.0,
        })
    });
    Ok(found.optional()?)
}

/// Stores name and profile as they are now.
pub fn set(write: Write<'_>, scope: &Scope, tenant: &Tenant) -> Result<(), Error> {
    let body = serde_json::to_string(&tenant.profile).unwrap_or_default();
    write
        .connection
        .prepare_cached("UPDATE tenants SET name = ?2, body = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![Key(scope.tenant.0), tenant.name, body, Millis(tenant.updated_at)])?;
    Ok(())
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

/// The environments of the tenant of a scope, oldest first.
pub fn environments_of(read: Read<'_>, scope: &Scope) -> Result<Vec<Environment>, Error> {
    let mut select =
        read.connection.prepare_cached(&format!("{SELECT} WHERE t.id = ?1 ORDER BY e.no"))?;
    let rows = select.query_map([Key(scope.tenant.0)], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives an environment of the scope's tenant another name.
pub fn rename_environment(
    write: Write<'_>,
    scope: &Scope,
    (id, name): (EnvironmentId, &str),
    at: Timestamp,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE environments SET name = ?3, updated_at = ?4
             WHERE id = ?2 AND tenant = (SELECT no FROM tenants WHERE id = ?1)",
        )?
        .execute(params![Key(scope.tenant.0), Key(id.0), name, Millis(at)])?;
    Ok(())
}

pub fn set_clock(write: Write<'_>, scope: &Scope, clock: Option<&str>) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("UPDATE environments SET clock = ?2 WHERE no = ?1")?
        .execute(params![scope.env.get(), clock])?;
    Ok(())
}

fn row(row: &Row<'_>) -> crate::sql::Result<Environment> {
    Ok(Environment {
        scope: Scope {
            env: EnvNo::new(row.get(0)?),
            environment: EnvironmentId(row.get::<Key>(1)?.0),
            tenant: TenantId(row.get::<Key>(2)?.0),
            live: row.get(3)?,
        },
        name: row.get(4)?,
        clock: row.get(5)?,
        created_at: row.get::<Millis>(6)?.0,
        updated_at: row.get::<Millis>(7)?.0,
        created_by: row.get(8)?,
    })
}
