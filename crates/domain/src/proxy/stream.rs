//! Metering of a stream while it runs: what each event holds, and whether it is passed on
//! (paywalls 16.4, 16.5, 17.5).
//!
//! Events are passed on as the bytes that came. Only what money needs is read from them, without
//! building their JSON. Nothing here writes to a client.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::count::{Piece, Text, TextBytes, tokens_of_bytes};
use super::delta::{Block, Delta, Tally, said};
use super::likeness::Likeness;
use super::sse::{Frame, Splitter, SseError};
use super::usage::{MessagesUsage, Protocol, Usage, chat_usage, messages_tier};
use crate::json;
use crate::json::scan::{Scan, put};

/// Reads one provider's stream for one request.
#[derive(Debug)]
pub struct StreamMeter {
    protocol: Protocol,
    /// The client asked for the usage chunk; else it is held back.
    wants_usage: bool,
    /// Output tokens that the hold pays for.
    budget_tokens: u64,
    splitter: Splitter,
    /// The event that would pass the budget.
    waiting: Option<Frame>,
    last: Option<Bytes>,
    messages_usage: MessagesUsage,
    likeness: Likeness,
    seen: Seen,
}

/// What the stream has told so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes of output that were passed on, over all choices.
    pub output_bytes: u64,
    /// The provider's final usage.
    pub usage: Option<Usage>,
    pub model: Option<String>,
    pub service_tier: Option<String>,
    pub finish_reason: Option<String>,
    /// The provider told an error inside the stream.
    pub failed: bool,
    /// The protocol's last event came.
    pub ended: bool,
    /// The content block that is not closed (messages).
    pub open_block: Option<u64>,
}

/// What to do after a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes for the client, in order. Usually one piece: the read itself.
    pub relay: Vec<Bytes>,
    pub next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read on.
    More,
    /// The next event needs a budget of so many output tokens: extend the hold and `resume`, or
    /// cut the stream here.
    OverBudget { tokens: u64 },
    /// Settle, then send `last_line`.
    Last,
}

/// What one event says.
#[derive(Debug, Default)]
struct Event<'a> {
    role: Role,
    output_bytes: u64,
    /// The piece of text that most events are sent for.
    text: Option<Piece<'a>>,
    /// What only makes the event's length tell nothing.
    padding: Option<&'a str>,
    usage: Option<Piece<'a>>,
    model: Option<Text<'a>>,
    service_tier: Option<Text<'a>>,
    finish_reason: Option<Text<'a>>,
    failed: bool,
    block: BlockChange,
}

/// What an event does to the content block under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum BlockChange {
    #[default]
    None,
    Opens(u64),
    Closes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Plain,
    /// Only there for its usage: it has no choices.
    UsageOnly,
    /// Usage beside choices that say nothing; after the finish reason it is the usage chunk of
    /// some providers.
    UsageBesideNothing,
    /// Its usage replaces what came before and is final, unless another follows.
    FinalUsage,
    Last,
}

#[derive(Deserialize)]
struct ChatChunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Choices<'a>>,
    #[serde(borrow, default)]
    usage: Option<Piece<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<Piece<'a>>,
    #[serde(skip)]
    padding: Option<&'a str>,
}

/// All choices of a chunk, summed up.
#[derive(Default)]
struct Choices<'a> {
    count: u64,
    bytes: u64,
    /// Of the last choice.
    text: Option<Piece<'a>>,
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    text: Option<Piece<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct MessagesEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    message: Option<MessageStart<'a>>,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    content_block: Option<Block>,
    #[serde(borrow, default)]
    delta: Option<MessagesDelta<'a>>,
    #[serde(borrow, default)]
    usage: Option<Piece<'a>>,
}

#[derive(Deserialize)]
struct MessageStart<'a> {
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<Piece<'a>>,
}

#[derive(Deserialize)]
struct MessagesDelta<'a> {
    #[serde(borrow, default)]
    text: Piece<'a>,
    #[serde(default)]
    thinking: TextBytes,
    #[serde(default)]
    partial_json: TextBytes,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
}

impl StreamMeter {
    pub fn new(protocol: Protocol, wants_usage: bool, budget_tokens: u64) -> StreamMeter {
        StreamMeter {
            protocol,
            wants_usage,
            budget_tokens,
            splitter: Splitter::default(),
            waiting: None,
            last: None,
            messages_usage: MessagesUsage::default(),
            likeness: Likeness::default(),
            seen: Seen::default(),
        }
    }

    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Output tokens by our own count, margin included.
    pub fn output_tokens(&self) -> u64 {
        tokens_of_bytes(self.seen.output_bytes)
    }

