//! Replays on an endpoint's page: how far each came, a stop, and a new one after a look at how many
//! events it takes.

use domain::percent;
use domain::role::{Entity, Needs};
use domain::time::{DAY_MS, Timestamp};
use domain::webhook::receiver::ReceiverKind;
use engine::Error;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::form::Form;
use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::webhooks::SECTION;
use super::{door, mishap, parts};
use crate::http::route::Routes;

const START: &str = "POST /v1/webhooks/endpoints/{id}/replays";
const LIST: &str = "GET /v1/webhooks/endpoints/{id}/replays";
const CANCEL: &str = "POST /v1/webhooks/replays/{replay_id}/cancel";
const SHOWN_MAX: &str = "10";

pub fn routes() -> Routes {
    let writes = Some(Needs::write(Entity::Webhook));
    Pages::default()
        .get("/webhooks/{id}/replay", writes, ask)
        .post("/webhooks/{id}/replay", writes, act)
        .post("/webhooks/{id}/replays/{replay}/cancel", writes, cancel)
        .into_routes()
}

/// The endpoint's replays, newest first; while one runs the part asks to be looked at often.
pub async fn panel(visit: &Visit, one: &Value) -> Result<Markup, Error> {
    let id = parts::text(&one["id"]);
    let ask = door::ask(visit, LIST).of("id", id.as_str()).with("limit", SHOWN_MAX);
    let cursor = visit.query("cursor");
    let list = ask.maybe("cursor", cursor.as_deref()).json().await?;
    let all = parts::rows(&list);
    let runs = all.iter().any(|replay| replay["status"] == "running");
    let path = format!("/webhooks/{id}");
    Ok(html! {
        section.panel #replays data-live data-busy[runs] {
            header {
                h2 { "Replays" }
                @if visit.writes(Entity::Webhook) { a href={ (path) "/replay" } { "Start one" } }
            }
            @if all.is_empty() {
                (parts::blank("No replay yet", &html! {
                    p {
                        "A replay sends events of the past again: those that the endpoint missed, "
                        "those that failed, or all of a time."
                    }
                }))
            } @else {
                ul.runs { @for replay in all { (row(visit, one, replay)) } }
            }
            (parts::more(&list, &path, cursor.is_some()))
        }
    })
}

fn row(visit: &Visit, one: &Value, replay: &Value) -> Markup {
    let word = |name: &str| parts::text(&replay[name]);
    let runs = replay["status"] == "running";
    html! {
        li data-row=(word("id")) {
            div.head {
                (parts::badge(status(&word("status"))))
                span.what {
                    (which(&word("only"))) " from " (parts::json_time(&replay["from"]))
                    " to " (parts::json_time(&replay["to"])) (narrowed(replay))
                }
                @if runs && visit.writes(Entity::Webhook) {
                    @let (endpoint, id) = (parts::text(&one["id"]), word("id"));
                    @let to = format!("/webhooks/{endpoint}/replays/{id}/cancel");
                    (parts::button(visit, &to, "Cancel", "danger"))
                }
            }
            (progress(replay))
            p.help {
                (said(replay))
                @if runs && one["state"] == "paused" { " It is held while the endpoint is paused." }
            }
        }
    }
}

fn status(status: &str) -> &str {
    if status == "done" { "completed" } else { status }
}

fn which(only: &str) -> &'static str {
    match only {
        "failed" => "What failed,",
        "all" => "Everything,",
        _ => "What never reached it,",
    }
}

/// The words by which it is narrowed.
fn narrowed(replay: &Value) -> Markup {
    let names = |name: &str| {
        let all: Vec<String> =
            replay[name].as_array().into_iter().flatten().map(parts::text).collect();
        all.join(", ")
    };
    let lists = [("types", "types"), ("subjects", "subjects"), ("event_ids", "events")];
    html! {
        @for (name, shown) in lists {
            @if !replay[name].is_null() { " · " (shown) " " code { (names(name)) } }
        }
        @if let Some(rps) = replay["max_rps"].as_u64() { " · at most " (rps) " a second" }
    }
}

fn number(replay: &Value, name: &str) -> u64 {
    replay[name].as_u64().unwrap_or(0)
}

fn progress(replay: &Value) -> Markup {
    let (all, gone) =
        (replay["matched"].as_u64(), number(replay, "sent") + number(replay, "skipped"));
    let ended = replay["status"] != "running";
    html! {
        @match all {
            Some(all) => progress aria-label="Sent so far" max=(all.max(1))
                value=(if all == 0 && ended { 1 } else { gone.min(all) }) {},
            None if ended => {},
            None => progress aria-label="Sent so far, still counting" {},
        }
    }
}

