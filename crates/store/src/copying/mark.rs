//! What a target is an unfinished copy of. The mark is set on a fresh database, before its first
//! row, and taken away with the last change; while it stands only a copy opens the database. What
//! is left of it lets the same copy be asked for again.

use serde::{Deserialize, Serialize};

use super::table::{OF_PROCESSES, Table, of_schema};
use crate::error::Error;
use crate::sql::{Connection, OptionalExtension};

/// A source, and how far its servers have come: equal marks are equal contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The mark of its feed, which a restore renews.
    feed: String,
    /// Times that a server was started on it.
    starts: Option<String>,
    /// The last turn of its writers.
    turn: i64,
}

impl Mark {
    pub(super) fn of(source: &Connection) -> Result<Mark, Error> {
        let feed = meta(source, "feed_mark")?
            .ok_or_else(|| Error::Open("the source is no database of Farebox".into()))?;
        let turn = "SELECT turn FROM writer_turn WHERE no = 1";
        let turn = source.query_row(turn, [], |row| row.get(0))?;
        Ok(Mark { feed, starts: meta(source, "starts")?, turn })
    }

    /// Marks a fresh target. Returns whether an earlier copy of the same source had done so, or had
    /// come to its end and nobody has served the target since.
    pub(super) fn set(&self, target: &Connection, tables: &[Table]) -> Result<bool, Error> {
        let transaction = target.unchecked_transaction()?;
        let row = "SELECT turn FROM writer_turn WHERE no = 1 /*pg FOR UPDATE pg*/";
        let turn: i64 = transaction.query_row(row, [], |row| row.get(0))?;
        if let Some(text) = meta(&transaction, "copy")? {
            if serde_json::from_str::<Mark>(&text).ok().as_ref() != Some(self) {
                return Err(Error::Open(
                    "the target is an unfinished copy of another source, or the source was served \
                     since: empty the target and copy again"
                        .into(),
                ));
            }
            return Ok(true);
        }
        let starts = meta(&transaction, "starts")?;
        let done = meta(&transaction, "copied")?.and_then(|text| serde_json::from_str(&text).ok());
        if done.as_ref() == Some(self) && turn == 0 && starts == self.starts {
            return Ok(true);
        }
        let is_used = turn != 0 || starts.is_some();
        if is_used || !is_empty(&transaction, tables)? {
            return Err(Error::Open(
                "the target is not empty: copy into a fresh database, which no server has opened"
                    .into(),
            ));
        }
        let text = serde_json::to_string(self).unwrap_or_default();
        transaction.execute("INSERT INTO meta (name, value) VALUES ('copy', ?1)", [text])?;
        transaction.commit()?;
        Ok(false)
    }
}

fn is_empty(target: &Connection, tables: &[Table]) -> Result<bool, Error> {
    let mut all = tables.to_vec();
    all.extend(of_schema()?.into_iter().filter(|table| {
        OF_PROCESSES.contains(&table.name.as_str())
            && !["meta", "writer_turn"].contains(&table.name.as_str())
    }));
    for table in &all {
        if !table.is_empty(target)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The copy is whole.
pub(super) fn take_away(target: &Connection) -> Result<(), Error> {
    target.execute(
        "INSERT INTO meta (name, value) SELECT 'copied', value FROM meta WHERE name = 'copy'
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [],
    )?;
    target.execute("DELETE FROM meta WHERE name = 'copy'", [])?;
    Ok(())
}

/// Refuses a database that is a copy under way.
pub(crate) fn refuse_unfinished(connection: &Connection) -> Result<(), Error> {
    match meta(connection, "copy")? {
        None => Ok(()),
        Some(_) => Err(Error::Open(
            "the database is an unfinished copy: run the same `farebox copy` again, and it goes on"
                .into(),
        )),
    }
}

fn meta(connection: &Connection, name: &str) -> Result<Option<String>, Error> {
    let mut select = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(select.query_row([name], |row| row.get(0)).optional()?)
}
