//! The embedded database: one file, its write-ahead log, and connections that are set as the
//! writer and its readers need them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use crate::error::Error;
use crate::sql::Connection;
use crate::wal::Wal;

const STATEMENTS_CACHED_MAX: usize = 256;
/// So long the running writer waits for a lock that another program holds.
const WRITER_WAITS_MS: i64 = 5_000;
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct File {
    path: PathBuf,
}

impl File {
    pub(crate) fn new(path: &Path) -> File {
        File { path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn connect_writer(&self) -> Result<Connection, Error> {
        let connection = rusqlite::Connection::open(&self.path)
            .map_err(|error| Error::Open(format!("{}: {error}", self.path.display())))?;
        prepare(&connection)?;
        // Every commit is on disk before anyone is answered.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Checkpoints have a thread of their own; see `checkpointer`.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(Connection::Sqlite(connection))
    }

    pub(crate) fn connect_reader(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
        keep_plans(&connection)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "cache_size", -2_048)?;
        Ok(Connection::Sqlite(connection))
    }

    /// How full the write-ahead log is; a connection must be open.
    pub(crate) fn wal(&self) -> Result<Wal, Error> {
        Wal::open(&self.path)
            .map_err(|error| Error::Open(format!("{}-wal: {error}", self.path.display())))
    }

    /// The write-ahead log, for a syncer of its own: from here on the commits of `connection` are
    /// on disk when the log was synced after them, and not before.
    pub(crate) fn open_wal(&self, connection: &Connection) -> Result<std::fs::File, Error> {
        connection.sqlite()?.pragma_update(None, "synchronous", "NORMAL")?;
        // One process writes. Who else holds the lock keeps everyone waiting, but not for long.
        connection.sqlite()?.pragma_update(None, "busy_timeout", WRITER_WAITS_MS)?;
        std::fs::File::open(self.wal_path())
            .map_err(|error| Error::Open(format!("{}-wal: {error}", self.path.display())))
    }

    fn wal_path(&self) -> PathBuf {
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        wal.into()
    }
}

/// A whole copy of what is committed.
pub(crate) fn copy_into(source: &rusqlite::Connection, target: &Path) -> Result<(), Error> {
    let name = target.to_str().ok_or_else(|| Error::Open("the path is not UTF-8".into()))?;
    if let Err(error) = source.execute("VACUUM INTO ?1", [name]) {
        // Half a copy would stand in the way of the next one.
        drop(std::fs::remove_file(target));
        return Err(error.into());
    }
    keep(target).map_err(|error| Error::Open(format!("{name}: {error}")))
}

/// Puts a new file on disk, with its name: SQLite leaves that to the system.
fn keep(file: &Path) -> std::io::Result<()> {
    std::fs::File::open(file)?.sync_all()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn prepare(connection: &rusqlite::Connection) -> Result<(), Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    let fresh: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if fresh == 0 {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    // Many pages make each commit slow: it looks at all of them after a page was split.
    connection.pragma_update(None, "cache_size", -4_096)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    keep_plans(connection)
}

/// A plan holds for every value: without this SQLite plans many statements again at each call,
/// because it had peeked at the values of the call before.
fn keep_plans(connection: &rusqlite::Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
