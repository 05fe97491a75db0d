//! What can go wrong below the rules.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused a statement or cannot be written; nothing was kept.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// A row does not have the form that we wrote: the file was changed from outside.
    #[error("row {row} of {table} cannot be read: {problem}")]
    Corrupt { table: &'static str, row: i64, problem: String },
    /// The writer has stopped or its queue is full.
    #[error("the writer takes no more work now")]
    Unavailable,
    /// The file cannot be opened or is of a newer version.
    #[error("{0}")]
    Open(String),
}

impl From<rusqlite::types::FromSqlError> for Error {
    fn from(error: rusqlite::types::FromSqlError) -> Error {
        Error::Database(error.into())
    }
}

impl Error {
    pub fn corrupt(table: &'static str, row: i64, problem: impl std::fmt::Display) -> Error {
        Error::Corrupt { table, row, problem: problem.to_string() }
    }

    /// Whether a unique index refused the statement.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Database(rusqlite::Error::SqliteFailure(failure, _))
            if failure.code == rusqlite::ErrorCode::ConstraintViolation)
    }
}
