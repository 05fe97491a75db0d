//! Server-sent events: where one ends, and what its data is. Bytes are kept, never repaired.
//!
//! An event may be cut anywhere between two reads, and a line may end in LF, CR LF or CR. Bytes
//! that form whole events are handed on without a copy; only what is cut is gathered.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::{memchr2, memchr2_iter};

/// One event is at most this long (paywalls 16.5).
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    #[error("the provider sent an event of more than {EVENT_BYTES_MAX} bytes")]
    EventTooLong,
}

/// Cuts a stream of reads into whole events.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of an event whose end has not come.
    open: BytesMut,
    read: Bytes,
    /// How far the read is taken out.
    at: usize,
    ends: LineEnds,
}

/// Where the scan stands between two reads.
#[derive(Clone, Copy, Debug, Default)]
struct LineEnds {
    /// The line under way has a byte.
    in_line: bool,
    after_cr: bool,
}

/// One whole event as it came, with the empty line that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub raw: Bytes,
    /// Where it stands in the last read; `None` if it was gathered from several.
    pub(super) span: Option<Range<usize>>,
}

/// Name and data of an event. A comment has no data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    pub event: Option<&'a str>,
    pub data: Option<Cow<'a, [u8]>>,
}

impl Splitter {
    /// Takes the next read, after `take` has emptied the one before.
    pub fn push(&mut self, read: Bytes) {
        let left = self.read.split_off(self.at);
        self.at = 0;
        self.read = if left.is_empty() { read } else { [left, read].concat().into() };
    }

    /// The next whole event, or `None` until more is pushed.
    pub fn take(&mut self) -> Result<Option<Frame>, SseError> {
        let rest = &self.read[self.at..];
        let end = self.ends.find(rest);
        let taken = &rest[..end.unwrap_or(rest.len())];
        if self.open.len() + taken.len() > EVENT_BYTES_MAX {
            return Err(SseError::EventTooLong);
        }
        let span = self.at..self.at + taken.len();
        self.at = span.end;
        if end.is_some() && self.open.is_empty() {
            return Ok(Some(Frame { raw: self.read.slice(span.clone()), span: Some(span) }));
        }
        self.open.extend_from_slice(&self.read[span]);
        Ok(end.map(|_| Frame { raw: self.open.split().freeze(), span: None }))
    }

    /// Bytes of the last read that stand side by side.
    pub(super) fn slice(&self, span: Range<usize>) -> Bytes {
        self.read.slice(span)
    }

    /// At the end of the stream: what came last and was not ended by an empty line.
    pub fn finish(&mut self) -> Option<Frame> {
        let raw = self.open.split().freeze();
        (!raw.is_empty()).then_some(Frame { raw, span: None })
    }
}

impl LineEnds {
    /// The offset after the empty line that ends the event.
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            let ends_cr_lf = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            if ends_cr_lf {
                continue;
            }
            if byte != b'\n' && byte != b'\r' {
                self.in_line = true;
                at += memchr2(b'\n', b'\r', &bytes[at..])?;
                continue;
            }
            if !self.in_line {
                return Some(self.with_line_feed(bytes, at));
            }
            self.in_line = false;
        }
        None
    }

    /// A line feed that is already here belongs to the carriage return before it.
    fn with_line_feed(&mut self, bytes: &[u8], at: usize) -> usize {
        if self.after_cr && bytes.get(at) == Some(&b'\n') {
            self.after_cr = false;
            return at + 1;
        }
        at
    }
}

impl Frame {
    /// Name and data. Data of one line is borrowed; several lines are joined with line feeds.
    pub fn fields(&self) -> Fields<'_> {
        let mut fields = Fields { event: None, data: None };
        for line in lines(&self.raw) {
            if let Some(value) = field(line, b"data") {
                fields.data = Some(match fields.data {
                    None => Cow::Borrowed(value),
                    Some(data) => Cow::Owned([data.as_ref(), value].join(&b'\n')),
                });
            } else if let Some(value) = field(line, b"event") {
                fields.event = std::str::from_utf8(value).ok();
            }
        }
        fields
    }
}

fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr2_iter(b'\n', b'\r', raw).chain([raw.len()]);
    let lines = ends.map(move |end| &raw[std::mem::replace(&mut start, end + 1)..end]);
    lines.filter(|line| !line.is_empty())
}

