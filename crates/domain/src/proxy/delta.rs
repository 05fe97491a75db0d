//! What of a message, or of a piece of one, is output: text, refusal, reasoning, audio transcript,
//! names and arguments of tool calls (paywalls 17.5). Its bytes are counted and not kept.

use serde::Deserialize;

use super::count::{Piece, TextBytes};
use crate::json::scan::{Scan, put};

/// `message` of a chat choice, or `delta` of a chat chunk.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) content: Piece<'a>,
    refusal: TextBytes,
    /// Two names for the same text; some providers send both.
    reasoning: TextBytes,
    reasoning_content: TextBytes,
    audio: Option<Audio>,
    tool_calls: Option<Vec<ToolCall>>,
    function_call: Option<Call>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Audio {
    data: TextBytes,
    transcript: TextBytes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToolCall {
    function: Option<Call>,
    custom: Option<Call>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Call {
    name: TextBytes,
    arguments: TextBytes,
    input: TextBytes,
}

/// A content block of a message, or the delta of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Block {
    text: TextBytes,
    thinking: TextBytes,
    name: TextBytes,
    input: TextBytes,
    partial_json: TextBytes,
}

/// Output that is counted as it is walked over. A walk gives up on what has an odd shape, which
/// then is read as the types above.
#[derive(Debug, Default)]
pub(super) struct Tally<'a> {
    pub(super) bytes: u64,
    /// The last value that had any.
    last: Option<&'a str>,
    values: u64,
}

/// What the choices of an answer or of a chunk say beside their output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends<'a> {
    pub(super) count: u64,
    /// `finish_reason` of the first choice, and the first that any has.
    pub(super) of_first: Option<&'a str>,
    pub(super) of_any: Option<&'a str>,
}

impl<'a> Tally<'a> {
    /// The one string that has all the bytes.
    pub(super) fn only_text(&self) -> Option<&'a str> {
        self.last.filter(|last| self.values == 1 && last.starts_with('"'))
    }

    /// Bytes of the value that comes next, which the caller adds.
    pub(super) fn value(&mut self, walk: &mut Scan<'a>) -> Option<u64> {
        let (json, bytes) = if walk.peek()? == b'"' {
            let string = walk.string()?;
            (string.json, string.text_bytes)
        } else {
            let json = walk.value()?;
            (json, TextBytes::of(json).0)
        };
        if bytes > 0 {
            self.last = Some(json);
            self.values += 1;
        }
        Some(bytes)
    }

    /// The choices of a whole answer (`part` is `message`) or of a chunk (`delta`).
    pub(super) fn choices(&mut self, walk: &mut Scan<'a>, part: &str) -> Option<Ends<'a>> {
        let mut ends = Ends::default();
        walk.list(|walk| {
            let end = said(self.choice(walk, part)?);
            if ends.count == 0 {
                ends.of_first = end;
            }
            ends.of_any = ends.of_any.or(end);
            ends.count += 1;
            Some(())
        })?;
        Some(ends)
    }

    /// Its `finish_reason` as it stands there.
    fn choice(&mut self, walk: &mut Scan<'a>, part: &str) -> Option<&'a str> {
        let (mut end, mut text, mut delta) = (None, None, None);
        walk.object(|walk, name| match name {
            "finish_reason" => put(&mut end, walk.plain_or_null()?),
            "text" => put(&mut text, self.value(walk)?),
            "delta" if part == name && walk.peek()? == b'n' => {
                walk.value()?;
                put(&mut delta, 0)
            }
            _ if part == name => put(&mut delta, self.delta(walk)?),
            _ => walk.value().map(drop),
        })?;
        let bytes = text.unwrap_or_default() + delta.unwrap_or_default();
        self.bytes = self.bytes.saturating_add(bytes);
        Some(end.unwrap_or_default())
    }

    /// `Delta::bytes`, walked.
    fn delta(&mut self, walk: &mut Scan<'a>) -> Option<u64> {
        let mut parts = [None; 7];
        walk.object(|walk, name| match name {
            "content" => put(&mut parts[0], self.value(walk)?),
            "refusal" => put(&mut parts[1], self.value(walk)?),
            "reasoning" => put(&mut parts[2], self.value(walk)?),
            "reasoning_content" => put(&mut parts[3], self.value(walk)?),
            "audio" => put(&mut parts[4], self.members(walk, &["data", "transcript"])?),
            "tool_calls" => put(&mut parts[5], self.tool_calls(walk)?),
            "function_call" => put(&mut parts[6], self.members(walk, &CALL)?),
            _ => walk.value().map(drop),
        })?;
        let [content, refusal, reasoning, same, audio, tools, function] =
            parts.map(Option::unwrap_or_default);
        Some(content + refusal + reasoning.max(same) + audio + tools + function)
    }

    fn tool_calls(&mut self, walk: &mut Scan<'a>) -> Option<u64> {
        let mut sum = 0;
        if walk.peek()? == b'n' {
            return walk.value().map(|_| 0);
        }
        walk.list(|walk| {
            let (mut function, mut custom) = (None, None);
            walk.object(|walk, name| match name {
                "function" => put(&mut function, self.members(walk, &CALL)?),
                "custom" => put(&mut custom, self.members(walk, &CALL)?),
                _ => walk.value().map(drop),
            })?;
            sum += function.unwrap_or_default() + custom.unwrap_or_default();
            Some(())
        })?;
        Some(sum)
    }

    /// Bytes of these members of an object, or of null.
    fn members(&mut self, walk: &mut Scan<'a>, names: &[&str]) -> Option<u64> {
        if walk.peek()? == b'n' {
            return walk.value().map(|_| 0);
        }
        let mut counts = [None; 3];
        walk.object(|walk, name| {
            let counted = names.iter().zip(&mut counts).find(|(counted, _)| **counted == name);
            match counted {
                Some((_, count)) => put(count, self.value(walk)?),
                None => walk.value().map(drop),
            }
        })?;
        Some(counts.into_iter().flatten().sum())
    }
}

/// Members of a call that are output.
const CALL: [&str; 3] = ["name", "arguments", "input"];

/// The text of a plain string; `None` for null.
pub(super) fn said(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

impl Delta<'_> {
    pub(super) fn bytes(&self) -> u64 {
        let reasoning = self.reasoning.max(self.reasoning_content);
        let audio = self.audio.as_ref().map_or(0, |audio| audio.data.0 + audio.transcript.0);
        let tools = self.tool_calls.iter().flatten().map(ToolCall::bytes).sum::<u64>();
        let function = self.function_call.as_ref().map_or(0, Call::bytes);
        self.content.bytes() + self.refusal.0 + reasoning.0 + audio + tools + function
    }
}

impl ToolCall {
    fn bytes(&self) -> u64 {
        [&self.function, &self.custom].into_iter().flatten().map(Call::bytes).sum()
    }
}

impl Call {
    fn bytes(&self) -> u64 {
        self.name.0 + self.arguments.0 + self.input.0
    }
}

impl Block {
    pub(super) fn bytes(&self) -> u64 {
        self.text.0 + self.thinking.0 + self.name.0 + self.input.0 + self.partial_json.0
    }
}
