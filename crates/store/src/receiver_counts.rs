//! What attempts came to, counted by minute and by hour: written with the attempts, read instead
//! of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::params;
use domain::place::ReceiverNo;
use domain::scope::Scope;
use domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Millis, signed, unsigned};

/// Longer than every window that is asked for.
const KEPT_MS: i64 = 8 * DAY_MS;
const SPANS: [(&str, i64); 2] = [("minute", MINUTE_MS), ("hour", HOUR_MS)];

/// How often each thing happened, by receiver and name.
pub type Counts = BTreeMap<(ReceiverNo, String), u64>;

/// Adds what happened at `at`.
pub fn add(write: Write<'_>, scope: &Scope, at: Timestamp, counts: &Counts) -> Result<(), Error> {
    prune(write, scope, counts.keys().map(|(receiver, _)| *receiver).collect(), at)?;
    let mut insert = write.connection.bulk(
        "INSERT INTO receiver_counts (env, receiver, span, at, name, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (env, receiver, span, at, name)
         DO UPDATE SET count = receiver_counts.count + excluded.count",
    )?;
    for (span, ms) in SPANS {
        let at = Millis(floor(at, ms));
        for ((receiver, name), count) in counts {
            let count = signed(*count);
            insert.push(params![scope.env.get(), receiver.0, span, at, name, count])?;
        }
    }
    Ok(insert.finish()?)
}

fn floor(at: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_millis(at.millis() - at.millis().rem_euclid(ms))
}

/// Once an hour what is too old is removed of each of these.
fn prune(
    write: Write<'_>,
    scope: &Scope,
    mut receivers: BTreeSet<ReceiverNo>,
    at: Timestamp,
) -> Result<(), Error> {
    let mut select = write.connection.prepare_cached(
        "SELECT receiver FROM receiver_counts
         WHERE env = ?1 AND receiver = ?2 AND span = 'hour' AND at = ?3 LIMIT 1",
    )?;
    let (env, hour) = (i64::from(scope.env.get()), floor(at, HOUR_MS).millis());
    let keys = receivers.iter().map(|receiver| [env, i64::from(receiver.0), hour]);
    for pruned in select.first_of_each(keys, |row| row.get(0))?.into_iter().flatten() {
        receivers.remove(&ReceiverNo(pruned));
    }
    let oldest = Millis(at.plus_ms(-KEPT_MS));
    for (receiver, (span, _)) in receivers.iter().flat_map(|no| SPANS.map(|span| (no, span))) {
        write.connection.execute_later(
            "DELETE FROM receiver_counts
             WHERE env = ?1 AND receiver = ?2 AND span = ?3 AND at < ?4",
            params![scope.env.get(), receiver.0, span, oldest],
        )?;
    }
    Ok(())
}

/// Sums by name since `from`: whole hours, and the minutes before the first of them.
pub fn sums(
    read: Read<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    from: Timestamp,
) -> Result<Vec<(String, u64)>, Error> {
    let minute = floor(from, MINUTE_MS);
    let hour = floor(from.plus_ms(HOUR_MS - 1), HOUR_MS);
    let mut select = read.connection.prepare_cached(
        "SELECT name, CAST(SUM(count) AS BIGINT) FROM receiver_counts
         WHERE env = ?1 AND receiver = ?2
            AND (span = 'hour' AND at >= ?4 OR span = 'minute' AND at >= ?3 AND at < ?4)
         GROUP BY name",
    )?;
    let key = params![scope.env.get(), receiver.0, Millis(minute), Millis(hour)];
    let rows = select.query_map(key, |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
