//! One paywall: how it stands, its users, prices, settings, and its key.

use domain::percent::encoded;
use domain::proxy::template::{Places, Template};
use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{door, mishap, parts, paywalls, requests};
use crate::http::route::Routes;

const GRACES: &[(&str, &str)] = &[
    ("0", "The old key ends now"),
    ("3600", "Both work for an hour"),
    ("86400", "Both work for a day"),
    ("604800", "Both work for a week"),
];

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Paywall), Needs::write(Entity::Paywall));
    Pages::default()
        .get("/paywalls/{id}", Some(reads), overview)
        .get("/paywalls/{id}/users", Some(reads), users)
        .get("/paywalls/{id}/users/{user}", Some(reads), user)
        .post("/paywalls/{id}/users/{user}", Some(writes), set_user)
        .get("/paywalls/{id}/prices", Some(reads), prices)
        .post("/paywalls/{id}/prices", Some(writes), add_price)
        .get("/paywalls/{id}/settings", Some(reads), settings)
        .post("/paywalls/{id}/settings/{section}", Some(writes), set_section)
        .post("/paywalls/{id}/provider", Some(writes), set_provider)
        .post("/paywalls/{id}/rotate", Some(writes), rotate)
        .post("/paywalls/{id}/archive", Some(writes), archive)
        .into_routes()
}

/// The paywall of the path, as the API shows it.
pub async fn find(visit: &Visit) -> Result<Value, Error> {
    let id: String = visit.path("id", "paywall")?;
    door::ask(visit, "GET /v1/paywalls/{id}").of("id", id.as_str()).json().await
}

pub fn id_of(paywall: &Value) -> String {
    parts::text(&paywall["id"])
}

/// A page under a paywall, with its tabs.
pub fn page(paywall: &Value, here: &str, body: &Markup) -> Page {
    let path = format!("/paywalls/{}", id_of(paywall));
    let tabs = [
        ("Overview", String::new()),
        ("Requests", "/requests".to_owned()),
        ("Users", "/users".to_owned()),
        ("Prices", "/prices".to_owned()),
        ("Settings", "/settings".to_owned()),
        ("Playground", "/playground".to_owned()),
    ];
    let tabs: Vec<(&str, String, bool)> =
        tabs.iter().map(|(name, to)| (*name, format!("{path}{to}"), *name == here)).collect();
    let whole = html! { (parts::tabs("Parts of the paywall", &tabs)) (body) };
    let page = Page::new(parts::text(&paywall["name"]), whole).of(paywalls::SECTION);
    page.under("Paywalls", "/paywalls")
}

async fn overview(visit: Visit) -> Result<Shown, Error> {
    let paywall = find(&visit).await?;
    let id = id_of(&paywall);
    let latest = door::ask(&visit, "GET /v1/paywalls/{id}/requests").of("id", id.as_str());
    let latest = latest.with("limit", "8").json().await?;
    let providers = door::ask(&visit, "GET /v1/paywalls/{id}/providers").of("id", id.as_str());
    let providers = providers.json().await?;
    let url = &visit.app.engine.public_url;
    let body = html! {
        div.split {
            div {
                section.panel #latest data-live {
                    header {
                        h2 { "Latest requests" } a href={ "/paywalls/" (id) "/requests" } { "All" }
                    }
                    (requests::table(&id, &latest))
                }
                section.panel {
                    header { h2 { "Call it" } }
                    div.in { (paywalls::calls(url, "$PAYWALL_KEY")) }
                }
            }
            aside {
                (facts(&visit, &paywall))
                (providers_panel(&providers))
                (key_panel(&visit, &paywall))
            }
        }
    };
    Ok(Shown::Page(page(&paywall, "Overview", &body).live()))
}

fn facts(visit: &Visit, paywall: &Value) -> Markup {
    let id = id_of(paywall);
    let word = |name: &str| parts::text(&paywall[name]);
    html! {
        section.panel {
            header { h2 { "How it stands" } }
            div.in {
                (parts::facts(&[
                    ("State", parts::badge(&word("status"))),
                    ("Id", parts::id(&id)),
                    ("Money", html! { (word("currency")) ", to " (word("decimals")) " places" }),
                    ("Mode", html! { (word("mode")) }),
                    ("Markup", html! { (parts::text(&paywall["pricing"]["markupPercent"])) " %" }),
                    ("Trial", html! { (parts::text(&paywall["trial"]["amount"])) }),
                    ("Granted in trials", html! { (word("trialGranted")) }),
                    ("Overdraft", html! { (word("overdraft")) }),
                    ("Settlement", html! { (parts::text(&paywall["settlement"]["mode"])) }),
                    ("Day turns in", html! { (word("timezone")) }),
                    ("Made", parts::json_time(&paywall["createdAt"])),
                ]))
                p { a href={ "/audit?entity=" (id) } { "Changes in the audit log" } }
                (parts::as_curl(visit, "GET", &format!("/v1/paywalls/{id}"), None))
                (parts::raw_json(paywall))
            }
        }
    }
}

