//! The end of a request: one transaction with its charge, the rest of its hold, its last events and
//! its story (paywalls 17.6). It happens once, whoever asks for it.

use std::sync::Arc;

use domain::amount::Amount;
use domain::event::proxy::{Canceled, Completed, Failed, Metered, UsageCharge as ChargeEvent};
use domain::id::TransactionId;
use domain::ledger::entry::Details;
use domain::ledger::usage::{self, Collected, UsageCharge};
use domain::paywall::Paywall;
use domain::place::Place;
use domain::proxy::vector::{Class, Quantities};
use domain::proxy::{Bill, Price, Served};
use domain::scope::Cause;
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use serde_json::Value;
use store::Tx;
use store::proxy_requests::{self, StoredRequest};

use super::limits::{self, Counted};
use super::story::{ChargeStory, Status, Story, UsageStory};
use super::telling::Teller;
use super::{Changing, End, Outcome, Settled, Ticket, replay};
use crate::error::Error;
use crate::run::Engine;

impl Engine {
    /// Charges what the request came to and frees the rest. A second call finds it done.
    pub async fn settle(&self, ticket: &Arc<Ticket>, end: End) -> Result<Settled, Error> {
        let _turn = ticket.turn.lock().await;
        let ending = ticket.clone();
        self.change(ticket.call.scope, move |tx| {
            let Changing { mut story, holds } = ending.changing.lock().clone();
            let call = &ending.call;
            let request = Ending {
                paywall: &call.paywall.paywall,
                paywall_no: call.paywall.no,
                wallet: ending.sight.wallet,
                holds: &holds,
                cause: &call.cause,
            };
            let settled = settle(tx, &request, &mut story, &end)?;
            replay::keep(tx, end.reply.as_ref(), &settled)?;
            Ok(settled)
        })
        .await
    }
}

/// A request that ends, from memory or from its row.
pub(super) struct Ending<'e> {
    pub(super) paywall: &'e Paywall,
    pub(super) paywall_no: i64,
    pub(super) wallet: i64,
    pub(super) holds: &'e [Place],
    pub(super) cause: &'e Cause,
}

/// What was used, and by whose count.
struct Used {
    metered: Metered,
    provider_cost: Option<Price>,
    bill: Bill,
}

pub(super) fn settle(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &mut Story,
    end: &End,
) -> Result<Settled, Error> {
    let (scope, id) = (tx.scope(), story.request_id);
    let stored = proxy_requests::find(tx.read()?, &scope, id)?;
    let stored = stored.ok_or_else(|| Error::not_found("request"))?;
    if stored.state != proxy_requests::OPEN {
        return settled_before(tx, request, &stored);
    }
    let used = used(story, end);
    let charges = story.deferred || is_charged(end);
    let model = story.model.clone().unwrap_or_default();
    let counted = Counted {
        paywall: request.paywall,
        paywall_no: request.paywall_no,
        wallet: request.wallet,
        model: &model,
    };
    let held = story.hold.as_ref().map(|hold| hold.amount).unwrap_or_default();
    finish(story, end, tx.now());
    if !end.has_output && matches!(end.outcome, Outcome::Failed { .. }) {
        limits::give_back(tx, counted, story.started_at)?;
    }
    let collected = if charges {
        let collected = collect(tx, request, story, used.bill.amount)?;
        story.usage = Some(UsageStory::of(
            &used.metered.quantities,
            used.provider_cost,
            used.metered.estimated,
        ));
        story.charge = Some(charge_story(story, &used, &collected));
        Some(collected)
    } else {
        free(tx, request)?;
        None
    };
    let taken = collected.map_or(Amount::ZERO, |(collected, _)| collected.taken);
    limits::spend(tx, counted, (taken - held, story.started_at))?;
    tell(tx, request, story, (end, &used, collected.is_some()))?;
    let state = (state(story.status), &*story.text());
    proxy_requests::set(tx.write()?, &scope, id, state)?;
    Ok(Settled {
        amount: taken,
        available: available(tx, request.wallet)?,
        activity: collected.map(|(collected, at)| collected.place.transaction_id(at)),
        estimated: used.metered.estimated,
    })
}

