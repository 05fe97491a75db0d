//! What became of an attempt, written with everything that follows from it: the delivery's next
//! time or end, the receiver's health, and the next delivery of the order key.

use domain::place::ReceiverNo;
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::webhook::catalogue::{EventType, Family};
use domain::webhook::health::{Probe, Seen};
use domain::webhook::receiver::{
    Class, DeliveryState, OnExhausted, Ordering, ReceiverKind, StateReason, Trigger,
};
use domain::webhook::schedule::{Failure, Next, Outcome, after_failure, parse_retry_after};
use domain::webhook::stats::bucket_ms;
use serde_json::json;
use store::Tx;
use store::attempts::{self, AttemptRow};
use store::deliveries::{self, Delivery, Handover};
use store::receiver_counts::{self, Counts};
use store::receivers::{self, Stored};

use crate::error::Error;
use crate::ports::Attempt;
use crate::webhook_stats::{EXHAUSTED, TOLD, TOOK};
use crate::{operational, receiver_health};

/// An attempt that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub handover: Handover,
    pub scope: Scope,
    pub trigger: Trigger,
    pub started_at: Timestamp,
    pub sent_at: Timestamp,
    pub attempt: Attempt,
}

/// What a batch of attempts came to.
#[derive(Default)]
pub struct Noted {
    /// Receivers whose circuit closed.
    pub closed: Vec<ReceiverNo>,
    /// First successes: class, and the time since the event.
    pub told: Vec<(Class, u64)>,
    counts: Counts,
}

impl Noted {
    fn count(&mut self, sent: &Ended, delivery: &Delivery, was_delivered: bool) {
        let mut add = |name: String| {
            *self.counts.entry((delivery.receiver, name)).or_default() += 1;
        };
        add(sent.attempt.outcome.name().to_owned());
        add(format!("{TOOK}{}", bucket_ms(sent.attempt.duration_ms)));
        if delivery.state == DeliveryState::Exhausted {
            add(EXHAUSTED.to_owned());
        }
        let Some(at) = delivery.delivered_at.filter(|_| !was_delivered) else { return };
        let passed = at.millis().saturating_sub(delivery.created_at.millis());
        let passed = u64::try_from(passed).unwrap_or(0);
        add(format!("{TOLD}{}", bucket_ms(passed)));
        self.told.push((sent.handover.class, passed));
    }
}

impl Ended {
    /// A probe that failed spends nothing, unless its receiver is gone for good.
    fn is_spared(&self) -> bool {
        let ends = matches!(self.attempt.outcome, Outcome::Delivered | Outcome::Gone);
        self.trigger == Trigger::Probe && !ends
    }

    /// The failure, as far as the next attempt depends on it.
    pub fn failure(&self, delivery: domain::id::DeliveryId, attempt: u32) -> Option<Failure> {
        let retry_after = self.attempt.retry_after.as_deref();
        (self.attempt.outcome != Outcome::Delivered).then(|| Failure {
            outcome: self.attempt.outcome,
            status: self.attempt.status,
            retry_after_s: retry_after.and_then(|text| parse_retry_after(text, self.sent_at)),
            delivery,
            attempt,
        })
    }
}

/// Records the attempts of one environment.
pub fn record_all(tx: &mut Tx<'_>, all: &[Ended]) -> Result<Noted, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let mut noted = Noted::default();
    for sent in all {
        record(tx, sent, &mut noted)?;
    }
    receiver_counts::add(tx.write()?, &scope, now, &noted.counts)?;
    Ok(noted)
}

fn record(tx: &mut Tx<'_>, sent: &Ended, noted: &mut Noted) -> Result<(), Error> {
    let (scope, key) = (tx.scope(), (sent.handover.receiver, sent.handover.place));
    let found = match deliveries::find(tx.read()?, &scope, key)? {
        None => crate::replays::remake(tx, key, sent.trigger)?,
        found => found,
    };
    let Some(mut delivery) = found else { return Ok(()) };
    let Some(receiver) = receivers::find(tx.read()?, &scope, key.0)? else { return Ok(()) };
    let number = delivery.next_number();
    let failure = sent.failure(delivery.id(), number);
    let was_delivered = delivery.delivered_at.is_some();
    attempts::insert(tx.write()?, key, &row(sent, number, failure.as_ref()))?;
    // A probe that fails spends nothing of a replay either.
    let first = if failure.is_none() { delivery.trigger } else { sent.trigger };
    note(&mut delivery, sent, tx.now());
    match &failure {
        None => acknowledge(&mut delivery, tx.now()),
        Some(_) if sent.is_spared() => lease_ends(&mut delivery),
        Some(failure) => fail(&mut delivery, &receiver, failure, tx.now()),
    }
    deliveries::set(tx.write()?, &scope, &delivery)?;
    if !delivery.is_test() {
        crate::replays::note_sent(tx, (&delivery, first), failure.is_none())?;
        noted.count(sent, &delivery, was_delivered);
        let seen = seen(sent, (&receiver, &delivery), failure.as_ref(), tx.now());
        if receiver_health::note(tx, &receiver, &seen)? {
            noted.closed.push(receiver.no);
        }
        if sent.attempt.outcome == Outcome::Gone {
            crate::receivers::switch_off(tx, &receiver, StateReason::Gone)?;
        }
        go_on(tx, &receiver, &delivery)?;
        if failure.is_some() && delivery.state == DeliveryState::Exhausted {
            tell_exhausted(tx, &receiver, &delivery)?;
        }
    }
    Ok(())
}

