//! The list of models, in one shape that the clients of both protocols read. A chat takes any name.

use serde_json::{Value, json};

use super::openai::CREATED;

pub(super) const MODELS: [&str; 5] =
    ["fake-model", "gpt-4o-mini", "gpt-5-mini", "claude-haiku-4-5", "text-embedding-3-small"];

pub(super) fn list() -> Value {
    let data: Vec<Value> = MODELS.iter().map(|id| row(id)).collect();
    let (first, last) = (MODELS.first(), MODELS.last());
    json!({ "object": "list", "data": data, "has_more": false, "first_id": first, "last_id": last })
}

pub(super) fn row(id: &str) -> Value {
    json!({
        "id": id, "object": "model", "created": CREATED, "owned_by": "fake",
        "type": "model", "display_name": id, "created_at": "2026-01-01T00:00:00Z",
    })
}
