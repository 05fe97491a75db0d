//! Secrets of an endpoint: which sign now and until when, the public key, and a new one with an
//! overlap. A secret's text is on the one page that made it.

use domain::role::{Entity, Needs};
use domain::webhook::rotation::{LIVE_MAX, OVERLAP_S_MAX};
use engine::Error;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::form::Form;
use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::webhooks::SECTION;
use super::{door, mishap, parts};
use crate::http::route::Routes;

const ROTATE: &str = "POST /v1/webhooks/endpoints/{id}/rotate";
const END: &str = "DELETE /v1/webhooks/endpoints/{id}/secrets/{secret_id}";

/// The value of a choice, its name, and its seconds.
const OVERLAPS: &[(&str, &str)] = &[
    ("0", "none: the old one ends at once"),
    ("3600", "1 hour"),
    ("86400", "1 day"),
    ("604800", "7 days"),
    ("other", "so many seconds"),
];
const KINDS: &[(&str, &str)] = &[
    ("v1", "Shared secret (v1)"),
    ("v1a", "Key pair, ed25519 (v1a): only we have the private half"),
];

pub fn routes() -> Routes {
    let writes = Some(Needs::write(Entity::Webhook));
    Pages::default()
        .get("/webhooks/{id}/secret", writes, ask)
        .post("/webhooks/{id}/secret", writes, rotate)
        .post("/webhooks/{id}/secrets/{secret}/end", writes, end)
        .into_routes()
}

/// Which secrets sign now.
pub fn panel(visit: &Visit, one: &Value) -> Markup {
    let id = parts::text(&one["id"]);
    let used = signs(one, &json!({ "kind": "v1a" }));
    let key = if used { parts::text(&one["public_key"]) } else { String::new() };
    html! {
        section.panel #secrets data-live {
            header {
                h2 { "Signing secrets" }
                @if visit.writes(Entity::Webhook) {
                    a href={ "/webhooks/" (id) "/secret" } { "New secret" }
                }
            }
            div.in {
                (list(visit, one))
                @if !key.is_empty() {
                    h3 { "Public key (ed25519)" }
                    (parts::snippet("Public key", &key))
                }
            }
        }
    }
}

fn list(visit: &Visit, one: &Value) -> Markup {
    let all = one["secrets"].as_array().cloned().unwrap_or_default();
    html! {
        ul.runs.flat {
            @for secret in &all {
                li {
                    div.head {
                        span.what {
                            @if secret["kind"] == "v1a" { "Key pair" } @else { "Shared secret" }
                            @if secret["kind"] != "v1a" && secret["expires_at"].is_null() {
                                " ending in " code { (parts::text(&one["secret_suffix"])) }
                            }
                        }
                        @if !signs(one, secret) { (parts::badge("not in use")) }
                        @else if secret["expires_at"].is_null() { (parts::badge("active")) }
                        @else if visit.writes(Entity::Webhook) { (end_button(visit, one, secret)) }
                    }
                    p.help {
                        "Since " (parts::json_time(&secret["created_at"]))
                        @if !signs(one, secret) {
                            ". The endpoint's " code { "signatures" } " do not name "
                            code { (parts::text(&secret["kind"])) }
                        }
                        @else if secret["expires_at"].is_null() { ", signs until the next one" }
                        @else { ", signs until " (parts::json_time(&secret["expires_at"])) " UTC" }
                    }
                }
            }
        }
    }
}

/// Whether deliveries carry signatures of this kind.
fn signs(one: &Value, secret: &Value) -> bool {
    one["signatures"].as_array().is_some_and(|kinds| kinds.contains(&secret["kind"]))
}

fn end_button(visit: &Visit, one: &Value, secret: &Value) -> Markup {
    let (id, secret) = (parts::text(&one["id"]), parts::text(&secret["id"]));
    parts::button(visit, &format!("/webhooks/{id}/secrets/{secret}/end"), "End now", "danger")
}

async fn endpoint(visit: &Visit) -> Result<Value, Error> {
    let id: String = visit.path("id", "webhook endpoint")?;
    door::ask(visit, "GET /v1/webhooks/endpoints/{id}").of("id", id.as_str()).json().await
}

fn frame(title: &str, one: &Value, body: Markup) -> Page {
    let to = format!("/webhooks/{}", parts::text(&one["id"]));
    let page = Page::new(title, body).of(SECTION).under("Webhooks", "/webhooks");
    page.under(parts::text(&one["url"]), to)
}

