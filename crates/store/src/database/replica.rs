//! A hot standby that lists and reports may be read from, where it has what this node knows.
//!
//! Every change leaves the number of its turn, in its own transaction; so the turn that a replica
//! has tells which changes it has. A reader waits for the newest one that this node knows of, but
//! not for long: then it reads the database itself, as it does while the replica is away.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::remote::Server;
use crate::error::Error;
use crate::sql::{Connection, Patience};

const IDLE_MAX: usize = 16;
/// So long a reader waits for the replica to catch up.
const WAITS: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// One that cannot be reached is left alone for so long.
const AWAY: Duration = Duration::from_secs(1);

pub(super) struct Replica {
    server: Server,
    /// The newest turn that this node knows of.
    known: AtomicI64,
    idle: Mutex<Vec<Connection>>,
    away_until: Mutex<Option<Instant>>,
}

impl Replica {
    pub(super) fn new(url: &str) -> Result<Replica, Error> {
        let server = Server::new(url)?;
        let known = AtomicI64::new(0);
        Ok(Replica { server, known, idle: Mutex::default(), away_until: Mutex::default() })
    }

    pub(super) fn knows(&self, turn: i64) {
        self.known.fetch_max(turn, Ordering::AcqRel);
    }

    /// A connection in a snapshot that has all that this node knows of; none where there is none.
    pub(super) fn caught_up(&self) -> Option<Connection> {
        if self.away_until.lock().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        self.try_to_catch_up().unwrap_or_else(|error| {
            tracing::warn!(%error, "the replica cannot be read");
            *self.away_until.lock() = Some(Instant::now() + AWAY);
            None
        })
    }

    fn try_to_catch_up(&self) -> Result<Option<Connection>, Error> {
        let (known, began) = (self.known.load(Ordering::Acquire), Instant::now());
        let idle = self.idle.lock().pop().filter(Connection::is_usable);
        let connection = idle.map_or_else(|| self.server.connect_reader(Patience::Bounded), Ok)?;
        loop {
            connection.begin_snapshot()?;
            let turn = "SELECT turn FROM writer_turn WHERE no = 1";
            let turn: i64 = connection.query_row(turn, [], |row| row.get(0))?;
            if turn >= known {
                return Ok(Some(connection));
            }
            connection.execute_batch("ROLLBACK")?;
            if began.elapsed() >= WAITS {
                self.keep(connection);
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends the reading. Returns whether the replica itself was in its way.
    pub(super) fn end(&self, connection: Connection) -> bool {
        let failed = connection.stumbled().is_err() || !connection.is_usable();
        if connection.execute_batch("ROLLBACK").is_ok() {
            self.keep(connection);
        }
        failed
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}
