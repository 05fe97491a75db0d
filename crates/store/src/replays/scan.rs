//! What a replay matches, from one position on, in order. Reads only.

use crate::sql::{OptionalExtension, params};
use domain::ledger::Record;
use domain::place::ReceiverNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::filter::Filter;
use domain::webhook::receiver::{DeliveryState, ReceiverKind};
use domain::webhook::replay::{Choice, Facts, Selection, Standing};

use super::Replay;
use crate::chapters;
use crate::database::Read;
use crate::deliveries::{self, Head, Routing};
use crate::error::Error;
use crate::events::{EVENTS_PER_ENTRY_MAX, Versions};
use crate::value::{Millis, unsigned};
use crate::verify::walk_between;

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// To be opened, in order.
    pub open: Vec<Head>,
    pub skipped: u64,
    /// The last position that was looked at.
    pub upto: u64,
}

/// Why a walk stops.
enum Stop {
    Enough,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Walks on after position `after`: until the end, `positions` further, or `room` to be opened.
pub fn scan(
    read: Read<'_>,
    scope: &Scope,
    replay: &Replay,
    (after, positions, room): (u64, u64, u64),
) -> Result<Scan, Error> {
    let routing = deliveries::routing(read.connection, scope.env)?;
    let upto = replay.head.min(after + positions);
    let Some(receiver) = routing.into_iter().find(|one| one.no == replay.receiver) else {
        return Ok(Scan { upto, ..Scan::default() });
    };
    let types = filter(receiver.kind, &replay.selection);
    let mut walk = Walk {
        read,
        scope,
        receiver,
        types,
        selection: &replay.selection,
        versions: Versions::default(),
        after,
        room,
        scan: Scan { upto: after, ..Scan::default() },
    };
    let first = first_place(read, scope, after)?;
    let last = scope.env.place(upto).raw();
    match walk_between(read, (first, last), |(_, item)| match item {
        Ok(record) => walk.take(&record),
        // `verify` names a row that cannot be read; the others go out.
        Err(_) => Ok(()),
    }) {
        Ok(()) => walk.scan.upto = upto,
        Err(Stop::Enough) => {}
        Err(Stop::Failed(error)) => return Err(error),
    }
    Ok(walk.scan)
}

/// The names were judged when the replay was made.
fn filter(kind: ReceiverKind, selection: &Selection) -> Option<Filter> {
    let names = selection.types.as_ref()?;
    let filter = match kind {
        ReceiverKind::Endpoint => Filter::endpoint(names, true).ok(),
        ReceiverKind::Subscription => Filter::subscription(names, true).ok().map(|(it, _)| it),
    };
    Some(filter.unwrap_or_default())
}

/// Of the row that holds the position after `after`.
fn first_place(read: Read<'_>, scope: &Scope, after: u64) -> Result<i64, Error> {
    let place = scope.env.place(after + 1).raw();
    let back = scope.env.place(after.saturating_sub(unsigned(EVENTS_PER_ENTRY_MAX))).raw();
    let chapter = chapters::holding(read.connection, scope, place)?;
    let chapter = chapter.map(|(chapter, _)| (chapter.place, chapter.len()));
    let holds = |(at, len): &(domain::place::Place, u64)| at.offset(*len).raw() > place;
    Ok(chapter.filter(holds).map_or(back, |(at, _)| at.raw().min(back)))
}

struct Walk<'r> {
    read: Read<'r>,
    scope: &'r Scope,
    receiver: Routing,
    types: Option<Filter>,
    selection: &'r Selection,
    versions: Versions,
    after: u64,
    room: u64,
    scan: Scan,
}

impl Walk<'_> {
    fn take(&mut self, record: &Record) -> Result<(), Stop> {
        let wallet = match record {
            Record::Entry(entry) => Some(self.versions.of_entry(self.read, entry)?.0),
            _ => None,
        };
        for head in deliveries::heads(self.scope.env, record, &|_| wallet.clone()) {
            let position = head.place.position();
            if position > self.after {
                if self.scan.open.len() as u64 >= self.room {
                    return Err(Stop::Enough);
                }
                self.meet(head)?;
                self.scan.upto = self.scan.upto.max(position);
            }
        }
        Ok(())
    }

    fn meet(&mut self, head: Head) -> Result<(), Error> {
        let facts = Facts {
            id: head.place.event_id(head.at),
            at: head.at,
            kind: head.kind,
            subject: &head.subject,
        };
        let asked = self.selection.takes(self.types.as_ref(), &facts);
        if !asked || head.suppressed || !deliveries::matches(&self.receiver, &head) {
            return Ok(());
        }
        match self.selection.choose(standing(self.read, (self.receiver.no, &head))?) {
            Choice::Pass => {}
            Choice::Skip => self.scan.skipped += 1,
            Choice::Open => self.scan.open.push(head),
        }
        Ok(())
    }
}

/// How the delivery of an event to a receiver stands.
pub(super) fn standing(
    read: Read<'_>,
    (receiver, head): (ReceiverNo, &Head),
) -> Result<Standing, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT state, delivered_at IS NOT NULL FROM deliveries
         WHERE receiver = ?1 AND place = ?2 AND env = ?3",
    )?;
    let key = params![receiver.0, head.place.raw(), head.place.env().get()];
    let found: Option<(String, bool)> =
        select.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let bad = || Error::corrupt("deliveries", head.place.raw(), "state");
    let parse = |(state, reached): (String, bool)| {
        Ok((DeliveryState::parse(&state).ok_or_else(bad)?, reached))
    };
    found.map(parse).transpose()
}

/// The first position of an event at or after `from`.
pub fn first_position(
    read: Read<'_>,
    scope: &Scope,
    from: Timestamp,
) -> Result<Option<u64>, Error> {
    let (first, last) = scope.env.range();
    let mut found: Option<i64> = None;
    for table in ["entries", "events", "chapters"] {
        let mut select = read.connection.prepare_cached(&format!(
            "SELECT place FROM {table} WHERE place BETWEEN ?1 AND ?2 AND at >= ?3
             ORDER BY place LIMIT 1"
        ))?;
        let key = params![first, found.unwrap_or(last), Millis(from)];
        let place = select.query_row(key, |row| row.get(0)).optional()?;
        found = place.or(found);
    }
    Ok(found.map(|place| unsigned(place - first)))
}
