//! The states of deliveries: what is due, claimed, given back, promoted.
//!
//! Every statement on open work runs on a partial index, so its cost does not grow with what is
//! done.

use std::collections::BTreeSet;

use crate::sql::{OptionalExtension, Value, params, params_from_iter};
use domain::place::{EnvNo, Place, ReceiverNo, TEST_POSITIONS};
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::receiver::Class;

use super::{COLUMNS, Delivery, Handover, row};
use crate::database::Read;
use crate::error::Error;
use crate::receivers::Moving;
use crate::tx::Write;
use crate::value::{Millis, signed, unsigned};

pub fn find(
    read: Read<'_>,
    scope: &Scope,
    (receiver, place): (ReceiverNo, Place),
) -> Result<Option<Delivery>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM deliveries WHERE receiver = ?1 AND place = ?2 AND env = ?3"
    ))?;
    let found = select.query_row(params![receiver.0, place.raw(), scope.env.get()], row);
    Ok(found.optional()?)
}

/// The deliveries with these keys, as far as they are there.
pub fn find_all(
    read: Read<'_>,
    scope: &Scope,
    keys: &[(ReceiverNo, Place)],
) -> Result<Vec<Delivery>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM deliveries WHERE receiver = ?1 AND place = ?2 AND env = ?3"
    ))?;
    let env = i64::from(scope.env.get());
    let keys = keys.iter().map(|(receiver, place)| [i64::from(receiver.0), place.raw(), env]);
    Ok(select.first_of_each(keys, row)?.into_iter().flatten().collect())
}

/// Writes what an attempt or its owner changed.
pub fn set(write: Write<'_>, scope: &Scope, delivery: &Delivery) -> Result<(), Error> {
    set_all(write, scope, [delivery])
}

/// As `set`; each delivery only once.
pub fn set_all<'d>(
    write: Write<'_>,
    scope: &Scope,
    all: impl IntoIterator<Item = &'d Delivery>,
) -> Result<(), Error> {
    let mut update = write.connection.bulk(
        "UPDATE deliveries SET class = ?4, state = ?5, step = ?6, attempts = ?7, next_at = ?8,
            last_code = ?9, last_result = ?10, last_error = ?11, last_attempt_at = ?12,
            last_duration_ms = ?13, delivered_at = ?14, updated_at = ?15, trigger = ?16,
            halts = ?17, probes = ?18
         WHERE receiver = ?1 AND place = ?2 AND env = ?3",
    )?;
    for delivery in all {
        update.push(params![
            delivery.receiver.0,
            delivery.place.raw(),
            scope.env.get(),
            delivery.class.name(),
            delivery.state.name(),
            delivery.step,
            delivery.attempts,
            Millis(delivery.next_at),
            delivery.last_code,
            delivery.last_result.map(domain::webhook::schedule::Outcome::name),
            delivery.last_error,
            delivery.last_attempt_at.map(Millis),
            delivery.last_duration_ms,
            delivery.delivered_at.map(Millis),
            Millis(delivery.updated_at),
            delivery.trigger.name(),
            delivery.halts,
            delivery.probes,
        ])?;
    }
    Ok(update.finish()?)
}

/// Inserts a delivery that its commit did not make: of a sample, or of an event that is asked for.
pub fn insert(write: Write<'_>, scope: &Scope, delivery: &Delivery) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO deliveries (receiver, place, env, at, kind, subject, order_key, sequence,
                class, state, step, attempts, next_at, body, created_at, updated_at, trigger)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0, ?12, ?11, ?12, ?12, ?13)",
        )?
        .execute(params![
            delivery.receiver.0,
            delivery.place.raw(),
            scope.env.get(),
            Millis(delivery.at),
            delivery.kind.name(),
            delivery.subject,
            delivery.order_key,
            signed(delivery.sequence),
            delivery.class.name(),
            delivery.state.name(),
            delivery.body,
            Millis(delivery.created_at),
            delivery.trigger.name(),
        ])?;
    Ok(())
}

/// A fresh place outside the log, for a test delivery.
pub fn test_place(write: Write<'_>, scope: &Scope) -> Result<Place, Error> {
    let number: i64 = write
        .connection
        .prepare_cached(
            "INSERT INTO counters (env, scope, last) VALUES (?1, 'test deliveries', 1)
             ON CONFLICT (env, scope) DO UPDATE SET last = counters.last + 1
             RETURNING last",
        )?
        .query_row([scope.env.get()], |row| row.get(0))?;
    Ok(scope.env.place(TEST_POSITIONS + unsigned(number)))
}

