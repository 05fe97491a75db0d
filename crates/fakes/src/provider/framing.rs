//! From whole answers and lists of events to the bytes that are written, with every wait and every
//! fault that the prompt asked for.

use std::slice;
use std::time::Duration;

use super::reply::EMOJI;
use super::switches::Switches;

const LABEL: &str = "x-farebox-fake: llm-provider\r\n";
/// As real providers send them; nothing is limited here.
const LIMITS: &str = "x-ratelimit-limit-requests: 5000\r\nx-ratelimit-remaining-requests: 4999\r\n\
                      anthropic-ratelimit-requests-remaining: 4999\r\n";
/// About what an event has beside its data.
const FRAME_BYTES: usize = 48;
const BAD_JSON: &str = "{\"choices\":[{\"delta\":";

pub(super) struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

pub(super) enum Step {
    Write(Vec<u8>),
    Wait(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    KeepAlive,
    Close,
    /// The connection stays open and nothing more comes.
    Silence,
}

/// One event of a stream.
pub(super) struct Event {
    /// The `event:` line, where the protocol has one.
    pub(super) name: Option<&'static str>,
    pub(super) data: String,
    /// Whether it carries a piece of the answer.
    pub(super) delta: bool,
}

/// An answer in one body.
pub(super) struct Plain {
    pub(super) status: u16,
    pub(super) number: u64,
    /// Lines of the head, each with its end.
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
}

impl Plain {
    pub(super) fn new(status: u16, number: u64, body: Vec<u8>) -> Plain {
        Plain { status, number, headers: String::new(), body }
    }

    /// As it is, whatever the prompt said.
    pub(super) fn script(self) -> Script {
        Script { steps: vec![Step::Write(self.bytes())], end: End::KeepAlive }
    }

