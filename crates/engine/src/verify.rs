//! The books' proof: every entry applied again from the first gives what is stored, every number is
//! there once, and every journal sums to zero. Reads one snapshot and changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::amount::Amount;
use domain::ledger::entry::{LedgerAccount, Status};
use domain::ledger::lot::Lot;
use domain::ledger::replay::Replay;
use domain::ledger::{Account, Entry, Record};
use domain::place::Place;
use domain::proxy::chapter::Chapter;
use domain::scope::Scope;
use domain::time::{MINUTE_MS, Timestamp};
use serde::Serialize;
use store::events::Versions;
use store::proxy_packs::Shelf;
use store::verify::{Item, Receivers};
use store::{Database, Read};

use crate::books::check_floor;
use crate::error::Error;
use crate::run::Engine;

mod refunds;

/// Findings that are kept; the rest is counted.
const FINDINGS_MAX: usize = 100;
/// Findings of one rule that are looked for among the deliveries.
const DELIVERIES_MAX: u32 = 100;
/// A running sender tries every receiver that has something to get more often than this.
const STUCK_MS: i64 = 6 * MINUTE_MS;
/// Rows between two calls of the progress.
const PROGRESS_ROWS: u64 = 10_000;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `chain`, `balance`, `floor`, `journal`, `gap`, `refund`, `unreadable`, `unsent`, `invented`,
    /// `order`, `stuck`.
    pub rule: &'static str,
    /// The entry or event, if it is one: its id and its position in the environment's log.
    pub id: Option<String>,
    pub position: Option<u64>,
    pub message: String,
}

/// What the proof found about one environment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub environment_id: String,
    pub balanced: bool,
    pub entries: u64,
    pub events: u64,
    pub wallets: u64,
    pub last_position: u64,
    /// Credits by currency and ledger account; each currency sums to zero.
    pub totals: BTreeMap<String, BTreeMap<&'static str, Amount>>,
    pub findings_total: u64,
    pub findings: Vec<Finding>,
}

impl Engine {
    /// Proves one environment. Whether deliveries are stuck can be seen while this process sends:
    /// elsewhere a lease only says that a sender was stopped, and the next start ends it.
    pub async fn verify(&self, scope: Scope) -> Result<Summary, Error> {
        let sends = self.is_sending();
        let since = self.now(&scope).plus_ms(-STUCK_MS);
        let work = move |read: Read<'_>| {
            let mut summary = environment(read, &scope, &mut |_| {})?;
            if sends {
                find_stuck(&mut summary, read, &scope, since)?;
            }
            Ok(summary)
        };
        self.read_aside(work).await
    }
}

fn find_stuck(
    summary: &mut Summary,
    read: Read<'_>,
    scope: &Scope,
    since: Timestamp,
) -> Result<(), Error> {
    for (place, receiver) in store::verify::stuck(read, scope, (since, DELIVERIES_MAX))? {
        let message = format!("event {place} is not sent to receiver {}", receiver.0);
        summary.find("stuck", Some((place, None)), message);
    }
    summary.balanced = summary.findings_total == 0;
    Ok(())
}

impl Summary {
    fn find(&mut self, rule: &'static str, at: Option<(Place, Option<String>)>, message: String) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            let position = at.as_ref().map(|(place, _)| place.position());
            let id = at.and_then(|(_, id)| id);
            self.findings.push(Finding { rule, id, position, message });
        }
    }
}

/// Proves every environment of a database; `progress` is told how many rows were read.
pub fn database(database: &Database, progress: &mut dyn FnMut(u64)) -> Result<Vec<Summary>, Error> {
    database.patient().read(|read| {
        let environments = store::tenants::environments(read)?;
        environments.iter().map(|one| environment(read, &one.scope, progress)).collect()
    })
}

