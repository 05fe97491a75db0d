//! A story in few bytes, in two parts: the terms, which most requests of a paywall share, and what
//! is its own. Whoever stores many keeps equal terms once.
//!
//! What follows from the rest is not in the bytes: sums of tokens, and the parts of a charge, which
//! are the price row's prices of the tokens. The first byte names the layout, which never changes;
//! another one gets another number.

use super::{ChargeStory, HoldStory, Status, Story, UsageStory};
use crate::amount::{Amount, Rate};
use crate::currency::Currency;
use crate::id::{CustomerId, HoldId, PaywallId, PriceId, RequestId, SettlementId, TransactionId};
use crate::packed::{
    pull, pull_byte, pull_count, pull_flag, pull_id, pull_maybe, pull_slice, pull_text, push,
    push_count, push_id, push_maybe, push_text, small,
};
use crate::paywall::SettlementMode;
use crate::proxy::chapter::Scene;
use crate::proxy::estimate::Estimate;
use crate::proxy::hold::Clamped;
use crate::proxy::{
    Bill, Class, LongContext, Origin, Price, PriceVector, Prices, Pricing, PricingMode, Quantities,
    Tariff,
};
use crate::time::Timestamp;
use crate::webhook::catalogue::EventType;

const LAYOUT: u8 = 1;

const STATUSES: [Status; 5] =
    [Status::Open, Status::Completed, Status::Canceled, Status::Failed, Status::Blocked];
const SETTLEMENTS: [SettlementMode; 2] = [SettlementMode::Immediate, SettlementMode::Lease];
const ORIGINS: [Origin; 4] =
    [Origin::Override, Origin::Paywall, Origin::Environment, Origin::Catalogue];
const MODES: [PricingMode; 3] = [PricingMode::Tokens, PricingMode::Requests, PricingMode::Hybrid];
const CLAMPS: [Clamped; 5] =
    [Clamped::Balance, Clamped::Default, Clamped::Limit, Clamped::Cap, Clamped::MaxCost];

/// A story's bytes. The request's id is in neither part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    pub terms: Vec<u8>,
    pub own: Vec<u8>,
}

impl Story {
    pub fn pack(&self) -> Packed {
        let mut packed = Packed { terms: Vec::with_capacity(160), own: Vec::with_capacity(192) };
        push_terms(&mut packed.terms, self);
        push_own(&mut packed.own, self);
        packed
    }

    /// `None` where the bytes are not what `pack` writes.
    pub fn unpack(request: RequestId, mut terms: &[u8], mut own: &[u8]) -> Option<Story> {
        let story = pull_terms(&mut terms, request)?;
        pull_own(&mut own, story)
    }
}

fn push_terms(bytes: &mut Vec<u8>, story: &Story) {
    bytes.push(LAYOUT);
    push_id(bytes, story.paywall_id.0);
    push_text(bytes, &story.endpoint);
    bytes.push(u8::from(story.stream));
    push_text(bytes, &story.requested_model);
    push_code(bytes, &SETTLEMENTS, story.settlement);
    push_text(bytes, story.currency.as_str());
    push_maybe(bytes, story.model.as_deref(), push_text);
    push_maybe(bytes, story.provider.as_deref(), push_text);
    push_count(bytes, u64::from(story.decimals));
    push_maybe(bytes, story.price.as_ref(), push_tariff);
    push_pricing(bytes, &story.pricing);
}

/// The story as its terms begin it.
fn pull_terms(rest: &mut &[u8], request_id: RequestId) -> Option<Story> {
    if pull_byte(rest)? != LAYOUT {
        return None;
    }
    Some(Story {
        request_id,
        paywall_id: PaywallId(pull_id(rest)?),
        status: Status::Open,
        endpoint: pull_text(rest)?,
        stream: pull_flag(rest)?,
        external_user_id: String::new(),
        wallet_user_id: CustomerId::default(),
        requested_model: pull_text(rest)?,
        settlement: pull_code(rest, &SETTLEMENTS)?,
        currency: Currency::parse(std::str::from_utf8(pull_slice(rest)?).ok()?).ok()?,
        model: pull_maybe(rest, pull_text)?,
        provider: pull_maybe(rest, pull_text)?,
        decimals: u32::try_from(pull(rest)?).ok()?,
        price: pull_maybe(rest, pull_tariff)?,
        pricing: pull_pricing(rest)?,
        started_at: Timestamp::default(),
        ended_at: None,
        reason: None,
        limit_source: None,
        hold: None,
        deferred: false,
        deferred_amount: None,
        usage: None,
        charge: None,
        due: None,
        error_code: None,
        http_status: None,
        finish_reason: None,
        cut: false,
        canceled_by: None,
        latency_ms: None,
        events: Vec::new(),
    })
}