    /// Whether so many percent of the budget are used up.
    pub fn has_used_percent(&self, percent: u64) -> bool {
        self.output_tokens().saturating_mul(100) >= self.budget_tokens.saturating_mul(percent)
    }

    /// The hold was extended, or may not be used any more.
    pub fn set_budget(&mut self, tokens: u64) {
        self.budget_tokens = tokens;
    }

    /// The protocol's last event as it came, for after the settlement.
    pub fn last_line(&self) -> Option<Bytes> {
        self.last.clone()
    }

    /// Takes a read, after the step before said `More`.
    pub fn feed(&mut self, read: Bytes) -> Result<Step, SseError> {
        self.splitter.push(read);
        self.step()
    }

    /// Goes on after `OverBudget`, usually with a larger budget.
    pub fn resume(&mut self) -> Result<Step, SseError> {
        self.step()
    }

    /// The provider closed the stream: what it left without an empty line is an event too.
    pub fn finish(&mut self) -> Step {
        let mut relay = Relay::default();
        let frame = if self.seen.ended { None } else { self.splitter.finish() };
        let next = frame.map_or(Next::More, |frame| self.take(frame, &mut relay));
        Step { relay: relay.pieces(&self.splitter), next }
    }

    fn step(&mut self) -> Result<Step, SseError> {
        let mut relay = Relay::default();
        let mut next = Next::More;
        while next == Next::More && !self.seen.ended {
            let frame = match self.waiting.take() {
                Some(frame) => frame,
                None => match self.splitter.take()? {
                    Some(frame) => frame,
                    None => break,
                },
            };
            next = self.take(frame, &mut relay);
        }
        Ok(Step { relay: relay.pieces(&self.splitter), next })
    }

    /// Meters one event and decides about it.
    fn take(&mut self, frame: Frame, relay: &mut Relay) -> Next {
        if let Some(output_bytes) = self.likeness.output_bytes(&frame.raw) {
            return self.take_known(frame, output_bytes, relay);
        }
        let fields = frame.fields();
        let event = fields.data.as_deref().map(|data| read(self.protocol, data));
        let event = event.unwrap_or_default();
        let bytes = self.seen.output_bytes.saturating_add(event.output_bytes);
        let tokens = tokens_of_bytes(bytes);
        if event.output_bytes > 0 && tokens > self.budget_tokens {
            drop(fields);
            self.waiting = Some(frame);
            return Next::OverBudget { tokens };
        }
        self.seen.output_bytes = bytes;
        let role = event.role;
        let is_usage_chunk = match role {
            Role::UsageOnly => true,
            Role::UsageBesideNothing => self.seen.finish_reason.is_some(),
            Role::Plain | Role::FinalUsage | Role::Last => false,
        };
        self.likeness.learn(&frame.raw, event.only_text(), event.padding);
        self.note(event);
        drop(fields);
        if role == Role::Last {
            self.seen.ended = true;
            self.last = Some(frame.raw);
            return Next::Last;
        }
        if self.wants_usage || !is_usage_chunk {
            relay.push(frame, &self.splitter);
        }
        Next::More
    }

    /// An event with nothing but output.
    fn take_known(&mut self, frame: Frame, output_bytes: u64, relay: &mut Relay) -> Next {
        let bytes = self.seen.output_bytes.saturating_add(output_bytes);
        let tokens = tokens_of_bytes(bytes);
        if output_bytes > 0 && tokens > self.budget_tokens {
            self.waiting = Some(frame);
            return Next::OverBudget { tokens };
        }
        self.seen.output_bytes = bytes;
        relay.push(frame, &self.splitter);
        Next::More
    }

    fn note(&mut self, event: Event<'_>) {
        if let Some(json) = event.usage {
            self.note_usage(json.0, event.role);
        }
        let seen = &mut self.seen;
        if seen.model.is_none() {
            seen.model = event.model.map(Text::into_string);
        }
        let tier = event.service_tier;
        if let Some(tier) = tier.filter(|tier| seen.service_tier.as_deref() != Some(&*tier.0)) {
            seen.service_tier = Some(tier.into_string());
        }
        if seen.finish_reason.is_none() {
            seen.finish_reason = event.finish_reason.map(Text::into_string);
        }
        seen.failed |= event.failed;
        match event.block {
            BlockChange::None => {}
            BlockChange::Opens(index) => seen.open_block = Some(index),
            BlockChange::Closes => seen.open_block = None,
        }
    }

    /// The Messages protocol tells its usage in two events; the first one's output is not final.
    fn note_usage(&mut self, json: &str, role: Role) {
        if self.protocol != Protocol::Messages {
            self.seen.usage = chat_usage(json).or(self.seen.usage);
            return;
        }
        self.messages_usage.replace_with(&MessagesUsage::read(json).unwrap_or_default());
        if let Some(tier) = messages_tier(json) {
            self.seen.service_tier = Some(tier);
        }
        if role == Role::FinalUsage {
            self.seen.usage = self.messages_usage.whole();
        }
    }
}

