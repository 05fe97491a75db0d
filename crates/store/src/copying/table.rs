//! The tables that are copied, as the schema itself tells them, and their statements.

use std::fmt::Write as _;

use super::page::Row;
use crate::error::Error;
use crate::migrations;
use crate::sql::{Connection, OptionalExtension, Value};

/// Tables that say how processes run, and nothing else: see `mark` and `ends` for what becomes of
/// them. Rows of the account log are brought up to it before.
pub(super) const OF_PROCESSES: [&str; 6] =
    ["meta", "writer_turn", "turns", "nodes", "account_log", "claims"];

/// A table with a primary key; all have one.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// Which columns are its primary key, in order.
    pub(super) key: Vec<usize>,
}

/// What a copy takes over, in the order of the names.
pub(super) fn all() -> Result<Vec<Table>, Error> {
    let mut tables = of_schema()?;
    tables.retain(|table| !OF_PROCESSES.contains(&table.name.as_str()));
    Ok(tables)
}

/// Every table of this release, read from a database that is made for it and forgotten.
pub(super) fn of_schema() -> Result<Vec<Table>, Error> {
    let connection = Connection::Sqlite(rusqlite::Connection::open_in_memory()?);
    for (_, sql) in migrations::ALL {
        connection.execute_batch(sql)?;
    }
    let mut select = connection
        .prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let names = select.query_map([], |row| row.get::<String>(0))?;
    names.map(|name| of_name(&connection, name?)).collect()
}

fn of_name(connection: &Connection, name: String) -> Result<Table, Error> {
    let mut select =
        connection.prepare_cached("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid")?;
    let rows = select.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let columns: Vec<(String, u16)> = rows.collect::<Result<_, crate::sql::Error>>()?;
    let mut key: Vec<(u16, usize)> =
        columns.iter().map(|(_, part)| *part).zip(0..).filter(|(part, _)| *part > 0).collect();
    key.sort_unstable();
    if key.is_empty() {
        return Err(Error::Open(format!("the table {name} has no primary key to copy it by")));
    }
    Ok(Table {
        name,
        columns: columns.into_iter().map(|(column, _)| column).collect(),
        key: key.into_iter().map(|(_, index)| index).collect(),
    })
}

impl Table {
    /// Whether a server numbers its rows.
    pub(super) fn is_numbered(&self) -> bool {
        self.columns.first().is_some_and(|column| column == "no") && self.key == [0]
    }

    fn list(columns: impl Iterator<Item = impl AsRef<str>>) -> String {
        let quoted: Vec<String> = columns.map(|it| format!("\"{}\"", it.as_ref())).collect();
        quoted.join(", ")
    }

    fn keys(&self) -> String {
        Table::list(self.key.iter().filter_map(|index| self.columns.get(*index)))
    }

    pub(super) fn key_of(&self, row: &Row) -> Row {
        self.key.iter().filter_map(|index| row.get(*index).cloned()).collect()
    }

    pub(super) fn insert(&self) -> String {
        let numbers: Vec<String> =
            (1..=self.columns.len()).map(|number| format!("?{number}")).collect();
        let (columns, numbers) = (Table::list(self.columns.iter()), numbers.join(", "));
        format!("INSERT INTO \"{}\" ({columns}) VALUES ({numbers})", self.name)
    }

    /// Rows in the order of the key: from the beginning, or after a key.
    pub(super) fn page(&self, after: bool) -> String {
        let numbers: Vec<String> =
            (1..=self.key.len()).map(|number| format!("?{number}")).collect();
        let (columns, keys) = (Table::list(self.columns.iter()), self.keys());
        let (from, limit) = if after {
            (format!("WHERE ({keys}) > ({})", numbers.join(", ")), numbers.len() + 1)
        } else {
            (String::new(), 1)
        };
        let name = &self.name;
        format!("SELECT {columns} FROM \"{name}\" {from} ORDER BY {keys} LIMIT ?{limit}")
    }

    pub(super) fn count(&self, connection: &Connection) -> Result<u64, Error> {
        let count = format!("SELECT COUNT(*) FROM \"{}\"", self.name);
        let rows: i64 = connection.query_row(&count, [], |row| row.get(0))?;
        Ok(rows.unsigned_abs())
    }

    pub(super) fn is_empty(&self, connection: &Connection) -> Result<bool, Error> {
        let any = format!("SELECT EXISTS (SELECT 1 FROM \"{}\")", self.name);
        let any: bool = connection.query_row(&any, [], |row| row.get(0))?;
        Ok(!any)
    }

    /// The last key that is there.
    pub(super) fn last_key(&self, connection: &Connection) -> Result<Option<Row>, Error> {
        let keys = self.keys();
        let descending = format!("{} DESC", keys.replace(", ", " DESC, "));
        let last = format!("SELECT {keys} FROM \"{}\" ORDER BY {descending} LIMIT 1", self.name);
        let key = |row: &crate::sql::Row<'_>| (0..self.key.len()).map(|at| row.get(at)).collect();
        Ok(connection.query_row(&last, [], key).optional()?)
    }

    /// Names the first row of two pieces that is not the same in both.
    pub(super) fn difference(&self, there: &[Row], here: &[Row]) -> Error {
        let rows = there.len().max(here.len());
        let first = (0..rows).find(|row| there.get(*row) != here.get(*row)).unwrap_or(0);
        let key = |rows: &[Row]| rows.get(first).map(|row| self.key_of(row));
        let has = |rows: &[Row], key: &Row| rows.iter().any(|row| self.key_of(row) == *key);
        let (key, problem) = match (key(there), key(here)) {
            (Some(key), _) if !has(here, &key) => (key, "is missing in the target"),
            (_, Some(key)) if !has(there, &key) => (key, "is only in the target"),
            (key, _) => (key.unwrap_or_default(), "is not the same on both sides"),
        };
        let key: Vec<String> = key.iter().map(shown).collect();
        let (key, name) = (key.join(", "), &self.name);
        Error::Open(format!("the copy differs: row ({key}) of {name} {problem}"))
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => hex(bytes),
        Value::Null | Value::Real(_) => "null".to_owned(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