fn providers_panel(providers: &Value) -> Markup {
    let rows = parts::rows(providers);
    html! {
        section.panel {
            header { h2 { "Providers" } }
            div.in {
                @if rows.is_empty() {
                    p.mute {
                        "None: it takes charges, and no chats yet. Connect one under Settings."
                    }
                }
                @for one in rows {
                    (parts::facts(&[
                        ("Name", html! { (parts::text(&one["name"])) }),
                        ("Kind", html! { (parts::text(&one["kind"])) }),
                        ("URL", html! { (parts::text(&one["baseUrl"])) }),
                        ("Key", html! { "…" (parts::text(&one["keyLastFour"])) }),
                    ]))
                }
            }
        }
    }
}

fn key_panel(visit: &Visit, paywall: &Value) -> Markup {
    let path = format!("/paywalls/{}", id_of(paywall));
    let archived = paywall["status"] == "archived";
    html! {
        section.panel {
            header { h2 { "Key" } }
            div.in {
                p { "Ends in " code { (parts::text(&paywall["secretLastFour"])) } "." }
                @if visit.writes(Entity::Paywall) {
                    details {
                        summary { "Replace it" }
                        form method="post" action={ (path) "/rotate" } {
                            (parts::token(visit)) (parts::once(visit))
                            (parts::select_field("When", "grace", (GRACES, "0")))
                            button.danger type="submit" { "Make a new key" }
                        }
                    }
                    details {
                        summary { @if archived { "Open it again" } @else { "Archive the paywall" } }
                        form method="post" action={ (path) "/archive" } {
                            (parts::token(visit)) (parts::once(visit))
                            @if archived { input type="hidden" name="undo" value="yes"; }
                            @else {
                                p {
                                    "Every call is refused until it is opened again. Balances stay."
                                }
                                (parts::text_field("Reason", "reason", ("", ""), ""))
                            }
                            button.danger[!archived] type="submit" {
                                @if archived { "Open" } @else { "Archive" }
                            }
                        }
                    }
                }
            }
        }
    }
}

async fn rotate(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("id", "paywall")?;
    let form = visit.form();
    let grace = form.get("grace").parse::<u64>().unwrap_or(0);
    let ask = door::ask(&visit, "POST /v1/paywalls/{id}/secret/rotate").of("id", id.as_str());
    let made = ask.body(json!({ "graceSeconds": grace })).once(&form.get("once")).json().await?;
    let body = html! {
        section.panel.narrow {
            header { h2 { "The new key, shown this once" } }
            div.in {
                (parts::snippet("Paywall key", &parts::text(&made["apiKey"])))
                p {
                    "The old one "
                    @if grace == 0 { "has ended." }
                    @else {
                        "works until " (parts::json_time(&made["previousSecretExpiresAt"])) " UTC."
                    }
                }
                p { a.button href={ "/paywalls/" (id) } { "Done" } }
            }
        }
    };
    Ok(Shown::Page(page(&made, "Overview", &body)))
}

async fn archive(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("id", "paywall")?;
    let form = visit.form();
    let (route, said) = if form.is_on("undo") {
        ("POST /v1/paywalls/{id}/unarchive", "It is open again.")
    } else {
        ("POST /v1/paywalls/{id}/archive", "It is archived: every call is refused.")
    };
    let body = Value::Object(form.object(&["reason"]));
    let ask = door::ask(&visit, route).of("id", id.as_str()).body(body).once(&form.get("once"));
    let to = format!("/paywalls/{id}");
    Ok(match ask.json().await {
        Ok(_) => Shown::done(to, said),
        Err(error) => Shown::failed(to, &error),
    })
}

