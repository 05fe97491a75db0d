//! Reading JSON: types out of bytes, and numbers without a float on the way: a string, or a number
//! whose text is exact.

pub mod scan;

use serde::Deserialize;
use serde_json::Value;

use crate::amount::{Amount, NumberError};

/// A JSON number with a fraction may have been through binary; up to this many digits it came
/// out as it was written.
const EXACT_DIGITS_MAX: usize = 15;

/// Reads a type out of a JSON text. Where all of it is UTF-8, as it should be, that is checked once
/// and not with every string.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(bytes),
    }
}

/// The decimal text of a string or of a number that is exact.
pub fn decimal_text(value: &Value) -> Result<String, NumberError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => {
            let text = number.to_string();
            let exact = !number.is_f64() || significant_digits(&text) <= EXACT_DIGITS_MAX;
            if exact { Ok(text) } else { Err(NumberError::Malformed) }
        }
        _ => Err(NumberError::Malformed),
    }
}

fn significant_digits(text: &str) -> usize {
    let digits = text.bytes().filter(u8::is_ascii_digit);
    digits.skip_while(|&digit| digit == b'0').count()
}

/// An amount that a client sent as a string or as a number.
pub fn amount(value: &Value) -> Result<Amount, NumberError> {
    Amount::parse(&decimal_text(value)?)
}

/// A JSON text without the white space between its parts; numbers and strings stay as written.
pub fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let kept = json.chars().filter(|&c| {
        let blank = !in_string && c.is_ascii_whitespace();
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            in_string = c == '"';
        }
        !blank
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_and_nothing_else() {
        let text = "{ \"a b\" : [ 1.000 ,\n \"\\\" \\\\\" , \" \" ] }";
        assert_eq!(compact(text), "{\"a b\":[1.000,\"\\\" \\\\\",\" \"]}");
    }

    #[test]
    fn numbers_are_read_as_written_or_not_at_all() {
        let table = [
            ("\"12.50\"", Some("12.5")),
            ("12.5", Some("12.5")),
            ("100", Some("100")),
            ("-0.1", Some("-0.1")),
            ("999999999999999999", Some("999999999999999999")),
            ("0.123456789", Some("0.123456789")),
            ("900719925474099.3", None),
            ("123456789012345678.5", None),
            ("1e300", None),
            ("\"1e2\"", None),
            ("true", None),
            ("null", None),
            ("\"\"", None),
        ];
        for (text, expected) in table {
            let value: Value = serde_json::from_str(text).unwrap();
            let got = amount(&value).ok().map(|amount| amount.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }
}
