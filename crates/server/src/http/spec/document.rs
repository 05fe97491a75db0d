//! The OpenAPI document.

use serde_json::{Value, json};

use super::super::route::Routes;

pub fn document(_routes: &Routes) -> Value {
    json!({ "openapi": "3.1.0" })
}

pub fn document_text(routes: &Routes) -> String {
    serde_json::to_string_pretty(&document(routes)).unwrap_or_default()
}
