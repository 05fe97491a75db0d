//! Keys: API keys of an environment and keys of paywalls. Only the hash of a text is stored.

use crate::sql::{OptionalExtension, Row, params};
use domain::id::{EnvironmentId, SecretId, TenantId, UserId};
use domain::place::EnvNo;
use domain::role::Grant;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub no: i64,
    pub id: SecretId,
    pub scope: Scope,
    /// `sk`, `pk`, `pw`.
    pub kind: String,
    /// Number of the paywall, for kind `pw`.
    pub paywall: Option<i64>,
    pub hash: [u8; 32],
    /// First 12 and last 4 characters.
    pub display: String,
    pub last_four: String,
    pub name: String,
    /// Texts of `domain::role::Grant`.
    pub grants: Vec<String>,
    pub user: Option<UserId>,
    pub user_type: String,
    /// `published` or `deleted`.
    pub status: String,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub created_by: String,
    /// The tenant may not act.
    pub tenant_suspended: bool,
}

impl StoredKey {
    pub fn grants(&self) -> Vec<Grant> {
        self.grants.iter().filter_map(|text| text.parse().ok()).collect()
    }
}

const SELECT: &str = "SELECT k.no, k.id, k.env, e.id, t.id, e.live, k.kind, k.paywall, k.hash,
    k.display, k.last_four, k.name, k.grants, k.user_id, k.user_type, k.status, k.expires_at,
    k.last_used_at, k.created_at, k.updated_at, k.created_by, t.status
    FROM keys k JOIN environments e ON e.no = k.env JOIN tenants t ON t.no = e.tenant";

/// Inserts a key; its `no` is given by the database.
pub fn insert(write: Write<'_>, key: &StoredKey) -> Result<i64, Error> {
    let no = write
        .connection
        .prepare_cached(
            "INSERT INTO keys (id, env, kind, paywall, hash, display, last_four, name, grants,
                user_id, user_type, status, expires_at, created_at, updated_at, created_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
             RETURNING no",
        )?
        .query_row(
            params![
                Key(key.id.0),
                key.scope.env.get(),
                key.kind,
                key.paywall,
                key.hash,
                key.display,
                key.last_four,
                key.name,
                key.grants.join(","),
                key.user.map(|id| Key(id.0)),
                key.user_type,
                key.status,
                key.expires_at.map(Millis),
                Millis(key.created_at),
                Millis(key.updated_at),
                key.created_by,
            ],
            |row| row.get(0),
        )?;
    Ok(no)
}

/// The key whose text has this hash, in any environment: this is how a caller is known.
pub fn find_by_hash(read: Read<'_>, hash: &[u8; 32]) -> Result<Option<StoredKey>, Error> {
    let mut select = read.connection.prepare_cached(&format!("{SELECT} WHERE k.hash = ?1"))?;
    Ok(select.query_row([hash], row).optional()?)
}

pub fn find(read: Read<'_>, scope: &Scope, id: SecretId) -> Result<Option<StoredKey>, Error> {
    let mut select =
        read.connection.prepare_cached(&format!("{SELECT} WHERE k.env = ?1 AND k.id = ?2"))?;
    Ok(select.query_row(params![scope.env.get(), Key(id.0)], row).optional()?)
}

/// Keys of a paywall that are not deleted, newest first.
pub fn of_paywall(read: Read<'_>, scope: &Scope, paywall: i64) -> Result<Vec<StoredKey>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "{SELECT} WHERE k.env = ?1 AND k.paywall = ?2 AND k.status = 'published'
         ORDER BY k.no DESC"
    ))?;
    let rows = select.query_map(params![scope.env.get(), paywall], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// API keys (not those of paywalls) with this status, newest first, and how many there are.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    status: &str,
    (limit, offset): (u32, u32),
) -> Result<(Vec<StoredKey>, u64), Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "{SELECT} WHERE k.env = ?1 AND k.kind <> 'pw' AND k.status = ?2 ORDER BY k.no DESC
         LIMIT ?3 OFFSET ?4"
    ))?;
    let rows = select.query_map(params![scope.env.get(), status, limit, offset], row)?;
    let keys = rows.collect::<Result<_, _>>()?;
    let mut count = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM keys WHERE env = ?1 AND kind <> 'pw' AND status = ?2",
    )?;
    let total: i64 = count.query_row(params![scope.env.get(), status], |row| row.get(0))?;
    Ok((keys, total.cast_unsigned()))
}

/// Keys of a user that are not deleted, in every environment of the tenant.
pub fn of_user(read: Read<'_>, scope: &Scope, user: UserId) -> Result<Vec<StoredKey>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "{SELECT} WHERE t.id = ?1 AND k.user_id = ?2 AND k.status = 'published' ORDER BY k.no"
    ))?;
    let rows = select.query_map(params![Key(scope.tenant.0), Key(user.0)], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Ends a key at `expires_at`, or deletes it.
pub fn end(
    write: Write<'_>,
    scope: &Scope,
    no: i64,
    (status, expires_at): (&str, Option<Timestamp>),
    at: Timestamp,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE keys SET status = ?3, expires_at = COALESCE(?4, expires_at), updated_at = ?5
             WHERE env = ?1 AND no = ?2",
        )?
        .execute(params![scope.env.get(), no, status, expires_at.map(Millis), Millis(at)])?;
    Ok(())
}

pub fn set_last_used(write: Write<'_>, scope: &Scope, no: i64, at: Timestamp) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("UPDATE keys SET last_used_at = ?3 WHERE env = ?1 AND no = ?2")?
        .execute(params![scope.env.get(), no, Millis(at)])?;
    Ok(())
}

fn row(row: &Row<'_>) -> crate::sql::Result<StoredKey> {
    let scope = Scope {
        env: EnvNo::new(row.get(2)?),
        environment: EnvironmentId(row.get::<Key>(3)?.0),
        tenant: TenantId(row.get::<Key>(4)?.0),
        live: row.get(5)?,
    };
    let grants: String = row.get(12)?;
    Ok(StoredKey {
        no: row.get(0)?,
        id: SecretId(row.get::<Key>(1)?.0),
        scope,
        kind: row.get(6)?,
        paywall: row.get(7)?,
        hash: row.get(8)?,
        display: row.get(9)?,
        last_four: row.get(10)?,
        name: row.get(11)?,
        grants: grants.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect(),
        user: row.get::<Option<Key>>(13)?.map(|key| UserId(key.0)),
        user_type: row.get(14)?,
        status: row.get(15)?,
        expires_at: row.get::<Option<Millis>>(16)?.map(|at| at.0),
        last_used_at: row.get::<Option<Millis>>(17)?.map(|at| at.0),
        created_at: row.get::<Millis>(18)?.0,
        updated_at: row.get::<Millis>(19)?.0,
        created_by: row.get(20)?,
        tenant_suspended: row.get_ref(21)?.as_str()? == "suspended",
    })
}
