//! A strict walk over JSON text in memory: values are the text that they are, nothing is built.
//!
//! It gives up (`None`) on all that is not plainly well formed, and on deep nesting; then serde
//! reads the text and says what is wrong with it. It never accepts what serde refuses.

use std::borrow::Cow;

/// Where the walk stands.
#[derive(Debug)]
pub struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// A string as it stands in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    /// With its quotes.
    pub json: &'a str,
    /// Length of what it says, in UTF-8.
    pub text_bytes: u64,
}

/// Where a string ends, and how long what it says is in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringEnd {
    /// Of its closing quote.
    pub close: usize,
    pub text_bytes: u64,
}

/// Deeper than this is for serde, which needs no stack for it.
const DEPTH_MAX: u32 = 32;

impl<'a> Scan<'a> {
    pub const fn of(text: &'a str) -> Scan<'a> {
        Scan { text, at: 0 }
    }

    /// The next byte that is not blank; it is not taken.
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Nothing but blanks is left.
    pub fn end(mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// Walks an object. `each` takes the value of the member that it is told the name of.
    pub fn object(
        &mut self,
        mut each: impl FnMut(&mut Scan<'a>, &str) -> Option<()>,
    ) -> Option<()> {
        self.members(|scan, name| each(scan, &name.text()?))
    }

    /// Walks a list. `each` takes one element.
    pub fn list(&mut self, mut each: impl FnMut(&mut Scan<'a>) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.peek()? == b']' {
            return self.take(b']');
        }
        loop {
            each(self)?;
            if self.ends(b']')? {
                return Some(());
            }
        }
    }

    /// Takes a value of any shape.
    pub fn value(&mut self) -> Option<&'a str> {
        self.peek()?;
        let start = self.at;
        self.skip(0)?;
        self.text.get(start..self.at)
    }

    /// Takes a value out of text that is known to be well formed: brackets are counted.
    pub fn known_value(&mut self) -> Option<&'a str> {
        self.peek()?;
        let (start, mut depth) = (self.at, 0_u32);
        loop {
            match self.peek()? {
                b'"' => self.string().map(drop)?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                _ => self.scalar()?,
            }
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }

    pub fn string(&mut self) -> Option<Quoted<'a>> {
        self.take(b'"')?;
        let start = self.at - 1;
        let end = string_end(self.text.as_bytes(), self.at)?;
        self.at = end.close + 1;
        let json = self.text.get(start..self.at)?;
        Some(Quoted { json, text_bytes: end.text_bytes })
    }

    /// A string without escapes, or null.
    pub fn plain_or_null(&mut self) -> Option<&'a str> {
        if self.peek()? == b'n' {
            return self.value();
        }
        let string = self.string()?;
        string.is_plain().then_some(string.json)
    }

    /// A whole number that is written in digits only.
    pub fn whole(&mut self) -> Option<u64> {
        let json = self.value()?;
        json.bytes().all(|byte| byte.is_ascii_digit()).then(|| json.parse().ok()).flatten()
    }

    fn members(
        &mut self,
        mut each: impl FnMut(&mut Scan<'a>, Quoted<'a>) -> Option<()>,
    ) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            return self.take(b'}');
        }
        loop {
            let name = self.string()?;
            self.take(b':')?;
            each(self, name)?;
            if self.ends(b'}')? {
                return Some(());
            }
        }
    }

    /// Takes a comma, or the bracket that ends the whole.
    fn ends(&mut self, bracket: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(false),
            _ => (byte == bracket).then_some(true),
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip(&mut self, depth: u32) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' if depth < DEPTH_MAX => self.members(|scan, _| scan.skip(depth + 1)),
            b'[' if depth < DEPTH_MAX => self.list(|scan| scan.skip(depth + 1)),
            b'{' | b'[' => None,
            _ => self.scalar(),
        }
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let length = match rest.first()? {
            b't' => literal(rest, b"true"),
            b'f' => literal(rest, b"false"),
            b'n' => literal(rest, b"null"),
            _ => number(rest),
        }?;
        self.at += length;
        Some(())
    }
}

impl<'a> Quoted<'a> {
    /// Between the quotes.
    fn inner(self) -> &'a str {
        self.json.get(1..self.json.len().saturating_sub(1)).unwrap_or_default()
    }

    /// Every escape is longer than what it says.
    fn is_plain(self) -> bool {
        self.inner().len() as u64 == self.text_bytes
    }

    /// What it says; `None` where an escape is half of a character.
    pub fn text(self) -> Option<Cow<'a, str>> {
        if self.is_plain() {
            return Some(Cow::Borrowed(self.inner()));
        }
        serde_json::from_str(self.json).ok().map(Cow::Owned)
    }
}

/// Puts a value where none was yet; `None` where the member stands there twice.
pub fn put<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

fn literal(rest: &[u8], word: &[u8]) -> Option<usize> {
    rest.starts_with(word).then_some(word.len())
}

/// Length of the number that the text begins with.
fn number(rest: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = rest.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let some_digits = |from: usize| Some(digits(from)).filter(|count| *count > 0);
    let mut at = usize::from(rest.first() == Some(&b'-'));
    at += if rest.get(at) == Some(&b'0') { 1 } else { some_digits(at)? };
    if rest.get(at) == Some(&b'.') {
        at += 1 + some_digits(at + 1)?;
    }
    if matches!(rest.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
        at += some_digits(at)?;
    }
    Some(at)
}

