//! Entries of the ledger: row ↔ `Entry`. Append only.

use crate::sql::{Connection, OptionalExtension, Row, params};
use domain::alert::machine::Level;
use domain::amount::Amount;
use domain::id::RequestId;
use domain::ledger::Entry;
use domain::ledger::entry::{
    Activity, Announce, Details, KeyUse, Kind, LedgerAccount, Reason, Standing, Status,
};
use domain::place::Place;
use domain::scope::{Actor, ActorKind, Scope, Source};
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::value::{Key, Millis, Money, read_taken, signed, unsigned, write_taken};

const COLUMNS: &str = "place, at, wallet, wallet_version, customer_version, kind, reason, activity,
    status, announce, from_account, to_account, credits, amount, fee, before, after,
    standing_credits, held, purchased, free, levels, taken, sequence, paywall_sequence, actor,
    request, key_route, key, key_request, details, previous, hash, recorded_at";

/// Appends the entries of one flush.
pub(crate) fn append<'e>(
    connection: &Connection,
    entries: impl Iterator<Item = &'e Entry>,
    recorded_at: Timestamp,
) -> Result<(), Error> {
    let mut insert = connection.bulk(
        "INSERT INTO entries (place, at, wallet, wallet_version, customer_version, kind, reason,
            activity, status, announce, from_account, to_account, credits, amount, fee, before,
            after, standing_credits, held, purchased, free, levels, taken, sequence,
            paywall_sequence, actor, request, key_route, key, key_request, details, previous, hash,
            recorded_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
            ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34)",
    )?;
    for entry in entries {
        let key = entry.key.as_ref();
        let standing = &entry.standing;
        insert.push(params![
            entry.place.raw(),
            Millis(entry.at),
            entry.wallet_no,
            entry.wallet_version,
            entry.customer_version,
            entry.kind.code(),
            entry.reason.map(Reason::code),
            entry.activity.code(),
            entry.status.code(),
            entry.announce.code(),
            entry.from.code(),
            entry.to.code(),
            Money(entry.credits),
            (entry.amount != entry.credits).then_some(Money(entry.amount)),
            Money(entry.fee),
            Money(entry.before),
            Money(entry.after),
            (standing.credits != entry.after).then_some(Money(standing.credits)),
            Money(standing.held),
            Money(standing.purchased),
            Money(standing.free),
            levels_code(standing),
            write_taken(&entry.taken),
            signed(entry.sequence),
            signed(entry.paywall_sequence),
            write_actor(&entry.actor),
            entry.request.map(|id| Key(id.0)),
            key.map(|key| &key.route),
            key.map(|key| &key.key),
            key.map(|key| key.request),
            write_details(&entry.details),
            entry.previous.map(Place::raw),
            entry.hash,
            Millis(recorded_at),
        ])?;
    }
    Ok(insert.finish()?)
}

/// The entry at `place`, if it belongs to the scope.
pub fn find(read: Read<'_>, scope: &Scope, place: Place) -> Result<Option<Entry>, Error> {
    if place.env() != scope.env {
        return Ok(None);
    }
    Ok(find_at(read.connection, place)?)
}

pub(crate) fn find_at(connection: &Connection, place: Place) -> crate::sql::Result<Option<Entry>> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM entries WHERE place = ?1"))?;
    select.query_row([place.raw()], from_row).optional()
}

/// The entries of one wallet, newest first, following the chain from `head`. `keep` says of each
/// whether it is wanted; the walk ends when it returns `None`.
pub fn walk(
    read: Read<'_>,
    head: Option<Place>,
    mut keep: impl FnMut(Entry) -> Option<()>,
) -> Result<(), Error> {
    let mut next = head;
    while let Some(place) = next {
        let entry = find_at(read.connection, place)?
            .ok_or_else(|| Error::corrupt("entries", place.raw(), "the chain names no row"))?;
        next = entry.previous;
        if keep(entry).is_none() {
            break;
        }
    }
    Ok(())
}

/// The entries of an environment between two places, oldest first or newest first.
pub fn scan(
    read: Read<'_>,
    range: (i64, i64),
    newest_first: bool,
    mut keep: impl FnMut(Entry) -> Option<()>,
) -> Result<(), Error> {
    let order = if newest_first { "DESC" } else { "ASC" };
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE place BETWEEN ?1 AND ?2 ORDER BY place {order}"
    ))?;
    let mut rows = select.query_in_pieces([range.0, range.1])?;
    while let Some(row) = rows.next()? {
        if keep(from_row(&row)?).is_none() {
            break;
        }
    }
    Ok(())
}

