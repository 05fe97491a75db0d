//! The audit log: who changed what, from which value to which, and why.

use domain::percent;
use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::layout::Page;
use super::live::place_of;
use super::visit::{Pages, Shown, Visit};
use super::{door, parts};
use crate::http::route::Routes;

const SECTION: &str = "Audit log";

pub fn routes() -> Routes {
    let reads = Some(Needs::read(Entity::Audit));
    Pages::default().get("/audit", reads, list).get("/audit/{row}", reads, show).into_routes()
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let mut body = json!({ "limit": 50 });
    let filters = [("entity", "entity_id"), ("action", "action"), ("actor", "actor_id")];
    let mut path = "/audit?".to_owned();
    for (field, name) in filters {
        if let Some(value) = visit.query(field) {
            path = format!("{path}{field}={}&", percent::encoded(&value));
            body[name] = json!(value);
        }
    }
    let cursor = visit.query("cursor");
    if let Some(cursor) = &cursor {
        body["cursor"] = json!(cursor);
    }
    let found = door::ask(&visit, "POST /v1/activity").body(body).json().await?;
    let rows: Vec<Vec<Markup>> = parts::rows(&found).iter().map(row).collect();
    let heads = [("Time (UTC)", "tight"), ("What", ""), ("Of", ""), ("By", ""), ("Why", "")];
    let value = |name: &str| visit.query(name).unwrap_or_default();
    let path = path.trim_end_matches(['&', '?']);
    let body = html! {
        form.filters action="/audit" {
            (parts::text_field("Of the thing", "entity", (&value("entity"), "wallet_…"), ""))
            (parts::text_field("What", "action", (&value("action"), "wallet.topped_up"), ""))
            (parts::text_field("By whom", "actor", (&value("actor"), "user_…"), ""))
            button type="submit" { "Filter" }
            a.button.quiet href="/audit" { "All" }
        }
        section.panel #audit data-live {
            @if rows.is_empty() {
                (parts::blank("Nothing here", &html! {
                    p {
                        "Each change of a setting, key, role, wallet or paywall writes a row, in "
                        "its own transaction."
                    }
                }))
            } @else { (parts::table("Audit log", &heads, &rows)) }
            (parts::pager(cursor.as_ref().map(|_| path), parts::next(&found, path).as_deref()))
        }
    };
    Ok(Shown::Page(Page::new("Audit log", body).of(SECTION).live()))
}

fn row(one: &Value) -> Vec<Markup> {
    let word = |name: &str| parts::text(&one[name]);
    let entity = parts::text(&one["entity"]["id"]);
    let label = parts::text(&one["entity"]["label"]);
    vec![
        parts::json_time(&one["occurred_at"]),
        parts::link(&format!("/audit/{}", word("id")), &word("action")),
        match place_of(&entity) {
            Some(to) => parts::link(&to, &label),
            None => parts::words(&label),
        },
        html! { code.mute { (parts::text(&one["actor"]["id"])) } div.faint { (word("source")) } },
        parts::words(&parts::text(&one["state"]["after"]["reason"])),
    ]
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("row", "activity")?;
    let one = door::ask(&visit, "GET /v1/activity/{id}").of("id", id.as_str()).json().await?;
    let word = |name: &str| parts::text(&one[name]);
    let body = html! {
        section.panel.narrow {
            div.in {
                (parts::facts(&[
                    ("Time (UTC)", parts::json_time(&one["occurred_at"])),
                    ("By", html! {
                        code { (parts::text(&one["actor"]["id"])) } " from " (word("source"))
                    })
                    ,
                    ("Of", html! { code { (parts::text(&one["entity"]["id"])) } }),
                    ("Request", parts::or_dash(&word("request_id"))),
                    ("Why", parts::or_dash(&parts::text(&one["state"]["after"]["reason"]))),
                ]))
            }
        }
        div.grid {
            section.panel {
                header { h2 { "Before" } }
                div.in { (parts::json("Before", &one["state"]["before"])) }
            }
            section.panel {
                header { h2 { "After" } } div.in { (parts::json("After", &one["state"]["after"])) }
            }
        }
    };
    Ok(Shown::Page(Page::new(word("action"), body).of(SECTION).under("Audit log", "/audit")))
}
