//! A connection to either database.

use std::ops::Deref;

use super::Params;
use super::bulk::Bulk;
use super::error::{Error, Result};
use super::session::{Mark, Session};
use super::statement::{Row, Statement};
use super::wire::Bound;

pub(crate) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(Box<Session>),
}

impl Connection {
    pub(crate) fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        Ok(match self {
            Connection::Sqlite(connection) => Statement::Sqlite(connection.prepare_cached(sql)?),
            Connection::Postgres(session) => Statement::Postgres(session, session.statement(sql)?),
        })
    }

    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.prepare_cached(sql)?.execute(params)
    }

    pub(crate) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.prepare_cached(sql)?.query_row(params, read)
    }

    pub(crate) fn execute_batch(&self, sql: &str) -> Result<()> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Connection::Postgres(session) => session.batch(sql),
        }
    }

    /// Many rows by the statement that inserts one.
    pub(crate) fn bulk<'c>(&'c self, sql: &'c str) -> Result<Bulk<'c>> {
        Ok(match self {
            Connection::Sqlite(_) => Bulk::OneByOne(self.prepare_cached(sql)?),
            Connection::Postgres(session) => Bulk::arrays(session, sql),
        })
    }

    /// A statement that nobody reads the answer of. On PostgreSQL it travels with the next one.
    pub(crate) fn execute_later(&self, sql: &str, params: impl Params) -> Result<()> {
        match self {
            Connection::Sqlite(_) => self.execute(sql, params).map(|_| ()),
            Connection::Postgres(session) => {
                let bound = params.bind(|values| {
                    values.iter().map(|value| Bound::of(*value)).collect::<Result<Vec<_>>>()
                })?;
                session.later(sql, bound)
            }
        }
    }

    /// Begins work inside a transaction that may be taken back.
    pub(crate) fn savepoint(&self) -> Result<Savepoint> {
        let mark = self.postgres().map(Session::mark);
        self.execute_later("SAVEPOINT job", [])?;
        Ok(Savepoint(mark))
    }

    pub(crate) fn release(&self, _: Savepoint) -> Result<()> {
        self.execute_batch("RELEASE SAVEPOINT job")
    }

    /// Takes the work since the savepoint back.
    pub(crate) fn take_back(&self, Savepoint(mark): Savepoint) -> Result<()> {
        if let (Some(session), Some(mark)) = (self.postgres(), mark)
            && session.forget_since(mark)
        {
            return Ok(());
        }
        self.execute_batch("ROLLBACK TO SAVEPOINT job; RELEASE SAVEPOINT job")
    }

    /// What was to travel with the next statement belongs to a transaction that is rolled back.
    pub(crate) fn forget_later(&self) {
        if let Connection::Postgres(session) = self {
            session.forget_waiting();
        }
    }

    /// A transaction that ends with `commit`, or is rolled back.
    pub(crate) fn unchecked_transaction(&self) -> Result<Transaction<'_>> {
        self.transaction("BEGIN")
    }

    /// As `unchecked_transaction`, begun by this statement.
    pub(crate) fn transaction(&self, begin: &str) -> Result<Transaction<'_>> {
        self.execute_batch(begin)?;
        Ok(Transaction { connection: self, open: true })
    }

    /// A transaction that only reads, as what was committed when it began.
    pub(crate) fn snapshot(&self) -> Result<Transaction<'_>> {
        self.begin_snapshot()?;
        Ok(Transaction { connection: self, open: true })
    }

    /// As `snapshot`, for as long as the connection lives.
    pub(crate) fn begin_snapshot(&self) -> Result<()> {
        // A pooler may give each transaction another session, so nothing is set on sessions.
        self.execute_batch(match self {
            Connection::Sqlite(_) => "BEGIN",
            Connection::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        })
    }

    /// Fails where another transaction was in the way of a statement, and the statement's caller
    /// kept that to itself.
    pub(crate) fn stumbled(&self) -> Result<()> {
        match self.postgres() {
            Some(session) if session.take_stumble() => Err(Error::InTheWay),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_usable(&self) -> bool {
        match self {
            Connection::Sqlite(_) => true,
            Connection::Postgres(session) => !session.is_closed(),
        }
    }

    /// What only the embedded database has: its file, its log, its pragmas.
    pub(crate) fn sqlite(&self) -> Result<&rusqlite::Connection> {
        match self {
            Connection::Sqlite(connection) => Ok(connection),
            Connection::Postgres(_) => {
                Err(Error::Unfit("only the embedded database has this".into()))
            }
        }
    }

    pub(crate) fn postgres(&self) -> Option<&Session> {
        match self {
            Connection::Sqlite(_) => None,
            Connection::Postgres(session) => Some(session),
        }
    }
}

/// Where work inside a transaction began; one at a time.
pub(crate) struct Savepoint(Option<Mark>);

pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    open: bool,
}

impl Transaction<'_> {
    pub(crate) fn commit(mut self) -> Result<()> {
        self.open = false;
        self.connection.execute_batch("COMMIT")
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::debug!(%error, "a transaction could not be rolled back");
        }
    }
}
