//! Deliveries that a replay opened: in order within the replay, beside everything that is live.
//!
//! One that is not sent yet has the trigger `replay`; its first attempt takes that away.

use crate::sql::{OptionalExtension, params};
use domain::place::{Place, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::order::holds_back;
use domain::webhook::receiver::Class;
use domain::webhook::replay::Choice;

use super::Replay;
use super::scan::standing;
use crate::database::Read;
use crate::deliveries::{self, COLUMNS, Delivery, Handover, Head, row};
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Millis, signed, unsigned};

/// What was opened and not sent yet.
pub fn unsent(read: Read<'_>, replay: &Replay) -> Result<u64, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM deliveries
         WHERE receiver = ?1 AND replay = ?2 AND trigger = 'replay'
            AND state IN ('due', 'leased', 'waiting', 'parked')",
    )?;
    let count: i64 = select.query_row(params![replay.receiver.0, replay.no], |row| row.get(0))?;
    Ok(unsigned(count))
}

/// Opens the deliveries of these events, leased to this node or behind an earlier one of their
/// order key. Returns what may be sent at once, and how many were on their way already.
pub fn open(
    write: Write<'_>,
    scope: &Scope,
    (replay, heads): (&Replay, &[Head]),
    now: Timestamp,
) -> Result<(Vec<Handover>, u64), Error> {
    let routing = deliveries::routing(write.connection, scope.env)?;
    let Some(receiver) = routing.iter().find(|one| one.no == replay.receiver) else {
        return Ok((Vec::new(), 0));
    };
    let (mut handovers, mut skipped) = (Vec::new(), 0);
    for head in heads {
        let standing = standing(write.read(), (receiver.no, head))?;
        match replay.selection.choose(standing) {
            Choice::Open => {}
            Choice::Skip | Choice::Pass => {
                skipped += 1;
                continue;
            }
        }
        let order_key = deliveries::order_key(receiver, head);
        let ordered = holds_back(receiver.ordering, head.kind) && !order_key.is_empty();
        let behind = ordered && is_held(write, (receiver.no, order_key), replay.no)?;
        let state = if behind { "waiting" } else { "leased" };
        if standing.is_some() {
            reopen(write, scope, (replay, head), (state, now))?;
        } else {
            insert(write, scope, (replay, head, order_key), (state, now))?;
        }
        if !behind {
            let (receiver, place, class) = (receiver.no, head.place, Class::Replay);
            handovers.push(Handover { receiver, place, class, fresh: false, probe: false });
        }
    }
    Ok((handovers, skipped))
}

fn is_held(
    write: Write<'_>,
    (receiver, order_key): (ReceiverNo, &str),
    replay: i64,
) -> Result<bool, Error> {
    let mut select = write.connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries
            WHERE receiver = ?1 AND order_key = ?2 AND
                (state = 'due' OR state = 'leased' OR state = 'waiting')
                AND class = 'replay' AND replay = ?3)",
    )?;
    Ok(select.query_row(params![receiver.0, order_key, replay], |row| row.get(0))?)
}

fn reopen(
    write: Write<'_>,
    scope: &Scope,
    (replay, head): (&Replay, &Head),
    (state, now): (&str, Timestamp),
) -> Result<(), Error> {
    let mut update = write.connection.prepare_cached(
        "UPDATE deliveries SET former_state = state, former_class = class, former_step = step,
            state = ?4, class = 'replay', trigger = 'replay', step = 0, next_at = ?5,
            updated_at = ?5, replay = ?6, node = ?7
         WHERE receiver = ?1 AND place = ?2 AND env = ?3",
    )?;
    update.execute(params![
        replay.receiver.0,
        head.place.raw(),
        scope.env.get(),
        state,
        Millis(now),
        replay.no,
        write.node,
    ])?;
    Ok(())
}

fn insert(
    write: Write<'_>,
    scope: &Scope,
    (replay, head, order_key): (&Replay, &Head, &str),
    (state, now): (&str, Timestamp),
) -> Result<(), Error> {
    let mut insert = write.connection.prepare_cached(
        "INSERT INTO deliveries (receiver, place, env, at, kind, subject, order_key, sequence,
            class, state, step, attempts, next_at, created_at, updated_at, trigger, node, replay)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'replay', ?9, 0, 0, ?10, ?10, ?10, 'replay',
            ?11, ?12)",
    )?;
    insert.execute(params![
        replay.receiver.0,
        head.place.raw(),
        scope.env.get(),
        Millis(head.at),
        head.kind.name(),
        head.subject,
        order_key,
        signed(head.sequence),
        state,
        Millis(now),
        write.node,
        replay.no,
    ])?;
    Ok(())
}

