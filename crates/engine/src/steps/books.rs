//! The checks of `verify`, sampled while the server works (billing 4.3).
//!
//! A round reads a bounded number of rows. It goes on in three turns, each through everything
//! there is and then again from the start: the newest part of every wallet's books, so that a wrong
//! balance is found soon; every wallet's books as a whole; and every environment's log, for gaps.
//! What breaks a rule stops its wallet. Stopped wallets are left alone: they were told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::id::WalletId;
use domain::ledger::Record;
use domain::place::EnvNo;
use domain::scope::Scope;
use parking_lot::Mutex;
use store::Read;
use store::audit::Wanted;
use store::verify::Item;

use crate::books::{Books, Broken, CHAIN_MAX, RULES, Verdict, unreadable};
use crate::error::Error;
use crate::run::Engine;
use crate::wallets::stop;

/// Rows of one round, for each of the three turns.
pub const ROWS_MAX: u32 = 500;
/// Newest entries of a wallet that the first turn looks at.
const NEWEST: usize = 8;
/// Rows that these take at most, there and back.
const PART_ROWS: u32 = 32;
/// What loading an account counts as.
const LOAD_ROWS: u32 = 4;
/// Stopped wallets whose rule is looked up.
const STOPPED_MAX: u32 = 20;
/// Findings without a wallet that are told once each.
const TOLD_MAX: usize = 1_000;

/// Where the turns are, and what they found.
#[derive(Default)]
pub(crate) struct Checks {
    turns: tokio::sync::Mutex<Turns>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Turns {
    scopes: HashMap<EnvNo, Scope>,
    /// The last wallet whose newest part was looked at.
    newest: i64,
    /// The last wallet that was proven whole, and the one that is being proven.
    whole: i64,
    proof: Option<(i64, Books)>,
    /// The environment whose log was looked at last, and the next position of each.
    env: EnvNo,
    logs: HashMap<EnvNo, u64>,
}

#[derive(Default)]
struct Found {
    /// By rule, since the process began.
    counts: BTreeMap<&'static str, u64>,
    /// What no stopped wallet stands for, by message.
    open: BTreeMap<String, &'static str>,
}

/// A finding, and the wallet that it is about.
struct At {
    scope: Scope,
    wallet: Option<i64>,
    broken: Broken,
}

impl Engine {
    /// One round. Returns how many findings were new.
    pub async fn check_books(&self) -> Result<usize, Error> {
        let mut turns = self.checks.turns.lock().await;
        let mut moving = std::mem::take(&mut *turns);
        let (moved, found) = self
            .read(move |read| {
                let mut found = Vec::new();
                let done = moving.round(read, &mut found);
                Ok((moving, done.map(|()| found)))
            })
            .await?;
        *turns = moved;
        drop(turns);
        let mut new = 0;
        for at in found? {
            new += usize::from(self.act_on(at).await?);
        }
        Ok(new)
    }

    /// Stops the wallet. What has none, or one that cannot be stopped, is remembered.
    async fn act_on(&self, At { scope, wallet, broken }: At) -> Result<bool, Error> {
        let Some(no) = wallet else { return Ok(self.checks.remember(&broken)) };
        match self.stop_wallet(scope, no, broken.clone()).await {
            Ok(stopped) => Ok(stopped),
            Err(Error::Store(error)) if error.is_unreadable() => Ok(self.checks.remember(&broken)),
            Err(error) => Err(error),
        }
    }

    /// Stops a wallet whose books are wrong, unless it is stopped already.
    pub(crate) async fn stop_wallet(
        &self,
        scope: Scope,
        no: i64,
        broken: Broken,
    ) -> Result<bool, Error> {
        let why = broken.clone();
        let stopped = self.change(scope, move |tx| stop::stop(tx, no, &why)).await?;
        if stopped {
            self.leases.freeze(no);
            self.checks.count(&broken);
        }
        Ok(stopped)
    }

