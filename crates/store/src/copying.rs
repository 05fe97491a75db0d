//! A whole database into a fresh one, of the same kind or the other: to move house.
//!
//! The source is read in one snapshot. Its tables go over in pieces, each in the order of its
//! primary key and in a transaction of its own, so the last key that the target has says where an
//! interrupted copy goes on. A mark in the target tells what it is a copy of; while it stands
//! nobody else opens the target. What only says how processes run is not copied, but made anew.

mod ends;
mod mark;
mod page;
mod table;

use domain::time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::account_log::AccountLog;
use crate::database::{Database, Location};
use crate::error::Error;
use crate::sql::{Connection, params_from_iter};
use mark::Mark;
pub(crate) use mark::refuse_unfinished;
use page::{Pages, digest};
use table::Table;

/// What a copy is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Copying,
    Comparing,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'t> {
    pub stage: Stage,
    pub table: &'t str,
    /// Rows of all tables so far, those of earlier attempts too.
    pub rows: u64,
    pub total: u64,
}

/// A table that both sides have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    pub table: String,
    pub rows: u64,
    /// SHA-256 of all its rows in hexadecimal, the same on both sides.
    pub checksum: String,
}

/// A copy that is under way.
pub struct Copying {
    from: Database,
    target: Database,
    /// In one snapshot for as long as this lives.
    source: Connection,
    writing: Connection,
    tables: Vec<Table>,
    mark: Mark,
    resumed: bool,
    total: u64,
}

impl Copying {
    /// Opens both sides, and marks a fresh target as the copy that it will be. Nobody may serve the
    /// source; the caller holds the locks of files.
    pub fn open(from: &Location, to: &Location, now: Timestamp) -> Result<Copying, Error> {
        let tables = table::all()?;
        let from = Database::open(from, false)?;
        settle(&from, now)?;
        let source = from.patient().connect_reader()?;
        source.begin_snapshot()?;
        let mark = Mark::of(&source)?;
        let target = Database::open_to_copy(to)?;
        let writing = target.connect_writer()?;
        if let Connection::Sqlite(file) = &writing {
            // A writer's checkpoints have a thread of their own, which does not run here.
            file.pragma_update(None, "wal_autocheckpoint", 1_000)?;
        }
        let resumed = mark.set(&writing, &tables)?;
        let mut total = 0;
        for table in &tables {
            total += table.count(&source)?;
        }
        Ok(Copying { from, target, source, writing, tables, mark, resumed, total })
    }

    /// Whether an earlier attempt had begun.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub fn target(&self) -> &Database {
        &self.target
    }

    /// Copies what the target does not have yet. Returns how many rows those were.
    pub fn copy(&self, tell: &mut dyn FnMut(Progress<'_>)) -> Result<u64, Error> {
        let mut done = 0;
        let mut before = 0;
        for table in &self.tables {
            let has = table.count(&self.writing)?;
            before += has;
            let mut pages = Pages::after(table, table.last_key(&self.writing)?);
            loop {
                let rows = pages.next(&self.source)?;
                if rows.is_empty() {
                    break;
                }
                done += rows.len() as u64;
                self.write(table, rows)?;
                tell(Progress {
                    stage: Stage::Copying,
                    table: &table.name,
                    rows: before + done,
                    total: self.total,
                });
            }
        }
        Ok(done)
    }

    /// One piece, whole or not at all.
    fn write(&self, table: &Table, rows: Vec<page::Row>) -> Result<(), Error> {
        let transaction = self.writing.unchecked_transaction()?;
        if transaction.postgres().is_some() {
            // What a crash of the server takes back is copied again; the last commit waits for all.
            transaction.execute_batch("SET LOCAL synchronous_commit = off")?;
        }
        let insert = table.insert();
        let mut bulk = transaction.bulk(&insert)?;
        for row in rows {
            bulk.push(params_from_iter(row))?;
        }
        let written = bulk.finish().and_then(|()| transaction.commit());
        written.map_err(|error| {
            if error.is_conflict() {
                Error::Open(format!("somebody else writes to {} of the target", table.name))
            } else {
                error.into()
            }
        })
    }

    /// Reads both sides, and tells the first difference as an error.
    pub fn compare(&self, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Vec<Compared>, Error> {
        let target = self.target.patient().connect_reader()?;
        target.begin_snapshot()?;
        let mut rows = 0;
        let mut compared = Vec::with_capacity(self.tables.len());
        for table in &self.tables {
            let one = self.compare_table(table, &target, &mut |of_table| {
                let rows = rows + of_table;
                let (stage, total) = (Stage::Comparing, self.total);
                tell(Progress { stage, table: &table.name, rows, total });
            })?;
            rows += one.rows;
            compared.push(one);
        }
        Ok(compared)
    }

    fn compare_table(
        &self,
        table: &Table,
        target: &Connection,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Compared, Error> {
        let (mut theirs, mut ours) = (Pages::after(table, None), Pages::after(table, None));
        let (mut of_source, mut of_target) = (Sha256::new(), Sha256::new());
        let mut rows = 0;
        loop {
            let wanted = theirs.rows_of_next();
            let (there, here) = (theirs.next(&self.source)?, ours.next_of(target, wanted)?);
            digest(&mut of_source, &there)?;
            digest(&mut of_target, &here)?;
            let checksum = of_source.clone().finalize();
            if checksum != of_target.clone().finalize() {
                return Err(table.difference(&there, &here));
            }
            if there.is_empty() {
                let checksum = table::hex(&checksum);
                return Ok(Compared { table: table.name.clone(), rows, checksum });
            }
            rows += there.len() as u64;
            tell(rows);
        }
    }

    /// Makes the target a database of its own: its next server goes on where the source's stopped.
    pub fn finish(self) -> Result<(), Error> {
        let now = self.from.read(|read| Mark::of(read.connection))?;
        if now != self.mark {
            return Err(Error::Open(
                "the source was served while it was copied: stop its servers, empty the target \
                 and copy again"
                    .into(),
            ));
        }
        ends::meet(&self.source, &self.writing, &self.tables)
    }
}

/// Brings a source to rest: nobody serves it, and its accounts stand in their rows.
fn settle(from: &Database, now: Timestamp) -> Result<(), Error> {
    if from.is_shared() {
        let live = from.read(|read| crate::nodes::count(read, now))?;
        return match live {
            0 => Ok(()),
            _ => Err(Error::Open(format!(
                "{live} nodes serve the source; stop them, or wait until the lease of one that \
                 was killed has ended"
            ))),
        };
    }
    let connection = from.connect_writer()?;
    AccountLog::open(&connection, from.overlay.clone())?;
    crate::checkpointer::passive(&connection)
}
