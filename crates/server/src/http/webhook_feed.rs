//! `/v1/webhooks/events`: the feed of an environment, and of one paywall (webhooks 18).

use std::time::Duration;

use axum::http::Method;
use domain::id::{EventId, PaywallId};
use domain::role::{Entity, Needs};
use domain::time::Timestamp;
use domain::webhook::channel::{Channel, ChannelError, Channels};
use domain::webhook::filter::Filter;
use engine::Error;
use engine::feed::{self, Page, Query};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use store::events::Recorded;
use tokio::time::{Instant, timeout_at};

use super::answer::Answer;
use super::call::{Call, Caller};
use super::route::{Access, Routes, reads};
use super::spec::Doc;
use super::webhook_subscriptions::paywall;
use crate::app::App;

const WAIT_S_MAX: u64 = 30;

pub fn routes() -> Routes {
    let either = Access::Either(Needs::read(Entity::Webhook));
    let owner = reads(Entity::Paywall);
    let doc = |operation, summary| Doc::new("Webhooks", operation, summary);
    Routes::default()
        .add(
            (Method::GET, "/v1/webhooks/events"),
            either,
            doc("listEvents", "The feed: every event in the order of its commits"),
            list,
        )
        .add(
            (Method::GET, "/v1/webhooks/events/stream"),
            either,
            doc("streamEvents", "The feed as server-sent events"),
            super::webhook_stream::stream,
        )
        .add(
            (Method::GET, "/v1/webhooks/events/{event_id}"),
            either,
            doc("getEvent", "One event of the feed"),
            get,
        )
        .add(
            (Method::GET, "/v1/paywalls/{id}/webhooks/events"),
            owner,
            doc("listPaywallEvents", "The feed of a paywall"),
            list,
        )
        .add(
            (Method::GET, "/v1/paywalls/{id}/webhooks/events/{event_id}"),
            owner,
            doc("getPaywallEvent", "One event of a paywall's feed"),
            get,
        )
}

/// The paywall whose feed is asked for, by number; else the environment's.
pub fn paywall_no(app: &App, call: &Call) -> Result<Option<i64>, Error> {
    let of_paywall = matches!(call.caller, Caller::Paywall(..)) || call.has_path("id");
    if of_paywall { Ok(Some(paywall(app, call)?.no)) } else { Ok(None) }
}

/// What a request asks of the feed, from `after` on.
pub fn query(app: &App, call: &Call, after: &str) -> Result<Query, Error> {
    let of = paywall_no(app, call)?;
    let (default, most) = if of.is_some() { (20, 100) } else { (100, 1_000) };
    let (created_gte, created_lt) = call.time_range("created")?;
    let named: Option<PaywallId> = call.parsed("paywall_id")?;
    let named = match named {
        None => None,
        Some(id) => app
            .engine
            .read_now(|read| Ok(store::paywalls::find(read, &call.scope, id)?))?
            .map(|found| found.no)
            .or(Some(0)),
    };
    let mut query = Query {
        after: 0,
        limit: call.limit(default, most)?,
        types: types(call, of.is_some())?,
        subject: call.query_value("subject"),
        sequence_gt: call.parsed("sequence_gt")?,
        sequence_lt: call.parsed("sequence_lt")?,
        paywall: of.or(named),
        channel: channel(call)?,
        created_gte,
        created_lt,
    };
    query.after = app.engine.read_now(|read| feed::place(read, &call.scope, after))?;
    Ok(query)
}

/// `channel`, one. Of what is not there, or not here, there are no events.
fn channel(call: &Call) -> Result<Option<Channel>, Error> {
    let parsed = call.query_value("channel").map(|text| text.parse()).transpose();
    parsed.map_err(|error: ChannelError| Error::invalid("channel", format!("channel {error}")))
}

