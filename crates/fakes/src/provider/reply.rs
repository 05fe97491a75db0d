//! What the fake says and what it claims to have used, before any protocol puts it into words.

use std::borrow::Cow;

use super::ask::{Ask, Form};
use super::switches::Switches;

const WORDS: [&str; 8] =
    ["amber", " birch", " cedar", " delta", " ember", " fjord", " grove", " heron"];
/// Any word after the last of the list starts over; only the first of all has no blank before it.
const FIRST_AGAIN: &str = " amber";
const WORDS_USUAL: u64 = 10;
/// Answers are made in memory.
const WORDS_MAX: u64 = 4_000_000;
const PIECE_BYTES: usize = 4;
const BIG_BYTES: usize = 1_000_000;
pub(super) const EMOJI: char = '🦀';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
    Call,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// All of the prompt, the cached part and the written part included.
    pub(super) prompt: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) cache_write_1h: u64,
    /// All of the output, reasoning included.
    pub(super) completion: u64,
    pub(super) reasoning: u64,
}

#[derive(Debug)]
pub(super) struct Reply {
    /// The deltas of one choice: text, or the arguments of the call.
    pub(super) pieces: Vec<Cow<'static, str>>,
    /// The tool that is called.
    pub(super) call: Option<String>,
    pub(super) finish: Finish,
    pub(super) usage: Option<Usage>,
}

/// The pieces of one choice, their tokens, and whether the cap ended them.
struct Said {
    pieces: Vec<Cow<'static, str>>,
    tokens: u64,
    short: bool,
}

impl Reply {
    pub(super) fn compose(ask: &Ask) -> Reply {
        let cap = ask.output_max.unwrap_or(u64::MAX);
        let wanted = ask.switches.number("reasoning").unwrap_or(0);
        let reasoning = wanted.min(cap);
        let said = said(ask, cap - reasoning);
        let (call, finish) = match &ask.form {
            _ if said.short || reasoning < wanted => (name(&ask.form), Finish::Length),
            Form::Call { .. } => (name(&ask.form), Finish::Call),
            _ => (None, Finish::Stop),
        };
        let each = reasoning.saturating_add(said.tokens);
        let usage =
            usage(ask, each.saturating_mul(ask.choices), reasoning.saturating_mul(ask.choices));
        Reply { pieces: said.pieces, call, finish, usage }
    }

    pub(super) fn text(&self) -> String {
        self.pieces.concat()
    }
}

fn name(form: &Form) -> Option<String> {
    let Form::Call { name, .. } = form else { return None };
    Some(name.clone())
}

fn said(ask: &Ask, cap: u64) -> Said {
    match &ask.form {
        Form::Words | Form::WordsInJson => words(ask, cap),
        Form::Json(text) => pieces_of(text, cap),
        Form::Call { arguments, .. } => {
            let mut said = pieces_of(arguments, cap.saturating_sub(1));
            said.tokens += 1;
            said
        }
    }
}

fn words(ask: &Ask, cap: u64) -> Said {
    let switches = &ask.switches;
    let asked = switches.number("words").or(switches.number("chunks")).unwrap_or(WORDS_USUAL);
    let asked = asked.min(WORDS_MAX);
    let tokens = asked.min(cap);
    let mut pieces: Vec<Cow<'static, str>> = (0..tokens).map(|at| word(at).into()).collect();
    decorate(&mut pieces, switches);
    let short = tokens < asked;
    if ask.form == Form::WordsInJson {
        wrap(&mut pieces, short);
    }
    Said { pieces: grouped(pieces, switches.count("chunks")), tokens, short }
}

fn word(at: u64) -> &'static str {
    let index = usize::try_from(at % 8).unwrap_or(0);
    if at > 0 && index == 0 { FIRST_AGAIN } else { WORDS[index] }
}

