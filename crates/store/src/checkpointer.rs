//! Moves the write-ahead log into the database file, beside the writer.
//!
//! A page that many batches wrote is moved once, so rarer checkpoints are cheaper ones; a thread of
//! its own keeps them out of the commits. The writer itself only finishes what this thread began:
//! the little that was added meanwhile, so that SQLite starts the log again from its beginning.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::database::file::File;
use crate::error::Error;
use crate::sql::Connection;
use crate::wal::{Fill, Wal};

/// The log is moved in the background from this size on.
const BACKGROUND_BYTES: u64 = 16 << 20;
/// So much is left to the writer, which alone can see to it that nothing is added meanwhile …
const LEFT_BYTES: u64 = 2 << 20;
/// … and all of it, once the log is so long.
const FINISH_BYTES: u64 = 64 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whether the writer should move what is left, so that SQLite starts the log again.
pub(crate) fn should_finish(fill: Fill) -> bool {
    let is_long = fill.used >= FINISH_BYTES;
    is_long || fill.used >= BACKGROUND_BYTES && (1..=LEFT_BYTES).contains(&fill.left)
}

/// Runs until the other end of `stop` is gone, then leaves a log of no length.
pub(crate) fn run(home: &File, stop: &Receiver<()>) {
    let (connection, wal) = match open(home) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(%error, "no checkpoints in the background");
            return;
        }
    };
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(LOOK_EVERY) {
        let Ok(fill) = wal.fill() else { continue };
        if fill.used >= BACKGROUND_BYTES && fill.left > LEFT_BYTES {
            report(passive(&connection));
        }
    }
    report(passive(&connection));
}

fn open(home: &File) -> Result<(Connection, Wal), Error> {
    let connection = home.connect_writer()?;
    Ok((connection, home.wal()?))
}

/// Moves what no reader needs any more, without waiting for anyone.
pub(crate) fn passive(connection: &Connection) -> Result<(), Error> {
    connection.sqlite()?.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(())
}

fn report(done: Result<(), Error>) {
    if let Err(error) = done {
        tracing::warn!(%error, "a checkpoint failed; the next one moves more");
    }
}
