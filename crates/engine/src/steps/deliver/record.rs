//! What became of an attempt, written with everything that follows from it: the delivery's next
//! time or end, the receiver's health, and the next delivery of the order key.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use domain::place::{Place, ReceiverNo};
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::webhook::catalogue::{EventType, Family};
use domain::webhook::health::{Probe, Seen};
use domain::webhook::receiver::{
    Class, DeliveryState, OnExhausted, Ordering, ReceiverKind, Trigger,
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
    fn key(&self) -> Key {
        (self.handover.receiver, self.handover.place)
    }

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

/// Records the attempts of one environment, in their order. Each table is asked and written once
/// for all of them: what stands in a batch shares its round trips.
pub fn record_all(tx: &mut Tx<'_>, all: &[Ended]) -> Result<Noted, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let mut batch = Batch::read(tx, all)?;
    for sent in all {
        batch.end(tx, sent)?;
    }
    attempts::insert_all(tx.write()?, &batch.attempts)?;
    deliveries::set_all(tx.write()?, &scope, batch.deliveries.values())?;
    let mut noted = batch.noted;
    for receiver in batch.receivers.values() {
        let seen = batch.seen.remove(&receiver.no).unwrap_or_default();
        if !seen.is_empty() && receiver_health::note(tx, receiver.clone(), &seen)? {
            noted.closed.push(receiver.no);
        }
    }
    let ended: Vec<&Delivery> = batch.ended.iter().map(|key| &batch.deliveries[key]).collect();
    go_on(tx, &ended)?;
    for key in &batch.given_up {
        tell_exhausted(tx, &batch.receivers[&key.0], &batch.deliveries[key])?;
    }
    receiver_counts::add(tx.write()?, &scope, now, &noted.counts)?;
    Ok(noted)
}

type Key = (ReceiverNo, Place);

/// Attempts of one environment on their way into its tables.
struct Batch {
    deliveries: BTreeMap<Key, Delivery>,
    receivers: BTreeMap<ReceiverNo, Stored>,
    attempts: Vec<(Key, AttemptRow)>,
    /// What the attempts of each receiver say about it, in their order.
    seen: BTreeMap<ReceiverNo, Vec<Seen>>,
    /// No test deliveries: something may follow from each.
    ended: BTreeSet<Key>,
    /// An attempt found the end of the schedule.
    given_up: Vec<Key>,
    noted: Noted,
}

impl Batch {
    fn read(tx: &mut Tx<'_>, all: &[Ended]) -> Result<Batch, Error> {
        let (scope, read) = (tx.scope(), tx.read()?);
        let keys: BTreeSet<Key> = all.iter().map(Ended::key).collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        let nos: BTreeSet<ReceiverNo> = keys.iter().map(|(receiver, _)| *receiver).collect();
        let found = deliveries::find_all(read, &scope, &keys)?;
        let receivers = receivers::find_all(read, &scope, &nos)?;
        Ok(Batch {
            deliveries: found.into_iter().map(|one| ((one.receiver, one.place), one)).collect(),
            receivers: receivers.into_iter().map(|one| (one.no, one)).collect(),
            attempts: Vec::with_capacity(all.len()),
            seen: BTreeMap::new(),
            ended: BTreeSet::new(),
            given_up: Vec::new(),
            noted: Noted::default(),
        })
    }

    fn end(&mut self, tx: &mut Tx<'_>, sent: &Ended) -> Result<(), Error> {
        let (key, now) = (sent.key(), tx.now());
        let Some(receiver) = self.receivers.get(&key.0) else { return Ok(()) };
        let delivery = match self.deliveries.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(gone) => match crate::replays::remake(tx, key, sent.trigger)? {
                Some(remade) => gone.insert(remade),
                None => return Ok(()),
            },
        };
        let number = delivery.next_number();
        let failure = sent.failure(delivery.id(), number);
        let was_delivered = delivery.delivered_at.is_some();
        self.attempts.push((key, row(sent, number, failure.as_ref())));
        // A probe that fails spends nothing of a replay either.
        let first = if failure.is_none() { delivery.trigger } else { sent.trigger };
        note(delivery, sent, now);
        match &failure {
            None => acknowledge(delivery, now),
            Some(_) if sent.is_spared() => lease_ends(delivery),
            Some(failure) => fail(delivery, receiver, failure, now),
        }
        if delivery.is_test() {
            return Ok(());
        }
        crate::replays::note_sent(tx, (delivery, first), failure.is_none())?;
        self.noted.count(sent, delivery, was_delivered);
        let seen = seen(sent, (receiver, delivery), failure.as_ref(), now);
        self.seen.entry(key.0).or_default().push(seen);
        self.ended.insert(key);
        if failure.is_some() && delivery.state == DeliveryState::Exhausted {
            self.given_up.push(key);
        }
        Ok(())
    }
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

/// The next of each order key starts because one before it ended.
pub fn go_on(tx: &mut Tx<'_>, ended: &[&Delivery]) -> Result<(), Error> {
    let scope = tx.scope();
    let blocks =
        |one: &Delivery| one.state.is_open() || one.state == DeliveryState::Parked || one.halts;
    let ended = ended.iter().filter(|one| !blocks(one));
    let keys = ended.clone().map(|one| (one.receiver, one.order_key.as_str())).collect();
    for next in deliveries::promote(tx.write()?, &scope, &keys)? {
        tx.hand_over(next);
    }
    for one in ended {
        crate::replays::go_on(tx, one)?;
    }
    Ok(())
}
