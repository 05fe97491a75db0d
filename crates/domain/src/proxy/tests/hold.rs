//! Promises about holds: what is held, shortened, refused; and that no hold is above what is there.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::amount::Amount;
use crate::paywall::{Limits, OnShort};
use crate::proxy::ask::Ask;
use crate::proxy::estimate::Estimate;
use crate::proxy::hold::Stuck;
use crate::proxy::hold::{
    CapSource, Ceiling, Clamped, Extension, Funds, Hold, HoldAsk, Short, ShortReason,
};
use crate::proxy::measure::{Caching, Measure};
use crate::proxy::usage::Protocol;
use crate::proxy::*;

fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn tariff(body: &Value) -> Tariff {
    Tariff {
        origin: Origin::Catalogue,
        price_id: None,
        prices: Arc::new(Prices::of(PriceVector::from_json(body).unwrap())),
        conversion: None,
        markup: true,
    }
}

/// One unit of money for each output token; the prompt costs nothing.
fn token_a_unit() -> Estimate {
    let ask = Ask { choices: 1, ..Ask::default() };
    Estimate::of(&ask, Some(&tariff(&json!({"output": "1000000"}))), &ModelFacts::default())
}

struct Case {
    estimate: Estimate,
    pricing: Pricing,
    facts: ModelFacts,
    limits: Limits,
    funds: Funds,
    caps: Vec<Ceiling>,
    max_cost: Option<Amount>,
    client_cap: Option<u64>,
    stream: bool,
}

impl Case {
    fn new(available: &str) -> Case {
        Case {
            estimate: token_a_unit(),
            pricing: Pricing { markup_percent: Amount::ZERO, ..Pricing::default() },
            facts: ModelFacts { max_output_tokens: Some(10_000), ..ModelFacts::default() },
            limits: Limits::default(),
            funds: Funds { available: amount(available), ..Funds::default() },
            caps: Vec::new(),
            max_cost: None,
            client_cap: None,
            stream: false,
        }
    }

    fn ask(&self) -> HoldAsk<'_> {
        HoldAsk {
            estimate: &self.estimate,
            pricing: &self.pricing,
            facts: &self.facts,
            limits: &self.limits,
            funds: self.funds,
            caps: &self.caps,
            max_cost: self.max_cost,
            client_cap: self.client_cap,
            stream: self.stream,
            has_output: true,
            decimals: 6,
        }
    }

    fn held(&self) -> Hold {
        self.ask().decide().unwrap().unwrap()
    }

    fn short(&self) -> Short {
        self.ask().decide().unwrap().unwrap_err()
    }

    /// Output tokens, cap that is sent, why.
    fn figures(&self) -> (u64, Option<u64>, Option<Clamped>) {
        let held = self.held();
        (held.output_tokens, held.sent_cap, held.clamped)
    }
}

#[test]
fn a_cap_of_the_clients_own_is_left_as_it_is() {
    let case = Case { client_cap: Some(50), ..Case::new("100") };
    assert_eq!(case.figures(), (50, None, None));
    assert_eq!(case.held().amount, amount("50"));
    assert_eq!(case.held().extends_to, None);
    let vast = Case { client_cap: Some(u64::MAX), ..Case::new("100000") };
    assert_eq!(vast.figures(), (10_000, None, None), "the model's maximum bounds it");
}

#[test]
fn a_comfortable_wallet_needs_no_cap_and_a_small_one_gets_one() {
    assert_eq!(Case::new("40000").figures(), (10_000, None, None));
    assert_eq!(Case::new("39999").figures(), (9_999, Some(9_999), Some(Clamped::Default)));
    assert_eq!(Case::new("8000").figures(), (4_096, Some(4_096), Some(Clamped::Default)));
    assert_eq!(Case::new("1000").figures(), (1_000, Some(1_000), Some(Clamped::Balance)));
    let mut own = Case::new("8000");
    own.facts.default_output_tokens = Some(100);
    assert_eq!(own.figures(), (2_000, Some(2_000), Some(Clamped::Default)));
}

