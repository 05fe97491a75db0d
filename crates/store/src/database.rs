//! Opening the database: the file, its migrations, and connections for readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::account_log::Overlay;
use crate::error::Error;
use crate::migrations::{self, ALL};
use crate::wal::Wal;

const READERS_IDLE_MAX: usize = 16;
const STATEMENTS_CACHED_MAX: usize = 256;
/// So long the running writer waits for a lock that another program holds.
const WRITER_WAITS_MS: i64 = 5_000;
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The embedded database: where it is, and its idle readers.
#[derive(Clone)]
pub struct Database {
    path: PathBuf,
    pub(crate) overlay: Arc<Overlay>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

/// A connection that a statement may read with. Made by a reader or by a transaction.
#[derive(Clone, Copy)]
pub struct Read<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) overlay: &'c Overlay,
}

impl Database {
    /// Opens or makes the file. `apply` brings it to this release's schema, and keeps a copy of a
    /// file that it changes; without it a pending migration is an error that says so.
    pub fn open(path: &Path, apply: bool) -> Result<Database, Error> {
        let database =
            Database { path: path.to_owned(), overlay: Arc::default(), idle: Arc::default() };
        let mut connection = database.connect_writer()?;
        let pending = migrations::pending(&connection, ALL)?;
        if !pending.is_empty() && !apply {
            return Err(Error::Open(format!("migrations are pending: {}", pending.join(", "))));
        }
        migrations::apply(&mut connection, path, ALL)?;
        Ok(database)
    }

    /// Makes a copy of a backup ready to take a database's place: it opens, and its feed gets a new
    /// mark, so that cursors of the history that it replaces are refused.
    pub fn ready_to_restore(copy: &Path) -> Result<(), Error> {
        let database =
            Database { path: copy.to_owned(), overlay: Arc::default(), idle: Arc::default() };
        let connection = database.connect_writer()?;
        migrations::pending(&connection, ALL)?;
        if migrations::applied(&connection) == 0 {
            return Err(Error::Open(format!("{} is no database of Farebox", copy.display())));
        }
        connection.execute(
            "UPDATE meta SET value = lower(hex(randomblob(4))) WHERE name = 'feed_mark'",
            [],
        )?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the migrations and whether each is applied.
    pub fn migrations(&self) -> Result<Vec<(&'static str, bool)>, Error> {
        let connection = self.connect_writer()?;
        let pending = migrations::pending(&connection, ALL)?;
        Ok(ALL.iter().map(|(name, _)| (*name, !pending.contains(name))).collect())
    }

    /// As `migrations`, for a file that may not exist yet; changes nothing.
    pub fn migrations_of(path: &Path) -> Result<Vec<(&'static str, bool)>, Error> {
        if !path.exists() {
            return Ok(ALL.iter().map(|(name, _)| (*name, false)).collect());
        }
        Database { path: path.to_owned(), overlay: Arc::default(), idle: Arc::default() }
            .migrations()
    }

    pub(crate) fn connect_writer(&self) -> Result<Connection, Error> {
        let connection = Connection::open(&self.path)
            .map_err(|error| Error::Open(format!("{}: {error}", self.path.display())))?;
        prepare(&connection)?;
        // Every commit is on disk before anyone is answered.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Checkpoints have a thread of their own; see `checkpointer`.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(connection)
    }

    fn wal_path(&self) -> PathBuf {
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        wal.into()
    }

    /// How full the write-ahead log is; a connection must be open.
    pub(crate) fn wal(&self) -> Result<Wal, Error> {
        Wal::open(&self.path)
            .map_err(|error| Error::Open(format!("{}-wal: {error}", self.path.display())))
    }

    /// The write-ahead log, for a syncer of its own: from here on the commits of `connection` are
    /// on disk when the log was synced after them, and not before.
    pub(crate) fn open_wal(&self, connection: &Connection) -> Result<std::fs::File, Error> {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // One process writes. Who else holds the lock keeps everyone waiting, but not for long.
        connection.pragma_update(None, "busy_timeout", WRITER_WAITS_MS)?;
        std::fs::File::open(self.wal_path())
            .map_err(|error| Error::Open(format!("{}-wal: {error}", self.path.display())))
    }

    fn connect_reader(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
        keep_plans(&connection)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "cache_size", -2_048)?;
        Ok(connection)
    }

    /// Reads in one snapshot: what is committed now, whole.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(Read<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect_reader()?,
        };
        let done = {
            let snapshot = connection.unchecked_transaction().map_err(Error::from)?;
            work(Read { connection: &snapshot, overlay: &self.overlay })
        };
        let mut idle = self.idle.lock();
        if idle.len() < READERS_IDLE_MAX {
            idle.push(connection);
        }
        done
    }

    /// Copies the database, while it runs, into a file that must not exist yet.
    pub fn backup(&self, target: &Path) -> Result<(), Error> {
        if target.exists() {
            return Err(Error::Open(format!("{} exists already", target.display())));
        }
        copy_into(&self.connect_reader()?, target)
    }
}

/// A whole copy of what is committed.
pub(crate) fn copy_into(source: &Connection, target: &Path) -> Result<(), Error> {
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

fn prepare(connection: &Connection) -> Result<(), Error> {
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
fn keep_plans(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
