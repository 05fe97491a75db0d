//! Commands on replays: start, cancel, look (webhooks 17). The walk is `steps::replay`.

use domain::id::{EventId, ReceiverId, ReplayId};
use domain::ledger::entry::KeyUse;
use domain::place::{Place, ReceiverNo};
use domain::scope::{Cause, Scope};
use domain::time::{SECOND_MS, Timestamp};
use domain::webhook::catalogue::EventType;
use domain::webhook::filter::Filter;
use domain::webhook::receiver::{Class, DeliveryState, State, Trigger};
use domain::webhook::replay::{ENTRIES_MAX, Only, RPS_MAX, ReplayState, Selection};
use serde_json::{Value, json};
use store::deliveries::{self, Delivery};
use store::receivers::{self, Stored};
use store::replays::{self, Replay};
use store::retention;
use store::{Read, Tx};

use crate::audit;
use crate::error::Error;
use crate::idempotency::{Answered, Reply};
use crate::operational;
use crate::receiver_secrets::Of;
use crate::receivers::{closed, field, find};
use crate::run::Engine;
use crate::steps::retention::reaches_back;

/// So long an answer waits for the count of what matches.
const COUNT_MS: i64 = 2 * SECOND_MS;
/// Positions that one part of a count looks at.
pub(crate) const COUNTED_MAX: u64 = 10_000;

/// Reads the body of a replay to an endpoint.
pub fn read(body: &Value, now: Timestamp) -> Result<Selection, Error> {
    let selection = read_span(body, now)?;
    let max_rps: Option<u32> = field(body, "max_rps")?;
    if max_rps.is_some_and(|rps| !(1..=RPS_MAX).contains(&rps)) {
        return Err(Error::invalid("max_rps", format!("max_rps must be 1 to {RPS_MAX}")));
    }
    let only = field(body, "only")?.unwrap_or(Only::Undelivered);
    let (subjects, event_ids) = (list(body, "subjects")?, list::<EventId>(body, "event_ids")?);
    if let Some(names) = &selection.types {
        Filter::endpoint(names, true).map_err(|error| bad_types(&error.to_string()))?;
    }
    Ok(Selection { subjects, event_ids, only, max_rps, ..selection })
}

/// Reads the body of a replay to a subscription: a span and types, and everything in it.
pub fn read_of_subscription(body: &Value, now: Timestamp) -> Result<Selection, Error> {
    let selection = read_span(body, now)?;
    if let Some(names) = &selection.types {
        Filter::subscription(names, true).map_err(|error| bad_types(&error.to_string()))?;
    }
    Ok(Selection { only: Only::All, ..selection })
}

fn read_span(body: &Value, now: Timestamp) -> Result<Selection, Error> {
    let from: Option<Timestamp> = field(body, "from")?;
    let from = from.ok_or_else(|| Error::invalid("from", "from is missing"))?;
    // What happened in this millisecond is meant too.
    let to: Timestamp = field(body, "to")?.unwrap_or_else(|| now.plus_ms(1));
    if to <= from {
        return Err(Error::invalid("to", "to must be later than from, and from in the past"));
    }
    Ok(Selection { from, to, types: list(body, "types")?, ..Selection::default() })
}

fn list<T: serde::de::DeserializeOwned>(body: &Value, name: &str) -> Result<Option<Vec<T>>, Error> {
    let found: Option<Vec<T>> = field(body, name)?;
    match &found {
        Some(all) if !(1..=ENTRIES_MAX).contains(&all.len()) => {
            let message = format!("{name} must have 1 to {ENTRIES_MAX} entries");
            Err(Error::invalid(name, message))
        }
        _ => Ok(found),
    }
}

fn bad_types(problem: &str) -> Error {
    Error::invalid("types", format!("types {problem}"))
}

/// A replay with the id of its receiver.
pub type Shown = (Replay, ReceiverId);

