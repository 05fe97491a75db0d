//! What batches did to accounts, appended; wallets' rows follow later.
//!
//! A batch that writes each wallet's row touches a page a wallet, spread over the file. Instead it
//! appends one record with the new states of all its accounts. When the log has grown, its
//! wallets' rows are written in the order of the file, a piece after each batch, and its head is
//! deleted. The newest state of a wallet is the last one in the log, or its row when the log has
//! none; readers find it in memory (`Overlay`), exactly as their snapshot has it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::sql::{Connection, params};
use parking_lot::{Mutex, RwLock};

use crate::accounts::{self, State};
use crate::database::Read;
use crate::error::Error;

/// The log's bytes from which rows are brought up to it.
const FOLD_AT_BYTES: usize = 8 << 20;
/// By so many more bytes of the log the rows have been brought up.
const FOLD_WITHIN_BYTES: usize = 4 << 20;
/// Rows that follow a batch at least, while rows are brought up.
const FOLD_ROWS_MIN: usize = 64;

/// First and last record that a snapshot has; none is (MAX, 0).
pub(crate) type Span = (i64, i64);
type States = HashMap<i64, Arc<State>>;

/// The newest states of the accounts that stand in the log.
pub(crate) struct Overlay {
    of_rows: bool,
    known: RwLock<Known>,
    /// A snapshot's log, read whole: for snapshots that memory does not reach.
    scanned: Mutex<Option<(Span, Arc<States>)>>,
}

struct Known {
    accounts: HashMap<i64, Versions>,
    /// Accounts whose records are all at or before this one are not known any more.
    swept: i64,
}

/// The last two states of an account, each with its record's number.
#[derive(Default)]
struct Versions {
    newest: Option<(i64, Arc<State>)>,
    before: Option<(i64, Arc<State>)>,
}

/// Where a snapshot finds an account.
enum Found {
    Here(Arc<State>),
    InItsRow,
    OnlyInTheLog,
}

impl Default for Overlay {
    /// Knows nothing: a process without the writer reads the log itself.
    fn default() -> Overlay {
        let known = Known { accounts: HashMap::new(), swept: i64::MAX };
        Overlay { of_rows: false, known: RwLock::new(known), scanned: Mutex::new(None) }
    }
}

impl Overlay {
    /// Rows are always written with the batch, and nothing stands in a log.
    pub(crate) fn of_rows() -> Overlay {
        Overlay { of_rows: true, ..Overlay::default() }
    }

    /// The log was folded whole; from here on every record passes through this memory.
    fn begin(&self) {
        *self.known.write() = Known { accounts: HashMap::new(), swept: 0 };
    }

    fn push(&self, record: i64, states: Vec<(i64, State)>) {
        let mut known = self.known.write();
        for (wallet, state) in states {
            let versions = known.accounts.entry(wallet).or_default();
            versions.before = versions.newest.replace((record, Arc::new(state)));
        }
    }

    /// Takes back records from `first` on: their transaction was rolled back.
    fn truncate(&self, first: i64) {
        for versions in self.known.write().accounts.values_mut() {
            while versions.newest.as_ref().is_some_and(|(record, _)| *record >= first) {
                versions.newest = versions.before.take();
            }
        }
    }

    /// Records up to `upto` are deleted, and rows hold what they held.
    fn sweep(&self, upto: i64) {
        let mut known = self.known.write();
        known.swept = upto;
        known.accounts.retain(|_, versions| {
            versions.newest.as_ref().is_some_and(|(record, _)| *record > upto)
        });
    }

    fn wallets(&self) -> Vec<i64> {
        let mut wallets: Vec<i64> = self.known.read().accounts.keys().copied().collect();
        wallets.sort_unstable();
        wallets
    }

    fn find(&self, wallet: i64, (first, last): Span) -> Found {
        let known = self.known.read();
        let Some(versions) = known.accounts.get(&wallet) else {
            return if first > known.swept { Found::InItsRow } else { Found::OnlyInTheLog };
        };
        let versions = versions.newest.iter().chain(&versions.before);
        versions
            .filter(|(record, _)| *record <= last)
            .map(|(_, state)| Found::Here(state.clone()))
            .next()
            .unwrap_or(Found::OnlyInTheLog)
    }

    fn scan(&self, connection: &Connection, span: Span) -> Result<Arc<States>, Error> {
        let mut scanned = self.scanned.lock();
        if let Some((of, states)) = &*scanned
            && *of == span
        {
            return Ok(states.clone());
        }
        let states = Arc::new(read_all(connection)?);
        *scanned = Some((span, states.clone()));
        Ok(states)
    }
}

/// The state of `wallet` in this snapshot, or `None` where its row holds it.
pub(crate) fn newest(read: Read<'_>, wallet: i64) -> Result<Option<Arc<State>>, Error> {
    if read.overlay.of_rows {
        return Ok(None);
    }
    let span = span(read.connection)?;
    Ok(match read.overlay.find(wallet, span) {
        Found::Here(state) => Some(state),
        Found::InItsRow => None,
        Found::OnlyInTheLog => read.overlay.scan(read.connection, span)?.get(&wallet).cloned(),
    })
}

fn span(connection: &Connection) -> Result<Span, Error> {
    let mut select = connection.prepare_cached(
        "SELECT (SELECT MIN(record) FROM account_log), (SELECT MAX(record) FROM account_log)",
    )?;
    let (first, last): (Option<i64>, Option<i64>) =
        select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((first.unwrap_or(i64::MAX), last.unwrap_or(0)))
}