#[test]
fn a_stream_without_a_cap_holds_a_step_and_may_grow() {
    let case = Case { stream: true, ..Case::new("9000") };
    assert_eq!(case.figures(), (4_096, None, None));
    let held = case.held();
    assert_eq!((held.extends_to, held.budget_tokens()), (Some(10_000), 4_096));
    let mut after = Case { stream: true, ..Case::new("4904") };
    let extend = |case: &Case, held: Hold| {
        case.ask().extend(held.amount, held.output_tokens, 10_000).unwrap()
    };
    let larger = extend(&after, held).unwrap();
    assert_eq!(larger, Extension { amount: amount("8192"), output_tokens: 8_192 });
    after.funds.available = amount("808");
    let last = extend(&after, held.grown(larger)).unwrap();
    assert_eq!(last.output_tokens, 9_000, "all that is left");
    after.funds.available = Amount::ZERO;
    assert_eq!(extend(&after, held.grown(last)), Err(Stuck::Balance));
    after.funds.available = amount("5000");
    after.max_cost = Some(amount("9000"));
    assert_eq!(extend(&after, held.grown(last)), Err(Stuck::MaxCost));
    after.caps = vec![Ceiling { source: CapSource::UserDay, rest: Amount::ZERO }];
    assert_eq!(extend(&after, held.grown(last)), Err(Stuck::Cap(CapSource::UserDay)));
    let longest = held.grown(Extension { output_tokens: 10_000, ..last });
    (after.caps, after.max_cost) = (Vec::new(), None);
    assert_eq!(extend(&after, longest), Err(Stuck::ModelMaximum));
    let whole = held.grown(Extension { output_tokens: 10_000, ..last });
    assert_eq!(whole.budget_tokens(), 80_000, "the model itself ends at its maximum");
}

#[test]
fn a_short_balance_shortens_or_refuses() {
    let mut case = Case { client_cap: Some(500), ..Case::new("100") };
    assert_eq!(case.figures(), (100, Some(100), Some(Clamped::Balance)));
    case.funds.available = amount("15.9");
    let short = case.short();
    assert_eq!(short.reason, ShortReason::InsufficientBalance);
    assert_eq!((short.required_amount, short.least_amount), (amount("500"), amount("16")));
    assert_eq!((short.affordable_tokens, short.in_flight), (15, false));
    case.client_cap = Some(10);
    assert_eq!(case.figures(), (10, None, None), "less than the minimum is enough for this client");
    case.client_cap = Some(500);
    case.funds.available = amount("499");
    case.limits.on_short = OnShort::Block;
    assert_eq!(case.short().least_amount, amount("500"));
    case.funds.available = amount("500");
    assert_eq!(case.figures(), (500, None, None));
}

#[test]
fn other_holds_in_the_way_are_told() {
    let mut case = Case { client_cap: Some(500), ..Case::new("1") };
    case.funds.held = amount("14");
    assert!(!case.short().in_flight);
    case.funds.held = amount("15");
    assert!(case.short().in_flight);
    case.limits.on_short = OnShort::Block;
    assert!(!case.short().in_flight);
}

#[test]
fn overdraft_is_spendable_and_below_it_even_free_models_stop() {
    let mut case = Case { client_cap: Some(50), ..Case::new("0") };
    case.funds.overdraft = amount("50");
    assert_eq!(case.figures(), (50, None, None));
    case.estimate = Estimate { output_price: Price::ZERO, ..case.estimate };
    case.funds = Funds::default();
    assert_eq!(case.held().amount, Amount::ZERO, "free at zero");
    case.funds.available = amount("-0.000000001");
    assert_eq!(case.short().reason, ShortReason::InsufficientBalance);
}

#[test]
fn limits_come_before_the_balance() {
    let mut case = Case { client_cap: Some(500), ..Case::new("100") };
    case.limits.max_tokens_per_request = Some(50);
    assert_eq!(case.figures(), (50, Some(50), Some(Clamped::Limit)));
    case.client_cap = Some(50);
    assert_eq!(case.figures(), (50, None, None));
    let mut stream = Case { stream: true, ..Case::new("10000") };
    stream.limits.max_tokens_per_request = Some(5_000);
    assert_eq!(stream.figures(), (5_000, Some(5_000), Some(Clamped::Limit)));
    stream.estimate.prompt_tokens = 5_001;
    assert_eq!(stream.short().reason, ShortReason::PromptTooLong);
}

