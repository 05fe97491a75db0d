//! What a request asks for, whichever protocol it came in. Only what the fake needs is read; every
//! other field is taken and ignored, as providers do with what they do not know.

use serde_json::{Value, json};

use super::schema;
use super::switches::Switches;

/// A body that no answer can be made for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) field: &'static str,
    pub(super) message: &'static str,
}

#[derive(Debug)]
pub(super) struct Ask {
    pub(super) model: String,
    pub(super) stream: bool,
    /// Whether a stream ends with its usage; Anthropic's always does.
    pub(super) include_usage: bool,
    pub(super) choices: u64,
    pub(super) output_max: Option<u64>,
    pub(super) form: Form,
    pub(super) prompt_tokens: u64,
    pub(super) switches: Switches,
}

/// What an answer is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    Words,
    /// Words inside of a JSON object.
    WordsInJson,
    /// JSON that fits the schema given.
    Json(String),
    Call {
        name: String,
        arguments: String,
    },
}

/// Where a protocol keeps a tool's name and its schema.
struct ToolPath {
    name: &'static str,
    schema: &'static str,
}

const OPENAI_TOOL: ToolPath = ToolPath { name: "/function/name", schema: "/function/parameters" };
const ANTHROPIC_TOOL: ToolPath = ToolPath { name: "/name", schema: "/input_schema" };

/// A body of `POST /v1/chat/completions`.
pub(super) fn openai(body: &Value) -> Result<Ask, Refusal> {
    let cap = number(body, "max_completion_tokens").or_else(|| number(body, "max_tokens"));
    let called = called(body, &OPENAI_TOOL, demands_tool(body, "required"));
    let mut ask = basis(body)?;
    ask.include_usage = body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
    ask.choices = number(body, "n").unwrap_or(1).clamp(1, 128);
    ask.output_max = cap;
    ask.form = called.unwrap_or_else(|| form(body));
    Ok(ask)
}

/// A body of `POST /v1/completions`: a text, or a list of texts with answers of their own.
pub(super) fn completion(body: &Value) -> Result<Ask, Refusal> {
    let texts: Vec<&str> = match &body["prompt"] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        prompt => prompt.as_str().into_iter().collect(),
    };
    if texts.is_empty() {
        return Err(Refusal { field: "prompt", message: "prompt must be a text" });
    }
    let mut chat = body.clone();
    chat["messages"] = json!([{ "role": "user", "content": texts.join("\n") }]);
    let mut ask = openai(&chat)?;
    ask.choices = ask.choices.saturating_mul(u64::try_from(texts.len()).unwrap_or(u64::MAX));
    ask.form = Form::Words;
    Ok(ask)
}

/// A body of `POST /v1/messages`.
pub(super) fn anthropic(body: &Value) -> Result<Ask, Refusal> {
    let cap = number(body, "max_tokens");
    let refused = Refusal { field: "max_tokens", message: "max_tokens: Field required" };
    let mut ask = basis(body)?;
    ask.output_max = Some(cap.ok_or(refused)?);
    ask.prompt_tokens += words(&body["system"]);
    let called = called(body, &ANTHROPIC_TOOL, demands_tool(body, "any"));
    ask.form = called.unwrap_or(Form::Words);
    Ok(ask)
}

fn basis(body: &Value) -> Result<Ask, Refusal> {
    let model = body["model"].as_str().filter(|model| !model.is_empty());
    let missing = Refusal { field: "model", message: "you must provide a model parameter" };
    let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
    let silent =
        Refusal { field: "messages", message: "messages must be a list that says something" };
    let messages = messages.ok_or(silent)?;
    Ok(Ask {
        model: model.ok_or(missing)?.to_owned(),
        stream: body["stream"] == true,
        include_usage: true,
        choices: 1,
        output_max: None,
        form: Form::Words,
        prompt_tokens: messages.iter().map(|message| words(&message["content"])).sum(),
        switches: Switches::read(&last_of_user(messages)),
    })
}

fn number(body: &Value, name: &str) -> Option<u64> {
    body.get(name).and_then(Value::as_u64)
}

/// The words of a content: a text, or the texts of its parts, however deep.
pub(super) fn words(content: &Value) -> u64 {
    match content {
        Value::String(text) => u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX),
        Value::Array(parts) => parts.iter().map(words).sum(),
        Value::Object(part) => {
            ["text", "content"].iter().filter_map(|key| part.get(*key)).map(words).sum()
        }
        _ => 0,
    }
}

fn last_of_user(messages: &[Value]) -> String {
    let last = messages.iter().rev().find(|message| message["role"] == "user");
    last.map(|message| text(&message["content"])).unwrap_or_default()
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn demands_tool(body: &Value, word: &str) -> bool {
    let choice = &body["tool_choice"];
    let kind = choice["type"].as_str().or(choice.as_str()).unwrap_or_default();
    kind == word || kind == "function" || kind == "tool"
}

fn called(body: &Value, path: &ToolPath, demanded: bool) -> Option<Form> {
    let tool = body["tools"].get(0)?;
    let messages = body["messages"].as_array()?;
    let asked = demanded || Switches::read(&last_of_user(messages)).has("tool");
    let name = tool.pointer(path.name)?.as_str()?.to_owned();
    let arguments = schema::example(tool.pointer(path.schema).unwrap_or(&Value::Null));
    asked.then(|| Form::Call { name, arguments: arguments.to_string() })
}

fn form(body: &Value) -> Form {
    let format = &body["response_format"];
    match format["type"].as_str() {
        Some("json_object") => Form::WordsInJson,
        Some("json_schema") => {
            Form::Json(schema::example(&format["json_schema"]["schema"]).to_string())
        }
        _ => Form::Words,
    }
}
