//! Usage that a provider reports: bytes in, tokens by class out (paywalls 14.2, 17.6).
//!
//! An explicit zero is zero; what is absent, or cannot be read, is absent and never guessed here.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::count::{Piece, Text, TextBytes};
use super::delta::{Block, Delta, Tally, said};
use super::price::Price;
use super::vector::{Class, Quantities};
use crate::json;
use crate::json::scan::{Scan, put};

/// The endpoint's shape of bodies and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/messages`
    Messages,
}

/// What the provider says that a request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub quantities: Quantities,
    /// The provider's own figure, where it sends one, in the currency in which it bills.
    pub provider_cost: Option<Price>,
}

/// A whole answer, as far as money is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub model: Option<String>,
    pub service_tier: Option<String>,
    /// Of the first choice.
    pub finish_reason: Option<String>,
    pub usage: Option<Usage>,
    /// Bytes of text, refusal, reasoning and tool calls over all choices.
    pub output_bytes: u64,
}

/// Figures of one usage object of the Messages protocol; a later event's replace an earlier one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct MessagesUsage {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens: Option<u64>,
    server_tool_use: Option<ServerTools>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct ServerTools {
    web_search_requests: Option<u64>,
    web_fetch_requests: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChatUsage<'a> {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    #[serde(borrow)]
    cost: Option<Piece<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are the provider's")]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    audio_tokens: Option<u64>,
    image_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

/// Reads a chat, completions or embeddings `usage`. `None`: absent, `null`, or without figures.
pub fn chat_usage(json: &str) -> Option<Usage> {
    let usage = ChatUsage::walked(json).or_else(|| serde_json::from_str(json).ok())?;
    let prompt_tokens = usage.prompt_tokens?;
    let rest_of_total = || Some(usage.total_tokens?.saturating_sub(prompt_tokens));
    let completion = usage.completion_tokens.or_else(rest_of_total)?;
    let prompt = usage.prompt_tokens_details.unwrap_or_default();
    let output = usage.completion_tokens_details.unwrap_or_default();
    let mut quantities = Quantities::default();
    let inside_prompt = [
        (Class::CachedInput, prompt.cached_tokens),
        (Class::CacheWrite, prompt.cache_write_tokens),
        (Class::AudioInput, prompt.audio_tokens),
        (Class::Image, prompt.image_tokens),
    ];
    split(&mut quantities, prompt_tokens, &inside_prompt, Class::Input);
    let inside_completion =
        [(Class::Reasoning, output.reasoning_tokens), (Class::AudioOutput, output.audio_tokens)];
    split(&mut quantities, completion, &inside_completion, Class::Output);
    let provider_cost = usage.cost.and_then(|cost| decimal(cost.0));
    Some(Usage { quantities, provider_cost })
}

impl<'a> ChatUsage<'a> {
    /// Figures as they mostly come: whole numbers, each once.
    fn walked(json: &'a str) -> Option<ChatUsage<'a>> {
        let mut usage = ChatUsage::default();
        let mut walk = Scan::of(json);
        walk.object(|walk, name| match name {
            "prompt_tokens" => put(&mut usage.prompt_tokens, walk.whole()?),
            "completion_tokens" => put(&mut usage.completion_tokens, walk.whole()?),
            "total_tokens" => put(&mut usage.total_tokens, walk.whole()?),
            "prompt_tokens_details" => {
                put(&mut usage.prompt_tokens_details, PromptDetails::walked(walk)?)
            }
            "completion_tokens_details" => {
                put(&mut usage.completion_tokens_details, CompletionDetails::walked(walk)?)
            }
            // It may be null, twice, or anything.
            "cost" => None,
            _ => walk.value().map(drop),
        })?;
        walk.end().map(|()| usage)
    }
}

impl PromptDetails {
    fn walked(walk: &mut Scan<'_>) -> Option<PromptDetails> {
        let mut details = PromptDetails::default();
        walk.object(|walk, name| match name {
            "cached_tokens" => put(&mut details.cached_tokens, walk.whole()?),
            "cache_write_tokens" => put(&mut details.cache_write_tokens, walk.whole()?),
            "audio_tokens" => put(&mut details.audio_tokens, walk.whole()?),
            "image_tokens" => put(&mut details.image_tokens, walk.whole()?),
            _ => walk.value().map(drop),
        })?;
        Some(details)
    }
}

impl CompletionDetails {
    fn walked(walk: &mut Scan<'_>) -> Option<CompletionDetails> {
        let mut details = CompletionDetails::default();
        walk.object(|walk, name| match name {
            "reasoning_tokens" => put(&mut details.reasoning_tokens, walk.whole()?),
            "audio_tokens" => put(&mut details.audio_tokens, walk.whole()?),
            _ => walk.value().map(drop),
        })?;
        Some(details)
    }
}

/// Takes each part out of the total as far as it goes; what is left is `rest`. So no token counts
/// twice, whatever the parts claim.
fn split(into: &mut Quantities, total: u64, parts: &[(Class, Option<u64>)], rest: Class) {
    let mut left = total;
    for (class, tokens) in parts {
        let taken = tokens.unwrap_or_default().min(left);
        left -= taken;
        into.add(*class, taken);
    }
    into.add(rest, left);
}

/// Reads a Messages `usage` of a whole answer.
pub fn messages_usage(json: &str) -> Option<Usage> {
    MessagesUsage::read(json)?.whole()
}

impl MessagesUsage {
    pub(super) fn read(json: &str) -> Option<MessagesUsage> {
        serde_json::from_str(json).ok()
    }

    /// Figures that the later event has win; output is cumulative, so its last one counts.
    pub(super) fn replace_with(&mut self, later: &MessagesUsage) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_read_input_tokens =
            later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.server_tool_use = later.server_tool_use.or(self.server_tool_use);
    }

    /// The tokens by class; `None` while a side is unknown. Cache figures stand beside
    /// `input_tokens`, not inside.
    pub(super) fn whole(&self) -> Option<Usage> {
        let (input, output) = (self.input_tokens?, self.output_tokens?);
        let creation = self.cache_creation.unwrap_or_default();
        let hour = creation.ephemeral_1h_input_tokens.unwrap_or_default();
        let minutes = creation.ephemeral_5m_input_tokens.unwrap_or_default();
        let written = self.cache_creation_input_tokens.unwrap_or(hour.saturating_add(minutes));
        let hour = hour.min(written);
        let tools = self.server_tool_use.unwrap_or_default();
        let mut quantities = Quantities::default()
            .with(Class::Input, input)
            .with(Class::CachedInput, self.cache_read_input_tokens.unwrap_or_default())
            .with(Class::CacheWrite, written - hour)
            .with(Class::CacheWrite1h, hour)
            .with(Class::Output, output);
        quantities.add(Class::ToolCall, tools.web_search_requests.unwrap_or_default());
        quantities.add(Class::ToolCall, tools.web_fetch_requests.unwrap_or_default());
        Some(Usage { quantities, provider_cost: None })
    }
}

/// Members that every plain answer of the OpenAI family has.
#[derive(Deserialize)]
struct ChatAnswer<'a> {
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Vec<ChatChoice<'a>>,
}

