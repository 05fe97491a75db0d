//! Events by their place: those with a body of their own, and those that entries and chapters are
//! the record of.
//!
//! The feed merges all. Bodies of entries are rendered from the versions that the entry names.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::sql::{Connection, OptionalExtension, Row, params};
use domain::customer::Customer;
use domain::event::Event;
use domain::event::entry::Facts;
use domain::id::RequestId;
use domain::ledger::{Entry, Record};
use domain::place::Place;
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::wallet::Wallet;
use domain::webhook::catalogue::EventType;
use domain::webhook::channel::Channels;
use serde::de::DeserializeOwned;

use crate::database::Read;
use crate::error::Error;
use crate::value::{Key, Millis, signed, unsigned};
use crate::{chapters, entries};

/// Events of an entry are at most this many: a walk that may begin inside one looks that far back.
pub(crate) const EVENTS_PER_ENTRY_MAX: i64 = 8;

pub(crate) fn append(
    connection: &Connection,
    records: &[Record],
    recorded_at: Timestamp,
) -> Result<(), Error> {
    let events = records.iter().filter_map(|record| match record {
        Record::Event(event) => Some(event),
        _ => None,
    });
    let mut insert = connection.bulk(
        "INSERT INTO events (place, at, recorded_at, kind, subject, order_key, sequence,
            paywall, body, request, idempotency_key, suppressed, channels)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for event in events {
        insert.push(params![
            event.place.raw(),
            Millis(event.at),
            Millis(recorded_at),
            event.kind.name(),
            event.subject,
            event.order_key,
            signed(event.sequence),
            event.paywall,
            event.body,
            event.request.map(|id| Key(id.0)),
            event.idempotency_key,
            event.suppressed,
            event.channels.pack(),
        ])?;
    }
    Ok(insert.finish()?)
}

/// An event and when it was really written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub event: Event,
    pub recorded_at: Timestamp,
}

/// The events of the environment after position `after`, in order, at most `limit`. The second
/// value is the position up to which these are all: it may lie beyond the head of the log.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    after: u64,
    limit: u32,
) -> Result<(Vec<Recorded>, u64), Error> {
    let from = scope.env.place(after).raw();
    let (_, last) = scope.env.range();
    let own = own_events(read.connection, (from, last), limit)?;
    let told = chapters::events(read, scope, (from, last), limit)?;
    let (of_entries, mut until) = entry_events(read, scope, (from, last), limit)?;
    // Where one kind was cut off, the others may reach further: that waits for the next page.
    for cut in [&own, &told].into_iter().filter(|found| found.len() >= limit as usize) {
        until = cut.last().map_or(until, |recorded| until.min(recorded.event.place.raw()));
    }
    let mut found = [own, told, of_entries].concat();
    found.retain(|recorded| recorded.event.place.raw() <= until);
    found.sort_by_key(|recorded| recorded.event.place);
    if found.len() > limit as usize {
        found.truncate(limit as usize);
        until = found.last().map_or(until, |recorded| recorded.event.place.raw());
    }
    Ok((found, Place::from_raw(until).position()))
}

/// The event at `place`, if it belongs to the scope.
pub fn find(read: Read<'_>, scope: &Scope, place: Place) -> Result<Option<Recorded>, Error> {
    Ok(find_all(read, scope, BTreeSet::from([place]))?.pop())
}

/// The events at these places that belong to the scope, in no order.
pub fn find_all(
    read: Read<'_>,
    scope: &Scope,
    mut places: BTreeSet<Place>,
) -> Result<Vec<Recorded>, Error> {
    let (_, last) = scope.env.range();
    let is_own =
        |place: &Place| place.env() == scope.env && place.position() > 0 && place.raw() <= last;
    places.retain(is_own);
    let mut found = of_entries(read, scope, &places)?;
    for one in &found {
        places.remove(&one.event.place);
    }
    let mut select = read.connection.prepare_cached(
        "SELECT place, at, recorded_at, kind, subject, order_key, sequence, paywall, body,
            request, idempotency_key, suppressed, channels
         FROM events WHERE place = ?1",
    )?;
    let own = select.first_of_each(places.iter().map(|place| [place.raw()]), own_event)?;
    for one in own.into_iter().flatten() {
        places.remove(&one.event.place);
        found.push(one);
    }
    for place in places {
        found.extend(chapters::find(read, scope, place)?);
    }
    Ok(found)
}