async fn users(visit: Visit) -> Result<Shown, Error> {
    let paywall = find(&visit).await?;
    let id = id_of(&paywall);
    let cursor = visit.query("cursor");
    let found = door::ask(&visit, "GET /v1/paywalls/{id}/users").of("id", id.as_str());
    let found = found.with("limit", "40").maybe("cursor", cursor.as_deref()).json().await?;
    let path = format!("/paywalls/{id}/users");
    let heads = [
        ("User", ""),
        ("State", ""),
        ("Balance", "r"),
        ("Held", "r"),
        ("Charged", "r"),
        ("First seen (UTC)", "tight"),
    ];
    let row = |one: &Value| {
        let user = parts::text(&one["externalId"]);
        let money = |name: &str| parts::number(parts::amount(&one[name]));
        vec![
            parts::link(&format!("{path}/{}", encoded(&user)), &user),
            parts::badge(&parts::text(&one["state"])),
            money("balanceFormatted"),
            html! { (parts::text(&one["held"])) },
            parts::number(parts::amount(&one["totals"]["charges"])),
            parts::json_time(&one["createdAt"]),
        ]
    };
    let rows: Vec<Vec<Markup>> = parts::rows(&found).iter().map(row).collect();
    let body = html! {
        section.panel #users data-live {
            @if rows.is_empty() {
                (parts::blank("No user yet", &html! {
                    p { "A user appears with the first call that names them." }
                }))
            } @else { (parts::table("Users", &heads, &rows)) }
            (parts::more(&found, &path, cursor.is_some()))
        }
    };
    Ok(Shown::Page(page(&paywall, "Users", &body).live()))
}

async fn user(visit: Visit) -> Result<Shown, Error> {
    let paywall = find(&visit).await?;
    let (id, name) = (id_of(&paywall), visit.path::<String>("user", "user")?);
    let found = door::ask(&visit, "GET /v1/paywalls/{id}/users/{externalId}");
    let found = found.of("id", id.as_str()).of("externalId", name.as_str()).json().await?;
    let totals = found["totals"].as_object().cloned().unwrap_or_default();
    let suspended = found["state"] == "suspended";
    let body = html! {
        div.grid {
            section.panel {
                header { h2 { (name) } (parts::badge(&parts::text(&found["state"]))) }
                div.in {
                    (parts::facts(&[
                        ("Balance", html! {
                            (parts::text(&found["balanceFormatted"]))
                            " "
                            (parts::text(&found["currency"]))
                        })
                        ,
                        ("Reason", parts::or_dash(&parts::text(&found["reason"]))),
                        ("First seen", parts::json_time(&found["createdAt"])),
                    ]))
                    p {
                        a href={ "/wallets/" (parts::text(&found["walletId"])) } {
                            "Wallet and ledger"
                        }
                        " · "
                        a href={ "/customers/" (parts::text(&found["walletUserId"])) } {
                            "Customer"
                        }
                    }
                    @if visit.writes(Entity::Paywall) { (state_form(&visit, suspended)) }
                    (parts::raw_json(&found))
                }
            }
            section.panel {
                header { h2 { "All time" } }
                div.in {
                    dl.facts {
                        @for (what, value) in &totals {
                            div { dt { (what) } dd { (parts::number(parts::amount(value))) } }
                        }
                    }
                }
            }
        }
    };
    Ok(Shown::Page(page(&paywall, "Users", &body)))
}

fn state_form(visit: &Visit, suspended: bool) -> Markup {
    html! {
        form method="post" {
            (parts::token(visit)) (parts::once(visit))
            @if suspended {
                button type="submit" name="to" value="resume" { "Let them go on" }
            } @else {
                (parts::text_field("Reason", "reason", ("", "abuse"), ""))
                button.danger type="submit" name="to" value="suspend" { "Suspend" }
            }
        }
    }
}

async fn set_user(visit: Visit) -> Result<Shown, Error> {
    let (id, user) =
        (visit.path::<String>("id", "paywall")?, visit.path::<String>("user", "user")?);
    let form = visit.form();
    let (route, said) = if form.get("to") == "resume" {
        ("POST /v1/paywalls/{id}/users/{externalId}/resume", "The user goes on.")
    } else {
        ("POST /v1/paywalls/{id}/users/{externalId}/suspend", "Every billable call is refused.")
    };
    let ask = door::ask(&visit, route).of("id", id.as_str()).of("externalId", user.as_str());
    let ask = ask.body(Value::Object(form.object(&["reason"]))).once(&form.get("once"));
    let to = format!("/paywalls/{id}/users/{}", encoded(&user));
    Ok(match ask.json().await {
        Ok(_) => Shown::done(to, said),
        Err(error) => Shown::failed(to, &error),
    })
}

