//! Accounts: a wallet's balance, open lots and open holds, loaded whole and logged by change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sql::{Bulk, Connection, OptionalExtension, params};
use domain::alert::machine::Machine;
use domain::amount::Amount;
use domain::customer::Customer;
use domain::ledger::Account;
use domain::ledger::account::{Hold, TopupHistory};
use domain::ledger::entry::Reason;
use domain::ledger::lot::Lot;
use domain::place::Place;
use domain::time::Timestamp;
use domain::wallet::Wallet;

use crate::account_log;
use crate::database::Read;
use crate::entries::{level, level_code};
use crate::error::Error;
use crate::value::{Millis, Money, read_taken, write_taken};

mod packed;
mod state;

pub(crate) use state::{State, read_row, write_row, write_rows};

/// Open lots that stand in the wallet's own row; more than that spill into a table.
pub const LOTS_IN_ROW_MAX: usize = 24;

/// The account of wallet number `wallet`, or `None` where there is no such wallet.
pub fn load(read: Read<'_>, wallet: i64) -> Result<Option<Account>, Error> {
    let connection = read.connection;
    let Some((body, version, customer)) = load_wallet(connection, wallet)? else { return Ok(None) };
    let (customer_version, customer) = customer_version(connection, customer)?;
    let versions = (version, customer_version);
    let mut account = Account::open(wallet, Arc::new(body), Arc::new(customer), versions);
    load_balance(read, &mut account)?;
    account.lots.sort_by(Lot::spending_order);
    account.holds = load_holds(connection, wallet)?;
    Ok(Some(account))
}

/// The wallet's newest version, its number, and its customer's number.
fn load_wallet(connection: &Connection, wallet: i64) -> Result<Option<(Wallet, u32, i64)>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT w.customer, w.version, v.body FROM wallets w
         JOIN wallet_versions v ON v.wallet = w.no AND v.version = w.version WHERE w.no = ?1",
    )?;
    let found = select
        .query_row([wallet], |row| {
            Ok((row.get::<i64>(0)?, row.get::<u32>(1)?, row.get::<String>(2)?))
        })
        .optional()?;
    let Some((customer, version, body)) = found else { return Ok(None) };
    let body = serde_json::from_str(&body)
        .map_err(|problem| Error::corrupt("wallet_versions", wallet, problem))?;
    Ok(Some((body, version, customer)))
}

