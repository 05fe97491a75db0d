//! Promises about prices, the price book and what a request comes to.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::amount::{Amount, NumberError, Rate};
use crate::currency::Currency;
use crate::id::{PriceId, Ulid};
use crate::proxy::*;
use crate::time::Timestamp;

fn vector(body: &Value) -> PriceVector {
    PriceVector::from_json(body).unwrap()
}

fn tariff(body: &Value) -> Tariff {
    Tariff {
        origin: Origin::Catalogue,
        price_id: None,
        prices: Arc::new(Prices::of(vector(body))),
        conversion: None,
        markup: true,
    }
}

fn pricing(body: &Value) -> Pricing {
    let mut pricing = Pricing::default();
    for (field, value) in body.as_object().unwrap() {
        pricing.write(field, value).unwrap();
    }
    pricing
}

fn tokens(input: u64, output: u64) -> Quantities {
    Quantities::default().with(Class::Input, input).with(Class::Output, output)
}

const ANSWERED: Served<'static> = Served { tier: None, output: true };

fn row(no: u128, model: &str, (from, to): (i64, Option<i64>)) -> PriceRow {
    let mut row = PriceRow::from_json(
        &json!({"model": model, "provider": "openai", "prices": {"input": "1"}}),
        PriceId(Ulid(no)),
        Timestamp::from_millis(from),
        Currency::USD,
    )
    .unwrap();
    row.effective_to = to.map(Timestamp::from_millis);
    row
}

#[test]
fn a_markup_of_a_fifth_charges_a_fifth_more() {
    let prices = tariff(&json!({"prompt": "1000000"}));
    let bill = pricing(&json!({"markupPercent": "20"}));
    let bill = bill.bill(Some(&prices), &tokens(1, 0), &ANSWERED, 6).unwrap();
    assert_eq!((bill.cost.to_string(), bill.amount.to_string()), ("1".into(), "1.2".into()));
}

#[test]
fn the_formula_by_mode() {
    let prices = tariff(&json!({"prompt": "3", "completion": "15", "request": "0.001"}));
    let fees = json!({"markupPercent": "10", "requestFee": "0.002", "minimumFee": "0.01"});
    // 1,000 × 3/M + 100 × 15/M + 0.001 = 0.0055; × 1.1 + 0.002 = 0.00805
    let table = [
        ("tokens", true, "0.0055", "0.00805"),
        ("hybrid", true, "0.0055", "0.01"),
        ("requests", true, "0.0055", "0.002"),
        ("tokens", false, "0.0045", "0.00495"),
        ("hybrid", false, "0.0045", "0.00495"),
        ("requests", false, "0.0045", "0"),
    ];
    for (mode, output, cost, amount) in table {
        let mut pricing = pricing(&fees);
        pricing.write("mode", &json!(mode)).unwrap();
        let served = Served { tier: None, output };
        let bill = pricing.bill(Some(&prices), &tokens(1_000, 100), &served, 6).unwrap();
        let got = (bill.cost.to_string(), bill.amount.to_string());
        assert_eq!(got, (cost.to_owned(), amount.to_owned()), "{mode} {output}");
    }
}

#[test]
fn rounding_goes_up_once_over_the_sum_and_zero_stays_zero() {
    let prices = tariff(&json!({"prompt": "0.4", "completion": "0.4"}));
    let plain = pricing(&json!({"markupPercent": "0"}));
    let amount = |input, output, decimals| {
        let bill = plain.bill(Some(&prices), &tokens(input, output), &ANSWERED, decimals);
        bill.unwrap().amount.to_string()
    };
    assert_eq!(amount(1, 1, 6), "0.000001", "0.8 of a unit: one unit, not two");
    assert_eq!(amount(1, 1, 9), "0.0000008");
    assert_eq!(amount(2, 1, 6), "0.000002");
    assert_eq!(amount(5, 0, 6), "0.000002", "exactly two units");
    assert_eq!(amount(0, 0, 6), "0");
}

#[test]
fn absent_classes_take_the_price_of_their_fallback() {
    let full = vector(&json!({"input": "2", "output": "8", "cached_input": "0.5"}));
    let table = [
        (Class::Input, "2"),
        (Class::CachedInput, "0.5"),
        (Class::CacheWrite, "2"),
        (Class::CacheWrite1h, "2"),
        (Class::AudioInput, "2"),
        (Class::Image, "2"),
        (Class::Output, "8"),
        (Class::Reasoning, "8"),
        (Class::AudioOutput, "8"),
        (Class::Request, "0"),
        (Class::ToolCall, "0"),
    ];
    for (class, price) in table {
        assert_eq!(full.price(class).to_string(), price, "{class:?}");
    }
    assert!(vector(&json!({"input": "0", "output": "0.0"})).is_free());
    assert!(!full.is_free());
}