fn said(replay: &Value) -> Markup {
    let count = |name: &str| parts::count(number(replay, name));
    let end = &replay["finished_at"];
    html! {
        (count("sent"))
        @if let Some(all) = replay["matched"].as_u64() { " of " (parts::count(all)) }
        " sent: " (count("delivered")) " delivered, " (count("failed")) " failed"
        @if number(replay, "skipped") > 0 { ", " (count("skipped")) " were on their way already" }
        "."
        @if !end.is_null() { " Ended " (parts::json_time(end)) "." }
    }
}

async fn endpoint(visit: &Visit) -> Result<Value, Error> {
    let id: String = visit.path("id", "webhook endpoint")?;
    door::ask(visit, "GET /v1/webhooks/endpoints/{id}").of("id", id.as_str()).json().await
}

async fn ask(visit: Visit) -> Result<Shown, Error> {
    let one = endpoint(&visit).await?;
    let day_ago = visit.app.engine.now(&visit.scope()).plus_ms(-DAY_MS);
    let from = visit.query("from").and_then(|text| Timestamp::parse(&text).ok()).unwrap_or(day_ago);
    let from = format!("from={}", percent::encoded(&local(from)));
    Ok(Shown::Page(form_page(&visit, &one, &Form::of(from.as_bytes()), None)))
}

/// As a field for a time has it.
fn local(at: Timestamp) -> String {
    at.to_string().get(..19).unwrap_or_default().to_owned()
}

/// As the API has it: what is there is UTC.
fn utc(field: &str) -> String {
    if field.ends_with('Z') || field.is_empty() {
        return field.to_owned();
    }
    let seconds = if field.len() == "2026-01-01T00:00".len() { ":00" } else { "" };
    format!("{field}{seconds}Z")
}

const WHICH: &[(&str, &str)] = &[
    ("undelivered", "what never reached it"),
    ("failed", "what used up its schedule"),
    ("all", "everything, also what it has"),
];

fn frame(one: &Value, body: Markup) -> Page {
    let to = format!("/webhooks/{}", parts::text(&one["id"]));
    let page = Page::new("Replay", body).of(SECTION).under("Webhooks", "/webhooks");
    page.under(parts::text(&one["url"]), to)
}

fn form_page(visit: &Visit, one: &Value, form: &Form, problem: Option<&str>) -> Page {
    let id = parts::text(&one["id"]);
    let body = html! {
        (parts::problem(problem))
        section.panel.narrow {
            div.in {
                p.mute {
                    "Times are UTC, those of the change. Only what the endpoint's own types and "
                    "channels take now is sent."
                }
                form method="post" action={ "/webhooks/" (id) "/replay" } {
                    (parts::token(visit)) (parts::once(visit))
                    (fields(form))
                    button.main type="submit" name="step" value="preview" { "Count what matches" }
                }
                (parts::as_curl(visit, "POST", &format!("/v1/webhooks/endpoints/{id}/replays"),
                    Some(&json!({ "from": utc(&form.get("from")) }))))
            }
        }
    };
    frame(one, body)
}

fn fields(form: &Form) -> Markup {
    let get = |name: &str| form.get(name);
    html! {
        div.row {
            (parts::typed_field("From", "from", &parts::Typed::time(&get("from")), ""))
            (parts::typed_field("To", "to", &parts::Typed::time(&get("to")), "Empty: until now."))
        }
        (parts::select_field("Which deliveries", "only", (WHICH, &get("only"))))
        (parts::texts(form, &[
            ("Types", "types", "wallet.*", "Names with commas between. Empty: all that it takes."),
            ("Subjects", "subjects", "wallet:wallet_…",
                "Kind and id, with commas between. Empty: all."),
        ]))
        (parts::typed_field("Most a second", "max_rps",
            &parts::Typed::whole(&get("max_rps"), "1", "1000"),
            "Empty: as fast as the endpoint takes them."))
    }
}

/// The body of the API's call, made of the form.
fn asked(form: &Form) -> Value {
    let mut body = Map::new();
    for name in ["from", "to"] {
        if let Some(at) = form.some(name) {
            body.insert(name.to_owned(), json!(utc(&at)));
        }
    }
    for name in ["types", "subjects"] {
        let text = form.get(name);
        let all: Vec<&str> = text.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        if !all.is_empty() {
            body.insert(name.to_owned(), json!(all));
        }
    }
    if let Some(only) = form.some("only") {
        body.insert("only".to_owned(), json!(only));
    }
    if let Some(rps) = form.some("max_rps") {
        let rps = rps.parse::<u64>().map_or_else(|_| json!(rps), |rps| json!(rps));
        body.insert("max_rps".to_owned(), rps);
    }
    Value::Object(body)
}