async fn ask(visit: Visit) -> Result<Shown, Error> {
    let one = endpoint(&visit).await?;
    Ok(Shown::Page(form_page(&visit, &one, &Form::of(b""), None)))
}

fn form_page(visit: &Visit, one: &Value, form: &Form, problem: Option<&str>) -> Page {
    let id = parts::text(&one["id"]);
    let chosen =
        |name: &str, otherwise: &str| form.some(name).unwrap_or_else(|| otherwise.to_owned());
    let live = one["secrets"].as_array().into_iter().flatten();
    let live = live.filter(|secret| signs(one, secret)).count();
    let seconds = form.get("seconds");
    let most = OVERLAP_S_MAX.to_string();
    let path = format!("/v1/webhooks/endpoints/{id}/rotate");
    let body = html! {
        (parts::problem(problem))
        section.panel.narrow {
            div.in {
                p {
                    "While both sign, a receiver that knows either accepts everything: put the new "
                    "one in place within the overlap. Choose none where the old one leaked."
                }
                p.mute {
                    (live) @if live == 1 { " signs" } @else { " sign" }
                    " now; of a kind at most " (LIVE_MAX) " do."
                }
                form method="post" action={ "/webhooks/" (id) "/secret" } {
                    (parts::token(visit)) (parts::once(visit))
                    (parts::select_field("Kind", "kind", (KINDS, &chosen("kind", "v1"))))
                    div.row {
                        (parts::select_field("The old one signs on for", "overlap",
                            (OVERLAPS, &chosen("overlap", "86400"))))
                        (parts::typed_field("Seconds", "seconds",
                            &parts::Typed::whole(&seconds, "0", &most),
                            "Where it is \u{201c}so many seconds\u{201d}."))
                    }
                    div.actions {
                        button.main type="submit" { "Make the new secret" }
                        a.button.quiet href={ "/webhooks/" (id) } { "Leave it" }
                    }
                }
                (parts::as_curl(visit, "POST", &path, Some(&json!({ "overlap_seconds": 86_400 }))))
            }
        }
    };
    frame("New secret", one, body)
}

fn asked(form: &Form) -> Value {
    let mut body = Map::new();
    body.insert("kind".to_owned(), json!(form.some("kind").unwrap_or_else(|| "v1".to_owned())));
    let overlap = match form.get("overlap").as_str() {
        "other" => form.get("seconds"),
        chosen => chosen.to_owned(),
    };
    let seconds = overlap.parse::<u32>().map_or_else(|_| json!(overlap), |seconds| json!(seconds));
    body.insert("overlap_seconds".to_owned(), seconds);
    Value::Object(body)
}

async fn rotate(visit: Visit) -> Result<Shown, Error> {
    let one = endpoint(&visit).await?;
    let id = parts::text(&one["id"]);
    let form = visit.form();
    let ask = door::ask(&visit, ROTATE).of("id", id.as_str()).body(asked(&form));
    Ok(Shown::Page(match ask.once(&form.get("once")).json().await {
        Ok(made) => shown_once(&visit, &made),
        Err(error) => form_page(&visit, &one, &form, Some(&mishap::words(&error))),
    }))
}

/// The page on which a signing secret is seen, this once.
pub fn shown_once(visit: &Visit, made: &Value) -> Page {
    let (id, secret) = (parts::text(&made["id"]), parts::text(&made["secret"]));
    let shares = !secret.is_empty();
    let title = if shares { "Its signing secret, shown this once" } else { "Its new key pair" };
    let body = html! {
        section.panel.narrow {
            header { h2 { (title) } }
            div.in {
                p { "Check each delivery with it: any Standard Webhooks or Svix library does." }
                @if shares { (parts::snippet("Secret", &secret)) }
                @else { (parts::snippet("Public key", &parts::text(&made["public_key"]))) }
                h3 { "What signs from now on" }
                (list(visit, made))
                p { a.button.main href={ "/webhooks/" (id) } { "Open the endpoint" } }
            }
        }
    };
    frame("The secret is ready", made, body)
}

async fn end(visit: Visit) -> Result<Shown, Error> {
    let (id, secret) = (
        visit.path::<String>("id", "webhook endpoint")?,
        visit.path::<String>("secret", "secret")?,
    );
    let ask = door::ask(&visit, END).of("id", id.as_str()).of("secret_id", secret.as_str());
    let to = format!("/webhooks/{id}");
    Ok(match ask.json().await {
        Ok(_) => Shown::done(to, "That secret signs no more."),
        Err(error) => Shown::failed(to, &error),
    })
}
