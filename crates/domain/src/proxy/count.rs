//! Counting text: bytes out of JSON without building it, and tokens out of bytes (paywalls 17.1).
//!
//! No tokenizer is linked. A token has at least one byte, and text has about three bytes a token or
//! more; the margin covers what is denser.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

use crate::json::scan::string_end;

/// Bytes of text that count as one token …
const BYTES_PER_TOKEN: u64 = 3;
/// … and a fourth more, because no family has an exact tokenizer here.
const MARGIN_PART: u64 = 4;

/// Tokens that so many bytes of text count as: a third, rounded up, and the margin.
pub fn tokens_of_bytes(bytes: u64) -> u64 {
    with_margin(bytes.div_ceil(BYTES_PER_TOKEN))
}

/// Counted tokens with the margin of families that have no exact tokenizer.
pub fn with_margin(tokens: u64) -> u64 {
    tokens.saturating_add(tokens.div_ceil(MARGIN_PART))
}

/// Bytes of all strings of a JSON value of any shape. Keys, numbers and literals count nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextBytes(pub u64);

/// A string that is borrowed where it has no escapes, also inside an `Option`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    pub fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfString;
        impl<'de> Visitor<'de> for OfString {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(OfString).map(Text)
    }
}

impl TextBytes {
    /// Counts in a JSON text that is known to be well formed.
    pub fn of(json: &str) -> TextBytes {
        let bytes = json.as_bytes();
        let (mut sum, mut at) = (0_u64, 0);
        while let Some(open) = find(bytes, at, |byte| byte == b'"') {
            let Some(end) = string_end(bytes, open + 1) else { break };
            at = end.close + 1;
            let next = find(bytes, at, |byte| !byte.is_ascii_whitespace());
            let is_key = next.is_some_and(|next| bytes[next] == b':');
            sum += if is_key { 0 } else { end.text_bytes };
        }
        TextBytes(sum)
    }
}

fn find(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(|&byte| wanted(byte)).map(|offset| from + offset)
}

/// Only from JSON text in memory, which it borrows.
impl<'de> Deserialize<'de> for TextBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TextBytes, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(TextBytes::of(raw.get()))
    }
}

/// A value as its JSON stands there; empty where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece<'a>(pub(super) &'a str);

impl Piece<'_> {
    pub(super) fn bytes(self) -> u64 {
        TextBytes::of(self.0).0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Piece<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Piece<'a>, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Piece(raw.get()))
    }
}

impl std::ops::AddAssign for TextBytes {
    fn add_assign(&mut self, other: TextBytes) {
        self.0 = self.0.saturating_add(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_are_a_third_of_the_bytes_and_a_quarter_more() {
        let table = [(0, 0), (1, 2), (3, 2), (4, 3), (12, 5), (300, 125)];
        for (bytes, tokens) in table {
            assert_eq!(tokens_of_bytes(bytes), tokens, "{bytes}");
        }
        assert_eq!(with_margin(u64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_string_counts_as_its_bytes(text in "\\PC*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(TextBytes::of(&json).0, text.len() as u64);
        }
    }

    #[test]
    fn every_string_counts_and_nothing_else() {
        let table = [
            ("\"abc\"", 3),
            ("\"a\\n\\u00e4\"", 4),
            ("\"\\ud83d\\ude00\\u20ac\"", 7),
            ("\"\\\\\\\"\"", 2),
            ("{\"a\" : \"b\", \"c\": 1.5e3}", 1),
            ("null", 0),
            ("[1, true, -2, \"ab\", [\"c\"]]", 3),
            ("{\"type\":\"text\",\"text\":\"hello\",\"n\":{\"x\":\"y\"}}", 10),
        ];
        for (json, bytes) in table {
            assert_eq!(serde_json::from_str::<TextBytes>(json).unwrap().0, bytes, "{json}");
        }
    }
}
