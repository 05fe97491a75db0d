//! Paywalls: the list, and the wizard that makes one ready to be called.

use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{door, mishap, parts};
use crate::http::route::Routes;

pub const SECTION: &str = "Paywalls";

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Paywall), Needs::write(Entity::Paywall));
    Pages::default()
        .get("/paywalls", Some(reads), list)
        .get("/paywalls/new", Some(writes), new)
        .post("/paywalls/new", Some(writes), create)
        .into_routes()
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let cursor = visit.query("cursor");
    let found = door::ask(&visit, "GET /v1/paywalls").with("limit", "50");
    let found = found.maybe("cursor", cursor.as_deref()).json().await?;
    let rows: Vec<Vec<Markup>> = parts::rows(&found).iter().map(row).collect();
    let heads = [
        ("Paywall", ""),
        ("State", ""),
        ("Money", ""),
        ("Markup", "r"),
        ("Key", ""),
        ("Made (UTC)", "tight"),
    ];
    let body = html! {
        section.panel {
            @if rows.is_empty() { (nothing_yet()) }
            @else { (parts::table("Paywalls", &heads, &rows)) }
            (parts::pager(None, parts::next(&found, "/paywalls").as_deref()))
        }
    };
    let page = Page::new("Paywalls", body).of(SECTION);
    let new = html! { a.button.main href="/paywalls/new" { "Create a paywall" } };
    Ok(Shown::Page(if visit.writes(Entity::Paywall) { page.actions(new) } else { page }))
}

fn row(one: &Value) -> Vec<Markup> {
    let word = |name: &str| parts::text(&one[name]);
    vec![
        parts::link(&format!("/paywalls/{}", word("id")), &word("name")),
        parts::badge(&word("status")),
        html! { (word("currency")) " · " (word("mode")) },
        html! { span.num { (parts::text(&one["pricing"]["markupPercent"])) " %" } },
        html! { code.mute { "…" (word("secretLastFour")) } },
        parts::json_time(&one["createdAt"]),
    ]
}

fn nothing_yet() -> Markup {
    parts::blank(
        "No paywall yet",
        &html! {
            p {
                "A paywall stands before a language model: your users' calls are checked against "
                "their balance, metered while they run, and charged to the last token. It also "
                "takes plain charges of your own product."
            }
            p { a.button.main href="/paywalls/new" { "Create the first" } }
        },
    )
}

async fn new(visit: Visit) -> Result<Shown, Error> {
    Ok(Shown::Page(wizard(&visit, &Form::of(b""), None)))
}

const CURRENCIES: &[(&str, &str)] =
    &[("USD", "USD"), ("EUR", "EUR"), ("GBP", "GBP"), ("CHF", "CHF"), ("JPY", "JPY")];
const KINDS: &[(&str, &str)] = &[
    ("", "None: only charges of my own"),
    ("openai", "OpenAI"),
    ("anthropic", "Anthropic"),
    ("compatible", "Another that speaks OpenAI's protocol"),
];
const SHORTS: &[(&str, &str)] =
    &[("message", "A message in the chat, with a link"), ("error", "An error, status 402")];

fn wizard(visit: &Visit, form: &Form, problem: Option<&str>) -> Page {
    let currency = form.some("currency").unwrap_or_else(|| "USD".to_owned());
    let example = json!({ "name": "Support chat", "currency": "USD" });
    let body = html! {
        (parts::problem(problem))
        form.narrow method="post" action="/paywalls/new" {
            (parts::token(visit)) (parts::once(visit))
            (step("1. What it is", &html! {
                (parts::texts(form, &[("Name", "name", "Support chat", "Users may read it.")]))
                (parts::select_field("Currency", "currency", (CURRENCIES, &currency)))
            }))
            (step("2. Whom it asks", &provider_fields(form)))
            (step("3. What it costs", &price_fields(form)))
            (step("4. When there is no money", &html! {
                (parts::select_field("The user sees", "style", (SHORTS, &form.get("style"))))
            }))
            button.main type="submit" { "Create the paywall" }
            (parts::as_curl(visit, "POST", "/v1/paywalls", Some(&example)))
        }
    };
    Page::new("Create a paywall", body).of(SECTION).under("Paywalls", "/paywalls")
}

fn step(title: &str, body: &Markup) -> Markup {
    html! { section.panel { header { h2 { (title) } } div.in { (body) } } }
}

