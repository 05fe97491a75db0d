//! Turns: how the writers of many nodes share one database.
//!
//! A writer's transaction begins with the lock on one row, so transactions follow one another as
//! they do in a process alone: positions rise in the order of commits, and what a writer has in
//! memory stays true until another one had a turn. Each turn leaves a row that tells what it
//! touched; the next writer of another node reads those rows and forgets just that. The number of
//! a turn also settles a commit whose answer was lost: its row is there, or it is not.

use std::collections::{BTreeMap, BTreeSet};

use domain::packed::{pull, pull_maybe, push, push_maybe, small};
use domain::place::EnvNo;
use domain::time::Timestamp;

use crate::desk::Desk;
use crate::error::Error;
use crate::idempotency::Sealed;
use crate::sql::{self, Connection, OptionalExtension, Session, params};
use crate::writer::Times;

/// A writer that stands still in its transaction is cut off by the server, so that a node that
/// hangs does not hold up the others; who waits for the lock waits longer than that. Both are set
/// for the transaction alone: with a pooler the next one may have another session.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s';
    SET LOCAL lock_timeout = '12s'; SELECT turn FROM writer_turn WHERE no = 1 FOR UPDATE";
/// Turns whose rows stay, for writers that were away.
const KEPT: i64 = 65_536;
const PRUNE_EVERY: i64 = 1_024;

/// A turn that is over.
pub(crate) struct Turn {
    pub(crate) no: i64,
    /// Whose it was.
    pub(crate) node: i64,
    pub(crate) told: Told,
}

/// What a turn touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) wallets: BTreeSet<i64>,
    pub(crate) envs: BTreeMap<EnvNo, EnvTold>,
    /// Idempotency keys: fingerprints and what did their work.
    pub(crate) keys: Vec<(u64, i64)>,
    /// A command ran that may have changed what nodes keep in memory beside the ledger: keys,
    /// paywalls, settings, receivers, clocks.
    pub(crate) changes: bool,
    /// Nodes that were given up.
    pub(crate) ended: Vec<i64>,
    /// Money that nodes have leased and are asked to give back.
    pub(crate) recalls: Vec<Recall>,
    /// What became of the idempotency index.
    pub(crate) sealed: Sealed,
}

/// Whose leases are called in, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    Wallet(i64),
    /// Of every wallet of the paywall.
    Paywall(i64),
}

/// An environment after a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EnvTold {
    /// Its last position and number of alerts; nodes that find none here read them again.
    pub(crate) counters: Option<(u64, u64)>,
    pub(crate) last_at: Timestamp,
}

impl Told {
    fn is_empty(&self) -> bool {
        *self == Told::default()
    }

    fn pack(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.wallets.len() * 4 + self.keys.len() * 14);
        let length = |length: usize| i128::try_from(length).unwrap_or(0);
        push(&mut bytes, i128::from(self.changes));
        push(
            &mut bytes,
            match self.sealed {
                Sealed::Nothing => 0,
                Sealed::Piece => 1,
                Sealed::Whole => 2,
            },
        );
        push(&mut bytes, length(self.ended.len()));
        for node in &self.ended {
            push(&mut bytes, i128::from(*node));
        }
        push(&mut bytes, length(self.recalls.len()));
        for recall in &self.recalls {
            let (kind, no) = match recall {
                Recall::Wallet(no) => (0, no),
                Recall::Paywall(no) => (1, no),
            };
            push(&mut bytes, kind);
            push(&mut bytes, i128::from(*no));
        }
        push(&mut bytes, length(self.envs.len()));
        for (env, told) in &self.envs {
            push(&mut bytes, i128::from(env.get()));
            push(&mut bytes, i128::from(told.last_at.millis()));
            push_maybe(&mut bytes, told.counters, |bytes, (position, alerts)| {
                push(bytes, i128::from(position));
                push(bytes, i128::from(alerts));
            });
        }
        push(&mut bytes, length(self.wallets.len()));
        for wallet in &self.wallets {
            push(&mut bytes, i128::from(*wallet));
        }
        for (print, code) in &self.keys {
            push(&mut bytes, i128::from(*print));
            push(&mut bytes, i128::from(*code));
        }
        bytes
    }

    fn unpack(mut rest: &[u8]) -> Option<Told> {
        let rest = &mut rest;
        let changes = pull(rest)? != 0;
        let sealed = match pull(rest)? {
            0 => Sealed::Nothing,
            1 => Sealed::Piece,
            _ => Sealed::Whole,
        };
        let mut told = Told { changes, sealed, ..Told::default() };
        for _ in 0..pull(rest)? {
            told.ended.push(small(pull(rest)?)?);
        }
        for _ in 0..pull(rest)? {
            let (kind, no) = (pull(rest)?, small(pull(rest)?)?);
            told.recalls.push(if kind == 0 { Recall::Wallet(no) } else { Recall::Paywall(no) });
        }
        for _ in 0..pull(rest)? {
            let env = EnvNo::new(u16::try_from(pull(rest)?).ok()?);
            let last_at = Timestamp::from_millis(small(pull(rest)?)?);
            let counters = pull_maybe(rest, |rest| {
                Some((u64::try_from(pull(rest)?).ok()?, u64::try_from(pull(rest)?).ok()?))
            })?;
            told.envs.insert(env, EnvTold { counters, last_at });
        }
        for _ in 0..pull(rest)? {
            told.wallets.insert(small(pull(rest)?)?);
        }
        while !rest.is_empty() {
            told.keys.push((u64::try_from(pull(rest)?).ok()?, small(pull(rest)?)?));
        }
        Some(told)
    }
}