/// `types`, comma between. Everything that matches a name is meant, added types too.
fn types(call: &Call, of_paywall: bool) -> Result<Option<Filter>, Error> {
    let Some(text) = call.query_value("types") else { return Ok(None) };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let filter = if of_paywall {
        Filter::subscription(&names, true).map(|(filter, _)| filter)
    } else {
        Filter::endpoint(&names, true)
    };
    filter.map(Some).map_err(|error| Error::invalid("types", format!("types {error}")))
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let of_paywall = paywall_no(&app, &call)?.is_some();
    let after = call.query_value("after").filter(|_| !of_paywall);
    let after = after.or_else(|| call.query_value("cursor").filter(|_| of_paywall));
    let query = query(&app, &call, after.as_deref().unwrap_or("start"))?;
    let wait = call.parsed::<u64>("wait")?.unwrap_or(0);
    if wait > WAIT_S_MAX {
        return Err(Error::invalid("wait", "wait must be 0 to 30"));
    }
    let page = waited(&app, &call, query, wait).await?;
    Ok(if of_paywall { paywall_page(&page) } else { environment_page(&page) })
}

/// Holds an empty page back until there is an event or the time is over.
async fn waited(app: &App, call: &Call, mut query: Query, wait_s: u64) -> Result<Page, Error> {
    let deadline = Instant::now() + Duration::from_secs(wait_s);
    let mut commits = app.engine.commits();
    loop {
        commits.mark_unchanged();
        let page = read_page(app, call, query.clone()).await?;
        let over = Instant::now() >= deadline;
        if !page.events.is_empty() || over || page.has_more() {
            return Ok(page);
        }
        query.after = page.next;
        // Both a commit and the end of the time lead to one more look.
        drop(timeout_at(deadline, commits.changed()).await);
    }
}

pub async fn read_page(app: &App, call: &Call, query: Query) -> Result<Page, Error> {
    let scope = call.scope;
    app.engine.read_aside(move |read| feed::page(read, &scope, &query)).await
}

fn environment_page(page: &Page) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        data: Vec<Frame<'a>>,
        has_more: bool,
        next_cursor: String,
        head_position: u64,
    }
    Answer::ok(&Body {
        data: page.events.iter().map(Frame::of).collect(),
        has_more: page.has_more(),
        next_cursor: page.next_cursor(),
        head_position: page.head,
    })
}

fn paywall_page(page: &Page) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        events: Vec<Option<&'a RawValue>>,
        next_cursor: String,
    }
    let events = page.events.iter().map(|recorded| raw(&recorded.event.body)).collect();
    Answer::ok(&Body { events, next_cursor: page.next_cursor() })
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    let of = paywall_no(&app, &call)?;
    let id: EventId = call.path("event_id", "event")?;
    let found = app.engine.read_now(|read| feed::find(read, &call.scope, of, id))?;
    Ok(match of {
        Some(_) => Answer::ok(&InEvent { event: raw(&found.event.body) }),
        None => Answer::ok(&Frame::of(&found)),
    })
}

/// The flat event under its root key.
#[derive(Serialize)]
pub struct InEvent<'a> {
    pub event: Option<&'a RawValue>,
}

/// The bytes as they are stored.
pub fn raw(body: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(body).ok()
}

/// An event of the feed, with its number and its body unchanged.
#[derive(Serialize)]
pub struct Frame<'a> {
    id: EventId,
    position: u64,
    family: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: Value,
    sequence: u64,
    paywall_id: Option<&'a str>,
    channels: Channels,
    created_at: Timestamp,
    recorded_at: Timestamp,
    suppressed: bool,
    request: Value,
    body: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    pub fn of(recorded: &'a Recorded) -> Frame<'a> {
        let event = &recorded.event;
        let (kind, id) = event.subject.split_once(':').unwrap_or_default();
        Frame {
            id: event.id(),
            position: event.place.position(),
            family: event.kind.family().name(),
            kind: event.kind.name(),
            subject: json!({ "type": kind, "id": id }),
            sequence: event.sequence,
            paywall_id: (kind == "paywall").then_some(id),
            channels: event.channels,
            created_at: event.at,
            recorded_at: recorded.recorded_at,
            suppressed: event.suppressed,
            request: json!({ "id": event.request, "idempotency_key": event.idempotency_key }),
            body: raw(&event.body),
        }
    }
}
