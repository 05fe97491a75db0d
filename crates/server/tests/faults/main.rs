//! Faults of machines and people, tried on the real binary: a full disk, a stop under load, a clock
//! that jumps, a database that others hold, a backup under load. After each of them what was
//! acknowledged is there, once, and the books balance.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, says what it saw, and makes its own folders"
)]

mod backup;
mod clock;
mod copy;
mod disk;
mod kills;
mod line;
mod listener;
mod load;
mod moods;
mod nodes;
mod passing;
#[path = "../process/mod.rs"]
mod process;
mod replica;
mod secrets;
mod server_disk;
mod shim;
mod site;
mod slow;
mod stop;
mod tls;
mod unrecorded;
mod wait;
