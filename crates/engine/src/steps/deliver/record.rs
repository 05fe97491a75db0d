//! What became of an attempt, written with everything that follows from it: the delivery's next
//! time or end, the receiver's health, and the next delivery of the order key.

use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::webhook::catalogue::{EventType, Family};
use domain::webhook::receiver::{
    Class, DeliveryState, OnExhausted, Ordering, StateReason, Trigger,
};
use domain::webhook::schedule::{Failure, Next, Outcome, after_failure, parse_retry_after};
use serde_json::json;
use store::Tx;
use store::attempts::{self, AttemptRow};
use store::deliveries::{self, Delivery, Handover};
use store::receivers::{self, Stored};

use crate::error::Error;
use crate::operational;
use crate::ports::Attempt;

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

impl Ended {
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

/// Records one attempt.
pub fn record(tx: &mut Tx<'_>, sent: &Ended) -> Result<(), Error> {
    let (scope, key) = (tx.scope(), (sent.handover.receiver, sent.handover.place));
    let found = match deliveries::find(tx.read()?, &scope, key)? {
        None => crate::replays::remake(tx, key, sent.trigger)?,
        found => found,
    };
    let Some(mut delivery) = found else { return Ok(()) };
    let Some(receiver) = receivers::find(tx.read()?, &scope, key.0)? else { return Ok(()) };
    let number = delivery.attempts + 1;
    let failure = sent.failure(delivery.id(), number);
    attempts::insert(tx.write()?, key, &row(sent, number, failure.as_ref()))?;
    note(&mut delivery, sent, tx.now());
    match &failure {
        None => acknowledge(&mut delivery, tx.now()),
        Some(failure) => fail(&mut delivery, &receiver, failure, tx.now()),
    }
    deliveries::set(tx.write()?, &scope, &delivery)?;
    if !delivery.is_test() {
        crate::replays::note_sent(tx, (&delivery, sent.trigger), failure.is_none())?;
        note_health(tx, &receiver, failure.is_some())?;
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
    }
}

fn note(delivery: &mut Delivery, sent: &Ended, now: Timestamp) {
    let attempt = &sent.attempt;
    delivery.attempts += 1;
    delivery.trigger = Trigger::Schedule;
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

fn note_health(tx: &mut Tx<'_>, receiver: &Stored, failed: bool) -> Result<(), Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let mut health = receiver.health;
    health.last_attempt_at = Some(now);
    if failed {
        health.failures_in_a_row += 1;
        health.first_failure_at.get_or_insert(now);
    } else {
        health.failures_in_a_row = 0;
        health.first_failure_at = None;
        health.last_success_at = Some(now);
    }
    receivers::set_health(tx.write()?, &scope, receiver.no, &health)?;
    Ok(())
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