/// A receiver with a delivery to send, and when the first may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub env: EnvNo,
    pub receiver: ReceiverNo,
    pub at: Timestamp,
    /// Its circuit is open: at that time one delivery goes out as a probe.
    pub is_probe: bool,
}

/// Receivers of every environment with a delivery to send, but for those whose deliveries are being
/// taken away. One step of an index each, however many deliveries wait.
pub fn due(read: Read<'_>) -> Result<Vec<Due>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT d.env, d.receiver, d.next_at,
            (SELECT r.circuit_until FROM receivers r WHERE r.no = d.receiver) AS until,
            (SELECT r.moving FROM receivers r WHERE r.no = d.receiver) AS moving
         FROM deliveries d WHERE d.state = 'due' AND (d.env, d.receiver) > (?1, ?2)
         ORDER BY d.env, d.receiver, d.next_at LIMIT 1",
    )?;
    let (mut last, mut found) = ((0_u16, 0_u32), Vec::new());
    while let Some((env, receiver, at, until, leaves)) = select
        .query_row(params![last.0, last.1], |row| {
            let (until, moving): (Option<Millis>, Option<String>) = (row.get(3)?, row.get(4)?);
            let leaves = moving.is_some_and(|moving| Moving::takes_away(&moving));
            Ok((row.get(0)?, row.get(1)?, row.get::<Millis>(2)?.0, until, leaves))
        })
        .optional()?
    {
        last = (env, receiver);
        if leaves {
            continue;
        }
        found.push(Due {
            env: EnvNo::new(env),
            receiver: ReceiverNo(receiver),
            at: until.map_or(at, |until| until.0),
            is_probe: until.is_some(),
        });
    }
    Ok(found)
}

/// When the environment's next delivery may be sent.
pub fn next_due(read: Read<'_>, scope: &Scope) -> Result<Option<Timestamp>, Error> {
    let all = due(read)?.into_iter().filter(|due| due.env == scope.env);
    Ok(all.map(|due| due.at).min())
}

/// Leases the due delivery with the lowest place as a probe, whatever its schedule says.
pub fn claim_probe(
    write: Write<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
) -> Result<Option<Handover>, Error> {
    let mut lease = write.connection.prepare_cached(
        "UPDATE deliveries SET state = 'leased', node = ?3
         WHERE env = ?1 AND receiver = ?2 AND state = 'due' AND place = (
            SELECT p.place FROM deliveries AS p
            WHERE p.receiver = ?2 AND p.state = 'due'
            ORDER BY p.place LIMIT 1) RETURNING place, class",
    )?;
    let found = lease.query_row(params![scope.env.get(), receiver.0, write.node], |row| {
        handover(receiver, (row.get(0)?, row.get_ref(1)?.as_str()?))
    });
    Ok(found.optional()?.map(|found| Handover { probe: true, ..found }))
}

fn handover(receiver: ReceiverNo, (place, class): (i64, &str)) -> crate::sql::Result<Handover> {
    let class = Class::parse(class).ok_or(crate::sql::Error::Form)?;
    let place = Place::from_raw(place);
    Ok(Handover { receiver, place, class, fresh: false, probe: false })
}

/// Leases up to `room` deliveries of one receiver that are due at `until`, in order.
pub fn claim(
    write: Write<'_>,
    scope: &Scope,
    (receiver, room): (ReceiverNo, usize),
    until: Timestamp,
) -> Result<Vec<Handover>, Error> {
    let connection = write.connection;
    let mut select = connection.prepare_cached(
        "SELECT place, class FROM deliveries WHERE env = ?1 AND receiver = ?2 AND state = 'due'
            AND next_at <= ?3 ORDER BY next_at, place LIMIT ?4",
    )?;
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let mut found: Vec<Handover> = select
        .query_map(params![scope.env.get(), receiver.0, Millis(until), limit], |row| {
            handover(receiver, (row.get(0)?, row.get_ref(1)?.as_str()?))
        })?
        .collect::<Result<_, _>>()?;
    found.sort_by_key(|one| one.place);
    lease(write, scope, &found)?;
    Ok(found)
}

fn lease(write: Write<'_>, scope: &Scope, found: &[Handover]) -> Result<(), Error> {
    let mut update = write.connection.bulk(
        "UPDATE deliveries SET state = 'leased', node = ?4
         WHERE receiver = ?1 AND place = ?2 AND env = ?3",
    )?;
    for one in found {
        update.push(params![one.receiver.0, one.place.raw(), scope.env.get(), write.node])?;
    }
    Ok(update.finish()?)
}

