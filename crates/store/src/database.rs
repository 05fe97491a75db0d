//! Opening the database: a file of our own or a server's, its migrations, connections for readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::account_log::Overlay;
use crate::copying::refuse_unfinished;
use crate::error::Error;
use crate::migrations::{self, ALL};
use crate::sql::{Connection, Patience};

pub(crate) mod file;
mod remote;
mod replica;

use file::File;
use remote::Server;
use replica::Replica;

const READERS_IDLE_MAX: usize = 16;
/// Connections that one node reads a server with, beside its writer's: PostgreSQL has 100 as it is
/// delivered.
const READERS_OF_A_SERVER_MAX: usize = 16;
const READER_WAITS: Duration = Duration::from_secs(2);

/// A database: where it is, and its idle readers.
#[derive(Clone)]
pub struct Database {
    home: Home,
    pub(crate) overlay: Arc<Overlay>,
    idle: Arc<Mutex<Vec<Connection>>>,
    replica: Option<Arc<Replica>>,
    reading: Arc<Reading>,
    /// Of readers, where a server is asked.
    patience: Patience,
}

/// How many read now, where a server counts connections.
#[derive(Default)]
struct Reading {
    count: Mutex<usize>,
    ended: Condvar,
}

impl Reading {
    /// Waits for room, but not for ever: one that reads may wait for another that it asked.
    fn begin(&self, most: usize) -> Reader<'_> {
        let mut count = self.count.lock();
        if *count >= most {
            self.ended.wait_while_for(&mut count, |count| *count >= most, READER_WAITS);
        }
        *count += 1;
        Reader(self)
    }
}

/// One that reads, for as long as it does.
struct Reader<'r>(&'r Reading);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.ended.notify_one();
    }
}

/// The embedded database, or one that many nodes share.
#[derive(Clone)]
enum Home {
    File(File),
    Server(Arc<Server>),
}

/// A connection that a statement may read with. Made by a reader or by a transaction.
#[derive(Clone, Copy)]
pub struct Read<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) overlay: &'c Overlay,
}

impl Database {
    fn at(home: Home) -> Database {
        let overlay = match home {
            Home::File(_) => Overlay::default(),
            Home::Server(_) => Overlay::of_rows(),
        };
        Database {
            home,
            overlay: Arc::new(overlay),
            idle: Arc::default(),
            replica: None,
            reading: Arc::default(),
            patience: Patience::Bounded,
        }
    }

    /// The same, for a proof or a report that may ask for minutes: its reads have no end.
    #[must_use]
    pub fn patient(&self) -> Database {
        Database { patience: Patience::Endless, idle: Arc::default(), ..self.clone() }
    }

    /// Opens the database, and makes a file that is not there. `apply` brings it to this release's
    /// schema, and keeps a copy of a file that it changes; without it a pending migration is an
    /// error that says so.
    pub fn open(location: &Location, apply: bool) -> Result<Database, Error> {
        let database = Database::open_any(location, apply)?;
        refuse_unfinished(&database.connect_writer()?)?;
        Ok(database)
    }

    /// As `open`, for a copy into it, which an earlier one may have begun.
    pub(crate) fn open_to_copy(location: &Location) -> Result<Database, Error> {
        Database::open_any(location, true)
    }

    fn open_any(location: &Location, apply: bool) -> Result<Database, Error> {
        Database::at(Home::of(location)?).migrated(apply)
    }

    /// Lets `read_aside` read from a hot standby of this server.
    pub fn with_replica(mut self, url: &str) -> Result<Database, Error> {
        if !self.is_shared() {
            return Err(Error::Open("only a server's database has a replica to read".into()));
        }
        self.replica = Some(Arc::new(Replica::new(url)?));
        Ok(self)
    }

    fn migrated(self, apply: bool) -> Result<Database, Error> {
        let connection = self.connect_writer()?;
        let pending = migrations::pending(&connection, ALL)?;
        if !pending.is_empty() && !apply {
            return Err(Error::Open(format!("migrations are pending: {}", pending.join(", "))));
        }
        match &self.home {
            Home::File(file) => migrations::apply_to_file(&connection, file.path(), ALL)?,
            Home::Server(_) => migrations::apply_to_server(&connection, ALL)?,
        }
        drop(connection);
        Ok(self)
    }

