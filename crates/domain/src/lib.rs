//! The rules of Farebox: pure types and functions.
//!
//! No I/O, no async, no clock, no chance, no SQL, no HTTP. What a rule needs is passed in; what it
//! decides is returned. Every other crate may use this one, and this one uses none of them.

pub mod alert;
pub mod amount;
pub mod currency;
pub mod customer;
pub mod event;
pub mod id;
pub mod json;
pub mod key;
pub mod ledger;
pub mod packed;
pub mod paywall;
pub mod percent;
pub mod place;
pub mod portal;
pub mod proxy;
pub mod role;
pub mod scope;
pub mod setting;
pub mod time;
pub mod topup_bonus;
pub mod wallet;
pub mod webhook;
