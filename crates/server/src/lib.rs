//! The server and its command line, as a library: `http` translates, `ports` reach out.

pub mod app;
pub mod http;
pub mod metrics;
pub mod ports;
