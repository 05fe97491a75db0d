//! A statement, and the rows that it gives back.

use std::sync::Arc;

use rusqlite::types::{FromSql, ValueRef};
use tokio_postgres::Row as PgRow;

use super::Params;
use super::error::{Error, OptionalExtension as _, Result};
use super::session::{Cursor, Prepared, Session};
use super::wire::{Bound, Cell};

pub(crate) enum Statement<'c> {
    Sqlite(rusqlite::CachedStatement<'c>),
    Postgres(&'c Session, Arc<Prepared>),
}

/// One row, for as long as its reader looks at it.
#[derive(Clone, Copy)]
pub(crate) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r PgRow),
}

pub(crate) enum Rows<'s> {
    Sqlite(rusqlite::Rows<'s>),
    Postgres {
        rows: Vec<PgRow>,
        next: usize,
    },
    /// Rows that come in pieces, as they are read.
    Pieces {
        cursor: Cursor<'s>,
        rows: Vec<PgRow>,
        next: usize,
    },
}

/// Rows on their way through a closure.
pub(crate) struct Mapped<'s, F> {
    rows: Rows<'s>,
    map: F,
}

fn bound(params: impl Params) -> Result<Vec<Bound>> {
    params.bind(|values| values.iter().map(|value| Bound::of(*value)).collect())
}

impl Statement<'_> {
    /// Returns how many rows it changed.
    pub(crate) fn execute(&mut self, params: impl Params) -> Result<usize> {
        match self {
            Statement::Sqlite(statement) => Ok(params.bind(|values| statement.execute(values))?),
            Statement::Postgres(session, statement) => session.execute(statement, &bound(params)?),
        }
    }

    pub(crate) fn query(&mut self, params: impl Params) -> Result<Rows<'_>> {
        match self {
            Statement::Sqlite(statement) => {
                Ok(Rows::Sqlite(params.bind(move |values| statement.query(values))?))
            }
            Statement::Postgres(session, statement) => {
                Ok(Rows::Postgres { rows: session.query(statement, &bound(params)?)?, next: 0 })
            }
        }
    }

    /// As `query`, for more rows than should be in memory at once; inside a transaction.
    pub(crate) fn query_in_pieces(&mut self, params: impl Params) -> Result<Rows<'_>> {
        let Statement::Postgres(session, statement) = self else { return self.query(params) };
        let cursor = Cursor::open(session, statement, &bound(params)?)?;
        Ok(Rows::Pieces { cursor, rows: Vec::new(), next: 0 })
    }

    /// The first row; `Error::NoRow` where there is none.
    pub(crate) fn query_row<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut rows = self.query(params)?;
        let row = rows.next()?.ok_or(Error::NoRow)?;
        read(&row)
    }

    /// The first row for each of `all`, in their order, where there is one. On PostgreSQL they are
    /// asked for in one go.
    pub(crate) fn first_of_each<P: Params, T>(
        &mut self,
        all: impl IntoIterator<Item = P>,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<Option<T>>> {
        let Statement::Postgres(session, statement) = self else {
            let one = |params| self.query_row(params, &mut read).optional();
            return all.into_iter().map(one).collect();
        };
        let all = all.into_iter().map(bound).collect::<Result<Vec<_>>>()?;
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let found = session.query_each(statement, all)?;
        let first = |rows: &Vec<PgRow>| rows.first().map(|row| read(&Row::Postgres(row)));
        found.iter().map(first).map(Option::transpose).collect()
    }

    pub(crate) fn query_map<T, F>(&mut self, params: impl Params, map: F) -> Result<Mapped<'_, F>>
    where
        F: FnMut(&Row<'_>) -> Result<T>,
    {
        Ok(Mapped { rows: self.query(params)?, map })
    }
}

impl Rows<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>> {
        match self {
            Rows::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
            Rows::Postgres { rows, next } => {
                *next += 1;
                Ok(rows.get(*next - 1).map(Row::Postgres))
            }
            Rows::Pieces { cursor, rows, next } => {
                if *next == rows.len() {
                    (*rows, *next) = (cursor.fetch()?, 0);
                }
                *next += 1;
                Ok(rows.get(*next - 1).map(Row::Postgres))
            }
        }
    }
}

impl<T, F: FnMut(&Row<'_>) -> Result<T>> Iterator for Mapped<'_, F> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let row = self.rows.next().transpose()?;
        Some(row.and_then(|row| (self.map)(&row)))
    }
}

impl Row<'_> {
    pub(crate) fn get<T: FromSql>(&self, index: usize) -> Result<T> {
        match self {
            Row::Sqlite(row) => Ok(row.get(index)?),
            Row::Postgres(row) => row.try_get::<_, Cell<'_>>(index)?.read(),
        }
    }

    /// Text or bytes as they lie in the row.
    pub(crate) fn get_ref(&self, index: usize) -> Result<ValueRef<'_>> {
        match self {
            Row::Sqlite(row) => Ok(row.get_ref(index)?),
            Row::Postgres(row) => match row.try_get::<_, Cell<'_>>(index)? {
                Cell::There(value) => Ok(value),
                Cell::Wide(_) => Err(Error::Form),
            },
        }
    }
}