/// Leases the next delivery of an order key within a replay, unless one before it is open.
pub fn promote(
    write: Write<'_>,
    scope: &Scope,
    (receiver, order_key): (ReceiverNo, &str),
    replay: i64,
) -> Result<Option<Handover>, Error> {
    if order_key.is_empty() {
        return Ok(None);
    }
    let mut update = write.connection.prepare_cached(
        "UPDATE deliveries SET state = 'leased', node = ?5
         WHERE env = ?4 AND receiver = ?1 AND place = (
            SELECT place FROM deliveries WHERE receiver = ?1 AND order_key = ?2
                AND (state = 'due' OR state = 'leased' OR state = 'waiting')
                AND class = 'replay' AND replay = ?3
            ORDER BY sequence LIMIT 1) AND state = 'waiting' RETURNING place",
    )?;
    let key = params![receiver.0, order_key, replay, scope.env.get(), write.node];
    let place = update.query_row(key, |row| row.get(0)).optional()?;
    Ok(place.map(|raw| Handover {
        receiver,
        place: Place::from_raw(raw),
        class: Class::Replay,
        fresh: false,
        probe: false,
    }))
}

/// After a pause: of these places and one order key only the first is due again.
pub(crate) fn line_up(
    write: Write<'_>,
    scope: &Scope,
    (receiver, (first, last)): (ReceiverNo, (i64, i64)),
) -> Result<(), Error> {
    let mut update = write.connection.prepare_cached(
        "UPDATE deliveries AS d SET state = 'waiting' WHERE d.env = ?1 AND d.receiver = ?2
            AND d.place BETWEEN ?3 AND ?4
            AND d.state = 'due' AND d.class = 'replay' AND d.replay IS NOT NULL
            AND d.order_key <> ''
            AND EXISTS (SELECT 1 FROM deliveries AS o
                WHERE o.receiver = ?2 AND o.order_key = d.order_key AND o.class = 'replay'
                    AND o.replay = d.replay AND
                        (o.state = 'due' OR o.state = 'leased' OR o.state = 'waiting')
                    AND o.sequence < d.sequence)",
    )?;
    update.execute(params![scope.env.get(), receiver.0, first, last])?;
    Ok(())
}

/// What was opened and not sent stands again as it did; what the replay made is gone.
pub fn give_up(write: Write<'_>, scope: &Scope, replay: &Replay) -> Result<(), Error> {
    let of = "env = ?1 AND receiver = ?2 AND replay = ?3 AND trigger = 'replay'
        AND state IN ('due', 'leased', 'waiting', 'parked')";
    let connection = write.connection;
    let key = params![scope.env.get(), replay.receiver.0, replay.no];
    connection
        .prepare_cached(&format!("DELETE FROM deliveries WHERE {of} AND former_state IS NULL"))?
        .execute(key)?;
    connection
        .prepare_cached(&format!(
            "UPDATE deliveries SET state = former_state, class = former_class,
                step = former_step, trigger = 'schedule' WHERE {of}"
        ))?
        .execute(key)?;
    Ok(())
}

/// A first attempt ended.
pub fn note_sent(
    write: Write<'_>,
    scope: &Scope,
    no: i64,
    (delivered, now): (bool, Timestamp),
) -> Result<(), Error> {
    let delivered = i64::from(delivered);
    let written = write.connection.execute_later(
        "UPDATE replays SET sent = sent + 1, delivered = delivered + ?3, failed = failed + 1 - ?3,
            updated_at = ?4 WHERE env = ?1 AND no = ?2",
        params![scope.env.get(), no, delivered, Millis(now)],
    );
    Ok(written?)
}

/// What holds back a waiting delivery of a replay.
pub fn first_open(
    read: Read<'_>,
    scope: &Scope,
    (receiver, order_key): (ReceiverNo, &str),
    replay: i64,
) -> Result<Option<Delivery>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM deliveries WHERE env = ?1 AND receiver = ?2 AND order_key = ?3
            AND (state = 'due' OR state = 'leased' OR state = 'waiting')
            AND class = 'replay' AND replay = ?4
         ORDER BY sequence LIMIT 1"
    ))?;
    let key = params![scope.env.get(), receiver.0, order_key, replay];
    Ok(select.query_row(key, row).optional()?)
}
