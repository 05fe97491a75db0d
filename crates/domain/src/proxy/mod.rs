//! The proxy's rules: what a model costs, what a user pays for it, what is held and who is refused.
//!
//! Bytes and figures come in, decisions and bytes go out. Nothing here calls a provider, moves
//! money, reads a clock or keeps anything between two calls.

pub mod ask;
pub mod blocked;
pub mod book;
pub mod catalogue;
pub mod chapter;
pub mod cost;
pub mod count;
pub mod custom_reply;
mod delta;
pub mod edit;
pub mod estimate;
pub mod hold;
pub mod lease;
mod likeness;
pub mod limits;
pub mod market;
pub mod measure;
pub mod model;
mod narrow;
pub mod price;
pub mod pricing;
pub mod reason;
mod row_body;
pub mod sse;
pub mod story;
pub mod stream;
pub mod template;
pub mod usage;
pub mod vector;

#[cfg(test)]
mod tests;

pub use book::{
    LongContext, ModelFacts, Origin, Overlap, PriceAsk, PriceBook, PriceList, PriceRow, Prices,
    Tariff, TokenizerFamily,
};
pub use cost::{Bill, Cost, CostOverflow, Part, Served};
pub use market::{Listed, Market, Route};
pub use price::{Price, PriceError, PriceProblem};
pub use pricing::{Override, Pricing, PricingMode, Unbillable};
pub use vector::{Class, PriceVector, Quantities};