impl<'a> Event<'a> {
    /// The one string that it has all its output in, where it says nothing else.
    fn only_text(&self) -> Option<&'a str> {
        let says_more = self.failed
            || self.usage.is_some()
            || self.finish_reason.is_some()
            || self.role != Role::Plain
            || self.block != BlockChange::None;
        let text = self.text.filter(|text| !says_more && text.0.starts_with('"'))?;
        (text.bytes() == self.output_bytes).then_some(text.0)
    }
}

/// Pieces for the client. Events that stand side by side in the read go on as one.
#[derive(Debug, Default)]
struct Relay {
    pieces: Vec<Bytes>,
    run: Option<Range<usize>>,
}

impl Relay {
    fn push(&mut self, frame: Frame, splitter: &Splitter) {
        match (self.run.as_mut(), frame.span) {
            (Some(run), Some(span)) if run.end == span.start => run.end = span.end,
            (_, span) => {
                self.end_run(splitter);
                match span {
                    Some(span) => self.run = Some(span),
                    None => self.pieces.push(frame.raw),
                }
            }
        }
    }

    fn end_run(&mut self, splitter: &Splitter) {
        if let Some(run) = self.run.take() {
            self.pieces.push(splitter.slice(run));
        }
    }

    fn pieces(mut self, splitter: &Splitter) -> Vec<Bytes> {
        self.end_run(splitter);
        self.pieces
    }
}

/// Reads the data of one event. What cannot be read counts with all its bytes: nobody gets output
/// for nothing by breaking its JSON.
fn read(protocol: Protocol, data: &[u8]) -> Event<'_> {
    if protocol != Protocol::Messages && data.trim_ascii() == b"[DONE]" {
        return Event { role: Role::Last, ..Event::default() };
    }
    let text = std::str::from_utf8(data).ok();
    let read = match protocol {
        Protocol::Messages => match text.and_then(walked_delta) {
            Some(event) => Ok(event),
            None => json::read(data).map(messages_event),
        },
        _ => match text.and_then(ChatChunk::walked) {
            Some(chunk) => Ok(chat_event(chunk)),
            None => json::read(data).map(chat_event),
        },
    };
    read.unwrap_or_else(|_| Event { output_bytes: data.len() as u64, ..Event::default() })
}

impl<'a> ChatChunk<'a> {
    /// A usual chunk, walked over once.
    fn walked(text: &'a str) -> Option<ChatChunk<'a>> {
        let (mut model, mut tier, mut usage, mut error) = (None, None, None, None);
        let (mut ends, mut padding) = (None, None);
        let mut tally = Tally::default();
        let mut walk = Scan::of(text);
        walk.object(|walk, name| match name {
            "choices" => put(&mut ends, tally.choices(walk, "delta")?),
            "model" => put(&mut model, walk.plain_or_null()?),
            "service_tier" => put(&mut tier, walk.plain_or_null()?),
            "usage" => put(&mut usage, walk.value()?),
            "error" => put(&mut error, walk.value()?),
            "obfuscation" => walk.value().map(|value| padding = Some(value)),
            _ => walk.value().map(drop),
        })?;
        walk.end()?;
        let text_of = |json: Option<&'a str>| json.and_then(said).map(|said| Text(said.into()));
        let given = |json: Option<&'a str>| json.filter(|json| *json != "null").map(Piece);
        let choices = ends.map(|ends| Choices {
            count: ends.count,
            bytes: tally.bytes,
            text: tally.only_text().map(Piece),
            finish_reason: ends.of_any.map(|said| Text(said.into())),
        });
        let (model, service_tier) = (text_of(model), text_of(tier));
        Some(ChatChunk {
            choices,
            usage: given(usage),
            model,
            service_tier,
            error: given(error),
            padding,
        })
    }
}

/// A piece of a content block in the Messages protocol: what most of its events are.
fn walked_delta(text: &str) -> Option<Event<'_>> {
    let (mut kind, mut index, mut delta) = (None, None, None);
    let mut tally = Tally::default();
    let mut walk = Scan::of(text);
    walk.object(|walk, name| match name {
        "type" => put(&mut kind, walk.plain_or_null()?),
        "index" => put(&mut index, walk.whole()?),
        "delta" => put(&mut delta, delta_bytes(walk, &mut tally)?),
        "message" | "content_block" | "usage" => None,
        _ => walk.value().map(drop),
    })?;
    walk.end()?;
    (said(kind?)? == "content_block_delta").then(|| Event {
        output_bytes: delta.unwrap_or_default(),
        text: tally.only_text().map(Piece),
        ..Event::default()
    })
}

