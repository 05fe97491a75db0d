//! The character U+0000, which PostgreSQL does not store: no body of ours brings it in.

use serde_json::Value;

/// A user's id has rules of its own, and a refusal of its own.
const CHECKED_BY_ITSELF: &str = "user";

/// The first field of this JSON whose name or text has the character.
pub(super) fn field(json: &[u8]) -> Option<String> {
    // JSON has it only as an escape; nearly no body has that.
    memchr::memmem::find(json, b"\\u0000")?;
    let body: Value = serde_json::from_slice(json).ok()?;
    let fields = body.as_object().into_iter().flatten();
    let named = fields.filter(|(name, _)| *name != CHECKED_BY_ITSELF);
    for (name, value) in named {
        if let Some(path) = within(name, value) {
            return Some(path);
        }
    }
    let whole = within("body", &body).filter(|_| !body.is_object());
    whole.map(|_| "body".to_owned())
}

fn within(name: &str, value: &Value) -> Option<String> {
    if name.contains('\0') {
        return Some(name.replace('\0', ""));
    }
    match value {
        Value::String(text) => text.contains('\0').then(|| name.to_owned()),
        Value::Array(items) => items.iter().find_map(|item| within(name, item)),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(key, value)| within(key, value).map(|path| format!("{name}.{path}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_with_the_character_is_named() {
        let table = [
            (r#"{"name":"a\u0000b"}"#, Some("name")),
            (r#"{"metadata":{"k":"\u0000"}}"#, Some("metadata.k")),
            (r#"{"items":[1,"\u0000"]}"#, Some("items")),
            (r#"["\u0000"]"#, Some("body")),
            (r#"{"name":"a\\u0000b"}"#, None),
            (r#"{"user":"x\u0000"}"#, None),
            (r#"{"name":"a"}"#, None),
        ];
        for (json, named) in table {
            assert_eq!(field(json.as_bytes()).as_deref(), named, "{json}");
        }
    }
}