/// Output was delivered, or the provider says what it used.
fn is_charged(end: &End) -> bool {
    match end.outcome {
        Outcome::Completed { .. } => true,
        Outcome::Canceled { .. } | Outcome::Failed { .. } => end.has_output || end.usage.is_some(),
    }
}

fn used(story: &Story, end: &End) -> Used {
    let (quantities, provider_cost) = match &end.usage {
        Some(usage) => (usage.quantities, usage.provider_cost),
        None => (own_count(story, end), None),
    };
    let metered = Metered { quantities, estimated: end.usage.is_none() };
    let output = end.has_output || quantities.completion_tokens() > 0;
    let served = Served { tier: end.service_tier.as_deref(), output };
    let bill = story.pricing.bill(story.price.as_ref(), &quantities, &served, story.decimals);
    let bill = bill.unwrap_or_else(|error| {
        // The hold was within bounds, so figures of the provider are wrong; the hold is the limit.
        tracing::warn!(request = %story.request_id, %error, "a usage has no price");
        let held = story.hold.as_ref().map(|hold| hold.amount).unwrap_or_default();
        Bill { cost: Price::default(), amount: held }
    });
    Used { metered, provider_cost, bill }
}

/// The prompt as it was estimated, and the output that was relayed.
fn own_count(story: &Story, end: &End) -> Quantities {
    let prompt = story.hold.as_ref().filter(|_| is_charged(end));
    let prompt = prompt.map_or(0, |hold| hold.prompt_tokens);
    Quantities::default().with(Class::Input, prompt).with(Class::Output, end.counted_output_tokens)
}

fn finish(story: &mut Story, end: &End, now: Timestamp) {
    story.ended_at = Some(now);
    story.finish_reason.clone_from(&end.finish_reason);
    story.latency_ms = Some(end.latency_ms);
    story.http_status = end.upstream_status;
    match end.outcome {
        Outcome::Completed { cut } => {
            story.status = Status::Completed;
            story.cut = cut;
        }
        Outcome::Canceled { .. } => story.status = Status::Canceled,
        Outcome::Failed { code, http_status } => {
            story.status = Status::Failed;
            story.error_code = Some(code.to_owned());
            story.http_status = http_status.or(story.http_status);
        }
    }
}

fn state(status: Status) -> &'static str {
    match status {
        Status::Open => proxy_requests::OPEN,
        Status::Completed => "completed",
        Status::Canceled => "canceled",
        Status::Failed => "failed",
        Status::Blocked => "blocked",
    }
}

fn collect(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &Story,
    price: Amount,
) -> Result<(Collected, Timestamp), Error> {
    let details = Details {
        reference_type: Some("REQUEST".to_owned()),
        reference_id: Some(story.request_id.to_string()),
        ..Details::default()
    };
    let (now, fees) = (tx.now(), request.paywall.fees);
    let ask = UsageCharge { holds: request.holds, price, fees, details };
    let collected = tx
        .account(request.wallet, |account, log| usage::collect(account, log, request.cause, ask))?;
    Ok((collected.ok_or_else(|| Error::not_found("wallet"))??, now))
}

fn free(tx: &mut Tx<'_>, request: &Ending<'_>) -> Result<(), Error> {
    let freed = tx.account(request.wallet, |account, log| {
        usage::free(account, log, request.cause, request.holds)
    })?;
    Ok(freed.ok_or_else(|| Error::not_found("wallet"))??)
}

fn charge_story(
    story: &Story,
    used: &Used,
    (collected, at): &(Collected, Timestamp),
) -> ChargeStory {
    let parts: Vec<Value> = story
        .price
        .iter()
        .flat_map(|price| {
            let parts = price.prices.parts(&used.metered.quantities);
            parts.filter_map(|part| serde_json::to_value(part).ok()).collect::<Vec<_>>()
        })
        .collect();
    ChargeStory {
        cost: used.bill.cost,
        amount: used.bill.amount,
        uncollected: collected.uncollected,
        activity_id: collected.place.transaction_id(*at),
        settlement_reference: collected.place.settlement_id(*at),
        parts: parts.into(),
    }
}

