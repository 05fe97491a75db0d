//! Tests only: a whole server on a temporary database, and a small HTTP client for it.
//!
//! Nothing here may be reached from the product. Failures of the harness itself end the test.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a harness that cannot start must fail the test"
)]

pub mod app;
pub mod document;
pub mod ground;
pub mod postgres;
pub mod world;

pub use rusqlite;

pub use app::{Reply, TestApp};

/// A client for loopback servers, with our one TLS provider installed.
pub fn http_client() -> reqwest::Client {
    // A second installation is refused, and the first one stays.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}
