//! The one door for writes: a thread that runs what waits in one transaction and commits once.
//!
//! No timer forms batches: while a commit becomes durable (`syncer`) the next one gathers. A job
//! that refuses leaves nothing behind; a job that panics is answered alone and the others run
//! again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use parking_lot::Mutex;

use crate::checkpointer;
use crate::database::Database;
use crate::deliveries::Handed;
use crate::error::Error;
use crate::syncer::{self, Syncer};
use crate::tx::Tx;

mod ground;
mod queues;
mod thread;

use ground::Ground;
use queues::{Senders, queues};
use thread::Thread;

/// Jobs of one transaction.
pub const BATCH_MAX: usize = 1_024;
/// Jobs of callers that may wait, and others; more are refused with `Unavailable`.
pub const QUEUE_MAX: usize = 65_536;

/// Times that the writer asks for; the engine's clock answers.
pub trait Times: Send + Sync {
    /// Time of one environment.
    fn now(&self, env: EnvNo) -> Timestamp;
    /// Time of the world.
    fn real(&self) -> Timestamp;
    /// Another node may have set clocks: these are stored, each as it was set.
    fn reload(&self, clocks: Vec<(EnvNo, Option<String>)>);
}

/// What a durable commit set free.
#[derive(Debug, Default)]
pub struct Committed {
    /// Counts the commits of this run; see `Writer::committed`.
    pub number: u64,
    /// Deliveries leased to this process.
    pub handovers: Vec<Handed>,
    /// Environments whose log grew.
    pub envs: Vec<EnvNo>,
}

pub(crate) type OnCommit = Arc<dyn Fn(Committed) + Send + Sync>;

/// What a job is, which says when and how it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Moves money only through `Tx::account` and decides before it posts, so that a refusal has
    /// nothing to take back.
    Movement,
    Change,
    /// A change that no caller waits for: beside those of callers it has a share of the time.
    Aside,
}

/// A unit of work. It may run more than once, and has no effect but on the database.
pub trait Job: Send {
    fn scope(&self) -> Scope;
    fn kind(&self) -> Kind;
    fn is_aside(&self) -> bool {
        self.kind() == Kind::Aside
    }
    /// Returns whether its work is to be kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Called once, after the commit or with the reason why there was none.
    fn done(self: Box<Self>, outcome: Result<(), Error>);
}

/// A job made of two closures: the work, and what takes its result.
struct Work<T, E, F, R> {
    scope: Scope,
    kind: Kind,
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

    fn kind(&self) -> Kind {
        self.kind
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

/// Makes a job.
pub fn job<T, E>(
    scope: Scope,
    kind: Kind,
    work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    reply: impl FnOnce(Result<T, E>) + Send + 'static,
) -> Box<dyn Job>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    Box::new(Work { scope, kind, run: work, reply, result: None })
}

/// The handle of the writer thread. It ends when the last handle is closed.
pub struct Writer {
    queue: Mutex<Option<Arc<Senders>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    committed: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    /// The server of the database cannot be reached now.
    away: Arc<AtomicBool>,
    checkpointer: Mutex<Option<Checkpointer>>,
    node: i64,
    leases_voided: usize,
}

impl Writer {
    /// Starts the thread. `seed` separates ids of this run from those of earlier ones.
    pub fn start(
        database: &Database,
        times: Arc<dyn Times>,
        seed: u64,
        on_commit: OnCommit,
    ) -> Result<Writer, Error> {
        let (committed, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let away = Arc::new(AtomicBool::new(false));
        let (unsynced, waiting) = bounded(syncer::WAITING_MAX);
        let (senders, mut queues) = queues(QUEUE_MAX);
        let (opened, ready) = bounded(1);
        let writer = {
            let (database, away) = (database.clone(), away.clone());
            let committed = committed.clone();
            spawn("writer", move || {
                let open = || {
                    let (ground, connection, desk) = Ground::open(&database, seed, away)?;
                    let voided = ground.leases_voided();
                    // A server puts its commits on disk before it answers.
                    let file = database.file();
                    let wal = file.map(|file| file.open_wal(&connection)).transpose()?;
                    let node = desk.node;
                    let parts = (ground, connection, desk);
                    Ok((Thread::new(parts, (times, unsynced, committed)), (wal, node, voided)))
                };
                match open() {
                    Ok((mut thread, made)) => {
                        drop(opened.send(Ok(made)));
                        thread.run(&mut queues);
                    }
                    Err(error) => drop(opened.send(Err(error))),
                }
            })?
        };
        let (wal, node, leases_voided) = ready.recv().unwrap_or(Err(Error::Unavailable))?;
        let syncer = Syncer { wal, on_commit, broken: broken.clone() };
        let threads = vec![writer, spawn("syncer", move || syncer.run(&waiting))?];
        Ok(Writer {
            queue: Mutex::new(Some(Arc::new(senders))),
            threads: Mutex::new(threads),
            committed,
            broken,
            away,
            checkpointer: Mutex::new(start_checkpointer(database)?),
            node,
            leases_voided,
        })
    }

    /// Deliveries that the file's last process had leased when it ended.
    pub fn leases_voided(&self) -> usize {
        self.leases_voided
    }

    /// Queues a job, or answers it at once when the queue is full or closed.
    pub fn submit(&self, job: Box<dyn Job>) {
        let queue = self.queue.lock().clone().filter(|_| self.takes_work());
        let refused = match queue {
            Some(queue) => queue.send(job),
            None => Some(job),
        };
        if let Some(job) = refused {
            job.done(Err(Error::Unavailable));
        }
    }

    fn takes_work(&self) -> bool {
        !self.broken.load(Ordering::Acquire) && !self.away.load(Ordering::Acquire)
    }

    /// This run of this node, different from every other.
    pub fn node(&self) -> i64 {
        self.node
    }

    /// Jobs that wait now.
    pub fn waiting(&self) -> usize {
        self.queue.lock().as_ref().map_or(0, |queue| queue.waiting())
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

/// What ends the checkpointer, and its thread.
type Checkpointer = (Sender<()>, JoinHandle<()>);

/// Only the embedded database has a log that must be moved.
fn start_checkpointer(database: &Database) -> Result<Option<Checkpointer>, Error> {
    let Some(file) = database.file().cloned() else { return Ok(None) };
    let (stop, stopped) = bounded(0);
    let thread = spawn("checkpointer", move || checkpointer::run(&file, &stopped))?;
    Ok(Some((stop, thread)))
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
