//! How an endpoint does, in words: its circuit, what waits, and what can be done about it. It says
//! what the API's figures mean; it measures nothing.

use domain::time::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::parts;

/// Failures in a row at which the circuit opens.
const OPENS_AT: u32 = domain::webhook::circuit::FAILURES_MIN;

/// What is so, and what can be done.
struct Told {
    good: bool,
    title: &'static str,
    so: Markup,
    todo: Markup,
}

pub fn panel(one: &Value, stats: &Value) -> Markup {
    let told = told(one, stats);
    let number = |name: &str| stats[name].as_u64().unwrap_or(0);
    html! {
        section.panel #health data-live {
            header {
                h2 { "How it does" }
                span class={ "badge " (if told.good { "good" } else { "slow" }) } { (told.title) }
            }
            div.in {
                p { (told.so) }
                p { (told.todo) }
                (blocked(stats))
                (parts::facts(&[
                    ("Circuit", parts::badge(if is_open(one) { "open" } else { "ok" })),
                    ("Next probe", parts::json_time(&one["next_probe_at"])),
                    ("Waits", html! {
                        (parts::count(number("pending")))
                        @if number("parked") > 0 { ", parked " (parts::count(number("parked"))) }
                        @if !stats["oldest_pending_at"].is_null() {
                            ", since " (parts::json_time(&stats["oldest_pending_at"]))
                        }
                    }),
                    ("On the wire", html! {
                        (number("in_flight")) " of at most " (number("in_flight_limit"))
                        span.mute { " (" (limit(&stats["in_flight_limit_reason"])) ")" }
                    }),
                    ("Last 24 hours", html! {
                        (parts::count(number("delivered"))) " of "
                        (parts::count(number("attempts"))) " attempts were answered 2xx"
                    }),
                ]))
            }
        }
    }
}

fn is_open(one: &Value) -> bool {
    one["circuit"] == "open"
}

fn told(one: &Value, stats: &Value) -> Told {
    let waits = stats["pending"].as_u64().unwrap_or(0) + stats["parked"].as_u64().unwrap_or(0);
    match one["state"].as_str() {
        Some("disabled") => switched_off(one, waits),
        Some("paused") => Told {
            good: false,
            title: "paused",
            so: html! { "It was paused by hand. New events wait, as " (deliveries(waits)) " do." },
            todo: html! { "Resume sends what waits, in order; or gives it up, if you choose so." },
        },
        _ if is_open(one) => broken(one, waits),
        _ => working(one),
    }
}

fn switched_off(one: &Value, waits: u64) -> Told {
    let why = match one["state_reason"].as_str() {
        Some("gone") => "It answered 410 Gone, which asks to be told no more.",
        Some("auto") => "It had no success for three days, so it was switched off.",
        _ => "It was switched off by hand.",
    };
    Told {
        good: false,
        title: "switched off",
        so: html! { (why) " New events pass it by; " (deliveries(waits)) " parked." },
        todo: html! {
            "Switch it on to send what is parked. For what passed it by meanwhile, start a replay "
            "from " (since(&one["state_changed_at"])) " on."
        },
    }
}

fn broken(one: &Value, waits: u64) -> Told {
    let id = parts::text(&one["id"]);
    Told {
        good: false,
        title: "circuit open",
        so: html! {
            "The last " (parts::text(&one["failures_in_a_row"])) " attempts failed, the first of "
            "them at " (since(&one["first_failure_at"])) ". Nothing is sent and no attempt is "
            "spent but a probe with the oldest delivery: the next at "
            (since(&one["next_probe_at"])) " UTC. Until one is answered 2xx, "
            (deliveries(waits)) " waiting."
        },
        todo: html! {
            "Mend the receiver; the next probe finds out by itself, and what waits then goes out, "
            "slowly at first. Not to wait for it, send one of "
            a href={ "/webhooks/deliveries?endpoint_id=" (id) "&status=pending" } { "these" }
            " again: that goes out at once."
        },
    }
}

fn working(one: &Value) -> Told {
    let failures = one["failures_in_a_row"].as_u64().unwrap_or(0);
    let (good, title) = if failures == 0 { (true, "well") } else { (false, "failing") };
    let so = if one["last_attempt_at"].is_null() {
        html! { "Nothing was sent to it yet." }
    } else if failures == 0 {
        html! { "Its last attempt was answered 2xx: what happens is told as it happens." }
    } else {
        html! {
            "Its last " (failures) @if failures == 1 { " attempt" } @else { " attempts" }
            " failed. Each delivery is tried again by its schedule; other subjects go on."
        }
    };
    let todo = html! {
        "Its circuit is closed. It opens after " (OPENS_AT) " failures in a row, of at least 5 "
        "deliveries; then nothing is sent but probes."
    };
    Told { good, title, so, todo }
}

fn deliveries(count: u64) -> Markup {
    html! {
        (parts::count(count)) @if count == 1 { " delivery is" } @else { " deliveries are" }
    }
}

fn since(value: &Value) -> Markup {
    let at = value.as_str().and_then(|text| Timestamp::parse(text).ok());
    at.map_or_else(|| html! { "then" }, parts::time)
}

fn limit(reason: &Value) -> &'static str {
    match reason.as_str().unwrap_or_default() {
        "max_in_flight" => "its own bound",
        "slow" => "it answers slowly",
        "slow_start" => "a slow start",
        "no_recent_success" => "no success lately",
        _ => "less, for how it answered lately",
    }
}

/// Subjects that wait for one that failed.
fn blocked(stats: &Value) -> Markup {
    let all = stats["blocked_order_keys"].as_array().cloned().unwrap_or_default();
    html! {
        @if !all.is_empty() {
            details {
                summary {
                    @if all.len() == 1 { "1 subject waits" } @else { (all.len()) " subjects wait" }
                    " for the delivery before"
                }
                ul.bars {
                    @for one in &all {
                        @let first = parts::text(&one["blocked_by"]);
                        li {
                            span.name { code { (parts::text(&one["order_key"])) } }
                            span {
                                (parts::text(&one["waiting"])) " behind "
                                a href={ "/webhooks/deliveries/" (first) } { "this one" }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_state_is_told_in_words_with_what_can_be_done() {
        let at = "2026-11-22T10:00:00.000Z";
        let stats = json!({ "pending": 3, "parked": 0 });
        let table = [
            (json!({ "state": "enabled" }), "Nothing was sent to it yet"),
            (json!({ "state": "enabled", "last_attempt_at": at }), "told as it happens"),
            (
                json!({ "state": "enabled", "last_attempt_at": at, "failures_in_a_row": 1 }),
                "Its last 1 attempt failed",
            ),
            (
                json!({ "state": "enabled", "circuit": "open", "next_probe_at": at }),
                "deliveries are waiting",
            ),
            (json!({ "state": "paused" }), "Resume sends"),
            (json!({ "state": "disabled", "state_reason": "gone" }), "410 Gone"),
            (json!({ "state": "disabled", "state_reason": "auto" }), "three days"),
        ];
        for (one, words) in table {
            let shown = panel(&one, &stats).into_string();
            assert!(shown.contains(words), "{one}: {shown}");
        }
    }
}