#[derive(Deserialize)]
struct ChatChoice<'a> {
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Delta<'a>,
    #[serde(default)]
    text: TextBytes,
}

#[derive(Deserialize)]
struct MessagesAnswer<'a> {
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    content: Vec<Block>,
}

#[derive(Deserialize)]
struct TierOnly<'a> {
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
}

/// Reads a whole answer; `None` where it is no JSON object of the protocol
/// (`provider_bad_response`).
pub fn answer(protocol: Protocol, body: &[u8]) -> Option<Answer> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    match protocol {
        Protocol::Messages => messages_answer(body),
        Protocol::Chat | Protocol::Completions | Protocol::Embeddings => chat_answer(body),
    }
}

fn chat_answer(body: &[u8]) -> Option<Answer> {
    let walked = std::str::from_utf8(body).ok().and_then(walked_answer);
    walked.or_else(|| read_answer(body))
}

/// A usual answer, walked over once.
fn walked_answer(text: &str) -> Option<Answer> {
    let (mut model, mut tier, mut usage, mut ends) = (None, None, None, None);
    let mut tally = Tally::default();
    let mut walk = Scan::of(text);
    walk.object(|walk, name| match name {
        "model" => put(&mut model, walk.plain_or_null()?),
        "service_tier" => put(&mut tier, walk.plain_or_null()?),
        "usage" => put(&mut usage, walk.value()?),
        "choices" => put(&mut ends, tally.choices(walk, "message")?),
        _ => walk.value().map(drop),
    })?;
    walk.end()?;
    Some(Answer {
        model: model.and_then(said).map(str::to_owned),
        service_tier: tier.and_then(said).map(str::to_owned),
        finish_reason: ends.and_then(|ends| ends.of_first).map(str::to_owned),
        usage: usage.and_then(chat_usage),
        output_bytes: tally.bytes,
    })
}