/// Finds the end of a string whose text begins at `from`. `None` where it has none, or is not as
/// JSON wants it.
pub fn string_end(bytes: &[u8], from: usize) -> Option<StringEnd> {
    let (mut at, mut saved) = (from, 0);
    loop {
        at += plain_run(bytes.get(at..)?);
        match bytes.get(at)? {
            b'"' => {
                let text_bytes = (at - from) as u64 - saved;
                return Some(StringEnd { close: at, text_bytes });
            }
            b'\\' => {
                let (utf8, length) = escape(bytes.get(at + 1..)?)?;
                saved += length as u64 - utf8;
                at += length;
            }
            _ => return None,
        }
    }
}

/// UTF-8 length of an escape, given what follows its backslash, and how many bytes it takes in
/// JSON. Half a surrogate pair is half of four bytes.
fn escape(rest: &[u8]) -> Option<(u64, usize)> {
    match rest.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some((1, 2)),
        b'u' => {
            let digits = std::str::from_utf8(rest.get(1..5)?).ok()?;
            let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
            let utf8 = match code {
                0..0x80 => 1,
                0x80..0x800 | 0xD800..0xE000 => 2,
                _ => 3,
            };
            Some((utf8, 6))
        }
        _ => None,
    }
}

/// How many bytes there are before the first quote, backslash or control character.
fn plain_run(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut plain = 0;
    for word in words {
        let stops = stops_in(u64::from_le_bytes(*word));
        if stops != 0 {
            return plain + stops.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    plain + tail.iter().take_while(|byte| is_plain_byte(**byte)).count()
}

const fn is_plain_byte(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// Eight bytes at once: the lowest bit that is set marks the first byte that is not plain.
const fn stops_in(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    let quote = word ^ u64::from_le_bytes([b'"'; 8]);
    let backslash = word ^ u64::from_le_bytes([b'\\'; 8]);
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = word.wrapping_sub(ONES << 5) & !word;
    (quotes | backslashes | controls) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn scanned(text: &str) -> Option<&str> {
        let mut scan = Scan::of(text);
        let value = scan.value()?;
        scan.end().map(|()| value)
    }

    fn by_serde(text: &str) -> Option<&str> {
        serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
    }

    #[test]
    fn values_of_every_shape_are_taken_and_nothing_else() {
        let table = [
            "null",
            " true ",
            "false",
            "0",
            "-0.5e+10",
            "1E5",
            "\"a\\u00e4\\n\"",
            "[]",
            "{}",
            "[1,\"a\",{\"b\":[ ]}]",
            "{\"a\":1 , \"b\" : {\"c\":null}}",
            "",
            " ",
            "nul",
            "01",
            "-",
            "1.",
            "1e",
            "+1",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u+123\"",
            "\"\n\"",
            "[1,]",
            "[1 2]",
            "[",
            "]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "1 2",
            "{\"a\":1]",
            "\"\u{7f}ü\"",
            "truefalse",
            "[1,\u{a0}2]",
        ];
        for text in table {
            assert_eq!(scanned(text), by_serde(text), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_left_to_serde_unless_it_is_known_to_be_well_formed() {
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(scanned(&deep(DEPTH_MAX as usize)).is_some());
        assert!(scanned(&deep(DEPTH_MAX as usize + 1)).is_none());
        let deepest = deep(100_000);
        assert_eq!(Scan::of(&deepest).known_value(), Some(deepest.as_str()));
    }

    /// Text out of the bytes that matter in JSON.
    fn almost_json() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "[\\[\\]{},: 0-9eE.+\"\\\\ntu\\-]{1,3}",
            "\"[a-zü€ ]{0,40}(\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fg]{4}|\t)?[a-z]{0,9}\"",
            prop_oneof![Just("null"), Just("{\"a\":"), Just("true"), Just("1.5e3"), Just("\"b\":")]
                .prop_map(str::to_owned),
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_is_accepted_is_what_serde_accepts(text in almost_json()) {
            prop_assert_eq!(scanned(&text), by_serde(&text));
            if let Some(value) = by_serde(&text) {
                prop_assert_eq!(Scan::of(&text).known_value(), Some(value));
            }
        }

        #[test]
        fn a_string_says_what_serde_reads(text in "\\PC{0,80}", ascii in any::<bool>()) {
            let mut json = serde_json::to_string(&text).unwrap();
            if ascii {
                json = json.replace('e', "\\u0065");
            }
            let string = Scan::of(&json).string().unwrap();
            prop_assert_eq!(string.text_bytes, text.len() as u64);
            prop_assert_eq!(string.text().unwrap(), text);
        }

        #[test]
        fn the_first_odd_byte_is_found(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            let expected = bytes.iter().position(|byte| !is_plain_byte(*byte));
            prop_assert_eq!(plain_run(&bytes), expected.unwrap_or(bytes.len()));
            let tame: Vec<u8> = bytes.iter().map(|byte| byte | 0x80).collect();
            prop_assert_eq!(plain_run(&tame), tame.len());
        }
    }
}
