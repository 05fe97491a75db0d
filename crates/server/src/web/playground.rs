//! A chat through the paywall as one of its users: what is held, metered and charged is real, in
//! this environment's money.

use std::sync::Arc;

use domain::role::{Entity, Needs};
use engine::Error;
use maud::html;
use serde_json::{Value, json};

use super::visit::{Pages, Shown, Visit};
use super::{door, parts, paywall, requests};
use crate::http::answer::Answer;
use crate::http::call::Caller;
use crate::http::route::Routes;

const MESSAGES_BYTES_MAX: usize = 100_000;

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Paywall), Needs::write(Entity::Paywall));
    Pages::default()
        .get("/paywalls/{id}/playground", Some(reads), show)
        .post("/paywalls/{id}/playground", Some(writes), chat)
        .get("/paywalls/{id}/playground/story", Some(reads), story)
        .into_routes()
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let found = paywall::find(&visit).await?;
    let path = format!("/paywalls/{}/playground", paywall::id_of(&found));
    let body = html! {
        div.split {
            section.panel {
                header { h2 { "Chat" } span.mute { "real holds, real charges" } }
                div.chat #chat aria-live="polite" tabindex="0" role="region" aria-label="Chat" {
                    (parts::blank("Say something", &html! {
                        p { "It goes through the paywall as the user on the right." }
                    }))
                }
                form.in method="post" action=(path) data-stream data-story={ (path) "/story" } {
                    (parts::token(&visit))
                    div.field {
                        label for="message" { "Message" }
                        textarea #message name="message" rows="3" required {}
                    }
                    div.row {
                        (parts::text_field("User", "user", ("playground", ""), "Give them money."))
                        (parts::text_field("Model", "model", ("gpt-4o-mini", ""), ""))
                        (parts::text_field("At most tokens out", "max_tokens", ("200", ""), ""))
                    }
                    button.main type="submit" disabled[!visit.writes(Entity::Paywall)] { "Send" }
                }
            }
            aside {
                section.panel {
                    header { h2 { "What it cost" } }
                    div.in {
                        dl.facts #story aria-live="polite" {
                            div { dt { "Request" } dd { "none yet" } }
                        }
                    }
                }
            }
        }
    };
    Ok(Shown::Page(paywall::page(&found, "Playground", &body)))
}

/// The paywall itself as the caller: the person may write it, and it answers for its users.
fn as_paywall(visit: &Visit, id: &str) -> Result<Caller, Error> {
    let id = id.parse().map_err(|_| Error::not_found("paywall"))?;
    let stored = visit.app.engine.find_paywall(&visit.scope(), id)?;
    let Caller::Key(key) = &visit.call.caller else {
        return Err(Error::not_found("paywall"));
    };
    let mut key = store::keys::StoredKey::clone(key);
    key.paywall = Some(stored.no);
    let shared = visit.app.engine.paywall(&visit.scope(), stored.no)?;
    Ok(Caller::Paywall(Arc::new(key), shared))
}

async fn chat(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("id", "paywall")?;
    let caller = as_paywall(&visit, &id)?;
    let form = visit.form();
    let text = form.raw("messages");
    let messages: Value = if text.is_empty() {
        json!([{ "role": "user", "content": form.raw("message") }])
    } else if text.len() > MESSAGES_BYTES_MAX {
        return Err(Error::invalid("messages", "this chat is too long for the playground"));
    } else {
        serde_json::from_str(&text).map_err(|_| Error::invalid("messages", "no chat"))?
    };
    let most = form.get("max_tokens").parse::<u64>().unwrap_or(200);
    let body = json!({
        "model": form.get("model"), "user": form.get("user"), "messages": messages,
        "max_tokens": most, "stream": true,
    });
    let ask = door::ask(&visit, "POST /v1/chat/completions").by(caller).body(body);
    let answer = match ask.answer().await {
        Ok(answer) => answer,
        Err(error) => {
            let surface = crate::http::route::Surface::Paywall;
            crate::http::errors::answer(&error, surface, visit.call.request)
        }
    };
    Ok(Shown::Raw(answer.with("cache-control", "no-store")))
}

/// What became of a request, once it is settled.
async fn story(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.path("id", "paywall")?;
    let request = visit.query("id").unwrap_or_default();
    let route = "GET /v1/paywalls/{id}/requests/{requestId}";
    let ask = door::ask(&visit, route).of("id", id.as_str()).of("requestId", request.as_str());
    let facts = ask.json().await.map(|story| requests::facts(&story)).unwrap_or_default();
    Ok(Shown::Raw(Answer::ok(&json!({ "facts": facts })).with("cache-control", "no-store")))
}
