//! Reading for the books' proof: the whole log of an environment in order, and what must match it.
//!
//! A row that cannot be read is a finding, not an end: the walk names it and goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sql::{Row, Rows, params};
use domain::ledger::Record;
use domain::place::{EnvNo, Place, ReceiverNo, TEST_POSITIONS};
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::wallet::Wallet;

use crate::database::Read;
use crate::deliveries::{self, Routing};
use crate::error::Error;
use crate::events;
use crate::value::Millis;
use crate::{chapters, entries};

/// One row of the log, or why it cannot be read.
pub type Item = (Place, Result<Record, String>);

/// Every entry and event of the environment, in the order of their places.
pub fn walk<E: From<Error>>(
    read: Read<'_>,
    scope: &Scope,
    take: impl FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    walk_between(read, scope.env.range(), take)
}

/// As `walk`, from one place to another.
pub(crate) fn walk_between<E: From<Error>>(
    read: Read<'_>,
    (first, last): (i64, i64),
    mut take: impl FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    let text = format!(
        "SELECT {} FROM entries WHERE place BETWEEN ?1 AND ?2 ORDER BY place",
        entries::columns()
    );
    let select = |sql| read.connection.prepare_cached(sql).map_err(Error::from);
    let mut entries = select(&text)?;
    let mut events = select(events::OWN_BETWEEN)?;
    let mut chapters = select(chapters::BETWEEN)?;
    let range = [first, last];
    let mut sources = [
        Source::open(entries.query_in_pieces(range).map_err(Error::from)?, entry)?,
        Source::open(events.query_in_pieces(range).map_err(Error::from)?, own)?,
        Source::open(chapters.query_in_pieces(range).map_err(Error::from)?, chapter)?,
    ];
    loop {
        let waiting = sources.iter_mut().filter(|source| source.next.is_some());
        let first = waiting.min_by_key(|source| source.next.as_ref().map(|(place, _)| *place));
        let Some(source) = first else { return Ok(()) };
        if let Some(item) = source.advance()? {
            take(item)?;
        }
    }
}

/// One table of the log, and its row that comes next.
struct Source<'s> {
    rows: Rows<'s>,
    parse: fn(&Row<'_>) -> crate::sql::Result<Record>,
    next: Option<Item>,
}

impl<'s> Source<'s> {
    fn open(
        rows: Rows<'s>,
        parse: fn(&Row<'_>) -> crate::sql::Result<Record>,
    ) -> Result<Source<'s>, Error> {
        let mut source = Source { rows, parse, next: None };
        source.advance()?;
        Ok(source)
    }

    fn advance(&mut self) -> Result<Option<Item>, Error> {
        let row = self.rows.next()?;
        let parse = |row: &Row<'_>| -> Result<Item, Error> {
            let place = Place::from_raw(row.get(0)?);
            Ok((place, (self.parse)(row).map_err(|problem| problem.to_string())))
        };
        Ok(std::mem::replace(&mut self.next, row.as_ref().map(parse).transpose()?))
    }
}

fn chapter(row: &Row<'_>) -> crate::sql::Result<Record> {
    chapters::from_row(row).map(|(chapter, _)| Record::Chapter(Box::new(chapter)))
}

fn entry(row: &Row<'_>) -> crate::sql::Result<Record> {
    entries::from_row(row).map(|entry| Record::Entry(Box::new(entry)))
}

fn own(row: &Row<'_>) -> crate::sql::Result<Record> {
    events::own_event(row).map(|recorded| Record::Event(Box::new(recorded.event)))
}

