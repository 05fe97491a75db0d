//! What a route's declaration says about itself, and the OpenAPI document made of all of them.

pub mod document;
pub mod schema;
pub mod shapes;

pub use document::{document, document_text};

/// The words and shapes of one route for the docs.
#[derive(Clone, Debug, Default)]
pub struct Doc {
    /// As clients name the call.
    pub operation: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
}

impl Doc {
    pub const fn new(tag: &'static str, operation: &'static str, summary: &'static str) -> Doc {
        Doc { operation, tag, summary }
    }
}