fn delta_bytes<'a>(walk: &mut Scan<'a>, tally: &mut Tally<'a>) -> Option<u64> {
    let mut parts = [None; 3];
    walk.object(|walk, name| match name {
        "text" => put(&mut parts[0], tally.value(walk)?),
        "thinking" => put(&mut parts[1], tally.value(walk)?),
        "partial_json" => put(&mut parts[2], tally.value(walk)?),
        "stop_reason" => None,
        _ => walk.value().map(drop),
    })?;
    Some(parts.into_iter().flatten().sum())
}

fn chat_event(chunk: ChatChunk<'_>) -> Event<'_> {
    let choices = chunk.choices.unwrap_or_default();
    let says_nothing = choices.bytes == 0 && choices.finish_reason.is_none();
    let only_usage = chunk.usage.is_some() && chunk.error.is_none() && says_nothing;
    Event {
        role: match (only_usage, choices.count) {
            (true, 0) => Role::UsageOnly,
            (true, _) => Role::UsageBesideNothing,
            (false, _) => Role::Plain,
        },
        output_bytes: choices.bytes,
        text: choices.text,
        padding: chunk.padding,
        usage: chunk.usage,
        model: chunk.model,
        service_tier: chunk.service_tier,
        finish_reason: choices.finish_reason,
        failed: chunk.error.is_some(),
        block: BlockChange::None,
    }
}

fn messages_event(event: MessagesEvent<'_>) -> Event<'_> {
    let delta = event.delta.as_ref();
    let delta_bytes =
        delta.map_or(0, |delta| delta.text.bytes() + delta.thinking.0 + delta.partial_json.0);
    let (model, start_usage) =
        event.message.map_or((None, None), |message| (message.model, message.usage));
    Event {
        role: match event.kind.0.as_ref() {
            "message_stop" => Role::Last,
            "message_delta" => Role::FinalUsage,
            _ => Role::Plain,
        },
        text: delta.map(|delta| delta.text),
        padding: None,
        output_bytes: delta_bytes + event.content_block.map_or(0, |block| block.bytes()),
        usage: event.usage.or(start_usage),
        model,
        service_tier: None,
        finish_reason: event.delta.and_then(|delta| delta.stop_reason),
        failed: event.kind.0 == "error",
        block: match event.kind.0.as_ref() {
            "content_block_start" => BlockChange::Opens(event.index),
            "content_block_stop" => BlockChange::Closes,
            _ => BlockChange::None,
        },
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sum;
        impl<'de> Visitor<'de> for Sum {
            type Value = Choices<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Choices<'de>, A::Error> {
                let mut sum = Choices::default();
                while let Some(choice) = seq.next_element::<ChunkChoice<'de>>()? {
                    let delta = choice.delta.as_ref().map_or(0, Delta::bytes);
                    let text = choice.text.map_or(0, Piece::bytes);
                    sum.count += 1;
                    sum.bytes = sum.bytes.saturating_add(delta).saturating_add(text);
                    sum.text = choice.text.or(choice.delta.map(|delta| delta.content));
                    sum.finish_reason = sum.finish_reason.or(choice.finish_reason);
                }
                Ok(sum)
            }
        }
        deserializer.deserialize_seq(Sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::tests::json_with;
    use proptest::prelude::*;

    /// All that counts of an event.
    fn told(event: &Event<'_>) -> String {
        let Event { role, output_bytes, usage, failed, block, .. } = event;
        let names = [&event.model, &event.service_tier, &event.finish_reason];
        format!("{role:?} {output_bytes} {usage:?} {failed} {block:?} {names:?}")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn no_event_is_read_otherwise_by_the_walk(text in json_with(&[
            "choices", "delta", "content", "text", "usage", "error", "model", "tool_calls",
            "function", "arguments", "finish_reason", "obfuscation", "service_tier", "x",
        ])) {
            if let Some(chunk) = ChatChunk::walked(&text) {
                let read = serde_json::from_str(&text).map(chat_event).unwrap();
                prop_assert_eq!(told(&chat_event(chunk)), told(&read));
            }
        }

        #[test]
        fn no_delta_is_read_otherwise_by_the_walk(text in json_with(&[
            "delta", "index", "text", "thinking", "partial_json", "stop_reason", "x", "usage",
            "message",
        ])) {
            let text = text.replacen('{', "{\"type\":\"content_block_delta\",", 1);
            let text = text.replacen(",}", "}", 1);
            if let Some(event) = walked_delta(&text) {
                let read = serde_json::from_str(&text).map(messages_event).unwrap();
                prop_assert_eq!(told(&event), told(&read));
            }
        }
    }
}