/// Ends the leases of deliveries that find no room, or that can be sent from `next_at` on.
pub fn give_back(
    write: Write<'_>,
    scope: &Scope,
    leased: &[Handover],
    next_at: Option<Timestamp>,
) -> Result<(), Error> {
    let mut update = write.connection.bulk(
        "UPDATE deliveries SET state = 'due', next_at = COALESCE(?4, next_at)
         WHERE receiver = ?1 AND place = ?2 AND env = ?3 AND state = 'leased'",
    )?;
    let next_at = next_at.map(Millis);
    for one in leased {
        update.push(params![one.receiver.0, one.place.raw(), scope.env.get(), next_at])?;
    }
    Ok(update.finish()?)
}

/// Ends every lease of this process: it stops sending.
pub fn give_back_all(write: Write<'_>) -> Result<(), Error> {
    give_back_of(write, write.node).map(drop)
}

/// Ends every lease of a node. Returns how many there were.
pub fn give_back_of(write: Write<'_>, node: i64) -> Result<usize, Error> {
    // The first condition is the index's.
    let mut update = write.connection.prepare_cached(
        "UPDATE deliveries SET state = 'due' WHERE
         (state = 'due' OR state = 'leased' OR state = 'waiting')
            AND state = 'leased' AND node = ?1",
    )?;
    Ok(update.execute([node])?)
}

/// Leases the first waiting delivery of each order key, unless one before it is still open or the
/// key stands.
pub fn promote(
    write: Write<'_>,
    scope: &Scope,
    keys: &BTreeSet<(ReceiverNo, &str)>,
) -> Result<Vec<Handover>, Error> {
    let mut select = write.connection.prepare_cached(
        "SELECT o.receiver, o.place, o.class, o.state FROM deliveries AS o
         WHERE o.receiver = ?1 AND o.order_key = ?2 AND o.env = ?3
            AND (o.state = 'due' OR o.state = 'leased' OR o.state = 'waiting')
            AND o.class <> 'replay'
            AND NOT EXISTS (SELECT 1 FROM deliveries AS h
                WHERE h.receiver = ?1 AND h.order_key = ?2 AND h.halts = 1)
         ORDER BY o.sequence LIMIT 1",
    )?;
    let ordered = keys.iter().filter(|(_, order_key)| !order_key.is_empty());
    let values = ordered.map(|(receiver, order_key)| {
        let text = Value::from((*order_key).to_owned());
        params_from_iter([Value::from(receiver.0), text, Value::from(scope.env.get())])
    });
    let heads = select.first_of_each(values, |row| {
        let first = handover(ReceiverNo(row.get(0)?), (row.get(1)?, row.get_ref(2)?.as_str()?))?;
        Ok((first, row.get_ref(3)?.as_str()? == "waiting"))
    })?;
    let waiting = heads.into_iter().flatten().filter(|(_, waits)| *waits);
    let promoted: Vec<Handover> = waiting.map(|(first, _)| first).collect();
    lease(write, scope, &promoted)?;
    Ok(promoted)
}

/// Order keys that stand go on: their owner wants no halt any more.
pub fn release(write: Write<'_>, scope: &Scope, receiver: ReceiverNo) -> Result<(), Error> {
    let mut update = write.connection.prepare_cached(
        "UPDATE deliveries SET halts = 0
         WHERE env = ?1 AND receiver = ?2 AND halts = 1",
    )?;
    update.execute(params![scope.env.get(), receiver.0])?;
    free_heads(write, scope, (receiver, (i64::MIN, i64::MAX)))
}

/// Of these places of a receiver, the first waiting delivery of each order key is due, unless one
/// before it is open or its key stands.
pub(super) fn free_heads(
    write: Write<'_>,
    scope: &Scope,
    (receiver, (first, last)): (ReceiverNo, (i64, i64)),
) -> Result<(), Error> {
    let mut heads = write.connection.prepare_cached(
        "UPDATE deliveries AS d SET state = 'due' WHERE d.env = ?1 AND d.receiver = ?2
            AND d.place BETWEEN ?3 AND ?4
            AND (d.state = 'due' OR d.state = 'leased' OR d.state = 'waiting')
            AND d.state = 'waiting'
            AND NOT EXISTS (SELECT 1 FROM deliveries AS h
                WHERE h.receiver = ?2 AND h.order_key = d.order_key AND h.halts = 1)
            AND d.sequence = (SELECT MIN(o.sequence)
                FROM deliveries AS o
                WHERE o.receiver = ?2 AND o.order_key = d.order_key AND o.class <> 'replay'
                    AND (o.state = 'due' OR o.state = 'leased' OR o.state = 'waiting'))",
    )?;
    heads.execute(params![scope.env.get(), receiver.0, first, last])?;
    Ok(())
}
