//! Puts commits on disk, and only then answers for them.
//!
//! The writer's commit appends to the write-ahead log without waiting for the disk. This thread
//! syncs the log and lets the replies go; meanwhile the writer works out the next transaction, and
//! one sync may stand for several. Nobody is told of a change before it is durable: neither its
//! caller, nor a receiver of webhooks, nor a reader (`Writer::committed`).

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Receiver;

use crate::error::Error;
use crate::writer::{Committed, Job, OnCommit};

/// Transactions that may wait for the disk; the writer waits for room, so the next batch grows.
pub(crate) const WAITING_MAX: usize = 1;

/// A committed transaction whose callers wait for the disk.
pub(crate) struct Unsynced {
    pub(crate) committed: Committed,
    pub(crate) jobs: Vec<Box<dyn Job>>,
}

pub(crate) struct Syncer {
    /// The write-ahead log; the same file for as long as a connection is open. None where a server
    /// puts its commits on disk before it answers.
    pub(crate) wal: Option<File>,
    pub(crate) on_commit: OnCommit,
    /// The disk refused a sync, so nobody knows what it holds: nothing is promised any more.
    pub(crate) broken: Arc<AtomicBool>,
}

impl Syncer {
    /// Runs until the writer is gone and everything it committed is answered.
    pub(crate) fn run(&self, waiting: &Receiver<Unsynced>) {
        while let Ok(first) = waiting.recv() {
            let batches: Vec<Unsynced> = std::iter::once(first).chain(waiting.try_iter()).collect();
            match self.wal.as_ref().map_or(Ok(()), File::sync_data) {
                Ok(()) if !self.broken.load(Ordering::Acquire) => self.answer(batches),
                Ok(()) => self.refuse(batches),
                Err(error) => {
                    tracing::error!(%error, "the disk refused to sync: no writes until a restart");
                    self.broken.store(true, Ordering::Release);
                    self.refuse(batches);
                }
            }
        }
    }

    fn answer(&self, batches: Vec<Unsynced>) {
        for Unsynced { committed, jobs } in batches {
            (self.on_commit)(committed);
            for job in jobs {
                job.done(Ok(()));
            }
        }
    }

    fn refuse(&self, batches: Vec<Unsynced>) {
        for job in batches.into_iter().flat_map(|batch| batch.jobs) {
            job.done(Err(Error::Unavailable));
        }
        // Readers go on with what the file holds.
        (self.on_commit)(Committed { number: u64::MAX, ..Committed::default() });
    }
}
