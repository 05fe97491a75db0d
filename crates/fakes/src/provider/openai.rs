//! Answers in the words of OpenAI's chat completions, plain and as chunks.

use serde::Serialize;

use super::ask::Ask;
use super::framing::{self, Event, Plain, Script};
use super::reply::{Finish, Reply, Usage};

/// A fake reads no clock: every answer was made then.
pub(super) const CREATED: i64 = 1_767_225_600;
const FINGERPRINT: &str = "fp_fake";

#[derive(Serialize)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
    service_tier: &'static str,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u64,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: &'a [ChunkChoice<'a>],
    /// Null until the last chunk of a stream that asked for it; absent in others.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<ChunkUsage<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ChunkUsage<'a> {
    NotYet(()),
    Known(&'a UsageBody),
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u64,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Serialize)]
pub(super) struct UsageBody {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the protocol's names")]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
    /// OpenRouter's; absent where nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the protocol's names")]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

pub(super) fn answer(ask: &Ask, number: u64) -> Script {
    let reply = Reply::compose(ask);
    if ask.stream {
        let id = format!("chatcmpl-fake-{number}");
        let events = Chunks { ask, reply: &reply, id }.events();
        framing::stream(events, number, &ask.switches)
    } else {
        Plain::new(200, number, plain(ask, &reply, number)).with_faults(&ask.switches)
    }
}

fn plain(ask: &Ask, reply: &Reply, number: u64) -> Vec<u8> {
    let text = reply.text();
    let choice = |index| Choice {
        index,
        message: message(reply, &text, (number, index)),
        logprobs: None,
        finish_reason: reason(reply.finish),
    };
    let body = Completion {
        id: format!("chatcmpl-fake-{number}"),
        object: "chat.completion",
        created: CREATED,
        model: &ask.model,
        choices: (0..ask.choices).map(choice).collect(),
        usage: reply.usage.map(usage),
        service_tier: "default",
        system_fingerprint: FINGERPRINT,
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

fn message<'a>(reply: &'a Reply, text: &'a str, (number, index): (u64, u64)) -> Message<'a> {
    let call = |name| ToolCall {
        index: None,
        id: Some(format!("call_fake_{number}_{index}")),
        kind: Some("function"),
        function: Function { name: Some(name), arguments: text },
    };
    let content = reply.call.is_none().then_some(text);
    let tool_calls = reply.call.as_deref().map(call).into_iter().collect();
    Message { role: "assistant", content, refusal: None, tool_calls }
}

pub(super) fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Call => "tool_calls",
    }
}

pub(super) fn usage(usage: Usage) -> UsageBody {
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    UsageBody {
        prompt_tokens: usage.prompt,
        completion_tokens: usage.completion,
        total_tokens: usage.prompt.saturating_add(usage.completion),
        prompt_tokens_details: PromptDetails {
            cached_tokens: usage.cached,
            audio_tokens: 0,
            cache_write_tokens: Some(written).filter(|written| *written > 0),
        },
        completion_tokens_details: CompletionDetails {
            reasoning_tokens: usage.reasoning,
            audio_tokens: 0,
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
        },
    }
}

/// Stands for a piece until it is known.
const MARK: &str = "@";

/// The JSON around the piece of a delta.
struct Frame {
    before: String,
    after: String,
}

impl Frame {
    /// The delta with this piece, which is JSON already.
    fn around(&self, piece: &str) -> Event {
        let data = [&self.before, piece, &self.after].concat();
        Event { name: None, data, delta: true }
    }
}

/// The events of one stream.
struct Chunks<'a> {
    ask: &'a Ask,
    reply: &'a Reply,
    id: String,
}

impl Chunks<'_> {
    fn events(&self) -> Vec<Event> {
        let mut events = Vec::with_capacity(self.reply.pieces.len() + 4);
        for index in 0..self.ask.choices {
            events.push(self.event(index, self.opening(index), None));
        }
        let frames: Vec<Frame> = (0..self.ask.choices).map(|index| self.frame(index)).collect();
        for piece in &self.reply.pieces {
            let piece = serde_json::to_string(piece).unwrap_or_default();
            events.extend(frames.iter().map(|frame| frame.around(&piece)));
        }
        for index in 0..self.ask.choices {
            events.push(self.event(index, Delta::default(), Some(reason(self.reply.finish))));
        }
        if let Some(usage) = self.reply.usage.filter(|_| self.ask.include_usage).map(self::usage) {
            events.push(Event { name: None, data: self.data(&[], Some(&usage)), delta: false });
        }
        events.push(Event { name: None, data: "[DONE]".to_owned(), delta: false });
        events
    }

    /// The role, and the tool that is called, with a first empty text as providers send it.
    fn opening(&self, index: u64) -> Delta<'_> {
        let call = |name| ToolCall {
            index: Some(0),
            id: Some(format!("call_fake_{}_{index}", self.id)),
            kind: Some("function"),
            function: Function { name: Some(name), arguments: "" },
        };
        Delta {
            role: Some("assistant"),
            content: self.reply.call.is_none().then_some(""),
            tool_calls: self.reply.call.as_deref().map(call).into_iter().collect(),
        }
    }

    /// The deltas of a choice differ in their piece alone, so all else is put into JSON once.
    fn frame(&self, index: u64) -> Frame {
        let sample = self.event(index, self.piece(MARK), None).data;
        // The piece comes after every other text.
        let (before, after) = sample.rsplit_once("\"@\"").unwrap_or_default();
        Frame { before: before.to_owned(), after: after.to_owned() }
    }

    fn piece<'a>(&self, piece: &'a str) -> Delta<'a> {
        let function = Function { name: None, arguments: piece };
        let call = ToolCall { index: Some(0), id: None, kind: None, function };
        match self.reply.call {
            Some(_) => Delta { tool_calls: vec![call], ..Delta::default() },
            None => Delta { content: Some(piece), ..Delta::default() },
        }
    }

    fn event(&self, index: u64, delta: Delta<'_>, finish_reason: Option<&'static str>) -> Event {
        let carries = delta.role.is_none() && finish_reason.is_none();
        let choice = ChunkChoice { index, delta, logprobs: None, finish_reason };
        Event { name: None, data: self.data(&[choice], None), delta: carries }
    }

    fn data(&self, choices: &[ChunkChoice<'_>], usage: Option<&UsageBody>) -> String {
        let field = usage.map_or(ChunkUsage::NotYet(()), ChunkUsage::Known);
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: CREATED,
            model: &self.ask.model,
            system_fingerprint: FINGERPRINT,
            choices,
            usage: self.ask.include_usage.then_some(field),
        };
        serde_json::to_string(&chunk).unwrap_or_default()
    }
}
