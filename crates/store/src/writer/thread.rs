//! The writer's thread: batches, and what becomes of one that fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Select, Sender};
use domain::place::EnvNo;
use domain::time::Timestamp;

use super::ground::{Ground, Mended, Waiting};
use super::queues::Queues;
use super::{Committed, Job, Kind, Times};
use crate::desk::Desk;
use crate::error::Error;
use crate::sql::Connection;
use crate::syncer::Unsynced;
use crate::tx::Tx;

/// Times that a transaction is run again because others were in its way.
const TRIES_MAX: u32 = 20;
/// And so long, where each of them waited for a lock.
const TRIES_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Thread {
    ground: Ground,
    connection: Connection,
    desk: Desk,
    times: Arc<dyn Times>,
    unsynced: Sender<Unsynced>,
    committed: Arc<AtomicU64>,
    batches: u64,
    /// What jobs aside took of the batch.
    spent_aside: Duration,
}

impl Thread {
    pub(super) fn new(
        (ground, connection, desk): (Ground, Connection, Desk),
        (times, unsynced, committed): (Arc<dyn Times>, Sender<Unsynced>, Arc<AtomicU64>),
    ) -> Thread {
        Thread {
            ground,
            connection,
            desk,
            times,
            unsynced,
            committed,
            batches: 0,
            spent_aside: Duration::ZERO,
        }
    }

    pub(super) fn run(&mut self, queues: &mut Queues) {
        loop {
            self.await_room();
            let Some(jobs) = queues.next() else { return };
            self.run_batch(jobs, queues);
            queues.spend(std::mem::take(&mut self.spent_aside));
            self.keep_house();
        }
    }

    /// A batch that could not be handed on is not begun yet: it would wait, and jobs that come
    /// meanwhile would need another one.
    fn await_room(&self) {
        let mut syncer = Select::new();
        syncer.send(&self.unsynced);
        syncer.ready();
    }

