//! Values in the binary form of PostgreSQL, by the type that the server gives a place.
//!
//! Whole numbers go into integers, booleans and NUMERIC; amounts of more than 64 bits travel as
//! the 16 bytes that `value::Money` makes of them.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use rusqlite::types::{FromSql, ToSqlOutput, Value, ValueRef};
use tokio_postgres::types::{self as pg, IsNull, Kind, Type};

use super::numeric;
use crate::value::{wide_bytes, wide_number};

type Failure = Box<dyn StdError + Sync + Send>;

/// A parameter on its way to the server.
#[derive(Debug)]
pub(super) struct Bound(pub(super) Value);

impl Bound {
    pub(super) fn of(value: &dyn rusqlite::ToSql) -> Result<Bound, super::Error> {
        Ok(Bound(match value.to_sql()? {
            ToSqlOutput::Owned(value) => value,
            ToSqlOutput::Borrowed(value) => value.try_into()?,
            _ => return Err(super::Error::Sqlite(rusqlite::Error::InvalidQuery)),
        }))
    }
}

impl pg::ToSql for Bound {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        if matches!(self.0, Value::Null) {
            return Ok(IsNull::Yes);
        }
        let mut bytes = Vec::with_capacity(16);
        write(&self.0, kind, &mut bytes)?;
        out.put_slice(&bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    pg::to_sql_checked!();
}

/// Appends the bytes of a value that is not null.
fn write(value: &Value, kind: &Type, out: &mut Vec<u8>) -> Result<(), Failure> {
    match (value, kind) {
        (Value::Integer(number), &Type::INT8) => out.extend_from_slice(&number.to_be_bytes()),
        (Value::Integer(number), &Type::INT4) => {
            out.extend_from_slice(&i32::try_from(*number)?.to_be_bytes());
        }
        (Value::Integer(number), &Type::BOOL) => out.push(u8::from(*number != 0)),
        (Value::Integer(number), &Type::NUMERIC) => numeric::write(i128::from(*number), out),
        (Value::Blob(bytes), &Type::NUMERIC) => {
            let number = wide_number(bytes).ok_or("bytes that are no amount")?;
            numeric::write(number, out);
        }
        (Value::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::NAME | &Type::UNKNOWN) => {
            out.extend_from_slice(text.as_bytes());
        }
        (Value::Blob(bytes), &Type::BYTEA) => out.extend_from_slice(bytes),
        _ => return Err(format!("{:?} cannot be sent as {kind}", value.data_type()).into()),
    }
    Ok(())
}

/// One parameter of many rows, as an array.
#[derive(Debug)]
pub(crate) struct Column {
    element: Type,
    bytes: Vec<u8>,
    count: i32,
    has_null: bool,
}

impl Column {
    pub(super) fn new(element: Type) -> Column {
        Column { element, bytes: Vec::new(), count: 0, has_null: false }
    }

    pub(super) fn push(&mut self, value: &dyn rusqlite::ToSql) -> Result<(), super::Error> {
        let Bound(value) = Bound::of(value)?;
        self.count += 1;
        if matches!(value, Value::Null) {
            self.has_null = true;
            self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let unfit = |failure: Failure| super::Error::Unfit(failure.to_string());
        write(&value, &self.element, &mut self.bytes).map_err(unfit)?;
        let length = i32::try_from(self.bytes.len() - at - 4).unwrap_or(i32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

impl pg::ToSql for Column {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        // Dimensions, whether there are nulls, the element's type, the length, the first index.
        out.put_i32(1);
        out.put_i32(i32::from(self.has_null));
        out.put_u32(self.element.oid());
        out.put_i32(self.count);
        out.put_i32(1);
        out.put_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(kind.kind(), Kind::Array(_))
    }

    pg::to_sql_checked!();
}

/// A column of a row that came back.
pub(super) enum Cell<'r> {
    There(ValueRef<'r>),
    /// An amount that does not fit 64 bits.
    Wide([u8; 16]),
}

impl Cell<'_> {
    pub(super) fn value(&self) -> ValueRef<'_> {
        match self {
            Cell::There(value) => *value,
            Cell::Wide(bytes) => ValueRef::Blob(bytes),
        }
    }

    pub(super) fn read<T: FromSql>(&self) -> Result<T, super::Error> {
        Ok(T::column_result(self.value())?)
    }
}

impl<'r> pg::FromSql<'r> for Cell<'r> {
    fn from_sql(kind: &Type, raw: &'r [u8]) -> Result<Cell<'r>, Failure> {
        Ok(Cell::There(match *kind {
            Type::INT8 => ValueRef::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => ValueRef::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => ValueRef::Integer(i64::from(raw != [0])),
            Type::BYTEA => ValueRef::Blob(raw),
            Type::NUMERIC => {
                let number = numeric::read(raw).ok_or("a number that is not whole")?;
                match i64::try_from(number) {
                    Ok(number) => ValueRef::Integer(number),
                    Err(_) => return Ok(Cell::Wide(wide_bytes(number))),
                }
            }
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => ValueRef::Text(raw),
            _ => return Err(format!("a column of type {kind}").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Cell<'r>, Failure> {
        Ok(Cell::There(ValueRef::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
