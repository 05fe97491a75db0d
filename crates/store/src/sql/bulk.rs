//! Many rows by the statement that inserts one: a cached statement in a loop on SQLite, arrays in
//! one statement on PostgreSQL.
//!
//! On PostgreSQL the rows travel with the next statement, and no two of them may meet in an
//! `ON CONFLICT … DO UPDATE`.

use super::Params;
use super::error::Result;
use super::session::Session;
use super::statement::Statement;
use super::wire::Column;

pub(crate) enum Bulk<'c> {
    OneByOne(Statement<'c>),
    Arrays { session: &'c Session, sql: &'c str, columns: Vec<Column>, rows: usize },
}

impl<'c> Bulk<'c> {
    pub(super) fn arrays(session: &'c Session, sql: &'c str) -> Bulk<'c> {
        Bulk::Arrays { session, sql, columns: Vec::new(), rows: 0 }
    }

    pub(crate) fn push(&mut self, params: impl Params) -> Result<()> {
        match self {
            Bulk::OneByOne(statement) => statement.execute(params).map(|_| ()),
            Bulk::Arrays { session, sql, columns, rows } => {
                if *rows == 0 {
                    let types = session.parameters(sql)?;
                    *columns = types.into_iter().map(Column::new).collect();
                }
                *rows += 1;
                params.bind(|values| {
                    let mut pairs = columns.iter_mut().zip(values);
                    pairs.try_for_each(|(column, value)| column.push(*value))
                })
            }
        }
    }

    /// Sends what was pushed; without rows there is nothing to send.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Bulk::Arrays { session, sql, columns, rows } if rows > 0 => {
                session.insert_later(sql, columns)
            }
            _ => Ok(()),
        }
    }
}
