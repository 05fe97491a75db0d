//! Ordinary prices in 128 bits: the sums of `cost` and `pricing` without their 256.
//!
//! Every step is exact or gives `None`: what is too large, or has too many places, is for the wide
//! sums to say. So both come to the same result to the last digit. It knows no tariff and no mode.

use super::cost::CostOverflow;
use super::price::Price;
use super::vector::Class;
use crate::amount::{Amount, Rate};

/// A sum of lines in units of 10⁻¹⁸ of the row's currency, never below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines(u128);

/// What the provider takes, in units of 10⁻²⁴ of the paywall's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NarrowCost(u128);

/// What a user pays before it is rounded, in units of 10⁻²⁹.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exact(u128);

/// Tier factor times currency rate in units of 10⁻⁶: both are mostly 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factor(u64);

const MILLION: u64 = 1_000_000;
/// Units of `Factor` in a factor times a rate, which is in units of 10⁻²⁴.
const PER_FACTOR: u128 = 10_u128.pow(18);
/// Units of a cost in one of a price.
const COST_PER_PICO: u128 = 10_u128.pow(12);
/// Units of the exact amount in one of an amount.
const EXACT_PER_NANO: u128 = 10_u128.pow(20);
/// A multiplier is given in units of 10⁻¹¹, and taken in units of 10⁻⁵.
const PER_MULTIPLIER: u64 = MILLION;
const AMOUNT_PLACES: u32 = 9;
/// `10^n` for the places of an amount.
pub(super) const TENS: [u64; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

impl Lines {
    /// With one class more.
    pub(super) fn plus(self, class: Class, price: Price, quantity: u64) -> Option<Lines> {
        let of_one = if class.is_tokens() { 1 } else { MILLION };
        let price = u64::try_from(price.picos()).ok()?;
        let quantity = quantity.checked_mul(of_one)?;
        self.0.checked_add(u128::from(price) * u128::from(quantity)).map(Lines)
    }

    pub(super) fn cost(self, factor: Factor) -> Option<NarrowCost> {
        self.0.checked_mul(u128::from(factor.0)).map(NarrowCost)
    }
}

impl Factor {
    pub(super) fn of(tier: Price, conversion: Option<Rate>) -> Option<Factor> {
        let rate = conversion.unwrap_or(Rate::ONE);
        if tier == Price::ONE && rate == Rate::ONE {
            return Some(Factor(MILLION));
        }
        let (tier, rate) = (u64::try_from(tier.picos()).ok()?, u64::try_from(rate.picos()).ok()?);
        let product = u128::from(tier) * u128::from(rate);
        let is_whole = product % PER_FACTOR == 0;
        is_whole.then(|| u64::try_from(product / PER_FACTOR).ok().map(Factor)).flatten()
    }
}

impl NarrowCost {
    /// `multiplier` in units of 10⁻¹¹.
    pub(super) fn times(self, multiplier: i128) -> Option<Exact> {
        let multiplier = u64::try_from(multiplier).ok()?;
        let is_whole = multiplier.is_multiple_of(PER_MULTIPLIER);
        let times = is_whole.then_some(u128::from(multiplier / PER_MULTIPLIER))?;
        self.0.checked_mul(times).map(Exact)
    }

    /// At 12 places, half away from zero where it has more.
    pub(super) fn rounded(self) -> Option<Price> {
        let picos = self.0.checked_add(COST_PER_PICO / 2)? / COST_PER_PICO;
        i128::try_from(picos).ok().map(Price::from_picos)
    }
}

impl Exact {
    pub(super) const ZERO: Exact = Exact(0);

    /// `None` also for an amount below zero.
    pub(super) fn of(amount: Amount) -> Option<Exact> {
        let nanos = u128::try_from(amount.nanos()).ok()?;
        nanos.checked_mul(EXACT_PER_NANO).map(Exact)
    }

    pub(super) fn plus(self, other: Exact) -> Option<Exact> {
        self.0.checked_add(other.0).map(Exact)
    }

    /// How many steps as large as the one from `self` to `next` fit below `most`; without end
    /// where a step is nothing.
    pub(super) fn steps_to(self, most: Exact, next: Exact) -> u64 {
        let (left, step) = (most.0.saturating_sub(self.0), next.0.saturating_sub(self.0));
        let steps = left.checked_div(step).unwrap_or(u128::MAX);
        u64::try_from(steps).unwrap_or(u64::MAX)
    }

    /// The one rounding of a charge: up to `decimals` places.
    pub(super) fn round_up(self, decimals: u32) -> Result<Amount, CostOverflow> {
        let nano = u128::from(TENS[AMOUNT_PLACES.saturating_sub(decimals) as usize]);
        let unit = EXACT_PER_NANO * nano;
        // One division, where `div_ceil` takes two.
        let whole = self.0 / unit;
        let units = if whole * unit < self.0 { whole + 1 } else { whole };
        let nanos = i128::try_from(units * nano).map_err(|_| CostOverflow)?;
        let amount = Amount::from_nanos(nanos);
        if amount.in_range() { Ok(amount) } else { Err(CostOverflow) }
    }
}