#[test]
fn the_parts_of_a_bill_are_named_as_on_the_wire() {
    let prices = Prices::of(vector(&json!({"input": "2", "cache_write_1h": "3"})));
    let used = tokens(5, 0).with(Class::CacheWrite1h, 1);
    let parts: Vec<Part> = prices.parts(&used).collect();
    let expected = json!([
        {"class": "prompt", "quantity": 5, "price": "2"},
        {"class": "cache_write_1h", "quantity": 1, "price": "3"},
    ]);
    assert_eq!(serde_json::to_value(parts).unwrap(), expected);
}

#[test]
fn names_of_classes_on_the_wire() {
    let read = vector(&json!({"input": "1", "completion": 2, "cache_write_1h": "0.000000000001"}));
    let wire = json!({"prompt": "1", "completion": "2", "cache_write_1h": "0.000000000001"});
    assert_eq!(serde_json::to_value(&read).unwrap(), wire);
    assert_eq!(vector(&wire), read);
    let table = [
        (json!([]), "", PriceProblem::NotAnObject),
        (json!({"tokens": "1"}), "tokens", PriceProblem::NoSuchField),
        (json!({"input": "1", "prompt": "1"}), "prompt", PriceProblem::Twice),
        (json!({"input": "-1"}), "input", PriceProblem::Negative),
        (json!({"input": "1e3"}), "input", NumberError::Malformed.into()),
        (json!({"input": true}), "input", NumberError::Malformed.into()),
        (json!({"input": "0.0000000000001"}), "input", NumberError::TooManyPlaces(12).into()),
    ];
    for (body, field, problem) in table {
        assert_eq!(PriceVector::from_json(&body), Err(PriceError::at(field, problem)), "{body}");
    }
}

#[test]
fn a_long_prompt_is_priced_whole_by_the_long_prices() {
    let mut prices = Prices::of(vector(&json!({"input": "1", "output": "2"})));
    let long = vector(&json!({"input": "10", "output": "20"}));
    prices.long_context = Some(LongContext { above: 200, prices: long });
    let mut tariff = tariff(&json!({}));
    tariff.prices = Arc::new(prices);
    let cost = |input| tariff.cost(&tokens(input, 10), None).unwrap().rounded().unwrap();
    assert_eq!(cost(200).to_string(), "0.00022");
    assert_eq!(cost(201).to_string(), "0.00221");
}

#[test]
fn tiers_and_currencies_multiply_the_whole_cost() {
    let mut prices = Prices::of(vector(&json!({"input": "1"})));
    prices.service_tiers.insert("flex".to_owned(), Price::parse("0.5").unwrap());
    let mut tariff = tariff(&json!({}));
    tariff.prices = Arc::new(prices);
    let cost = |tariff: &Tariff, tier| {
        tariff.cost(&tokens(1_000_000, 0), tier).unwrap().rounded().unwrap().to_string()
    };
    assert_eq!(cost(&tariff, None), "1");
    assert_eq!(cost(&tariff, Some("default")), "1");
    assert_eq!(cost(&tariff, Some("flex")), "0.5");
    tariff.conversion = Some(Rate::parse("0.9").unwrap());
    assert_eq!(cost(&tariff, Some("flex")), "0.45");
}

#[test]
fn free_is_what_can_never_cost_anything() {
    let (zero, priced) = (tariff(&json!({"input": "0"})), tariff(&json!({"input": "1"})));
    let table = [
        (json!({}), Some(&zero), true),
        (json!({}), Some(&priced), false),
        (json!({"markupPercent": "-100"}), Some(&priced), true),
        (json!({"requestFee": "0.1"}), Some(&zero), false),
        (json!({"minimumFee": "0.1"}), Some(&zero), true),
        (json!({"minimumFee": "0.1", "mode": "hybrid"}), Some(&zero), false),
        (json!({"mode": "requests"}), None, true),
    ];
    for (body, tariff, free) in table {
        assert_eq!(pricing(&body).is_free(tariff), free, "{body}");
    }
}

#[test]
fn absurd_prices_are_refused_and_never_wrap() {
    let prices = tariff(&json!({"input": "999999999999999999"}));
    let bill = Pricing::default().bill(Some(&prices), &tokens(u64::MAX, 0), &ANSWERED, 6);
    assert_eq!(bill, Err(Unbillable::Overflow(CostOverflow)));
    let mut wild = prices.clone();
    wild.conversion = Some(Rate::parse("999999999999999999").unwrap());
    assert_eq!(wild.cost(&tokens(u64::MAX, 0), None), Err(CostOverflow));
}

