//! One body of SQL over two drivers: SQLite inside the process, PostgreSQL beside it.
//!
//! A statement is written once, with `?1` for its parameters. Values travel in SQLite's vocabulary
//! (integer, text, blob, null); what PostgreSQL types more closely (booleans, exact numbers) is
//! converted here. What only PostgreSQL shall see stands in `/*pg … pg*/`. Nothing here knows a
//! table, and rows come back whole: who walks a large table asks for it in pieces.

mod bulk;
mod connection;
mod error;
mod numeric;
mod parameters;
mod session;
mod statement;
mod text;
mod tls;
mod wire;

pub(crate) use bulk::Bulk;
pub(crate) use connection::Connection;
pub use error::Error;
pub(crate) use error::{OptionalExtension, Result};
pub(crate) use parameters::{Params, params_from_iter};
pub(crate) use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput};
pub(crate) use rusqlite::types::{Null, Value, ValueRef};
pub(crate) use session::{Io, Patience, Session};
pub(crate) use statement::{Row, Rows};
pub(crate) use text::schema_for_postgres;
pub(crate) use tls::Tls;

/// Parameters of different types, in the order of their numbers.
macro_rules! params {
    ($($param:expr),* $(,)?) => {
        &[$(&$param as &dyn $crate::sql::ToSql),*] as &[&dyn $crate::sql::ToSql]
    };
}
pub(crate) use params;
