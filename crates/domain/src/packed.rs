//! Numbers, texts and ids in few bytes, for what a row keeps in one BLOB instead of in columns.
//!
//! Every number is a zigzag LEB128 integer of up to 128 bits; what may be absent is preceded by one
//! byte. Readers answer `None` where the bytes end or are not what was written. What the bytes say
//! is known only to whoever packs them.

use crate::id::Ulid;

const ID_BYTES: usize = 16;

pub fn push(bytes: &mut Vec<u8>, number: i128) {
    match i64::try_from(number) {
        Ok(small) => push_small(bytes, ((small << 1) ^ (small >> 63)).cast_unsigned()),
        Err(_) => push_large(bytes, ((number << 1) ^ (number >> 127)).cast_unsigned()),
    }
}

fn push_small(bytes: &mut Vec<u8>, mut rest: u64) {
    while rest > 0x7F {
        bytes.push(low_bits(rest.to_le_bytes()[0]) | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

fn push_large(bytes: &mut Vec<u8>, mut rest: u128) {
    while rest > 0x7F {
        bytes.push(low_bits(rest.to_le_bytes()[0]) | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

const fn low_bits(byte: u8) -> u8 {
    byte & 0x7F
}

pub fn pull(rest: &mut &[u8]) -> Option<i128> {
    let mut value: u128 = 0;
    let mut shift = 0;
    loop {
        let byte = pull_byte(rest)?;
        value |= u128::from(low_bits(byte)).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
        shift += 7;
    }
}

pub fn small(number: i128) -> Option<i64> {
    i64::try_from(number).ok()
}

pub fn push_count(bytes: &mut Vec<u8>, count: u64) {
    push(bytes, i128::from(count));
}

pub fn pull_count(rest: &mut &[u8]) -> Option<u64> {
    u64::try_from(pull(rest)?).ok()
}

pub fn pull_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, tail) = rest.split_first()?;
    *rest = tail;
    Some(byte)
}

pub fn pull_flag(rest: &mut &[u8]) -> Option<bool> {
    Some(pull_byte(rest)? != 0)
}

pub fn push_slice(bytes: &mut Vec<u8>, part: &[u8]) {
    push(bytes, part.len() as i128);
    bytes.extend_from_slice(part);
}

pub fn pull_slice<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(pull(rest)?).ok()?;
    let (part, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(part)
}

pub fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_slice(bytes, text.as_bytes());
}

pub fn pull_text(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(pull_slice(rest)?.to_vec()).ok()
}

pub fn push_id(bytes: &mut Vec<u8>, id: Ulid) {
    bytes.extend_from_slice(&id.to_bytes());
}

pub fn pull_id(rest: &mut &[u8]) -> Option<Ulid> {
    let (id, tail) = rest.split_at_checked(ID_BYTES)?;
    *rest = tail;
    Ulid::from_slice(id)
}

/// What may be absent; `write` appends it where it is there.
pub fn push_maybe<T>(bytes: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(bytes, value);
    }
}

/// `Some(None)` is a value that is absent.
pub fn pull_maybe<'b, T>(
    rest: &mut &'b [u8],
    read: impl FnOnce(&mut &'b [u8]) -> Option<T>,
) -> Option<Option<T>> {
    if pull_flag(rest)? { read(rest).map(Some) } else { Some(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            numbers in prop::collection::vec(any::<i128>(), 0..20),
            counts in prop::collection::vec(any::<u64>(), 0..20),
            texts in prop::collection::vec(prop::option::of(".{0,40}"), 0..8),
            id in any::<u128>(),
        ) {
            let mut bytes = Vec::new();
            for number in &numbers {
                push(&mut bytes, *number);
            }
            for count in &counts {
                push_count(&mut bytes, *count);
            }
            for text in &texts {
                push_maybe(&mut bytes, text.as_deref(), push_text);
            }
            push_id(&mut bytes, Ulid(id));
            let mut rest = bytes.as_slice();
            for number in numbers {
                prop_assert_eq!(pull(&mut rest), Some(number));
            }
            for count in counts {
                prop_assert_eq!(pull_count(&mut rest), Some(count));
            }
            for text in texts {
                prop_assert_eq!(pull_maybe(&mut rest, pull_text), Some(text));
            }
            prop_assert_eq!(pull_id(&mut rest), Some(Ulid(id)));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(pull(&mut rest), None);
        }

        #[test]
        fn bytes_that_nobody_wrote_are_no_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut rest = bytes.as_slice();
            while pull_maybe(&mut rest, pull_slice).is_some() && pull(&mut rest).is_some() {}
        }
    }
}
