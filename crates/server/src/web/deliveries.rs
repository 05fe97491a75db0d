//! Deliveries of webhooks: how far each came, every attempt with what was answered, and sending one
//! again.

use domain::percent;
use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};
use serde_json::Value;

use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::webhooks::{self, SECTION};
use super::{door, parts};
use crate::http::route::Routes;

const STATES: &[(&str, &str)] = &[
    ("", "Every state"),
    ("pending", "Pending"),
    ("delivered", "Delivered"),
    ("exhausted", "Exhausted"),
    ("canceled", "Canceled"),
];

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Webhook), Needs::write(Entity::Webhook));
    Pages::default()
        .get("/webhooks/deliveries", Some(reads), list)
        .get("/webhooks/deliveries/{delivery}", Some(reads), show)
        .post("/webhooks/deliveries/{delivery}/{deed}", Some(writes), act)
        .into_routes()
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let filters = ["status", "type", "endpoint_id"];
    let mut ask = door::ask(&visit, "GET /v1/webhooks/deliveries").with("limit", "50");
    let mut path = "/webhooks/deliveries?".to_owned();
    for name in filters {
        if let Some(value) = visit.query(name) {
            ask = ask.with(name, &value);
            path = format!("{path}{name}={}&", percent::encoded(&value));
        }
    }
    let cursor = visit.query("cursor");
    let list = ask.maybe("cursor", cursor.as_deref()).json().await?;
    let path = path.trim_end_matches(['&', '?']);
    let chosen = |name: &str| visit.query(name).unwrap_or_default();
    let body = html! {
        form.filters action="/webhooks/deliveries" {
            (parts::select_field("State", "status", (STATES, &chosen("status"))))
            (parts::text_field("Event", "type", (&chosen("type"), "wallet.created"), ""))
            (parts::text_field("Endpoint", "endpoint_id", (&chosen("endpoint_id"), "we_…"), ""))
            button type="submit" { "Filter" }
        }
        section.panel #deliveries data-live {
            (table(&list))
            (parts::pager(cursor.as_ref().map(|_| path), parts::next(&list, path).as_deref()))
        }
    };
    Ok(Shown::Page(webhooks::page("Deliveries", &body).live()))
}

pub fn table(list: &Value) -> Markup {
    let heads = [
        ("Event", ""),
        ("State", ""),
        ("Attempts", "r"),
        ("Answer", "r"),
        ("Next (UTC)", "tight"),
        ("Made (UTC)", "tight"),
    ];
    let rows: Vec<Vec<Markup>> = parts::rows(list).iter().map(row).collect();
    html! {
        @if rows.is_empty() {
            (parts::blank("No deliveries", &html! {
                p { "Each event for an endpoint is one delivery." }
            }))
        } @else { (parts::table("Deliveries", &heads, &rows)) }
    }
}

