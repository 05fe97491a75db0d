//! Promise about sums in 128 bits: they say what the sums in 256 bits say, or nothing.

use std::sync::Arc;

use proptest::prelude::*;

use crate::amount::{Amount, Rate};
use crate::proxy::estimate::{Affordable, Estimate};
use crate::proxy::*;

/// Integers of every length, from 0 on.
fn any_size(bits: u32) -> impl Strategy<Value = i128> {
    (0..i128::MAX, 127 - bits..127).prop_map(|(number, shift)| number >> shift)
}

/// Numbers of 12 places as people write them, and any others.
fn factor() -> impl Strategy<Value = i128> {
    let few_places =
        |places: u32, max: i128| (1..max).prop_map(move |number| number * 10_i128.pow(12 - places));
    prop_oneof![
        Just(10_i128.pow(12)),
        few_places(1, 100),
        few_places(4, 100_000),
        any_size(90).prop_map(|number| number + 1),
    ]
}

fn price() -> impl Strategy<Value = Price> {
    prop_oneof![any_size(44), any_size(100)].prop_map(Price::from_picos)
}

fn quantity() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
}

fn fee() -> impl Strategy<Value = Amount> {
    prop_oneof![Just(0), any_size(33), any_size(89)].prop_map(Amount::from_nanos)
}

fn pricing() -> impl Strategy<Value = Pricing> {
    let mode = prop_oneof![
        Just(PricingMode::Tokens),
        Just(PricingMode::Requests),
        Just(PricingMode::Hybrid)
    ];
    let markup = prop_oneof![
        (-100_000..500_000_i128).prop_map(|thousandths| thousandths * 1_000_000),
        any_size(89).prop_map(|nanos| nanos - 100_000_000_000),
    ];
    (mode, markup, fee(), fee()).prop_map(|(mode, markup, request_fee, minimum_fee)| Pricing {
        mode,
        markup_percent: Amount::from_nanos(markup),
        request_fee,
        minimum_fee,
        ..Pricing::default()
    })
}

fn tariff() -> impl Strategy<Value = Tariff> {
    let prices = prop::collection::vec(prop::option::of(price()), Class::ALL.len());
    (prices, factor(), prop::option::of(factor()), any::<bool>()).prop_map(
        |(prices, tier, rate, markup)| {
            let given = Class::ALL.into_iter().zip(prices);
            let vector = given.fold(PriceVector::default(), |vector, (class, price)| match price {
                Some(price) => vector.with(class, price),
                None => vector,
            });
            let mut prices = Prices::of(vector);
            prices.service_tiers.insert("tier".to_owned(), Price::from_picos(tier));
            Tariff {
                origin: Origin::Paywall,
                price_id: None,
                prices: Arc::new(prices),
                conversion: rate.map(rate_of),
                markup,
            }
        },
    )
}

fn rate_of(picos: i128) -> Rate {
    Rate::parse(&Price::from_picos(picos).to_string()).unwrap_or(Rate::ONE)
}

fn estimate() -> impl Strategy<Value = Estimate> {
    let prices = (price(), price(), price());
    let scale = (factor(), prop::option::of(factor()), any::<bool>());
    (prices, scale, quantity(), quantity()).prop_map(|(prices, scale, prompt_tokens, choices)| {
        Estimate {
            prompt_tokens,
            input_price: prices.0,
            output_price: prices.1,
            request_price: prices.2,
            tier_factor: Price::from_picos(scale.0),
            conversion: scale.1.map(rate_of),
            markup: scale.2,
            choices: choices.max(1),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_bill_is_the_same_in_128_bits_as_in_256(
        (tariff, pricing) in (tariff(), pricing()),
        used in prop::collection::vec(prop_oneof![Just(0), quantity()], Class::ALL.len()),
        (tier, output, decimals) in (any::<bool>(), any::<bool>(), 0_u32..10),
    ) {
        let used = Class::ALL.into_iter().zip(used);
        let used = used.fold(Quantities::default(), |sum, (class, n)| sum.with(class, n));
        let served = Served { tier: tier.then_some("tier"), output };
        if let Some(narrow) = pricing.narrow_bill(Some(&tariff), &used, &served, decimals) {
            let wide = pricing.wide_bill(Some(&tariff), &used, &served, decimals);
            prop_assert_eq!(narrow.map_err(Unbillable::from), wide);
        }
    }

    #[test]
    fn a_hold_is_the_same_in_128_bits_as_in_256(
        (estimate, pricing) in (estimate(), pricing()),
        (tokens, decimals) in (quantity(), 0_u32..10),
        funds in prop_oneof![any_size(50), any_size(89)],
        is_negative in prop::bool::weighted(0.1),
    ) {
        if let Some(exact) = estimate.narrow_price(&pricing, tokens) {
            let wide = estimate.wide_hold(&pricing, tokens, decimals);
            prop_assert_eq!(exact.round_up(decimals), wide);
        }
        let funds = Amount::from_nanos(if is_negative { -funds } else { funds });
        if let Some(Affordable(narrow)) = estimate.narrow_tokens(&pricing, funds) {
            prop_assert_eq!(Ok(narrow), estimate.wide_tokens(&pricing, funds));
        }
    }

    /// Otherwise nothing of the above would be tested.
    #[test]
    fn ordinary_prices_fit_128_bits(
        (p_in, p_out) in (0..10_i128.pow(14), 0..10_i128.pow(14)),
        (input, output) in (0..1_000_000_u64, 0..1_000_000_u64),
        (markup, rate) in (-10_000..30_000_i128, 1..100_000_i128),
        fee in 0..10_i128.pow(12),
    ) {
        let vector = PriceVector::default()
            .with(Class::Input, Price::from_picos(p_in))
            .with(Class::Output, Price::from_picos(p_out));
        let tariff = Tariff {
            origin: Origin::Catalogue,
            price_id: None,
            prices: Arc::new(Prices::of(vector)),
            conversion: Some(rate_of(rate * 10_i128.pow(8))),
            markup: true,
        };
        let pricing = Pricing {
            markup_percent: Amount::from_nanos(markup * 10_000_000),
            request_fee: Amount::from_nanos(fee),
            ..Pricing::default()
        };
        let used = Quantities::default().with(Class::Input, input).with(Class::Output, output);
        let served = Served { tier: None, output: true };
        prop_assert!(pricing.narrow_bill(Some(&tariff), &used, &served, 6).is_some());
    }
}