fn push_own(bytes: &mut Vec<u8>, story: &Story) {
    push_code(bytes, &STATUSES, story.status);
    push_text(bytes, &story.external_user_id);
    push_id(bytes, story.wallet_user_id.0);
    push_time(bytes, story.started_at);
    push_maybe(bytes, story.ended_at, |bytes, at| {
        push(bytes, i128::from(at.millis() - story.started_at.millis()));
    });
    push_maybe(bytes, story.reason.as_deref(), push_text);
    push_maybe(bytes, story.limit_source.as_deref(), push_text);
    push_maybe(bytes, story.hold.as_ref(), push_hold);
    bytes.push(u8::from(story.deferred));
    push_maybe(bytes, story.deferred_amount, push_amount);
    push_maybe(bytes, story.usage.as_ref(), push_usage);
    push_maybe(bytes, story.charge.as_ref(), push_charge);
    push_maybe(bytes, story.due.as_ref(), push_bill);
    push_maybe(bytes, story.error_code.as_deref(), push_text);
    push_maybe(bytes, story.http_status.map(u64::from), push_count);
    push_maybe(bytes, story.finish_reason.as_deref(), push_text);
    bytes.push(u8::from(story.cut));
    push_maybe(bytes, story.canceled_by.as_deref(), push_text);
    push_maybe(bytes, story.latency_ms, push_count);
    push_events(bytes, &story.events);
}

fn pull_own(rest: &mut &[u8], terms: Story) -> Option<Story> {
    let status = pull_code(rest, &STATUSES)?;
    let external_user_id = pull_text(rest)?;
    let wallet_user_id = CustomerId(pull_id(rest)?);
    let started_at = pull_time(rest)?;
    Some(with_parts(Story {
        status,
        external_user_id,
        wallet_user_id,
        started_at,
        ended_at: pull_maybe(rest, |rest| Some(started_at.plus_ms(small(pull(rest)?)?)))?,
        reason: pull_maybe(rest, pull_text)?,
        limit_source: pull_maybe(rest, pull_text)?,
        hold: pull_maybe(rest, pull_hold)?,
        deferred: pull_flag(rest)?,
        deferred_amount: pull_maybe(rest, pull_amount)?,
        usage: pull_maybe(rest, pull_usage)?,
        charge: pull_maybe(rest, pull_charge)?,
        due: pull_maybe(rest, pull_bill)?,
        error_code: pull_maybe(rest, pull_text)?,
        http_status: pull_maybe(rest, |rest| u16::try_from(pull(rest)?).ok())?,
        finish_reason: pull_maybe(rest, pull_text)?,
        cut: pull_flag(rest)?,
        canceled_by: pull_maybe(rest, pull_text)?,
        latency_ms: pull_maybe(rest, pull_count)?,
        events: pull_events(rest)?,
        ..terms
    }))
}

/// What was charged, class by class: what was used, at the prices of the row.
fn with_parts(mut story: Story) -> Story {
    if let (Some(charge), Some(price), Some(usage)) =
        (&mut story.charge, &story.price, &story.usage)
    {
        charge.parts = price.prices.parts(&usage.tokens).collect();
    }
    story
}

fn push_hold(bytes: &mut Vec<u8>, hold: &HoldStory) {
    push_amount(bytes, hold.amount);
    push_count(bytes, hold.hold_ids.len() as u64);
    for id in &hold.hold_ids {
        push_id(bytes, id.0);
    }
    push_count(bytes, hold.output_tokens);
    push_maybe(bytes, hold.sent_cap, push_count);
    push_maybe(bytes, hold.clamped, |bytes, clamped| push_code(bytes, &CLAMPS, clamped));
    push_count(bytes, hold.affordable_tokens);
    push_estimate(bytes, &hold.estimate);
}

fn pull_hold(rest: &mut &[u8]) -> Option<HoldStory> {
    let amount = pull_amount(rest)?;
    let ids = pull_count(rest)?;
    let hold_ids = (0..ids).map(|_| pull_id(rest).map(HoldId)).collect::<Option<_>>()?;
    let output_tokens = pull_count(rest)?;
    let sent_cap = pull_maybe(rest, pull_count)?;
    let clamped = pull_maybe(rest, |rest| pull_code(rest, &CLAMPS))?;
    let affordable_tokens = pull_count(rest)?;
    let estimate = pull_estimate(rest)?;
    Some(HoldStory {
        amount,
        hold_ids,
        prompt_tokens: estimate.prompt_tokens,
        output_tokens,
        sent_cap,
        clamped,
        affordable_tokens,
        estimate,
    })
}

