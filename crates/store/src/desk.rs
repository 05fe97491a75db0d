//! The writer's memory: accounts, counters and the log of the open transaction.
//!
//! One writer owns the embedded database, so what it has loaded stays true until it writes.
//! Whatever fails, the part of the memory that it touched is forgotten and loaded again.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::sql::{Connection, OptionalExtension, params};
use domain::alert::settings::Settings;
use domain::id::{EnvironmentId, Mint, TenantId};
use domain::ledger::log::Counters;
use domain::ledger::{Account, Record, expiry};
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::account_log::{AccountLog, Overlay};
use crate::accounts::HoldRows;
use crate::database::Read;
use crate::deliveries::{Handed, Routing};
use crate::error::Error;
use crate::idempotency::{Index, Marks};
use crate::proxy_requests::Noted;
use crate::turns::{Recall, Told};
use crate::value::{Key, signed, unsigned};
use crate::{accounts, chapters, deliveries, entries, proxy_requests, timers};

/// Accounts that stay in memory between batches.
pub const ACCOUNTS_MAX: usize = 50_000;
/// Setting with the alert settings of wallets that have none of their own.
pub const ALERT_SETTING: &str = "wallet_balance_alert_config";
/// Setting with the lead times of expiry notices.
pub const EXPIRY_SETTING: &str = "credit_expiry_config";

pub(crate) struct Slot {
    pub(crate) account: Account,
    /// The due time that the wallet's timer row has now.
    timer: Option<Timestamp>,
    /// On the list of what the open transaction touched.
    touched: bool,
}

/// What the writer keeps of one environment.
pub(crate) struct EnvDesk {
    pub(crate) scope: Scope,
    pub(crate) counters: Counters,
    pub(crate) alert_default: Settings,
    pub(crate) notice_days: Vec<i64>,
    pub(crate) routing: Option<Arc<Vec<Routing>>>,
    touched: bool,
}

/// What only ever moves forward, whatever is rolled back: ids and time of an environment.
pub(crate) struct Forward {
    pub(crate) mint: Mint,
    /// Time of the last command.
    pub(crate) last_at: Timestamp,
}

pub(crate) struct Desk {
    forward: HashMap<EnvNo, Forward>,
    pub(crate) slots: HashMap<i64, Slot>,
    pub(crate) envs: HashMap<EnvNo, EnvDesk>,
    pub(crate) records: Vec<Record>,
    /// Proxied requests of the open transaction, as they are now.
    pub(crate) requests: Vec<(EnvNo, Noted)>,
    /// Wallets and environments that the open transaction changed.
    touched: Vec<i64>,
    touched_envs: BTreeSet<EnvNo>,
    /// Wallets and environments that the running job touched, flushed or not.
    job_wallets: BTreeSet<i64>,
    job_envs: BTreeSet<EnvNo>,
    in_job: bool,
    /// The open job says that it changes nothing that other nodes keep.
    is_routine: bool,
    pub(crate) index: Index,
    pub(crate) log: AccountLog,
    /// The log's mark where the open transaction and the running job began.
    log_marks: (i64, i64),
    pub(crate) handovers: Vec<Handed>,
    /// What the open transaction touched, for other nodes.
    told: Told,
    /// This run of this node.
    pub(crate) node: i64,
    seed: u64,
}

impl Desk {
    pub(crate) fn load(
        connection: &Connection,
        overlay: Arc<Overlay>,
        seed: u64,
    ) -> Result<Desk, Error> {
        let log = AccountLog::open(connection, overlay)?;
        Ok(Desk {
            forward: HashMap::new(),
            slots: HashMap::new(),
            envs: HashMap::new(),
            records: Vec::new(),
            requests: Vec::new(),
            touched: Vec::new(),
            touched_envs: BTreeSet::new(),
            job_wallets: BTreeSet::new(),
            job_envs: BTreeSet::new(),
            in_job: false,
            is_routine: false,
            index: Index::load(connection)?,
            log_marks: (log.mark(), log.mark()),
            log,
            handovers: Vec::new(),
            told: Told::default(),
            node: seed.cast_signed(),
            seed,
        })
    }

