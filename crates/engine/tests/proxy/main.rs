//! The paywall before a provider, without the provider: holds, leases, charges, refusals and what a
//! crash leaves, on a real file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod house;
mod leases;
mod nodes;
mod requests;