fn push_estimate(bytes: &mut Vec<u8>, estimate: &Estimate) {
    push_count(bytes, estimate.prompt_tokens);
    for price in
        [estimate.input_price, estimate.output_price, estimate.request_price, estimate.tier_factor]
    {
        push_price(bytes, price);
    }
    push_maybe(bytes, estimate.conversion, push_rate);
    bytes.push(u8::from(estimate.markup));
    push_count(bytes, estimate.choices);
}

fn pull_estimate(rest: &mut &[u8]) -> Option<Estimate> {
    Some(Estimate {
        prompt_tokens: pull_count(rest)?,
        input_price: pull_price(rest)?,
        output_price: pull_price(rest)?,
        request_price: pull_price(rest)?,
        tier_factor: pull_price(rest)?,
        conversion: pull_maybe(rest, pull_rate)?,
        markup: pull_flag(rest)?,
        choices: pull_count(rest)?,
    })
}

fn push_usage(bytes: &mut Vec<u8>, usage: &UsageStory) {
    bytes.push(u8::from(usage.is_estimated()));
    let used = Class::ALL.into_iter().filter(|class| usage.tokens.get(*class) > 0);
    push_count(bytes, used.clone().count() as u64);
    for class in used {
        push_code(bytes, &Class::ALL, class);
        push_count(bytes, usage.tokens.get(class));
    }
    push_maybe(bytes, usage.provider_cost, push_price);
}

fn pull_usage(rest: &mut &[u8]) -> Option<UsageStory> {
    let estimated = pull_flag(rest)?;
    let mut tokens = Quantities::default();
    for _ in 0..pull_count(rest)? {
        tokens = tokens.with(pull_code(rest, &Class::ALL)?, pull_count(rest)?);
    }
    Some(UsageStory::of(&tokens, pull_maybe(rest, pull_price)?, estimated))
}

fn push_charge(bytes: &mut Vec<u8>, charge: &ChargeStory) {
    push_bill(bytes, &Bill { cost: charge.cost, amount: charge.amount });
    push_amount(bytes, charge.uncollected);
    push_id(bytes, charge.activity_id.0);
    push_id(bytes, charge.settlement_reference.0);
}

fn pull_charge(rest: &mut &[u8]) -> Option<ChargeStory> {
    let Bill { cost, amount } = pull_bill(rest)?;
    Some(ChargeStory {
        cost,
        amount,
        uncollected: pull_amount(rest)?,
        activity_id: TransactionId(pull_id(rest)?),
        settlement_reference: SettlementId(pull_id(rest)?),
        parts: Vec::new(),
    })
}

fn push_bill(bytes: &mut Vec<u8>, bill: &Bill) {
    push_price(bytes, bill.cost);
    push_amount(bytes, bill.amount);
}

fn pull_bill(rest: &mut &[u8]) -> Option<Bill> {
    Some(Bill { cost: pull_price(rest)?, amount: pull_amount(rest)? })
}

/// A scene as its code; what is no scene as 0 and its name.
fn push_events(bytes: &mut Vec<u8>, events: &[EventType]) {
    push_count(bytes, events.len() as u64);
    for kind in events {
        if let Some(scene) = Scene::of(*kind) {
            bytes.push(scene.code());
        } else {
            bytes.push(0);
            push_text(bytes, kind.name());
        }
    }
}

fn pull_events(rest: &mut &[u8]) -> Option<Vec<EventType>> {
    let event = |rest: &mut &[u8]| match pull_byte(rest)? {
        0 => EventType::parse(std::str::from_utf8(pull_slice(rest)?).ok()?),
        code => Scene::from_code(code).map(Scene::event),
    };
    (0..pull_count(rest)?).map(|_| event(rest)).collect()
}

fn push_tariff(bytes: &mut Vec<u8>, tariff: &Tariff) {
    push_code(bytes, &ORIGINS, tariff.origin);
    push_maybe(bytes, tariff.price_id, |bytes, id| push_id(bytes, id.0));
    push_vector(bytes, &tariff.prices.vector);
    push_maybe(bytes, tariff.prices.long_context.as_ref(), |bytes, long| {
        push_count(bytes, long.above);
        push_vector(bytes, &long.prices);
    });
    push_count(bytes, tariff.prices.service_tiers.len() as u64);
    for (tier, factor) in &tariff.prices.service_tiers {
        push_text(bytes, tier);
        push_price(bytes, *factor);
    }
    push_maybe(bytes, tariff.conversion, push_rate);
    bytes.push(u8::from(tariff.markup));
}