async fn prices(visit: Visit) -> Result<Shown, Error> {
    let paywall = find(&visit).await?;
    let id = id_of(&paywall);
    let cursor = visit.query("cursor");
    let found = door::ask(&visit, "GET /v1/paywalls/{id}/prices").of("id", id.as_str());
    let found = found.with("limit", "50").maybe("cursor", cursor.as_deref()).json().await?;
    let heads = [
        ("Model", ""),
        ("Provider", ""),
        ("Per million tokens", ""),
        ("From (UTC)", "tight"),
        ("Source", ""),
    ];
    let row = |one: &Value| {
        vec![
            parts::words(&parts::text(&one["model"])),
            parts::words(&parts::text(&one["provider"])),
            html! {
                @for (class, price) in one["prices"].as_object().into_iter().flatten() {
                    span.tag { (class) " " (parts::text(price)) } " "
                }
            },
            parts::json_time(&one["effectiveFrom"]),
            parts::words(&parts::text(&one["source"])),
        ]
    };
    let rows: Vec<Vec<Markup>> = parts::rows(&found).iter().map(row).collect();
    let path = format!("/paywalls/{id}/prices");
    let body = html! {
        section.panel {
            header { h2 { "Own prices" } span.mute { "they come before the catalogue's" } }
            @if rows.is_empty() {
                (parts::blank("The catalogue's prices hold", &html! {
                    p {
                        "A row of your own is for a model that Farebox does not know, or has at "
                        "another price."
                    }
                }))
            } @else { (parts::table("Prices", &heads, &rows)) }
            (parts::pager(None, parts::next(&found, &path).as_deref()))
        }
        @if visit.writes(Entity::Paywall) { (price_form(&visit, &path)) }
    };
    Ok(Shown::Page(page(&paywall, "Prices", &body)))
}

fn price_form(visit: &Visit, path: &str) -> Markup {
    let fields = [
        ("Model", "model", "gpt-4o-mini", ""),
        ("Provider", "provider", "openai", "The name of the connection."),
    ];
    let numbers = [("In", "input", "0.15", ""), ("Out", "output", "0.60", "")];
    let form = super::form::Form::of(b"");
    html! {
        section.panel.narrow {
            header { h2 { "Add a price" } span.mute { "dollars per million tokens" } }
            div.in {
                form method="post" action=(path) {
                    (parts::token(visit)) (parts::once(visit))
                    (parts::texts(&form, &fields))
                    div.row { (parts::texts(&form, &numbers)) }
                    button.main type="submit" { "Add" }
                    p.help {
                        "It ends the open row of the same model. Requests under way keep the price "
                        "of their hold."
                    }
                }
            }
        }
    }
}

async fn add_price(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("id", "paywall")?;
    let form = visit.form();
    let mut body = Value::Object(form.object(&["model", "provider"]));
    body["prices"] = Value::Object(form.object(&["input", "output"]));
    body["source"] = json!("dashboard");
    let ask = door::ask(&visit, "POST /v1/paywalls/{id}/prices").of("id", id.as_str());
    let to = format!("/paywalls/{id}/prices");
    Ok(match ask.body(body).once(&form.get("once")).json().await {
        Ok(_) => Shown::done(to, "The price holds from now on."),
        Err(error) => Shown::failed(to, &error),
    })
}

const SECTIONS: [(&str, &str, &str, &str); 2] = [
    ("pricing", "Pricing", "GET /v1/paywalls/{id}/pricing", "PUT /v1/paywalls/{id}/pricing"),
    ("limits", "Limits and caps", "GET /v1/paywalls/{id}/limits", "PUT /v1/paywalls/{id}/limits"),
];
const TEMPLATES: [(&str, &str, Template); 4] = [
    ("insufficientFunds", "No money", Template::InsufficientFunds),
    ("authorizationRequired", "Permission needed", Template::AuthorizationRequired),
    ("modelUnavailable", "Model not available", Template::ModelUnavailable),
    ("limitReached", "Limit reached", Template::LimitReached),
];

async fn settings(visit: Visit) -> Result<Shown, Error> {
    let paywall = find(&visit).await?;
    let id = id_of(&paywall);
    let mut panels = Vec::new();
    for (name, title, route, _) in SECTIONS {
        let now = door::ask(&visit, route).of("id", id.as_str()).json().await?;
        let text = serde_json::to_string_pretty(&now).unwrap_or_default();
        panels.push(section_form(&visit, (&id, name, title), &text));
    }
    let body = html! {
        (provider_form(&visit, &id))
        (templates_form(&visit, &paywall))
        @for panel in &panels { (panel) }
    };
    Ok(Shown::Page(page(&paywall, "Settings", &body)))
}

fn section_form(visit: &Visit, (id, name, title): (&str, &str, &str), text: &str) -> Markup {
    html! {
        section.panel.narrow {
            header { h2 { (title) } }
            div.in {
                form method="post" action={ "/paywalls/" (id) "/settings/" (name) } {
                    (parts::token(visit))
                    div.field {
                        label for=(name) { "As JSON, replaced whole" }
                        textarea id=(name) name="json" rows="12" spellcheck="false" { (text) }
                    }
                    @if visit.writes(Entity::Paywall) { button type="submit" { "Save" } }
                }
            }
        }
    }
}

