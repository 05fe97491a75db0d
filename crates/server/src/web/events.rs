//! The event feed, newest first: everything that was told, whoever heard it; and one event as it
//! is.

use domain::id::{EventId, ReceiverId};
use domain::percent;
use domain::place::Placed as _;
use domain::role::{Entity, Needs};
use domain::time::Timestamp;
use domain::webhook::filter::Filter;
use engine::Error;
use engine::feed::{self, Page as FeedPage, Query};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{door, parts};
use crate::http::route::Routes;

const SECTION: &str = "Events";
/// Positions of the log that one page is of; with a filter it looks at more.
const WINDOW: u64 = 50;
const WINDOW_FILTERED: u64 = 300;

pub fn routes() -> Routes {
    let reads = Some(Needs::read(Entity::Webhook));
    Pages::default().get("/events", reads, list).get("/events/{event}", reads, show).into_routes()
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let scope = visit.scope();
    let (kind, subject) = (visit.query("type"), visit.query("subject"));
    let filter = kind.clone().map(|name| Filter::endpoint(&[name], true)).transpose();
    let types = filter.map_err(|error| Error::invalid("type", error.to_string()))?;
    let filtered = types.is_some() || subject.is_some();
    let window = if filtered { WINDOW_FILTERED } else { WINDOW };
    let before: Option<u64> = visit.query("before").and_then(|text| text.parse().ok());
    let wanted = subject.clone();
    let (page, upto) = visit
        .app
        .engine
        .read_aside(move |read| {
            let head = store::events::head(read, &scope)?;
            let upto = before.unwrap_or(head + 1).min(head + 1);
            let after = upto.saturating_sub(window + 1);
            let limit = usize::try_from(window).unwrap_or(50);
            let query = Query { after, limit, types, subject: wanted.clone(), ..Query::default() };
            Ok((feed::page(read, &scope, &query)?, upto))
        })
        .await?;
    let older = upto.saturating_sub(window);
    let filters = format!(
        "type={}&subject={}",
        percent::encoded(&kind.clone().unwrap_or_default()),
        percent::encoded(&subject.clone().unwrap_or_default())
    );
    let next = (older > 1).then(|| format!("/events?{filters}&before={older}"));
    let first = before.map(|_| format!("/events?{filters}"));
    let subject = subject.unwrap_or_default();
    let about = (subject.as_str(), "wallet:wallet_…");
    let body = html! {
        form.filters action="/events" {
            (parts::text_field("Event", "type", (&kind.unwrap_or_default(), "wallet.*"), ""))
            (parts::text_field("Subject", "subject", about, ""))
            button type="submit" { "Filter" }
            a.button.quiet href="/events" { "All" }
        }
        section.panel #feed data-live {
            (table(&page, upto))
            @if filtered {
                p.help.in { "Looked at positions " (older) " to " (upto - 1) " of the log." }
            }
            (parts::pager(first.as_deref(), next.as_deref()))
        }
    };
    Ok(Shown::Page(Page::new("Events", body).of(SECTION).live()))
}

fn table(page: &FeedPage, upto: u64) -> Markup {
    let heads = [
        ("Position", "r"),
        ("Event", ""),
        ("About", ""),
        ("Sequence", "r"),
        ("Time (UTC)", "tight"),
    ];
    let row = |recorded: &store::events::Recorded| {
        let event = &recorded.event;
        vec![
            parts::count(event.place.position()),
            parts::link(&format!("/events/{}", event.id()), event.kind.name()),
            html! { code.wrap.mute { (event.subject) } },
            parts::count(event.sequence),
            parts::time(event.at),
        ]
    };
    let shown = page.events.iter().rev().filter(|one| one.event.place.position() < upto);
    let rows: Vec<Vec<Markup>> = shown.map(row).collect();
    html! {
        @if rows.is_empty() {
            (parts::blank("No event here", &html! {
                p { "Each change of state writes its event in the same transaction." }
            }))
        } @else { (parts::table("Events", &heads, &rows)) }
    }
}

/// Deliveries of an event, asked for by endpoint: so each is one look-up by its key.
async fn told(visit: &Visit, one: &Value) -> Result<Value, Error> {
    let missing = || Error::not_found("event");
    let event: EventId = parts::text(&one["id"]).parse().map_err(|_| missing())?;
    let at = Timestamp::parse(&parts::text(&one["created_at"])).map_err(|_| missing())?;

    let all = door::ask(visit, "GET /v1/webhooks/endpoints").with("limit", "100").json().await?;
    let mut found = Vec::new();
    for endpoint in parts::rows(&all) {
        let Ok(receiver) = parts::text(&endpoint["id"]).parse::<ReceiverId>() else { continue };
        let delivery = event.place().delivery_id(at, receiver.no());
        let ask = door::ask(visit, "GET /v1/webhooks/deliveries/{delivery_id}");
        // Who has no delivery of it was not told.
        found.extend(ask.of("delivery_id", delivery).json().await.ok());
    }
    Ok(json!({ "data": found }))
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("event", "event")?;
    let one = door::ask(&visit, "GET /v1/webhooks/events/{event_id}").of("event_id", id.as_str());
    let one = one.json().await?;
    let sent = told(&visit, &one).await?;
    let word = |name: &str| parts::text(&one[name]);
    let subject = one["subject"]["id"].as_str().unwrap_or_default();
    let place = super::live::place_of(subject);
    let body = html! {
        div.grid {
            section.panel {
                header { h2 { "Event" } }
                div.in {
                    (parts::facts(&[
                        ("Id", parts::id(&id)),
                        ("About", html! {
                            @match &place {
                                Some(to) => (parts::link(to, subject)), None => (subject)
                            }
                        })
                        ,
                        ("Position", html! { (word("position")) }),
                        ("Sequence", html! { (word("sequence")) }),
                        ("Happened", parts::json_time(&one["created_at"])),
                        ("Recorded", parts::json_time(&one["recorded_at"])),
                        ("Request", parts::or_dash(&parts::text(&one["request"]["id"]))),
                    ]))
                    (parts::as_curl(&visit, "GET", &format!("/v1/webhooks/events/{id}"), None))
                }
            }
            section.panel { header { h2 { "Who was told" } } (super::deliveries::table(&sent)) }
        }
        section.panel { div.in { (parts::json("Body", &Value::clone(&one["body"]))) } }
    };
    Ok(Shown::Page(Page::new(word("type"), body).of(SECTION).under("Events", "/events")))
}
