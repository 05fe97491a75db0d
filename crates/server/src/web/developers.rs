//! For developers: API keys with their roles, where the docs are, and how to begin.

use domain::role::{Entity, Needs, Role};
use engine::Error;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{door, mishap, parts};
use crate::http::route::Routes;

pub const SECTION: &str = "Developers";
const PAGE: &str = "50";

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Secret), Needs::write(Entity::Secret));
    Pages::default()
        .get("/developers", Some(reads), show)
        .get("/developers/new", Some(writes), new)
        .post("/developers/new", Some(writes), create)
        .post("/developers/keys/{key}/{deed}", Some(writes), act)
        .into_routes()
}

fn tabs(here: &str) -> Markup {
    let all = [("API keys", "/developers"), ("Requests", "/developers/requests")];
    let all: Vec<(&str, String, bool)> =
        all.iter().map(|(name, to)| (*name, (*to).to_owned(), *name == here)).collect();
    parts::tabs("Developers", &all)
}

/// A page with the tabs of this part.
pub fn page(here: &str, body: &Markup) -> Page {
    Page::new("Developers", html! { (tabs(here)) (body) }).of(SECTION)
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let offset = visit.query("offset").unwrap_or_else(|| "0".to_owned());
    let list = door::ask(&visit, "GET /v1/secrets/api/keys").with("limit", PAGE);
    let list = list.with("offset", &offset).json().await?;
    let keys = list["items"].as_array().cloned().unwrap_or_default();
    let heads = [
        ("Name", ""),
        ("Key", ""),
        ("May", ""),
        ("Last used (UTC)", "tight"),
        ("Ends (UTC)", "tight"),
        ("", ""),
    ];
    let rows: Vec<Vec<Markup>> = keys.iter().map(|one| row(&visit, one)).collect();
    let total = list["pagination"]["total"].as_u64().unwrap_or(0);
    let end = offset.parse::<u64>().unwrap_or(0) + 50;
    let next = (end < total).then(|| format!("/developers?offset={end}"));
    let body = html! {
        section.panel {
            header { h2 { "API keys" } }
            @if rows.is_empty() {
                (parts::blank("No key yet", &html! {
                    p {
                        "A key lets your servers call the API of this environment, with the role "
                        "that you give it."
                    }
                }))
            } @else { (parts::table("API keys", &heads, &rows)) }
            (parts::pager(None, next.as_deref()))
        }
        (begin(&visit))
    };
    let page = page("API keys", &body);
    let new = html! { a.button.main href="/developers/new" { "Create an API key" } };
    Ok(Shown::Page(if visit.writes(Entity::Secret) { page.actions(new) } else { page }))
}

fn row(visit: &Visit, one: &Value) -> Vec<Markup> {
    let word = |name: &str| parts::text(&one[name]);
    let roles: Vec<String> = ["roles", "permissions", "grants"]
        .iter()
        .flat_map(|name| one[*name].as_array().into_iter().flatten().map(parts::text))
        .collect();
    let to = |deed: &str| format!("/developers/keys/{}/{deed}", word("id"));
    vec![
        parts::words(&word("name")),
        html! { code.mute { (word("display_id")) } },
        html! {
            @for role in roles.iter().take(4) { (parts::badge(role)) " " }
            @if roles.len() > 4 { "and " (roles.len() - 4) " more" }
        },
        parts::json_time(&one["last_used_at"]),
        parts::json_time(&one["expires_at"]),
        html! {
            @if visit.writes(Entity::Secret) {
                div.actions {
                    (parts::button(visit, &to("rotate"), "Rotate", ""))
                    (parts::button(visit, &to("revoke"), "Revoke", "danger"))
                }
            }
        },
    ]
}

fn begin(visit: &Visit) -> Markup {
    let url = &visit.app.engine.public_url;
    let curl = parts::curl(visit, "GET", "/v1/customers?limit=3", None);
    let python = format!(
        "from flexprice import Flexprice\nclient = Flexprice(server_url=\"{url}/v1\", \
         api_key_auth=FAREBOX_API_KEY)"
    );
    html! {
        div.grid {
            section.panel {
                header { h2 { "Begin" } }
                div.in {
                    (parts::snippet("curl", &curl))
                    (parts::snippet("Python", &python))
                }
            }
            section.panel {
                header { h2 { "Reference" } }
                div.in {
                    p { a href="/docs" { "Every call, on one page" } }
                    p { a href="/openapi.json" { "The same as OpenAPI 3.1" } }
                    p {
                        a href="/events" { "The event feed" }
                        " and "
                        a href="/webhooks" { "who is told" }
                    }
                    p { a href="/clock" { "Move time" } " in a test environment" }
                    p {
                        "Every answer carries "
                        code { "x-request-id" }
                        "; "
                        a href="/developers/requests" { "the newest requests" }
                        " are found by it."
                    }
                }
            }
        }
    }
}