/// Those of the places that are events of entries.
fn of_entries(
    read: Read<'_>,
    scope: &Scope,
    places: &BTreeSet<Place>,
) -> Result<Vec<Recorded>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {} FROM entries WHERE place > ?1 AND place <= ?2 ORDER BY place DESC LIMIT 1",
        entries::columns()
    ))?;
    let first = scope.env.range().0;
    let spans = places.iter().map(|place| {
        let back = (place.raw() - EVENTS_PER_ENTRY_MAX).max(first);
        [back, place.raw()]
    });
    let rows = select
        .first_of_each(spans, |row| Ok((entries::from_row(row)?, entries::recorded_at(row)?)))?;
    let holds = |place: &Place, entry: &Entry| {
        let offset = unsigned(place.raw() - entry.place.raw());
        usize::try_from(offset).is_ok_and(|offset| offset < entry.announce.events().len())
    };
    let held: Vec<(Place, (Entry, Timestamp))> = places
        .iter()
        .zip(rows)
        .filter_map(|(place, row)| Some((*place, row?)))
        .filter(|(place, (entry, _))| holds(place, entry))
        .collect();
    let mut versions = Versions::default();
    versions.read_all(read.connection, held.iter().map(|(_, (entry, _))| entry))?;
    let mut found = Vec::with_capacity(held.len());
    for (place, (entry, recorded_at)) in &held {
        let (wallet, customer) = versions.of(read.connection, entry)?;
        let facts = Facts { scope: *scope, entry, wallet: &wallet, customer: &customer };
        let event = domain::event::entry::event_at(&facts, *place);
        found.extend(event.map(|event| Recorded { event, recorded_at: *recorded_at }));
    }
    Ok(found)
}

/// The mark of this database. A restore renews it, so that cursors from before say so.
pub fn mark(read: Read<'_>) -> Result<String, Error> {
    let select = "SELECT value FROM meta WHERE name = 'feed_mark'";
    Ok(read.connection.query_row(select, [], |row| row.get(0))?)
}

/// Last position of the environment's log.
pub fn head(read: Read<'_>, scope: &Scope) -> Result<u64, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT last FROM counters WHERE env = ?1 AND scope = 'position'")?;
    let last: Option<i64> = select.query_row([scope.env.get()], |row| row.get(0)).optional()?;
    Ok(unsigned(last.unwrap_or(0)))
}

/// Every event with a body of its own between two places, in order.
pub(crate) const OWN_BETWEEN: &str = "SELECT place, at, recorded_at, kind, subject, order_key,
    sequence, paywall, body, request, idempotency_key, suppressed, channels
    FROM events WHERE place BETWEEN ?1 AND ?2 ORDER BY place";

fn own_events(
    connection: &Connection,
    (from, last): (i64, i64),
    limit: u32,
) -> Result<Vec<Recorded>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT place, at, recorded_at, kind, subject, order_key, sequence, paywall, body,
            request, idempotency_key, suppressed, channels
         FROM events WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT ?3",
    )?;
    let rows = select.query_map(params![from, last, limit], own_event)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn own_event(row: &Row<'_>) -> crate::sql::Result<Recorded> {
    let name: String = row.get(3)?;
    let kind = EventType::parse(&name).ok_or(crate::sql::Error::Form)?;
    let event = Event {
        place: Place::from_raw(row.get(0)?),
        at: row.get::<Millis>(1)?.0,
        kind,
        subject: row.get(4)?,
        order_key: row.get(5)?,
        sequence: unsigned(row.get(6)?),
        paywall: row.get(7)?,
        channels: channels(row)?,
        body: row.get(8)?,
        request: row.get::<Option<Key>>(9)?.map(|key| RequestId(key.0)),
        idempotency_key: row.get(10)?,
        suppressed: row.get(11)?,
    };
    Ok(Recorded { event, recorded_at: row.get::<Millis>(2)?.0 })
}

fn channels(row: &Row<'_>) -> crate::sql::Result<Channels> {
    let packed = row.get_ref(12)?.as_blob_or_null()?.unwrap_or_default();
    Channels::unpack(packed).ok_or(crate::sql::Error::Form)
}

