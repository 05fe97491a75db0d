//! The audit log: a row for each management change. Append only.

use domain::id::{AuditId, RequestId};
use domain::scope::Scope;
use domain::time::Timestamp;
use rusqlite::params;

use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

/// Values are shown as they are stored: the caller masks secrets.
#[derive(Clone, Debug)]
pub struct AuditRow {
    pub id: AuditId,
    pub at: Timestamp,
    /// Such as `paywall.updated`.
    pub action: String,
    pub actor: String,
    pub entity: (&'static str, String),
    pub request: Option<RequestId>,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

pub fn insert(write: Write<'_>, scope: &Scope, row: &AuditRow) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO audit (env, id, at, action, actor, entity_type, entity_id, request,
                before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            scope.env.get(),
            Key(row.id.0),
            Millis(row.at),
            row.action,
            row.actor,
            row.entity.0,
            row.entity.1,
            row.request.map(|id| Key(id.0)),
            row.before.as_ref().map(ToString::to_string),
            row.after.as_ref().map(ToString::to_string),
        ])?;
    Ok(())
}