    /// The environment's part, loaded at first use.
    pub(crate) fn env(
        &mut self,
        connection: &Connection,
        env: EnvNo,
    ) -> Result<&mut EnvDesk, Error> {
        Ok(match self.envs.entry(env) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(load_env(connection, env)?),
        })
    }

    /// Ids and time of the environment.
    pub(crate) fn forward(&mut self, env: EnvNo) -> &mut Forward {
        let seed = domain::id::splitmix(self.seed ^ u64::from(env.get()));
        self.forward
            .entry(env)
            .or_insert_with(|| Forward { mint: Mint::new(seed), last_at: Timestamp::default() })
    }

    /// Makes sure that the account of `wallet` is in memory, with its paywall's counter.
    pub(crate) fn hold_account(
        &mut self,
        connection: &Connection,
        env: EnvNo,
        wallet: i64,
    ) -> Result<bool, Error> {
        if let Entry::Vacant(unknown) = self.slots.entry(wallet) {
            let Some(mut account) =
                accounts::load(Read { connection, overlay: self.log.overlay() }, wallet)?
            else {
                return Ok(false);
            };
            if let Some(rule) = account.broken_invariant().filter(|_| !account.stopped) {
                tracing::error!(wallet = %account.wallet.id, rule, "nothing moves on this wallet");
                account.suspect = true;
            }
            let timer = timers::of_wallet(connection, env, wallet)?;
            unknown.insert(Slot { account, timer, touched: false });
        }
        let Some(link) =
            self.slots.get(&wallet).and_then(|slot| slot.account.wallet.paywall.as_ref())
        else {
            return Ok(true);
        };
        let no = link.no;
        self.load_paywall_counter(connection, env, no)?;
        Ok(true)
    }

    pub(crate) fn load_paywall_counter(
        &mut self,
        connection: &Connection,
        env: EnvNo,
        no: i64,
    ) -> Result<(), Error> {
        let desk = self.env(connection, env)?;
        if let Entry::Vacant(unknown) = desk.counters.paywalls.entry(no) {
            unknown.insert(counter(connection, env, &format!("paywall:{no}"))?);
        }
        Ok(())
    }

    pub(crate) fn load_subject_counter(
        &mut self,
        connection: &Connection,
        env: EnvNo,
        subject: &str,
    ) -> Result<(), Error> {
        let desk = self.env(connection, env)?;
        if let Entry::Vacant(unknown) = desk.counters.subjects.entry(subject.to_owned()) {
            unknown.insert(counter(connection, env, subject)?);
        }
        Ok(())
    }

    /// A node is given up, in the turn of this transaction.
    pub(crate) fn end_node(&mut self, node: i64) {
        self.told.ended.push(node);
    }

    /// Other nodes give back what they have leased, as soon as they know this turn.
    pub(crate) fn recall(&mut self, recall: Recall) {
        self.told.recalls.push(recall);
    }

    /// Its row or what stands beside it changed: it is loaded again.
    pub(crate) fn forget_account(&mut self, wallet: i64) {
        self.slots.remove(&wallet);
    }

    /// Notes that the open transaction may change this wallet and this environment.
    pub(crate) fn touch(&mut self, env: EnvNo, wallet: Option<i64>) {
        if self.in_job {
            self.job_envs.insert(env);
            self.job_wallets.extend(wallet);
        }
        self.told.envs.entry(env).or_default();
        self.told.wallets.extend(wallet);
        if let Some(desk) = self.envs.get_mut(&env)
            && !desk.touched
        {
            desk.touched = true;
            self.touched_envs.insert(env);
        }
        if let Some(wallet) = wallet
            && let Some(slot) = self.slots.get_mut(&wallet)
            && !slot.touched
        {
            slot.touched = true;
            self.touched.push(wallet);
        }
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.records.is_empty() && self.touched.is_empty() && self.requests.is_empty()
    }

    /// Writes the buffered log and every touched account, set by set.
    pub(crate) fn flush(
        &mut self,
        connection: &Connection,
        recorded_at: Timestamp,
    ) -> Result<(), Error> {
        if self.is_flushed() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.records);
        let log = records.iter();
        entries::append(
            connection,
            log.filter_map(|record| match record {
                Record::Entry(entry) => Some(&**entry),
                _ => None,
            }),
            recorded_at,
        )?;
        crate::events::append(connection, &records, recorded_at)?;
        chapters::append(connection, &records, recorded_at)?;
        proxy_requests::save(connection, self.node, std::mem::take(&mut self.requests))?;
        crate::alerts::append(connection, &records)?;
        self.write_accounts(connection)?;
        self.write_counters(connection, &records)?;
        self.arm_notices(connection, &records)?;
        self.deliver(connection, &records)
    }

    fn write_accounts(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut states = Vec::with_capacity(self.touched.len());
        let mut timers = Vec::new();
        let mut holds = HoldRows::new(connection)?;
        for wallet in std::mem::take(&mut self.touched) {
            let Some(slot) = self.slots.get_mut(&wallet) else { continue };
            slot.touched = false;
            let state = accounts::take_changes(connection, &mut slot.account, &mut holds)?;
            states.extend(state.map(|state| (wallet, state)));
            let due = expiry::next_due(&slot.account);
            let env = slot.account.last.map(domain::place::Place::env).unwrap_or_default();
            let now = self.forward.get(&env).map(|forward| forward.last_at).unwrap_or_default();
            if moves_timer(slot.timer, due, now) {
                timers.push((env, wallet, due));
                slot.timer = due;
            }
        }
        holds.finish()?;
        timers::rearm_wallets(connection, &timers)?;
        self.log.append(connection, states)
    }

    fn write_counters(&mut self, connection: &Connection, records: &[Record]) -> Result<(), Error> {
        let mut paywalls: BTreeSet<(EnvNo, i64)> = BTreeSet::new();
        let mut subjects: BTreeMap<(EnvNo, &str), u64> = BTreeMap::new();
        for record in records {
            match record {
                Record::Entry(entry) if entry.paywall_sequence > 0 => {
                    let slot = self.slots.get(&entry.wallet_no);
                    let link = slot.and_then(|slot| slot.account.wallet.paywall.as_ref());
                    paywalls.extend(link.map(|link| (entry.place.env(), link.no)));
                }
                Record::Event(event) => match event.paywall {
                    Some(no) => {
                        paywalls.insert((event.place.env(), no));
                    }
                    None if event.subject.starts_with("wallet:") => {}
                    None => {
                        subjects.insert((event.place.env(), &event.subject), event.sequence);
                    }
                },
                Record::Chapter(chapter) => {
                    paywalls.insert((chapter.place.env(), chapter.paywall.0));
                }
                _ => {}
            }
        }
        let mut counters = connection.bulk(
            "INSERT INTO counters (env, scope, last) VALUES (?1, ?2, ?3)
             ON CONFLICT (env, scope) DO UPDATE SET last = excluded.last",
        )?;
        let mut set = |env: EnvNo, scope: &str, last: u64| {
            counters.push(params![env.get(), scope, signed(last)])
        };
        for (env, no) in paywalls {
            let last = self.envs.get(&env).and_then(|desk| desk.counters.paywalls.get(&no));
            set(env, &format!("paywall:{no}"), last.copied().unwrap_or(0))?;
        }
        for ((env, subject), last) in subjects {
            set(env, subject, last)?;
        }
        for env in std::mem::take(&mut self.touched_envs) {
            let Some(desk) = self.envs.get_mut(&env) else { continue };
            desk.touched = false;
            set(env, "position", desk.counters.position)?;
            if desk.counters.alerts > 0 {
                set(env, "alerts", desk.counters.alerts)?;
            }
        }
        Ok(counters.finish()?)
    }

    /// Credits that end get a timer for each lead time that still lies ahead.
    fn arm_notices(&mut self, connection: &Connection, records: &[Record]) -> Result<(), Error> {
        let mut notices = Vec::new();
        for record in records {
            let Record::Entry(entry) = record else { continue };
            let (Some(expires_at), domain::ledger::entry::Kind::Credit) =
                (entry.details.expires_at, entry.kind)
            else {
                continue;
            };
            let Some(desk) = self.envs.get(&entry.place.env()) else { continue };
            for days in &desk.notice_days {
                let due = expires_at.plus_ms(-days * domain::time::DAY_MS);
                if due > entry.at {
                    let place = entry.place;
                    notices.push((place.env(), timers::NOTICE, place.raw(), due));
                }
            }
        }
        timers::arm(connection, notices)
    }

    fn deliver(&mut self, connection: &Connection, records: &[Record]) -> Result<(), Error> {
        let envs: BTreeSet<EnvNo> = records
            .iter()
            .filter_map(|record| match record {
                Record::Entry(entry) => Some(entry.place.env()),
                Record::Event(event) => Some(event.place.env()),
                Record::Chapter(chapter) => Some(chapter.place.env()),
                Record::Alert(_) => None,
            })
            .collect();
        for env in envs {
            let routing = self.routing(connection, env)?;
            if routing.is_empty() {
                continue;
            }
            let slots = &self.slots;
            let wallet_of = |no: i64| slots.get(&no).map(|slot| slot.account.wallet.clone());
            deliveries::append(
                connection,
                &routing,
                (env, records),
                wallet_of,
                (self.node, &mut self.handovers),
            )?;
        }
        Ok(())
    }

    fn routing(&mut self, connection: &Connection, env: EnvNo) -> Result<Arc<Vec<Routing>>, Error> {
        let desk = self.env(connection, env)?;
        if let Some(routing) = &desk.routing {
            return Ok(routing.clone());
        }
        let routing = Arc::new(deliveries::routing(connection, env)?);
        desk.routing = Some(routing.clone());
        Ok(routing)
    }

    /// A job with a savepoint begins; everything before it is written.
    pub(crate) fn begin_job(&mut self) {
        self.in_job = true;
        self.is_routine = false;
        self.log_marks.1 = self.log.mark();
        self.job_wallets.clear();
        self.job_envs.clear();
    }

    /// The job was kept.
    pub(crate) fn end_job(&mut self) {
        self.in_job = false;
        self.told.changes |= !self.is_routine;
    }

    /// The open job changes nothing that other nodes keep in memory beside the ledger.
    pub(crate) fn mark_routine(&mut self, is_routine: bool) {
        self.is_routine = is_routine;
    }

    /// The job was taken back: whatever it touched is loaded again.
    pub(crate) fn forget_job(&mut self) {
        self.in_job = false;
        self.log.rollback(self.log_marks.1);
        self.records.clear();
        self.requests.clear();
        self.touched.clear();
        self.touched_envs.clear();
        for wallet in std::mem::take(&mut self.job_wallets) {
            self.slots.remove(&wallet);
        }
        for env in std::mem::take(&mut self.job_envs) {
            self.envs.remove(&env);
        }
    }

    /// Forgets all: the transaction as a whole was rolled back.
    pub(crate) fn forget_all(&mut self) {
        self.in_job = false;
        self.log.rollback_all(self.log_marks.0);
        self.records.clear();
        self.requests.clear();
        self.touched.clear();
        self.touched_envs.clear();
        self.slots.clear();
        self.envs.clear();
        self.handovers.clear();
        self.index.rollback(0);
        self.told = Told::default();
    }

    /// What the open transaction touched, as other nodes have to know it.
    pub(crate) fn told(&mut self) -> Told {
        let mut told = std::mem::take(&mut self.told);
        for (env, of) in &mut told.envs {
            let desk = self.envs.get(env);
            of.counters = desk.map(|desk| (desk.counters.position, desk.counters.alerts));
            of.last_at = self.forward.get(env).map(|forward| forward.last_at).unwrap_or_default();
        }
        told.keys.extend_from_slice(self.index.added());
        told
    }

    /// Forgets what turns of other nodes touched.
    pub(crate) fn learn<'t>(&mut self, turns: impl Iterator<Item = &'t Told>) {
        for told in turns {
            for wallet in &told.wallets {
                self.slots.remove(wallet);
            }
            for (env, of) in &told.envs {
                let forward = self.forward(*env);
                forward.last_at = forward.last_at.max(of.last_at);
                let Some((position, alerts)) = of.counters else {
                    self.envs.remove(env);
                    continue;
                };
                if let Some(desk) = self.envs.get_mut(env) {
                    desk.counters = Counters { position, alerts, ..Counters::default() };
                }
            }
            if told.changes {
                self.envs.clear();
            }
            self.index.learn(&told.keys);
        }
    }

    /// Forgets everything: turns of other nodes are not known any more.
    pub(crate) fn learn_all(&mut self, connection: &Connection) -> Result<(), Error> {
        self.forget_all();
        self.index = Index::load(connection)?;
        Ok(())
    }

    /// The transaction is committed.
    pub(crate) fn commit(&mut self) {
        self.index.commit();
        self.told = Told::default();
        self.log.commit();
        self.log_marks.0 = self.log.mark();
    }

    pub(crate) fn read<'c>(&'c self, connection: &'c Connection) -> Read<'c> {
        Read { connection, overlay: self.log.overlay() }
    }

    /// Keeps the memory bounded: between transactions nothing in it is needed.
    pub(crate) fn trim(&mut self) {
        if self.slots.len() > ACCOUNTS_MAX {
            self.slots.clear();
        }
        for desk in self.envs.values_mut() {
            if desk.counters.subjects.len() > ACCOUNTS_MAX {
                desk.counters.subjects.clear();
            }
        }
    }

    pub(crate) fn marks(&mut self, connection: &Connection) -> Result<Marks, Error> {
        let mut marks = Marks::default();
        let mut select = connection.prepare_cached("SELECT no FROM environments")?;
        let envs: Vec<u16> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for env in envs {
            let position = self.env(connection, EnvNo::new(env))?.counters.position;
            marks.places.insert(env, EnvNo::new(env).place(position).raw());
        }
        marks.reply =
            connection
                .query_row("SELECT COALESCE(MAX(no), 0) FROM replies", [], |row| row.get(0))?;
        Ok(marks)
    }
}

