//! What a writer stands on: a file that is its own, or a server that it shares with other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Times;
use super::queues::Queues;
use crate::checkpointer;
use crate::database::Database;
use crate::desk::Desk;
use crate::error::Error;
use crate::idempotency::Sealed;
use crate::sql::{Connection, Session};
use crate::turns::{Told, Turns};
use crate::wal::Wal;

/// The size of the log is looked at once in so many batches.
const LOOK_AT_LOG_EVERY: u64 = 16;
/// A server that is away is tried again after this.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Work whose transaction never reached its commit waits so long for a server that is away.
const TRIES_WITH_WORK: u32 = 20;

pub(super) enum Ground {
    File {
        wal: Wal,
        /// Deliveries that the last process had leased.
        voided: usize,
    },
    Server {
        turns: Turns,
        database: Database,
        away: Arc<AtomicBool>,
    },
}

/// Who waits for a connection that was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Callers whose commit was not answered: for as long as it takes, then they know.
    ForCommit,
    /// Callers whose transaction never reached its commit: not for long.
    WithWork,
    /// Nobody: they were refused, and new ones are until the server is back.
    Nobody,
}

/// After a connection was lost.
pub(super) enum Mended {
    /// The transaction whose commit was not answered is in the database.
    Committed,
    /// Nothing of it is; it may run again.
    Anew,
}

impl Ground {
    /// Opens the writer's connection and loads its memory.
    pub(super) fn open(
        database: &Database,
        seed: u64,
        away: Arc<AtomicBool>,
    ) -> Result<(Ground, Connection, Desk), Error> {
        let connection = database.connect_writing_thread()?;
        let seed = seed ^ domain::id::splitmix(count_start(&connection)?);
        let overlay = database.overlay.clone();
        let ground = match (database.file(), connection.postgres()) {
            (None, Some(session)) => {
                let node = seed.cast_signed();
                let turns = Turns::open(session, node)?;
                Ground::Server { turns, database: database.clone(), away }
            }
            (Some(file), _) => Ground::File { wal: file.wal()?, voided: void(&connection)? },
            (None, None) => return Err(Error::Unavailable),
        };
        let desk = Desk::load(&connection, overlay, seed)?;
        if connection.postgres().is_some() {
            connection.execute_batch("COMMIT")?;
        }
        Ok((ground, connection, desk))
    }

    /// Deliveries whose sender ended without a word, and which are due since this start.
    pub(super) fn leases_voided(&self) -> usize {
        match self {
            Ground::File { voided, .. } => *voided,
            // Another node takes them over, or this one when their node's lease has ended.
            Ground::Server { .. } => 0,
        }
    }

    pub(super) fn begin(
        &mut self,
        connection: &Connection,
        memory: (&mut Desk, &dyn Times),
    ) -> Result<(), Error> {
        match (self, connection.postgres()) {
            (Ground::Server { turns, database, .. }, Some(session)) => {
                turns.begin(connection, session, memory)?;
                database.knows(turns.seen());
                Ok(())
            }
            _ => Ok(connection.execute("BEGIN IMMEDIATE", []).map(|_| ())?),
        }
    }

    pub(super) fn commit(&mut self, connection: &Connection, told: &Told) -> Result<(), Error> {
        match (self, connection.postgres()) {
            (Ground::Server { turns, database, .. }, Some(session)) => {
                turns.commit(connection, session, told)?;
                database.knows(turns.seen());
                Ok(())
            }
            _ => Ok(connection.execute("COMMIT", []).map(|_| ())?),
        }
    }

    /// Connects again, and finds out what became of a commit that somebody waits for. What comes
    /// meanwhile is refused at once. Fails when the waiting has lasted too long, or the node ends.
    pub(super) fn mend(
        &mut self,
        connection: &mut Connection,
        queues: &Queues,
        waiting: Waiting,
    ) -> Result<Mended, Error> {
        let Ground::Server { turns, database, away } = self else { return Err(Error::Unavailable) };
        for tried in 1.. {
            match reconnected(database, turns, waiting) {
                Ok((fresh, mended)) => {
                    database.knows(turns.seen());
                    *connection = fresh;
                    away.store(false, Ordering::Release);
                    return Ok(mended);
                }
                Err(error) if !error.is_lost() && waiting != Waiting::Nobody => return Err(error),
                Err(error) => {
                    if !away.swap(true, Ordering::AcqRel) {
                        tracing::error!(%error, "the database is away");
                    }
                    let closing = queues.refuse_waiting();
                    let too_long = waiting == Waiting::WithWork && tried >= TRIES_WITH_WORK;
                    if closing || too_long {
                        return Err(error);
                    }
                    std::thread::sleep(TRY_AGAIN_AFTER);
                }
            }
        }
        Err(Error::Unavailable)
    }

