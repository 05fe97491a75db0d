//! "Was this key used before?", answered without a random index on the write path.
//!
//! A key's fingerprint leads to the row that did its work: an entry, or a reply. The newest
//! generation is a map in memory; older ones are sorted runs in a table behind a filter in memory,
//! written in small pieces by later batches. A fingerprint only points: the key's text decides.
//!
//! Nodes of one server have the same newest generation, because each learns the others' keys. The
//! first that finds it full seals it for all; the others forget what it covers when it is whole.

use std::collections::{BTreeMap, HashMap};

use crate::sql::{Connection, params};
use domain::place::{EnvNo, Place};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Keys that a generation holds before it is sealed.
pub const GENERATION_KEYS_MAX: usize = 1 << 20;
/// Rows of a sealing generation that one batch writes.
const SEALED_ROWS_PER_BATCH: usize = 4_096;
/// On a server, where they travel in one statement and a piece is a turn.
const SEALED_ROWS_PER_TURN: usize = 16_384;
const FILTER_BITS_PER_KEY: u64 = 10;
const FILTER_HASHES: u64 = 7;

/// The row that did the work of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worked {
    Entry(Place),
    Reply(i64),
}

impl Worked {
    fn code(self) -> i64 {
        match self {
            Worked::Entry(place) => place.raw(),
            Worked::Reply(no) => -no,
        }
    }

    fn from_code(code: i64) -> Worked {
        if code < 0 { Worked::Reply(-code) } else { Worked::Entry(Place::from_raw(code)) }
    }
}