async fn act(visit: Visit) -> Result<Shown, Error> {
    let one = endpoint(&visit).await?;
    let (id, form) = (parts::text(&one["id"]), visit.form());
    let body = asked(&form);
    let outcome = match form.get("step").as_str() {
        "edit" => return Ok(Shown::Page(form_page(&visit, &one, &form, None))),
        "confirm" => {
            let ask = door::ask(&visit, START).of("id", id.as_str()).body(body);
            let made = ask.once(&form.get("once")).json().await;
            made.map(|_| Shown::done(format!("/webhooks/{id}#replays"), "The replay has begun."))
        }
        _ => count(&visit, &one, &body)
            .await
            .map(|count| Shown::Page(confirm_page(&visit, &one, (&form, &body), count))),
    };
    Ok(outcome.unwrap_or_else(|error| {
        Shown::Page(form_page(&visit, &one, &form, Some(&mishap::words(&error))))
    }))
}

async fn count(visit: &Visit, one: &Value, body: &Value) -> Result<Option<u64>, Error> {
    let scope = visit.scope();
    let id = parts::text(&one["id"]).parse().map_err(|_| Error::not_found("webhook endpoint"))?;
    let selection = engine::replays::read(body, visit.app.engine.now(&scope))?;
    let of = ((ReceiverKind::Endpoint, None), id);
    visit.app.engine.count_replay(scope, of, selection).await
}

fn confirm_page(
    visit: &Visit,
    one: &Value,
    (form, body): (&Form, &Value),
    count: Option<u64>,
) -> Page {
    let id = parts::text(&one["id"]);
    let path = format!("/v1/webhooks/endpoints/{id}/replays");
    let page = html! {
        section.panel.narrow {
            header { h2 { "This is what it takes" } span.mute { "nothing has been sent yet" } }
            div.in {
                div.effect {
                    div {
                        div.v {
                            @match count {
                                Some(1) => "1 event",
                                Some(count) => { (parts::count(count)) " events" }
                                None => "very many events",
                            }
                        }
                        div.mute { (words(count)) }
                    }
                }
                (parts::facts(&[
                    ("To", html! { (parts::text(&one["url"])) }),
                    ("Which", html! {
                        (which(&parts::text(&body["only"])))
                        " from " (parts::json_time(&body["from"]))
                        @if body["to"].is_null() { " until now" }
                        @else { " to " (parts::json_time(&body["to"])) }
                        (narrowed(body))
                    }),
                ]))
                form method="post" action={ "/webhooks/" (id) "/replay" } {
                    @for (name, value) in form.pairs().iter().filter(|(name, _)| name != "step") {
                        input type="hidden" name=(name) value=(value);
                    }
                    div.actions {
                        @if count != Some(0) {
                            button.main type="submit" name="step" value="confirm" {
                                "Start the replay"
                            }
                        }
                        button type="submit" name="step" value="edit" { "Change it" }
                        a.button.quiet href={ "/webhooks/" (id) } { "Leave it" }
                    }
                }
                (parts::as_curl(visit, "POST", &path, Some(body)))
            }
        }
    };
    frame(one, page)
}

fn words(count: Option<u64>) -> &'static str {
    match count {
        Some(0) => "Nothing matches, so there is nothing to send.",
        Some(_) => {
            "Counted now, to the last one. Each goes out with the id that it had, in order for \
             each subject; what happens meanwhile does not wait for them."
        }
        None => {
            "Counting them takes longer than a page may wait; the replay counts on while it sends."
        }
    }
}

async fn cancel(visit: Visit) -> Result<Shown, Error> {
    let (id, replay) = (
        visit.path::<String>("id", "webhook endpoint")?,
        visit.path::<String>("replay", "replay")?,
    );
    let ask = door::ask(&visit, CANCEL).of("replay_id", replay.as_str());
    let to = format!("/webhooks/{id}#replays");
    Ok(match ask.json().await {
        Ok(_) => Shown::done(to, "Canceled: what it had not sent stands as before."),
        Err(error) => Shown::failed(to, &error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_for_a_time_is_read_as_utc() {
        let table = [
            ("", ""),
            ("2026-11-22T10:00", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:07", "2026-11-22T10:00:07Z"),
            ("2026-11-22T10:00:07Z", "2026-11-22T10:00:07Z"),
        ];
        for (field, expected) in table {
            assert_eq!(utc(field), expected);
        }
    }

    #[test]
    fn a_bar_says_how_much_of_what_matched_is_gone() {
        let table = [
            (
                json!({ "status": "running", "matched": 8, "sent": 2, "skipped": 1 }),
                "max=\"8\" value=\"3\"",
            ),
            (json!({ "status": "done", "matched": 0 }), "max=\"1\" value=\"1\""),
            (json!({ "status": "running", "matched": null }), "still counting"),
        ];
        for (replay, expected) in table {
            let shown = progress(&replay).into_string();
            assert!(shown.contains(expected), "{shown}");
        }
        assert!(progress(&json!({ "status": "canceled" })).into_string().is_empty());
    }
}
