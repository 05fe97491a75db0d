//! A request's body, read once for what pricing and forwarding need (paywalls 16.2, 17).
//!
//! The body itself is kept and passed on as it came (`edit`); nothing here judges a wallet.

use serde::Deserialize;

use super::count::{Piece, Text};
use super::measure::{Measure, each_element, each_member};
use super::usage::Protocol;
use crate::json::{self, scan};

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub model: String,
    pub stream: bool,
    /// `stream_options.include_usage`
    pub wants_usage: bool,
    /// The two fields in which a client can cap the output.
    pub max_tokens: Option<u64>,
    pub max_completion_tokens: Option<u64>,
    /// How often an output is made: `n` or `best_of`, times the prompts of a completion.
    pub choices: u64,
    /// `user`, or `metadata.user_id` of the Messages protocol; empty text is none.
    pub user: Option<String>,
    pub service_tier: Option<String>,
    /// The answer may be spoken.
    pub wants_audio: bool,
    pub measure: Measure,
}

/// Why a body is refused (400 `invalid_request`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{param}: {problem}")]
pub struct AskError {
    /// The member; empty for the body itself.
    pub param: &'static str,
    pub problem: AskProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskProblem {
    #[error("the body is not a JSON object that can be read: {0}")]
    NotJson(String),
    #[error("is required")]
    Missing,
    #[error("must be a string that is not empty")]
    NotAString,
    #[error("must be a list")]
    NotAList,
    #[error("must be true or false")]
    NotABoolean,
    #[error("must be a whole number of at least {0}")]
    NotWhole(u64),
}

/// Known members. A member that stands there twice is refused: we and the provider might each read
/// another one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Piece<'a>>,
    #[serde(borrow)]
    stream: Option<Piece<'a>>,
    #[serde(borrow)]
    stream_options: Option<Piece<'a>>,
    #[serde(borrow)]
    max_tokens: Option<Piece<'a>>,
    #[serde(borrow)]
    max_completion_tokens: Option<Piece<'a>>,
    #[serde(borrow)]
    n: Option<Piece<'a>>,
    #[serde(borrow)]
    best_of: Option<Piece<'a>>,
    #[serde(borrow)]
    user: Option<Piece<'a>>,
    #[serde(borrow)]
    metadata: Option<Piece<'a>>,
    #[serde(borrow)]
    service_tier: Option<Piece<'a>>,
    #[serde(borrow)]
    modalities: Option<Piece<'a>>,
    #[serde(borrow)]
    messages: Option<Piece<'a>>,
    #[serde(borrow)]
    system: Option<Piece<'a>>,
    #[serde(borrow)]
    prompt: Option<Piece<'a>>,
    #[serde(borrow)]
    input: Option<Piece<'a>>,
    #[serde(borrow)]
    cache_control: Option<Piece<'a>>,
    #[serde(borrow)]
    tools: Option<Piece<'a>>,
    #[serde(borrow)]
    functions: Option<Piece<'a>>,
    #[serde(borrow)]
    response_format: Option<Piece<'a>>,
}

#[derive(Default, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl Ask {
    pub fn read(protocol: Protocol, body: &[u8]) -> Result<Ask, AskError> {
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(refused("", AskProblem::NotJson("it is no object".to_owned())));
        }
        let body = Body::read(body)
            .map_err(|error| refused("", AskProblem::NotJson(error.to_string())))?;
        let model = string(body.model, "model")?;
        let model = model.ok_or_else(|| refused("model", AskProblem::Missing))?;
        let (measure, prompts) = body.measure(protocol)?;
        let times = whole(body.n, "n", 1)?.max(whole(body.best_of, "best_of", 1)?).unwrap_or(1);
        Ok(Ask {
            model,
            stream: flag(body.stream, "stream")?,
            wants_usage: body.wants_usage(),
            max_tokens: whole(body.max_tokens, "max_tokens", 0)?,
            max_completion_tokens: whole(body.max_completion_tokens, "max_completion_tokens", 0)?,
            choices: times.saturating_mul(prompts),
            user: body.user(protocol)?,
            service_tier: body.service_tier.and_then(text),
            wants_audio: body.modalities.is_some_and(|list| list.0.contains("\"audio\"")),
            measure,
        })
    }

    /// The members in which a lowered cap is written: those that the client used, else the one
    /// that the provider knows.
    pub fn cap_members(&self, provider_is_openai: bool) -> Vec<&'static str> {
        let used = [
            ("max_tokens", self.max_tokens),
            ("max_completion_tokens", self.max_completion_tokens),
        ];
        let used: Vec<_> =
            used.into_iter().filter(|(_, cap)| cap.is_some()).map(|(member, _)| member).collect();
        match (used.is_empty(), provider_is_openai) {
            (false, _) => used,
            (true, true) => vec!["max_completion_tokens"],
            (true, false) => vec!["max_tokens"],
        }
    }

    /// The client's own cap on each output; the larger one where it gave two.
    pub fn output_cap(&self) -> Option<u64> {
        self.max_tokens.max(self.max_completion_tokens)
    }
}