fn read_answer(body: &[u8]) -> Option<Answer> {
    let answer: ChatAnswer<'_> = json::read(body).ok()?;
    let output_bytes = answer.choices.iter().fold(0_u64, |sum, choice| {
        sum.saturating_add(choice.message.bytes()).saturating_add(choice.text.0)
    });
    let first = answer.choices.into_iter().next();
    Some(Answer {
        model: answer.model.map(Text::into_string),
        service_tier: answer.service_tier.map(Text::into_string),
        finish_reason: first.and_then(|choice| choice.finish_reason).map(Text::into_string),
        usage: answer.usage.and_then(|usage| chat_usage(usage.get())),
        output_bytes,
    })
}

fn messages_answer(body: &[u8]) -> Option<Answer> {
    let answer: MessagesAnswer<'_> = json::read(body).ok()?;
    let tier = answer.usage.and_then(|usage| messages_tier(usage.get()));
    Some(Answer {
        model: answer.model.map(Text::into_string),
        service_tier: tier,
        finish_reason: answer.stop_reason.map(Text::into_string),
        usage: answer.usage.and_then(|usage| messages_usage(usage.get())),
        output_bytes: answer.content.iter().fold(0, |sum, block| sum + block.bytes()),
    })
}

/// The Messages protocol tells the tier inside its usage.
pub(super) fn messages_tier(usage: &str) -> Option<String> {
    let tier: TierOnly<'_> = serde_json::from_str(usage).ok()?;
    tier.service_tier.map(Text::into_string)
}

/// Whether the provider's own figure and ours are more than one percent of ours apart.
pub fn differs_by_a_percent(ours: Price, theirs: Price) -> bool {
    let apart = (ours.picos() - theirs.picos()).abs();
    apart.saturating_mul(100) > ours.picos()
}

const COST_PLACES: i64 = 12;
const COST_DIGITS_MAX: usize = 30;

