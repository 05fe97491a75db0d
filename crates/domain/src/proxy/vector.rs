//! Classes of what a model takes and gives; a price and a quantity for each (paywalls 14.2).
//!
//! The fallbacks of absent prices are here. Sums of money are not.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::price::{Price, PriceError, PriceProblem, members};

/// What is counted and priced apart. All but `Request` and `ToolCall` are tokens, whose prices are
/// for 1,000,000 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Input,
    CachedInput,
    CacheWrite,
    CacheWrite1h,
    Output,
    Reasoning,
    Image,
    AudioInput,
    AudioOutput,
    Request,
    ToolCall,
}

const CLASSES: usize = 11;

/// A price for each class, or none, in which case another class's may stand for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceVector([Option<Price>; CLASSES]);

/// How much of each class a request used: tokens, requests, tool calls. Each token is in one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantities([u64; CLASSES]);

impl Class {
    pub const ALL: [Class; CLASSES] = [
        Class::Input,
        Class::CachedInput,
        Class::CacheWrite,
        Class::CacheWrite1h,
        Class::Output,
        Class::Reasoning,
        Class::Image,
        Class::AudioInput,
        Class::AudioOutput,
        Class::Request,
        Class::ToolCall,
    ];

    /// The name on the wire: `prompt` and `completion` are input and output.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Input => "prompt",
            Class::CachedInput => "cached_input",
            Class::CacheWrite => "cache_write",
            Class::CacheWrite1h => "cache_write_1h",
            Class::Output => "completion",
            Class::Reasoning => "reasoning",
            Class::Image => "image",
            Class::AudioInput => "audio_input",
            Class::AudioOutput => "audio_output",
            Class::Request => "request",
            Class::ToolCall => "tool_call",
        }
    }

    pub fn parse(name: &str) -> Option<Class> {
        match name {
            "input" => Some(Class::Input),
            "output" => Some(Class::Output),
            _ => Class::ALL.into_iter().find(|class| class.name() == name),
        }
    }

    /// Whether its price is for a million of it.
    pub const fn is_tokens(self) -> bool {
        !matches!(self, Class::Request | Class::ToolCall)
    }

    /// The class whose price holds where this one has none.
    const fn fallback(self) -> Option<Class> {
        match self {
            Class::CachedInput
            | Class::CacheWrite
            | Class::CacheWrite1h
            | Class::AudioInput
            | Class::Image => Some(Class::Input),
            Class::Reasoning | Class::AudioOutput => Some(Class::Output),
            Class::Input | Class::Output | Class::Request | Class::ToolCall => None,
        }
    }

    const fn is_prompt(self) -> bool {
        matches!(
            self,
            Class::Input
                | Class::CachedInput
                | Class::CacheWrite
                | Class::CacheWrite1h
                | Class::AudioInput
                | Class::Image
        )
    }
}

impl PriceVector {
    #[must_use]
    pub fn with(mut self, class: Class, price: Price) -> PriceVector {
        self.0[class as usize] = Some(price);
        self
    }

    /// The price that was given for the class itself.
    pub const fn own(&self, class: Class) -> Option<Price> {
        self.0[class as usize]
    }

    /// The price that holds for the class: its own, else its fallback's, else zero.
    pub fn price(&self, class: Class) -> Price {
        let fallback = || class.fallback().and_then(|other| self.own(other));
        self.own(class).or_else(fallback).unwrap_or(Price::ZERO)
    }

    /// Every part of it is zero.
    pub fn is_free(&self) -> bool {
        self.0.iter().flatten().all(|price| price.is_zero())
    }

    /// Whether no class has a price at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Reads an object of class names (`input` and `prompt` are one class) and decimal strings.
    pub fn from_json(value: &Value) -> Result<PriceVector, PriceError> {
        let mut vector = PriceVector::default();
        for (name, price) in members(value)? {
            vector.read_member(name, price)?;
        }
        Ok(vector)
    }

    /// Writes one member of such an object; null says nothing.
    pub(super) fn read_member(&mut self, name: &str, value: &Value) -> Result<(), PriceError> {
        let class =
            Class::parse(name).ok_or_else(|| PriceError::at(name, PriceProblem::NoSuchField))?;
        if value.is_null() {
            return Ok(());
        }
        if self.own(class).is_some() {
            return Err(PriceError::at(name, PriceProblem::Twice));
        }
        let price = Price::from_json(value).map_err(|problem| PriceError::at(name, problem))?;
        self.0[class as usize] = Some(price);
        Ok(())
    }

    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, Price)> {
        let named = Class::ALL.iter().zip(self.0);
        named.filter_map(|(class, price)| price.map(|price| (class.name(), price)))
    }
}

impl Quantities {
    pub const fn get(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    #[must_use]
    pub fn with(mut self, class: Class, quantity: u64) -> Quantities {
        self.0[class as usize] = quantity;
        self
    }

    /// Adds, stopping at the largest number.
    pub fn add(&mut self, class: Class, quantity: u64) {
        let slot = &mut self.0[class as usize];
        *slot = slot.saturating_add(quantity);
    }

    /// Tokens on the input side: `promptTokens` of events.
    pub fn prompt_tokens(&self) -> u64 {
        self.total(Class::is_prompt)
    }

    /// Tokens on the output side: `completionTokens` of events.
    pub fn completion_tokens(&self) -> u64 {
        self.total(|class| class.is_tokens() && !class.is_prompt())
    }

    fn total(&self, wanted: impl Fn(Class) -> bool) -> u64 {
        let chosen = Class::ALL.into_iter().filter(|&class| wanted(class));
        chosen.fold(0, |sum: u64, class| sum.saturating_add(self.get(class)))
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Class, D::Error> {
        let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Class::parse(&name).ok_or_else(|| de::Error::custom("is not a class of tokens"))
    }
}

/// What was used of each class that was used at all.
impl Serialize for Quantities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classes = Class::ALL.into_iter().map(|class| (class.name(), self.get(class)));
        serializer.collect_map(classes.filter(|(_, count)| *count > 0))
    }
}

impl<'de> Deserialize<'de> for Quantities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantities, D::Error> {
        let counts = <BTreeMap<Class, u64>>::deserialize(deserializer)?;
        let add = |sum: Quantities, (class, count)| sum.with(class, count);
        Ok(counts.into_iter().fold(Quantities::default(), add))
    }
}

impl Serialize for PriceVector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.given())
    }
}

impl<'de> Deserialize<'de> for PriceVector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PriceVector, D::Error> {
        PriceVector::from_json(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
