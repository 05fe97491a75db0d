//! A few words for JSON Schemas, so that a shape reads like the object it describes.

use serde_json::{Map, Value, json};

pub fn text() -> Value {
    json!({ "type": "string" })
}

pub fn integer() -> Value {
    json!({ "type": "integer" })
}

pub fn boolean() -> Value {
    json!({ "type": "boolean" })
}

/// An exact amount: a decimal number in a string.
pub fn amount() -> Value {
    json!({ "type": "string", "format": "decimal", "examples": ["12.50"] })
}

pub fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// An id with this prefix.
pub fn id(prefix: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{prefix}_[0-9A-HJKMNP-TV-Z]{{26}}$") })
}

pub fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

pub fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// Texts by freely chosen names.
pub fn metadata() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

/// Any JSON object.
pub fn any_object() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}

#[must_use]
pub fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
    schema
}

/// The schema of this name.
pub fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object of these fields. A name that ends in `?` may be left out.
pub fn object(fields: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in fields {
        let bare = name.trim_end_matches('?');
        if bare == *name {
            required.push(bare);
        }
        properties.insert(bare.to_owned(), schema.clone());
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// An object written in words: `name:kind` with the kinds of `kind`, text where none is named. What
/// ends in `!` is always there.
pub fn words(text: &str) -> Value {
    let field = |word: &str| {
        let (name, of) = word.split_once(':').unwrap_or((word, "text"));
        let name = match name.strip_suffix('!') {
            Some(name) => name.to_owned(),
            None => format!("{name}?"),
        };
        (name, kind(of))
    };
    let fields: Vec<(String, Value)> = text.split_whitespace().map(field).collect();
    let fields: Vec<(&str, Value)> =
        fields.iter().map(|(name, schema)| (name.as_str(), schema.clone())).collect();
    object(&fields)
}

fn kind(word: &str) -> Value {
    match word {
        "int" => integer(),
        "flag" => boolean(),
        "amount" => amount(),
        "time" => nullable(time()),
        "texts" => list(&text()),
        "map" => metadata(),
        "object" => any_object(),
        "objects" => list(&any_object()),
        "text" => text(),
        name => named(name),
    }
}

/// A page of things: `items` and `pagination`.
pub fn page(of: &str) -> Value {
    object(&[("items", list(&named(of))), ("pagination", named("Pagination"))])
}