fn pull_tariff(rest: &mut &[u8]) -> Option<Tariff> {
    let origin = pull_code(rest, &ORIGINS)?;
    let price_id = pull_maybe(rest, |rest| pull_id(rest).map(PriceId))?;
    let vector = pull_vector(rest)?;
    let long_context = pull_maybe(rest, |rest| {
        Some(LongContext { above: pull_count(rest)?, prices: pull_vector(rest)? })
    })?;
    let tier = |rest: &mut &[u8]| Some((pull_text(rest)?, pull_price(rest)?));
    let service_tiers = (0..pull_count(rest)?).map(|_| tier(rest)).collect::<Option<_>>()?;
    Some(Tariff {
        origin,
        price_id,
        prices: Prices { vector, long_context, service_tiers }.into(),
        conversion: pull_maybe(rest, pull_rate)?,
        markup: pull_flag(rest)?,
    })
}

fn push_vector(bytes: &mut Vec<u8>, vector: &PriceVector) {
    let priced = Class::ALL.into_iter().filter(|class| vector.own(*class).is_some());
    push_count(bytes, priced.count() as u64);
    for class in Class::ALL {
        if let Some(price) = vector.own(class) {
            push_code(bytes, &Class::ALL, class);
            push_price(bytes, price);
        }
    }
}

fn pull_vector(rest: &mut &[u8]) -> Option<PriceVector> {
    let mut vector = PriceVector::default();
    for _ in 0..pull_count(rest)? {
        vector = vector.with(pull_code(rest, &Class::ALL)?, pull_price(rest)?);
    }
    Some(vector)
}

/// Without overrides: the one that counts is the price.
fn push_pricing(bytes: &mut Vec<u8>, pricing: &Pricing) {
    push_code(bytes, &MODES, pricing.mode);
    for amount in [pricing.markup_percent, pricing.request_fee, pricing.minimum_fee] {
        push_amount(bytes, amount);
    }
    push_maybe(bytes, pricing.currency_rate, push_rate);
}

fn pull_pricing(rest: &mut &[u8]) -> Option<Pricing> {
    Some(Pricing {
        mode: pull_code(rest, &MODES)?,
        markup_percent: pull_amount(rest)?,
        request_fee: pull_amount(rest)?,
        minimum_fee: pull_amount(rest)?,
        overrides: std::collections::BTreeMap::new(),
        currency_rate: pull_maybe(rest, pull_rate)?,
    })
}

/// One of few, as its place in the list.
fn push_code<T: Copy + PartialEq>(bytes: &mut Vec<u8>, all: &[T], one: T) {
    let place = all.iter().position(|other| *other == one);
    bytes.push(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX));
}

fn pull_code<T: Copy>(rest: &mut &[u8], all: &[T]) -> Option<T> {
    all.get(usize::from(pull_byte(rest)?)).copied()
}

fn push_time(bytes: &mut Vec<u8>, at: Timestamp) {
    push(bytes, i128::from(at.millis()));
}

fn pull_time(rest: &mut &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_millis(small(pull(rest)?)?))
}

fn push_amount(bytes: &mut Vec<u8>, amount: Amount) {
    push(bytes, amount.nanos());
}

fn pull_amount(rest: &mut &[u8]) -> Option<Amount> {
    pull(rest).map(Amount::from_nanos)
}

fn push_price(bytes: &mut Vec<u8>, price: Price) {
    push(bytes, price.picos());
}

fn pull_price(rest: &mut &[u8]) -> Option<Price> {
    pull(rest).map(Price::from_picos)
}

fn push_rate(bytes: &mut Vec<u8>, rate: Rate) {
    push(bytes, rate.picos());
}

