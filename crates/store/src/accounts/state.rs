//! What a wallet's row holds, and the same in the bytes of the account log.

use crate::sql::{Bulk, Connection, OptionalExtension, params};
use domain::amount::Amount;
use domain::ledger::Account;
use domain::packed::{
    pull, pull_maybe, pull_slice, pull_text, push, push_maybe, push_slice, push_text, small,
};
use domain::place::Place;

use super::packed;
use super::{LOTS_IN_ROW_MAX, write_machine, write_topups};
use crate::error::Error;
use crate::value::{Money, signed, unsigned};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(super) credits: Amount,
    pub(super) held: Amount,
    pub(super) sequence: u64,
    pub(super) entries: u64,
    pub(super) last: Option<Place>,
    /// Both alert machines, a byte each.
    pub(super) machines: i64,
    pub(super) percent_base: Option<Amount>,
    pub(super) topups: Option<String>,
    pub(super) stopped: bool,
    /// The open lots, packed; `None` when they have spilled into a table.
    pub(super) lots: Option<Vec<u8>>,
}

impl State {
    pub(crate) fn of(account: &Account) -> State {
        let fits = account.lots.len() <= LOTS_IN_ROW_MAX;
        State {
            credits: account.credits,
            held: account.held,
            sequence: account.sequence,
            entries: account.entries,
            last: account.last,
            machines: (write_machine(account.credit_machine) << 8)
                | write_machine(account.ongoing_machine),
            percent_base: account.percent_base,
            topups: write_topups(&account.topups),
            stopped: account.stopped,
            lots: fits.then(|| packed::write(&account.lots)),
        }
    }

    /// Appends the wallet's number and this state. What may be absent is preceded by one byte.
    pub(crate) fn pack(&self, wallet: i64, bytes: &mut Vec<u8>) {
        for number in [
            i128::from(wallet),
            self.credits.nanos(),
            self.held.nanos(),
            i128::from(self.sequence),
            i128::from(self.entries),
            i128::from(self.machines),
            i128::from(self.stopped),
        ] {
            push(bytes, number);
        }
        push_maybe(bytes, self.last.map(|place| i128::from(place.raw())), push);
        push_maybe(bytes, self.percent_base.map(Amount::nanos), push);
        push_maybe(bytes, self.topups.as_deref(), push_text);
        push_maybe(bytes, self.lots.as_deref(), push_slice);
    }

    /// The next wallet and its state; `None` where the bytes are not what `pack` writes.
    pub(crate) fn unpack(rest: &mut &[u8]) -> Option<(i64, State)> {
        let wallet = small(pull(rest)?)?;
        let state = State {
            credits: Amount::from_nanos(pull(rest)?),
            held: Amount::from_nanos(pull(rest)?),
            sequence: u64::try_from(pull(rest)?).ok()?,
            entries: u64::try_from(pull(rest)?).ok()?,
            machines: small(pull(rest)?)?,
            stopped: pull(rest)? != 0,
            last: pull_maybe(rest, |rest| small(pull(rest)?))?.map(Place::from_raw),
            percent_base: pull_maybe(rest, pull)?.map(Amount::from_nanos),
            topups: pull_maybe(rest, pull_text)?,
            lots: pull_maybe(rest, pull_slice)?.map(<[u8]>::to_vec),
        };
        Some((wallet, state))
    }
}

pub(crate) fn read_row(connection: &Connection, wallet: i64) -> Result<Option<State>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT credits, held, sequence, entries, last, machines, percent_base, topups, stopped,
            lots FROM balances WHERE wallet = ?1",
    )?;
    let found = select.query_row([wallet], |row| {
        Ok(State {
            credits: row.get::<Money>(0)?.0,
            held: row.get::<Money>(1)?.0,
            sequence: unsigned(row.get(2)?),
            entries: unsigned(row.get(3)?),
            last: row.get::<Option<i64>>(4)?.map(Place::from_raw),
            machines: row.get(5)?,
            percent_base: row.get::<Option<Money>>(6)?.map(|money| money.0),
            topups: row.get(7)?,
            stopped: row.get(8)?,
            lots: row.get(9)?,
        })
    });
    Ok(found.optional()?)
}

const UPSERT: &str = "INSERT INTO balances (wallet, credits, held, sequence, entries, last,
        machines, percent_base, topups, stopped, lots)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
     ON CONFLICT (wallet) DO UPDATE SET credits = excluded.credits, held = excluded.held,
        sequence = excluded.sequence, entries = excluded.entries, last = excluded.last,
        machines = excluded.machines, percent_base = excluded.percent_base,
        topups = excluded.topups, stopped = excluded.stopped, lots = excluded.lots";

pub(crate) fn write_row(connection: &Connection, wallet: i64, state: &State) -> Result<(), Error> {
    let mut rows = connection.bulk(UPSERT)?;
    push_row(&mut rows, wallet, state)?;
    Ok(rows.finish()?)
}

/// Writes the rows of different wallets.
pub(crate) fn write_rows(connection: &Connection, states: &[(i64, State)]) -> Result<(), Error> {
    let mut rows = connection.bulk(UPSERT)?;
    for (wallet, state) in states {
        push_row(&mut rows, *wallet, state)?;
    }
    Ok(rows.finish()?)
}

fn push_row(rows: &mut Bulk<'_>, wallet: i64, state: &State) -> Result<(), Error> {
    rows.push(params![
        wallet,
        Money(state.credits),
        Money(state.held),
        signed(state.sequence),
        signed(state.entries),
        state.last.map(Place::raw),
        state.machines,
        state.percent_base.map(Money),
        state.topups,
        state.stopped,
        state.lots,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn states()(
            nanos in -10_i128.pow(27)..10_i128.pow(27), held in 0..10_i128.pow(27),
            (sequence, entries) in (any::<u64>(), any::<u64>()), machines in 0..65_536_i64,
            last in prop::option::of(0..=i64::MAX), base in prop::option::of(any::<i64>()),
            topups in prop::option::of("[a-z]{0,20}"), stopped in any::<bool>(),
            lots in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
        ) -> State {
            State {
                credits: Amount::from_nanos(nanos),
                held: Amount::from_nanos(held),
                sequence,
                entries,
                last: last.map(Place::from_raw),
                machines,
                percent_base: base.map(|nanos| Amount::from_nanos(nanos.into())),
                topups,
                stopped,
                lots,
            }
        }
    }

    proptest! {
        #[test]
        fn states_in_a_record_come_back_as_they_were(
            states in prop::collection::vec((any::<i64>(), states()), 0..5)
        ) {
            let mut bytes = Vec::new();
            for (wallet, state) in &states {
                state.pack(*wallet, &mut bytes);
            }
            let mut rest = bytes.as_slice();
            let back: Vec<_> = std::iter::from_fn(|| State::unpack(&mut rest)).collect();
            prop_assert_eq!(back, states);
            prop_assert!(rest.is_empty());
        }
    }
}