    fn bytes(&self) -> Vec<u8> {
        let Plain { status, number, headers, body } = self;
        let head = format!(
            "HTTP/1.1 {status} Fake\r\ncontent-type: application/json\r\n{}{headers}\
             content-length: {}\r\n\r\n",
            ids(*number),
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    pub(super) fn with_faults(mut self, switches: &Switches) -> Script {
        if switches.has("bad-json") {
            self.body = BAD_JSON.into();
        }
        let mut bytes = self.bytes();
        let mut end = End::KeepAlive;
        let cut = switches.has("cut");
        if cut || switches.has("hang-after") || switches.has("hang-after-deltas") {
            bytes.truncate(bytes.len() - self.body.len() / 2);
            end = if cut { End::Close } else { End::Silence };
        }
        let mut steps = wait(switches);
        if switches.has("odd-framing") {
            steps.extend(bytes.chunks(1).map(|byte| Step::Write(byte.to_vec())));
        } else {
            steps.push(Step::Write(bytes));
        }
        Script { steps, end }
    }
}

fn ids(number: u64) -> String {
    format!("x-request-id: req_fake_{number}\r\nrequest-id: req_fake_{number}\r\n{LABEL}{LIMITS}")
}

/// An answer that ends before its first byte, if the prompt asks for one.
pub(super) fn without_a_byte(switches: &Switches) -> Option<Script> {
    let end = match () {
        () if switches.has("hang") => End::Silence,
        () if switches.has("cut-before") => End::Close,
        () => return None,
    };
    Some(Script { steps: wait(switches), end })
}

fn wait(switches: &Switches) -> Vec<Step> {
    let coarse = switches.number("slow").map(Duration::from_millis);
    let wait = coarse.or_else(|| switches.number("slow-us").map(Duration::from_micros));
    wait.map(Step::Wait).into_iter().collect()
}

/// A stream of events, with its head.
pub(super) fn stream(mut events: Vec<Event>, number: u64, switches: &Switches) -> Script {
    let end = shorten(&mut events, switches);
    if switches.has("bad-json")
        && let Some(second) = events.get_mut(1)
    {
        BAD_JSON.clone_into(&mut second.data);
    }
    let mut steps = wait(switches);
    let gap = switches.number("gap").map(Duration::from_millis);
    for (index, bytes) in writes(&events, switches).into_iter().enumerate() {
        if let Some(gap) = gap.filter(|_| index > 0) {
            steps.push(Step::Wait(gap));
        }
        steps.push(Step::Write(chunk(&bytes)));
    }
    prepend(&mut steps, &head(number));
    if end == End::KeepAlive {
        append(&mut steps, b"0\r\n\r\n");
    }
    Script { steps, end }
}

fn head(number: u64) -> String {
    let kind = "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache";
    let ids = ids(number);
    format!("HTTP/1.1 200 Fake\r\n{kind}\r\n{ids}transfer-encoding: chunked\r\n\r\n")
}

/// Takes off what a fault keeps back, and says how the stream ends then.
fn shorten(events: &mut Vec<Event>, switches: &Switches) -> End {
    let after = |count: usize| {
        let deltas = events.iter().enumerate().filter(|(_, event)| event.delta);
        let last = deltas.map(|(at, _)| at).take(count).last();
        last.map_or(0, |at| at + 1)
    };
    let (keep, end) = if let Some(count) = switches.count("cut") {
        (after(count), End::Close)
    } else if let Some(count) = switches.count("hang-after") {
        (after(count), End::Silence)
    } else if switches.has("hang-after-deltas") {
        (after(usize::MAX), End::Silence)
    } else if let Some(count) = switches.count("error-event") {
        (after(count), End::KeepAlive)
    } else {
        (events.len() - usize::from(switches.has("no-done")), End::KeepAlive)
    };
    events.truncate(keep);
    if switches.number("error-event").is_some() && end == End::KeepAlive {
        events.push(error_event(events.first().and_then(|event| event.name)));
    }
    end
}

/// An overload in the middle of a stream, in the words of its protocol.
fn error_event(name: Option<&str>) -> Event {
    let error = "{\"message\":\"The fake provider is overloaded\",\"type\":\"overloaded_error\"";
    let (name, data) = match name {
        Some(_) => (Some("error"), format!("{{\"type\":\"error\",\"error\":{error}}}}}")),
        None => (None, format!("{{\"error\":{error},\"code\":502}}}}")),
    };
    Event { name, data, delta: false }
}

/// What each write carries, before HTTP puts its frame around it.
fn writes(events: &[Event], switches: &Switches) -> Vec<Vec<u8>> {
    let lines = switches.has("multi-line");
    let texts = || events.iter().map(|event| wire(slice::from_ref(event), lines));
    if switches.has("odd-framing") {
        return odd(&texts().collect::<Vec<_>>());
    }
    if switches.has("emoji-split") {
        return split_emojis(&texts().collect::<Vec<_>>());
    }
    let each = match switches.count("burst") {
        Some(count) => count.max(1),
        None if switches.has("gap") => 1,
        None => events.len().max(1),
    };
    events.chunks(each).map(|events| wire(events, lines).into_bytes()).collect()
}

fn wire(events: &[Event], lines: bool) -> String {
    let size = events.iter().map(|event| event.data.len() + FRAME_BYTES).sum();
    let mut text = String::with_capacity(size);
    for Event { name, data, .. } in events {
        if let Some(name) = name {
            text.extend(["event: ", name, "\n"]);
        }
        text.push_str("data: ");
        match data.split_once(',').filter(|_| lines) {
            // Between two fields: no text that stands before has a comma.
            Some((first, rest)) => text.extend([first, ",\ndata: ", rest]),
            None => text.push_str(data),
        }
        text.push_str("\n\n");
    }
    text
}

/// In turn: an event byte by byte, two events in one write, an event with CRLF after a comment.
fn odd(texts: &[String]) -> Vec<Vec<u8>> {
    let mut writes = Vec::new();
    for group in texts.chunks(4) {
        if let Some(text) = group.first() {
            writes.extend(text.as_bytes().chunks(1).map(<[u8]>::to_vec));
        }
        if let Some(two) = group.get(1..group.len().min(3)) {
            writes.push(two.concat().replace("data: ", "data:").into_bytes());
        }
        if let Some(text) = group.get(3) {
            writes.push(format!(": odd\n\n{text}").replace('\n', "\r\n").into_bytes());
        }
    }
    writes.retain(|bytes| !bytes.is_empty());
    writes
}

fn split_emojis(texts: &[String]) -> Vec<Vec<u8>> {
    let mut writes = Vec::new();
    for text in texts {
        let at = text.find(EMOJI).map_or(text.len(), |at| at + EMOJI.len_utf8() / 2);
        let (first, rest) = text.as_bytes().split_at(at);
        writes.extend([first, rest].iter().filter(|part| !part.is_empty()).map(|it| it.to_vec()));
    }
    writes
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", bytes.len());
    [size.as_bytes(), bytes, b"\r\n"].concat()
}

/// The head goes with the first write, so that a stream in one burst is one write.
fn prepend(steps: &mut Vec<Step>, head: &str) {
    let first = steps.iter_mut().find_map(|step| match step {
        Step::Write(bytes) => Some(bytes),
        Step::Wait(_) => None,
    });
    match first {
        Some(bytes) => *bytes = [head.as_bytes(), bytes].concat(),
        None => steps.push(Step::Write(head.into())),
    }
}

fn append(steps: &mut [Step], tail: &[u8]) {
    if let Some(Step::Write(bytes)) = steps.last_mut() {
        bytes.extend_from_slice(tail);
    }
}
