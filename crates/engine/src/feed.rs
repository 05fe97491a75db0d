//! The feed: every event of an environment in the order of its commits (webhooks 18). A reader that
//! keeps its place sees each once.

use domain::event::Event;
use domain::id::EventId;
use domain::place::Placed;
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use domain::webhook::channel::Channel;
use domain::webhook::filter::Filter;
use store::Read;
use store::events::{self, Recorded};
use store::retention::{self, Kept};

use crate::error::{Class, Error, Fault};
use crate::steps::retention::purged;

/// Positions that one request looks at.
const LOOKED_AT_MAX: u64 = 10_000;
const CHUNK: u32 = 512;

/// What a request asks for; what is `None` narrows nothing.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The place after which to go on.
    pub after: u64,
    pub limit: usize,
    pub types: Option<Filter>,
    pub subject: Option<String>,
    pub sequence_gt: Option<u64>,
    pub sequence_lt: Option<u64>,
    /// Number of the paywall whose events are asked for.
    pub paywall: Option<i64>,
    pub channel: Option<Channel>,
    pub created_gte: Option<Timestamp>,
    pub created_lt: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub events: Vec<Recorded>,
    /// The last position that was looked at.
    pub next: u64,
    /// The last position that there is.
    pub head: u64,
    pub mark: String,
}

impl Page {
    pub fn has_more(&self) -> bool {
        self.next < self.head
    }

    pub fn next_cursor(&self) -> String {
        cursor(&self.mark, self.next)
    }
}

impl Query {
    fn takes(&self, event: &Event) -> bool {
        let wanted = |kind: EventType| self.types.is_none_or(|types| types.matches(kind));
        wanted(event.kind)
            && self.subject.as_ref().is_none_or(|subject| *subject == event.subject)
            && self.sequence_gt.is_none_or(|bound| event.sequence > bound)
            && self.sequence_lt.is_none_or(|bound| event.sequence < bound)
            && self.paywall.is_none_or(|paywall| event.paywall == Some(paywall))
            && self.channel.is_none_or(|channel| event.channels.has(channel))
            && self.created_gte.is_none_or(|bound| event.at >= bound)
            && self.created_lt.is_none_or(|bound| event.at < bound)
    }
}

/// A cursor holds the place and the mark of its database, and nothing else.
pub fn cursor(mark: &str, position: u64) -> String {
    format!("cur_{mark}_{position}")
}

/// The position that a text names: `start`, `now`, a cursor or an event's id.
pub fn place(read: Read<'_>, scope: &Scope, text: &str) -> Result<u64, Error> {
    let unknown = || Error::invalid("after", "after must be a cursor, an event id, start or now");
    let kept = retention::kept(read, scope)?;
    match text {
        "start" => return Ok(kept.from - 1),
        "now" => return Ok(events::head(read, scope)?),
        _ => {}
    }
    if let Ok(id) = text.parse::<EventId>() {
        if id.place().env() == scope.env && kept.is_gone(id.place()) {
            return Err(expired(read, kept)?);
        }
        let found = events::find(read, scope, id.place())?;
        let found = found.filter(|recorded| recorded.event.id() == id);
        return found.map(|recorded| recorded.event.place.position()).ok_or_else(unknown);
    }
    let (mark, position) =
        text.strip_prefix("cur_").and_then(|rest| rest.split_once('_')).ok_or_else(unknown)?;
    let position: u64 = position.parse().map_err(|_| unknown())?;
    if mark != events::mark(read)? || position > events::head(read, scope)? {
        let message = "this cursor is of a database from before a restore: read from start";
        let details = serde_json::json!({ "reason": "restored", "oldest_cursor": "start" });
        return Err(Fault::new(Class::Gone, "cursor_expired", message).with(details).into());
    }
    if position + 1 < kept.from {
        return Err(expired(read, kept)?);
    }
    Ok(position)
}

/// The place is older than what is kept.
fn expired(read: Read<'_>, kept: Kept) -> Result<Error, Error> {
    let message = "this place is older than what is kept: read from oldest_cursor";
    let oldest = cursor(&events::mark(read)?, kept.from - 1);
    let details = serde_json::json!({ "oldest_cursor": oldest });
    Ok(Fault::new(Class::Gone, "cursor_expired", message).with(details).into())
}

/// One page, of one snapshot.
pub fn page(read: Read<'_>, scope: &Scope, query: &Query) -> Result<Page, Error> {
    let head = events::head(read, scope)?;
    let (mut at, mut found) = (query.after, Vec::new());
    while found.len() < query.limit && at < head && at < query.after + LOOKED_AT_MAX {
        let (chunk, seen) = events::page(read, scope, at, CHUNK)?;
        at = seen.min(head);
        for recorded in chunk.into_iter().filter(|recorded| query.takes(&recorded.event)) {
            let place = recorded.event.place.position();
            found.push(recorded);
            if found.len() == query.limit {
                at = place;
                break;
            }
        }
    }
    Ok(Page { events: found, next: at, head, mark: events::mark(read)? })
}

/// One event by its id; of this paywall, where one asks.
pub fn find(
    read: Read<'_>,
    scope: &Scope,
    paywall: Option<i64>,
    id: EventId,
) -> Result<Recorded, Error> {
    if id.place().env() == scope.env && retention::kept(read, scope)?.is_gone(id.place()) {
        return Err(purged());
    }
    let found = events::find(read, scope, id.place())?;
    let ours = |recorded: &Recorded| {
        let same = recorded.event.id() == id;
        same && paywall.is_none_or(|paywall| recorded.event.paywall == Some(paywall))
    };
    found.filter(ours).ok_or_else(|| Error::not_found("event"))
}
