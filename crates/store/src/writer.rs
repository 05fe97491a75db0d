//! The one door for writes: a thread that runs what waits in one transaction and commits once.
//!
//! No timer forms batches: while a commit becomes durable (`syncer`) the next one gathers. A job
//! that refuses leaves nothing behind; a job that panics is answered alone and the others run
//! again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Select, Sender, bounded};
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::checkpointer;
use crate::database::Database;
use crate::deliveries::Handover;
use crate::desk::Desk;
use crate::error::Error;
use crate::syncer::{self, Syncer, Unsynced};
use crate::tx::Tx;
use crate::wal::Wal;

/// Jobs of one transaction.
pub const BATCH_MAX: usize = 1_024;
/// The size of the log is looked at once in so many batches.
const LOOK_AT_LOG_EVERY: u64 = 16;
/// Jobs that may wait; more are refused with `Unavailable`.
pub const QUEUE_MAX: usize = 65_536;

/// Times that the writer asks for; the engine's clock answers.
pub trait Times: Send + Sync {
    /// Time of one environment.
    fn now(&self, env: EnvNo) -> Timestamp;
    /// Time of the world.
    fn real(&self) -> Timestamp;
}

/// What a durable commit set free.
#[derive(Debug, Default)]
pub struct Committed {
    /// Counts the commits of this run; see `Writer::committed`.
    pub number: u64,
    /// Deliveries leased to this process.
    pub handovers: Vec<Handover>,
    /// Environments whose log grew.
    pub envs: Vec<EnvNo>,
}

pub(crate) type OnCommit = Arc<dyn Fn(Committed) + Send + Sync>;

/// A unit of work. It may run more than once, and has no effect but on the database.
pub trait Job: Send {
    fn scope(&self) -> Scope;
    /// Moves money only through `Tx::account` and decides before it posts, so that a refusal has
    /// nothing to take back.
    fn is_light(&self) -> bool;
    /// Returns whether its work is to be kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Called once, after the commit or with the reason why there was none.
    fn done(self: Box<Self>, outcome: Result<(), Error>);
}

/// A job made of two closures: the work, and what takes its result.
struct Work<T, E, F, R> {
    scope: Scope,
    light: bool,
    run: F,
    reply: R,
    result: Option<Result<T, E>>,
}

impl<T, E, F, R> Job for Work<T, E, F, R>
where
    T: Send,
    E: From<Error> + Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    R: FnOnce(Result<T, E>) + Send,
{
    fn scope(&self) -> Scope {
        self.scope
    }

    fn is_light(&self) -> bool {
        self.light
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let result = (self.run)(tx);
        let kept = result.is_ok();
        self.result = Some(result);
        kept
    }

    fn done(self: Box<Self>, outcome: Result<(), Error>) {
        let result = match (outcome, self.result) {
            (Ok(()), Some(result)) => result,
            (Err(error), _) => Err(error.into()),
            (Ok(()), None) => Err(Error::Unavailable.into()),
        };
        (self.reply)(result);
    }
}

/// Makes a job. `light` is as in `Job::is_light`.
pub fn job<T, E>(
    scope: Scope,
    light: bool,
    work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    reply: impl FnOnce(Result<T, E>) + Send + 'static,
) -> Box<dyn Job>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    Box::new(Work { scope, light, run: work, reply, result: None })
}

