//! Events of one stream mostly differ in nothing but the piece of text that they carry. Such an
//! event is known by its other bytes, and is not read as JSON again.
//!
//! It only recognises; what an event means is read in `stream`.

use std::ops::Range;

use crate::json::scan::string_end;

/// The event that was read last, if all its output stands in one string.
#[derive(Debug, Default)]
pub(super) struct Likeness {
    /// Its bytes without what its changing strings say.
    shape: Vec<u8>,
    /// Where the first of them stood. Never 0 where there is a shape: a quote is before it.
    first: usize,
    /// Where the second stood; 0 where there is only one.
    second: usize,
    text_is_second: bool,
}

impl Likeness {
    /// Keeps an event for comparison. `text` is its one JSON string of output, `padding` one that
    /// says nothing; both are parts of it.
    pub(super) fn learn(&mut self, event: &[u8], text: Option<&str>, padding: Option<&str>) {
        (self.first, self.second) = (0, 0);
        let Some(text) = text.and_then(|text| inside(event, text)) else { return };
        let padding = padding.and_then(|padding| inside(event, padding));
        self.shape.clear();
        self.text_is_second = padding.as_ref().is_some_and(|padding| padding.start < text.start);
        let mut holes = [Some(text), padding];
        holes.sort_by_key(|hole| hole.as_ref().map_or(usize::MAX, |hole| hole.start));
        let [first, second] = holes;
        let mut at = 0;
        for (hole, cut) in [(first, &mut self.first), (second, &mut self.second)] {
            let Some(hole) = hole else { continue };
            self.shape.extend_from_slice(&event[at..hole.start]);
            (*cut, at) = (self.shape.len(), hole.end);
        }
        self.shape.extend_from_slice(&event[at..]);
    }

    /// Bytes of output of an event that is like it. `None`: it must be read.
    pub(super) fn output_bytes(&self, event: &[u8]) -> Option<u64> {
        if self.first == 0 {
            return None;
        }
        let (bytes, rest) = string(event.strip_prefix(&self.shape[..self.first])?)?;
        if self.second == 0 {
            return (rest == &self.shape[self.first..]).then_some(bytes);
        }
        let (more, rest) = string(rest.strip_prefix(&self.shape[self.first..self.second])?)?;
        let counted = if self.text_is_second { more } else { bytes };
        (rest == &self.shape[self.second..]).then_some(counted)
    }
}

/// Where the text of a string of this event stands, between its quotes.
fn inside(event: &[u8], json: &str) -> Option<Range<usize>> {
    let open = json.as_ptr().addr().checked_sub(event.as_ptr().addr())?;
    let close = open.checked_add(json.len())?;
    let is_string = event.get(open..close)? == json.as_bytes() && json.len() >= 2;
    (is_string && json.starts_with('"')).then_some(open + 1..close - 1)
}

/// Length of what a string says, and what stands from its closing quote on.
fn string(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = string_end(bytes, 0)?;
    let (text, rest) = bytes.split_at(end.close);
    std::str::from_utf8(text).ok().map(|_| (end.text_bytes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(event: &str, text: &str) -> Likeness {
        let open = event.find(text).unwrap();
        let mut likeness = Likeness::default();
        likeness.learn(event.as_bytes(), Some(&event[open..open + text.len()]), None);
        likeness
    }

    #[test]
    fn only_another_plain_text_in_the_same_place_is_alike() {
        let likeness = learned(r#"data: {"a":1,"content":"hello"}"#, r#""hello""#);
        let table: [(&[u8], Option<u64>); 10] = [
            (br#"data: {"a":1,"content":"hello"}"#, Some(5)),
            (br#"data: {"a":1,"content":""}"#, Some(0)),
            (r#"data: {"a":1,"content":"ü"}"#.as_bytes(), Some(2)),
            (br#"data: {"a":2,"content":"hello"}"#, None),
            (br#"data: {"a":1,"content":"hello"} "#, None),
            (br#"data: {"a":1,"content":"a\nb"}"#, Some(3)),
            (br#"data: {"a":1,"content":"a\xb"}"#, None),
            (br#"data: {"a":1,"content":"a","content":"b"}"#, None),
            (b"data: {\"a\":1,\"content\":\"a\nb\"}", None),
            (b"data: {\"a\":1,\"content\":\"\xff\"}", None),
        ];
        for (event, bytes) in table {
            assert_eq!(likeness.output_bytes(event), bytes, "{event:?}");
        }
    }

    #[test]
    fn padding_may_differ_and_is_not_counted() {
        for event in [r#"x"p":"AB","t":"hello"}"#, r#"x"t":"hello","p":"AB"}"#] {
            let part = |text: &str| event.find(text).map(|at| &event[at..at + text.len()]);
            let mut likeness = Likeness::default();
            likeness.learn(event.as_bytes(), part("\"hello\""), part("\"AB\""));
            let like = event.replace("AB", "0123456789").replace("hello", "hi");
            assert_eq!(likeness.output_bytes(like.as_bytes()), Some(2), "{event}");
            assert_eq!(likeness.output_bytes(event.as_bytes()), Some(5), "{event}");
            let other = event.replace("\"p\"", "\"q\"");
            assert_eq!(likeness.output_bytes(other.as_bytes()), None, "{event}");
        }
    }

    #[test]
    fn nothing_is_like_an_event_without_a_text_of_its_own() {
        let mut likeness = learned("x\"hello\"y", "\"hello\"");
        assert_eq!(likeness.output_bytes(b"x\"\"y"), Some(0));
        likeness.learn(b"x\"hello\"y", Some("\"hello\""), None);
        assert_eq!(likeness.output_bytes(b"x\"\"y"), None, "the text is not inside the event");
        let mut likeness = learned("x\"hello\"y", "\"hello\"");
        likeness.learn(b"x", None, None);
        assert_eq!(likeness.output_bytes(b"x\"\"y"), None);
        assert_eq!(Likeness::default().output_bytes(b""), None);
    }
}
