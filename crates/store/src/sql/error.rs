//! What a statement can fail with, whichever driver ran it.

use std::error::Error as _;

use rusqlite::types::FromSqlError;
use tokio_postgres::error::SqlState;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no row")]
    NoRow,
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    #[error("{}", told(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A column does not hold what the statement's reader expects.
    #[error("a column holds another form than it should")]
    Form,
    #[error(transparent)]
    Value(#[from] FromSqlError),
    /// A value, or what is asked of the connection, does not fit this database.
    #[error("{0}")]
    Unfit(String),
    #[error("another transaction was in the way")]
    InTheWay,
    /// The server cannot be reached, or the connection to it ended.
    #[error("the database server cannot be reached: {0}")]
    Away(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        match error {
            rusqlite::Error::QueryReturnedNoRows => Error::NoRow,
            other => Error::Sqlite(other),
        }
    }
}

/// The driver's own text leaves out what the server said.
fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

impl Error {
    /// Whether a unique index refused the statement.
    pub fn is_conflict(&self) -> bool {
        match self {
            Error::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => {
                failure.code == rusqlite::ErrorCode::ConstraintViolation
            }
            Error::Postgres(error) => error.code() == Some(&SqlState::UNIQUE_VIOLATION),
            _ => false,
        }
    }

    /// Whether what is stored is at fault, and not the attempt to read it.
    pub fn is_unreadable(&self) -> bool {
        match self {
            Error::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => {
                let codes =
                    [rusqlite::ErrorCode::DatabaseCorrupt, rusqlite::ErrorCode::NotADatabase];
                codes.contains(&failure.code)
            }
            Error::Sqlite(_) | Error::Form | Error::Value(_) | Error::NoRow => true,
            Error::Postgres(_) | Error::InTheWay | Error::Away(_) | Error::Unfit(_) => false,
        }
    }

    /// Whether the same transaction may pass when it is run again at once.
    pub fn is_passing(&self) -> bool {
        let passing = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        match self {
            Error::InTheWay => true,
            Error::Postgres(error) => error.code().is_some_and(|code| passing.contains(code)),
            _ => false,
        }
    }

    /// Whether the connection is gone, so that nobody knows what became of its last statement.
    pub fn is_lost(&self) -> bool {
        match self {
            Error::Away(_) => true,
            Error::Postgres(error) => {
                error.is_closed() || is_broken(error) || error.code().is_some_and(ends_session)
            }
            _ => false,
        }
    }
}

/// A failure of the socket. One of a value or a column is the statement's own, and stays.
fn is_broken(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

/// Classes 08 (connection), 57P (an operator stopped it) and the time-outs that end a session.
fn ends_session(code: &SqlState) -> bool {
    let code = code.code();
    code.starts_with("08") || code.starts_with("57P") || matches!(code, "25P03" | "25006" | "53300")
}

/// A row that may not be there.
pub(crate) trait OptionalExtension<T> {
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoRow) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