    /// How often each rule was found broken since the process began.
    pub fn broken_counts(&self) -> Vec<(&'static str, u64)> {
        let found = self.checks.found.lock();
        RULES.iter().map(|rule| (*rule, found.counts.get(rule).copied().unwrap_or(0))).collect()
    }

    /// The rules that are broken now: those that stopped wallets, and those without a wallet.
    pub async fn broken_rules(&self) -> Result<BTreeSet<String>, Error> {
        let mut rules = self.read(stopping_rules).await?;
        rules.extend(self.checks.found.lock().open.values().map(|rule| (*rule).to_owned()));
        Ok(rules)
    }
}

/// What stopped wallets, as the audit log has it.
fn stopping_rules(read: Read<'_>) -> Result<BTreeSet<String>, Error> {
    let mut rules = BTreeSet::new();
    for (env, wallet) in store::books::stopped(read, STOPPED_MAX)? {
        let Some(environment) = store::tenants::find_environment(read, env)? else { continue };
        rules.insert(stopping_rule(read, &environment.scope, wallet)?);
    }
    Ok(rules)
}

fn stopping_rule(read: Read<'_>, scope: &Scope, wallet: WalletId) -> Result<String, Error> {
    let wanted = Wanted {
        action: Some(stop::STOPPED.to_owned()),
        entity_id: Some(wallet.to_string()),
        ..Wanted::default()
    };
    let rows = store::audit::page(read, scope, &wanted, 1)?;
    let told = rows.first().and_then(|(_, row)| row.after.as_ref()?.get("rule")?.as_str());
    Ok(told.unwrap_or("balance").to_owned())
}

impl Checks {
    fn count(&self, broken: &Broken) {
        *self.found.lock().counts.entry(broken.rule).or_default() += 1;
        let (rule, id) = (broken.rule, broken.id.as_deref().unwrap_or("-"));
        tracing::error!(rule, id, problem = broken.message, "the books do not balance");
    }

    /// Whether it is new.
    fn remember(&self, broken: &Broken) -> bool {
        let mut found = self.found.lock();
        if found.open.len() >= TOLD_MAX || found.open.contains_key(&broken.message) {
            return false;
        }
        found.open.insert(broken.message.clone(), broken.rule);
        drop(found);
        self.count(broken);
        true
    }
}

impl Turns {
    fn round(&mut self, read: Read<'_>, found: &mut Vec<At>) -> Result<(), Error> {
        self.look_at_newest(read, found)?;
        self.prove_whole(read, found)?;
        self.walk_log(read, found)
    }

    fn scope(&mut self, read: Read<'_>, env: EnvNo) -> Result<Option<Scope>, Error> {
        if let Some(scope) = self.scopes.get(&env) {
            return Ok(Some(*scope));
        }
        let found = store::tenants::find_environment(read, env)?;
        let scope = found.map(|environment| environment.scope);
        self.scopes.extend(scope.map(|scope| (env, scope)));
        Ok(scope)
    }

    fn look_at_newest(&mut self, read: Read<'_>, found: &mut Vec<At>) -> Result<(), Error> {
        let mut rows = ROWS_MAX;
        let page = store::books::wallets_after(read, self.newest, ROWS_MAX)?;
        if page.is_empty() {
            self.newest = 0;
        }
        for (wallet, env) in page {
            if rows <= LOAD_ROWS {
                break;
            }
            self.newest = wallet;
            rows -= LOAD_ROWS;
            let Some(mut books) = self.open(read, (wallet, env, NEWEST), found)? else { continue };
            // A short part is looked at to its end, whatever is left of the round.
            let mut part = PART_ROWS;
            let verdict = books.go_on(read, &mut part)?;
            rows = rows.saturating_sub(PART_ROWS - part);
            self.judge((wallet, env), verdict, found);
        }
        Ok(())
    }

    fn prove_whole(&mut self, read: Read<'_>, found: &mut Vec<At>) -> Result<(), Error> {
        let mut rows = ROWS_MAX;
        while rows > LOAD_ROWS {
            let Some((wallet, mut books)) = self.next_proof(read, &mut rows, found)? else {
                return Ok(());
            };
            let env = books.scope().env;
            match books.go_on(read, &mut rows)? {
                None => self.proof = Some((wallet, books)),
                verdict => self.judge((wallet, env), verdict, found),
            }
        }
        Ok(())
    }