fn row(one: &Value) -> Vec<Markup> {
    let word = |name: &str| parts::text(&one[name]);
    let answer = if one["last_status_code"].is_null() {
        word("last_result")
    } else {
        word("last_status_code")
    };
    vec![
        parts::link(&format!("/webhooks/deliveries/{}", word("id")), &word("event_type")),
        parts::badge(&word("status")),
        html! { span.num { (word("attempts")) } },
        parts::or_dash(&answer),
        parts::json_time(&one["next_attempt_at"]),
        parts::json_time(&one["created_at"]),
    ]
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("delivery", "delivery")?;
    let one = door::ask(&visit, "GET /v1/webhooks/deliveries/{delivery_id}");
    let one = one.of("delivery_id", id.as_str()).with("expand", "event,attempts").json().await?;
    let word = |name: &str| parts::text(&one[name]);
    let body = html! {
        div.grid {
            section.panel #facts data-live {
                header { h2 { "Delivery" } (parts::badge(&word("status"))) }
                div.in {
                    (parts::facts(&[
                        ("Id", parts::id(&id)),
                        ("Event", html! {
                            a href={ "/events/" (word("event_id")) } { (word("event_type")) }
                        })
                        ,
                        ("Endpoint", html! {
                            a href={ "/webhooks/" (word("endpoint_id")) } { (word("endpoint_id")) }
                        })
                        ,
                        ("About", html! {
                            (parts::text(&one["subject"]["type"]))
                            " "
                            code { (parts::text(&one["subject"]["id"])) }
                        })
                        ,
                        ("Sequence", html! { (word("sequence")) }),
                        ("Waits for", parts::or_dash(&word("waiting_for"))),
                        ("Next attempt", parts::json_time(&one["next_attempt_at"])),
                        ("Delivered", parts::json_time(&one["delivered_at"])),
                        ("Made", parts::json_time(&one["created_at"])),
                    ]))
                    @if visit.writes(Entity::Webhook) { (switches(&visit, &one)) }
                }
            }
            section.panel #attempts data-live { header { h2 { "Attempts" } } (attempts(&one)) }
        }
        section.panel { div.in {
            (parts::json("Body, as it is sent", &one["event"]))
            (parts::as_curl(&visit, "GET", &format!("/v1/webhooks/deliveries/{id}"), None))
        } }
    };
    let page = Page::new(word("event_type"), body).of(SECTION).live();
    Ok(Shown::Page(page.under("Webhooks", "/webhooks").under("Deliveries", "/webhooks/deliveries")))
}

fn switches(visit: &Visit, one: &Value) -> Markup {
    let to = |deed: &str| format!("/webhooks/deliveries/{}/{deed}", parts::text(&one["id"]));
    let open = matches!(one["status"].as_str(), Some("pending" | "retrying" | "waiting"));
    html! {
        div.actions {
            (parts::button(visit, &to("redeliver"), "Send again", "main"))
            @if open { (parts::button(visit, &to("cancel"), "Give up", "danger")) }
        }
    }
}

pub fn attempts(one: &Value) -> Markup {
    let all = one["attempt_log"].as_array().cloned().unwrap_or_default();
    html! {
        @if all.is_empty() { (parts::blank("Not tried yet", &html! {})) }
        @for attempt in &all {
            @let word = |name: &str| parts::text(&attempt[name]);
            div.in {
                p {
                    b { (word("number")) ". " } (parts::badge(&word("result"))) " "
                    @if !attempt["status_code"].is_null() { "status " (word("status_code")) " " }
                    "in " (word("duration_ms")) " ms, " (word("trigger"))
                }
                p.help {
                    (parts::json_time(&attempt["started_at"])) " UTC to " code { (word("address")) }
                }
                @if !word("error").is_empty() { p.bad-text { (word("error")) } }
                @if !word("response_body").is_empty() {
                    (parts::snippet("What was answered", &word("response_body")))
                }
            }
        }
    }
}

async fn act(visit: Visit) -> Result<Shown, Error> {
    let (id, deed) =
        (visit.path::<String>("delivery", "delivery")?, visit.path::<String>("deed", "page")?);
    let (route, said) = match deed.as_str() {
        "redeliver" => {
            ("POST /v1/webhooks/deliveries/{delivery_id}/redeliver", "It is sent again.")
        }
        "cancel" => {
            ("POST /v1/webhooks/deliveries/{delivery_id}/cancel", "It is not tried any more.")
        }
        _ => return Err(Error::not_found("page")),
    };
    let ask = door::ask(&visit, route).of("delivery_id", id.as_str());
    let to = format!("/webhooks/deliveries/{id}");
    Ok(match ask.once(&visit.form().get("once")).json().await {
        Ok(sent) => {
            let fresh = sent["delivery_id"].as_str().map(|id| format!("/webhooks/deliveries/{id}"));
            Shown::done(fresh.unwrap_or(to), said)
        }
        Err(error) => Shown::failed(to, &error),
    })
}