#[test]
fn spend_caps_shorten_where_they_leave_room() {
    let cap = |rest: &str| vec![Ceiling { source: CapSource::UserDay, rest: amount(rest) }];
    let mut case = Case { client_cap: Some(500), caps: cap("60"), ..Case::new("1000") };
    assert_eq!(case.figures(), (60, Some(60), Some(Clamped::Cap)));
    for (rest, on_short) in [("15", OnShort::Clamp), ("499", OnShort::Block)] {
        case.caps = cap(rest);
        case.limits.on_short = on_short;
        assert_eq!(case.short().reason, ShortReason::SpendCapReached(CapSource::UserDay));
    }
    case.estimate.output_price = Price::ZERO;
    case.caps = cap("0");
    assert_eq!(case.short().reason, ShortReason::SpendCapReached(CapSource::UserDay));
}

#[test]
fn a_maximum_cost_never_shortens_what_was_asked_for() {
    let mut case = Case { max_cost: Some(amount("60")), ..Case::new("100000") };
    assert_eq!(case.figures(), (60, Some(60), Some(Clamped::MaxCost)));
    case.client_cap = Some(60);
    assert_eq!(case.figures(), (60, None, None));
    case.client_cap = Some(61);
    assert_eq!(case.short().reason, ShortReason::MaxCostExceeded);
    case.client_cap = None;
    case.max_cost = Some(amount("15"));
    assert_eq!(case.short().reason, ShortReason::MaxCostExceeded);
}

#[test]
fn money_is_told_before_limits_where_both_refuse() {
    let caps = vec![Ceiling { source: CapSource::UserDay, rest: Amount::ZERO }];
    let mut case = Case { client_cap: Some(500), caps, ..Case::new("0") };
    case.max_cost = Some(amount("1"));
    assert_eq!(case.short().reason, ShortReason::InsufficientBalance);
    case.funds.available = amount("1000");
    assert_eq!(case.short().reason, ShortReason::SpendCapReached(CapSource::UserDay));
    case.caps.clear();
    assert_eq!(case.short().reason, ShortReason::MaxCostExceeded);
}

#[test]
fn embeddings_hold_their_prompt_alone() {
    let case = Case::new("1");
    let ask = HoldAsk { has_output: false, ..case.ask() };
    let held = ask.decide().unwrap().unwrap();
    assert_eq!((held.output_tokens, held.sent_cap, held.amount), (0, None, Amount::ZERO));
}

#[test]
fn the_dearest_prices_that_a_request_can_cause_are_assumed() {
    let prices = tariff(&json!({"input": "2", "cached_input": "9", "cache_write": "3",
        "cache_write_1h": "4", "image": "5", "audio_input": "6", "output": "7",
        "reasoning": "8", "audio_output": "10", "request": "0.5"}));
    let with = |measure: Measure, wants_audio: bool| {
        let ask = Ask { measure, wants_audio, choices: 1, ..Ask::default() };
        let estimate = Estimate::of(&ask, Some(&prices), &ModelFacts::default());
        (estimate.input_price.to_string(), estimate.output_price.to_string())
    };
    let plain = Measure::default();
    let table = [
        (plain, false, "2", "8"),
        (plain, true, "2", "10"),
        (Measure { caching: Caching::Minutes, ..plain }, false, "3", "8"),
        (Measure { caching: Caching::Hour, ..plain }, false, "4", "8"),
        (Measure { images: 1, ..plain }, false, "5", "8"),
        (Measure { audio_parts: 1, ..plain }, false, "6", "8"),
    ];
    for (measure, audio, input, output) in table {
        assert_eq!(with(measure, audio), (input.to_owned(), output.to_owned()), "{measure:?}");
    }
}

#[test]
fn a_tier_may_be_dearer_but_a_discount_is_never_assumed() {
    let mut prices = Prices::of(PriceVector::default());
    for (tier, factor) in [("flex", "0.5"), ("priority", "2")] {
        prices.service_tiers.insert(tier.to_owned(), Price::parse(factor).unwrap());
    }
    let mut tariff = tariff(&json!({}));
    tariff.prices = Arc::new(prices);
    let factor = |tier: Option<&str>| {
        let ask = Ask { service_tier: tier.map(str::to_owned), ..Ask::default() };
        Estimate::of(&ask, Some(&tariff), &ModelFacts::default()).tier_factor.to_string()
    };
    let tiers = [None, Some("default"), Some("flex"), Some("priority"), Some("auto")];
    assert_eq!(tiers.map(factor), ["1", "1", "1", "2", "2"]);
}

