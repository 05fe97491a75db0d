//! An example value for a JSON schema: always the same one, as small as the schema lets it be.

use serde_json::{Map, Value, json};

/// A schema nests no deeper for us.
const DEPTH_MAX: u32 = 16;

/// An object for a schema of one; what a schema does not say is an empty object.
pub(super) fn example(schema: &Value) -> Value {
    fitting(schema, schema, DEPTH_MAX)
}

fn fitting(schema: &Value, root: &Value, depth: u32) -> Value {
    if let Some(target) = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')) {
        let target = root.pointer(target).unwrap_or(&Value::Null);
        return if depth == 0 { Value::Null } else { fitting(target, root, depth - 1) };
    }
    let first = |list: &str| schema[list].get(0).cloned();
    if let Some(value) = schema.get("const").cloned().or_else(|| first("enum")) {
        return value;
    }
    if let Some(choice) = first("anyOf").or_else(|| first("oneOf")).filter(|_| depth > 0) {
        return fitting(&choice, root, depth - 1);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!("Paris"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") if depth > 0 => json!([fitting(&schema["items"], root, depth - 1)]),
        Some("array") => json!([]),
        _ => object(schema, root, depth),
    }
}

fn object(schema: &Value, root: &Value, depth: u32) -> Value {
    let mut fields = Map::new();
    if let Some(properties) = schema["properties"].as_object().filter(|_| depth > 0) {
        for (name, property) in properties {
            fields.insert(name.clone(), fitting(property, root, depth - 1));
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_fits_its_schema() {
        let schema = json!({"type": "object", "properties": {
            "city": {"type": "string"}, "unit": {"enum": ["c", "f"]},
            "days": {"type": "array", "items": {"type": "integer"}}, "self": {"$ref": "#/$defs/a"},
            "none": {"anyOf": [{"type": "null"}, {"type": "string"}]}},
            "$defs": {"a": {"type": "boolean"}}});
        let expected =
            json!({"city": "Paris", "unit": "c", "days": [1], "self": true, "none": null});
        assert_eq!(example(&schema), expected);
        assert_eq!(example(&Value::Null), json!({}));
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let endless = json!({"properties": {"next": {"$ref": "#"}}});
        assert!(example(&endless).to_string().len() < 1_000);
    }
}
