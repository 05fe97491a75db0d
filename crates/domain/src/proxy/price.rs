//! One price: currency at 12 places, never below zero; and why a field of a price is refused.
//!
//! It says nothing about what is priced.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use crate::amount::{NumberError, parse_scaled, write_scaled};
use crate::currency::CurrencyError;
use crate::json;
use crate::time::TimeError;

/// Currency, or a plain factor, in units of 10⁻¹². Never below zero, below 10¹⁸ whole units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i128);

const PLACES: u32 = 12;
const WHOLE: i128 = 10_i128.pow(PLACES);

/// A field of a price, a price row or `pricing` that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct PriceError {
    /// Dotted path below the object that was read; empty for the object itself.
    pub field: String,
    pub problem: PriceProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceProblem {
    #[error("must be an object")]
    NotAnObject,
    #[error("is not a field that is known here")]
    NoSuchField,
    #[error("is required")]
    Missing,
    #[error("stands there under two names")]
    Twice,
    #[error("must be true or false")]
    NotABoolean,
    #[error("must be a string of 1 to {0} characters")]
    NotAName(usize),
    #[error("must be a whole number from {0} to {1}")]
    NotWhole(u64, u64),
    #[error("must be one of {0}")]
    NotOneOf(&'static str),
    #[error("must not be below zero")]
    Negative,
    #[error("must not be below -100")]
    BelowMinusHundred,
    #[error("must be after effectiveFrom")]
    EndsBeforeItStarts,
    #[error("must have at most {0} members")]
    TooMany(usize),
    #[error("{0}")]
    Number(#[from] NumberError),
    #[error("{0}")]
    Time(#[from] TimeError),
    #[error("{0}")]
    Currency(#[from] CurrencyError),
}

impl PriceError {
    pub fn at(field: &str, problem: impl Into<PriceProblem>) -> PriceError {
        PriceError { field: field.to_owned(), problem: problem.into() }
    }

    /// The same error, told from one level further out.
    #[must_use]
    pub fn under(self, part: &str) -> PriceError {
        let field = match self.field.as_str() {
            "" => part.to_owned(),
            below => format!("{part}.{below}"),
        };
        PriceError { field, ..self }
    }
}

impl Price {
    pub const ZERO: Price = Price(0);
    /// One whole unit; as a factor, no change.
    pub const ONE: Price = Price(WHOLE);

    /// `picos` units of 10⁻¹²; a negative number is taken as zero.
    pub const fn from_picos(picos: i128) -> Price {
        Price(if picos < 0 { 0 } else { picos })
    }

    pub const fn picos(self) -> i128 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Reads plain decimal text of at most 12 places.
    pub fn parse(text: &str) -> Result<Price, PriceProblem> {
        let picos = parse_scaled(text, PLACES)?;
        if picos < 0 { Err(PriceProblem::Negative) } else { Ok(Price(picos)) }
    }

    /// A price that a client sent as a string or as an exact number.
    pub fn from_json(value: &Value) -> Result<Price, PriceProblem> {
        Price::parse(&json::decimal_text(value)?)
    }
}

/// The members of an object, or the error that it is none.
pub(super) fn members(value: &Value) -> Result<&Map<String, Value>, PriceError> {
    value.as_object().ok_or_else(|| PriceError::at("", PriceProblem::NotAnObject))
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_scaled(self.0, PLACES))
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Stored form: always a string. Input from clients is read by `from_json`.
impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Price, D::Error> {
        Price::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
