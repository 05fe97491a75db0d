//! What of a message, or of a piece of one, is output: text, refusal, reasoning, audio transcript,
//! names and arguments of tool calls (paywalls 17.5). Its bytes are counted and not kept.

use serde::Deserialize;

use super::count::{Piece, TextBytes};

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
