//! Commands, queries and background steps: load, decide, write, tell. Knows no HTTP.
//!
//! An `Engine` owns the store, the clock, the ids and the chance of one process. Each command is
//! one function in the file of its noun; it hands the writer a closure that loads what it needs,
//! asks the domain to decide and writes what the domain returned.

pub mod activities;
pub mod api_keys;
pub mod audit;
pub mod backlogs;
pub mod blocks;
pub mod books;
pub mod bootstrap;
pub mod charge_batches;
pub mod charges;
pub mod clock;
pub mod custom_responses;
pub mod customers;
pub mod deliveries;
pub mod deposits;
pub mod endpoints;
pub mod environments;
pub mod error;
pub mod feed;
pub mod holds;
pub mod idempotency;
pub mod keys;
pub mod members;
pub mod nodes;
pub mod offers;
pub mod operational;
pub mod paywall_keys;
pub mod paywall_states;
pub mod paywalls;
pub mod portal_sessions;
pub mod portal_webhooks;
pub mod ports;
pub mod prices;
pub mod providers;
pub mod proxy;
pub mod random;
pub(crate) mod receiver_health;
pub mod receiver_secrets;
pub mod receivers;
pub mod refunds;
pub mod replays;
pub mod run;
pub mod samples;
pub mod seal;
pub mod settings;
pub mod sign_ins;
pub mod steps;
pub mod subscriptions;
pub mod tallies;
pub mod tenants;
pub mod test_clock;
pub mod topup_links;
pub mod trials;
pub mod user_states;
pub mod users;
pub mod verify;
pub mod wallets;
pub mod webhook_stats;

pub use error::{Class, Error, Fault};
pub use run::{Engine, Settings};
