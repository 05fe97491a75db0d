//! Requests that went through a paywall, each with its explanation: what was decided, at which
//! price, what was held, metered and charged.

use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};
use serde_json::Value;

use super::visit::{Pages, Shown, Visit};
use super::{door, parts, paywall};
use crate::http::route::Routes;

pub fn routes() -> Routes {
    let reads = Some(Needs::read(Entity::Paywall));
    Pages::default()
        .get("/paywalls/{id}/requests", reads, list)
        .get("/paywalls/{id}/requests/{request}", reads, show)
        .into_routes()
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let found = paywall::find(&visit).await?;
    let id = paywall::id_of(&found);
    let cursor = visit.query("cursor");
    let ask = door::ask(&visit, "GET /v1/paywalls/{id}/requests").of("id", id.as_str());
    let rows = ask.with("limit", "50").maybe("cursor", cursor.as_deref()).json().await?;
    let path = format!("/paywalls/{id}/requests");
    let body = html! {
        section.panel #requests data-live {
            (table(&id, &rows))
            (parts::more(&rows, &path, cursor.is_some()))
        }
    };
    Ok(Shown::Page(paywall::page(&found, "Requests", &body).live()))
}

pub fn table(paywall: &str, list: &Value) -> Markup {
    let heads = [
        ("Time (UTC)", "tight"),
        ("User", ""),
        ("Model", ""),
        ("Outcome", ""),
        ("Tokens", "r"),
        ("Charge", "r"),
        ("Took", "r"),
    ];
    let rows: Vec<Vec<Markup>> = parts::rows(list).iter().map(|one| row(paywall, one)).collect();
    html! {
        @if rows.is_empty() {
            (parts::blank("No request yet", &html! {
                p {
                    "Point a client at the paywall, or try it in the "
                    a href={ "/paywalls/" (paywall) "/playground" } { "playground" }
                    "."
                }
            }))
        } @else { (parts::table("Requests", &heads, &rows)) }
    }
}

fn row(paywall: &str, one: &Value) -> Vec<Markup> {
    let id = parts::text(&one["requestId"]);
    let usage = &one["usage"];
    let tokens = ["promptTokens", "completionTokens"].map(|name| usage[name].as_u64().unwrap_or(0));
    let currency = parts::currency(&parts::text(&one["currency"]));
    let model = one["model"].as_str().or(one["requestedModel"].as_str()).unwrap_or_default();
    let at = parts::json_time(&one["startedAt"]);
    vec![
        html! { a href={ "/paywalls/" (paywall) "/requests/" (id) } { (at) } },
        parts::words(&parts::text(&one["externalUserId"])),
        parts::words(model),
        html! {
            (parts::badge(&parts::text(&one["status"])))
            @if let Some(reason) = one["reason"].as_str() {
                " " span.mute { (reason.replace('_', " ")) }
            }
        },
        html! { (parts::count(tokens[0])) " → " (parts::count(tokens[1])) },
        html! {
            @if one["charge"].is_object() {
                (parts::money(parts::amount(&one["charge"]["amount"]), currency))
            }
            @else { span.faint { "–" } }
        },
        html! { @if let Some(ms) = one["latencyMs"].as_u64() { (parts::count(ms)) " ms" } },
    ]
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let found = paywall::find(&visit).await?;
    let id = paywall::id_of(&found);
    let request: String = visit.path("request", "request")?;
    let route = "GET /v1/paywalls/{id}/requests/{requestId}";
    let story = door::ask(&visit, route).of("id", id.as_str()).of("requestId", request.as_str());
    let story = story.json().await?;
    let path = format!("/v1/paywalls/{id}/requests/{request}");
    let body = html! {
        div.grid {
            section.panel {
                header { h2 { "What happened" } (parts::badge(&parts::text(&story["status"]))) }
                div.in {
                    p { (sentence(&story)) }
                    dl.facts {
                        @for (name, value) in facts(&story) { div { dt { (name) } dd { (value) } } }
                    }
                }
            }
            div {
                (charge(&story))
                section.panel {
                    header { h2 { "Told by" } }
                    div.in {
                        ul.bars {
                            @for kind in story["events"].as_array().into_iter().flatten() {
                                li { span { (parts::text(kind)) } }
                            }
                        }
                    }
                }
            }
        }
        section.panel { div.in {
            (parts::as_curl(&visit, "GET", &path, None))
            (parts::json("The whole story", &story))
        } }
    };
    Ok(Shown::Page(paywall::page(&found, "Requests", &body)))
}