/// Its owner learns that a delivery is given up. 410 has an event of its own, and events about
/// events would have no end.
fn tell_exhausted(tx: &mut Tx<'_>, receiver: &Stored, delivery: &Delivery) -> Result<(), Error> {
    let is_told = delivery.last_result == Some(Outcome::Gone)
        || delivery.kind.family() == Family::Operational;
    if is_told {
        return Ok(());
    }
    let (kind, id) = delivery.subject.split_once(':').unwrap_or_default();
    let keys = json!({
        "delivery": {
            "id": delivery.id(),
            "attempts": delivery.attempts,
            "last_result": delivery.last_result,
            "last_status_code": delivery.last_code,
            "last_attempt_at": delivery.last_attempt_at,
        },
        "event": {
            "id": delivery.event_id(),
            "type": delivery.kind.name(),
            "subject": { "type": kind, "id": id },
            "sequence": delivery.sequence,
        },
    });
    let cause = Cause::schedule();
    operational::tell(tx, &cause, EventType::WEBHOOK_DELIVERY_EXHAUSTED, (receiver, keys))
}

fn row(sent: &Ended, number: u32, failure: Option<&Failure>) -> AttemptRow {
    let attempt = &sent.attempt;
    AttemptRow {
        number,
        trigger: sent.trigger,
        started_at: sent.started_at,
        sent_at: sent.sent_at,
        duration_ms: i64::try_from(attempt.duration_ms).unwrap_or(i64::MAX),
        code: attempt.status,
        result: attempt.outcome,
        error: attempt.error.clone(),
        retry_after_s: failure.and_then(|failure| failure.retry_after_s),
        address: attempt.address.map(|address| address.to_string()),
        reconnected: attempt.reconnected,
        snippet: attempt.snippet.clone(),
        timing: attempt.timing,
    }
}

fn note(delivery: &mut Delivery, sent: &Ended, now: Timestamp) {
    let attempt = &sent.attempt;
    if sent.trigger == Trigger::Probe {
        delivery.probes += 1;
    } else {
        delivery.attempts += 1;
    }
    if !sent.is_spared() {
        delivery.trigger = Trigger::Schedule;
    }
    delivery.last_attempt_at = Some(sent.started_at);
    delivery.last_code = attempt.status;
    delivery.last_result = Some(attempt.outcome);
    delivery.last_error.clone_from(&attempt.error);
    delivery.last_duration_ms = i64::try_from(attempt.duration_ms).ok();
    delivery.updated_at = now;
}

fn acknowledge(delivery: &mut Delivery, now: Timestamp) {
    delivery.state = DeliveryState::Done;
    delivery.halts = false;
    delivery.delivered_at.get_or_insert(now);
}

/// A probe spends nothing: its delivery waits as before.
fn lease_ends(delivery: &mut Delivery) {
    if delivery.state == DeliveryState::Leased {
        delivery.state = DeliveryState::Due;
    }
}

/// Its owner may have parked or discarded it while the request was on the wire: that stays.
fn fail(delivery: &mut Delivery, receiver: &Stored, failure: &Failure, now: Timestamp) {
    let next = if delivery.is_test() {
        Next::Exhausted
    } else {
        after_failure(&receiver.config.schedule, delivery.step, failure)
    };
    match next {
        Next::Wait { step, ms } => {
            delivery.step = step;
            delivery.next_at = now.plus_ms(ms);
            if delivery.class == Class::Live {
                delivery.class = Class::Retry;
            }
            if delivery.state == DeliveryState::Leased {
                delivery.state = DeliveryState::Due;
            }
        }
        Next::Exhausted if delivery.state == DeliveryState::Discarded => {}
        Next::Exhausted => {
            let halt = receiver.config.on_exhausted == OnExhausted::Halt;
            let ordered = receiver.config.ordering == Ordering::Subject;
            let held = delivery.halts || delivery.class != Class::Replay;
            delivery.state = DeliveryState::Exhausted;
            delivery.halts = halt && ordered && held && !delivery.order_key.is_empty();
        }
    }
}

/// The attempt as health sees it.
fn seen(
    sent: &Ended,
    (receiver, delivery): (&Stored, &Delivery),
    failure: Option<&Failure>,
    now: Timestamp,
) -> Seen {
    Seen {
        now,
        delivery: delivery.place,
        outcome: sent.attempt.outcome,
        retry_after_s: failure.and_then(|failure| failure.retry_after_s),
        is_operational: delivery.kind.family() == Family::Operational,
        probe: match sent.trigger {
            Trigger::Probe => Some(Probe::Planned),
            Trigger::Manual => Some(Probe::ByHand),
            _ => None,
        },
        has_circuit: receiver.kind == ReceiverKind::Endpoint,
    }
}

/// The next of the order key starts because this one ended.
pub fn go_on(tx: &mut Tx<'_>, receiver: &Stored, delivery: &Delivery) -> Result<(), Error> {
    if delivery.state.is_open() || delivery.state == DeliveryState::Parked || delivery.halts {
        return Ok(());
    }
    let scope = tx.scope();
    let key = (receiver.no, delivery.order_key.as_str());
    if let Some(next) = deliveries::promote(tx.write()?, &scope, key)? {
        tx.hand_over(next);
    }
    crate::replays::go_on(tx, delivery)
}
