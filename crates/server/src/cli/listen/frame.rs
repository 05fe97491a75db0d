//! Server-sent events as frames, and a frame's data as an event.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::forward::Sent;

/// Largest unfinished frame; a longer one is dropped.
const FRAME_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    pub event: String,
    pub id: Option<String>,
    pub data: String,
}

/// Bytes as they come, cut into frames.
#[derive(Default)]
pub struct Frames {
    rest: Vec<u8>,
    open: Frame,
}

impl Frames {
    /// The frames that `bytes` completed.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.rest.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(frame) = self.line(line.trim_end_matches(['\n', '\r'])) {
                whole.push(frame);
            }
        }
        if self.rest.len() > FRAME_BYTES_MAX {
            self.rest.clear();
        }
        whole
    }

    /// An empty line ends a frame; a line that begins with a colon is a comment.
    fn line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            let frame = std::mem::take(&mut self.open);
            return (frame != Frame::default()).then_some(frame);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.open.event),
            "id" => self.open.id = Some(value.to_owned()),
            "data" => {
                if !self.open.data.is_empty() {
                    self.open.data.push('\n');
                }
                self.open.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Subject {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
}

/// One event of the feed. Its body stays the bytes that it is.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    pub id: String,
    pub family: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub subject: Subject,
    pub sequence: u64,
    pub body: Box<RawValue>,
}

impl Event {
    pub fn parse(data: &str) -> Option<Event> {
        serde_json::from_str(data).ok()
    }

    pub fn subject(&self) -> String {
        format!("{}:{}", self.subject.kind, self.subject.id)
    }

    /// Time, type, id, and what became of it.
    pub fn line(&self, sent: Option<&Sent>, as_json: bool) -> String {
        if as_json {
            let line = json!({
                "id": self.id, "type": self.kind, "subject": self.subject(),
                "sequence": self.sequence, "body": self.body,
                "status": sent.and_then(|sent| sent.status),
                "duration_ms": sent.map(|sent| sent.duration_ms),
                "error": sent.and_then(|sent| sent.error.as_deref()),
            });
            return line.to_string();
        }
        let now = engine::clock::real_now().to_string();
        let time = now.get(11..19).unwrap_or_default();
        let result = sent.map(Sent::words).unwrap_or_default();
        format!("{time}  {:<34}  {}  {result}", self.kind, self.id).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        let text = ": ping\n\nretry: 1000\r\nevent: ready\ndata: {}\n\nid: c1\nevent: event\n\
            data: {\"a\":1}\n\nevent: x\ndata: one\ndata: two\n\n";
        let whole = Frames::default().feed(text.as_bytes());
        assert_eq!(whole.len(), 3);
        assert_eq!((whole[1].id.as_deref(), whole[1].data.as_str()), (Some("c1"), "{\"a\":1}"));
        assert_eq!(whole[2].data, "one\ntwo");
        for size in 1..9 {
            let mut frames = Frames::default();
            let cut: Vec<Frame> =
                text.as_bytes().chunks(size).flat_map(|chunk| frames.feed(chunk)).collect();
            assert_eq!(cut, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn the_body_of_an_event_keeps_its_bytes() {
        let data = r#"{"id":"evt_1","family":"billing","type":"customer.created","sequence":3,
            "subject":{"type":"customer","id":"cust_1"},"body":{"b": 1.50,"a":2}}"#;
        let event = Event::parse(data).unwrap();
        assert_eq!(event.body.get(), r#"{"b": 1.50,"a":2}"#);
        assert_eq!(event.subject(), "customer:cust_1");
    }
}
