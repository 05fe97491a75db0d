//! The worst that a request can cost, before it is sent (paywalls 17.1).
//!
//! Everything that is unknown is taken at its dearest; a discount is never assumed. What a wallet
//! affords is computed here, and decided in `hold`.

use ethnum::I256;
use serde::{Deserialize, Serialize};

use super::ask::Ask;
use super::book::{ModelFacts, Prices, Tariff};
use super::cost::{Cost, CostOverflow, line, scaled};
use super::measure::Caching;
use super::narrow::{Exact, Factor, Lines, TENS};
use super::price::Price;
use super::pricing::{Pricing, exact_amount, round_up};
use super::vector::Class;
use crate::amount::{Amount, Rate};

/// The figures of the worst case. Prices are the provider's, before markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    pub prompt_tokens: u64,
    /// Dearest price of a million tokens of the prompt, and of the output.
    pub input_price: Price,
    pub output_price: Price,
    pub request_price: Price,
    /// Dearest tier that the request may be served in.
    pub tier_factor: Price,
    pub conversion: Option<Rate>,
    pub markup: bool,
    /// Outputs that are made; each may be as long as the cap.
    pub choices: u64,
}

/// How long each output may be; `None`: not even the prompt and the fees fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Affordable(pub(super) Option<u64>);

impl Estimate {
    /// `tariff` may be absent only where the paywall prices by requests.
    pub fn of(ask: &Ask, tariff: Option<&Tariff>, facts: &ModelFacts) -> Estimate {
        let prompt_tokens = ask.measure.tokens(facts);
        let dearest = |classes: &mut dyn Iterator<Item = Class>| {
            tariff.map_or(Price::ZERO, |tariff| dearest(&tariff.prices, prompt_tokens, classes))
        };
        Estimate {
            prompt_tokens,
            input_price: dearest(&mut input_classes(ask)),
            output_price: dearest(&mut output_classes(ask).iter().copied()),
            request_price: dearest(&mut [Class::Request].into_iter()),
            tier_factor: tariff.map_or(Price::ONE, |tariff| dearest_factor(&tariff.prices, ask)),
            conversion: tariff.and_then(|tariff| tariff.conversion),
            markup: tariff.is_none_or(|tariff| tariff.markup),
            choices: ask.choices.max(1),
        }
    }

    /// The hold for outputs of at most `output_tokens` each, rounded up.
    pub fn hold(
        &self,
        pricing: &Pricing,
        output_tokens: u64,
        decimals: u32,
    ) -> Result<Amount, CostOverflow> {
        if let Some(exact) = self.narrow_price(pricing, output_tokens) {
            return exact.round_up(decimals);
        }
        self.wide_hold(pricing, output_tokens, decimals)
    }

    pub(super) fn wide_hold(
        &self,
        pricing: &Pricing,
        output_tokens: u64,
        decimals: u32,
    ) -> Result<Amount, CostOverflow> {
        let cost = self.cost(output_tokens)?;
        round_up(pricing.exact(cost, self.markup, true)?, decimals)
    }

    /// How long each output may be so that the hold is at most `funds`, rounding included;
    /// `u64::MAX` where length costs nothing. `None`: not even the prompt and the fees fit.
    pub fn affordable_tokens(
        &self,
        pricing: &Pricing,
        funds: Amount,
        decimals: u32,
    ) -> Result<Option<u64>, CostOverflow> {
        let funds = floored(funds, decimals);
        match self.narrow_tokens(pricing, funds) {
            Some(Affordable(tokens)) => Ok(tokens),
            None => self.wide_tokens(pricing, funds),
        }
    }

    pub(super) fn wide_tokens(
        &self,
        pricing: &Pricing,
        funds: Amount,
    ) -> Result<Option<u64>, CostOverflow> {
        let funds = exact_amount(funds);
        let without = self.marked(pricing, 0)?;
        if pricing.at_least_minimum(without) > funds {
            return Ok(None);
        }
        let per_token = self.marked(pricing, 1)? - without;
        if per_token == 0 {
            return Ok(Some(u64::MAX));
        }
        let left = funds - without;
        Ok(Some(u64::try_from(left / per_token).unwrap_or(u64::MAX)))
    }