fn provider_fields(form: &Form) -> Markup {
    html! {
        (parts::select_field("Provider", "kind", (KINDS, &form.get("kind"))))
        (parts::texts(form, &[(
            "Base URL", "base_url", "https://api.openai.com/v1",
            "Empty: the provider's own.",
        )]))
        div.field {
            label for="provider_key" { "The provider's key" }
            input #provider_key name="provider_key" type="password" autocomplete="off";
            p.help { "It is sealed at rest; later only its end is shown." }
        }
    }
}

fn price_fields(form: &Form) -> Markup {
    html! {
        div.row {
            (parts::texts(form, &[
                ("Markup in %", "markup", "20", "On what the provider takes."),
                ("Fee a request", "fee", "0", ""),
            ]))
        }
        div.row {
            (parts::texts(form, &[
                ("Trial credit", "trial", "0", "Given once to each new user."),
                ("Requests a day", "per_day", "", "For each user; empty is no limit."),
            ]))
        }
    }
}

/// The paywall's body: what was left empty is left out.
fn settings(form: &Form) -> Value {
    let mut body = json!({ "name": form.get("name"), "currency": form.get("currency") });
    if let Some(style) = form.some("style") {
        body["block"] = json!({ "style": style });
    }
    let pricing = [("markup", "markupPercent"), ("fee", "requestFee")];
    for (field, name) in pricing {
        if let Some(value) = form.some(field) {
            body["pricing"][name] = json!(value);
        }
    }
    if let Some(trial) = form.some("trial").filter(|trial| trial != "0") {
        body["trial"] = json!({ "amount": trial });
    }
    if let Some(count) = form.some("per_day").and_then(|text| text.parse::<u64>().ok()) {
        body["limits"] = json!({ "maxRequests": count });
    }
    body
}

async fn create(visit: Visit) -> Result<Shown, Error> {
    let form = visit.form();
    let once = form.get("once");
    let made = door::ask(&visit, "POST /v1/paywalls").body(settings(&form)).once(&once);
    let made = match made.json().await {
        Ok(made) => made,
        Err(error) => return Ok(Shown::Page(wizard(&visit, &form, Some(&mishap::words(&error))))),
    };
    let id = parts::text(&made["id"]);
    let connected = connect(&visit, &id, &form).await;
    let trouble = connected.err().map(|error| mishap::words(&error));
    Ok(Shown::Page(ready(&visit, &made, trouble.as_deref())))
}

async fn connect(visit: &Visit, id: &str, form: &Form) -> Result<(), Error> {
    let Some(kind) = form.some("kind") else { return Ok(()) };
    let own = match kind.as_str() {
        "anthropic" => "https://api.anthropic.com",
        _ => "https://api.openai.com/v1",
    };
    let url = form.some("base_url").unwrap_or_else(|| own.to_owned());
    let mut body = json!({ "kind": kind, "baseUrl": url });
    if let Some(key) = form.some("provider_key") {
        body["key"] = json!(key);
    }
    let ask = door::ask(visit, "PUT /v1/paywalls/{id}/providers/{name}");
    ask.of("id", id).of("name", kind.as_str()).body(body).json().await.map(drop)
}

/// The page on which a key is seen, this once.
fn ready(visit: &Visit, made: &Value, trouble: Option<&str>) -> Page {
    let (id, key) = (parts::text(&made["id"]), parts::text(&made["apiKey"]));
    let body = html! {
        @if let Some(trouble) = trouble {
            p.note.bad role="alert" { "The provider is not connected: " (trouble) }
        }
        section.panel.narrow {
            header { h2 { "Its key, shown this once" } }
            div.in {
                p {
                    "Keep it where your server keeps secrets. It can be replaced, not shown again."
                }
                (parts::snippet("Paywall key", &key))
                (calls(&visit.app.engine.public_url, &key))
                p {
                    a.button.main href={ "/paywalls/" (id) } { "Open the paywall" } " "
                    a.button href={ "/paywalls/" (id) "/playground" } { "Try it" }
                }
            }
        }
    };
    let name = parts::text(&made["name"]);
    Page::new(format!("{name} is ready"), body).of(SECTION).under("Paywalls", "/paywalls")
}

/// How it is called, with a key or a place for one.
pub fn calls(url: &str, key: &str) -> Markup {
    let deposit = format!(
        "curl {url}/v1/user/balance/deposit -H 'Authorization: Bearer {key}' \\\n  \
         -d '{{\"user\":\"ann\",\"amount\":\"5\"}}'"
    );
    let python = format!(
        "from openai import OpenAI\nclient = OpenAI(base_url=\"{url}/v1\", api_key=\"{key}\",\n    \
         default_headers={{\"X-Paywall-User\": \"ann\"}})"
    );
    html! {
        (parts::snippet("A user pays in", &deposit))
        (parts::snippet("Point the OpenAI client at it", &python))
    }
}