    /// Runs the jobs until a transaction with all of them but the panicked ones is committed.
    fn run_batch(&mut self, mut jobs: Vec<Box<dyn Job>>, queues: &Queues) {
        let began = Instant::now();
        for tried in 1.. {
            let error = match self.try_batch(&mut jobs) {
                Ok(()) => return self.hand_on(jobs),
                Err(Failed::Panicked(index)) => {
                    self.roll_back();
                    jobs.remove(index).done(Err(Error::Unavailable));
                    if jobs.is_empty() {
                        return;
                    }
                    continue;
                }
                Err(Failed::Committing(error)) if error.is_lost() => {
                    // Nobody is answered before it is known whether the commit happened.
                    match self.ground.mend(&mut self.connection, queues, Waiting::ForCommit) {
                        Ok(Mended::Committed) => return self.hand_on(jobs),
                        Ok(Mended::Anew) => {
                            self.roll_back();
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Err(Failed::Database(error)) if error.is_lost() => {
                    self.roll_back();
                    match self.ground.mend(&mut self.connection, queues, Waiting::WithWork) {
                        Ok(_) if tried < TRIES_MAX => continue,
                        Ok(_) => error,
                        Err(error) => error,
                    }
                }
                Err(Failed::Database(error) | Failed::Committing(error)) => {
                    self.roll_back();
                    let may_pass = tried < TRIES_MAX && began.elapsed() < TRIES_WITHIN;
                    if error.is_passing() && may_pass {
                        continue;
                    }
                    error
                }
            };
            self.desk.forget_all();
            refuse(jobs, &error);
            return self.ground.await_server(&mut self.connection, queues);
        }
    }

    /// The transaction is committed: its callers are answered when it is durable.
    fn hand_on(&mut self, jobs: Vec<Box<dyn Job>>) {
        let envs = self.desk.envs.keys().copied().collect();
        self.desk.commit();
        let number = self.committed.load(Ordering::Acquire);
        let handovers = std::mem::take(&mut self.desk.handovers);
        // The syncer outlives this thread: it ends when this sender is gone.
        drop(
            self.unsynced.send(Unsynced { committed: Committed { number, handovers, envs }, jobs }),
        );
    }

    fn try_batch(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failed> {
        self.ground.begin(&self.connection, (&mut self.desk, &*self.times))?;
        drop(self.connection.stumbled());
        let recorded_at = self.times.real();
        for (index, job) in jobs.iter_mut().enumerate() {
            let began = job.is_aside().then(Instant::now);
            let ran = catch_unwind(AssertUnwindSafe(|| self.run_job(&mut **job, recorded_at)));
            self.spent_aside += began.map_or(Duration::ZERO, |began| began.elapsed());
            ran.map_err(|_| Failed::Panicked(index))??;
        }
        self.desk.flush(&self.connection, recorded_at)?;
        // Counted first, so that nobody sees the commit without knowing that it may not be durable.
        self.committed.fetch_add(1, Ordering::AcqRel);
        let told = self.desk.told();
        self.ground.commit(&self.connection, &told).map_err(Failed::Committing)
    }

    fn run_job(&mut self, job: &mut dyn Job, recorded_at: Timestamp) -> Result<(), Error> {
        let scope = job.scope();
        let light = job.kind() == Kind::Movement;
        let now = self.now(scope.env);
        let savepoint = if light {
            None
        } else {
            self.desk.flush(&self.connection, recorded_at)?;
            self.desk.begin_job();
            Some(self.connection.savepoint()?)
        };
        let (handed, keys) = (self.desk.handovers.len(), self.desk.index.savepoint());
        let began = self.desk.records.len();
        let mut tx = Tx {
            connection: &self.connection,
            desk: &mut self.desk,
            scope,
            now,
            recorded_at,
            began,
        };
        let kept = job.run(&mut tx);
        // The job was told of a failure that is not its own; all of them run again.
        self.connection.stumbled().map_err(Error::from)?;
        let Some(savepoint) = savepoint else { return Ok(()) };
        if kept {
            self.desk.flush(&self.connection, recorded_at)?;
            self.connection.release(savepoint)?;
            self.desk.end_job();
        } else {
            self.desk.forget_job();
            self.desk.handovers.truncate(handed);
            self.desk.index.rollback(keys);
            self.connection.take_back(savepoint)?;
        }
        Ok(())
    }

    /// Time of an environment, never earlier than before; work above all environments (tenants,
    /// the first key) runs in the world's time.
    fn now(&mut self, env: EnvNo) -> Timestamp {
        if env == EnvNo::default() {
            return self.times.real();
        }
        let forward = self.desk.forward(env);
        forward.last_at = forward.last_at.max(self.times.now(env));
        forward.last_at
    }

    fn roll_back(&mut self) {
        self.connection.forget_later();
        if self.connection.is_usable()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
            // After a full disk the embedded database has rolled back by itself.
            && !error.to_string().contains("no transaction is active")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        self.desk.forget_all();
        // Whoever waits for the number of a commit that failed is let go with those before it.
        let committed =
            Committed { number: self.committed.load(Ordering::Acquire), ..Committed::default() };
        drop(self.unsynced.send(Unsynced { committed, jobs: Vec::new() }));
    }

    /// Work between transactions: rows that follow the log, the index's sealed runs, the size of
    /// the memory.
    fn keep_house(&mut self) {
        self.desk.trim();
        self.batches += 1;
        let memory = (&mut self.desk, &*self.times);
        if let Err(error) = self.ground.keep_house(&self.connection, memory, self.batches) {
            tracing::warn!(%error, "some house-keeping waits for the next batch");
        }
    }
}

fn refuse(jobs: Vec<Box<dyn Job>>, error: &Error) {
    tracing::error!(%error, jobs = jobs.len(), "a transaction failed");
    for job in jobs {
        job.done(Err(match error {
            Error::Ended => Error::Ended,
            passing if passing.is_lost() || passing.is_passing() => Error::Unavailable,
            other => Error::Open(other.to_string()),
        }));
    }
}

enum Failed {
    Panicked(usize),
    Database(Error),
    /// At the commit: where the connection was lost, nobody knows whether it happened.
    Committing(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Database(error)
    }
}
