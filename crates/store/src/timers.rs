//! What falls due by itself: rows with a time, which the engine turns into commands.

use crate::sql::{Connection, OptionalExtension, params};
use domain::place::{EnvNo, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::Millis;

/// A lot expires or a hold reaches its deadline; `reference` is the wallet's number.
pub const WALLET: &str = "wallet";
/// Credits will expire soon; `reference` is the lot's place.
pub const NOTICE: &str = "notice";
/// An answer is no longer given again; `reference` is the reply's number.
pub const REPLY: &str = "reply";

/// A receiver has had no success for some time; `reference` is its number.
pub const RECEIVER: &str = "receiver";

/// One row that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub kind: String,
    pub reference: i64,
    pub due: Timestamp,
}

/// Rows due at or before `now`, earliest first.
pub fn due(read: Read<'_>, env: EnvNo, now: Timestamp, limit: u32) -> Result<Vec<Timer>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT kind, ref, due FROM timers WHERE env = ?1 AND due <= ?2 ORDER BY due, kind, ref
         LIMIT ?3",
    )?;
    let rows = select.query_map(params![env.get(), Millis(now), limit], |row| {
        Ok(Timer { kind: row.get(0)?, reference: row.get(1)?, due: row.get::<Millis>(2)?.0 })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the next row of the environment falls due.
pub fn next(read: Read<'_>, env: EnvNo) -> Result<Option<Timestamp>, Error> {
    let mut select =
        read.connection.prepare_cached("SELECT MIN(due) FROM timers WHERE env = ?1")?;
    let due: Option<Millis> = select.query_row([env.get()], |row| row.get(0))?;
    Ok(due.map(|due| due.0))
}

pub(crate) fn of_wallet(
    connection: &Connection,
    env: EnvNo,
    wallet: i64,
) -> Result<Option<Timestamp>, Error> {
    let mut select = connection
        .prepare_cached("SELECT due FROM timers WHERE env = ?1 AND kind = 'wallet' AND ref = ?2")?;
    let due: Option<Millis> =
        select.query_row([i64::from(env.get()), wallet], |row| row.get(0)).optional()?;
    Ok(due.map(|due| due.0))
}

/// Moves the rows of different wallets.
pub(crate) fn rearm_wallets(
    connection: &Connection,
    moved: &[(EnvNo, i64, Option<Timestamp>)],
) -> Result<(), Error> {
    if moved.is_empty() {
        return Ok(());
    }
    let mut delete =
        connection.bulk("DELETE FROM timers WHERE env = ?1 AND kind = 'wallet' AND ref = ?2")?;
    for (env, wallet, _) in moved {
        delete.push([i64::from(env.get()), *wallet])?;
    }
    delete.finish()?;
    let due = moved.iter().filter_map(|(env, wallet, due)| Some((*env, WALLET, *wallet, (*due)?)));
    arm(connection, due)
}

/// Environment, kind, reference and time of each.
pub(crate) fn arm(
    connection: &Connection,
    timers: impl IntoIterator<Item = (EnvNo, &'static str, i64, Timestamp)>,
) -> Result<(), Error> {
    let mut insert = connection.bulk(
        "INSERT INTO timers (env, kind, ref, due) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    for (env, kind, reference, due) in timers {
        insert.push(params![env.get(), kind, reference, Millis(due)])?;
    }
    Ok(insert.finish()?)
}

/// Looks at a receiver again at `due`.
pub fn watch(
    write: Write<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    due: Timestamp,
) -> Result<(), Error> {
    arm(write.connection, [(scope.env, RECEIVER, i64::from(receiver.0), due)])
}

/// There is nothing to look at any more.
pub fn unwatch(write: Write<'_>, scope: &Scope, receiver: ReceiverNo) -> Result<(), Error> {
    let mut delete = write
        .connection
        .prepare_cached("DELETE FROM timers WHERE env = ?1 AND kind = 'receiver' AND ref = ?2")?;
    delete.execute(params![scope.env.get(), receiver.0])?;
    Ok(())
}

/// Removes a row that was acted on. A wallet's own row is moved by its account.
pub fn disarm(write: Write<'_>, env: EnvNo, timer: &Timer) -> Result<(), Error> {
    let mut delete = write.connection.prepare_cached(
        "DELETE FROM timers WHERE env = ?1 AND kind = ?2 AND ref = ?3 AND due = ?4",
    )?;
    delete.execute(params![env.get(), timer.kind, timer.reference, Millis(timer.due)])?;
    Ok(())
}