fn templates_form(visit: &Visit, paywall: &Value) -> Markup {
    let own: domain::paywall::Templates =
        serde_json::from_value(paywall["templates"].clone()).unwrap_or_default();
    let name = parts::text(&paywall["name"]);
    let places = Places {
        url: Some("https://pay.example/t/4kq"),
        name: &name,
        balance: "0.12 USD",
        reset: "midnight",
    };
    let values = json!({
        "url": places.url, "name": places.name, "balance": places.balance, "reset": places.reset,
    });
    html! {
        section.panel.narrow {
            header { h2 { "What blocked users read" } span.mute { "with a preview as you type" } }
            div.in {
                form method="post" action={ "/paywalls/" (id_of(paywall)) "/settings/templates" } {
                    (parts::token(visit))
                    @for (field, label, template) in TEMPLATES {
                        div.field {
                            label for=(field) { (label) }
                            textarea id=(field) name=(field) rows="3"
                                data-preview={ (field) "-shown" } {
                                (template.shown(&own))
                            }
                            p.help #{ (field) "-shown" } data-values=(values) {
                                (template.render(&own, &places))
                            }
                        }
                    }
                    @if visit.writes(Entity::Paywall) { button type="submit" { "Save" } }
                }
            }
        }
    }
}

fn provider_form(visit: &Visit, id: &str) -> Markup {
    let form = super::form::Form::of(b"");
    let kinds: &[(&str, &str)] = &[
        ("openai", "OpenAI"),
        ("anthropic", "Anthropic"),
        ("compatible", "Compatible with OpenAI"),
    ];
    let fields = [
        ("Name", "name", "openai", "Prices and models refer to it."),
        ("Base URL", "baseUrl", "https://api.openai.com/v1", ""),
    ];
    html! {
        @if visit.writes(Entity::Paywall) {
            section.panel.narrow {
                header { h2 { "Connect a provider" } }
                div.in {
                    form method="post" action={ "/paywalls/" (id) "/provider" } {
                        (parts::token(visit))
                        (parts::select_field("Kind", "kind", (kinds, "openai")))
                        (parts::texts(&form, &fields))
                        div.field {
                            label for="key" { "Its key" }
                            input #key name="key" type="password" autocomplete="off";
                            p.help { "Sealed at rest. A connection of the same name is replaced." }
                        }
                        button type="submit" { "Connect" }
                    }
                }
            }
        }
    }
}

async fn set_provider(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("id", "paywall")?;
    let form = visit.form();
    let body = Value::Object(form.object(&["kind", "baseUrl", "key"]));
    let ask = door::ask(&visit, "PUT /v1/paywalls/{id}/providers/{name}").of("id", id.as_str());
    let name = form.some("name").unwrap_or_else(|| form.get("kind"));
    let to = format!("/paywalls/{id}/settings");
    Ok(match ask.of("name", name.as_str()).body(body).json().await {
        Ok(_) => Shown::done(to, "The provider is connected."),
        Err(error) => Shown::failed(to, &error),
    })
}

async fn set_section(visit: Visit) -> Result<Shown, Error> {
    let (id, name) =
        (visit.path::<String>("id", "paywall")?, visit.path::<String>("section", "page")?);
    let to = format!("/paywalls/{id}/settings");
    Ok(match save_section(&visit, &id, &name).await {
        Ok(()) => {
            Shown::done(to, "Saved. Requests under way keep what was in force at their hold.")
        }
        Err(error) => Shown::failed(to, &error),
    })
}

async fn save_section(visit: &Visit, id: &str, name: &str) -> Result<(), Error> {
    let form = visit.form();
    if name == "templates" {
        let mut body =
            door::ask(visit, "GET /v1/paywalls/{id}/templates").of("id", id).json().await?;
        for (field, ..) in TEMPLATES {
            body[field] = json!(form.raw(field).replace("\r\n", "\n"));
        }
        let route = "PUT /v1/paywalls/{id}/templates";
        return door::ask(visit, route).of("id", id).body(body).json().await.map(drop);
    }
    let found = SECTIONS.iter().find(|(known, ..)| *known == name);
    let (.., route) = found.ok_or_else(|| Error::not_found("page"))?;
    let body: Value = serde_json::from_str(&form.raw("json")).map_err(|error| {
        Error::invalid("json", mishap::sentence(&format!("that is no JSON: {error}")))
    })?;
    door::ask(visit, route).of("id", id).body(body).json().await.map(drop)
}