fn customer_version(connection: &Connection, customer: i64) -> Result<(u32, Customer), Error> {
    let mut select = connection.prepare_cached(
        "SELECT c.version, v.body FROM customers c
         JOIN customer_versions v ON v.customer = c.no AND v.version = c.version WHERE c.no = ?1",
    )?;
    let (version, body): (u32, String) =
        select.query_row([customer], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let body = serde_json::from_str(&body)
        .map_err(|problem| Error::corrupt("customer_versions", customer, problem))?;
    Ok((version, body))
}

fn load_balance(read: Read<'_>, account: &mut Account) -> Result<(), Error> {
    let state = current(read, account.no)?
        .ok_or_else(|| Error::corrupt("balances", account.no, "the wallet has no balance"))?;
    account.credits = state.credits;
    account.held = state.held;
    account.sequence = state.sequence;
    account.entries = state.entries;
    account.last = state.last;
    account.credit_machine = read_machine(state.machines >> 8);
    account.ongoing_machine = read_machine(state.machines & 0xFF);
    account.percent_base = state.percent_base;
    account.topups = read_topups(state.topups.as_deref());
    account.stopped = state.stopped;
    account.spilled = state.lots.is_none();
    account.lots = match &state.lots {
        Some(bytes) => packed::read(bytes),
        None => load_spilled(read.connection, account.no)?,
    };
    load_head(read.connection, account)
}

/// Time and hash of the last entry: a wallet's row stays small without them.
fn load_head(connection: &Connection, account: &mut Account) -> Result<(), Error> {
    let Some(last) = account.last else { return Ok(()) };
    let mut select = connection.prepare_cached("SELECT at, hash FROM entries WHERE place = ?1")?;
    let head = select
        .query_row([last.raw()], |row| Ok((row.get::<Millis>(0)?.0, row.get(1)?)))
        .optional()?;
    if let Some((at, hash)) = head {
        account.last_at = at;
        account.head = hash;
    }
    Ok(())
}

/// The state of a wallet as the snapshot has it, from the log or from its row.
fn current(read: Read<'_>, wallet: i64) -> Result<Option<Arc<State>>, Error> {
    match account_log::newest(read, wallet)? {
        Some(state) => Ok(Some(state)),
        None => Ok(read_row(read.connection, wallet)?.map(Arc::new)),
    }
}

/// Lots that have spilled into the table, because the wallet has more than fit its row.
fn load_spilled(connection: &Connection, wallet: i64) -> Result<Vec<Lot>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT place, reason, original, remaining, held, priority, expires_at, created_at
         FROM lots WHERE wallet = ?1",
    )?;
    let rows = select.query_map([wallet], |row| {
        Ok(Lot {
            place: Place::from_raw(row.get(0)?),
            reason: Reason::from_code(row.get(1)?).unwrap_or(Reason::FreeCreditGrant),
            original: row.get::<Money>(2)?.0,
            remaining: row.get::<Money>(3)?.0,
            held: row.get::<Money>(4)?.0,
            priority: row.get(5)?,
            expires_at: row.get::<Option<Millis>>(6)?.map(|at| at.0),
            created_at: row.get::<Millis>(7)?.0,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn load_holds(connection: &Connection, wallet: i64) -> Result<Vec<Hold>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT place, amount, deadline, created_at, taken, quiet FROM holds WHERE wallet = ?1",
    )?;
    let rows = select.query_map([wallet], |row| {
        Ok(Hold {
            place: Place::from_raw(row.get(0)?),
            amount: row.get::<Money>(1)?.0,
            deadline: row.get::<Millis>(2)?.0,
            created_at: row.get::<Millis>(3)?.0,
            taken: read_taken(row.get_ref(4)?.as_blob_or_null()?),
            quiet: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes what an account's operations changed: its new state, for the log. What has tables of its
/// own, open holds and lots that do not fit a row, is written here.
pub(crate) fn take_changes(
    connection: &Connection,
    account: &mut Account,
    holds: &mut HoldRows<'_>,
) -> Result<Option<State>, Error> {
    let mut changes = std::mem::take(&mut account.changes);
    if !changes.balance && changes.lots.is_empty() && changes.holds.is_empty() {
        return Ok(None);
    }
    let state = State::of(account);
    let spills = state.lots.is_none();
    if spills || account.spilled {
        spill(connection, account, !spills)?;
        account.spilled = spills;
    }
    changes.holds.sort_unstable();
    changes.holds.dedup();
    for place in changes.holds {
        holds.write(account, place)?;
    }
    Ok(Some(state))
}

/// Brings the table of spilled lots to the account's; empty when they fit the row again.
fn spill(connection: &Connection, account: &Account, fits: bool) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM lots WHERE wallet = ?1")?.execute([account.no])?;
    if fits {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO lots (wallet, place, reason, original, remaining, held, priority, expires_at,
            created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for lot in &account.lots {
        insert.execute(params![
            account.no,
            lot.place.raw(),
            lot.reason.code(),
            Money(lot.original),
            Money(lot.remaining),
            Money(lot.held),
            lot.priority,
            lot.expires_at.map(Millis),
            Millis(lot.created_at),
        ])?;
    }
    Ok(())
}

/// Writes open holds; each of its statements is looked up once.
pub(crate) struct HoldRows<'c> {
    upsert: Bulk<'c>,
    delete: Bulk<'c>,
}

impl<'c> HoldRows<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<HoldRows<'c>, Error> {
        let upsert = connection.bulk(
            "INSERT INTO holds (wallet, place, amount, deadline, created_at, taken, quiet)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (wallet, place) DO UPDATE SET amount = excluded.amount,
                deadline = excluded.deadline, taken = excluded.taken",
        )?;
        let delete = connection.bulk("DELETE FROM holds WHERE wallet = ?1 AND place = ?2")?;
        Ok(HoldRows { upsert, delete })
    }

    /// Each hold was pushed once, so the order does not matter.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.upsert.finish()?;
        Ok(self.delete.finish()?)
    }

    fn write(&mut self, account: &Account, place: Place) -> Result<(), Error> {
        let Some(hold) = account.holds.iter().find(|hold| hold.place == place) else {
            self.delete.push([account.no, place.raw()])?;
            return Ok(());
        };
        self.upsert.push(params![
            account.no,
            hold.place.raw(),
            Money(hold.amount),
            Millis(hold.deadline),
            Millis(hold.created_at),
            write_taken(&hold.taken).unwrap_or_default(),
            hold.quiet,
        ])?;
        Ok(())
    }
}

/// Three fields in one byte: awake, level, told.
fn write_machine(machine: Machine) -> i64 {
    (i64::from(machine.awake) << 4) | (level_code(machine.level) << 2) | level_code(machine.told)
}

fn read_machine(code: i64) -> Machine {
    Machine { awake: code & 16 != 0, level: level((code >> 2) & 3), told: level(code & 3) }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct TopupRow {
    attempts: Vec<(i64, Amount)>,
    told: Option<i64>,
}

fn write_topups(topups: &TopupHistory) -> Option<String> {
    if *topups == TopupHistory::default() {
        return None;
    }
    let attempts = topups.attempts.iter().map(|(at, credits)| (at.millis(), *credits)).collect();
    let told = topups.suspended_told_at.map(Timestamp::millis);
    serde_json::to_string(&TopupRow { attempts, told }).ok()
}

fn read_topups(text: Option<&str>) -> TopupHistory {
    let row: Option<TopupRow> = text.and_then(|text| serde_json::from_str(text).ok());
    let Some(row) = row else { return TopupHistory::default() };
    let at = |(ms, credits)| (Timestamp::from_millis(ms), credits);
    TopupHistory {
        attempts: row.attempts.into_iter().map(at).collect(),
        suspended_told_at: row.told.map(Timestamp::from_millis),
    }
}

/// Rests of the lots of `wallet`, by place; a lot that is not there is used up.
pub fn lot_rests(read: Read<'_>, wallet: i64) -> Result<BTreeMap<Place, Amount>, Error> {
    let account = load(read, wallet)?;
    let lots = account.map(|account| account.lots).unwrap_or_default();
    Ok(lots.into_iter().map(|lot| (lot.place, lot.remaining)).collect())
}

/// Place of the wallet's newest entry.
pub fn head(read: Read<'_>, wallet: i64) -> Result<Option<Place>, Error> {
    Ok(current(read, wallet)?.and_then(|state| state.last))
}