fn pull_rate(rest: &mut &[u8]) -> Option<Rate> {
    Rate::from_picos(pull(rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Ulid;

    fn json(story: &Story) -> serde_json::Value {
        serde_json::to_value(story).unwrap()
    }

    fn tariff() -> Tariff {
        let vector = PriceVector::default()
            .with(Class::Input, Price::parse("0.15").unwrap())
            .with(Class::ToolCall, Price::parse("0.000000000001").unwrap());
        let long = LongContext { above: 200_000, prices: vector.clone() };
        let tiers = [("flex".to_owned(), Price::parse("0.5").unwrap())];
        Tariff {
            origin: Origin::Catalogue,
            price_id: Some(PriceId(Ulid(7))),
            prices: Prices { vector, long_context: Some(long), service_tiers: tiers.into() }.into(),
            conversion: Rate::parse("0.91").ok(),
            markup: true,
        }
    }

    fn hold() -> HoldStory {
        HoldStory {
            amount: Amount::parse("999999999999999999.999999999").unwrap(),
            hold_ids: vec![HoldId(Ulid(u128::MAX)), HoldId(Ulid(1))],
            prompt_tokens: 12,
            output_tokens: 4_096,
            sent_cap: Some(300),
            clamped: Some(Clamped::MaxCost),
            affordable_tokens: u64::MAX,
            estimate: Estimate {
                prompt_tokens: 12,
                input_price: Price::parse("0.15").unwrap(),
                output_price: Price::parse("0.6").unwrap(),
                request_price: Price::ZERO,
                tier_factor: Price::ONE,
                conversion: Rate::parse("0.000000000001").ok(),
                markup: true,
                choices: 3,
            },
        }
    }

    fn charged() -> Story {
        let tokens = Quantities::default().with(Class::Input, 12).with(Class::Reasoning, 5);
        let terms = {
            let mut bytes = vec![LAYOUT];
            push_id(&mut bytes, Ulid(5));
            push_text(&mut bytes, "/v1/chat/completions");
            bytes.push(1);
            push_text(&mut bytes, "gpt-5");
            bytes.push(1);
            push_text(&mut bytes, "eur");
            push_maybe(&mut bytes, Some("gpt-5-mini"), push_text);
            push_maybe(&mut bytes, Some("openai"), push_text);
            push_count(&mut bytes, 9);
            push_maybe(&mut bytes, Some(&tariff()), push_tariff);
            let currency_rate = Rate::parse("1.1").ok();
            let mode = PricingMode::Hybrid;
            push_pricing(&mut bytes, &Pricing { mode, currency_rate, ..Pricing::default() });
            bytes
        };
        let bill = Bill { cost: Price::ONE, amount: Amount::units(2) };
        let story = Story {
            status: Status::Failed,
            external_user_id: "änn".to_owned(),
            wallet_user_id: CustomerId(Ulid(9)),
            started_at: Timestamp::from_millis(1_795_000_000_123),
            ended_at: Some(Timestamp::from_millis(1_795_000_000_100)),
            reason: Some("insufficient_balance".to_owned()),
            limit_source: Some("in_flight".to_owned()),
            hold: Some(hold()),
            deferred: true,
            deferred_amount: Some(Amount::units(3)),
            usage: Some(UsageStory::of(&tokens, Some(Price::ONE), true)),
            charge: Some(ChargeStory {
                cost: bill.cost,
                amount: bill.amount,
                uncollected: Amount::parse("0.000000001").unwrap(),
                activity_id: TransactionId(Ulid(3)),
                settlement_reference: SettlementId(Ulid(4)),
                parts: tariff().prices.parts(&tokens).collect(),
            }),
            due: Some(bill),
            error_code: Some("provider_error".to_owned()),
            http_status: Some(529),
            finish_reason: Some("stop".to_owned()),
            cut: true,
            canceled_by: Some("client".to_owned()),
            latency_ms: Some(17),
            events: vec![
                EventType::PAYWALL_PROXY_REQUEST_STARTED,
                EventType::PAYWALL_BALANCE_DEPLETED,
                EventType::PAYWALL_USAGE_CHARGE_CREATED,
            ],
            ..pull_terms(&mut terms.as_slice(), RequestId(Ulid(8))).unwrap()
        };
        assert!(story.price.is_some() && !story.charge.as_ref().unwrap().parts.is_empty());
        story
    }

    fn blocked() -> Story {
        Story {
            status: Status::Blocked,
            model: None,
            provider: None,
            price: None,
            ended_at: None,
            hold: None,
            usage: None,
            charge: None,
            due: None,
            http_status: None,
            latency_ms: None,
            finish_reason: None,
            events: Vec::new(),
            ..charged()
        }
    }

    #[test]
    fn every_field_comes_back_as_it_was() {
        for story in [charged(), blocked()] {
            let Packed { terms, own } = story.pack();
            let back = Story::unpack(story.request_id, &terms, &own).unwrap();
            assert_eq!(json(&back), json(&story));
            assert_eq!(back.pack(), story.pack());
        }
    }

    #[test]
    fn other_layouts_and_torn_bytes_are_refused() {
        let story = charged();
        let Packed { terms, own } = story.pack();
        let other = [&[LAYOUT + 1], &terms[1..]].concat();
        assert!(Story::unpack(story.request_id, &other, &own).is_none());
        for end in 0..own.len() {
            assert!(Story::unpack(story.request_id, &terms, &own[..end]).is_none(), "{end}");
        }
        for end in 0..terms.len() {
            assert!(Story::unpack(story.request_id, &terms[..end], &own).is_none(), "{end}");
        }
    }
}