/// One node's place in the order of turns.
pub(crate) struct Turns {
    /// This run of this node, different from every other.
    node: i64,
    /// The last turn that the memory knows.
    seen: i64,
    /// Another node took over what this one had.
    is_ended: bool,
}

impl Turns {
    /// Takes the first turn, inside which the memory is loaded; `end` ends it.
    pub(crate) fn open(session: &Session, node: i64) -> Result<Turns, Error> {
        Ok(Turns { node, seen: take(session)?, is_ended: false })
    }

    /// The last turn that this node knows.
    pub(crate) fn seen(&self) -> i64 {
        self.seen
    }

    /// Waits for the turn and begins its transaction; brings the memory up to those between.
    pub(crate) fn begin(
        &mut self,
        connection: &Connection,
        session: &Session,
        (desk, times): (&mut Desk, &dyn Times),
    ) -> Result<(), Error> {
        let last = take(session)?;
        if last != self.seen {
            let missed = since(connection, self.seen)?;
            self.is_ended |= missed.iter().any(|turn| turn.told.ended.contains(&self.node));
            if missed.first().is_some_and(|turn| turn.no == self.seen + 1) {
                desk.learn(missed.iter().map(|turn| &turn.told));
                let sealed = |what| missed.iter().any(|turn| turn.told.sealed == what);
                if sealed(Sealed::Whole) {
                    desk.index.read_on(connection)?;
                } else if sealed(Sealed::Piece) {
                    desk.index.wait();
                }
            } else {
                desk.learn_all(connection)?;
            }
            if missed.iter().any(|turn| turn.told.changes) || missed.is_empty() {
                times.reload(clocks(connection)?);
            }
            self.seen = last;
        }
        if self.is_ended {
            return Err(Error::Ended);
        }
        Ok(())
    }

    /// Commits, and leaves the row of this turn where it changed anything.
    pub(crate) fn commit(
        &mut self,
        connection: &Connection,
        session: &Session,
        told: &Told,
    ) -> Result<(), Error> {
        if told.is_empty() {
            return Ok(session.batch("COMMIT")?);
        }
        let turn = self.seen + 1;
        connection.execute_later(
            "INSERT INTO turns (turn, node, told) VALUES (?1, ?2, ?3)",
            params![turn, self.node, told.pack()],
        )?;
        connection.execute_later("UPDATE writer_turn SET turn = ?1 WHERE no = 1", [turn])?;
        if turn % PRUNE_EVERY == 0 {
            connection.execute_later("DELETE FROM turns WHERE turn <= ?1", [turn - KEPT])?;
        }
        session.batch("COMMIT")?;
        self.seen = turn;
        Ok(())
    }

    /// Whether the turn whose commit was not answered is in the database. The lock makes the
    /// answer final: a transaction that still ends elsewhere holds it.
    pub(crate) fn is_committed(
        &mut self,
        connection: &Connection,
        session: &Session,
    ) -> Result<bool, Error> {
        take(session)?;
        let turn = self.seen + 1;
        let of: sql::Result<Option<i64>> = connection
            .query_row("SELECT node FROM turns WHERE turn = ?1", [turn], |row| row.get(0))
            .optional();
        let of = of?;
        session.batch("COMMIT")?;
        let is_mine = of == Some(self.node);
        if is_mine {
            self.seen = turn;
        }
        Ok(is_mine)
    }
}

/// Begins a transaction with the lock, and returns the number of the last turn.
fn take(session: &Session) -> Result<i64, Error> {
    let numbers = session.batch_numbers(BEGIN)?;
    Ok(numbers.first().copied().unwrap_or(0))
}

/// The turns after `seen`, in order.
pub(crate) fn since(connection: &Connection, seen: i64) -> Result<Vec<Turn>, Error> {
    let mut select = connection
        .prepare_cached("SELECT turn, node, told FROM turns WHERE turn > ?1 ORDER BY turn")?;
    let mut rows = select.query([seen])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let no: i64 = row.get(0)?;
        let told = Told::unpack(row.get_ref(2)?.as_blob()?);
        let told = told.ok_or_else(|| Error::corrupt("turns", no, "broken"))?;
        found.push(Turn { no, node: row.get(1)?, told });
    }
    Ok(found)
}

/// Every environment's clock, as it is stored.
pub(crate) fn clocks(connection: &Connection) -> Result<Vec<(EnvNo, Option<String>)>, Error> {
    let mut select = connection.prepare_cached("SELECT no, clock FROM environments")?;
    let rows = select.query_map([], |row| Ok((EnvNo::new(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<sql::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_turn_told_comes_back(
            wallets in prop::collection::btree_set(any::<i64>(), 0..9),
            envs in prop::collection::btree_map(
                any::<u16>(), prop::option::of((any::<u64>(), any::<u64>())), 0..3),
            keys in prop::collection::vec((any::<u64>(), any::<i64>()), 0..9),
            changes in any::<bool>(),
            ended in prop::collection::vec(any::<i64>(), 0..2),
            sealed in prop::sample::select(vec![Sealed::Nothing, Sealed::Piece, Sealed::Whole]),
            recalls in prop::collection::vec(any::<(bool, i64)>(), 0..3),
        ) {
            let recall = |(of_paywall, no)| {
                if of_paywall { Recall::Paywall(no) } else { Recall::Wallet(no) }
            };
            let recalls = recalls.into_iter().map(recall).collect();
            let last_at = Timestamp::from_millis(7);
            let envs = envs.into_iter().map(|(env, counters)| {
                (EnvNo::new(env), EnvTold { counters, last_at })
            });
            let envs = envs.collect();
            let told = Told { wallets, envs, keys, changes, ended, recalls, sealed };
            prop_assert_eq!(Told::unpack(&told.pack()), Some(told));
        }
    }
}