/// The outcome in one sentence.
fn sentence(story: &Value) -> String {
    let word = |name: &str| parts::text(&story[name]);
    let user = word("externalUserId");
    let model = story["model"].as_str().map_or_else(|| word("requestedModel"), str::to_owned);
    match story["status"].as_str() {
        Some("blocked") => format!(
            "{user} asked {model}, and was refused: {}. Nothing was charged.",
            word("reason").replace('_', " ")
        ),
        Some("failed") => {
            format!("{user} asked {model}; the provider failed ({}).", word("errorCode"))
        }
        Some("canceled") => {
            format!("{user} left before the end; what was delivered was charged.")
        }
        Some("open") => format!("{user} is being answered by {model} now."),
        _ => format!(
            "{user} was answered by {model} and charged {} {}.",
            parts::text(&story["charge"]["amount"]),
            word("currency")
        ),
    }
}

/// Facts of a story for its page and for the playground.
pub fn facts(story: &Value) -> Vec<(String, String)> {
    let text = |path: &str| {
        let found = story.pointer(path).filter(|value| !value.is_null());
        found.map(parts::text).filter(|text| !text.is_empty())
    };
    let rows = [
        ("Request", "/requestId"),
        ("User", "/externalUserId"),
        ("Endpoint", "/endpoint"),
        ("Asked for", "/requestedModel"),
        ("Answered by", "/model"),
        ("Provider", "/provider"),
        ("Began", "/startedAt"),
        ("Ended", "/endedAt"),
        ("Reason", "/reason"),
        ("Held", "/hold/amount"),
        ("Held for tokens out", "/hold/outputTokens"),
        ("Shortened", "/hold/clamped"),
        ("Tokens in", "/usage/promptTokens"),
        ("Tokens out", "/usage/completionTokens"),
        ("Counted by", "/usage/source"),
        ("Provider's cost", "/charge/cost"),
        ("Charged", "/charge/amount"),
        ("Not collected", "/charge/uncollected"),
        ("Status of the provider", "/httpStatus"),
        ("Ended because", "/finishReason"),
        ("Milliseconds", "/latencyMs"),
        ("Settlement", "/settlement"),
    ];
    rows.iter().filter_map(|(name, path)| Some(((*name).to_owned(), text(path)?))).collect()
}

fn charge(story: &Value) -> Markup {
    let parts_of = story["charge"]["parts"].as_array().cloned().unwrap_or_default();
    let heads = [("Tokens", ""), ("Quantity", "r"), ("Price per million", "r")];
    let word = |one: &Value, names: [&str; 2]| {
        let found = names.iter().find_map(|name| one.get(*name));
        found.map(parts::text).unwrap_or_default()
    };
    let rows: Vec<Vec<Markup>> = parts_of
        .iter()
        .map(|one| {
            vec![
                html! { (word(one, ["class", "name"])) },
                html! { span.num { (parts::grouped(&word(one, ["quantity", "tokens"]))) } },
                html! { span.num { (word(one, ["price", "unitPrice"])) } },
            ]
        })
        .collect();
    html! {
        @if !rows.is_empty() {
            section.panel {
                header { h2 { "How the charge came about" } }
                (parts::table("Parts of the charge", &heads, &rows))
                div.in {
                    p.help {
                        "Each part at the price of the hold, marked up, added, and rounded up once."
                    }
                }
            }
        }
    }
}
