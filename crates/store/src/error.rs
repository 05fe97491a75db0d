//! What can go wrong below the rules.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused a statement or cannot be written; nothing was kept.
    #[error("the database failed: {0}")]
    Database(#[from] crate::sql::Error),
    /// A row does not have the form that we wrote: the file was changed from outside.
    #[error("row {row} of {table} cannot be read: {problem}")]
    Corrupt { table: &'static str, row: i64, problem: String },
    /// The writer has stopped or its queue is full.
    #[error("the writer takes no more work now")]
    Unavailable,
    /// Another node took over what this one had, because it was silent for too long.
    #[error("this node was given up by the others; it must start again")]
    Ended,
    /// The file cannot be opened or is of a newer version.
    #[error("{0}")]
    Open(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        Error::Database(error.into())
    }
}

impl From<crate::sql::FromSqlError> for Error {
    fn from(error: crate::sql::FromSqlError) -> Error {
        Error::Database(error.into())
    }
}

impl Error {
    pub fn corrupt(table: &'static str, row: i64, problem: impl std::fmt::Display) -> Error {
        Error::Corrupt { table, row, problem: problem.to_string() }
    }

    /// Whether the connection is gone, so that nobody knows what became of its last statement.
    pub fn is_lost(&self) -> bool {
        matches!(self, Error::Database(error) if error.is_lost())
    }

    /// Whether the same transaction may pass when it is run again at once.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Error::Database(error) if error.is_passing())
    }

    /// Whether a unique index refused the statement.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Database(error) if error.is_conflict())
    }
}