    /// Makes a copy of a backup ready to take a database's place: it opens, and its feed gets a new
    /// mark, so that cursors of the history that it replaces are refused.
    pub fn ready_to_restore(copy: &Path) -> Result<(), Error> {
        let connection = File::new(copy).connect_writer()?;
        migrations::pending(&connection, ALL)?;
        if migrations::applied(&connection) == 0 {
            return Err(Error::Open(format!("{} is no database of Farebox", copy.display())));
        }
        connection.execute("DELETE FROM meta WHERE name = 'feed_mark'", [])?;
        migrations::mark_feed(&connection)?;
        connection.sqlite()?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Whether several nodes may write to it.
    pub fn is_shared(&self) -> bool {
        self.path().is_none()
    }

    /// The file of an embedded database.
    pub fn path(&self) -> Option<&Path> {
        match &self.home {
            Home::File(file) => Some(file.path()),
            Home::Server(_) => None,
        }
    }

    pub(crate) fn file(&self) -> Option<&File> {
        match &self.home {
            Home::File(file) => Some(file),
            Home::Server(_) => None,
        }
    }

    /// Names of the migrations and whether each is applied.
    pub fn migrations(&self) -> Result<Vec<(&'static str, bool)>, Error> {
        let pending = migrations::pending(&self.connect_writer()?, ALL)?;
        Ok(ALL.iter().map(|(name, _)| (*name, !pending.contains(name))).collect())
    }

    /// As `migrations`, for a file that may not exist yet; changes nothing.
    pub fn migrations_of(location: &Location) -> Result<Vec<(&'static str, bool)>, Error> {
        if location.path().is_some_and(|path| !path.exists()) {
            return Ok(ALL.iter().map(|(name, _)| (*name, false)).collect());
        }
        Database::at(Home::of(location)?).migrations()
    }

    pub(crate) fn connect_writer(&self) -> Result<Connection, Error> {
        match &self.home {
            Home::File(file) => file.connect_writer(),
            Home::Server(server) => server.connect_writer(),
        }
    }

    /// As `connect_writer`, for a thread that does nothing else.
    pub(crate) fn connect_writing_thread(&self) -> Result<Connection, Error> {
        match &self.home {
            Home::File(file) => file.connect_writer(),
            Home::Server(server) => server.connect_writing_thread(),
        }
    }

    pub(crate) fn connect_reader(&self) -> Result<Connection, Error> {
        match &self.home {
            Home::File(file) => file.connect_reader(),
            Home::Server(server) => server.connect_reader(self.patience),
        }
    }

    /// Reads in one snapshot: what is committed now, whole.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(Read<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let most = if self.is_shared() { READERS_OF_A_SERVER_MAX } else { usize::MAX };
        let _reader = self.reading.begin(most);
        let connection = match self.idle_reader() {
            Some(connection) => connection,
            None => self.connect_reader()?,
        };
        let done = {
            let snapshot = connection.snapshot().map_err(Error::from)?;
            work(Read { connection: &snapshot, overlay: &self.overlay })
        };
        let mut idle = self.idle.lock();
        if idle.len() < READERS_IDLE_MAX && connection.is_usable() {
            idle.push(connection);
        }
        done
    }

    /// As `read`, from the replica where there is one that has everything which this node knows of.
    pub fn read_aside<T, E: From<Error>>(
        &self,
        work: impl Fn(Read<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(replica) = &self.replica
            && let Some(connection) = replica.caught_up()
        {
            let done = work(Read { connection: &connection, overlay: &self.overlay });
            let failed = replica.end(connection);
            if done.is_ok() || !failed {
                return done;
            }
        }
        self.read(work)
    }

    /// This node knows of the changes up to this turn, and never reads older ones aside.
    pub fn knows(&self, turn: i64) {
        if let Some(replica) = &self.replica {
            replica.knows(turn);
        }
    }

    fn idle_reader(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        std::iter::from_fn(|| idle.pop()).find(Connection::is_usable)
    }

    /// Copies the database, while it runs, into a file that must not exist yet.
    pub fn backup(&self, target: &Path) -> Result<(), Error> {
        let file = self.file().ok_or_else(|| {
            Error::Open("a server's database is backed up with its own tools (pg_dump)".into())
        })?;
        if target.exists() {
            return Err(Error::Open(format!("{} exists already", target.display())));
        }
        file::copy_into(file.connect_reader()?.sqlite()?, target)
    }
}

impl Home {
    fn of(location: &Location) -> Result<Home, Error> {
        Ok(match location {
            Location::File(path) => Home::File(File::new(path)),
            Location::Server(url) => Home::Server(Arc::new(Server::new(url)?)),
        })
    }
}

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// The file of an embedded one.
    File(PathBuf),
    /// The URL of a PostgreSQL server: `postgres://user:password@host/name`.
    Server(String),
}

impl Location {
    pub fn file(path: impl Into<PathBuf>) -> Location {
        Location::File(path.into())
    }

    /// The file of an embedded one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Location::File(path) => Some(path),
            Location::Server(_) => None,
        }
    }
}

/// As it is written in settings, without a password.
impl std::fmt::Display for Location {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::File(path) => write!(out, "{}", path.display()),
            Location::Server(url) => out.write_str(&remote::without_password(url)),
        }
    }
}

impl std::fmt::Debug for Location {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self}")
    }
}
