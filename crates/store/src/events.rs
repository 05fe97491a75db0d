//! Events by their place: those with a body of their own, and those that entries and chapters are
//! the record of.
//!
//! The feed merges all. Bodies of entries are rendered from the versions that the entry names.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
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
    let (_, last) = scope.env.range();
    if place.env() != scope.env || place.position() == 0 || place.raw() > last {
        return Ok(None);
    }
    let before = place.raw() - 1;
    if let Some(own) = own_events(read.connection, (before, place.raw()), 1)?.pop() {
        return Ok(Some(own));
    }
    if let Some(told) = chapters::find(read, scope, place)? {
        return Ok(Some(told));
    }
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {} FROM entries WHERE place > ?1 AND place <= ?2 ORDER BY place DESC LIMIT 1",
        entries::columns()
    ))?;
    let back = (place.raw() - EVENTS_PER_ENTRY_MAX).max(scope.env.range().0);
    let mut rows = select.query(params![back, place.raw()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let entry = entries::from_row(&row)?;
    let recorded_at = entries::recorded_at(&row)?;
    let (wallet, customer) = Versions::default().of(read.connection, &entry)?;
    let facts = Facts { scope: *scope, entry: &entry, wallet: &wallet, customer: &customer };
    let event = domain::event::entry::events(&facts).into_iter().find(|event| event.place == place);
    Ok(event.map(|event| Recorded { event, recorded_at }))
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

    fn of(
        &mut self,
        connection: &Connection,
        entry: &Entry,
    ) -> Result<(Arc<Wallet>, Arc<Customer>), Error> {
        let key = (entry.wallet_no, entry.wallet_version);
        if let Slot::Vacant(unknown) = self.wallets.entry(key) {
            let mut select = connection.prepare_cached(
                "SELECT body FROM wallet_versions WHERE wallet = ?1 AND version = ?2",
            )?;
            let body: String = select.query_row(params![key.0, key.1], |row| row.get(0))?;
            let wallet = serde_json::from_str(&body)
                .map_err(|problem| Error::corrupt("wallet_versions", key.0, problem))?;
            unknown.insert(Arc::new(wallet));
        }
        let wallet = self.wallets[&key].clone();
        let customer = self.customer(connection, entry)?;
        Ok((wallet, customer))
    }

    fn customer(&mut self, connection: &Connection, entry: &Entry) -> Result<Arc<Customer>, Error> {
        let key = (entry.wallet_no, entry.customer_version);
        if let Slot::Vacant(unknown) = self.customers.entry(key) {
            let mut select = connection.prepare_cached(
                "SELECT v.body FROM customer_versions v JOIN wallets w ON w.customer = v.customer
                 WHERE w.no = ?1 AND v.version = ?2",
            )?;
            let body: String = select.query_row(params![key.0, key.1], |row| row.get(0))?;
            let customer = serde_json::from_str(&body)
                .map_err(|problem| Error::corrupt("customer_versions", key.0, problem))?;
            unknown.insert(Arc::new(customer));
        }
        Ok(self.customers[&key].clone())
    }
}