/// The handle of the writer thread. It ends when the last handle is closed.
pub struct Writer {
    queue: Mutex<Option<Sender<Box<dyn Job>>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    committed: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    checkpointer: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Writer {
    /// Starts the thread. `seed` separates ids of this run from those of earlier ones.
    pub fn start(
        database: &Database,
        times: Arc<dyn Times>,
        seed: u64,
        on_commit: OnCommit,
    ) -> Result<Writer, Error> {
        let connection = database.connect_writer()?;
        let seed = seed ^ domain::id::splitmix(count_start(&connection)?);
        connection.execute("UPDATE deliveries SET state = 'due' WHERE state = 'leased'", [])?;
        let desk = Desk::load(&connection, database.overlay.clone(), seed)?;
        let (committed, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let syncer =
            Syncer { wal: database.open_wal(&connection)?, on_commit, broken: broken.clone() };
        let (unsynced, waiting) = bounded(syncer::WAITING_MAX);
        let (sender, receiver) = bounded(QUEUE_MAX);
        let mut state = Thread {
            wal: database.wal()?,
            connection,
            desk,
            times,
            unsynced,
            committed: committed.clone(),
            batches: 0,
        };
        let threads = vec![
            spawn("writer", move || state.run(&receiver))?,
            spawn("syncer", move || syncer.run(&waiting))?,
        ];
        Ok(Writer {
            queue: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
            committed,
            broken,
            checkpointer: Mutex::new(Some(start_checkpointer(database)?)),
        })
    }

    /// Queues a job, or answers it at once when the queue is full or closed.
    pub fn submit(&self, job: Box<dyn Job>) {
        let queue = self.queue.lock().clone().filter(|_| !self.broken.load(Ordering::Acquire));
        let refused = match queue {
            Some(queue) => {
                queue.try_send(job).err().map(crossbeam_channel::TrySendError::into_inner)
            }
            None => Some(job),
        };
        if let Some(job) = refused {
            job.done(Err(Error::Unavailable));
        }
    }

    /// Jobs that wait now.
    pub fn waiting(&self) -> usize {
        self.queue.lock().as_ref().map_or(0, Sender::len)
    }

    /// Number of the newest commit that readers can see. It is durable once `OnCommit` was called
    /// with it or a later one; before that an answer must not tell what was read.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// Runs what waits, then ends the threads.
    pub fn close(&self) {
        self.queue.lock().take();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            drop(thread.join());
        }
        if let Some((stop, thread)) = self.checkpointer.lock().take() {
            drop(stop);
            drop(thread.join());
        }
    }
}

fn start_checkpointer(database: &Database) -> Result<(Sender<()>, JoinHandle<()>), Error> {
    let (stop, stopped) = bounded(0);
    let database = database.clone();
    let thread = spawn("checkpointer", move || checkpointer::run(&database, &stopped))?;
    Ok((stop, thread))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let named = std::thread::Builder::new().name(name.to_owned());
    named.spawn(work).map_err(|error| Error::Open(format!("no thread for the {name}: {error}")))
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Counts the starts of this database, so that no two runs make the same ids.
fn count_start(connection: &Connection) -> Result<u64, Error> {
    let starts: i64 = connection.query_row(
        "INSERT INTO meta (name, value) VALUES ('starts', 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        [],
        |row| row.get(0),
    )?;
    Ok(starts.cast_unsigned())
}

struct Thread {
    wal: Wal,
    connection: Connection,
    desk: Desk,
    times: Arc<dyn Times>,
    unsynced: Sender<Unsynced>,
    committed: Arc<AtomicU64>,
    batches: u64,
}

impl Thread {
    fn run(&mut self, queue: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = queue.recv() {
            self.await_room();
            let mut jobs = vec![first];
            while jobs.len() < BATCH_MAX {
                match queue.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(_) => break,
                }
            }
            self.run_batch(jobs);
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
    fn run_batch(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        loop {
            match self.try_batch(&mut jobs) {
                Ok(committed) => {
                    // The syncer outlives this thread: it ends when this sender is gone.
                    drop(self.unsynced.send(Unsynced { committed, jobs }));
                    return;
                }
                Err(Failed::Panicked(index)) => {
                    self.roll_back();
                    jobs.remove(index).done(Err(Error::Unavailable));
                    if jobs.is_empty() {
                        return;
                    }
                }
                Err(Failed::Database(error)) => {
                    self.roll_back();
                    tracing::error!(%error, jobs = jobs.len(), "a transaction failed");
                    for job in jobs {
                        job.done(Err(Error::Open(error.to_string())));
                    }
                    return;
                }
            }
        }
    }

    fn try_batch(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Committed, Failed> {
        self.run_statement("BEGIN IMMEDIATE")?;
        let recorded_at = self.times.real();
        for (index, job) in jobs.iter_mut().enumerate() {
            let ran = catch_unwind(AssertUnwindSafe(|| self.run_job(&mut **job, recorded_at)));
            ran.map_err(|_| Failed::Panicked(index))??;
        }
        let envs = self.grown();
        self.desk.flush(&self.connection, recorded_at)?;
        // Counted first, so that nobody sees the commit without knowing that it may not be durable.
        let number = self.committed.fetch_add(1, Ordering::AcqRel) + 1;
        self.run_statement("COMMIT")?;
        self.desk.commit();
        Ok(Committed { number, handovers: std::mem::take(&mut self.desk.handovers), envs })
    }

    fn run_statement(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn grown(&self) -> Vec<EnvNo> {
        self.desk.envs.keys().copied().collect()
    }

    fn run_job(&mut self, job: &mut dyn Job, recorded_at: Timestamp) -> Result<(), Error> {
        let scope = job.scope();
        let light = job.is_light();
        let now = self.now(scope.env);
        if !light {
            self.desk.flush(&self.connection, recorded_at)?;
            self.desk.begin_job();
            self.connection.execute_batch("SAVEPOINT job")?;
        }
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
        if light {
            return Ok(());
        }
        if kept {
            self.desk.flush(&self.connection, recorded_at)?;
            self.connection.execute_batch("RELEASE job")?;
            self.desk.end_job();
        } else {
            self.desk.forget_job();
            self.desk.handovers.truncate(handed);
            self.desk.index.rollback(keys);
            self.connection.execute_batch("ROLLBACK TO job; RELEASE job")?;
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
        // After a full disk the database has rolled back by itself.
        if let Err(error) = self.connection.execute_batch("ROLLBACK")
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
        if let Err(error) = self.desk.log.fold_piece(&self.connection) {
            tracing::warn!(%error, "wallets' rows stay behind the log until the next batch");
        }
        if self.batches.is_multiple_of(LOOK_AT_LOG_EVERY)
            && let Err(error) = self.keep_log()
        {
            tracing::warn!(%error, "a checkpoint failed; the next one moves more");
        }
        if let Err(error) = self.seal_index() {
            tracing::warn!(%error, "a piece of the idempotency index waits for the next batch");
        }
    }

    fn keep_log(&self) -> Result<(), Error> {
        let unread = |error: std::io::Error| Error::Open(format!("the log: {error}"));
        let fill = self.wal.fill().map_err(unread)?;
        if checkpointer::should_finish(fill) {
            return checkpointer::passive(&self.connection);
        }
        self.wal.make_room(fill.used).map_err(unread)
    }

    fn seal_index(&mut self) -> Result<(), Error> {
        if self.desk.index.is_full() {
            let marks = self.desk.marks(&self.connection)?;
            self.desk.index.seal(marks);
        }
        if self.desk.index.is_sealing() {
            let transaction = self.connection.unchecked_transaction()?;
            let written = self.desk.index.write_piece(&transaction)?;
            transaction.commit()?;
            self.desk.index.piece_written(written);
        }
        Ok(())
    }
}

enum Failed {
    Panicked(usize),
    Database(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Database(error)
    }
}
