//! What owners do with deliveries: send again, give up, try out (webhooks 16, 20).

use domain::event::Event;
use domain::id::{DeliveryId, EventId, ReceiverId};
use domain::place::{Placed, ReceiverNo};
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use domain::webhook::channel;
use domain::webhook::filter::Filter;
use domain::webhook::order::told_of;
use domain::webhook::receiver::{Class, DeliveryState, ReceiverKind, State, Trigger};
use serde_json::json;
use store::deliveries::{self, Delivery, Handover};
use store::receivers::{self, Stored};
use store::{Read, Tx, retention};

use crate::error::Error;
use crate::receivers::closed;
use crate::samples::Sample;
use crate::steps::deliver::go_on;
use crate::steps::retention::purged;

/// Endpoints that one retry looks at: there are never more.
const ENDPOINTS_MAX: u32 = 100;
/// Events of one retry.
pub const RETRIED_MAX: usize = 1_000;

/// Whose deliveries a caller may touch: all of the environment, or a paywall's subscriptions.
pub type Owner = Option<i64>;

/// The delivery behind an id, with its receiver.
pub fn find(
    read: Read<'_>,
    scope: &Scope,
    owner: Owner,
    id: DeliveryId,
) -> Result<(Delivery, Stored), Error> {
    let missing = || Error::not_found("delivery");
    let key = (id.receiver_no(), id.place());
    if key.1.env() == scope.env && retention::kept(read, scope)?.is_gone(key.1) {
        return Err(gone_or_missing(read, scope, owner, key.0)?);
    }
    let delivery = deliveries::find(read, scope, key)?.filter(|found| found.id() == id);
    let delivery = delivery.ok_or_else(missing)?;
    let receiver = receivers::find(read, scope, key.0)?.ok_or_else(missing)?;
    match owner {
        Some(paywall) if receiver.paywall != Some(paywall) => Err(missing()),
        _ => Ok((delivery, receiver)),
    }
}

/// Old deliveries of a receiver of one's own are gone; of others they never were.
fn gone_or_missing(
    read: Read<'_>,
    scope: &Scope,
    owner: Owner,
    receiver: ReceiverNo,
) -> Result<Error, Error> {
    let found = receivers::find(read, scope, receiver)?;
    let ours = |found: &Stored| owner.is_none() || found.paywall == owner;
    Ok(if found.is_some_and(|found| ours(&found)) {
        purged()
    } else {
        Error::not_found("delivery")
    })
}

/// Sends the event of a delivery again, at once.
pub fn redeliver(
    tx: &mut Tx<'_>,
    cause: &Cause,
    owner: Owner,
    id: DeliveryId,
) -> Result<Delivery, Error> {
    let scope = tx.scope();
    let (delivery, receiver) = find(tx.read()?, &scope, owner, id)?;
    if receiver.state != State::Enabled {
        return Err(closed(&receiver));
    }
    if delivery.is_test() {
        return Err(Error::operation("a test is sent once: make another one"));
    }
    let before = delivery.clone();
    let sent = send_again(tx, delivery)?;
    audit(tx, cause, "redelivered", (&before, &sent))?;
    Ok(sent)
}

fn audit(
    tx: &mut Tx<'_>,
    cause: &Cause,
    verb: &str,
    (before, after): (&Delivery, &Delivery),
) -> Result<(), Error> {
    let shown = |delivery: &Delivery| {
        Some(json!({
            "event_id": delivery.event_id(),
            "state": delivery.state.name(),
            "attempts": delivery.attempts,
        }))
    };
    let entity = ("webhook_delivery", after.id().to_string());
    let values = (shown(before), shown(after));
    crate::audit::record(tx, cause, &format!("webhook_delivery.{verb}"), entity, values)
}

fn send_again(tx: &mut Tx<'_>, mut delivery: Delivery) -> Result<Delivery, Error> {
    let (scope, before) = (tx.scope(), delivery.state);
    delivery.trigger = Trigger::Manual;
    delivery.next_at = tx.now();
    delivery.updated_at = tx.now();
    delivery.state = DeliveryState::Leased;
    if !matches!(before, DeliveryState::Leased | DeliveryState::Due) {
        // It has no order any more: neither does it wait, nor does it hold anything back.
        delivery.class = Class::Replay;
    }
    if !before.is_open() {
        delivery.step = 0;
    }
    deliveries::set(tx.write()?, &scope, &delivery)?;
    tx.deliveries_changed(delivery.receiver);
    if before != DeliveryState::Leased {
        hand_over(tx, &delivery);
    }
    Ok(delivery)
}

fn hand_over(tx: &mut Tx<'_>, delivery: &Delivery) {
    let Delivery { receiver, place, class, .. } = *delivery;
    tx.hand_over(Handover { receiver, place, class, fresh: false, probe: false });
}

/// Gives a delivery up; its order key goes on.
pub fn cancel(
    tx: &mut Tx<'_>,
    cause: &Cause,
    owner: Owner,
    id: DeliveryId,
) -> Result<Delivery, Error> {
    let scope = tx.scope();
    let (mut delivery, _) = find(tx.read()?, &scope, owner, id)?;
    match delivery.state {
        DeliveryState::Done => return Err(Error::operation("this delivery was acknowledged")),
        DeliveryState::Discarded => return Ok(delivery),
        _ => {}
    }
    let before = delivery.clone();
    delivery.state = DeliveryState::Discarded;
    delivery.halts = false;
    delivery.updated_at = tx.now();
    deliveries::set(tx.write()?, &scope, &delivery)?;
    tx.deliveries_changed(delivery.receiver);
    go_on(tx, &[&delivery])?;
    audit(tx, cause, "canceled", (&before, &delivery))?;
    Ok(delivery)
}

