//! From quantities to money: what the provider takes and what the user pays (paywalls 14.1, 4.3).
//!
//! Sums are exact in 256 bits, and ordinary ones in 128 before that (`narrow`). The user's amount
//! is rounded up once, at the end; the provider's cost is shown at 12 places.

use std::sync::LazyLock;

use ethnum::I256;
use serde::{Deserialize, Serialize};

use super::book::{Prices, Tariff};
use super::narrow::{Factor, Lines, NarrowCost};
use super::price::Price;
use super::vector::{Class, Quantities};
use crate::amount::{Amount, Rate};

/// What the provider takes, exactly: units of 10⁻⁴² of the paywall's currency (price 10⁻¹² for a
/// million tokens, times tier factor 10⁻¹², times currency rate 10⁻¹²).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(pub(super) I256);

/// A price that overflows: no real price does, so the row or the quantity is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the price overflows: check the price row, the markup and the currency rate")]
pub struct CostOverflow;

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// What the provider takes, in the paywall's currency, rounded to 12 places where it has more.
    pub cost: Price,
    /// What the user pays, rounded up to the paywall's decimals.
    pub amount: Amount,
}

/// What the answer told of how it was served, beside its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served<'a> {
    /// `service_tier` of the answer.
    pub tier: Option<&'a str>,
    /// Whether there was any output: without, no request price and no fee is taken.
    pub output: bool,
}

/// One line of a bill, for the explanation of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    pub class: Class,
    pub quantity: u64,
    /// For 1,000,000 tokens, or for one request or tool call; before tier factor and currency rate.
    pub price: Price,
}

/// Cost units of one 10⁻¹².
const COST_PER_PICO: I256 = I256::new(10_i128.pow(30));
/// Tokens that a price of a token class is for.
const MILLION: i128 = 1_000_000;

/// `10^exponent` in 256 bits; 10⁷⁶ is the largest.
pub(super) fn ten_to(exponent: u32) -> I256 {
    /// Multiplied once: every price of every request needs some of them.
    static POWERS: LazyLock<[I256; 77]> = LazyLock::new(|| {
        let mut power = I256::ONE;
        std::array::from_fn(|exponent| {
            if exponent > 0 {
                power *= I256::new(10);
            }
            power
        })
    });
    usize::try_from(exponent).ok().and_then(|at| POWERS.get(at)).copied().unwrap_or(I256::MAX)
}

impl Cost {
    pub const ZERO: Cost = Cost(I256::ZERO);

    /// At 12 places, half away from zero where it has more.
    pub fn rounded(self) -> Result<Price, CostOverflow> {
        let half = COST_PER_PICO / 2;
        let picos = self.0.checked_add(half).ok_or(CostOverflow)? / COST_PER_PICO;
        i128::try_from(picos).map(Price::from_picos).map_err(|_| CostOverflow)
    }
}

impl Tariff {
    /// What the provider takes for `quantities`, in the paywall's currency. The request price is
    /// `quantities`' matter: a request without output has a `Request` quantity of zero.
    pub fn cost(&self, quantities: &Quantities, tier: Option<&str>) -> Result<Cost, CostOverflow> {
        let mut sum = I256::ZERO;
        for part in self.prices.parts(quantities) {
            let line = line(part.class, part.price, part.quantity)?;
            sum = sum.checked_add(line).ok_or(CostOverflow)?;
        }
        scaled(sum, self.prices.factor(tier), self.conversion)
    }

    /// The same in 128 bits, where it fits.
    pub(super) fn narrow_cost(
        &self,
        quantities: &Quantities,
        tier: Option<&str>,
    ) -> Option<NarrowCost> {
        let lines = self.prices.parts(quantities).try_fold(Lines::default(), |sum, part| {
            sum.plus(part.class, part.price, part.quantity)
        })?;
        lines.cost(Factor::of(self.prices.factor(tier), self.conversion)?)
    }
}

impl Prices {
    /// The lines of a bill: each class that was used, at the price that holds for it.
    pub fn parts(&self, quantities: &Quantities) -> impl Iterator<Item = Part> {
        let vector = self.vector_for(quantities.prompt_tokens());
        Class::ALL.into_iter().filter_map(move |class| {
            let quantity = quantities.get(class);
            (quantity > 0).then(|| Part { class, quantity, price: vector.price(class) })
        })
    }
}

/// One class in units of 10⁻¹⁸ of the row's currency.
pub(super) fn line(class: Class, price: Price, quantity: u64) -> Result<I256, CostOverflow> {
    let of_one = if class.is_tokens() { 1 } else { MILLION };
    let price = I256::from(price.picos()).checked_mul(I256::from(of_one)).ok_or(CostOverflow)?;
    price.checked_mul(I256::from(quantity)).ok_or(CostOverflow)
}

/// From units of 10⁻¹⁸ in the row's currency to a cost.
pub(super) fn scaled(
    sum: I256,
    factor: Price,
    conversion: Option<Rate>,
) -> Result<Cost, CostOverflow> {
    let rate = conversion.unwrap_or(Rate::ONE).picos();
    let tiered = sum.checked_mul(I256::from(factor.picos())).ok_or(CostOverflow)?;
    tiered.checked_mul(I256::from(rate)).map(Cost).ok_or(CostOverflow)
}
