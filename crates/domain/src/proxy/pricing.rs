//! `pricing` of a paywall: its fields, and what the user pays for a cost (paywalls 14.1, 9).
//!
//! It chooses no row (`book`) and counts nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use ethnum::I256;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::{Origin, Prices, Tariff};
use super::cost::{Bill, Cost, CostOverflow, Served, ten_to};
use super::narrow::{Exact, NarrowCost};
use super::price::{PriceError, PriceProblem, members};
use super::vector::{Class, PriceVector, Quantities};
use crate::amount::{Amount, Rate};
use crate::currency::Currency;
use crate::json;

/// How a paywall prices what its users ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pricing {
    pub mode: PricingMode,
    /// Added to the provider's cost; −100 or more.
    pub markup_percent: Amount,
    /// Once a request that had output.
    pub request_fee: Amount,
    /// Least amount of a request that had output; only `hybrid` uses it.
    pub minimum_fee: Amount,
    /// Prices of single models, in the paywall's currency.
    pub overrides: BTreeMap<String, Override>,
    /// The paywall's currency for one unit of the currency of rows that have another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency_rate: Option<Rate>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricingMode {
    /// Cost, markup and request fee.
    #[default]
    Tokens,
    /// The request fee alone.
    Requests,
    /// As `Tokens`, and at least the minimum fee.
    Hybrid,
}

/// A paywall's own price of a model; wins whole over every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub prices: Arc<Prices>,
    pub markup: bool,
}

/// Why a request has no price: the model cannot be routed (503 `provider_not_configured`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbillable {
    #[error("no list has a price for the model: add a price row or an override")]
    NoPrice,
    #[error("the price is in {0}: set pricing.currencyRate")]
    OtherCurrency(Currency),
    #[error("{0}")]
    Overflow(#[from] CostOverflow),
}

/// Places of a user's exact amount: cost 42, markup 9, percent 2.
const EXACT_PLACES: u32 = 53;
const AMOUNT_PLACES: u32 = 9;
/// 10⁻⁹ of one percent, in a hundred percent.
const HUNDRED_PERCENT: Amount = Amount::units(100);
const OVERRIDES_MAX: usize = 1_000;
const MODEL_CHARS_MAX: usize = 200;

impl Default for Pricing {
    fn default() -> Pricing {
        Pricing {
            mode: PricingMode::Tokens,
            markup_percent: Amount::units(10),
            request_fee: Amount::ZERO,
            minimum_fee: Amount::ZERO,
            overrides: BTreeMap::new(),
            currency_rate: None,
        }
    }
}

impl Pricing {
    /// What a price that has been chosen is billed by.
    #[must_use]
    pub fn without_overrides(&self) -> Pricing {
        let Pricing { mode, markup_percent, request_fee, minimum_fee, currency_rate, .. } = *self;
        let overrides = BTreeMap::new();
        Pricing { mode, markup_percent, request_fee, minimum_fee, overrides, currency_rate }
    }

