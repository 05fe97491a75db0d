//! Balance alerts: the settings that a client writes, and the machine that decides what is told.
//!
//! Pure: the value, the base of a percentage and the cause are passed in; what is to be logged and
//! sent comes back. Building the event body and storing the machine is not done here.

pub mod machine;
pub mod settings;

pub use machine::{Cause, Level, Machine, Send, Step, close, disable, level_of, step};
pub use settings::{Condition, Levels, Settings, SettingsError, Threshold, ThresholdType};
