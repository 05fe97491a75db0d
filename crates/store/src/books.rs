//! Reading for the checks that run while the server works, and writing what they find out: parts
//! of the books, a bounded number of rows at a time. The whole proof reads through `verify`.

use crate::sql::OptionalExtension;
use domain::id::WalletId;
use domain::ledger::Account;
use domain::place::{EnvNo, Place};
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Tx;
use crate::value::{Key, Millis};
use crate::verify::{self, Item};

/// What an entry names as the wallet's entry before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub previous: Option<Place>,
}

/// Numbers of wallets above `no` with their environments, in order.
pub fn wallets_after(read: Read<'_>, no: i64, limit: u32) -> Result<Vec<(i64, EnvNo)>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT no, env FROM wallets WHERE no > ?1 ORDER BY no LIMIT ?2")?;
    let rows = select
        .query_map([no, i64::from(limit)], |row| Ok((row.get(0)?, EnvNo::new(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The next environment after number `env`.
pub fn environment_after(read: Read<'_>, env: EnvNo) -> Result<Option<EnvNo>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT no FROM environments WHERE no > ?1 ORDER BY no LIMIT 1")?;
    Ok(select.query_row([env.get()], |row| row.get(0)).optional()?.map(EnvNo::new))
}

/// The latest instant that the end of an environment's log tells.
pub fn last_at(read: Read<'_>, scope: &Scope) -> Result<Timestamp, Error> {
    let (first, last) = scope.env.range();
    let mut latest = Timestamp::default();
    // What fell due is dated at its instant, so the last row alone does not say.
    for newest in [
        "SELECT MAX(at) FROM (SELECT at FROM entries WHERE place BETWEEN ?1 AND ?2
            ORDER BY place DESC LIMIT 100) AS newest",
        "SELECT MAX(at) FROM (SELECT at FROM events WHERE place BETWEEN ?1 AND ?2
            ORDER BY place DESC LIMIT 100) AS newest",
        "SELECT MAX(at) FROM (SELECT at FROM chapters WHERE place BETWEEN ?1 AND ?2
            ORDER BY place DESC LIMIT 100) AS newest",
    ] {
        let mut select = read.connection.prepare_cached(newest)?;
        let at: Option<Millis> = select.query_row([first, last], |row| row.get(0))?;
        latest = latest.max(at.map(|at| at.0).unwrap_or_default());
    }
    Ok(latest)
}

/// Where the chain goes on from an entry; `None` where there is no such entry of the scope.
pub fn link(read: Read<'_>, scope: &Scope, place: Place) -> Result<Option<Link>, Error> {
    if place.env() != scope.env {
        return Ok(None);
    }
    let mut select =
        read.connection.prepare_cached("SELECT previous FROM entries WHERE place = ?1")?;
    let found: Option<Option<i64>> =
        select.query_row([place.raw()], |row| row.get(0)).optional()?;
    Ok(found.map(|previous| Link { previous: previous.map(Place::from_raw) }))
}

/// The log of an environment in order, `count` positions from `first` on.
pub fn walk_part<E: From<Error>>(
    read: Read<'_>,
    scope: &Scope,
    (first, count): (u64, u64),
    take: impl FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    let last = scope.env.place(first + count - 1).raw();
    verify::walk_between(read, (scope.env.place(first).raw(), last), take)
}

/// Wallets that an invariant has stopped, at most `limit`, with their environments.
pub fn stopped(read: Read<'_>, limit: u32) -> Result<Vec<(EnvNo, WalletId)>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT w.env, w.id FROM balances b JOIN wallets w ON w.no = b.wallet
         WHERE b.stopped = 1 ORDER BY b.wallet LIMIT ?1",
    )?;
    let rows = select
        .query_map([limit], |row| Ok((EnvNo::new(row.get(0)?), WalletId(row.get::<Key>(1)?.0))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Tx<'_> {
    /// Stops a wallet, or lets it move again. Its row says so at once, for whoever counts the
    /// stopped ones; its state in the log follows with the command.
    pub fn set_stopped(&mut self, wallet: i64, stopped: bool) -> Result<(), Error> {
        let account = self.account_at_rest(wallet, |account, _| {
            account.stopped = stopped;
            account.changes.balance = true;
            account.clone()
        })?;
        let missing = || Error::corrupt("balances", wallet, "the wallet has no balance");
        self.open_account(&account.ok_or_else(missing)?)
    }

    /// Writes an account whole, whatever stood there, because its entries tell it so.
    pub fn rebuild_account(&mut self, account: Account) -> Result<(), Error> {
        let (env, wallet) = (self.scope.env, account.no);
        self.write()?;
        let mut delete = self.connection.prepare_cached("DELETE FROM holds WHERE wallet = ?1")?;
        delete.execute([wallet])?;
        self.desk.hold_account(self.connection, env, wallet)?;
        self.desk.touch(env, Some(wallet));
        let Some(slot) = self.desk.slots.get_mut(&wallet) else { return Ok(()) };
        slot.account = account;
        // Lots that stand in the table although they fit the row are deleted there.
        slot.account.spilled = true;
        slot.account.changes.balance = true;
        slot.account.changes.holds = slot.account.holds.iter().map(|hold| hold.place).collect();
        Ok(())
    }
}

impl Error {
    /// Whether what stands in the file is at fault, and not the attempt to read it: another one
    /// finds the same.
    pub fn is_unreadable(&self) -> bool {
        match self {
            Error::Database(error) => error.is_unreadable(),
            Error::Corrupt { .. } => true,
            Error::Unavailable | Error::Open(_) | Error::Ended => false,
        }
    }
}