pub(crate) fn from_row(row: &Row<'_>) -> crate::sql::Result<Entry> {
    let credits: Money = row.get(12)?;
    let after: Money = row.get(16)?;
    let amount: Option<Money> = row.get(13)?;
    let standing: Option<Money> = row.get(17)?;
    let levels: i64 = row.get(21)?;
    Ok(Entry {
        place: Place::from_raw(row.get(0)?),
        at: row.get::<Millis>(1)?.0,
        wallet_no: row.get(2)?,
        wallet_version: row.get(3)?,
        customer_version: row.get(4)?,
        kind: coded(row, 5, Kind::from_code)?,
        reason: row.get::<Option<i64>>(6)?.and_then(Reason::from_code),
        activity: coded(row, 7, Activity::from_code)?,
        status: coded(row, 8, Status::from_code)?,
        announce: coded(row, 9, Announce::from_code)?,
        from: coded(row, 10, LedgerAccount::from_code)?,
        to: coded(row, 11, LedgerAccount::from_code)?,
        credits: credits.0,
        amount: amount.unwrap_or(credits).0,
        fee: money(row, 14)?,
        before: money(row, 15)?,
        after: after.0,
        standing: Standing {
            credits: standing.unwrap_or(after).0,
            held: money(row, 18)?,
            purchased: money(row, 19)?,
            free: money(row, 20)?,
            credit_level: level(levels >> 4),
            ongoing_level: level(levels & 15),
        },
        taken: read_taken(row.get_ref(22)?.as_blob_or_null()?),
        sequence: unsigned(row.get(23)?),
        paywall_sequence: unsigned(row.get(24)?),
        actor: read_actor(row.get_ref(25)?.as_str()?),
        request: row.get::<Option<Key>>(26)?.map(|key| RequestId(key.0)),
        key: read_key(row)?,
        details: read_details(row.get_ref(30)?.as_str_or_null()?),
        previous: row.get::<Option<i64>>(31)?.map(Place::from_raw),
        hash: row.get(32)?,
    })
}

/// When the entry was really written; the last column.
pub(crate) fn recorded_at(row: &Row<'_>) -> crate::sql::Result<Timestamp> {
    Ok(row.get::<Millis>(33)?.0)
}

pub(crate) fn columns() -> &'static str {
    COLUMNS
}

fn money(row: &Row<'_>, index: usize) -> crate::sql::Result<Amount> {
    Ok(row.get::<Money>(index)?.0)
}

fn coded<T>(row: &Row<'_>, index: usize, read: fn(i64) -> Option<T>) -> crate::sql::Result<T> {
    let code: i64 = row.get(index)?;
    read(code).ok_or(crate::sql::Error::Form)
}

fn read_key(row: &Row<'_>) -> crate::sql::Result<Option<KeyUse>> {
    let Some(key) = row.get::<Option<String>>(28)? else { return Ok(None) };
    Ok(Some(KeyUse { route: row.get(27)?, key, request: row.get(29)? }))
}

pub(crate) fn levels_code(standing: &Standing) -> i64 {
    (level_code(standing.credit_level) << 4) | level_code(standing.ongoing_level)
}

pub(crate) fn level_code(level: Level) -> i64 {
    match level {
        Level::Ok => 0,
        Level::Info => 1,
        Level::Warning => 2,
        Level::InAlarm => 3,
    }
}

pub(crate) fn level(code: i64) -> Level {
    match code {
        1 => Level::Info,
        2 => Level::Warning,
        3 => Level::InAlarm,
        _ => Level::Ok,
    }
}

/// `<source>/<kind>/<id>` in one letter each.
pub(crate) fn write_actor(actor: &Actor) -> String {
    let source = match actor.source {
        Source::Api => 'a',
        Source::Dashboard => 'd',
        Source::Portal => 'c',
        Source::Proxy => 'p',
        Source::Stripe => 's',
        Source::Schedule => 't',
        Source::System => 'y',
    };
    let kind = match actor.kind {
        ActorKind::PaywallOwner => 'o',
        ActorKind::PaywallKey => 'k',
        ActorKind::WalletUser => 'u',
        ActorKind::System => 's',
    };
    format!("{source}{kind}{}", actor.id)
}

pub(crate) fn read_actor(text: &str) -> Actor {
    let mut letters = text.chars();
    let source = match letters.next() {
        Some('a') => Source::Api,
        Some('c') => Source::Portal,
        Some('d') => Source::Dashboard,
        Some('p') => Source::Proxy,
        Some('s') => Source::Stripe,
        Some('t') => Source::Schedule,
        _ => Source::System,
    };
    let kind = match letters.next() {
        Some('o') => ActorKind::PaywallOwner,
        Some('k') => ActorKind::PaywallKey,
        Some('u') => ActorKind::WalletUser,
        _ => ActorKind::System,
    };
    Actor { source, kind, id: letters.as_str().to_owned() }
}

fn write_details(details: &Details) -> Option<String> {
    if details.is_empty() {
        return None;
    }
    serde_json::to_string(details).ok()
}

fn read_details(text: Option<&str>) -> Details {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
