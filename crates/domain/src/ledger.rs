//! The ledger: one account a wallet, entries that only ever accumulate, and the rules between them.
//!
//! A rule takes an `Account` and a `Log`, checks everything first, and then posts: it returns a
//! `Refusal` and has changed nothing, or it returns the entries it posted. No rule reads a clock,
//! a database or another account. An entry is a transfer between two ledger accounts, so every
//! journal sums to zero by its shape; the hash chain and `replay` prove that nothing was altered.

pub mod account;
pub mod alerts;
pub mod auto_topup;
pub mod chain;
pub mod close;
pub mod credit;
pub mod entry;
pub mod expiry;
pub mod hold;
pub mod log;
pub mod lot;
pub mod refund;
pub mod refusal;
pub mod replay;
pub mod spend;
pub mod usage;

pub use account::Account;
pub use entry::Entry;
pub use log::{Log, Record};
pub use refusal::Refusal;