    /// `affordable_tokens` in 128 bits, where all of it fits.
    pub(super) fn narrow_tokens(&self, pricing: &Pricing, funds: Amount) -> Option<Affordable> {
        let without = self.narrow_marked(pricing, 0)?;
        let least = without.max(Exact::of(pricing.least())?);
        // No price is below zero.
        let funds =
            if funds.is_negative() { return Some(Affordable(None)) } else { Exact::of(funds)? };
        if least > funds {
            return Some(Affordable(None));
        }
        let with_one = self.narrow_marked(pricing, 1)?;
        Some(Affordable(Some(without.steps_to(funds, with_one))))
    }

    /// The exact price of the worst case, where it fits.
    pub(super) fn narrow_price(&self, pricing: &Pricing, output_tokens: u64) -> Option<Exact> {
        let marked = self.narrow_marked(pricing, output_tokens)?;
        Some(marked.max(Exact::of(pricing.least())?))
    }

    /// `marked` in 128 bits, where it fits.
    fn narrow_marked(&self, pricing: &Pricing, output_tokens: u64) -> Option<Exact> {
        let output = output_tokens.checked_mul(self.choices)?;
        let lines = Lines::default()
            .plus(Class::Input, self.input_price, self.prompt_tokens)?
            .plus(Class::Output, self.output_price, output)?
            .plus(Class::Request, self.request_price, 1)?;
        let cost = lines.cost(Factor::of(self.tier_factor, self.conversion)?)?;
        pricing.narrow_marked(cost, self.markup, true)
    }

    /// The provider's price of the worst case.
    fn cost(&self, output_tokens: u64) -> Result<Cost, CostOverflow> {
        let output = output_tokens.checked_mul(self.choices).ok_or(CostOverflow)?;
        let lines = [
            line(Class::Input, self.input_price, self.prompt_tokens)?,
            line(Class::Output, self.output_price, output)?,
            line(Class::Request, self.request_price, 1)?,
        ];
        let sum = lines.into_iter().try_fold(I256::ZERO, I256::checked_add).ok_or(CostOverflow)?;
        scaled(sum, self.tier_factor, self.conversion)
    }

    /// Price with markup and fees, before the minimum, in units of 10⁻⁵³.
    fn marked(&self, pricing: &Pricing, output_tokens: u64) -> Result<I256, CostOverflow> {
        pricing.marked(self.cost(output_tokens)?, self.markup, true)
    }
}

/// Down to the places of the paywall: no hold may be above what is left.
fn floored(amount: Amount, decimals: u32) -> Amount {
    let unit = TENS[9_u32.saturating_sub(decimals) as usize];
    let dropped = amount.nanos().rem_euclid(i128::from(unit));
    Amount::from_nanos(amount.nanos() - dropped)
}

fn input_classes(ask: &Ask) -> impl Iterator<Item = Class> {
    let measure = &ask.measure;
    let caused = [
        (Class::Input, true),
        (Class::CacheWrite, measure.caching >= Caching::Minutes),
        (Class::CacheWrite1h, measure.caching == Caching::Hour),
        (Class::Image, measure.images > 0),
        (Class::AudioInput, measure.audio_parts > 0),
    ];
    caused.into_iter().filter(|(_, caused)| *caused).map(|(class, _)| class)
}

fn output_classes(ask: &Ask) -> &'static [Class] {
    if ask.wants_audio {
        &[Class::Output, Class::Reasoning, Class::AudioOutput]
    } else {
        &[Class::Output, Class::Reasoning]
    }
}

/// A prompt that is estimated long may turn out short, so the ordinary prices bound it too.
fn dearest(prices: &Prices, prompt_tokens: u64, classes: &mut dyn Iterator<Item = Class>) -> Price {
    let (short, long) = (&prices.vector, prices.vector_for(prompt_tokens));
    let dearer = |class| short.price(class).max(long.price(class));
    classes.map(dearer).max().unwrap_or_default()
}

/// A tier that is asked for may be refused and served as the ordinary one; `auto` may be any.
fn dearest_factor(prices: &Prices, ask: &Ask) -> Price {
    let tier = ask.service_tier.as_deref();
    let any = || prices.service_tiers.values().copied().max().unwrap_or(Price::ONE);
    let asked = if tier == Some("auto") { any() } else { prices.factor(tier) };
    asked.max(Price::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn funds_are_floored_to_the_places_of_the_paywall() {
        let amount = Amount::parse("1.0000019").unwrap();
        assert_eq!(floored(amount, 6).to_string(), "1.000001");
        assert_eq!(floored(amount, 9), amount);
        assert_eq!(floored(Amount::parse("-0.0000001").unwrap(), 6).to_string(), "-0.000001");
    }
}
