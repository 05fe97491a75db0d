//! The last change of a copy: what says how processes run, made so that the next server goes on.

use super::mark;
use super::table::Table;
use crate::error::Error;
use crate::sql::{Connection, params};

pub(super) fn meet(
    source: &Connection,
    target: &Connection,
    tables: &[Table],
) -> Result<(), Error> {
    let transaction = target.unchecked_transaction()?;
    take_meta(source, &transaction)?;
    if transaction.postgres().is_some() {
        number_on(&transaction, tables)?;
        end_processes(&transaction)?;
    }
    mark::take_away(&transaction)?;
    transaction.commit()?;
    match target {
        Connection::Postgres(_) => target.execute_batch("ANALYZE")?,
        Connection::Sqlite(file) => {
            file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
    }
    Ok(())
}

/// The feed's mark, so that cursors stay good; the starts, so that no id is made twice.
fn take_meta(source: &Connection, target: &Connection) -> Result<(), Error> {
    let mut select = source.prepare_cached(
        "SELECT name, value FROM meta WHERE name NOT IN ('schema', 'copy', 'copied')",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
        target.execute(
            "INSERT INTO meta (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![name, value],
        )?;
    }
    Ok(())
}

/// A server numbers new rows after those that came with their numbers.
fn number_on(target: &Connection, tables: &[Table]) -> Result<(), Error> {
    for table in tables.iter().filter(|table| table.is_numbered()) {
        let name = &table.name;
        target.execute_batch(&format!(
            "SELECT setval(pg_get_serial_sequence('{name}', 'no'), MAX(no)) FROM \"{name}\""
        ))?;
    }
    Ok(())
}

/// Processes that left something open are nodes whose lease has ended: the first node of the
/// target takes over from them, before it serves.
fn end_processes(target: &Connection) -> Result<(), Error> {
    target.execute_batch(
        "INSERT INTO nodes (node, expires_at)
         SELECT node, 0 FROM deliveries WHERE state = 'leased'
         UNION SELECT node, 0 FROM proxy_requests
         ON CONFLICT DO NOTHING",
    )?;
    Ok(())
}
