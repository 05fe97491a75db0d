//! The server and its command line, as a library: `http` translates, `ports` reach out.

pub mod app;
pub mod cli;
pub mod config;
pub mod http;
mod ledger_counts;
mod lock;
pub mod logs;
pub mod metrics;
pub mod node;
pub mod ports;
pub mod proxy;
pub mod request_log;
pub mod sending;
pub mod tasks;
mod unready;
pub mod web;
pub mod webhook_metrics;
pub mod workers;

/// The commit that this was built from, where the build says it.
pub const COMMIT: &str = match option_env!("FAREBOX_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