/// A row that will be due too early stays: a wallet's holds come and go, and each would move it
/// twice. When it is due it finds nothing to do and is moved then.
fn moves_timer(row: Option<Timestamp>, due: Option<Timestamp>, now: Timestamp) -> bool {
    let is_late = |row: Timestamp| row <= now || due.is_some_and(|due| due < row);
    due != row && row.is_none_or(is_late)
}

fn load_env(connection: &Connection, env: EnvNo) -> Result<EnvDesk, Error> {
    let mut select = connection.prepare_cached(
        "SELECT e.id, t.id, e.live FROM environments e JOIN tenants t ON t.no = e.tenant
         WHERE e.no = ?1",
    )?;
    let scope = select.query_row([env.get()], |row| {
        Ok(Scope {
            env,
            environment: EnvironmentId(row.get::<Key>(0)?.0),
            tenant: TenantId(row.get::<Key>(1)?.0),
            live: row.get(2)?,
        })
    })?;
    let counters = Counters {
        position: counter(connection, env, "position")?,
        alerts: counter(connection, env, "alerts")?,
        ..Counters::default()
    };
    let alert = setting(connection, env, ALERT_SETTING)?;
    let alert_default = alert
        .and_then(|body| Settings::from_json(&body).ok())
        .unwrap_or_else(Settings::tenant_default);
    let expiry = setting(connection, env, EXPIRY_SETTING)?;
    let notice_days = expiry
        .and_then(|body| serde_json::from_value(body.get("notice_days")?.clone()).ok())
        .unwrap_or_else(|| vec![7, 1]);
    Ok(EnvDesk { scope, counters, alert_default, notice_days, routing: None, touched: false })
}