impl<'a> Body<'a> {
    /// Mostly a plain walk is enough; what that gives up on is read again, or refused, by serde.
    fn read(body: &'a [u8]) -> Result<Body<'a>, serde_json::Error> {
        let scanned = std::str::from_utf8(body).ok().and_then(Body::scanned);
        scanned.map_or_else(|| json::read(body), Ok)
    }

    fn scanned(text: &'a str) -> Option<Body<'a>> {
        let mut body = Body::default();
        let mut walk = scan::Scan::of(text);
        walk.object(|walk, name| {
            let value = walk.value()?;
            match body.slot(name) {
                // Serde tells a null that stands there twice from none.
                Some(_) if value == "null" => None,
                Some(slot) => scan::put(slot, Piece(value)),
                None => Some(()),
            }
        })?;
        walk.end().map(|()| body)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<Piece<'a>>> {
        let slot = match name {
            "model" => &mut self.model,
            "stream" => &mut self.stream,
            "stream_options" => &mut self.stream_options,
            "max_tokens" => &mut self.max_tokens,
            "max_completion_tokens" => &mut self.max_completion_tokens,
            "n" => &mut self.n,
            "best_of" => &mut self.best_of,
            "user" => &mut self.user,
            "metadata" => &mut self.metadata,
            "service_tier" => &mut self.service_tier,
            "modalities" => &mut self.modalities,
            "messages" => &mut self.messages,
            "system" => &mut self.system,
            "prompt" => &mut self.prompt,
            "input" => &mut self.input,
            "cache_control" => &mut self.cache_control,
            "tools" => &mut self.tools,
            "functions" => &mut self.functions,
            "response_format" => &mut self.response_format,
            _ => return None,
        };
        Some(slot)
    }

    fn user(&self, protocol: Protocol) -> Result<Option<String>, AskError> {
        let (mut named, mut param) = (present(self.user), "user");
        if protocol == Protocol::Messages {
            (named, param) = (None, "metadata.user_id");
            each_member(present(self.metadata).unwrap_or_default(), |name, value| {
                if name == "user_id" && value != "null" {
                    named = Some(value);
                }
            });
        }
        let Some(json) = named else { return Ok(None) };
        let user: String =
            serde_json::from_str(json).map_err(|_| refused(param, AskProblem::NotAString))?;
        Ok(Some(user).filter(|user| !user.is_empty()))
    }

    fn wants_usage(&self) -> bool {
        let options = self.stream_options.map(|options| serde_json::from_str(options.0));
        options.and_then(Result::ok).and_then(|o: StreamOptions| o.include_usage).unwrap_or(false)
    }

    /// The prompt, and how many prompts there are.
    fn measure(&self, protocol: Protocol) -> Result<(Measure, u64), AskError> {
        let mut measure = Measure::default();
        let mut prompts = 1;
        match protocol {
            Protocol::Chat | Protocol::Messages => {
                let messages = present(self.messages)
                    .ok_or_else(|| refused("messages", AskProblem::Missing))?;
                if !measure.add_messages(messages) {
                    return Err(refused("messages", AskProblem::NotAList));
                }
            }
            Protocol::Completions => prompts = add_prompts(&mut measure, self.prompt, "prompt")?,
            Protocol::Embeddings => {
                add_prompts(&mut measure, self.input, "input")?;
            }
        }
        if let Some(system) = present(self.system) {
            measure.add_content(system, 0);
        }
        if let Some(control) = present(self.cache_control) {
            measure.add_caching(control);
        }
        for json in [self.tools, self.functions, self.response_format].into_iter().flatten() {
            add_schema(&mut measure, json.0);
        }
        Ok((measure, prompts))
    }
}

fn add_schema(measure: &mut Measure, json: &str) {
    measure.add_json(json);
    if json.contains("\"cache_control\"") {
        measure.add_caching(json);
    }
}

/// A string, a list of strings, or tokens: each number of those has at least one digit.
fn add_prompts(
    measure: &mut Measure,
    value: Option<Piece<'_>>,
    param: &'static str,
) -> Result<u64, AskError> {
    let json = present(value).ok_or_else(|| refused(param, AskProblem::Missing))?;
    let (mut strings, mut lists) = (0, 0);
    each_element(json, |element| match element.as_bytes().first() {
        Some(b'"') => strings += 1,
        Some(b'[') => lists += 1,
        _ => {}
    });
    if json.starts_with('"') || strings > 0 {
        measure.add_text(json);
    } else {
        measure.add_json(json);
    }
    Ok(1.max(strings + lists))
}

fn refused(param: &'static str, problem: AskProblem) -> AskError {
    AskError { param, problem }
}

/// JSON `null` is as good as absent.
fn present(value: Option<Piece<'_>>) -> Option<&str> {
    value.map(|value| value.0).filter(|json| *json != "null")
}

fn text(value: Piece<'_>) -> Option<String> {
    serde_json::from_str::<Text<'_>>(value.0).ok().map(Text::into_string)
}

fn string(value: Option<Piece<'_>>, param: &'static str) -> Result<Option<String>, AskError> {
    let Some(value) = value.filter(|value| value.0 != "null") else { return Ok(None) };
    let text = text(value).filter(|text| !text.is_empty());
    text.map(Some).ok_or_else(|| refused(param, AskProblem::NotAString))
}

fn flag(value: Option<Piece<'_>>, param: &'static str) -> Result<bool, AskError> {
    match present(value) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(refused(param, AskProblem::NotABoolean)),
    }
}

fn whole(
    value: Option<Piece<'_>>,
    param: &'static str,
    least: u64,
) -> Result<Option<u64>, AskError> {
    let Some(json) = present(value) else { return Ok(None) };
    let number = json.parse().ok().filter(|number| *number >= least);
    number.map(Some).ok_or_else(|| refused(param, AskProblem::NotWhole(least)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chat(body: &serde_json::Value) -> Result<Ask, AskError> {
        Ask::read(Protocol::Chat, body.to_string().as_bytes())
    }

    #[test]
    fn a_chat_request_is_read_once_for_all() {
        let ask = chat(&json!({
            "model": "gpt-5", "messages": [{"role": "user", "content": "hello"}], "stream": true,
            "stream_options": {"include_usage": true}, "max_completion_tokens": 9, "n": 2,
            "user": "ann", "service_tier": "flex", "modalities": ["text", "audio"],
            "tools": [{"a": 1}], "response_format": {"b": 2}, "temperature": 0.7,
        }))
        .unwrap();
        let measure = Measure { text_bytes: 5 + 9 + 7, messages: 1, ..Measure::default() };
        let expected = Ask {
            model: "gpt-5".into(),
            stream: true,
            wants_usage: true,
            max_tokens: None,
            max_completion_tokens: Some(9),
            choices: 2,
            user: Some("ann".into()),
            service_tier: Some("flex".into()),
            wants_audio: true,
            measure,
        };
        assert_eq!(ask, expected);
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let ask = chat(&json!({"model": "m", "messages": [], "stream": null, "n": null})).unwrap();
        let expected = Ask { model: "m".into(), choices: 1, ..Ask::default() };
        assert_eq!(ask, expected);
        assert_eq!(ask.output_cap(), None);
    }

    #[test]
    fn a_wrong_member_is_named() {
        let table = [
            (json!({"messages": []}), "model"),
            (json!({"model": "", "messages": []}), "model"),
            (json!({"model": 5, "messages": []}), "model"),
            (json!({"model": "m"}), "messages"),
            (json!({"model": "m", "messages": "hi"}), "messages"),
            (json!({"model": "m", "messages": [], "stream": 1}), "stream"),
            (json!({"model": "m", "messages": [], "n": 0}), "n"),
            (json!({"model": "m", "messages": [], "max_tokens": -1}), "max_tokens"),
            (json!({"model": "m", "messages": [], "max_tokens": 1.5}), "max_tokens"),
            (json!([]), ""),
        ];
        for (body, param) in table {
            assert_eq!(chat(&body).map_err(|error| error.param), Err(param), "{body}");
        }
        for body in ["", "{", "nul", r#"{"model":"a","model":"b","messages":[]}"#] {
            let refused = Ask::read(Protocol::Chat, body.as_bytes()).unwrap_err();
            assert!(matches!(refused.problem, AskProblem::NotJson(_)), "{body}");
        }
    }

    fn parts<'a>(body: &Body<'a>) -> [Option<Piece<'a>>; 4] {
        [body.model, body.messages, body.n, body.tools]
    }

    #[test]
    fn what_the_walk_reads_is_what_serde_reads() {
        let table = [
            r#"{"model":"m","messages":[{"role":"user","content":"a\"}"}],"n":1,"x":{"model":1}}"#,
            r#" { "m\u006fdel" : "m" , "messages":[], "tools": [ {"a":[1,2]} ], "n" : 2 } "#,
            r#"{"model":"m","tools":null,"tools":null}"#,
            r#"{"model":"m","model":"n"}"#,
            r#"{"model":"m","x":01}"#,
            r#"{"model":"m"} 1"#,
            "{}",
        ];
        for text in table {
            let by_serde = serde_json::from_str::<Body<'_>>(text);
            let Some(walked) = Body::scanned(text) else {
                assert!(by_serde.is_err(), "{text}");
                continue;
            };
            let by_serde = by_serde.unwrap();
            assert_eq!(parts(&walked), parts(&by_serde), "{text}");
        }
    }

    #[test]
    fn the_larger_of_two_caps_bounds_the_output() {
        let both = json!({"model": "m", "messages": [], "max_tokens": 5,
            "max_completion_tokens": 9});
        let both = chat(&both).unwrap();
        assert_eq!(both.output_cap(), Some(9));
        assert_eq!(both.cap_members(true), ["max_tokens", "max_completion_tokens"]);
        assert_eq!(Ask::default().cap_members(true), ["max_completion_tokens"]);
        assert_eq!(Ask::default().cap_members(false), ["max_tokens"]);
    }

    #[test]
    fn users_are_named_as_the_protocol_names_them() {
        let body = |user: serde_json::Value, id: serde_json::Value| {
            json!({"model": "m", "messages": [], "user": user, "metadata": {"user_id": id}})
                .to_string()
        };
        let read = |protocol, body: &str| {
            let ask = Ask::read(protocol, body.as_bytes());
            ask.map(|ask| ask.user).map_err(|error| error.param)
        };
        let both = body("ann".into(), "bob".into());
        assert_eq!(read(Protocol::Chat, &both), Ok(Some("ann".to_owned())));
        assert_eq!(read(Protocol::Messages, &both), Ok(Some("bob".to_owned())));
        let empty = body("".into(), json!(null));
        assert_eq!(read(Protocol::Chat, &empty), Ok(None));
        assert_eq!(read(Protocol::Messages, &empty), Ok(None));
        let odd = body(5.into(), json!([]));
        assert_eq!(read(Protocol::Chat, &odd), Err("user"));
        assert_eq!(read(Protocol::Messages, &odd), Err("metadata.user_id"));
    }

    #[test]
    fn other_endpoints_have_their_own_prompts() {
        let table = [
            (Protocol::Completions, json!({"model": "m", "prompt": "hello"}), 5, 1),
            (Protocol::Completions, json!({"model": "m", "prompt": ["ab", "c"], "n": 3}), 3, 6),
            (Protocol::Completions, json!({"model": "m", "prompt": [1, 22]}), 6, 1),
            (Protocol::Embeddings, json!({"model": "m", "input": ["ab", "c"]}), 3, 1),
            (
                Protocol::Messages,
                json!({"model": "m", "max_tokens": 5, "system": "sys", "messages": []}),
                3,
                1,
            ),
        ];
        for (protocol, body, bytes, choices) in table {
            let ask = Ask::read(protocol, body.to_string().as_bytes()).unwrap();
            assert_eq!((ask.measure.text_bytes, ask.choices), (bytes, choices), "{body}");
        }
        let missing = Ask::read(Protocol::Embeddings, br#"{"model":"m"}"#).unwrap_err();
        assert_eq!(missing.param, "input");
    }
}