/// With the place up to which these are all: an entry may have no events at all.
fn entry_events(
    read: Read<'_>,
    scope: &Scope,
    (from, last): (i64, i64),
    limit: u32,
) -> Result<(Vec<Recorded>, i64), Error> {
    let (first, _) = scope.env.range();
    // The place may lie inside the events of the entry before it.
    let back = (from - EVENTS_PER_ENTRY_MAX).max(first);
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {} FROM entries WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT ?3",
        entries::columns()
    ))?;
    let most = i64::from(limit) + EVENTS_PER_ENTRY_MAX;
    let mut rows = select.query(params![back, last, most])?;
    let mut versions = Versions::default();
    let (mut found, mut looked_at, mut until) = (Vec::new(), 0, last);
    while let Some(row) = rows.next()? {
        let entry = entries::from_row(&row)?;
        looked_at += 1;
        let recorded_at = entries::recorded_at(&row)?;
        let (wallet, customer) = versions.of(read.connection, &entry)?;
        let facts = Facts { scope: *scope, entry: &entry, wallet: &wallet, customer: &customer };
        let events = domain::event::entry::events(&facts).into_iter();
        let after = events.filter(|event| event.place.raw() > from);
        found.extend(after.map(|event| Recorded { event, recorded_at }));
        if looked_at == most {
            let end = found.last().map_or(from, |last: &Recorded| last.event.place.raw());
            until = end.max(entry.place.raw());
        }
    }
    Ok((found, until))
}

/// Versions of wallets and customers, read once each.
#[derive(Default)]
pub struct Versions {
    wallets: HashMap<(i64, u32), Arc<Wallet>>,
    customers: HashMap<(i64, u32), Arc<Customer>>,
}

impl Versions {
    /// The wallet and customer as they were when `entry` was written.
    pub fn of_entry(
        &mut self,
        read: Read<'_>,
        entry: &Entry,
    ) -> Result<(Arc<Wallet>, Arc<Customer>), Error> {
        self.of(read.connection, entry)
    }

    /// The wallet and customer as they were when `entry` was written.
    fn of(
        &mut self,
        connection: &Connection,
        entry: &Entry,
    ) -> Result<(Arc<Wallet>, Arc<Customer>), Error> {
        let missing = || Error::corrupt("wallet_versions", entry.wallet_no, "is missing");
        if self.known(entry).is_none() {
            self.read_all(connection, [entry])?;
        }
        self.known(entry).ok_or_else(missing)
    }

    fn known(&self, entry: &Entry) -> Option<(Arc<Wallet>, Arc<Customer>)> {
        let wallet = self.wallets.get(&wallet_key(entry))?;
        let customer = self.customers.get(&customer_key(entry))?;
        Some((wallet.clone(), customer.clone()))
    }

    /// Reads those that are not known yet.
    fn read_all<'e>(
        &mut self,
        connection: &Connection,
        entries: impl IntoIterator<Item = &'e Entry> + Clone,
    ) -> Result<(), Error> {
        read_versions(
            &mut self.wallets,
            (connection, "SELECT body FROM wallet_versions WHERE wallet = ?1 AND version = ?2"),
            entries.clone().into_iter().map(wallet_key).collect(),
        )?;
        read_versions(
            &mut self.customers,
            (
                connection,
                "SELECT v.body FROM customer_versions v JOIN wallets w ON w.customer = v.customer
                 WHERE w.no = ?1 AND v.version = ?2",
            ),
            entries.into_iter().map(customer_key).collect(),
        )
    }
}

/// Number of a wallet, and a version of it or of its customer.
type Version = (i64, u32);

fn wallet_key(entry: &Entry) -> Version {
    (entry.wallet_no, entry.wallet_version)
}

fn customer_key(entry: &Entry) -> Version {
    (entry.wallet_no, entry.customer_version)
}

fn read_versions<T: DeserializeOwned>(
    known: &mut HashMap<Version, Arc<T>>,
    (connection, sql): (&Connection, &str),
    mut wanted: BTreeSet<Version>,
) -> Result<(), Error> {
    wanted.retain(|key| !known.contains_key(key));
    let keys = wanted.iter().map(|(no, version)| [*no, i64::from(*version)]);
    let bodies = connection.prepare_cached(sql)?.first_of_each(keys, |row| row.get::<String>(0))?;
    for (key, body) in wanted.iter().zip(bodies) {
        let Some(body) = body else { continue };
        let version = serde_json::from_str(&body)
            .map_err(|problem| Error::corrupt("versions of wallet", key.0, problem))?;
        known.insert(*key, Arc::new(version));
    }
    Ok(())
}