/// The last events, in the order of paywalls 21: a charge that was announced follows the end, one
/// that was not precedes it.
fn tell(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &mut Story,
    (end, used, charged): (&End, &Used, bool),
) -> Result<(), Error> {
    let charge_first = !story.deferred && matches!(end.outcome, Outcome::Completed { .. });
    if charged && charge_first {
        tell_charge(tx, request, story, used)?;
    }
    tell_end(tx, request, story, (end, used))?;
    if charged && !charge_first {
        tell_charge(tx, request, story, used)?;
    }
    Ok(())
}

fn tell_charge(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &mut Story,
    used: &Used,
) -> Result<(), Error> {
    let Some(charge) = &story.charge else { return Ok(()) };
    let event = ChargeEvent {
        activity: charge.activity_id,
        settlement: charge.settlement_reference,
        metered: used.metered,
        bill: used.bill,
        uncollected: charge.uncollected,
        currency: request.paywall.currency,
        price: story.price.as_ref().and_then(|price| price.price_id),
        was_deferred: story.deferred,
    };
    let (activity, short) = (Some(charge.activity_id), charge.uncollected.is_positive());
    let mut teller = Teller { paywall: request.paywall_no, cause: request.cause, story };
    teller.tell(tx, EventType::PAYWALL_USAGE_CHARGE_CREATED, |data, named| {
        (event.data(data, named), named.usage_subject(activity))
    })?;
    if !short {
        return Ok(());
    }
    let available = available(tx, request.wallet)?;
    teller.tell(tx, EventType::PAYWALL_BALANCE_DEPLETED, |data, named| {
        let data = data
            .with("walletUserId", named.user.to_string())
            .with("externalUserId", named.external_user)
            .money("requestedAmount", event.bill.amount)
            .money("availableBalance", available)
            .with("currency", event.currency.upper())
            .with("requestId", named.request.to_string());
        (data, named.usage_subject(activity))
    })
}

fn tell_end(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &mut Story,
    (end, used): (&End, &Used),
) -> Result<(), Error> {
    let activity: Option<TransactionId> = story.charge.as_ref().map(|charge| charge.activity_id);
    let provider = story.provider.clone().unwrap_or_default();
    let metered = used.metered;
    let mut teller = Teller { paywall: request.paywall_no, cause: request.cause, story };
    match end.outcome {
        Outcome::Completed { cut } => {
            let event = Completed {
                metered,
                latency_ms: end.latency_ms,
                provider: &provider,
                finish_reason: end.finish_reason.as_deref(),
                cut,
                activity,
            };
            teller.tell(tx, EventType::PAYWALL_PROXY_REQUEST_COMPLETED, |data, named| {
                (event.data(data, named), named.subject())
            })
        }
        Outcome::Canceled { by } => {
            let event = Canceled { canceled_by: by.name(), metered };
            teller.tell(tx, EventType::PAYWALL_PROXY_REQUEST_CANCELED, |data, named| {
                (event.data(data, named), named.subject())
            })
        }
        Outcome::Failed { code, http_status } => {
            let event = Failed {
                error_code: code,
                http_status: http_status.or(end.upstream_status),
                provider: Some(&provider),
                metered: activity.map(|_| metered),
            };
            teller.tell(tx, EventType::PAYWALL_PROXY_REQUEST_FAILED, |data, named| {
                (event.data(data, named), named.subject())
            })
        }
    }
}

fn available(tx: &mut Tx<'_>, wallet: i64) -> Result<Amount, Error> {
    Ok(super::admission::funds(tx, wallet)?.available)
}

/// Somebody else ended it: nothing changes, and its own figures are told again.
fn settled_before(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    stored: &StoredRequest,
) -> Result<Settled, Error> {
    let ended: Option<Story> = serde_json::from_str(&stored.story).ok();
    let charge = ended.as_ref().and_then(|story| story.charge.as_ref());
    Ok(Settled {
        amount: charge.map(|charge| charge.amount - charge.uncollected).unwrap_or_default(),
        available: available(tx, request.wallet)?,
        activity: charge.map(|charge| charge.activity_id),
        estimated: ended
            .and_then(|story| story.usage)
            .is_some_and(|usage| usage.source == "counted"),
    })
}