/// The value of a line `name: value`; one blank after the colon is not part of it.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let rest = line.strip_prefix(name)?;
    match rest {
        [] => Some(rest),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(reads: &[&[u8]]) -> Result<Vec<Vec<u8>>, SseError> {
        let mut splitter = Splitter::default();
        let mut frames = Vec::new();
        for read in reads {
            splitter.push(Bytes::copy_from_slice(read));
            while let Some(frame) = splitter.take()? {
                frames.push(frame.raw.to_vec());
            }
        }
        frames.extend(splitter.finish().map(|frame| frame.raw.to_vec()));
        Ok(frames)
    }

    fn data(frame: &[u8]) -> Option<String> {
        let frame = Frame { raw: Bytes::copy_from_slice(frame), span: None };
        frame.fields().data.map(|data| String::from_utf8_lossy(&data).into_owned())
    }

    #[test]
    fn every_kind_of_line_end_ends_an_event() {
        let table: [(&str, &[&str]); 7] = [
            ("data: a\n\ndata: b\n\n", &["data: a\n\n", "data: b\n\n"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["data: a\r\n\r\n", "data: b\r\n\r\n"]),
            ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
            ("data: a\n\r\ndata: b\r\n\n", &["data: a\n\r\n", "data: b\r\n\n"]),
            (": ping\n\n", &[": ping\n\n"]),
            ("\n\ndata: a\n\n", &["\n", "\n", "data: a\n\n"]),
            ("data: a\n\ndata: [DONE]\n", &["data: a\n\n", "data: [DONE]\n"]),
        ];
        for (stream, frames) in table {
            let frames: Vec<Vec<u8>> = frames.iter().map(|frame| frame.as_bytes().into()).collect();
            assert_eq!(split(&[stream.as_bytes()]), Ok(frames), "{stream:?}");
        }
    }

    #[test]
    fn data_is_what_a_reader_would_see() {
        let table = [
            ("data: a\n\n", Some("a")),
            ("data:a\n\n", Some("a")),
            ("data:  a \n\n", Some(" a ")),
            ("data\n\n", Some("")),
            ("data: a\ndata: b\r\ndata:c\n\n", Some("a\nb\nc")),
            ("event: x\nid: 1\nretry: 5\ndata: a\n\n", Some("a")),
            ("database: a\n\n", None),
            (": data: a\n\n", None),
            ("\u{feff}data: a\n\n", Some("a")),
            ("\ndata: a\n\n", Some("a")),
        ];
        for (frame, expected) in table {
            assert_eq!(data(frame.as_bytes()).as_deref(), expected, "{frame:?}");
        }
        let raw = Bytes::from_static(b"event: message_stop\ndata: {}\n\n");
        let frame = Frame { raw, span: None };
        assert_eq!(frame.fields().event, Some("message_stop"));
    }

    #[test]
    fn an_event_may_have_a_megabyte_and_no_more() {
        let event = |length: usize| [vec![b'x'; length - 2], b"\n\n".to_vec()].concat();
        assert_eq!(split(&[&event(EVENT_BYTES_MAX)]).unwrap().len(), 1);
        assert_eq!(split(&[&event(EVENT_BYTES_MAX + 1)]), Err(SseError::EventTooLong));
        let half = vec![b'x'; EVENT_BYTES_MAX / 2];
        assert_eq!(split(&[&half, &half, b"x"]), Err(SseError::EventTooLong));
    }

    proptest! {
        #[test]
        fn cuts_between_reads_lose_nothing_and_move_no_data(
            parts in prop::collection::vec("(data: ?[a-cü€]{0,5}|event: x|:|)(\n|\r\n|\r)", 0..20),
            cuts in prop::collection::vec(0_usize..60, 0..8),
        ) {
            let stream = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            let (whole, pieces) = (split(&[&stream]).unwrap(), split(&reads).unwrap());
            let single = split(&bytes).unwrap();
            let data_of = |frames: &[Vec<u8>]| -> Vec<String> {
                frames.iter().filter_map(|frame| data(frame)).collect()
            };
            prop_assert_eq!(whole.concat(), stream.clone());
            prop_assert_eq!(pieces.concat(), stream.clone());
            prop_assert_eq!(single.concat(), stream.clone());
            prop_assert_eq!(data_of(&pieces), data_of(&whole));
            prop_assert_eq!(data_of(&single), data_of(&whole));
        }
    }
}