/// A JSON number at 12 places, cut off where it has more; exponents are allowed. `None` where it
/// is no number, below zero, or absurd.
fn decimal(json: &str) -> Option<Price> {
    let text = json.trim_matches('"');
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || digits.len() > COST_DIGITS_MAX {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i64::try_from(fraction.len()).ok()?;
    let shift = COST_PLACES - places + exponent.clamp(-100, 100);
    let power = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?);
    let picos = match (shift < 0, power) {
        (true, power) => power.map_or(0, |power| mantissa / power),
        (false, power) => mantissa.checked_mul(power?)?,
    };
    Some(Price::from_picos(picos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::tests::json_with;
    use proptest::prelude::*;

    fn quantities(parts: &[(Class, u64)]) -> Quantities {
        parts.iter().fold(Quantities::default(), |sum, (class, n)| sum.with(*class, *n))
    }

    #[test]
    fn chat_usage_counts_each_token_once() {
        use Class::{AudioInput, AudioOutput, CachedInput, Input, Output, Reasoning};
        let table: [(&str, &[(Class, u64)]); 8] = [
            (
                r#"{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}"#,
                &[(Input, 10), (Output, 4)],
            ),
            (
                r#"{"prompt_tokens":100,"completion_tokens":50,
                    "prompt_tokens_details":{"cached_tokens":60,"audio_tokens":10},
                    "completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":5,
                    "accepted_prediction_tokens":3}}"#,
                &[
                    (Input, 30),
                    (CachedInput, 60),
                    (AudioInput, 10),
                    (Output, 25),
                    (Reasoning, 20),
                    (AudioOutput, 5),
                ],
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":3,
                    "prompt_tokens_details":{"cached_tokens":8,"audio_tokens":8},
                    "completion_tokens_details":{"reasoning_tokens":9}}"#,
                &[(CachedInput, 8), (AudioInput, 2), (Reasoning, 3)],
            ),
            (r#"{"prompt_tokens":0,"completion_tokens":0}"#, &[]),
            (r#"{"prompt_tokens":7,"total_tokens":7}"#, &[(Input, 7)]),
            (
                r#"{"prompt_tokens":7,"completion_tokens":null,"total_tokens":9}"#,
                &[(Input, 7), (Output, 2)],
            ),
            (
                r#"{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":null,
                    "completion_tokens_details":{"reasoning_tokens":null}}"#,
                &[(Input, 7), (Output, 1)],
            ),
            (
                r#"{"prompt_tokens":18446744073709551615,"completion_tokens":1}"#,
                &[(Input, u64::MAX), (Output, 1)],
            ),
        ];
        for (json, expected) in table {
            let usage = chat_usage(json).unwrap();
            assert_eq!(usage.quantities, quantities(expected), "{json}");
        }
    }

    #[test]
    fn usage_without_figures_is_absent() {
        for json in ["null", "{}", "[]", "1", r#"{"prompt_tokens":5}"#, r#"{"total_tokens":5}"#] {
            assert_eq!(chat_usage(json), None, "{json}");
        }
        for json in [
            r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
            r#"{"prompt_tokens":"5","completion_tokens":1}"#,
            r#"{"prompt_tokens":1.5,"completion_tokens":1}"#,
        ] {
            assert_eq!(chat_usage(json), None, "{json}");
        }
        assert_eq!(messages_usage(r#"{"input_tokens":5}"#), None);
        assert_eq!(messages_usage("null"), None);
    }

    #[test]
    fn messages_usage_adds_the_cache_to_the_input() {
        use Class::{CacheWrite, CacheWrite1h, CachedInput, Input, Output, ToolCall};
        let table: [(&str, &[(Class, u64)]); 4] = [
            (r#"{"input_tokens":10,"output_tokens":4}"#, &[(Input, 10), (Output, 4)]),
            (
                r#"{"input_tokens":10,"cache_read_input_tokens":100,
                    "cache_creation_input_tokens":50,"output_tokens":4,
                    "cache_creation":{"ephemeral_5m_input_tokens":20,
                    "ephemeral_1h_input_tokens":30}}"#,
                &[
                    (Input, 10),
                    (CachedInput, 100),
                    (CacheWrite, 20),
                    (CacheWrite1h, 30),
                    (Output, 4),
                ],
            ),
            (
                r#"{"input_tokens":1,"output_tokens":1,"cache_creation":
                    {"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3}}"#,
                &[(Input, 1), (CacheWrite, 2), (CacheWrite1h, 3), (Output, 1)],
            ),
            (
                r#"{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":2,
                    "server_tool_use":{"web_search_requests":3}}"#,
                &[(Input, 1), (CacheWrite, 2), (Output, 1), (ToolCall, 3)],
            ),
        ];
        for (json, expected) in table {
            let usage = messages_usage(json).unwrap();
            assert_eq!(usage.quantities, quantities(expected), "{json}");
        }
        let whole = messages_usage(table[1].0).unwrap().quantities;
        assert_eq!((whole.prompt_tokens(), whole.completion_tokens()), (160, 4));
    }

    #[test]
    fn the_providers_own_cost_is_read_exactly() {
        let table = [
            ("0.00014", Some("0.00014")),
            ("1.4e-4", Some("0.00014")),
            ("\"0.5\"", Some("0.5")),
            ("0", Some("0")),
            ("2E2", Some("200")),
            ("1e-13", Some("0")),
            ("0.0000000000019", Some("0.000000000001")),
            ("1e40", None),
            ("-1", None),
            ("null", None),
            ("{}", None),
        ];
        for (json, cost) in table {
            let usage = format!(r#"{{"prompt_tokens":1,"completion_tokens":1,"cost":{json}}}"#);
            let read = chat_usage(&usage).unwrap().provider_cost.map(|cost| cost.to_string());
            assert_eq!(read.as_deref(), cost, "{json}");
        }
        let price = |text| Price::parse(text).unwrap();
        assert!(!differs_by_a_percent(price("1"), price("1.01")));
        assert!(differs_by_a_percent(price("1"), price("1.0100001")));
        assert!(differs_by_a_percent(price("0"), price("0.1")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn no_answer_is_read_otherwise_by_the_walk(text in json_with(&[
            "choices", "message", "content", "text", "usage", "prompt_tokens", "total_tokens",
            "prompt_tokens_details", "cached_tokens", "tool_calls", "function", "name", "model",
            "finish_reason", "reasoning", "reasoning_content", "x",
        ])) {
            if let Some(answer) = walked_answer(&text) {
                prop_assert_eq!(Some(answer), read_answer(text.as_bytes()));
            }
            if let Some(usage) = ChatUsage::walked(&text) {
                let read = serde_json::from_str::<ChatUsage<'_>>(&text);
                prop_assert_eq!(format!("{usage:?}"), format!("{:?}", read.unwrap()));
            }
        }
    }

    #[test]
    fn what_the_walk_reads_of_an_answer_is_what_serde_reads() {
        let choice = r#""message":{"content":"a\n","refusal":null,"reasoning":"abc",
            "reasoning_content":"abcd","tool_calls":[{"function":{"name":"f","arguments":"{}"}},
            {"custom":{"input":"x"}}],"audio":{"data":"1","transcript":[]},
            "function_call":null},"finish_reason":"stop""#;
        let usual = [
            "{}".to_owned(),
            format!(r#"{{"model":"m","service_tier":null,"choices":[{{{choice}}}],"usage":null}}"#),
            format!(r#"{{"choices":[{{"text":"abc"}},{{{choice}}}],"x":[{{}}]}}"#),
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#.to_owned(),
        ];
        for text in usual {
            assert_eq!(walked_answer(&text), read_answer(text.as_bytes()), "{text}");
        }
        let odd = [
            r#"{"choices":null}"#,
            r#"{"choices":[{"message":null}]}"#,
            r#"{"model":5}"#,
            r#"{"model":null,"model":"m"}"#,
            r#"{"choices":[{"message":{"content":1,"content":2}}]}"#,
            r#"{"choices":[{"message":{"tool_calls":[null]}}]}"#,
            r#"{"choices":[]} 1"#,
            r#"{"choices":[{"message":{"audio":[]}}]}"#,
            r#"{"x":"\u00"}"#,
            r#"{"choices":[{"finish_reason":"a","finish_reason":"a"}]}"#,
        ];
        for text in odd {
            assert_eq!(walked_answer(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_tells_model_tier_end_and_size() {
        let body = br#"{"id":"x","model":"gpt-5-2025","service_tier":"flex","choices":[
            {"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hello",
             "tool_calls":null}},
            {"index":1,"message":{"content":"hi"}}],
            "usage":{"prompt_tokens":1,"completion_tokens":0}}"#;
        let read = answer(Protocol::Chat, body).unwrap();
        assert_eq!(read.model.as_deref(), Some("gpt-5-2025"));
        assert_eq!(read.service_tier.as_deref(), Some("flex"));
        assert_eq!(read.finish_reason.as_deref(), Some("stop"));
        assert_eq!(read.usage.unwrap().quantities.completion_tokens(), 0);
        assert_eq!(read.output_bytes, 7);
        let message = br#"{"type":"message","model":"claude","stop_reason":"end_turn",
            "content":[{"type":"text","text":"hello"}],
            "usage":{"input_tokens":3,"output_tokens":2,"service_tier":"standard"}}"#;
        let read = answer(Protocol::Messages, message).unwrap();
        assert_eq!(read.service_tier.as_deref(), Some("standard"));
        assert_eq!(read.usage.unwrap().quantities.prompt_tokens(), 3);
        assert_eq!(answer(Protocol::Chat, b"<html>"), None);
        assert_eq!(answer(Protocol::Chat, b"[]"), None);
        assert_eq!(answer(Protocol::Chat, b"{\"usage\":null}").unwrap(), Answer::default());
    }
}
