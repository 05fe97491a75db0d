//! People and machines of a tenant. They stand above its environments, so every statement names
//! the tenant.

use crate::sql::{OptionalExtension, Row, params};
use domain::id::{TenantId, UserId};
use domain::scope::Scope;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: UserId,
    /// `user` or `service_account`.
    pub kind: String,
    /// `published` or `deleted`.
    pub status: String,
    pub profile: Profile,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a member says about itself, and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub name: String,
    /// Empty for a machine.
    pub email: String,
    pub roles: Vec<String>,
    #[serde(default)]
    pub metadata: std::collections::BTreeMap<String, String>,
}

/// Which members a search is for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// One kind only.
    pub kind: Option<String>,
    pub status: String,
    /// One of these ids only, when there are any.
    pub ids: Vec<UserId>,
    /// With at least one of these roles, when there are any.
    pub roles: Vec<String>,
}

const SELECT: &str = "SELECT u.id, u.kind, u.status, u.body, u.created_at, u.updated_at
    FROM users u JOIN tenants t ON t.no = u.tenant WHERE t.id = ?1";

pub fn insert(write: Write<'_>, tenant: TenantId, member: &Member) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO users (id, tenant, kind, status, body, created_at, updated_at)
             SELECT ?2, no, ?3, ?4, ?5, ?6, ?7 FROM tenants WHERE id = ?1",
        )?
        .execute(params![
            Key(tenant.0),
            Key(member.id.0),
            member.kind,
            member.status,
            body(&member.profile),
            Millis(member.created_at),
            Millis(member.updated_at),
        ])?;
    Ok(())
}

/// Stores status and profile as they are now.
pub fn set(write: Write<'_>, scope: &Scope, member: &Member) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE users SET status = ?3, body = ?4, updated_at = ?5
             WHERE id = ?2 AND tenant = (SELECT no FROM tenants WHERE id = ?1)",
        )?
        .execute(params![
            Key(scope.tenant.0),
            Key(member.id.0),
            member.status,
            body(&member.profile),
            Millis(member.updated_at),
        ])?;
    Ok(())
}

/// The member with this id, deleted or not.
pub fn find(read: Read<'_>, scope: &Scope, id: UserId) -> Result<Option<Member>, Error> {
    let mut select = read.connection.prepare_cached(&format!("{SELECT} AND u.id = ?2"))?;
    Ok(select.query_row(params![Key(scope.tenant.0), Key(id.0)], row).optional()?)
}

/// Members that are wanted, newest first. A tenant has few of them, so they are sifted here.
pub fn list(read: Read<'_>, scope: &Scope, wanted: &Wanted) -> Result<Vec<Member>, Error> {
    let mut select = read
        .connection
        .prepare_cached(&format!("{SELECT} AND u.status = ?2 ORDER BY u.no DESC"))?;
    let rows = select.query_map(params![Key(scope.tenant.0), wanted.status], row)?;
    let mut members: Vec<Member> = rows.collect::<Result<_, _>>()?;
    members.retain(|member| wanted.fits(member));
    Ok(members)
}

/// Members that are not deleted.
pub fn count(read: Read<'_>, scope: &Scope) -> Result<u32, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM users u JOIN tenants t ON t.no = u.tenant
         WHERE t.id = ?1 AND u.status = 'published'",
    )?;
    Ok(select.query_row([Key(scope.tenant.0)], |row| row.get(0))?)
}

impl Wanted {
    fn fits(&self, member: &Member) -> bool {
        let role = |role: &String| member.profile.roles.contains(role);
        self.kind.as_ref().is_none_or(|kind| *kind == member.kind)
            && (self.ids.is_empty() || self.ids.contains(&member.id))
            && (self.roles.is_empty() || self.roles.iter().any(role))
    }
}

fn body(profile: &Profile) -> String {
    serde_json::to_string(profile).unwrap_or_default()
}

fn row(row: &Row<'_>) -> crate::sql::Result<Member> {
    let body: String = row.get(3)?;
    Ok(Member {
        id: UserId(row.get::<Key>(0)?.0),
        kind: row.get(1)?,
        status: row.get(2)?,
        profile: serde_json::from_str(&body).unwrap_or_default(),
        created_at: row.get::<Millis>(4)?.0,
        updated_at: row.get::<Millis>(5)?.0,
    })
}