/// Numbers of all wallets of the environment, closed ones too.
pub fn wallet_numbers(read: Read<'_>, scope: &Scope) -> Result<Vec<i64>, Error> {
    let mut select =
        read.connection.prepare_cached("SELECT no FROM wallets WHERE env = ?1 ORDER BY no")?;
    let rows = select.query_map([scope.env.get()], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The last positions and sequences that the environment has given away, by what they count.
pub fn counters(read: Read<'_>, scope: &Scope) -> Result<BTreeMap<String, u64>, Error> {
    let mut select =
        read.connection.prepare_cached("SELECT scope, last FROM counters WHERE env = ?1")?;
    let rows = select.query_map([scope.env.get()], |row| {
        Ok((row.get(0)?, crate::value::unsigned(row.get(1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Receivers that take deliveries, with the time since which they are as they are.
pub struct Receivers {
    env: EnvNo,
    all: Vec<(Routing, Timestamp)>,
}

impl Receivers {
    pub fn load(read: Read<'_>, scope: &Scope) -> Result<Receivers, Error> {
        let routing = deliveries::routing(read.connection, scope.env)?;
        let mut all = Vec::with_capacity(routing.len());
        for one in routing {
            let mut select = read
                .connection
                .prepare_cached("SELECT updated_at FROM receivers WHERE env = ?1 AND no = ?2")?;
            let since: Millis =
                select.query_row(params![scope.env.get(), one.no.0], |row| row.get(0))?;
            all.push((one, since.0));
        }
        Ok(Receivers { env: scope.env, all })
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Receivers that should have a delivery of an event of this record, and have none.
    pub fn without_delivery(
        &self,
        read: Read<'_>,
        record: &Record,
        wallet: Option<&Arc<Wallet>>,
    ) -> Result<Vec<(Place, ReceiverNo)>, Error> {
        let mut missing = Vec::new();
        for head in deliveries::heads(self.env, record, &|_| wallet.cloned()) {
            for (receiver, since) in &self.all {
                let due = head.at > *since && !head.suppressed;
                if !due || !deliveries::matches(receiver, &head) {
                    continue;
                }
                let mut select = read.connection.prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM deliveries WHERE env = ?1 AND receiver = ?2
                        AND place = ?3)",
                )?;
                let key = params![self.env.get(), receiver.no.0, head.place.raw()];
                let there: bool = select.query_row(key, |row| row.get(0))?;
                if !there {
                    missing.push((head.place, receiver.no));
                }
            }
        }
        Ok(missing)
    }
}

/// Whether the thing that an event is about exists. Kinds of things that nothing is stored of pass.
pub fn has_subject(read: Read<'_>, scope: &Scope, subject: &str) -> Result<bool, Error> {
    let Some((kind, id)) = subject.split_once(':') else { return Ok(false) };
    Ok(match kind {
        "customer" => match id.parse() {
            Ok(id) => crate::customers::find(read, scope, id)?.is_some(),
            Err(_) => false,
        },
        "wallet" => match id.parse() {
            Ok(id) => crate::wallets::find_no(read, scope, id)?.is_some(),
            Err(_) => false,
        },
        "paywall" => match id.parse() {
            Ok(id) => crate::paywalls::find(read, scope, id)?.is_some(),
            Err(_) => false,
        },
        _ => true,
    })
}

/// Deliveries, at most `limit`, that had success before an earlier one of their order key was done.
pub fn out_of_order(
    read: Read<'_>,
    scope: &Scope,
    limit: u32,
) -> Result<Vec<(Place, ReceiverNo)>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT place, receiver FROM (
            SELECT place, receiver, delivered_at,
                MAX(CASE WHEN (state = 'due' OR state = 'leased' OR state = 'waiting')
                    THEN ?2 ELSE delivered_at END)
                OVER (PARTITION BY receiver, order_key ORDER BY sequence
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
            FROM deliveries
            WHERE env = ?1 AND class <> 'replay' AND order_key <> '' AND place & ?3 = 0
                AND receiver IN (SELECT no FROM receivers WHERE env = ?1
                    AND json_extract(body, '$.ordering') = 'subject')) AS tried
         WHERE delivered_at < before ORDER BY place LIMIT ?4",
    )?;
    let test = i64::try_from(TEST_POSITIONS).unwrap_or(i64::MAX);
    let key = params![scope.env.get(), i64::MAX, test, limit];
    let rows =
        select.query_map(key, |row| Ok((Place::from_raw(row.get(0)?), ReceiverNo(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Deliveries, at most `limit`, that are leased although they were due before `since` and their
/// receiver was not tried since then either.
pub fn stuck(
    read: Read<'_>,
    scope: &Scope,
    (since, limit): (Timestamp, u32),
) -> Result<Vec<(Place, ReceiverNo)>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT d.place, d.receiver FROM deliveries d JOIN receivers r ON r.no = d.receiver
         WHERE d.env = ?1 AND d.state = 'leased' AND d.next_at < ?2
            AND COALESCE(r.last_attempt_at, 0) < ?2 ORDER BY d.place LIMIT ?3",
    )?;
    let key = params![scope.env.get(), Millis(since), limit];
    let rows =
        select.query_map(key, |row| Ok((Place::from_raw(row.get(0)?), ReceiverNo(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
