//! Moves the write-ahead log into the database file, beside the writer.
//!
//! A page that many batches wrote is moved once, so rarer checkpoints are cheaper ones; a thread of
//! its own keeps them out of the commits. The writer itself only finishes what this thread began,
//! when the log grew long all the same, so that SQLite may start the log again from its beginning.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rusqlite::Connection;

use crate::database::Database;
use crate::error::Error;

/// The log is moved in the background from this size on.
const BACKGROUND_BYTES: u64 = 16 << 20;
/// The writer finishes a checkpoint from this size on.
pub(crate) const FINISH_BYTES: u64 = 64 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs until the other end of `stop` is gone, then leaves a log of no length.
pub(crate) fn run(database: &Database, stop: &Receiver<()>) {
    let connection = match database.connect_writer() {
        Ok(connection) => connection,
        Err(error) => {
            tracing::error!(%error, "no checkpoints in the background");
            return;
        }
    };
    let mut moved_at = 0;
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(LOOK_EVERY) {
        let bytes = database.wal_bytes();
        if bytes < moved_at {
            moved_at = 0;
        }
        if bytes >= moved_at + BACKGROUND_BYTES {
            moved_at = bytes;
            report(passive(&connection));
        }
    }
    report(passive(&connection));
}

/// Moves what no reader needs any more, without waiting for anyone.
pub(crate) fn passive(connection: &Connection) -> Result<(), Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(())
}

fn report(done: Result<(), Error>) {
    if let Err(error) = done {
        tracing::warn!(%error, "a checkpoint failed; the next one moves more");
    }
}
