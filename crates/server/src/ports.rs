//! The real clients behind the engine's ports: what the product says to the outside world. They
//! translate and guard; they decide nothing about money or deliveries.

pub mod provider_client;
pub mod webhook_client;