    /// After callers were refused because the server is away: nobody would ask for it again, so
    /// this does, until it is back.
    pub(super) fn await_server(&mut self, connection: &mut Connection, queues: &Queues) {
        let is_away = match self {
            Ground::Server { away, .. } => away.load(Ordering::Acquire),
            Ground::File { .. } => false,
        };
        if is_away && self.mend(connection, queues, Waiting::Nobody).is_ok() {
            tracing::info!("the database is back");
        }
    }

    pub(super) fn keep_house(
        &mut self,
        connection: &Connection,
        (desk, times): (&mut Desk, &dyn Times),
        batches: u64,
    ) -> Result<(), Error> {
        let wal = match self {
            Ground::File { wal, .. } => wal,
            Ground::Server { turns, .. } => return seal_in_turn(connection, turns, (desk, times)),
        };
        desk.log.fold_piece(connection)?;
        if batches.is_multiple_of(LOOK_AT_LOG_EVERY) {
            keep_log(connection, wal)?;
        }
        seal_index(connection, desk)
    }
}

fn reconnected(
    database: &Database,
    turns: &mut Turns,
    waiting: Waiting,
) -> Result<(Connection, Mended), Error> {
    let fresh = database.connect_writing_thread()?;
    let session = fresh.postgres().filter(|_| waiting == Waiting::ForCommit);
    let is_committed = match session {
        Some(session) => turns.is_committed(&fresh, session)?,
        None => false,
    };
    Ok((fresh, if is_committed { Mended::Committed } else { Mended::Anew }))
}

/// Whoever had leased deliveries is gone: one process writes to a file.
fn void(connection: &Connection) -> Result<usize, Error> {
    let sql = "UPDATE deliveries SET state = 'due'
         WHERE (state = 'due' OR state = 'leased' OR state = 'waiting') AND state = 'leased'";
    Ok(connection.execute(sql, [])?)
}

/// Counts the starts of this database, so that no two runs make the same ids.
fn count_start(connection: &Connection) -> Result<u64, Error> {
    let starts: i64 = connection.query_row(
        "INSERT INTO meta (name, value) VALUES ('starts', '1')
         ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)
         RETURNING CAST(value AS BIGINT)",
        [],
        |row| row.get(0),
    )?;
    Ok(starts.cast_unsigned())
}

fn keep_log(connection: &Connection, wal: &Wal) -> Result<(), Error> {
    let unread = |error: std::io::Error| Error::Open(format!("the log: {error}"));
    let fill = wal.fill().map_err(unread)?;
    if checkpointer::should_finish(fill) {
        return checkpointer::passive(connection);
    }
    wal.make_room(fill.used).map_err(unread)
}

/// As `seal_index`, for the index that nodes of a server share: a piece is a turn of its own, and
/// the other nodes learn of it.
fn seal_in_turn(
    connection: &Connection,
    turns: &mut Turns,
    (desk, times): (&mut Desk, &dyn Times),
) -> Result<(), Error> {
    let Some(session) = connection.postgres() else { return Ok(()) };
    if !desk.index.is_full() && !desk.index.is_sealing() {
        return Ok(());
    }
    let sealed = seal_piece(connection, session, turns, (desk, times));
    if sealed.is_err() {
        connection.forget_later();
        if connection.is_usable() {
            connection.execute_batch("ROLLBACK")?;
        }
    }
    desk.index.piece_written(sealed?);
    Ok(())
}

/// Returns how far the sealing generation is written now.
fn seal_piece(
    connection: &Connection,
    session: &Session,
    turns: &mut Turns,
    (desk, times): (&mut Desk, &dyn Times),
) -> Result<usize, Error> {
    turns.begin(connection, session, (desk, times))?;
    // What others did since may have left nothing to do.
    if desk.index.is_full() {
        let marks = desk.marks(connection)?;
        desk.index.seal(marks);
    }
    let written = desk.index.write_piece(connection)?;
    let sealed = if written > 0 { desk.index.sealed_up_to(written) } else { Sealed::Nothing };
    turns.commit(connection, session, &Told { sealed, ..Told::default() })?;
    Ok(written)
}

fn seal_index(connection: &Connection, desk: &mut Desk) -> Result<(), Error> {
    if desk.index.is_full() {
        let marks = desk.marks(connection)?;
        desk.index.seal(marks);
    }
    if desk.index.is_sealing() {
        let transaction = connection.unchecked_transaction()?;
        let written = desk.index.write_piece(&transaction)?;
        transaction.commit()?;
        desk.index.piece_written(written);
    }
    Ok(())
}
