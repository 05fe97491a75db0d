//! `/v1/webhooks/events/stream`: the feed as server-sent events (webhooks 19.1).
//!
//! Events are read in pages as fast as the client takes them: a slow client falls behind and
//! catches up, and nothing is kept for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use domain::place::EnvNo;
use engine::feed::{Page, Query};
use engine::{Class, Error, Fault};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use super::answer::Answer;
use super::call::{Call, Caller};
use super::errors;
use super::route::Surface;
use super::webhook_feed::{Frame, InEvent, paywall_no, query, raw, read_page};
use crate::app::App;

const STREAMS_MAX: usize = 20;
const PING: Duration = Duration::from_secs(15);
const PAGE: usize = 100;
/// Chunks that wait for the client.
const CHUNKS_MAX: usize = 2;

/// Open streams of this process, by environment.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<HashMap<EnvNo, usize>>>);

/// One of the places for streams; given back with the value.
struct Seat {
    streams: Streams,
    env: EnvNo,
}

impl Streams {
    /// Open now, of all environments.
    pub fn open(&self) -> usize {
        self.0.lock().values().sum()
    }

    fn sit(&self, env: EnvNo) -> Result<Seat, Error> {
        let mut open = self.0.lock();
        let count = open.entry(env).or_default();
        if *count >= STREAMS_MAX {
            let message = format!("at most {STREAMS_MAX} streams at a time");
            return Err(Fault::new(Class::TooMany, "too_many_requests", message).into());
        }
        *count += 1;
        Ok(Seat { streams: self.clone(), env })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(count) = self.streams.0.lock().get_mut(&self.env) {
            *count = count.saturating_sub(1);
        }
    }
}

pub async fn stream(app: App, call: Call) -> Result<Answer, Error> {
    let last = call.header("last-event-id").map(str::to_owned);
    let after = last.or_else(|| call.query_value("after")).unwrap_or_else(|| "now".to_owned());
    let query = Query { limit: PAGE, ..query(&app, &call, &after)? };
    let seat = app.streams.sit(call.scope.env)?;
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let of_paywall = paywall_no(&app, &call)?.is_some();
    tokio::spawn(Stream { app, call, query, sender, of_paywall, _seat: seat }.run());
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Answer::Raw(Box::new(response)))
}

struct Stream {
    app: App,
    call: Call,
    query: Query,
    sender: mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
    of_paywall: bool,
    _seat: Seat,
}

/// The client has gone away.
struct Gone;

impl Stream {
    async fn run(mut self) {
        if let Err(error) = self.feed().await {
            let surface = if self.of_paywall { Surface::Paywall } else { Surface::Billing };
            let answer = errors::answer(&error, surface, self.call.request);
            if let Answer::Whole { body, .. } = answer {
                let text = String::from_utf8_lossy(&body).into_owned();
                drop(self.send(format!("event: error\ndata: {text}\n\n")).await);
            }
        }
    }

    async fn feed(&mut self) -> Result<(), Error> {
        let mut commits = self.app.engine.commits();
        let mut stopping = self.app.stopping();
        let mut first = true;
        let mut ping_at = Instant::now() + PING;
        loop {
            commits.mark_unchanged();
            let page = read_page(&self.app, &self.call, self.query.clone()).await?;
            if first && self.greet(&page).await.is_err() {
                return Ok(());
            }
            first = false;
            if self.tell(&page).await.is_err() {
                return Ok(());
            }
            self.query.after = page.next;
            if page.has_more() && !self.app.is_stopping() {
                continue;
            }
            tokio::select! {
                _ = timeout_at(ping_at, commits.changed()) => {}
                // The client goes on with the last id it saw.
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            }
            if Instant::now() >= ping_at {
                ping_at = Instant::now() + PING;
                self.still_allowed()?;
                if self.ping(&page).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn greet(&self, page: &Page) -> Result<(), Gone> {
        let cursor = engine::feed::cursor(&page.mark, self.query.after);
        let data = json!({ "cursor": cursor, "head_position": page.head });
        self.send(format!("retry: 1000\nevent: ready\ndata: {data}\n\n")).await
    }

    async fn tell(&self, page: &Page) -> Result<(), Gone> {
        let mut text = String::new();
        for recorded in &page.events {
            let cursor = engine::feed::cursor(&page.mark, recorded.event.place.position());
            let data = if self.of_paywall {
                serde_json::to_string(&InEvent { event: raw(&recorded.event.body) })
            } else {
                serde_json::to_string(&Frame::of(recorded))
            };
            for line in
                ["event: event\nid: ", &cursor, "\ndata: ", &data.unwrap_or_default(), "\n\n"]
            {
                text.push_str(line);
            }
        }
        if text.is_empty() { Ok(()) } else { self.send(text).await }
    }

    /// A filtered reader does not fall behind while nothing matches.
    async fn ping(&self, page: &Page) -> Result<(), Gone> {
        let cursor = page.next_cursor();
        let data = json!({ "cursor": cursor });
        self.send(format!(": ping\n\nevent: position\nid: {cursor}\ndata: {data}\n\n")).await
    }

    /// A key that was revoked meanwhile ends the stream.
    fn still_allowed(&self) -> Result<(), Error> {
        let (Caller::Key(key) | Caller::Paywall(key, _)) = &self.call.caller else {
            return Ok(());
        };
        let hash = key.hash;
        let stored =
            self.app.engine.read_now(|read| Ok(store::keys::find_by_hash(read, &hash)?))?;
        match stored {
            Some(key) if key.status == "published" => Ok(()),
            _ => {
                Err(Fault::new(Class::Unauthorized, "unauthorized", "this key was revoked").into())
            }
        }
    }

    async fn send(&self, text: String) -> Result<(), Gone> {
        self.sender.send(Ok(Bytes::from(text))).await.map_err(|_| Gone)
    }
}
