//! The customer's own endpoints: what was sent to them, what they answered, and sending it again.

use axum::http::StatusCode;
use domain::percent;
use engine::Error;
use maud::{Markup, html};
use serde_json::Value;

use super::super::{deliveries, mishap, parts};
use super::frame::Page;
use super::visit::{Pages, Shown, Visit};
use super::zone::Zone;
use crate::http::route::Routes;

const TAB: &str = "/portal/webhooks";

pub fn routes() -> Routes {
    Pages::default()
        .get(TAB, endpoints)
        .get("/portal/webhooks/{endpoint}", endpoint)
        .get("/portal/webhooks/deliveries/{delivery}", delivery)
        .post("/portal/webhooks/deliveries/{delivery}/redeliver", redeliver)
        .into_routes()
}

fn word(value: &Value, name: &str) -> String {
    parts::text(&value[name])
}

async fn all(visit: &Visit) -> Result<Value, Error> {
    visit.ask("GET /v1/customer/portal/webhooks/endpoints").json().await
}

async fn endpoints(visit: Visit) -> Result<Shown, Error> {
    let list = all(&visit).await?;
    let zone = Zone::of(&visit);
    let success = zone.head("Last success");
    let heads = [("Address", ""), ("State", ""), (success.as_str(), "tight wide")];
    let rows: Vec<Vec<Markup>> = parts::rows(&list).iter().map(|one| row(one, &zone)).collect();
    let body = html! {
        section.panel {
            @if rows.is_empty() { (none(&visit.brand)) } @else {
                (parts::table("Endpoints", &heads, &rows))
            }
        }
    };
    Ok(Shown::Page(Page::new("Webhooks", body).under(TAB)))
}

fn none(brand: &str) -> Markup {
    parts::blank(
        "No endpoint of yours",
        &html! {
            p {
                "An endpoint is an address of your server that hears of your balance as it "
                "changes. "
                "Give the address to " (brand) ": once it is set up for you alone, it stands here "
                "with all that was sent to it."
            }
        },
    )
}

fn row(one: &Value, zone: &Zone) -> Vec<Markup> {
    let failures = one["failures_in_a_row"].as_u64().unwrap_or_default();
    vec![
        html! {
            (parts::link(&format!("{TAB}/{}", word(one, "id")), &word(one, "url")))
            @if !word(one, "description").is_empty() {
                div.faint { (word(one, "description")) }
            }
        },
        html! {
            (parts::badge(&word(one, "state")))
            @if failures > 0 {
                div.bad-text {
                    "failed " (failures) @if failures == 1 { " time" } @else { " times" }
                }
            }
        },
        zone.json(&one["last_success_at"]),
    ]
}

async fn endpoint(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.call.path("endpoint", "webhook endpoint")?;
    let found = all(&visit).await?;
    let one = parts::rows(&found).iter().find(|one| one["id"] == id.as_str());
    let one = one.ok_or_else(|| Error::not_found("webhook endpoint"))?;
    let cursor = visit.query("cursor");
    let ask = visit.ask("GET /v1/customer/portal/webhooks/endpoints/{id}/deliveries");
    let list = ask.of("id", id.as_str()).maybe("cursor", cursor.as_deref()).json().await?;
    let path = format!("{TAB}/{}", percent::encoded(&id));
    let zone = Zone::of(&visit);
    let body = html! {
        section.panel {
            header { h2 { "Endpoint" } (parts::badge(&word(one, "state"))) }
            div.in { (facts(one, &zone)) }
        }
        section.panel {
            header { h2 { "Sent to it" } }
            (sent(&list, &zone))
            (parts::more(&list, &path, cursor.is_some()))
        }
    };
    Ok(Shown::Page(Page::new("Webhooks", body).under(TAB)))
}