fn decorate(pieces: &mut [Cow<'static, str>], switches: &Switches) {
    if switches.has("emoji-split") {
        for piece in &mut *pieces {
            piece.to_mut().push(EMOJI);
        }
    }
    let big = switches.has("big-event").then(|| switches.count("big-event").unwrap_or(BIG_BYTES));
    if let (Some(bytes), Some(first)) = (big, pieces.first_mut()) {
        *first = "x".repeat(bytes).into();
    }
}

/// A JSON object around the words; one that was ended by the cap stays open, as it does in life.
fn wrap(pieces: &mut [Cow<'static, str>], short: bool) {
    if let Some(first) = pieces.first_mut() {
        first.to_mut().insert_str(0, "{\"answer\":\"");
    }
    if let Some(last) = pieces.last_mut().filter(|_| !short) {
        last.to_mut().push_str("\"}");
    }
}

fn grouped(pieces: Vec<Cow<'static, str>>, chunks: Option<usize>) -> Vec<Cow<'static, str>> {
    match chunks {
        Some(chunks) if chunks > 0 && chunks < pieces.len() => {
            let each = pieces.len().div_ceil(chunks);
            pieces.chunks(each).map(|group| group.concat().into()).collect()
        }
        _ => pieces,
    }
}

fn pieces_of(text: &str, cap: u64) -> Said {
    let mut pieces = vec![String::new()];
    for letter in text.chars() {
        if pieces.last().is_some_and(|piece| piece.len() >= PIECE_BYTES) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(letter);
        }
    }
    let all = pieces.len();
    pieces.truncate(usize::try_from(cap).unwrap_or(usize::MAX));
    let tokens = u64::try_from(pieces.len()).unwrap_or(u64::MAX);
    let short = pieces.len() < all;
    Said { pieces: pieces.into_iter().map(Cow::from).collect(), tokens, short }
}

fn usage(ask: &Ask, completion: u64, reasoning: u64) -> Option<Usage> {
    let switches = &ask.switches;
    if switches.has("no-usage") {
        return None;
    }
    if switches.has("zero-usage") {
        return Some(Usage::default());
    }
    let prompt = switches.number("prompt-tokens").unwrap_or(ask.prompt_tokens);
    let mut left = prompt;
    let mut part = |name| {
        let taken = switches.number(name).unwrap_or(0).min(left);
        left -= taken;
        taken
    };
    Some(Usage {
        prompt,
        cached: part("cached"),
        cache_write: part("cache-write"),
        cache_write_1h: part("cache-write-1h"),
        completion: switches.number("completion-tokens").unwrap_or(completion),
        reasoning,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::ask;

    fn reply(prompt: &str, more: &serde_json::Value) -> Reply {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": prompt}]});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        Reply::compose(&ask::openai(&body).unwrap())
    }

    #[test]
    fn usage_follows_the_rule_of_the_words() {
        let cap = json!({"max_tokens": 4});
        let tool = json!({"tools": [{"type": "function", "function": {"name": "f",
            "parameters": {"properties": {"a": {"type": "integer"}}}}}]});
        let object = json!({"response_format": {"type": "json_object"}});
        let cases = [
            ("one two three", json!({}), (3, 0, 10, 0), Finish::Stop),
            ("[words 5] x", json!({}), (3, 0, 5, 0), Finish::Stop),
            ("[chunks 52]", json!({"n": 2}), (2, 0, 104, 0), Finish::Stop),
            ("a b", cap.clone(), (2, 0, 4, 0), Finish::Length),
            ("[reasoning 3] b", cap.clone(), (3, 0, 4, 3), Finish::Length),
            ("[reasoning 9] b", cap, (3, 0, 4, 4), Finish::Length),
            ("[cached 2] a b", json!({}), (4, 2, 10, 0), Finish::Stop),
            ("[cached 9] a b", json!({}), (4, 4, 10, 0), Finish::Stop),
            ("[prompt-tokens 70] [cached 9]", json!({}), (70, 9, 10, 0), Finish::Stop),
            ("[completion-tokens 70]", json!({}), (2, 0, 70, 0), Finish::Stop),
            // {"a":1} has seven bytes, so two tokens beside the name.
            ("[tool]", tool, (1, 0, 3, 0), Finish::Call),
            ("a", object, (1, 0, 10, 0), Finish::Stop),
        ];
        for (prompt, more, (prompt_tokens, cached, completion, reasoning), finish) in cases {
            let reply = reply(prompt, &more);
            let expected =
                Usage { prompt: prompt_tokens, cached, completion, reasoning, ..Usage::default() };
            assert_eq!((reply.usage, reply.finish), (Some(expected), finish), "{prompt} {more}");
        }
    }

    #[test]
    fn words_in_json_are_json_unless_the_cap_ended_them() {
        let format = json!({"response_format": {"type": "json_object"}});
        let whole = reply("[words 2]", &format).text();
        assert_eq!(whole, "{\"answer\":\"amber birch\"}");
        let mut capped = format;
        capped["max_tokens"] = json!(1);
        assert_eq!(reply("[words 2]", &capped).text(), "{\"answer\":\"amber");
    }

    #[test]
    fn chunks_and_words_divide_as_told() {
        let pieces = |prompt| reply(prompt, &json!({})).pieces.len();
        assert_eq!([pieces("[chunks 52]"), pieces("[words 9] [chunks 3]")], [52, 3]);
        assert_eq!(pieces("[words 2] [chunks 3]"), 2);
        assert!(reply("[no-usage]", &json!({})).usage.is_none());
        assert_eq!(reply("[zero-usage]", &json!({})).usage, Some(Usage::default()));
        assert_eq!(reply("[big-event]", &json!({})).pieces[0].len(), 1_000_000);
    }
}