impl Engine {
    /// Starts a replay. `render` makes the answer.
    pub async fn start_replay(
        &self,
        scope: Scope,
        (of, id): Of,
        (selection, cause): (Selection, Cause),
        key: Option<KeyUse>,
        render: impl Fn(&Shown) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let seen = self.receiver(&scope, of, id)?.stored;
        let planned = self.plan(scope, seen.no, selection).await?;
        let work = move |tx: &mut Tx<'_>| {
            let receiver = find(tx.read()?, &scope, of, id)?;
            start(tx, &cause, &receiver, planned.clone())
        };
        self.once(scope, key, work, render).await
    }

    /// How many events a replay would take; `None` where counting takes longer than an answer
    /// waits.
    pub async fn count_replay(
        &self,
        scope: Scope,
        (of, id): Of,
        selection: Selection,
    ) -> Result<Option<u64>, Error> {
        let seen = self.receiver(&scope, of, id)?.stored;
        Ok(self.plan(scope, seen.no, selection).await?.matched())
    }

    /// A replay before it has a number, with what matches counted as far as time allows.
    pub(crate) async fn plan(
        &self,
        scope: Scope,
        receiver: ReceiverNo,
        selection: Selection,
    ) -> Result<Replay, Error> {
        let mut planned = self.plan_uncounted(scope, receiver, selection).await?;
        let until = self.steady_now().plus_ms(COUNT_MS);
        while planned.counted < planned.head && self.steady_now() < until {
            planned = self.read(move |read| Ok(counted(read, &scope, planned)?)).await?;
        }
        Ok(planned)
    }

    /// As `plan`, for a receiver that takes nothing yet: the walk counts.
    pub(crate) async fn plan_uncounted(
        &self,
        scope: Scope,
        receiver: ReceiverNo,
        selection: Selection,
    ) -> Result<Replay, Error> {
        let from = selection.from;
        let planned = self.read(move |read| blank(read, &scope, (receiver, from))).await?;
        Ok(Replay { selection, ..planned })
    }

    /// Stops a replay: what it opened and did not send stands as before.
    pub async fn cancel_replay(
        &self,
        scope: Scope,
        id: ReplayId,
        cause: Cause,
    ) -> Result<Shown, Error> {
        let work = move |tx: &mut Tx<'_>| {
            let (replay, receiver) = one(tx.read()?, &scope, id)?;
            let replay = match replay.state {
                ReplayState::Running => stop(tx, &cause, (&receiver, replay))?,
                _ => replay,
            };
            Ok((replay, receiver.id))
        };
        self.change(scope, work).await
    }

    pub fn replay(&self, scope: &Scope, id: ReplayId) -> Result<Shown, Error> {
        let found = self.read_now(|read| one(read, scope, id))?;
        Ok((found.0, found.1.id))
    }

    /// Replays of a receiver, newest first, below number `before`.
    pub fn replays(
        &self,
        scope: &Scope,
        (of, id): Of,
        page: (Option<i64>, u32),
    ) -> Result<Vec<Shown>, Error> {
        self.read_now(|read| {
            let receiver = find(read, scope, of, id)?;
            let found = replays::page(read, scope, receiver.no, page)?;
            Ok(found.into_iter().map(|replay| (replay, receiver.id)).collect())
        })
    }
}

fn one(read: Read<'_>, scope: &Scope, id: ReplayId) -> Result<(Replay, Stored), Error> {
    let missing = || Error::not_found("replay");
    let replay = replays::find_id(read, scope, id)?.ok_or_else(missing)?;
    let receiver = receivers::find(read, scope, replay.receiver)?.ok_or_else(missing)?;
    Ok((replay, receiver))
}

fn blank(
    read: Read<'_>,
    scope: &Scope,
    (receiver, from): (ReceiverNo, Timestamp),
) -> Result<Replay, Error> {
    let (head, kept) = (store::events::head(read, scope)?, retention::kept(read, scope)?);
    if kept.purged_at.is_some_and(|purged_at| from <= purged_at) {
        return Err(reaches_back(kept));
    }
    let first = replays::first_position(read, scope, from)?;
    let walked = first.map_or(head, |first| first - 1).max(kept.from - 1);
    Ok(Replay {
        no: 0,
        id: ReplayId::default(),
        receiver,
        selection: Selection::default(),
        state: ReplayState::Running,
        head,
        walked,
        counted: walked,
        matched: 0,
        sent: 0,
        delivered: 0,
        failed: 0,
        skipped: 0,
        next_at: Timestamp::default(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        finished_at: None,
    })
}

/// Counts on for one part.
pub(crate) fn counted(
    read: Read<'_>,
    scope: &Scope,
    mut replay: Replay,
) -> Result<Replay, store::Error> {
    let scan = replays::scan(read, scope, &replay, (replay.counted, COUNTED_MAX, u64::MAX))?;
    replay.matched += scan.open.len() as u64 + scan.skipped;
    replay.counted = scan.upto;
    Ok(replay)
}

/// Inserts a running replay, if its receiver takes one now.
pub(crate) fn start(
    tx: &mut Tx<'_>,
    cause: &Cause,
    receiver: &Stored,
    mut planned: Replay,
) -> Result<Shown, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    if receiver.state != State::Enabled {
        return Err(closed(receiver));
    }
    if let Some(running) = replays::running_of(tx.read()?, &scope, receiver.no)? {
        let message = format!("{} is still running: wait for it, or cancel it", running.id);
        return Err(Error::conflict("replay_in_progress", message));
    }
    let fresh = tx.mint();
    (planned.created_at, planned.next_at) = (now, tx.recorded_at());
    let no = replays::insert(tx.write()?, &scope, fresh, &planned)?;
    let replay = replays::find(tx.read()?, &scope, no)?;
    let replay = replay.ok_or_else(|| Error::not_found("replay"))?;
    record(tx, cause, ("started", receiver), &replay)?;
    Ok((replay, receiver.id))
}

