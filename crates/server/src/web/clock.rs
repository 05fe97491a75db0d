//! The test clock: what time it is here, what falls due next, and moving on.

use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{door, parts};
use crate::http::route::Routes;

const SECTION: &str = "Test clock";
const DUE_MAX: i64 = 20;

/// Steps of the slider: as the API takes them, and in words.
const STEPS: [(&str, &str); 9] = [
    ("1m", "a minute"),
    ("15m", "a quarter of an hour"),
    ("1h", "an hour"),
    ("6h", "six hours"),
    ("1d", "a day"),
    ("3d", "three days"),
    ("7d", "a week"),
    ("30d", "thirty days"),
    ("365d", "a year"),
];

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Clock), Needs::write(Entity::Clock));
    Pages::default()
        .get("/clock", Some(reads), show)
        .post("/clock/{deed}", Some(writes), act)
        .into_routes()
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let clock = door::ask(&visit, "GET /v1/test-clock").json().await?;
    let scope = visit.scope();
    let due = visit.app.engine.read_now(|read| Ok(store::due::next(read, &scope, DUE_MAX)?))?;
    let body = html! {
        @if clock["live"] == true {
            (parts::blank("This is a live environment", &html! {
                p { "Its time is the world's. Switch to a test environment to move time." }
            }))
        } @else {
            div.grid { (standing(&visit, &clock)) (falls_due(&due)) }
        }
    };
    Ok(Shown::Page(Page::new("Test clock", body).of(SECTION).live()))
}

fn standing(visit: &Visit, clock: &Value) -> Markup {
    let real = clock["mode"] == "real";
    html! {
        section.panel #standing data-live {
            header { h2 { "Now" } (parts::badge(&parts::text(&clock["mode"]))) }
            div.in {
                (parts::facts(&[
                    ("Time (UTC)", parts::json_time(&clock["now"])),
                    ("Next due", parts::json_time(&clock["next_due_at"])),
                ]))
                p.help {
                    "Expiry, holds, links, retries and alerts follow this clock. It only moves "
                    "forward."
                }
                @if visit.writes(Entity::Clock) {
                    @if real { (attach_forms(visit)) } @else { (move_forms(visit)) }
                }
            }
        }
    }
}

fn attach_forms(visit: &Visit) -> Markup {
    html! {
        p { "This environment runs on the world's clock." }
        (parts::button(visit, "/clock/attach", "Give it a clock of its own", "main"))
    }
}

fn move_forms(visit: &Visit) -> Markup {
    let steps = json!(STEPS.iter().map(|(by, words)| [by, words]).collect::<Vec<_>>());
    html! {
        form method="post" action="/clock/advance" {
            (parts::token(visit))
            div.field {
                label for="clock-slide" { "Move on by " b #clock-words { "a day" } }
                input #clock-slide type="range" min="0" max=(STEPS.len() - 1) value="4"
                    data-steps=(steps);
                label.hidden for="clock-by" { "By" }
                input #clock-by name="by" value="1d" autocomplete="off";
                p.help { "Or type it: " code { "90m" } ", " code { "36h" } ", " code { "14d" } "." }
            }
            button.main type="submit" { "Move time, and run what falls due" }
        }
        div.actions {
            (parts::button(visit, "/clock/remove", "Back to the world's clock", ""))
        }
    }
}

fn falls_due(due: &[store::due::Due]) -> Markup {
    let heads = [("When (UTC)", "tight"), ("What", ""), ("Whose", "")];
    let row = |one: &store::due::Due| {
        vec![
            parts::time(one.at),
            html! { (one.kind.replace('_', " ")) },
            html! {
                @match one.wallet {
                    Some(wallet) => { a href={ "/wallets/" (wallet) } { "a wallet" } },
                    None => span.faint { "–" },
                }
            },
        ]
    };
    let rows: Vec<Vec<Markup>> = due.iter().map(row).collect();
    html! {
        section.panel #due data-live {
            header { h2 { "What falls due" } span.mute { "the next " (DUE_MAX) } }
            @if rows.is_empty() {
                (parts::blank("Nothing waits", &html! {
                    p { "Credits that expire and holds with their deadlines stand here." }
                }))
            } @else { (parts::table("What falls due", &heads, &rows)) }
        }
    }
}

async fn act(visit: Visit) -> Result<Shown, Error> {
    let deed: String = visit.path("deed", "page")?;
    let by = visit.form().get("by");
    let done = match deed.as_str() {
        "attach" => door::ask(&visit, "POST /v1/test-clock").body(json!({})).json().await,
        "remove" => door::ask(&visit, "DELETE /v1/test-clock").json().await,
        "advance" => {
            let ask = door::ask(&visit, "POST /v1/test-clock/advance");
            ask.body(json!({ "by": by })).json().await
        }
        _ => return Err(Error::not_found("page")),
    };
    let said = match deed.as_str() {
        "attach" => "This environment has its own clock now.".to_owned(),
        "remove" => "Back on the world's clock.".to_owned(),
        _ => format!("Time moved on by {by}; everything on the way has run."),
    };
    Ok(match done {
        Ok(_) => Shown::done("/clock", said),
        Err(error) => Shown::failed("/clock", &error),
    })
}
