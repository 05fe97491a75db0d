//! The World: a real engine on a real database, driven by a seed against an oracle, with crashes
//! between any two steps.
//!
//! A run draws commands of every kind, several at once now and then, and after each compares what
//! was answered, what is stored and what was told with what the oracle says. A crash leaves the
//! database as a machine without power does, and goes on from there: what was acknowledged is
//! there, and what was not has happened whole or not at all. Everything random follows from the
//! seed. `judge` says what may differ: only the order of commands that ran at once.

mod chance;
mod draw;
mod feed;
mod ground;
mod judge;
mod line;
mod mailbox;
mod names;
mod oracle;
mod player;
mod process;
mod run;
mod script;

pub use run::{Failure, Report, run};
pub use script::play;
