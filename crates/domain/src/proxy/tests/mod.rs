//! Promises of the proxy's rules that need more than one module.

mod price;
mod stream;