    /// The fields, as paths below `pricing`.
    pub const FIELDS: [&'static str; 6] =
        ["mode", "markupPercent", "requestFee", "minimumFee", "overrides", "currencyRate"];

    /// Writes one field; null restores its default. `overrides` is replaced whole.
    pub fn write(&mut self, field: &str, value: &Value) -> Result<(), PriceError> {
        let default = Pricing::default();
        let given = !value.is_null();
        let at = |problem: PriceProblem| PriceError::at(field, problem);
        match field {
            "mode" if given => self.mode = mode(value).map_err(at)?,
            "mode" => self.mode = default.mode,
            "markupPercent" if given => self.markup_percent = markup(value).map_err(at)?,
            "markupPercent" => self.markup_percent = default.markup_percent,
            "requestFee" => self.request_fee = fee(value).map_err(at)?,
            "minimumFee" => self.minimum_fee = fee(value).map_err(at)?,
            "overrides" => {
                self.overrides = overrides(value).map_err(|error| error.under(field))?;
            }
            "currencyRate" if given => self.currency_rate = Some(rate(value).map_err(at)?),
            "currencyRate" => self.currency_rate = None,
            _ => return Err(at(PriceProblem::NoSuchField)),
        }
        Ok(())
    }

    /// What a request comes to (paywalls 14.1). `tariff` may be absent only in mode `requests`.
    /// The request price and the fees are taken only where there was output.
    pub fn bill(
        &self,
        tariff: Option<&Tariff>,
        quantities: &Quantities,
        served: &Served<'_>,
        decimals: u32,
    ) -> Result<Bill, Unbillable> {
        let quantities = quantities.with(Class::Request, u64::from(served.output));
        match self.narrow_bill(tariff, &quantities, served, decimals) {
            Some(bill) => Ok(bill?),
            None => self.wide_bill(tariff, &quantities, served, decimals),
        }
    }

    /// The bill in 128 bits, where it fits.
    pub(super) fn narrow_bill(
        &self,
        tariff: Option<&Tariff>,
        quantities: &Quantities,
        served: &Served<'_>,
        decimals: u32,
    ) -> Option<Result<Bill, CostOverflow>> {
        let tariff = tariff?;
        let cost = tariff.narrow_cost(quantities, served.tier)?;
        let marked = self.narrow_marked(cost, tariff.markup, served.output)?;
        let exact = if served.output { marked.max(Exact::of(self.least())?) } else { marked };
        let shown = cost.rounded()?;
        Some(exact.round_up(decimals).map(|amount| Bill { cost: shown, amount }))
    }

    pub(super) fn wide_bill(
        &self,
        tariff: Option<&Tariff>,
        quantities: &Quantities,
        served: &Served<'_>,
        decimals: u32,
    ) -> Result<Bill, Unbillable> {
        let cost = match tariff {
            Some(tariff) => tariff.cost(quantities, served.tier)?,
            None if self.mode == PricingMode::Requests => Cost::ZERO,
            None => return Err(Unbillable::NoPrice),
        };
        let markup = tariff.is_none_or(|tariff| tariff.markup);
        let exact = self.exact(cost, markup, served.output)?;
        Ok(Bill { cost: cost.rounded()?, amount: round_up(exact, decimals)? })
    }

    /// Whether every request under this tariff costs the user nothing.
    pub fn is_free(&self, tariff: Option<&Tariff>) -> bool {
        let no_fee = self.request_fee.is_zero();
        let no_minimum = self.mode != PricingMode::Hybrid || self.minimum_fee.is_zero();
        let no_cost = match (self.mode, tariff) {
            (PricingMode::Requests, _) => true,
            (_, Some(tariff)) => tariff.prices.is_free() || self.multiplier(tariff.markup) == 0,
            (_, None) => false,
        };
        no_fee && no_minimum && no_cost
    }

    /// The user's price of a cost, in units of 10⁻⁵³.
    pub(super) fn exact(
        &self,
        cost: Cost,
        markup: bool,
        output: bool,
    ) -> Result<I256, CostOverflow> {
        let marked = self.marked(cost, markup, output)?;
        Ok(if output { self.at_least_minimum(marked) } else { marked })
    }

    /// A price with output, not below the minimum fee.
    pub(super) fn at_least_minimum(&self, marked: I256) -> I256 {
        let least = self.least();
        if least.is_positive() { marked.max(exact_amount(least)) } else { marked }
    }

    /// The same before the minimum fee.
    pub(super) fn marked(
        &self,
        cost: Cost,
        markup: bool,
        output: bool,
    ) -> Result<I256, CostOverflow> {
        let fee = if output { exact_amount(self.request_fee) } else { I256::ZERO };
        if self.mode == PricingMode::Requests {
            return Ok(fee);
        }
        let marked = cost.0.checked_mul(self.multiplier(markup)).ok_or(CostOverflow)?;
        marked.checked_add(fee).ok_or(CostOverflow)
    }

    /// `marked` in 128 bits, where it fits.
    pub(super) fn narrow_marked(
        &self,
        cost: NarrowCost,
        markup: bool,
        output: bool,
    ) -> Option<Exact> {
        let fee = if output { Exact::of(self.request_fee)? } else { Exact::ZERO };
        if self.mode == PricingMode::Requests {
            return Some(fee);
        }
        cost.times(self.multiplier_nanos(markup))?.plus(fee)
    }

    /// What a cost is multiplied with, in units of 10⁻¹¹.
    pub(super) fn multiplier(&self, markup: bool) -> I256 {
        I256::from(self.multiplier_nanos(markup))
    }

    /// A hundred percent and the markup, in units of 10⁻⁹ of a percent.
    fn multiplier_nanos(&self, markup: bool) -> i128 {
        let percent = if markup { self.markup_percent } else { Amount::ZERO };
        (HUNDRED_PERCENT + percent).nanos()
    }

    /// The least amount of a request that had output.
    pub(super) fn least(&self) -> Amount {
        if self.mode == PricingMode::Hybrid { self.minimum_fee } else { Amount::ZERO }
    }
}

/// An amount in units of 10⁻⁵³.
pub(super) fn exact_amount(amount: Amount) -> I256 {
    I256::from(amount.nanos()) * ten_to(EXACT_PLACES - AMOUNT_PLACES)
}

/// The one rounding of a charge: up to `decimals` places.
pub(super) fn round_up(exact: I256, decimals: u32) -> Result<Amount, CostOverflow> {
    let decimals = decimals.min(AMOUNT_PLACES);
    let unit = ten_to(EXACT_PLACES - decimals);
    let whole = exact / unit;
    let units = if exact > whole * unit { whole + 1 } else { whole };
    let nanos = units.checked_mul(ten_to(AMOUNT_PLACES - decimals)).ok_or(CostOverflow)?;
    let amount = i128::try_from(nanos).map(Amount::from_nanos).map_err(|_| CostOverflow)?;
    if amount.in_range() { Ok(amount) } else { Err(CostOverflow) }
}

impl Override {
    /// Reads class names with decimal strings, and `markup`.
    pub fn from_json(value: &Value) -> Result<Override, PriceError> {
        let mut vector = PriceVector::default();
        let mut markup = true;
        for (field, value) in members(value)? {
            match (field.as_str(), value) {
                ("markup", Value::Null) => {}
                ("markup", value) => {
                    let wrong = || PriceError::at("markup", PriceProblem::NotABoolean);
                    markup = value.as_bool().ok_or_else(wrong)?;
                }
                (class, value) => vector.read_member(class, value)?,
            }
        }
        Ok(Override { prices: Arc::new(Prices::of(vector)), markup })
    }