/// Sends the sample of a type to one receiver, whatever its state, and once.
pub fn test(
    tx: &mut Tx<'_>,
    cause: &Cause,
    receiver: &Stored,
    kind: EventType,
) -> Result<Delivery, Error> {
    let (scope, at) = (tx.scope(), tx.now());
    let place = deliveries::test_place(tx.write()?, &scope)?;
    let sample = Sample::render(&scope, kind, (place, at))?;
    let delivery = Delivery {
        body: Some(sample.body),
        trigger: Trigger::Test,
        class: Class::Live,
        ..blank(receiver.no, (place, at), (kind, sample.subject))
    };
    deliveries::insert(tx.write()?, &scope, &delivery)?;
    hand_over(tx, &delivery);
    crate::receivers::audit(tx, cause, "tested", (None, receiver))?;
    Ok(delivery)
}

/// The type whose sample is sent when none is named: the first that the filter names.
pub fn test_type(receiver: &Stored) -> EventType {
    let named = receiver.config.types.iter().find_map(|name| EventType::parse(name));
    named.unwrap_or(match receiver.kind {
        ReceiverKind::Endpoint => EventType::CUSTOMER_CREATED,
        ReceiverKind::Subscription => EventType::PAYWALL_DEPOSIT_CREATED,
    })
}

/// Enabled endpoints of the environment whose filter takes the type now, whatever their channels.
pub fn matching(read: Read<'_>, scope: &Scope, kind: EventType) -> Result<Vec<Stored>, Error> {
    let of = (ReceiverKind::Endpoint, None);
    let mut found = receivers::page(read, scope, of, None, ENDPOINTS_MAX)?;
    found.retain(|stored| {
        let config = &stored.config;
        let filter = Filter::endpoint(&config.types, config.extensions);
        stored.state == State::Enabled && filter.is_ok_and(|filter| filter.matches(kind))
    });
    Ok(found)
}

/// Sends events again to every enabled endpoint that matches them now. Returns how many events
/// are on their way, and how many nobody takes.
pub fn retry(tx: &mut Tx<'_>, cause: &Cause, ids: &[EventId]) -> Result<(usize, usize), Error> {
    let (mut queued, mut skipped) = (0, 0);
    for id in ids {
        if retry_one(tx, *id)? {
            queued += 1;
        } else {
            skipped += 1;
        }
    }
    let entity = ("environment", tx.scope().environment.to_string());
    let after = json!({ "event_ids": ids, "queued": queued, "skipped": skipped });
    crate::audit::record(tx, cause, "webhook_events.retried", entity, (None, Some(after)))?;
    Ok((queued, skipped))
}

fn retry_one(tx: &mut Tx<'_>, id: EventId) -> Result<bool, Error> {
    let scope = tx.scope();
    let is_gone = retention::kept(tx.read()?, &scope)?.is_gone(id.place());
    let found = store::events::find(tx.read()?, &scope, id.place())?.filter(|_| !is_gone);
    let Some(event) = found.map(|recorded| recorded.event).filter(|event| event.id() == id) else {
        return Ok(false);
    };
    let mut takers = matching(tx.read()?, &scope, event.kind)?;
    takers.retain(|one| {
        let touches = channel::takes(&one.config.channels, &event.channels);
        touches && told_of(&event.subject) != Some(one.no)
    });
    for receiver in &takers {
        let key = (receiver.no, event.place);
        match deliveries::find(tx.read()?, &scope, key)? {
            Some(delivery) => send_again(tx, delivery).map(drop)?,
            None => send_late(tx, receiver, &event)?,
        }
    }
    Ok(!takers.is_empty())
}

/// The receiver did not take the event when it was written.
fn send_late(tx: &mut Tx<'_>, receiver: &Stored, event: &Event) -> Result<(), Error> {
    let scope = tx.scope();
    let delivery = late(receiver.no, event, tx.now());
    deliveries::insert(tx.write()?, &scope, &delivery)?;
    hand_over(tx, &delivery);
    Ok(())
}

/// A delivery that the commit of its event did not make.
pub(crate) fn late(receiver: ReceiverNo, event: &Event, now: Timestamp) -> Delivery {
    Delivery {
        order_key: event.order_key.clone(),
        sequence: event.sequence,
        class: Class::Replay,
        trigger: Trigger::Manual,
        created_at: now,
        updated_at: now,
        next_at: now,
        ..blank(receiver, (event.place, event.at), (event.kind, event.subject.clone()))
    }
}

fn blank(
    receiver: ReceiverNo,
    (place, at): (domain::place::Place, domain::time::Timestamp),
    (kind, subject): (EventType, String),
) -> Delivery {
    Delivery {
        receiver,
        place,
        at,
        kind,
        subject,
        order_key: String::new(),
        sequence: 0,
        class: Class::Live,
        state: DeliveryState::Leased,
        step: 0,
        attempts: 0,
        probes: 0,
        next_at: at,
        body: None,
        last_code: None,
        last_result: None,
        last_error: None,
        last_attempt_at: None,
        last_duration_ms: None,
        delivered_at: None,
        created_at: at,
        updated_at: at,
        trigger: Trigger::Schedule,
        halts: false,
        replay: None,
    }
}

/// The receiver of a test, by its owner.
pub fn receiver_of(
    tx: &mut Tx<'_>,
    of: (ReceiverKind, Option<i64>),
    id: ReceiverId,
) -> Result<Stored, Error> {
    let scope = tx.scope();
    crate::receivers::find(tx.read()?, &scope, of, id)
}
