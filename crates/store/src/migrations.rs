//! The migrations: one ordered list, forward only. A file that has data is copied beside itself
//! before the first statement of a release that changes it.

use std::path::{Path, PathBuf};

use crate::database::file::copy_into;
use crate::error::Error;
use crate::sql::{Connection, schema_for_postgres};

/// A name, and the statements.
pub type Migration = (&'static str, &'static str);

/// In order. A release adds to the end and never changes one.
pub const ALL: &[Migration] =
    &[("0001_foundation", include_str!("migrations/0001_foundation.sql"))];

/// How its planner finds small indexes in large tables; PostgreSQL counts for itself.
const STATISTICS: &str = include_str!("migrations/sqlite_statistics.sql");
/// What SQLite has and our statements use, under its names.
const PRELUDE: &str = include_str!("migrations/prelude.sql");
const ONE_AT_A_TIME: &str = "SELECT pg_advisory_xact_lock(7003271993)";

/// Copies of one file before the same migration: each failed start makes one.
const COPIES_MAX: u32 = 100;

/// Number of migrations that are applied; a database without our tables has none.
pub fn applied(connection: &Connection) -> usize {
    // A statement on a table that is not there would end a server's transaction.
    let is_new = connection.postgres().is_some()
        && !connection
            .query_row("SELECT to_regclass('meta') IS NOT NULL", [], |row| row.get(0))
            .unwrap_or(false);
    if is_new {
        return 0;
    }
    let schema = connection.query_row(
        "SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'schema'",
        [],
        |row| row.get::<i64>(0),
    );
    usize::try_from(schema.unwrap_or(0)).unwrap_or(0)
}

pub fn pending(connection: &Connection, all: &[Migration]) -> Result<Vec<&'static str>, Error> {
    let Some(rest) = all.get(applied(connection)..) else {
        return Err(Error::Open("the database was made by a newer release".into()));
    };
    Ok(rest.iter().map(|(name, _)| *name).collect())
}

/// Applies what is pending, in one transaction.
pub fn apply_to_file(connection: &Connection, path: &Path, all: &[Migration]) -> Result<(), Error> {
    let pending = pending(connection, all)?;
    let Some(first) = pending.first() else { return Ok(()) };
    if applied(connection) > 0 {
        copy_into(connection.sqlite()?, &copy_name(path, first)?)?;
    }
    let transaction = connection.transaction("BEGIN IMMEDIATE")?;
    // Another process may have been faster: it is counted again inside.
    for (_, sql) in all.iter().skip(applied(&transaction)) {
        transaction.execute_batch(sql)?;
    }
    transaction.execute_batch(STATISTICS)?;
    note_applied(&transaction, all)?;
    Ok(transaction.commit()?)
}

/// As `apply_to_file`, on a server: nodes that start together apply it once.
pub fn apply_to_server(connection: &Connection, all: &[Migration]) -> Result<(), Error> {
    if pending(connection, all)?.is_empty() {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(ONE_AT_A_TIME)?;
    let before = applied(&transaction);
    if before == 0 {
        transaction.execute_batch(PRELUDE)?;
    }
    for (_, sql) in all.iter().skip(before) {
        transaction.execute_batch(&schema_for_postgres(sql))?;
    }
    note_applied(&transaction, all)?;
    Ok(transaction.commit()?)
}

fn note_applied(connection: &Connection, all: &[Migration]) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('schema', ?1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [all.len().to_string()],
    )?;
    mark_feed(connection)
}

/// The mark of this database that cursors of the feed carry; a restore renews it.
pub fn mark_feed(connection: &Connection) -> Result<(), Error> {
    let fresh = match connection.postgres() {
        None => "SELECT lower(hex(randomblob(4)))",
        Some(_) => "SELECT substr(CAST(gen_random_uuid() AS TEXT), 1, 8)",
    };
    let mark: String = connection.query_row(fresh, [], |row| row.get(0))?;
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('feed_mark', ?1) ON CONFLICT (name) DO NOTHING",
        [mark],
    )?;
    Ok(())
}

/// `farebox.before-0002_x.db` beside `farebox.db`; with a number where that is taken.
fn copy_name(path: &Path, migration: &str) -> Result<PathBuf, Error> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let free = (1..=COPIES_MAX).find_map(|number| {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let copy = path.with_file_name(format!("{name}.before-{migration}{number}.{ending}"));
        (!copy.exists()).then_some(copy)
    });
    free.ok_or_else(|| {
        Error::Open(format!("there are {COPIES_MAX} copies from before {migration}; remove some"))
    })
}

#[cfg(test)]
mod plans;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Database;

    const NEXT: Migration = ("0002_next", "CREATE TABLE next (no INTEGER PRIMARY KEY)");
    const BROKEN: Migration = ("0002_next", "CREATE TABLE next (no INTEGER PRIMARY KEY); nonsense");

    fn tables(path: &Path) -> i64 {
        let query = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'next'";
        rusqlite::Connection::open(path).unwrap().query_row(query, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_file_with_data_is_copied_before_it_is_changed_and_a_new_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("farebox.db");
        let database = Database::open(&crate::Location::file(&path), true).unwrap();
        let copies = || {
            let names = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap());
            names.filter(|file| file.file_name().to_string_lossy().contains(".before-")).count()
        };
        assert_eq!(copies(), 0, "there was nothing to copy");
        let connection = database.connect_writer().unwrap();
        let broken = apply_to_file(&connection, &path, &[ALL[0], BROKEN]);
        assert!(broken.is_err());
        assert_eq!((applied(&connection), tables(&path)), (1, 0), "nothing of it is left");
        apply_to_file(&connection, &path, &[ALL[0], NEXT]).unwrap();
        assert_eq!((applied(&connection), tables(&path)), (2, 1));
        assert_eq!(copies(), 2, "one copy for each time that it was tried");
        for name in ["farebox.before-0002_next.db", "farebox.before-0002_next-2.db"] {
            let copy = rusqlite::Connection::open(folder.path().join(name)).unwrap();
            let copy = Connection::Sqlite(copy);
            assert_eq!((applied(&copy), tables(&folder.path().join(name))), (1, 0), "{name}");
        }
        apply_to_file(&connection, &path, &[ALL[0], NEXT]).unwrap();
        assert_eq!(copies(), 2, "a second run changes nothing");
        assert!(pending(&connection, ALL).is_err(), "an older release refuses it");
    }
}
