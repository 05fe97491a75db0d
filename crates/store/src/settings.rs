//! Settings of an environment: a JSON value under a name. What a value may be is the domain's.

use crate::sql::{OptionalExtension, params};
use domain::id::SettingId;
use domain::scope::Scope;
use domain::time::Timestamp;
use serde_json::Value;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSetting {
    pub id: SettingId,
    pub value: Value,
    pub created_at: Timestamp,
    pub created_by: String,
    pub updated_at: Timestamp,
    pub updated_by: String,
}

/// The value that was set under `name`; `None` where the default holds.
pub fn find(read: Read<'_>, scope: &Scope, name: &str) -> Result<Option<StoredSetting>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT id, body, created_at, created_by, updated_at, updated_by FROM settings
         WHERE env = ?1 AND name = ?2",
    )?;
    let found = select.query_row(params![scope.env.get(), name], |row| {
        let body: String = row.get(1)?;
        Ok(StoredSetting {
            id: SettingId(row.get::<Key>(0)?.0),
            value: serde_json::from_str(&body).unwrap_or_default(),
            created_at: row.get::<Millis>(2)?.0,
            created_by: row.get(3)?,
            updated_at: row.get::<Millis>(4)?.0,
            updated_by: row.get(5)?,
        })
    });
    Ok(found.optional()?)
}

/// Sets the value; a setting that was set before keeps its id and its creation.
pub fn put(
    write: Write<'_>,
    scope: &Scope,
    name: &str,
    setting: &StoredSetting,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO settings (env, name, id, body, created_at, created_by, updated_at,
                updated_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (env, name) DO UPDATE SET body = excluded.body,
                updated_at = excluded.updated_at, updated_by = excluded.updated_by",
        )?
        .execute(params![
            scope.env.get(),
            name,
            Key(setting.id.0),
            setting.value.to_string(),
            Millis(setting.created_at),
            setting.created_by,
            Millis(setting.updated_at),
            setting.updated_by,
        ])?;
    Ok(())
}

/// Back to the default.
pub fn delete(write: Write<'_>, scope: &Scope, name: &str) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("DELETE FROM settings WHERE env = ?1 AND name = ?2")?
        .execute(params![scope.env.get(), name])?;
    Ok(())
}
