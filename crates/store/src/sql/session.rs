//! One connection to a PostgreSQL server, used from a thread that may block.
//!
//! Statements that nobody waits for (`later`) travel with the next one that somebody does: a
//! batch of the writer costs two round trips, whatever it writes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::maybe_done;
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::task::{JoinHandle, block_in_place, unconstrained};
use tokio::time::timeout;
use tokio_postgres::types::{ToSql as PgToSql, Type};
use tokio_postgres::{Client, Config, Row, SimpleQueryMessage, Statement};

use super::error::{Error, Result};
use super::text::{for_postgres, of_arrays};
use super::tls::Tls;
use super::wire::{Bound, Column};

const STATEMENTS_MAX: usize = 512;
/// Rows of a large result that are in memory at once.
const PIECE_ROWS: usize = 512;
/// Whoever reads waits so long for a server that says nothing; a large result comes in pieces.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// A thread that waits longer lets others run its tasks; that costs too much for every statement.
const BRIEF: Duration = Duration::from_millis(100);
/// From the first byte to a session that takes statements.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// How long a session waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Somebody waits who may be refused.
    Bounded,
    /// What is under way has to be known to its end: writers, migrations.
    Endless,
}

/// A thread that moves the bytes of connections that are used wherever.
pub(crate) struct Io(Moving);

impl Io {
    pub(crate) fn start() -> Result<Io> {
        let mut builder = Builder::new_multi_thread();
        Ok(Io(Moving::start(builder.worker_threads(1).thread_name("postgres"))?))
    }
}

/// A runtime that may end on a thread that must not block.
struct Moving(Option<Runtime>);