fn environment<'r>(
    read: Read<'r>,
    scope: &'r Scope,
    progress: &mut dyn FnMut(u64),
) -> Result<Summary, Error> {
    let counters = store::verify::counters(read, scope)?;
    let mut proof = Proof {
        read,
        scope,
        subjects: HashSet::new(),
        shelf: Shelf::default(),
        receivers: Receivers::load(read, scope)?,
        wallets: HashMap::new(),
        sequences: HashMap::new(),
        versions: Versions::default(),
        refunds: BTreeMap::new(),
        kept: store::retention::kept(read, scope)?.from,
        next_position: 1,
        summary: Summary { environment_id: scope.environment.to_string(), ..Summary::default() },
    };
    let mut rows: u64 = 0;
    store::verify::walk(read, scope, |item| {
        rows += 1;
        if rows.is_multiple_of(PROGRESS_ROWS) {
            progress(rows);
        }
        proof.take(item)
    })?;
    proof.end(scope, &counters)
}

/// A wallet under proof: as it is stored, and as its entries tell it.
struct Wallet {
    stored: Account,
    replay: Replay,
    /// A first mistake makes the rest meaningless.
    broken: bool,
}

struct Proof<'r> {
    read: Read<'r>,
    scope: &'r Scope,
    /// What events were about that were looked at.
    subjects: HashSet<String>,
    shelf: Shelf,
    receivers: Receivers,
    wallets: HashMap<i64, Wallet>,
    /// Last sequence of each subject, and of each paywall as `paywall:<no>`.
    sequences: HashMap<String, u64>,
    /// Settings of wallets as entries saw them.
    versions: Versions,
    /// What the entries gave back of each charge.
    refunds: BTreeMap<Place, Amount>,
    /// Events before this position are gone; the ledger's rows are not.
    kept: u64,
    next_position: u64,
    summary: Summary,
}