#[test]
fn the_first_list_that_has_the_model_wins_whole() {
    let list = |no| PriceList::from_iter([row(no, "gpt-5", (0, None))]);
    let (paywall, environment, catalogue) = (list(1), list(2), list(3));
    let none = PriceList::default();
    let ask = PriceAsk {
        models: &["gpt-5", "openai/gpt-5"],
        providers: &["mine", "openai"],
        at: Timestamp::from_millis(5),
        currency: Currency::USD,
    };
    let find = |pricing: &Pricing, book: PriceBook<'_>| {
        let tariff = book.resolve(pricing, &ask).unwrap().unwrap();
        (tariff.origin, tariff.price_id.map(|id| id.0.0))
    };
    let all = PriceBook { paywall: &paywall, environment: &environment, catalogue: &catalogue };
    let plain = Pricing::default();
    let own = pricing(&json!({"overrides": {"openai/gpt-5": {"completion": "1"}}}));
    assert_eq!(find(&own, all), (Origin::Override, None));
    assert_eq!(find(&plain, all), (Origin::Paywall, Some(1)));
    assert_eq!(find(&plain, PriceBook { paywall: &none, ..all }), (Origin::Environment, Some(2)));
    let shipped = PriceBook { paywall: &none, environment: &none, ..all };
    assert_eq!(find(&plain, shipped), (Origin::Catalogue, Some(3)));
    let empty = PriceBook { catalogue: &none, ..shipped };
    assert_eq!(empty.resolve(&plain, &ask), Err(Unbillable::NoPrice));
    assert_eq!(empty.resolve(&pricing(&json!({"mode": "requests"})), &ask), Ok(None));
}

#[test]
fn another_currency_needs_the_owners_rate() {
    let list = PriceList::from_iter([row(1, "gpt-5", (0, None))]);
    let none = PriceList::default();
    let book = PriceBook { paywall: &list, environment: &none, catalogue: &none };
    let ask = PriceAsk {
        models: &["gpt-5"],
        providers: &["openai"],
        at: Timestamp::from_millis(5),
        currency: Currency::parse("eur").unwrap(),
    };
    let refused = book.resolve(&Pricing::default(), &ask);
    assert_eq!(refused, Err(Unbillable::OtherCurrency(Currency::USD)));
    let rated = pricing(&json!({"currencyRate": "0.9"}));
    let tariff = book.resolve(&rated, &ask).unwrap().unwrap();
    assert_eq!(tariff.conversion, Some(Rate::parse("0.9").unwrap()));
}

#[test]
fn a_row_holds_from_its_start_until_before_its_end() {
    let list = PriceList::from_iter([row(1, "m", (10, Some(20))), row(2, "m", (20, None))]);
    let at = |ms, provider| {
        let ask = PriceAsk {
            models: &["m"],
            providers: &[provider],
            at: Timestamp::from_millis(ms),
            currency: Currency::USD,
        };
        list.find(&ask).map(|row| row.id.0.0)
    };
    assert_eq!(
        [9, 10, 19, 20, 99].map(|ms| at(ms, "openai")),
        [None, Some(1), Some(1), Some(2), Some(2)]
    );
    assert_eq!(at(15, "other"), None);
}

#[test]
fn a_new_row_ends_the_open_one_and_overlaps_no_other() {
    let list = PriceList::from_iter([row(1, "m", (10, Some(20))), row(2, "m", (30, None))]);
    let table = [
        ((40, None), Ok(Some(PriceId(Ulid(2))))),
        ((30, None), Err(Overlap(PriceId(Ulid(2))))),
        ((20, Some(30)), Ok(None)),
        ((19, Some(30)), Err(Overlap(PriceId(Ulid(1))))),
        ((20, None), Err(Overlap(PriceId(Ulid(2))))),
        ((0, Some(10)), Ok(None)),
    ];
    for (span, expected) in table {
        assert_eq!(list.ended_by(&row(9, "m", span)), expected, "{span:?}");
    }
    assert_eq!(list.ended_by(&row(9, "other", (0, None))), Ok(None));
}

