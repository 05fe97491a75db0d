//! Promises of the proxy's rules that need more than one module.

mod hold;
mod price;
mod stream;
