//! Webhook endpoints: the list, a new one, and one's page with its deliveries and its switches.

use domain::id::ReceiverId;
use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{deliveries, door, mishap, parts, webhook_health, webhook_replays, webhook_secrets};
use crate::http::route::Routes;

pub const SECTION: &str = "Webhooks";
const NEWEST_MAX: i64 = 20;

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Webhook), Needs::write(Entity::Webhook));
    Pages::default()
        .get("/webhooks", Some(reads), list)
        .get("/webhooks/new", Some(writes), new)
        .post("/webhooks/new", Some(writes), create)
        .get("/webhooks/{id}", Some(reads), show)
        .post("/webhooks/{id}/{deed}", Some(writes), act)
        .into_routes()
}

fn tabs(here: &str) -> Markup {
    let all = [("Endpoints", "/webhooks"), ("Deliveries", "/webhooks/deliveries")];
    let all: Vec<(&str, String, bool)> =
        all.iter().map(|(name, to)| (*name, (*to).to_owned(), *name == here)).collect();
    parts::tabs("Webhooks", &all)
}

/// A page with the tabs of this part.
pub fn page(here: &str, body: &Markup) -> Page {
    Page::new("Webhooks", html! { (tabs(here)) (body) }).of(SECTION)
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let found = door::ask(&visit, "GET /v1/webhooks/endpoints").with("limit", "100").json().await?;
    let rows: Vec<Vec<Markup>> = parts::rows(&found).iter().map(row).collect();
    let heads = [
        ("Endpoint", ""),
        ("State", ""),
        ("Events", ""),
        ("Failures in a row", "r"),
        ("Last success (UTC)", "tight"),
    ];
    let body = html! {
        section.panel #endpoints data-live {
            @if rows.is_empty() { (nothing_yet()) }
            @else { (parts::table("Endpoints", &heads, &rows)) }
        }
    };
    let page = page("Endpoints", &body).live();
    let new = html! { a.button.main href="/webhooks/new" { "Add an endpoint" } };
    Ok(Shown::Page(if visit.writes(Entity::Webhook) { page.actions(new) } else { page }))
}

fn row(one: &Value) -> Vec<Markup> {
    let word = |name: &str| parts::text(&one[name]);
    vec![
        html! {
            (parts::link(&format!("/webhooks/{}", word("id")), &word("url")))
            @if !word("description").is_empty() { div.faint { (word("description")) } }
        },
        state(one),
        html! { span.mute { (types(one)) } },
        html! { span.num { (word("failures_in_a_row")) } },
        parts::json_time(&one["last_success_at"]),
    ]
}

fn state(one: &Value) -> Markup {
    let failing = one["failures_in_a_row"].as_i64().unwrap_or(0) > 0;
    html! {
        (parts::badge(&parts::text(&one["state"])))
        @if failing { " " (parts::badge("failed")) }
    }
}

fn types(one: &Value) -> String {
    let names: Vec<String> =
        one["types"].as_array().into_iter().flatten().map(parts::text).collect();
    match names.as_slice() {
        [one] if one == "*" => "all".to_owned(),
        [first, rest @ ..] if rest.len() > 2 => format!("{first} and {} more", rest.len()),
        names => names.join(", "),
    }
}

/// What it is narrowed to.
fn channels(one: &Value) -> String {
    let all: Vec<String> =
        one["channels"].as_array().into_iter().flatten().map(parts::text).collect();
    all.join(", ")
}

fn nothing_yet() -> Markup {
    parts::blank(
        "Nobody is told yet",
        &html! {
            p {
                "An endpoint is a URL of yours that hears of every change: signed by Standard "
                "Webhooks, "
                "in order for each subject, tried again until it answers. Nothing that was "
                "acknowledged "
                "is ever untold."
            }
            p { a.button.main href="/webhooks/new" { "Add the first" } }
        },
    )
}

async fn new(visit: Visit) -> Result<Shown, Error> {
    Ok(Shown::Page(new_page(&visit, &Form::of(b""), None)))
}

const FIELDS: &[(&str, &str, &str, &str)] = &[
    ("URL", "url", "https://example.com/hooks/farebox", "It must answer 2xx within its time."),
    ("Events", "types", "*", "Names with commas between; wallet.* takes a family, * takes all."),
    ("Description", "description", "Ledger sync", ""),
];

fn new_page(visit: &Visit, form: &Form, problem: Option<&str>) -> Page {
    let example = json!({ "url": "https://example.com/hooks/farebox", "types": ["*"] });
    let body = html! {
        (parts::problem(problem))
        section.panel.narrow {
            div.in {
                form method="post" action="/webhooks/new" {
                    (parts::token(visit)) (parts::once(visit))
                    (parts::texts(form, FIELDS))
                    button.main type="submit" { "Add the endpoint" }
                }
                (parts::as_curl(visit, "POST", "/v1/webhooks/endpoints", Some(&example)))
            }
        }
    };
    Page::new("Add an endpoint", body).of(SECTION).under("Webhooks", "/webhooks")
}