/// Ends a running replay before its end.
pub(crate) fn stop(
    tx: &mut Tx<'_>,
    cause: &Cause,
    (receiver, replay): (&Stored, Replay),
) -> Result<Replay, Error> {
    let scope = tx.scope();
    replays::give_up(tx.write()?, &scope, &replay)?;
    let replay = end(tx, cause, (receiver, replay), ReplayState::Canceled)?;
    record(tx, cause, ("canceled", receiver), &replay)?;
    Ok(replay)
}

/// Stops what runs to a receiver that is switched off.
pub(crate) fn stop_of(tx: &mut Tx<'_>, cause: &Cause, receiver: &Stored) -> Result<(), Error> {
    let scope = tx.scope();
    match replays::running_of(tx.read()?, &scope, receiver.no)? {
        Some(replay) => stop(tx, cause, (receiver, replay)).map(drop),
        None => Ok(()),
    }
}

/// Writes the end of a replay and tells it.
pub(crate) fn end(
    tx: &mut Tx<'_>,
    cause: &Cause,
    (receiver, mut replay): (&Stored, Replay),
    state: ReplayState,
) -> Result<Replay, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    (replay.state, replay.updated_at, replay.finished_at) = (state, now, Some(now));
    replays::set(tx.write()?, &scope, &replay)?;
    let kind = match state {
        ReplayState::Canceled => EventType::WEBHOOK_REPLAY_CANCELED,
        _ => EventType::WEBHOOK_REPLAY_COMPLETED,
    };
    let keys = json!({ "replay": object(&replay, receiver.id) });
    operational::tell_of_endpoint(tx, cause, kind, (receiver, keys))?;
    Ok(replay)
}

fn record(
    tx: &mut Tx<'_>,
    cause: &Cause,
    (verb, receiver): (&str, &Stored),
    replay: &Replay,
) -> Result<(), Error> {
    let entity = ("webhook_replay", replay.id.to_string());
    let values = (None, Some(object(replay, receiver.id)));
    audit::record(tx, cause, &format!("webhook_replay.{verb}"), entity, values)
}

/// A replay as the management surface shows it.
pub fn object(replay: &Replay, receiver: ReceiverId) -> Value {
    let asked = &replay.selection;
    json!({
        "id": replay.id,
        "endpoint_id": receiver,
        "from": asked.from,
        "to": asked.to,
        "types": asked.types,
        "subjects": asked.subjects,
        "event_ids": asked.event_ids,
        "only": asked.only,
        "max_rps": asked.max_rps,
        "status": replay.state,
        "matched": replay.matched(),
        "sent": replay.sent,
        "delivered": replay.delivered,
        "failed": replay.failed,
        "skipped": replay.skipped,
        "created_at": replay.created_at,
        "updated_at": replay.updated_at,
        "finished_at": replay.finished_at,
    })
}

/// The first attempt of a delivery of a replay ended.
pub(crate) fn note_sent(
    tx: &mut Tx<'_>,
    (delivery, trigger): (&Delivery, Trigger),
    delivered: bool,
) -> Result<(), Error> {
    let Some(no) = delivery.replay.filter(|_| trigger == Trigger::Replay) else { return Ok(()) };
    let (scope, now) = (tx.scope(), tx.now());
    Ok(replays::note_sent(tx.write()?, &scope, no, (delivered, now))?)
}

/// The next of the order key within the replay starts because this one ended.
pub(crate) fn go_on(tx: &mut Tx<'_>, delivery: &Delivery) -> Result<(), Error> {
    let Some(no) = delivery.replay.filter(|_| delivery.class == Class::Replay) else {
        return Ok(());
    };
    let scope = tx.scope();
    let key = (delivery.receiver, delivery.order_key.as_str());
    if let Some(next) = replays::promote(tx.write()?, &scope, key, no)? {
        tx.hand_over(next);
    }
    Ok(())
}

/// A delivery that a canceled replay had made was on the wire: its attempt has a row to stand in.
pub(crate) fn remake(
    tx: &mut Tx<'_>,
    (receiver, place): (ReceiverNo, Place),
    trigger: Trigger,
) -> Result<Option<Delivery>, Error> {
    let scope = tx.scope();
    let found = store::events::find(tx.read()?, &scope, place)?;
    let Some(recorded) = found.filter(|_| trigger == Trigger::Replay) else { return Ok(None) };
    let mut delivery = crate::deliveries::late(receiver, &recorded.event, tx.now());
    delivery.state = DeliveryState::Discarded;
    deliveries::insert(tx.write()?, &scope, &delivery)?;
    Ok(Some(delivery))
}