fn read_all(connection: &Connection) -> Result<States, Error> {
    let mut states = HashMap::new();
    let mut select =
        connection.prepare_cached("SELECT record, states FROM account_log ORDER BY record")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let mut rest = row.get_ref(1)?.as_blob()?;
        while !rest.is_empty() {
            let (wallet, state) = State::unpack(&mut rest)
                .ok_or_else(|| Error::corrupt("account_log", row.get(0).unwrap_or(0), "broken"))?;
            states.insert(wallet, Arc::new(state));
        }
    }
    Ok(states)
}

/// The writer's end of the log.
pub(crate) struct AccountLog {
    overlay: Arc<Overlay>,
    next: i64,
    /// Bytes since rows were last brought up.
    bytes: usize,
    /// Bytes of the batch that was just committed or is at work.
    batch_bytes: usize,
    folding: Option<Folding>,
    /// How far the open transaction came with it.
    written: Option<usize>,
}

/// Rows on their way.
struct Folding {
    upto: i64,
    wallets: Vec<i64>,
    done: usize,
}

impl AccountLog {
    /// Brings every row up to what an earlier run left in the log, and empties it.
    pub(crate) fn open(
        connection: &Connection,
        overlay: Arc<Overlay>,
    ) -> Result<AccountLog, Error> {
        if overlay.of_rows {
            return Ok(AccountLog::at(overlay, 1));
        }
        let (_, last) = span(connection)?;
        let transaction = connection.unchecked_transaction()?;
        let states: BTreeMap<i64, Arc<State>> = read_all(connection)?.into_iter().collect();
        for (wallet, state) in states {
            accounts::write_row(connection, wallet, &state)?;
        }
        connection.execute("DELETE FROM account_log", [])?;
        transaction.commit()?;
        overlay.begin();
        Ok(AccountLog::at(overlay, last + 1))
    }

    fn at(overlay: Arc<Overlay>, next: i64) -> AccountLog {
        AccountLog { overlay, next, bytes: 0, batch_bytes: 0, folding: None, written: None }
    }

    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The number that the next record will have.
    pub(crate) fn mark(&self) -> i64 {
        self.next
    }

    /// Appends the new states of one flush.
    pub(crate) fn append(
        &mut self,
        connection: &Connection,
        states: Vec<(i64, State)>,
    ) -> Result<(), Error> {
        if states.is_empty() {
            return Ok(());
        }
        if self.overlay.of_rows {
            return accounts::write_rows(connection, &states);
        }
        let mut bytes = Vec::with_capacity(states.len() * 128);
        for (wallet, state) in &states {
            state.pack(*wallet, &mut bytes);
        }
        let mut insert = connection
            .prepare_cached("INSERT INTO account_log (record, states) VALUES (?1, ?2)")?;
        insert.execute(params![self.next, bytes])?;
        self.overlay.push(self.next, states);
        self.next += 1;
        self.batch_bytes += bytes.len();
        Ok(())
    }

    /// Takes back records from `mark` on: a job was. Their numbers are not used again.
    pub(crate) fn rollback(&mut self, mark: i64) {
        self.overlay.truncate(mark);
    }

    /// As `rollback`, for a whole transaction.
    pub(crate) fn rollback_all(&mut self, mark: i64) {
        self.overlay.truncate(mark);
        self.written = None;
    }

    /// Brings some rows up to the log, in a transaction between those of the batches.
    pub(crate) fn fold_piece(&mut self, connection: &Connection) -> Result<(), Error> {
        let grown = std::mem::take(&mut self.batch_bytes);
        self.bytes += grown;
        if self.folding.is_none() && self.bytes >= FOLD_AT_BYTES {
            self.begin_fold();
        }
        let Some(folding) = &self.folding else { return Ok(()) };
        let share = folding.wallets.len().saturating_mul(grown) / FOLD_WITHIN_BYTES;
        let transaction = connection.unchecked_transaction()?;
        self.fold(connection, FOLD_ROWS_MIN + share)?;
        transaction.commit()?;
        self.commit();
        Ok(())
    }

    /// Brings every row up to the log in the open transaction, for statements that look at the rows
    /// themselves.
    pub(crate) fn fold_all(&mut self, connection: &Connection) -> Result<(), Error> {
        if self.overlay.of_rows {
            return Ok(());
        }
        self.begin_fold();
        self.fold(connection, usize::MAX)
    }

    fn begin_fold(&mut self) {
        let wallets = self.overlay.wallets();
        self.folding = Some(Folding { upto: self.next - 1, wallets, done: 0 });
        self.bytes = 0;
    }

    /// Writes the next rows, and after the last of them deletes the head of the log.
    fn fold(&mut self, connection: &Connection, rows: usize) -> Result<(), Error> {
        let Some(folding) = &self.folding else { return Ok(()) };
        let end = folding.done.saturating_add(rows).min(folding.wallets.len());
        let read = Read { connection, overlay: &self.overlay };
        for &wallet in &folding.wallets[folding.done..end] {
            if let Some(state) = newest(read, wallet)? {
                accounts::write_row(connection, wallet, &state)?;
            }
        }
        if end == folding.wallets.len() {
            let mut delete =
                connection.prepare_cached("DELETE FROM account_log WHERE record <= ?1")?;
            delete.execute([folding.upto])?;
        }
        self.written = Some(end);
        Ok(())
    }

    /// The transaction in which rows were written is committed.
    pub(crate) fn commit(&mut self) {
        let Some(end) = self.written.take() else { return };
        let Some(mut folding) = self.folding.take() else { return };
        folding.done = end;
        if end == folding.wallets.len() {
            self.overlay.sweep(folding.upto);
        } else {
            self.folding = Some(folding);
        }
    }
}