#[test]
fn a_row_reads_from_a_body_and_back_from_its_stored_form() {
    let body = json!({
        "model": "claude", "provider": "anthropic", "currency": "EUR",
        "prices": {"prompt": "3", "completion": "15", "cache_write": "3.75"},
        "longContext": {"above": 200_000, "prices": {"prompt": "6", "completion": "22.5"}},
        "serviceTiers": {"priority": "1.25"},
        "maxOutputTokens": 64_000, "contextTokens": 1_000_000, "tokenizer": "claude",
        "effectiveFrom": "2026-01-01T00:00:00Z", "effectiveTo": "2027-01-01T00:00:00Z",
        "source": "price page",
    });
    let read = |body: &Value| {
        PriceRow::from_json(body, PriceId::default(), Timestamp::from_millis(1), Currency::USD)
    };
    let row = read(&body).unwrap();
    let wire = serde_json::to_value(&row).unwrap();
    for (field, value) in body.as_object().unwrap() {
        let time = field.starts_with("effective");
        assert!(time || wire[field] == *value, "{field}: {}", wire[field]);
    }
    assert_eq!(serde_json::from_value::<PriceRow>(wire).unwrap(), row);
    let table = [
        ("model", json!(""), PriceProblem::NotAName(200), "model"),
        ("model", Value::Null, PriceProblem::Missing, "model"),
        ("prices", Value::Null, PriceProblem::Missing, "prices"),
        ("prices", json!({"x": "1"}), PriceProblem::NoSuchField, "prices.x"),
        ("longContext", json!({"above": 1}), PriceProblem::Missing, "longContext.prices"),
        ("serviceTiers", json!({"a": "-1"}), PriceProblem::Negative, "serviceTiers.a"),
        ("maxOutputTokens", json!(0), PriceProblem::NotWhole(1, 1_000_000_000), "maxOutputTokens"),
        (
            "effectiveTo",
            json!("2026-01-01T00:00:00Z"),
            PriceProblem::EndsBeforeItStarts,
            "effectiveTo",
        ),
        ("colour", json!(1), PriceProblem::NoSuchField, "colour"),
    ];
    for (field, value, problem, at) in table {
        let mut body = body.clone();
        body[field] = value;
        assert_eq!(read(&body), Err(PriceError::at(at, problem)), "{field}");
    }
}

#[test]
fn pricing_names_the_field_that_it_refuses() {
    let table = [
        ("mode", json!("free"), "mode"),
        ("markupPercent", json!("-100.1"), "markupPercent"),
        ("requestFee", json!("-1"), "requestFee"),
        ("minimumFee", json!("x"), "minimumFee"),
        ("overrides", json!({"m": {"prompt": "-1"}}), "overrides.m.prompt"),
        ("overrides", json!({"m": {"markup": 1}}), "overrides.m.markup"),
        ("overrides", json!([1]), "overrides"),
        ("currencyRate", json!("0"), "currencyRate"),
        ("currency", json!("usd"), "currency"),
    ];
    for (field, value, at) in table {
        let refused = Pricing::default().write(field, &value).map_err(|error| error.field);
        assert_eq!(refused, Err(at.to_owned()), "{field} {value}");
    }
}

#[test]
fn pricing_reads_back_and_null_restores_the_default() {
    let body = json!({
        "mode": "hybrid", "markupPercent": "-12.5", "requestFee": "0.01", "minimumFee": "0.02",
        "overrides": {"m": {"prompt": "1", "request": "0.1", "markup": false}},
        "currencyRate": "0.9",
    });
    let mut read = pricing(&body);
    assert_eq!(serde_json::to_value(&read).unwrap(), body);
    assert_eq!(serde_json::from_value::<Pricing>(body).unwrap(), read);
    for field in Pricing::FIELDS {
        read.write(field, &Value::Null).unwrap();
    }
    assert_eq!(read, Pricing::default());
    assert_eq!(serde_json::from_value::<Pricing>(json!({})).unwrap(), read);
}

proptest! {
    #[test]
    fn the_amount_is_the_exact_price_rounded_up_to_one_unit(
        (input, output) in (0..10_000_000_u64, 0..10_000_000_u64),
        (p_in, p_out) in (0..10_i128.pow(15), 0..10_i128.pow(15)),
        markup in -100_000_000_000..500_000_000_000_i128,
        decimals in prop_oneof![Just(6_u32), Just(9)],
    ) {
        let prices = PriceVector::default()
            .with(Class::Input, Price::from_picos(p_in))
            .with(Class::Output, Price::from_picos(p_out));
        let mut tariff = tariff(&json!({}));
        tariff.prices = Arc::new(Prices::of(prices));
        let pricing =
            Pricing { markup_percent: Amount::from_nanos(markup), ..Pricing::default() };
        let bill = pricing.bill(Some(&tariff), &tokens(input, output), &ANSWERED, decimals);
        let amount = bill.unwrap().amount;
        // By hand in units of 10^-29: 10^-18 for tokens, 10^-11 for the markup.
        let sum = i128::from(input) * p_in + i128::from(output) * p_out;
        let exact = ethnum::I256::from(sum) * ethnum::I256::from(markup + 100_000_000_000);
        let shown = ethnum::I256::from(amount.nanos()) * ethnum::I256::from(10_i128.pow(20));
        let unit = ethnum::I256::from(10_i128.pow(29 - decimals));
        prop_assert!(shown >= exact && shown - exact < unit);
        prop_assert!(amount.places() <= decimals);
    }
}
