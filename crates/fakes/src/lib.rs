//! Development servers that speak real protocols, labelled as fakes. They are for `farebox dev`
//! and for tests; they know the rules of `domain` and nothing of the product's state.

pub mod provider;
pub mod sink;
