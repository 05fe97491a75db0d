//! The only crate with SQL.
//!
//! One writer thread owns every change: it takes what waits, runs it in one transaction, writes the
//! log set by set and commits once for all. Readers have connections of their own. Nothing here
//! knows HTTP, reads a clock or makes chance; a command brings what it needs.

mod account_log;
pub mod accounts;
pub mod activities;
pub mod alerts;
pub mod attempts;
pub mod attention;
pub mod audit;
pub mod books;
pub mod chapters;
pub mod checkout_links;
mod checkpointer;
pub mod claims;
pub mod copying;
pub mod customer_words;
pub mod customers;
pub mod database;
pub mod deliveries;
pub mod desk;
pub mod due;
pub mod entries;
pub mod error;
pub mod events;
pub mod gauges;
pub mod holders;
pub mod holds;
pub mod idempotency;
pub mod identities;
pub mod keys;
pub mod members;
mod migrations;
pub mod nodes;
pub mod page;
pub mod paywall_secrets;
pub mod paywalls;
pub mod portal_sessions;
pub mod prices;
pub mod prompts;
pub mod providers;
pub mod proxy_limits;
pub mod proxy_packs;
pub mod proxy_requests;
pub mod receiver_counts;
pub mod receiver_deliveries;
pub mod receiver_secrets;
pub mod receiver_standing;
pub mod receivers;
pub mod refunds;
pub mod replays;
pub mod replies;
pub mod retention;
pub mod settings;
pub mod sign_ins;
mod sql;
mod syncer;
pub mod tallies;
pub mod tenants;
pub mod timers;
pub mod transactions;
pub mod trials;
pub mod turns;
pub mod tx;
pub mod value;
pub mod verify;
mod wal;
pub mod wallets;
pub mod writer;

pub use database::{Database, Location, Read};
pub use error::Error;
pub use tx::{Tx, Write};
pub use writer::Writer;
