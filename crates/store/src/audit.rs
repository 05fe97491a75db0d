//! The audit log: a row for each management change. Append only.

use crate::sql::Value as Column;
use crate::sql::{OptionalExtension, Row, params, params_from_iter};
use domain::id::{AuditId, RequestId};
use domain::scope::Scope;
use domain::time::Timestamp;
use serde_json::Value;

use crate::database::Read;
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
    pub actor_kind: String,
    pub source: String,
    /// Type and id.
    pub entity: (String, String),
    pub request: Option<RequestId>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Which rows a search is for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub action: Option<String>,
    pub actor: Option<String>,
    pub entity_type: Option<String>,
    pub entity_id: Option<String>,
    /// From here on.
    pub start: Option<Timestamp>,
    /// Before here.
    pub end: Option<Timestamp>,
    /// Only rows older than the one with this number.
    pub below: Option<i64>,
}

const SELECT: &str = "SELECT no, id, at, action, actor, actor_kind, source, entity_type, entity_id,
    request, before, after FROM audit WHERE env = ?";

pub fn insert(write: Write<'_>, scope: &Scope, row: &AuditRow) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO audit (env, id, at, action, actor, actor_kind, source, entity_type,
                entity_id, request, before, after)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            scope.env.get(),
            Key(row.id.0),
            Millis(row.at),
            row.action,
            row.actor,
            row.actor_kind,
            row.source,
            row.entity.0,
            row.entity.1,
            row.request.map(|id| Key(id.0)),
            row.before.as_ref().map(ToString::to_string),
            row.after.as_ref().map(ToString::to_string),
        ])?;
    Ok(())
}

/// Rows that are wanted with their numbers, newest first, at most `limit`.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    wanted: &Wanted,
    limit: u32,
) -> Result<Vec<(i64, AuditRow)>, Error> {
    let mut sql = SELECT.to_owned();
    let mut values = vec![Column::from(i64::from(scope.env.get()))];
    for (part, value) in wanted.parts() {
        sql.push_str(part);
        values.push(value);
    }
    sql.push_str(" ORDER BY no DESC LIMIT ?");
    values.push(Column::from(i64::from(limit)));
    let mut select = read.connection.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(values), numbered)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub fn find(read: Read<'_>, scope: &Scope, id: AuditId) -> Result<Option<AuditRow>, Error> {
    let mut select = read.connection.prepare_cached(&format!("{SELECT} AND id = ?"))?;
    let found = select.query_row(params![scope.env.get(), Key(id.0)], numbered).optional()?;
    Ok(found.map(|(_, row)| row))
}

impl Wanted {
    /// The conditions that are asked for, each with its value.
    fn parts(&self) -> Vec<(&'static str, Column)> {
        let text = |value: &Option<String>| value.clone().map(Column::from);
        let time = |at: Option<Timestamp>| at.map(|at| Column::from(at.millis()));
        let all = [
            (" AND action = ?", text(&self.action)),
            (" AND actor = ?", text(&self.actor)),
            (" AND entity_type = ?", text(&self.entity_type)),
            (" AND entity_id = ?", text(&self.entity_id)),
            (" AND at >= ?", time(self.start)),
            (" AND at < ?", time(self.end)),
            (" AND no < ?", self.below.map(Column::from)),
        ];
        all.into_iter().filter_map(|(part, value)| value.map(|value| (part, value))).collect()
    }
}

fn numbered(row: &Row<'_>) -> crate::sql::Result<(i64, AuditRow)> {
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    let audit = AuditRow {
        id: AuditId(row.get::<Key>(1)?.0),
        at: row.get::<Millis>(2)?.0,
        action: row.get(3)?,
        actor: row.get(4)?,
        actor_kind: row.get(5)?,
        source: row.get(6)?,
        entity: (row.get(7)?, row.get(8)?),
        request: row.get::<Option<Key>>(9)?.map(|key| RequestId(key.0)),
        before: json(row.get(10)?),
        after: json(row.get(11)?),
    };
    Ok((row.get(0)?, audit))
}