    pub(super) fn tariff(&self) -> Tariff {
        Tariff {
            origin: Origin::Override,
            price_id: None,
            prices: Arc::clone(&self.prices),
            conversion: None,
            markup: self.markup,
        }
    }
}

impl Serialize for Override {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        for (class, price) in self.prices.vector.given() {
            map.serialize_entry(class, &price)?;
        }
        if !self.markup {
            map.serialize_entry("markup", &false)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Override {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Override, D::Error> {
        Override::from_json(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn mode(value: &Value) -> Result<PricingMode, PriceProblem> {
    PricingMode::deserialize(value).map_err(|_| PriceProblem::NotOneOf("tokens, requests, hybrid"))
}

fn markup(value: &Value) -> Result<Amount, PriceProblem> {
    let percent = json::amount(value)?;
    if percent < -HUNDRED_PERCENT { Err(PriceProblem::BelowMinusHundred) } else { Ok(percent) }
}

fn fee(value: &Value) -> Result<Amount, PriceProblem> {
    let fee = if value.is_null() { Amount::ZERO } else { json::amount(value)? };
    if fee.is_negative() { Err(PriceProblem::Negative) } else { Ok(fee) }
}

fn rate(value: &Value) -> Result<Rate, PriceProblem> {
    Ok(Rate::parse(&json::decimal_text(value)?)?)
}

/// Null is none; so is an empty list, which some clients send for an empty map.
fn overrides(value: &Value) -> Result<BTreeMap<String, Override>, PriceError> {
    if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
        return Ok(BTreeMap::new());
    }
    let body = members(value)?;
    if body.len() > OVERRIDES_MAX {
        return Err(PriceError::at("", PriceProblem::TooMany(OVERRIDES_MAX)));
    }
    let mut read = BTreeMap::new();
    for (model, value) in body.iter().filter(|(_, value)| !value.is_null()) {
        if model.is_empty() || model.chars().count() > MODEL_CHARS_MAX {
            return Err(PriceError::at(model, PriceProblem::NotAName(MODEL_CHARS_MAX)));
        }
        let own = Override::from_json(value).map_err(|error| error.under(model))?;
        read.insert(model.clone(), own);
    }
    Ok(read)
}
