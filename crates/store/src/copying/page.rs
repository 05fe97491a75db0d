//! Rows of a table in pieces, and the checksum of rows. A piece has a bounded number of bytes,
//! whatever a row has.

use sha2::{Digest as _, Sha256};

use super::table::Table;
use crate::error::Error;
use crate::sql::{Connection, Value, params_from_iter};

pub(super) type Row = Vec<Value>;

const ROWS_FIRST: usize = 64;
const ROWS_MAX: usize = 8_192;
/// What a piece should have; the rows of one tell how many the next may.
const BYTES_AIM: usize = 4 << 20;

pub(super) struct Pages<'t> {
    table: &'t Table,
    after: Option<Row>,
    rows: usize,
}

impl<'t> Pages<'t> {
    pub(super) fn after(table: &'t Table, after: Option<Row>) -> Pages<'t> {
        Pages { table, after, rows: ROWS_FIRST }
    }

    pub(super) fn rows_of_next(&self) -> usize {
        self.rows
    }

    /// The next rows; none at the end.
    pub(super) fn next(&mut self, connection: &Connection) -> Result<Vec<Row>, Error> {
        let rows = self.next_of(connection, self.rows)?;
        let bytes: usize = rows.iter().flatten().map(|value| bytes_of(value).1.len() + 8).sum();
        let fitting = rows.len().saturating_mul(BYTES_AIM) / bytes.max(1);
        self.rows = fitting.clamp(1, ROWS_MAX).min(self.rows * 4);
        Ok(rows)
    }

    /// As `next`, at most so many.
    pub(super) fn next_of(
        &mut self,
        connection: &Connection,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut select = connection.prepare_cached(&self.table.page(self.after.is_some()))?;
        let limit = Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX));
        let bound = self.after.iter().flatten().cloned().chain([limit]);
        let width = self.table.columns.len();
        let read = |row: &crate::sql::Row<'_>| (0..width).map(|at| row.get(at)).collect();
        let rows = select.query_map(params_from_iter(bound), read)?;
        let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        if let Some(last) = rows.last() {
            self.after = Some(self.table.key_of(last));
        }
        Ok(rows)
    }
}

/// A value's kind, and the bytes of one that has a length.
fn bytes_of(value: &Value) -> (u8, &[u8]) {
    match value {
        Value::Null => (0, &[]),
        Value::Integer(_) => (1, &[]),
        Value::Text(text) => (2, text.as_bytes()),
        Value::Blob(bytes) => (3, bytes),
        Value::Real(_) => (4, &[]),
    }
}

/// Adds rows to a checksum, each value with its kind and its length.
pub(super) fn digest(hasher: &mut Sha256, rows: &[Row]) -> Result<(), Error> {
    for value in rows.iter().flatten() {
        let (kind, bytes) = bytes_of(value);
        hasher.update([kind]);
        match value {
            Value::Integer(number) => hasher.update(number.to_be_bytes()),
            Value::Real(_) => return Err(Error::Open("a row holds a number of no kind".into())),
            _ => {
                hasher.update((bytes.len() as u64).to_be_bytes());
                hasher.update(bytes);
            }
        }
    }
    Ok(())
}
