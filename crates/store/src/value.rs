//! Our types as the databases store them.
//!
//! Money is whole nanos. In SQLite they are an INTEGER where they fit 64 bits (all but absurd
//! sums), else a BLOB of 16 bytes, big-endian with the sign bit flipped, so that every digit and
//! the order are kept; in PostgreSQL they are a NUMERIC. Ids are 16 bytes in creation order.

use crate::sql::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use domain::amount::Amount;
use domain::id::Ulid;
use domain::ledger::entry::Taken;
use domain::place::Place;
use domain::time::Timestamp;

/// An amount as a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money(pub Amount);

const SIGN: u128 = 1 << 127;

impl ToSql for Money {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let nanos = self.0.nanos();
        Ok(match i64::try_from(nanos) {
            Ok(small) => small.into(),
            Err(_) => wide_bytes(nanos).to_vec().into(),
        })
    }
}

impl FromSql for Money {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Money> {
        match value {
            ValueRef::Integer(nanos) => Ok(Money(Amount::from_nanos(i128::from(nanos)))),
            ValueRef::Blob(bytes) => {
                let nanos = wide_number(bytes).ok_or(FromSqlError::InvalidType)?;
                Ok(Money(Amount::from_nanos(nanos)))
            }
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// A number of up to 128 bits as bytes in its order.
pub(crate) fn wide_bytes(number: i128) -> [u8; 16] {
    (number.cast_unsigned() ^ SIGN).to_be_bytes()
}

pub(crate) fn wide_number(bytes: &[u8]) -> Option<i128> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    Some((u128::from_be_bytes(bytes) ^ SIGN).cast_signed())
}

/// An id's 16 bytes as a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub Ulid);

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_bytes().to_vec().into())
    }
}

impl FromSql for Key {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Key> {
        Ulid::from_slice(value.as_blob()?).map(Key).ok_or(FromSqlError::InvalidType)
    }
}

/// A time as a column: milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Timestamp);

impl ToSql for Millis {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.millis().into())
    }
}

impl FromSql for Millis {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Millis> {
        Ok(Millis(Timestamp::from_millis(value.as_i64()?)))
    }
}

/// Unsigned numbers of ours never reach 2⁶³.
pub fn signed(number: u64) -> i64 {
    number.cast_signed()
}

pub fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

const TAKEN_BYTES: usize = 32;

/// The lots that a debit took from: 8 bytes place, 8 bytes time, 16 bytes credits each.
pub fn write_taken(taken: &[Taken]) -> Option<Vec<u8>> {
    if taken.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(taken.len() * TAKEN_BYTES);
    for part in taken {
        bytes.extend_from_slice(&part.lot.raw().to_be_bytes());
        bytes.extend_from_slice(&part.lot_at.millis().to_be_bytes());
        bytes.extend_from_slice(&part.credits.nanos().to_be_bytes());
    }
    Some(bytes)
}

pub fn read_taken(bytes: Option<&[u8]>) -> Vec<Taken> {
    let parts = bytes.unwrap_or_default().chunks_exact(TAKEN_BYTES);
    let number = |part: &[u8]| part.try_into().map(i64::from_be_bytes).unwrap_or_default();
    parts
        .map(|part| Taken {
            lot: Place::from_raw(number(&part[..8])),
            lot_at: Timestamp::from_millis(number(&part[8..16])),
            credits: Amount::from_nanos(
                part[16..].try_into().map(i128::from_be_bytes).unwrap_or_default(),
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_keeps_every_digit_on_both_sides_of_64_bits() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let texts = [
            "0",
            "-0.000000001",
            "9223372036.854775807",
            "9223372036.854775808",
            "999999999999999999.999999999",
            "-999999999999999999.999999999",
        ];
        for text in texts {
            let money = Money(Amount::parse(text).unwrap());
            let back: Money = connection.query_row("SELECT ?1", [money], |row| row.get(0)).unwrap();
            assert_eq!(back, money, "{text}");
        }
    }

    #[test]
    fn taken_lots_survive_the_round_trip() {
        let taken = [Taken {
            lot: Place::from_raw(77),
            lot_at: Timestamp::from_millis(5),
            credits: Amount::units(-3),
        }];
        assert_eq!(read_taken(write_taken(&taken).as_deref()), taken);
        assert_eq!(write_taken(&[]), None);
    }
}