impl Moving {
    fn start(builder: &mut Builder) -> Result<Moving> {
        let runtime = builder.enable_all().build();
        Ok(Moving(Some(runtime.map_err(|error| Error::Away(error.to_string()))?)))
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        let runtime = self.0.as_ref().ok_or_else(|| Error::Away("it ended".into()))?;
        Ok(runtime.spawn(work))
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Who moves the bytes: the session's own thread while it waits, or one for many sessions.
enum Driver {
    Own(Moving),
    Shared(Arc<Io>),
}

impl Driver {
    fn wait<F: Future>(&self, work: F) -> F::Output {
        match self {
            Driver::Own(Moving(Some(runtime))) => runtime.block_on(work),
            Driver::Own(_) | Driver::Shared(_) => pollster::block_on(work),
        }
    }

    /// As `wait`; nothing where that takes longer than `SILENT_MAX`. A thread that runs other tasks
    /// hands them on when it takes long; it has no turns to give up, so time is unconstrained.
    fn wait_at_most<F: Future>(&self, work: F) -> Option<F::Output> {
        let runtime = self.moving().0.as_ref()?;
        let runs_others = Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let _timers = runtime.enter();
        let mut work = pin!(work);
        if let Ok(done) = pollster::block_on(unconstrained(timeout(BRIEF, work.as_mut()))) {
            return Some(done);
        }
        let rest = || pollster::block_on(unconstrained(timeout(SILENT_MAX, work))).ok();
        if runs_others { block_in_place(rest) } else { rest() }
    }

    fn moving(&self) -> &Moving {
        match self {
            Driver::Own(moving) => moving,
            Driver::Shared(io) => &io.0,
        }
    }
}

/// A statement that travels with the next one.
enum Later {
    Values(Arc<Prepared>, Vec<Bound>),
    Arrays(Arc<Prepared>, Vec<Column>),
}

impl Later {
    async fn run(&self, client: &Client) -> Result<()> {
        let (statement, values): (_, Vec<&(dyn PgToSql + Sync)>) = match self {
            Later::Values(statement, values) => (statement, values.iter().map(sent).collect()),
            Later::Arrays(statement, columns) => (statement, columns.iter().map(sent).collect()),
        };
        client.execute_raw(&statement.made, values).await?;
        Ok(())
    }
}

fn silent() -> Error {
    Error::Away("it does not answer".into())
}

fn sent<T: PgToSql + Sync>(value: &T) -> &(dyn PgToSql + Sync) {
    value
}

/// A statement that the server knows, and its text there.
pub(crate) struct Prepared {
    made: Statement,
    text: String,
}

/// Runs all, begun in their order: a statement is sent when its future is polled first.
async fn in_one_go<T>(
    all: impl Iterator<Item = impl Future<Output = Result<T>>>,
) -> Result<Vec<T>> {
    let mut all: Vec<_> = all.map(|one| Box::pin(maybe_done(one))).collect();
    poll_fn(|task| {
        for one in &mut all {
            let _ = one.as_mut().poll(task);
        }
        Poll::Ready(())
    })
    .await;
    let (mut told, mut failed) = (Vec::with_capacity(all.len()), None);
    for mut one in all {
        one.as_mut().await;
        match one.as_mut().take_output() {
            Some(Err(error)) => failed = failed.or(Some(error)),
            output => told.extend(output.and_then(Result::ok)),
        }
    }
    // The first failure is the cause of those after it.
    failed.map_or(Ok(told), Err)
}

/// A place among the statements that wait.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    sent: u64,
    waiting: usize,
}

pub(crate) struct Session {
    client: Client,
    driver: Driver,
    statements: RefCell<HashMap<String, Arc<Prepared>>>,
    waiting: RefCell<Vec<Later>>,
    /// Times that what waited was sent.
    sent: Cell<u64>,
    /// Cursors that were opened, for their names.
    cursors: Cell<u32>,
    /// Another transaction was in the way of this one.
    stumbled: Cell<bool>,
    patience: Patience,
    /// The server said nothing for too long: what it says now belongs to nobody.
    given_up: Cell<bool>,
}

impl Session {
    /// Connects; with `io` the session may be used on threads that run other tasks too, without it
    /// only on a thread of its owner.
    pub(crate) fn connect(
        (config, tls): (&Config, &Tls),
        io: Option<Arc<Io>>,
        patience: Patience,
    ) -> Result<Session> {
        let driver = match io {
            Some(io) => Driver::Shared(io),
            None => Driver::Own(Moving::start(&mut Builder::new_current_thread())?),
        };
        let connecting = {
            let (config, tls) = (config.clone(), tls.clone());
            async move { config.connect(tls).await }
        };
        let task = driver.moving().spawn(async { timeout(CONNECTED_WITHIN, connecting).await })?;
        let connected = match patience {
            Patience::Bounded => driver.wait_at_most(task).ok_or_else(silent)?,
            Patience::Endless => driver.wait(task),
        };
        let connected = connected.map_err(|error| Error::Away(error.to_string()))?;
        let (client, connection) = connected.map_err(|_| silent())??;
        let _moving = driver.moving().spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended");
            }
        })?;
        Ok(Session {
            client,
            driver,
            statements: RefCell::default(),
            waiting: RefCell::default(),
            sent: Cell::new(0),
            cursors: Cell::new(0),
            stumbled: Cell::new(false),
            patience,
            given_up: Cell::new(false),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.given_up.get()
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.given_up.get() {
            return Err(silent());
        }
        if self.patience == Patience::Endless {
            return self.driver.wait(work);
        }
        self.driver.wait_at_most(work).unwrap_or_else(|| {
            self.given_up.set(true);
            Err(silent())
        })
    }

    /// Prepares the statement, or finds it prepared.
    pub(super) fn statement(&self, sql: &str) -> Result<Arc<Prepared>> {
        self.prepared(sql, || for_postgres(sql))
    }

    fn prepared(&self, key: &str, text: impl FnOnce() -> String) -> Result<Arc<Prepared>> {
        if let Some(known) = self.statements.borrow().get(key) {
            return Ok(known.clone());
        }
        let text = text();
        let made = self.wait(async { Ok(self.client.prepare(&text).await?) })?;
        let made = Arc::new(Prepared { made, text });
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(key.to_owned(), made.clone());
        Ok(made)
    }

    /// The types that the server found for the parameters of `sql`.
    pub(super) fn parameters(&self, sql: &str) -> Result<Vec<Type>> {
        Ok(self.statement(sql)?.made.params().to_vec())
    }

    /// Inserts many rows by the statement that inserts one; travels with the next statement.
    pub(super) fn insert_later(&self, sql: &str, columns: Vec<Column>) -> Result<()> {
        let types = self.parameters(sql)?;
        let names: Vec<&str> = types.iter().map(Type::name).collect();
        let key = format!("arrays of {sql}");
        let statement = self.prepared(&key, || of_arrays(sql, &names).unwrap_or_default())?;
        self.waiting.borrow_mut().push(Later::Arrays(statement, columns));
        Ok(())
    }

    /// Runs with the next statement; its failure is that one's.
    pub(super) fn later(&self, sql: &str, values: Vec<Bound>) -> Result<()> {
        let statement = self.statement(sql)?;
        self.waiting.borrow_mut().push(Later::Values(statement, values));
        Ok(())
    }

    /// Whether another transaction was in the way since this was asked last, whatever became of the
    /// error: the whole transaction may pass when it is run again.
    pub(super) fn take_stumble(&self) -> bool {
        self.stumbled.take()
    }

    fn with_waiting<T>(&self, last: impl Future<Output = Result<T>>) -> Result<T> {
        let told = self.send(last);
        if told.as_ref().is_err_and(Error::is_passing) {
            self.stumbled.set(true);
        }
        told
    }

    /// Sends what waits, then `last`, in one go.
    fn send<T>(&self, last: impl Future<Output = Result<T>>) -> Result<T> {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        self.sent.set(self.sent.get() + 1);
        if waiting.is_empty() {
            return self.wait(last);
        }
        self.wait(async {
            let before = in_one_go(waiting.iter().map(|later| later.run(&self.client)));
            let (mut before, mut last) = (pin!(maybe_done(before)), pin!(maybe_done(last)));
            poll_fn(|task| {
                let _ = before.as_mut().poll(task);
                let _ = last.as_mut().poll(task);
                Poll::Ready(())
            })
            .await;
            before.as_mut().await;
            last.as_mut().await;
            let failed = before.as_mut().take_output().and_then(Result::err);
            let told = last.as_mut().take_output().unwrap_or(Err(Error::NoRow));
            failed.map_or(told, Err)
        })
    }

    pub(super) fn execute(&self, statement: &Prepared, values: &[Bound]) -> Result<usize> {
        let changed = self.with_waiting(async {
            Ok(self.client.execute_raw(&statement.made, values.iter().map(sent)).await?)
        })?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(super) fn query(&self, statement: &Prepared, values: &[Bound]) -> Result<Vec<Row>> {
        let values: Vec<&(dyn PgToSql + Sync)> = values.iter().map(sent).collect();
        self.with_waiting(async { Ok(self.client.query(&statement.made, &values).await?) })
    }

    /// The rows for each of `all`, in their order.
    pub(super) fn query_each(
        &self,
        statement: &Prepared,
        all: Vec<Vec<Bound>>,
    ) -> Result<Vec<Vec<Row>>> {
        self.with_waiting(in_one_go(all.into_iter().map(async |values| {
            let values: Vec<&(dyn PgToSql + Sync)> = values.iter().map(sent).collect();
            Ok(self.client.query(&statement.made, &values).await?)
        })))
    }

    /// Statements without parameters, several with `;` between them.
    pub(crate) fn batch(&self, sql: &str) -> Result<()> {
        self.with_waiting(async { Ok(self.client.batch_execute(sql).await?) })
    }

    /// As `batch`, with the whole numbers of the only row that comes back.
    pub(crate) fn batch_numbers(&self, sql: &str) -> Result<Vec<i64>> {
        let told = self.with_waiting(async { Ok(self.client.simple_query(sql).await?) })?;
        let row = told.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or(Error::NoRow)?;
        let number =
            |index: usize| row.get(index).and_then(|text| text.parse().ok()).ok_or(Error::Form);
        (0..row.len()).map(number).collect()
    }

    /// Where the statements stand that wait from here on.
    pub(super) fn mark(&self) -> Mark {
        Mark { sent: self.sent.get(), waiting: self.waiting.borrow().len() }
    }

    /// What waits since `mark` belongs to work that is taken back. Returns whether none of that
    /// work was sent yet.
    pub(super) fn forget_since(&self, mark: Mark) -> bool {
        let is_whole = self.sent.get() == mark.sent;
        self.waiting.borrow_mut().truncate(if is_whole { mark.waiting } else { 0 });
        is_whole
    }

    /// What waits belongs to a transaction that is rolled back.
    pub(super) fn forget_waiting(&self) {
        self.waiting.borrow_mut().clear();
    }
}

/// Rows of one statement that come in pieces.
pub(crate) struct Cursor<'s> {
    session: &'s Session,
    name: String,
    ended: bool,
}