#[test]
fn a_hold_covers_the_charge_of_what_it_allows() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello there"}],
        "n": 3});
    let ask = Ask::read(Protocol::Chat, body.to_string().as_bytes()).unwrap();
    let prices = tariff(&json!({"prompt": "2.5", "completion": "10", "request": "0.0001"}));
    let mut pricing = Pricing { request_fee: amount("0.001"), ..Pricing::default() };
    let estimate = Estimate::of(&ask, Some(&prices), &ModelFacts::default());
    assert_eq!(estimate.prompt_tokens, 14, "4 for the text, 7 for framing, a quarter more");
    let used = Quantities::default().with(Class::Input, 14).with(Class::Output, 300);
    let served = Served { tier: None, output: true };
    for mode in [PricingMode::Tokens, PricingMode::Hybrid, PricingMode::Requests] {
        pricing.mode = mode;
        pricing.minimum_fee = amount("0.005");
        let bill = pricing.bill(Some(&prices), &used, &served, 6).unwrap();
        assert_eq!(estimate.hold(&pricing, 100, 6).unwrap(), bill.amount, "{mode:?}");
    }
}

proptest! {
    #[test]
    fn what_is_affordable_is_exactly_what_fits(
        (p_in, p_out) in (0..10_i128.pow(14), 1..10_i128.pow(14)),
        (prompt_tokens, choices) in (0..100_000_u64, 1..5_u64),
        available in 0..10_i128.pow(12),
        (markup, fee, minimum) in (-100..300_i64, 0..10_000_000_i128, 0..10_000_000_i128),
        decimals in prop_oneof![Just(6_u32), Just(9)],
    ) {
        let mut estimate = token_a_unit();
        estimate.input_price = Price::from_picos(p_in);
        estimate.output_price = Price::from_picos(p_out);
        (estimate.prompt_tokens, estimate.choices) = (prompt_tokens, choices);
        let pricing = Pricing {
            mode: PricingMode::Hybrid,
            markup_percent: Amount::units(markup),
            request_fee: Amount::from_nanos(fee),
            minimum_fee: Amount::from_nanos(minimum),
            ..Pricing::default()
        };
        let available = Amount::from_nanos(available);
        let hold = |tokens| estimate.hold(&pricing, tokens, decimals).unwrap();
        match estimate.affordable_tokens(&pricing, available, decimals).unwrap() {
            None => prop_assert!(hold(0) > available),
            Some(u64::MAX) => prop_assert!(hold(1_000_000_000) <= available),
            Some(tokens) => {
                prop_assert!(hold(tokens) <= available);
                prop_assert!(hold(tokens + 1) > available);
            }
        }
    }

    #[test]
    fn no_hold_is_above_what_is_there(
        available in -1_000..100_000_i64,
        (overdraft, rest) in (0..100_i64, -10..100_000_i64),
        client_cap in prop::option::of(0..20_000_u64),
        max_cost in prop::option::of(1..100_000_i64),
        (stream, block) in (any::<bool>(), any::<bool>()),
    ) {
        let mut case = Case { client_cap, stream, ..Case::new("0") };
        case.funds.available = Amount::units(available);
        case.funds.overdraft = Amount::units(overdraft);
        case.max_cost = max_cost.map(Amount::units);
        case.caps = vec![Ceiling { source: CapSource::UserDay, rest: Amount::units(rest) }];
        case.limits.on_short = if block { OnShort::Block } else { OnShort::Clamp };
        match case.ask().decide().unwrap() {
            Ok(held) => {
                prop_assert!(held.amount <= case.funds.spendable());
                prop_assert!(held.amount <= Amount::units(rest));
                prop_assert!(max_cost.is_none_or(|most| held.amount <= Amount::units(most)));
                prop_assert!(held.sent_cap.is_some() == held.clamped.is_some());
                prop_assert!(client_cap.is_none_or(|cap| held.output_tokens <= cap));
            }
            Err(short) => prop_assert!(short.least_amount <= short.required_amount),
        }
    }
}
