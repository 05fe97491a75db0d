//! Promises of the proxy's rules that need more than one module.

mod blocked;
mod hold;
mod narrow;
mod price;
mod stream;