/// 64 bits of the SHA-256 of environment, route and key.
pub fn fingerprint(env: EnvNo, route: &str, key: &str) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(env.get().to_be_bytes());
    hasher.update(route.as_bytes());
    hasher.update([0]);
    hasher.update(key.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Up to where the sealed generations know the log: last place an environment, last reply.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Marks {
    pub(crate) places: BTreeMap<u16, i64>,
    pub(crate) reply: i64,
}

impl Marks {
    fn cover(&self, worked: Worked) -> bool {
        match worked {
            Worked::Entry(place) => {
                let last = self.places.get(&place.env().get());
                last.is_some_and(|last| place.raw() <= *last)
            }
            Worked::Reply(no) => no <= self.reply,
        }
    }
}

struct Filter {
    generation: i64,
    bits: Vec<u8>,
}

impl Filter {
    fn of(generation: i64, rows: &[(u64, i64)]) -> Filter {
        let bits = (rows.len() as u64 * FILTER_BITS_PER_KEY).div_ceil(8).max(8);
        let mut filter = Filter { generation, bits: vec![0; usize::try_from(bits).unwrap_or(8)] };
        for (print, _) in rows {
            for (index, bit) in positions(*print, filter.bits.len()) {
                filter.bits[index] |= bit;
            }
        }
        filter
    }

    fn may_hold(&self, print: u64) -> bool {
        positions(print, self.bits.len()).all(|(index, bit)| self.bits[index] & bit != 0)
    }
}

fn positions(print: u64, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let step = domain::id::splitmix(print) | 1;
    let total = bytes as u64 * 8;
    (0..FILTER_HASHES).map(move |hash| {
        let bit = print.wrapping_add(hash.wrapping_mul(step)) % total;
        (usize::try_from(bit / 8).unwrap_or(0), 1 << (bit % 8))
    })
}

/// A full generation on its way into the table.
struct Sealing {
    generation: i64,
    rows: Vec<(u64, i64)>,
    written: usize,
    marks: Marks,
}

pub(crate) struct Index {
    live: HashMap<u64, i64>,
    /// Different keys with one fingerprint: nearly always empty.
    twins: Vec<(u64, i64)>,
    sealing: Option<Sealing>,
    sealed: Vec<Filter>,
    next_generation: i64,
    /// What the open transaction added, to take back when it fails.
    added: Vec<(u64, i64)>,
    /// Keys that make the newest generation full.
    full_at: usize,
}

impl Default for Index {
    fn default() -> Index {
        Index {
            live: HashMap::new(),
            twins: Vec::new(),
            sealing: None,
            sealed: Vec::new(),
            next_generation: 0,
            added: Vec::new(),
            full_at: GENERATION_KEYS_MAX,
        }
    }
}

impl Index {
    /// Loads the filters, and the keys of the log since the newest of them.
    pub(crate) fn load(connection: &Connection) -> Result<Index, Error> {
        let mut index = Index::default();
        let marks = index.load_sealed(connection)?.unwrap_or_default();
        if connection.postgres().is_none() {
            // A generation that was not sealed to its end is built again from the log. On a server
            // another node may be at it; what a lost one wrote is true, and found twice at worst.
            connection.execute(
                "DELETE FROM idempotency_runs WHERE generation >= ?1",
                [index.next_generation],
            )?;
        }
        index.load_live(connection, &marks)?;
        index.commit();
        Ok(index)
    }

    /// Loads the filters that are new; returns up to where they know the log.
    fn load_sealed(&mut self, connection: &Connection) -> Result<Option<Marks>, Error> {
        let mut marks = None;
        let mut select = connection.prepare_cached(
            "SELECT generation, bits, marks FROM idempotency_filters
             WHERE generation >= ?1 ORDER BY generation",
        )?;
        let mut rows = select.query([self.next_generation])?;
        while let Some(row) = rows.next()? {
            let generation = row.get(0)?;
            let known = serde_json::from_str(row.get_ref(2)?.as_str()?)
                .map_err(|problem| Error::corrupt("idempotency_filters", generation, problem))?;
            marks = Some(known);
            self.sealed.push(Filter { generation, bits: row.get(1)? });
            self.next_generation = generation + 1;
        }
        Ok(marks)
    }

    /// Another node has sealed a generation: what it covers is forgotten here.
    pub(crate) fn read_on(&mut self, connection: &Connection) -> Result<(), Error> {
        let Some(marks) = self.load_sealed(connection)? else { return Ok(()) };
        // Whoever was slower gives up; its rows are the same, and its newest ones stay here.
        for (print, code) in self.sealing.take().map(|sealing| sealing.rows).unwrap_or_default() {
            self.insert(print, Worked::from_code(code));
        }
        self.commit();
        self.live.retain(|_, code| !marks.cover(Worked::from_code(*code)));
        self.twins.retain(|(_, code)| !marks.cover(Worked::from_code(*code)));
        self.full_at = GENERATION_KEYS_MAX;
        Ok(())
    }

    /// Another node is sealing: this one begins only if that is not done for long.
    pub(crate) fn wait(&mut self) {
        if self.sealing.is_none() {
            self.full_at = self.full_at.max(self.live.len() + GENERATION_KEYS_MAX / 2);
        }
    }

    fn load_live(&mut self, connection: &Connection, marks: &Marks) -> Result<(), Error> {
        let mut envs = connection.prepare_cached("SELECT no FROM environments")?;
        let envs: Vec<u16> = envs.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for env in envs {
            let (first, last) = EnvNo::new(env).range();
            let from = marks.places.get(&env).copied().unwrap_or(first);
            let mut select = connection.prepare_cached(
                "SELECT place, key_route, key FROM entries
                 WHERE place > ?1 AND place <= ?2 AND key IS NOT NULL",
            )?;
            let mut rows = select.query([from, last])?;
            while let Some(row) = rows.next()? {
                let (route, key) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
                let print = fingerprint(EnvNo::new(env), route, key);
                self.insert(print, Worked::Entry(Place::from_raw(row.get(0)?)));
            }
        }
        let mut select =
            connection.prepare_cached("SELECT no, env, route, key FROM replies WHERE no > ?1")?;
        let mut rows = select.query([marks.reply])?;
        while let Some(row) = rows.next()? {
            let (route, key) = (row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?);
            let print = fingerprint(EnvNo::new(row.get(1)?), route, key);
            self.insert(print, Worked::Reply(row.get(0)?));
        }
        Ok(())
    }

    pub(crate) fn insert(&mut self, print: u64, worked: Worked) {
        let code = worked.code();
        self.added.push((print, code));
        if let Some(other) = self.live.insert(print, code).filter(|other| *other != code) {
            self.twins.push((print, other));
        }
    }

    /// What the open transaction added: fingerprints, and what did their work.
    pub(crate) fn added(&self) -> &[(u64, i64)] {
        &self.added
    }

    /// Keys that are committed already, by other nodes.
    pub(crate) fn learn(&mut self, keys: &[(u64, i64)]) {
        for (print, code) in keys {
            self.insert(*print, Worked::from_code(*code));
        }
        self.commit();
    }

    /// The rows that may have done the work of this fingerprint, few and mostly none.
    pub(crate) fn candidates(
        &self,
        connection: &Connection,
        print: u64,
    ) -> Result<Vec<Worked>, Error> {
        let mut found = Vec::new();
        found.extend(self.live.get(&print).copied());
        let twins = self.twins.iter().filter(|(twin, _)| *twin == print);
        found.extend(twins.map(|(_, code)| *code));
        if let Some(sealing) = &self.sealing {
            let from = sealing.rows.partition_point(|(other, _)| *other < print);
            let same = sealing.rows[from..].iter().take_while(|(other, _)| *other == print);
            found.extend(same.map(|(_, code)| *code));
        }
        for filter in self.sealed.iter().filter(|filter| filter.may_hold(print)) {
            let mut select = connection.prepare_cached(
                "SELECT row FROM idempotency_runs WHERE generation = ?1 AND fingerprint = ?2",
            )?;
            let rows =
                select.query_map([filter.generation, print.cast_signed()], |row| row.get(0))?;
            for code in rows {
                found.push(code?);
            }
        }
        Ok(found.into_iter().map(Worked::from_code).collect())
    }

    /// Number of keys that the open transaction added so far.
    pub(crate) fn savepoint(&self) -> usize {
        self.added.len()
    }

    /// Takes back what was added since `savepoint`.
    pub(crate) fn rollback(&mut self, savepoint: usize) {
        for (print, code) in self.added.split_off(savepoint) {
            if self.live.get(&print) == Some(&code) {
                self.live.remove(&print);
                if let Some(twin) = self.twins.iter().position(|(other, _)| *other == print) {
                    let (print, code) = self.twins.swap_remove(twin);
                    self.live.insert(print, code);
                }
            } else {
                self.twins.retain(|twin| *twin != (print, code));
            }
        }
    }

    pub(crate) fn commit(&mut self) {
        self.added.clear();
    }

    /// Whether the newest generation is full.
    pub(crate) fn is_full(&self) -> bool {
        self.live.len() >= self.full_at && self.sealing.is_none()
    }

    pub(crate) fn is_sealing(&self) -> bool {
        self.sealing.is_some()
    }

    /// Closes the newest generation; called between transactions.
    pub(crate) fn seal(&mut self, marks: Marks) {
        let mut rows: Vec<(u64, i64)> = std::mem::take(&mut self.live).into_iter().collect();
        rows.append(&mut self.twins);
        rows.sort_unstable();
        let generation = self.next_generation;
        self.next_generation += 1;
        self.sealing = Some(Sealing { generation, rows, written: 0, marks });
    }

    /// Writes a piece of the sealing generation in the open transaction, with the filter after the
    /// last one. Returns how far it came; nothing counts before `piece_written`.
    pub(crate) fn write_piece(&self, connection: &Connection) -> Result<usize, Error> {
        let Some(sealing) = &self.sealing else { return Ok(0) };
        let rows = match connection.postgres() {
            None => SEALED_ROWS_PER_BATCH,
            Some(_) => SEALED_ROWS_PER_TURN,
        };
        let end = (sealing.written + rows).min(sealing.rows.len());
        let mut insert = connection.bulk(
            "INSERT INTO idempotency_runs (generation, fingerprint, row)
             VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?;
        for (print, code) in &sealing.rows[sealing.written..end] {
            insert.push(params![sealing.generation, print.cast_signed(), *code])?;
        }
        insert.finish()?;
        if end == sealing.rows.len() {
            let filter = Filter::of(sealing.generation, &sealing.rows);
            let marks = serde_json::to_string(&sealing.marks).unwrap_or_default();
            connection.execute(
                "INSERT INTO idempotency_filters (generation, bits, marks) VALUES (?1, ?2, ?3)
                 ON CONFLICT (generation) DO UPDATE SET bits = excluded.bits,
                    marks = excluded.marks",
                params![filter.generation, filter.bits, marks],
            )?;
        }
        Ok(end)
    }

    /// The piece up to `end` is committed.
    pub(crate) fn piece_written(&mut self, end: usize) {
        if let Some(sealing) = &mut self.sealing {
            sealing.written = end;
        }
        if let Some(sealing) = self.sealing.take_if(|sealing| end == sealing.rows.len()) {
            self.sealed.push(Filter::of(sealing.generation, &sealing.rows));
            self.full_at = GENERATION_KEYS_MAX;
        }
    }

    /// What the piece up to `end` is to the other nodes.
    pub(crate) fn sealed_up_to(&self, end: usize) -> Sealed {
        match &self.sealing {
            Some(sealing) if end == sealing.rows.len() => Sealed::Whole,
            _ => Sealed::Piece,
        }
    }
}

/// What a turn did to a generation that is being sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sealed {
    #[default]
    Nothing,
    Piece,
    /// Its filter is there.
    Whole,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_never_forgets_a_key_and_rarely_invents_one() {
        let rows: Vec<(u64, i64)> = (0..10_000_u64).map(|n| (domain::id::splitmix(n), 1)).collect();
        let filter = Filter::of(1, &rows);
        assert!(rows.iter().all(|(print, _)| filter.may_hold(*print)));
        let others = (10_000..110_000_u64).map(domain::id::splitmix);
        let invented = others.filter(|print| filter.may_hold(*print)).count();
        assert!(invented < 2_000, "{invented} of 100000");
    }

    #[test]
    fn rolling_back_leaves_what_was_there_before() {
        let mut index = Index::default();
        index.insert(7, Worked::Reply(1));
        index.commit();
        let savepoint = index.savepoint();
        index.insert(7, Worked::Reply(2));
        index.insert(8, Worked::Reply(3));
        index.rollback(savepoint);
        assert_eq!(index.live, HashMap::from([(7, -1)]));
        assert!(index.twins.is_empty());
    }
}