async fn new(visit: Visit) -> Result<Shown, Error> {
    Ok(Shown::Page(new_page(&visit, &Form::of(b""), None)))
}

fn new_page(visit: &Visit, form: &Form, problem: Option<&str>) -> Page {
    let roles: Vec<(&str, &str)> =
        Role::ALL.iter().map(|role| (role.as_str(), role.as_str())).collect();
    let chosen = form.some("role").unwrap_or_else(|| "all_writer".to_owned());
    let kinds = [
        ("private_key", "Private: for servers"),
        ("publishable_key", "Publishable: reads what is for sale"),
    ];
    let example = json!({ "name": "backend", "type": "private_key", "roles": ["all_writer"] });
    let body = html! {
        (parts::problem(problem))
        section.panel.narrow {
            div.in {
                form method="post" action="/developers/new" {
                    (parts::token(visit)) (parts::once(visit))
                    (parts::texts(form, &[("Name", "name", "backend", "Where it is used.")]))
                    (parts::select_field("Kind", "type", (&kinds, &form.get("type"))))
                    (parts::select_field("Role", "role", (&roles, &chosen)))
                    div.field {
                        label for="ends" { "Ends on" }
                        input #ends name="ends" type="date" value=(form.get("ends"));
                        p.help { "At the beginning of this day, UTC. Empty: never." }
                    }
                    button.main type="submit" { "Create" }
                }
                (parts::as_curl(visit, "POST", "/v1/secrets/api/keys", Some(&example)))
            }
        }
    };
    Page::new("Create an API key", body).of(SECTION).under("Developers", "/developers")
}

async fn create(visit: Visit) -> Result<Shown, Error> {
    let form = visit.form();
    let mut body = Value::Object(form.object(&["name", "type"]));
    if form.get("type") != "publishable_key" {
        body["roles"] = json!([form.get("role")]);
    }
    if let Some(day) = form.some("ends") {
        body["expires_at"] = json!(format!("{day}T00:00:00.000Z"));
    }
    let ask = door::ask(&visit, "POST /v1/secrets/api/keys").body(body);
    Ok(Shown::Page(match ask.once(&form.get("once")).json().await {
        Ok(made) => key_page(&made),
        Err(error) => new_page(&visit, &form, Some(&mishap::words(&error))),
    }))
}

/// The page on which a key is seen, this once.
fn key_page(made: &Value) -> Page {
    let body = html! {
        section.panel.narrow {
            header { h2 { "The key, shown this once" } }
            div.in {
                p { "Keep it where your servers keep secrets." }
                (parts::snippet("API key", &parts::text(&made["api_key"])))
                p { a.button href="/developers" { "Done" } }
            }
        }
    };
    Page::new("The key is ready", body).of(SECTION).under("Developers", "/developers")
}

async fn act(visit: Visit) -> Result<Shown, Error> {
    let (key, deed) = (visit.path::<String>("key", "key")?, visit.path::<String>("deed", "page")?);
    let to = "/developers";
    match deed.as_str() {
        "rotate" => {
            let ask = door::ask(&visit, "POST /v1/secrets/api/keys/{id}/rotate");
            let ask = ask.of("id", key.as_str()).body(json!({ "overlap_seconds": 3_600 }));
            Ok(match ask.once(&visit.form().get("once")).json().await {
                Ok(made) => Shown::Page(key_page(&made)),
                Err(error) => Shown::failed(to, &error),
            })
        }
        "revoke" => {
            let ask = door::ask(&visit, "DELETE /v1/secrets/api/keys/{id}").of("id", key.as_str());
            Ok(match ask.json().await {
                Ok(_) => Shown::done(to, "The key is revoked, everywhere and at once."),
                Err(error) => Shown::failed(to, &error),
            })
        }
        _ => Err(Error::not_found("page")),
    }
}
