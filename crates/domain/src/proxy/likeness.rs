//! Events of one stream mostly differ in nothing but the piece of text that they carry. Such an
//! event is known by its other bytes, and is not read as JSON again.
//!
//! It only recognises; what an event means is read in `stream`.

/// The event that was read last, if all its output stands in one string.
#[derive(Debug, Default)]
pub(super) struct Likeness {
    /// Its bytes without the string's text.
    shape: Vec<u8>,
    /// Where the text stood. Never 0 where there is a shape: a quote is before it.
    cut: usize,
}

impl Likeness {
    /// Keeps an event for comparison. `text` is its one JSON string of output, and a part of it.
    pub(super) fn learn(&mut self, event: &[u8], text: Option<&str>) {
        self.shape.clear();
        self.cut = 0;
        let Some(text) = text else { return };
        let Some(open) = text.as_ptr().addr().checked_sub(event.as_ptr().addr()) else { return };
        let close = open + text.len();
        if event.get(open..close) == Some(text.as_bytes()) && text.len() >= 2 {
            self.cut = open + 1;
            self.shape.extend_from_slice(&event[..=open]);
            self.shape.extend_from_slice(&event[close - 1..]);
        }
    }

    /// Bytes of output of an event that is like it. `None`: it must be read.
    pub(super) fn output_bytes(&self, event: &[u8]) -> Option<u64> {
        if self.cut == 0 {
            return None;
        }
        let (before, after) = self.shape.split_at(self.cut);
        let text = event.strip_prefix(before)?.strip_suffix(after)?;
        let is_plain = |&byte: &u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        let known = text.iter().all(is_plain) && std::str::from_utf8(text).is_ok();
        known.then_some(text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(event: &str, text: &str) -> Likeness {
        let open = event.find(text).unwrap();
        let mut likeness = Likeness::default();
        likeness.learn(event.as_bytes(), Some(&event[open..open + text.len()]));
        likeness
    }

    #[test]
    fn only_another_plain_text_in_the_same_place_is_alike() {
        let likeness = learned(r#"data: {"a":1,"content":"hello"}"#, r#""hello""#);
        let table: [(&[u8], Option<u64>); 9] = [
            (br#"data: {"a":1,"content":"hello"}"#, Some(5)),
            (br#"data: {"a":1,"content":""}"#, Some(0)),
            (r#"data: {"a":1,"content":"ü"}"#.as_bytes(), Some(2)),
            (br#"data: {"a":2,"content":"hello"}"#, None),
            (br#"data: {"a":1,"content":"hello"} "#, None),
            (br#"data: {"a":1,"content":"a\nb"}"#, None),
            (br#"data: {"a":1,"content":"a","content":"b"}"#, None),
            (b"data: {\"a\":1,\"content\":\"a\nb\"}", None),
            (b"data: {\"a\":1,\"content\":\"\xff\"}", None),
        ];
        for (event, bytes) in table {
            assert_eq!(likeness.output_bytes(event), bytes, "{event:?}");
        }
    }

    #[test]
    fn nothing_is_like_an_event_without_a_text_of_its_own() {
        let mut likeness = learned("x\"hello\"y", "\"hello\"");
        assert_eq!(likeness.output_bytes(b"x\"\"y"), Some(0));
        likeness.learn(b"x\"hello\"y", Some("\"hello\""));
        assert_eq!(likeness.output_bytes(b"x\"\"y"), None, "the text is not inside the event");
        let mut likeness = learned("x\"hello\"y", "\"hello\"");
        likeness.learn(b"x", None);
        assert_eq!(likeness.output_bytes(b"x\"\"y"), None);
        assert_eq!(Likeness::default().output_bytes(b""), None);
    }
}
