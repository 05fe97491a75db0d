//! Background work. A step takes no input but the engine and may run at any time, twice or never:
//! it does what is due and says whether something is left.

pub mod books;
pub mod deliver;
pub mod pulse;
pub mod replay;
pub mod retention;
pub mod timers;