fn setting(
    connection: &Connection,
    env: EnvNo,
    name: &str,
) -> Result<Option<serde_json::Value>, Error> {
    let mut select =
        connection.prepare_cached("SELECT body FROM settings WHERE env = ?1 AND name = ?2")?;
    let text: Option<String> =
        select.query_row(params![env.get(), name], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

fn counter(connection: &Connection, env: EnvNo, scope: &str) -> Result<u64, Error> {
    let mut select =
        connection.prepare_cached("SELECT last FROM counters WHERE env = ?1 AND scope = ?2")?;
    let last = select.query_row(params![env.get(), scope], |row| row.get(0)).optional()?;
    Ok(unsigned(last.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_moves_only_where_it_would_be_late_or_is_due() {
        let at = |ms: i64| Some(Timestamp::from_millis(ms));
        let table = [
            ((None, None), false),
            ((None, at(50)), true),
            // Earlier than what is due: it stays, whatever comes later.
            ((at(20), at(50)), false),
            ((at(20), None), false),
            // Later than what is due now.
            ((at(50), at(20)), true),
            // It is due itself, and found nothing to do.
            ((at(10), at(50)), true),
            ((at(9), None), true),
            ((at(9), at(9)), false),
        ];
        for ((row, due), moves) in table {
            assert_eq!(moves_timer(row, due, Timestamp::from_millis(10)), moves, "{row:?} {due:?}");
        }
    }
}
