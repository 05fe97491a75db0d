//! A few words for JSON Schemas, so that a shape reads like the object it describes.

use serde_json::{Map, Value, json};

fn text() -> Value {
    json!({ "type": "string" })
}

/// An exact amount in an answer: a decimal number in a string.
fn amount() -> Value {
    json!({ "type": "string", "format": "decimal", "pattern": r"^-?\d+(\.\d+)?$",
        "examples": ["12.50"] })
}

/// An amount in a body: also as a JSON number, where its decimal value is exact.
fn decimal() -> Value {
    json!({ "type": ["string", "number"], "format": "decimal", "examples": ["12.50"] })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// Any JSON object.
pub fn any_object() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}

pub fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn nullable(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(Value::String(kind)) => schema["type"] = json!([kind, "null"]),
        _ => return json!({ "anyOf": [schema, { "type": "null" }] }),
    }
    schema
}

/// The schema of this name.
pub fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object written in words: `name:kind`, text where no kind is named. What ends in `!` is always
/// there.
pub fn words(text: &str) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for word in text.split_whitespace() {
        let (name, of) = word.split_once(':').unwrap_or((word, "text"));
        let bare = name.trim_end_matches('!');
        if bare != name {
            required.push(bare);
        }
        properties.insert(bare.to_owned(), kind(of));
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// Parameters of a query in the same words.
pub fn parameters(text: &str) -> Vec<Value> {
    let object = words(text);
    let properties = object["properties"].as_object().cloned().unwrap_or_default();
    let parameter = |(name, schema): (String, Value)| {
        let mut parameter = json!({ "name": name, "in": "query", "required": false });
        parameter["schema"] = schema;
        parameter
    };
    properties.into_iter().map(parameter).collect()
}

/// `…?` may be null, `…[]` is a list; a word with a capital letter is the schema of that name.
fn kind(word: &str) -> Value {
    if let Some(of) = word.strip_suffix('?') {
        return nullable(kind(of));
    }
    if let Some(of) = word.strip_suffix("[]") {
        return list(&kind(of));
    }
    match word {
        "int" => json!({ "type": "integer" }),
        "flag" => json!({ "type": "boolean" }),
        "amount" => amount(),
        "decimal" => decimal(),
        "time" => time(),
        "map" => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        "object" => any_object(),
        // A list of texts, or one text with commas.
        "texts" => json!({ "type": ["array", "string"], "items": text() }),
        "null" => json!({ "type": "null" }),
        "any" => json!({}),
        "text" => text(),
        name => named(name),
    }
}

/// A whole answer: a name, a list of one, a page of one, or media types, joined by ` or `.
pub fn answer(text: &str) -> Value {
    let mut content = Map::new();
    for part in text.split(" or ") {
        let (media, schema) = one_answer(part);
        let before = content.remove(media);
        content.insert(media.to_owned(), json!({ "schema": either(before, schema) }));
    }
    Value::Object(content)
}

fn either(before: Option<Value>, schema: Value) -> Value {
    match before {
        Some(before) => json!({ "anyOf": [before["schema"], schema] }),
        None => schema,
    }
}

fn one_answer(part: &str) -> (&str, Value) {
    const JSON: &str = "application/json";
    if part.contains('/') {
        return (part, text());
    }
    if let Some(of) = part.strip_prefix("page ") {
        let page = words(&format!("items!:{of}[] pagination!:Pagination"));
        return (JSON, page);
    }
    if let Some(of) = part.strip_prefix("cursor ") {
        let page = words(&format!("data!:{of}[] has_more!:flag next_cursor!:text?"));
        return (JSON, page);
    }
    match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(fields) => (JSON, words(fields)),
        None => (JSON, kind(part)),
    }
}
