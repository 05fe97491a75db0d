//! server

pub mod ports;