fn facts(one: &Value, zone: &Zone) -> Markup {
    let types = one["types"].as_array().map_or(&[][..], Vec::as_slice);
    let types: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
    parts::facts(&[
        ("Address", html! { code { (word(one, "url")) } }),
        ("Events", html! { (types.join(", ")) }),
        ("What it is", parts::or_dash(&word(one, "description"))),
        ("Why in this state", parts::or_dash(&word(one, "state_reason").replace('_', " "))),
        ("Last success", zone.json(&one["last_success_at"])),
    ])
}

fn sent(list: &Value, zone: &Zone) -> Markup {
    let made = zone.head("Made");
    let heads = [
        ("Event", ""),
        ("State", ""),
        ("Answer", "r wide"),
        ("Attempts", "r wide"),
        (made.as_str(), "tight wide"),
    ];
    let rows: Vec<Vec<Markup>> =
        parts::rows(list).iter().map(|one| delivery_row(one, zone)).collect();
    html! {
        @if rows.is_empty() {
            (parts::blank("Nothing was sent yet", &html! {
                p { "Each event about you is one delivery, and is tried until it is taken." }
            }))
        } @else { (parts::table("Deliveries", &heads, &rows)) }
    }
}

fn delivery_row(one: &Value, zone: &Zone) -> Vec<Markup> {
    let path = format!("{TAB}/deliveries/{}", word(one, "id"));
    let code = word(one, "last_status_code");
    let answer = if code.is_empty() { word(one, "last_result") } else { code };
    vec![
        html! {
            (parts::link(&path, &word(one, "event_type")))
            div.small-only.faint { (zone.json(&one["created_at"])) }
        },
        parts::badge(&word(one, "status")),
        parts::or_dash(&answer),
        html! { span.num { (word(one, "attempts")) } },
        zone.json(&one["created_at"]),
    ]
}

async fn delivery(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.call.path("delivery", "delivery")?;
    let ask = visit.ask("GET /v1/customer/portal/webhooks/deliveries/{delivery_id}");
    let one = ask.of("delivery_id", id.as_str()).json().await?;
    let back = format!("{TAB}/{}", word(&one, "endpoint_id"));
    let again = format!("{TAB}/deliveries/{}/redeliver", percent::encoded(&id));
    let zone = Zone::of(&visit);
    let body = html! {
        p { a href=(back) { "All that was sent to this endpoint" } }
        section.panel {
            header { h2 { "Delivery" } (parts::badge(&word(&one, "status"))) }
            div.in {
                (parts::facts(&[
                    ("Id", html! { code { (id) } }),
                    ("Event", html! { code { (word(&one, "event_id")) } }),
                    ("Waits for", parts::or_dash(&word(&one, "waiting_for"))),
                    ("Next attempt", zone.json(&one["next_attempt_at"])),
                    ("Delivered", zone.json(&one["delivered_at"])),
                    ("Made", zone.json(&one["created_at"])),
                ]))
                form method="post" action=(again) {
                    (visit.proof()) (visit.once())
                    button.main type="submit" { "Send again" }
                }
            }
        }
        section.panel { header { h2 { "Attempts" } } (deliveries::attempts(&one)) }
    };
    Ok(Shown::Page(Page::new(word(&one, "event_type"), body).under(TAB)))
}

async fn redeliver(visit: Visit) -> Result<Shown, Error> {
    let id: String = visit.call.path("delivery", "delivery")?;
    let ask = visit.ask("POST /v1/customer/portal/webhooks/deliveries/{delivery_id}/redeliver");
    let ask = ask.of("delivery_id", id.as_str()).once(&visit.form().get("once"));
    let to = |id: &str| format!("{TAB}/deliveries/{}", percent::encoded(id));
    Ok(match ask.json().await {
        Ok(sent) => Shown::done(to(&word(&sent, "delivery_id")), "It is sent again."),
        // What is not there has no page to say it on.
        Err(error) if mishap::status(&error) == StatusCode::NOT_FOUND => return Err(error),
        Err(error) => Shown::failed(to(&id), &error),
    })
}
