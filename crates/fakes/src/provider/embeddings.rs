//! Vectors that are always the same: texts of one length get one vector.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ask::{Refusal, words};
use super::switches::Switches;

const NUMBERS: [f32; 4] = [0.5, -0.25, 0.125, -0.5];
const DIMENSIONS_USUAL: u64 = 8;
const DIMENSIONS_MAX: u64 = 4_096;

/// The whole answer to one body of `POST /v1/embeddings`.
pub(super) fn answer(body: &Value) -> Result<Value, Refusal> {
    let missing = |field, message| Refusal { field, message };
    let model = body["model"].as_str();
    let model = model.ok_or(missing("model", "you must provide a model parameter"))?;
    let inputs = inputs(&body["input"]).ok_or(missing("input", "input must be text or tokens"))?;
    let size = body["dimensions"].as_u64().unwrap_or(DIMENSIONS_USUAL).min(DIMENSIONS_MAX);
    let packed = body["encoding_format"] == "base64";
    let row = |(index, input): (usize, &&Value)| {
        let vector = vector(input, size);
        let embedding = if packed { json!(base64(&vector)) } else { json!(vector) };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(row).collect();
    let tokens: u64 = inputs.iter().map(|input| tokens(input)).sum();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Ok(json!({ "object": "list", "data": data, "model": model, "usage": usage }))
}

/// One text, one list of tokens, or a list of either.
fn inputs(input: &Value) -> Option<Vec<&Value>> {
    match input {
        Value::String(_) => Some(vec![input]),
        Value::Array(list) if list.first()?.is_number() => Some(vec![input]),
        Value::Array(list) => Some(list.iter().collect()),
        _ => None,
    }
}

fn tokens(input: &Value) -> u64 {
    match input {
        Value::Array(tokens) => u64::try_from(tokens.len()).unwrap_or(u64::MAX),
        text => words(text),
    }
}

fn vector(input: &Value, size: u64) -> Vec<f32> {
    let first = tokens(input);
    let at = |index: u64| usize::try_from((first + index) % 4).unwrap_or(0);
    (0..size).map(|index| NUMBERS[at(index)]).collect()
}

fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// The switches of an input that is one text.
pub(super) fn switches(body: &Value) -> Switches {
    Switches::read(body["input"].as_str().unwrap_or_default())
}