impl Proof<'_> {
    fn find(&mut self, rule: &'static str, at: Option<(Place, Option<String>)>, message: String) {
        self.summary.find(rule, at, message);
    }

    fn take(&mut self, (place, item): Item) -> Result<(), Error> {
        let record = match item {
            Ok(record) => record,
            Err(problem) => {
                let message = format!("row {place} cannot be read: {problem}");
                self.find("unreadable", Some((place, None)), message);
                self.next_position = place.position() + 1;
                return Ok(());
            }
        };
        match &record {
            Record::Entry(entry) => self.entry(entry)?,
            Record::Event(event) => {
                self.summary.events += 1;
                self.position(place, 1);
                let counted = event.paywall.map(|no| format!("paywall:{no}"));
                let counted = counted.unwrap_or_else(|| event.subject.clone());
                self.subject(&event.subject, (place, event.id().to_string()))?;
                self.sequence(&counted, (event.sequence, 1), (place, event.id().to_string()));
            }
            Record::Chapter(chapter) => {
                self.summary.events += chapter.len();
                self.position(place, chapter.len());
                let at = (place, place.event_id(chapter.at).to_string());
                self.subject(&format!("paywall:{}", chapter.paywall.1), at.clone())?;
                let counted = format!("paywall:{}", chapter.paywall.0);
                self.sequence(&counted, (chapter.sequence, chapter.len()), at);
                self.stories(chapter)?;
            }
            Record::Alert(_) => {}
        }
        self.deliveries(&record)
    }

    /// An event tells of something that is there. Each is looked at once.
    fn subject(&mut self, subject: &str, at: (Place, String)) -> Result<(), Error> {
        if self.subjects.contains(subject) {
            return Ok(());
        }
        if !store::verify::has_subject(self.read, self.scope, subject)? {
            self.find("invented", Some((at.0, Some(at.1))), format!("{subject} does not exist"));
        }
        self.subjects.insert(subject.to_owned());
        Ok(())
    }

    /// A chapter tells of requests that are there.
    fn stories(&mut self, chapter: &Chapter) -> Result<(), Error> {
        for (place, _, line) in chapter.numbered() {
            let key = (chapter.paywall.0, line.request);
            if self.shelf.find(self.read, self.scope, key)?.is_none() {
                let at = (place, Some(place.event_id(chapter.at).to_string()));
                self.find("invented", Some(at), format!("{} does not exist", line.request));
            }
        }
        Ok(())
    }

    /// Positions follow each other without a gap, inside what is kept.
    fn position(&mut self, place: Place, count: u64) {
        let is_gone = place.position() < self.kept;
        if !is_gone {
            self.next_position = self.next_position.max(self.kept);
        }
        if !is_gone && place.position() != self.next_position {
            let message =
                format!("position {} does not follow: a row is missing", place.position());
            self.find("gap", Some((place, None)), message);
        }
        self.next_position = place.position() + count;
    }

    fn sequence(&mut self, counted: &str, (first, count): (u64, u64), at: (Place, String)) {
        if at.0.position() < self.kept {
            return;
        }
        // What came before may be gone.
        let before = if self.kept > 1 { first - 1 } else { 0 };
        let last = self.sequences.get(counted).copied().unwrap_or(before);
        if first != last + 1 {
            let message = format!("{counted}: sequence {first} does not follow {last}");
            self.find("gap", Some((at.0, Some(at.1))), message);
        }
        self.sequences.insert(counted.to_owned(), first + count - 1);
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        self.summary.entries += 1;
        self.summary.events += entry.announce.events().len() as u64;
        self.position(entry.place, entry.announce.positions());
        let at = (entry.place, entry.id().to_string());
        let Some(account) = self.wallet(entry.wallet_no)?.map(|wallet| wallet.stored.clone())
        else {
            self.find("chain", Some((at.0, Some(at.1))), "its wallet does not exist".to_owned());
            return Ok(());
        };
        if entry.sequence > 0 {
            let subject = format!("wallet:{}", account.wallet.id);
            self.sequence(&subject, (entry.sequence, 1), at.clone());
        }
        if let Some(link) = account.wallet.paywall.as_ref().filter(|_| entry.paywall_sequence > 0) {
            let numbers = (entry.paywall_sequence, entry.announce.paywall_events());
            self.sequence(&format!("paywall:{}", link.no), numbers, at);
        }
        self.add_up(entry, &account);
        let origins = self.refund(entry)?;
        self.replay(entry, &origins);
        self.floor(entry)
    }

    /// The wallet as stored; read once, at its first entry.
    fn wallet(&mut self, no: i64) -> Result<Option<&mut Wallet>, Error> {
        if !self.wallets.contains_key(&no) {
            let Some(stored) = store::accounts::load(self.read, no)? else { return Ok(None) };
            let replay = Replay::of(&stored);
            self.wallets.insert(no, Wallet { stored, replay, broken: false });
        }
        Ok(self.wallets.get_mut(&no))
    }

    fn replay(&mut self, entry: &Entry, origins: &[Lot]) {
        let Some(wallet) = self.wallets.get_mut(&entry.wallet_no) else { return };
        if wallet.broken {
            return;
        }
        if let Err(fault) = wallet.replay.apply(entry, origins) {
            wallet.broken = true;
            let id = entry.id();
            let message = format!("wallet {}, {id}: {fault}", wallet.stored.wallet.id);
            self.find("chain", Some((entry.place, Some(id.to_string()))), message);
        }
    }

    /// No charge and no hold takes more than there is.
    fn floor(&mut self, entry: &Entry) -> Result<(), Error> {
        if let Err(fault) = check_floor(self.read, &mut self.versions, entry)? {
            let at = (entry.place, Some(entry.id().to_string()));
            self.find("floor", Some(at), fault.to_string());
        }
        Ok(())
    }

    /// Each entry takes from one ledger account what it gives to others.
    fn add_up(&mut self, entry: &Entry, account: &Account) {
        if entry.status != Status::Completed {
            return;
        }
        let wallet = self.wallets.get(&entry.wallet_no);
        let freed = wallet.map_or(Amount::ZERO, |wallet| wallet.replay.freed_by(entry));
        let currency = account.wallet.currency.upper();
        let totals = self.summary.totals.entry(currency).or_default();
        *totals.entry(entry.from.name()).or_default() -= entry.credits;
        *totals.entry(entry.to.name()).or_default() += entry.credits - entry.fee;
        *totals.entry(LedgerAccount::Fees.name()).or_default() += entry.fee;
        if !freed.is_zero() {
            *totals.entry(LedgerAccount::Held.name()).or_default() -= freed;
            *totals.entry(LedgerAccount::Available.name()).or_default() += freed;
        }
    }

    fn deliveries(&mut self, record: &Record) -> Result<(), Error> {
        if self.receivers.is_empty() {
            return Ok(());
        }
        let wallet = match record {
            Record::Entry(entry) => self.wallets.get(&entry.wallet_no),
            _ => None,
        };
        let wallet = wallet.map(|wallet| &wallet.stored.wallet);
        let mut missing = self.receivers.without_delivery(self.read, record, wallet)?;
        missing.retain(|(place, _)| place.position() >= self.kept);
        for (place, receiver) in missing {
            let message = format!("event {place} has no delivery to receiver {}", receiver.0);
            self.find("unsent", Some((place, None)), message);
        }
        Ok(())
    }

    /// Compares what the log gave with what is stored beside it.
    fn end(mut self, scope: &Scope, counters: &BTreeMap<String, u64>) -> Result<Summary, Error> {
        for no in store::verify::wallet_numbers(self.read, scope)? {
            self.wallet(no)?;
            self.end_wallet(no);
        }
        self.check_totals();
        self.check_counters(counters);
        self.check_order()?;
        self.check_refunds()?;
        self.summary.wallets = self.wallets.len() as u64;
        self.summary.last_position = self.next_position.max(self.kept) - 1;
        self.summary.balanced = self.summary.findings_total == 0;
        Ok(self.summary)
    }

    fn end_wallet(&mut self, no: i64) {
        let Some(wallet) = self.wallets.get(&no).filter(|wallet| !wallet.broken) else { return };
        let id = wallet.stored.wallet.id;
        let compared = wallet.replay.compare(&wallet.stored);
        let stored = wallet.stored.sequence;
        let before = if self.kept > 1 { stored } else { 0 };
        let last = self.sequences.get(&format!("wallet:{id}")).copied().unwrap_or(before);
        if let Err(fault) = compared {
            self.find("balance", None, format!("wallet {id}: {fault}"));
        }
        if last != stored {
            let message = format!("wallet {id}: its last event is {last}, stored is {stored}");
            self.find("gap", None, message);
        }
    }

    /// Journals sum to zero, and what lies in wallets is what the ledger put there.
    fn check_totals(&mut self) {
        let mut stored: BTreeMap<String, Amount> = BTreeMap::new();
        for wallet in self.wallets.values() {
            let currency = wallet.stored.wallet.currency.upper();
            *stored.entry(currency).or_default() += wallet.stored.credits;
        }
        for (currency, totals) in self.summary.totals.clone() {
            let sum: Amount = totals.values().copied().sum();
            let of = |account: LedgerAccount| {
                totals.get(account.name()).copied().unwrap_or(Amount::ZERO)
            };
            let inside = of(LedgerAccount::Available) + of(LedgerAccount::Held);
            let wallets = stored.get(&currency).copied().unwrap_or(Amount::ZERO);
            if !sum.is_zero() {
                self.find("journal", None, format!("{currency}: journals sum to {sum}, not to 0"));
            }
            if inside != wallets {
                let message =
                    format!("{currency}: wallets hold {wallets}, the ledger says {inside}");
                self.find("journal", None, message);
            }
        }
    }

    fn check_counters(&mut self, counters: &BTreeMap<String, u64>) {
        let last = self.next_position.max(self.kept) - 1;
        let position = counters.get("position").copied().unwrap_or(0);
        if last != position {
            let message = format!("the log ends at {last}, but {position} places were given away");
            self.find("gap", None, message);
        }
        for (counted, stored) in counters {
            let Some(last) = self.sequences.get(counted) else { continue };
            if last != stored {
                let message = format!("{counted}: the last sequence is {last}, stored is {stored}");
                self.find("gap", None, message);
            }
        }
    }

    /// Under `ordering: subject` nothing arrives before what came before it.
    fn check_order(&mut self) -> Result<(), Error> {
        let found = store::verify::out_of_order(self.read, self.scope, DELIVERIES_MAX)?;
        for (place, receiver) in found {
            let message =
                format!("event {place} reached receiver {} before an earlier one", receiver.0);
            self.find("order", Some((place, None)), message);
        }
        Ok(())
    }
}