    /// The proof under way, or one of the next wallet. `None`: all are done for this round.
    fn next_proof(
        &mut self,
        read: Read<'_>,
        rows: &mut u32,
        found: &mut Vec<At>,
    ) -> Result<Option<(i64, Books)>, Error> {
        if let Some(proof) = self.proof.take() {
            return Ok(Some(proof));
        }
        while *rows > LOAD_ROWS {
            let Some((wallet, env)) = store::books::wallets_after(read, self.whole, 1)?.pop()
            else {
                self.whole = 0;
                return Ok(None);
            };
            self.whole = wallet;
            *rows -= LOAD_ROWS;
            if let Some(books) = self.open(read, (wallet, env, CHAIN_MAX), found)? {
                return Ok(Some((wallet, books)));
            }
        }
        Ok(None)
    }

    /// The books of a wallet, unless it is stopped or cannot be read, which is a finding.
    fn open(
        &mut self,
        read: Read<'_>,
        (wallet, env, most): (i64, EnvNo, usize),
        found: &mut Vec<At>,
    ) -> Result<Option<Books>, Error> {
        let Some(scope) = self.scope(read, env)? else { return Ok(None) };
        match Books::open(read, scope, (wallet, most)) {
            Ok(books) => Ok(books.filter(|books| !books.stored().stopped)),
            Err(Error::Store(error)) if error.is_unreadable() => {
                found.push(At { scope, wallet: Some(wallet), broken: unreadable(&error) });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn judge(&self, (wallet, env): (i64, EnvNo), verdict: Option<Verdict>, found: &mut Vec<At>) {
        if let (Some(Verdict::Broken(broken)), Some(scope)) = (verdict, self.scopes.get(&env)) {
            found.push(At { scope: *scope, wallet: Some(wallet), broken });
        }
    }

    /// A part of one environment's log: positions without gaps, every row readable.
    fn walk_log(&mut self, read: Read<'_>, found: &mut Vec<At>) -> Result<(), Error> {
        let Some(env) = store::books::environment_after(read, self.env)? else {
            self.env = EnvNo::default();
            return Ok(());
        };
        self.env = env;
        let Some(scope) = self.scope(read, env)? else { return Ok(()) };
        let kept = store::retention::kept(read, &scope)?.from;
        let first = self.logs.get(&env).copied().unwrap_or(1).max(kept);
        let count = u64::from(ROWS_MAX);
        let mut part = Part { scope, next: first, found };
        store::books::walk_part(read, &scope, (first, count), |item| {
            part.take(item);
            Ok::<(), Error>(())
        })?;
        let head = store::events::head(read, &scope)?;
        let ended = part.next < first + count;
        if ended && part.next <= head {
            part.find("gap", format!("the log ends before position {head}, which was given away"));
        }
        // After its end once more from its beginning.
        let next = if ended { 1 } else { part.next };
        self.logs.insert(env, next);
        Ok(())
    }
}

/// A part of a log.
struct Part<'f> {
    scope: Scope,
    next: u64,
    found: &'f mut Vec<At>,
}

impl Part<'_> {
    fn take(&mut self, (place, item): Item) {
        if place.position() != self.next {
            let message = format!("position {place} does not follow: a row is missing");
            self.find("gap", message);
        }
        let positions = match item {
            Ok(Record::Entry(entry)) => entry.announce.positions(),
            Ok(Record::Chapter(chapter)) => chapter.len(),
            Ok(Record::Event(_) | Record::Alert(_)) => 1,
            Err(problem) => {
                self.find("unreadable", format!("row {place} cannot be read: {problem}"));
                1
            }
        };
        self.next = place.position() + positions;
    }

    fn find(&mut self, rule: &'static str, message: String) {
        let broken = Broken { rule, id: None, message };
        self.found.push(At { scope: self.scope, wallet: None, broken });
    }
}
