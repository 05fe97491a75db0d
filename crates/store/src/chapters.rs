//! Chapters: what happened to proxied requests, a row for each that was written at once. Their
//! events are rendered from the requests' stories when they are read.

use crate::sql::{Connection, OptionalExtension, Row, params};
use domain::event::Event;
use domain::id::{CustomerId, PaywallId, RequestId, WalletId};
use domain::ledger::Record;
use domain::packed::{pull_byte, pull_id, push_id};
use domain::place::Place;
use domain::proxy::chapter::{Chapter, Line, Scene};
use domain::proxy::story::Story;
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::wallet::Payer;

use crate::database::Read;
use crate::entries::{read_actor, write_actor};
use crate::error::Error;
use crate::events::Recorded;
use crate::proxy_packs::Shelf;
use crate::value::{Key, Millis, signed, unsigned};

/// Of a line whose request is that of the line before it.
const SAME: u8 = 0x80;

const COLUMNS: &str = "place, at, recorded_at, paywall, paywall_id, customer, sequence, actor,
    idempotency_key, settled_by, lines, wallet";

/// Every chapter between two places, in order.
pub(crate) const BETWEEN: &str = "SELECT place, at, recorded_at, paywall, paywall_id, customer,
    sequence, actor, idempotency_key, settled_by, lines, wallet
    FROM chapters WHERE place BETWEEN ?1 AND ?2 ORDER BY place";

pub(crate) fn append(
    connection: &Connection,
    records: &[Record],
    recorded_at: Timestamp,
) -> Result<(), Error> {
    let mut insert = connection.bulk(
        "INSERT INTO chapters (place, at, recorded_at, paywall, paywall_id, customer, sequence,
            actor, idempotency_key, settled_by, lines, wallet)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for record in records {
        let Record::Chapter(chapter) = record else { continue };
        insert.push(params![
            chapter.place.raw(),
            Millis(chapter.at),
            Millis(recorded_at),
            chapter.paywall.0,
            Key(chapter.paywall.1.0),
            Key(chapter.payer.customer.0),
            signed(chapter.sequence),
            write_actor(&chapter.actor),
            chapter.idempotency_key,
            chapter.settled_by.map(Place::raw),
            write_lines(&chapter.lines),
            Key(chapter.payer.wallet.0),
        ])?;
    }
    Ok(insert.finish()?)
}

fn write_lines(lines: &[Line]) -> Vec<u8> {
    let (mut bytes, mut last) = (Vec::with_capacity(lines.len() * 17), None);
    for line in lines {
        if last == Some(line.request) {
            bytes.push(line.scene.code() | SAME);
        } else {
            bytes.push(line.scene.code());
            push_id(&mut bytes, line.request.0);
        }
        last = Some(line.request);
    }
    bytes
}

fn read_lines(mut rest: &[u8]) -> Option<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    while !rest.is_empty() {
        let code = pull_byte(&mut rest)?;
        let request = match lines.last() {
            Some(last) if code & SAME != 0 => last.request,
            _ => RequestId(pull_id(&mut rest)?),
        };
        lines.push(Line { scene: Scene::from_code(code & !SAME)?, request });
    }
    Some(lines)
}

/// A chapter and when it was really written.
pub(crate) fn from_row(row: &Row<'_>) -> crate::sql::Result<(Chapter, Timestamp)> {
    let lines = read_lines(row.get_ref(10)?.as_blob()?).ok_or(crate::sql::Error::Form)?;
    let chapter = Chapter {
        place: Place::from_raw(row.get(0)?),
        at: row.get::<Millis>(1)?.0,
        paywall: (row.get(3)?, PaywallId(row.get::<Key>(4)?.0)),
        payer: Payer {
            customer: CustomerId(row.get::<Key>(5)?.0),
            wallet: WalletId(row.get::<Key>(11)?.0),
        },
        sequence: unsigned(row.get(6)?),
        actor: read_actor(row.get_ref(7)?.as_str()?),
        idempotency_key: row.get(8)?,
        settled_by: row.get::<Option<i64>>(9)?.map(Place::from_raw),
        lines,
    };
    Ok((chapter, row.get::<Millis>(2)?.0))
}

/// Events after the place `from`, in order, at most about `limit`.
pub(crate) fn events(
    read: Read<'_>,
    scope: &Scope,
    (from, last): (i64, i64),
    limit: u32,
) -> Result<Vec<Recorded>, Error> {
    // The place may lie inside the chapter before it.
    let first = holding(read.connection, scope, from)?.map_or(from, |(it, _)| it.place.raw());
    let mut select = read.connection.prepare_cached(BETWEEN)?;
    let mut rows = select.query_in_pieces([first, last])?;
    let mut stories = Stories::default();
    let mut found = Vec::new();
    while found.len() < limit as usize
        && let Some(row) = rows.next()?
    {
        let (chapter, recorded_at) = from_row(&row)?;
        for numbered in chapter.numbered().filter(|(place, ..)| place.raw() > from) {
            let event = stories.event(read, scope, &chapter, numbered)?;
            found.push(Recorded { event, recorded_at });
        }
    }
    Ok(found)
}

/// The event at `place`, if it is one of a chapter.
pub(crate) fn find(read: Read<'_>, scope: &Scope, place: Place) -> Result<Option<Recorded>, Error> {
    let Some((chapter, recorded_at)) = holding(read.connection, scope, place.raw())? else {
        return Ok(None);
    };
    let Some(numbered) = chapter.numbered().find(|(at, ..)| *at == place) else { return Ok(None) };
    let event = Stories::default().event(read, scope, &chapter, numbered)?;
    Ok(Some(Recorded { event, recorded_at }))
}

/// The last chapter that begins at the place or before it.
pub(crate) fn holding(
    connection: &Connection,
    scope: &Scope,
    place: i64,
) -> Result<Option<(Chapter, Timestamp)>, Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM chapters WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC LIMIT 1"
    ))?;
    Ok(select.query_row([scope.env.range().0, place], from_row).optional()?)
}

/// The story that was read last, and those that ended with it: lines of one request stand together.
#[derive(Default)]
struct Stories {
    last: Option<Story>,
    shelf: Shelf,
}

impl Stories {
    fn event(
        &mut self,
        read: Read<'_>,
        scope: &Scope,
        chapter: &Chapter,
        numbered: (Place, u64, Line),
    ) -> Result<Event, Error> {
        let request = numbered.2.request;
        if self.last.as_ref().is_none_or(|story| story.request_id != request) {
            self.last = self.shelf.find(read, scope, (chapter.paywall.0, request))?;
        }
        let missing = "it names a request that is not there";
        let missing = || Error::corrupt("chapters", chapter.place.raw(), missing);
        let story = self.last.as_ref().ok_or_else(missing)?;
        Ok(domain::event::story::event(scope, chapter, numbered, story))
    }
}

/// Charges of a paywall that were settled together, newest first, before a place.
pub fn settlements(
    read: Read<'_>,
    scope: &Scope,
    paywall: i64,
    (before, limit): (Option<Place>, u32),
) -> Result<Vec<Chapter>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM chapters
         WHERE paywall = ?1 AND settled_by BETWEEN ?2 AND ?3 ORDER BY settled_by DESC LIMIT ?4"
    ))?;
    let (first, last) = scope.env.range();
    let before = before.map_or(last, |place| place.raw() - 1);
    let rows = select.query_map(params![paywall, first, before, limit], from_row)?;
    Ok(rows.map(|row| row.map(|(chapter, _)| chapter)).collect::<Result<_, _>>()?)
}