impl<'s> Cursor<'s> {
    pub(super) fn open(
        session: &'s Session,
        statement: &Prepared,
        values: &[Bound],
    ) -> Result<Cursor<'s>> {
        let number = session.cursors.get();
        session.cursors.set(number.wrapping_add(1));
        let name = format!("rows_{number}");
        let text = format!("DECLARE {name} NO SCROLL CURSOR FOR {}", statement.text);
        let made = session.wait(async { Ok(session.client.prepare(&text).await?) })?;
        session.execute(&Prepared { made, text }, values)?;
        Ok(Cursor { session, name, ended: false })
    }

    /// The next rows; none when they came to their end.
    pub(super) fn fetch(&mut self) -> Result<Vec<Row>> {
        if self.ended {
            return Ok(Vec::new());
        }
        let text = format!("FETCH {PIECE_ROWS} FROM {}", self.name);
        let session = self.session;
        let rows = session.with_waiting(async { Ok(session.client.query(&text, &[]).await?) })?;
        self.ended = rows.len() < PIECE_ROWS;
        Ok(rows)
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        // In a transaction that failed there is nothing to close.
        if let Err(error) = self.session.batch(&format!("CLOSE {}", self.name)) {
            tracing::debug!(%error, "a cursor ended with its transaction");
        }
    }
}
