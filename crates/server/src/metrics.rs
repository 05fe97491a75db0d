//! What this process counts about itself. For watching; the ledger is for accounting.

use axum::http::StatusCode;

use crate::http::route::Surface;

#[derive(Debug, Default)]
pub struct Metrics {}

/// When a request began.
pub struct Started {}

impl Metrics {
    pub fn started(&self) -> Started {
        Started {}
    }

    pub fn request(&self, _: &Started, _route: (Surface, &'static str), _status: StatusCode) {}
}