async fn create(visit: Visit) -> Result<Shown, Error> {
    let form = visit.form();
    let types = form.some("types").unwrap_or_else(|| "*".to_owned());
    let types: Vec<&str> = types.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
    let mut body = Value::Object(form.object(&["url", "description"]));
    body["types"] = json!(types);
    let ask = door::ask(&visit, "POST /v1/webhooks/endpoints").body(body);
    Ok(Shown::Page(match ask.once(&form.get("once")).json().await {
        Ok(made) => webhook_secrets::shown_once(&visit, &made),
        Err(error) => new_page(&visit, &form, Some(&mishap::words(&error))),
    }))
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("id", "webhook endpoint")?;
    let one = door::ask(&visit, "GET /v1/webhooks/endpoints/{id}").of("id", id.as_str());
    let one = one.json().await?;
    let stats = door::ask(&visit, "GET /v1/webhooks/endpoints/{id}/stats").of("id", id.as_str());
    let stats = stats.json().await?;
    let list = newest(&visit, &id).await?;
    let replays = webhook_replays::panel(&visit, &one).await?;
    let more = format!("/webhooks/deliveries?endpoint_id={id}");
    let body = html! {
        div.split {
            div {
                (webhook_health::panel(&one, &stats))
                (replays)
                section.panel #deliveries data-live {
                    header { h2 { "Latest deliveries" } a href=(more) { "All" } }
                    (deliveries::table(&list))
                }
            }
            aside {
                @if visit.writes(Entity::Webhook) { (switches(&visit, &one)) }
                (facts(&visit, &one))
                (webhook_secrets::panel(&visit, &one))
            }
        }
    };
    let page = Page::new(parts::text(&one["url"]), body).of(SECTION).live();
    Ok(Shown::Page(page.under("Webhooks", "/webhooks")))
}

/// The endpoint's newest deliveries, along its own key.
async fn newest(visit: &Visit, id: &str) -> Result<Value, Error> {
    let id: ReceiverId = id.parse().map_err(|_| Error::not_found("webhook endpoint"))?;
    let scope = visit.scope();
    let ids = visit.app.engine.read_now(|read| {
        Ok(store::receiver_deliveries::newest(read, &scope, id.no(), NEWEST_MAX)?)
    })?;
    let mut found = Vec::new();
    for one in ids {
        let ask = door::ask(visit, "GET /v1/webhooks/deliveries/{delivery_id}");
        found.push(ask.of("delivery_id", one).json().await?);
    }
    Ok(json!({ "data": found }))
}

fn facts(visit: &Visit, one: &Value) -> Markup {
    let word = |name: &str| parts::text(&one[name]);
    let path = format!("/v1/webhooks/endpoints/{}", word("id"));
    html! {
        section.panel #facts data-live {
            header { h2 { "Endpoint" } }
            div.in {
                (parts::facts(&[
                    ("State", state(one)),
                    ("Why", parts::or_dash(&word("state_reason"))),
                    ("Id", parts::id(&word("id"))),
                    ("Description", parts::or_dash(&word("description"))),
                    ("Events", html! { (types(one)) }),
                    ("Channels", parts::or_dash(&channels(one))),
                    ("Order", html! { (word("ordering")) }),
                    ("Failures in a row", html! { (word("failures_in_a_row")) }),
                    ("Last attempt", parts::json_time(&one["last_attempt_at"])),
                    ("Last success", parts::json_time(&one["last_success_at"])),
                ]))
                p { a href={ "/audit?entity=" (word("id")) } { "Changes in the audit log" } }
                (parts::as_curl(visit, "GET", &path, None))
                (parts::raw_json(one))
            }
        }
    }
}

fn switches(visit: &Visit, one: &Value) -> Markup {
    let to = |deed: &str| format!("/webhooks/{}/{deed}", parts::text(&one["id"]));
    let state = parts::text(&one["state"]);
    html! {
        section.panel {
            header { h2 { "Do" } }
            div.in.actions {
                (parts::button(visit, &to("test"), "Send a test", "main"))
                @if state == "paused" { (begin_again(visit, &to("resume"), "Resume")) }
                @if state == "enabled" {
                    (parts::button(visit, &to("pause"), "Pause", ""))
                    (parts::button(visit, &to("disable"), "Switch off", "danger"))
                }
                @if state == "disabled" { (begin_again(visit, &to("enable"), "Switch on")) }
                (parts::button(visit, &to("delete"), "Delete", "danger"))
            }
        }
    }
}

/// What becomes of what was held back is chosen with the switch.
fn begin_again(visit: &Visit, to: &str, label: &str) -> Markup {
    let fates = [("send", "send what waits, in order"), ("discard", "give up what waits")];
    html! {
        form.again method="post" action=(to) {
            (parts::token(visit)) (parts::once(visit))
            (parts::select_field("And", "parked", (&fates, "send")))
            button type="submit" { (label) }
        }
    }
}

async fn act(visit: Visit) -> Result<Shown, Error> {
    let (id, deed) =
        (visit.path::<String>("id", "webhook endpoint")?, visit.path::<String>("deed", "page")?);
    let fate =
        json!({ "parked": visit.form().some("parked").unwrap_or_else(|| "send".to_owned()) });
    let (route, body, said) = match deed.as_str() {
        "test" => ("POST /v1/webhooks/endpoints/{id}/test", json!({}), "A test is on its way."),
        "pause" => {
            ("POST /v1/webhooks/endpoints/{id}/pause", json!({}), "Paused: what happens now waits.")
        }
        "resume" => ("POST /v1/webhooks/endpoints/{id}/resume", fate, "It is told again."),
        "disable" => ("POST /v1/webhooks/endpoints/{id}/disable", json!({}), "Switched off."),
        "enable" => ("POST /v1/webhooks/endpoints/{id}/enable", fate, "Switched on."),
        "delete" => ("DELETE /v1/webhooks/endpoints/{id}", json!({}), "The endpoint is deleted."),
        _ => return Err(Error::not_found("page")),
    };
    let ask = door::ask(&visit, route).of("id", id.as_str()).body(body);
    let done = ask.once(&visit.form().get("once")).json().await;
    let to = format!("/webhooks/{id}");
    Ok(match (done, deed.as_str()) {
        (Ok(_), "delete") => Shown::done("/webhooks", said),
        (Ok(_), _) => Shown::done(to, said),
        (Err(error), _) => Shown::failed(to, &error),
    })
}
