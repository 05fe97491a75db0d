//! Bodies and answers of the calls, by the name of the call.

mod nouns;

use serde_json::Value;

use super::schema::{
    amount, any_object, boolean, id, integer, list, metadata, named, nullable, object, one_of,
    text, time,
};

/// What a call takes and gives. Without an entry the body is any object.
pub struct Shape {
    pub status: u16,
    pub body: Option<Value>,
    pub answer: Option<Value>,
}

fn shape(status: u16, body: Option<Value>, answer: Value) -> Shape {
    Shape { status, body, answer: Some(answer) }
}

pub fn of(operation: &str) -> Option<Shape> {
    Some(match operation {
        "livez" | "readyz" | "health" | "healthPost" => {
            shape(200, None, object(&[("status", text()), ("rules?", list(&text()))]))
        }
        "getTestClock" => shape(200, None, named("TestClock")),
        "createTestClock" => {
            let body = object(&[("at?", time()), ("frozen?", boolean())]);
            shape(201, Some(body), named("TestClock"))
        }
        "advanceTestClock" => {
            let body = object(&[("to?", time()), ("by?", text())]);
            shape(200, Some(body), named("TestClock"))
        }
        "deleteTestClock" => Shape { status: 204, body: None, answer: None },
        "verifyLedger" => shape(200, None, named("Proof")),
        "chargeUser" => shape(200, Some(named("Movement")), named("Charged")),
        "depositBalance" => shape(200, Some(named("Movement")), named("Deposited")),
        _ => return nouns::of(operation),
    })
}

/// Schemas that shapes refer to by name.
pub fn components() -> Vec<(&'static str, Value)> {
    vec![
        ("Error", error()),
        ("PaywallError", paywall_error()),
        (
            "Pagination",
            object(&[("total", integer()), ("limit", integer()), ("offset", integer())]),
        ),
        ("TestClock", test_clock()),
        ("Proof", proof()),
        ("Movement", movement()),
        ("Charged", charged()),
        ("Deposited", deposited()),
    ]
    .into_iter()
    .chain(nouns::components())
    .collect()
}

fn error() -> Value {
    object(&[
        ("code", text()),
        ("message", text()),
        ("http_status_code", integer()),
        ("request_id", id("req")),
        ("param?", text()),
        ("details?", any_object()),
    ])
}

fn paywall_error() -> Value {
    let error = object(&[
        ("message", text()),
        ("type", text()),
        ("param", nullable(text())),
        ("code", text()),
        ("request_id", id("req")),
    ]);
    object(&[("error", error), ("paywall?", any_object())])
}

fn test_clock() -> Value {
    object(&[
        ("environment_id", id("env")),
        ("mode", one_of(&["real", "running", "frozen"])),
        ("now", time()),
        ("next_due_at", nullable(time())),
        ("live", boolean()),
    ])
}

fn proof() -> Value {
    let finding = object(&[
        ("rule", text()),
        ("id", nullable(text())),
        ("position", nullable(integer())),
        ("message", text()),
    ]);
    object(&[
        ("environment_id", id("env")),
        ("balanced", boolean()),
        ("entries", integer()),
        ("events", integer()),
        ("wallets", integer()),
        ("last_position", integer()),
        ("totals", any_object()),
        ("findings_total", integer()),
        ("findings", list(&finding)),
    ])
}

fn movement() -> Value {
    object(&[("amount", amount()), ("user?", text()), ("metadata?", any_object())])
}

fn charged() -> Value {
    object(&[
        ("success", boolean()),
        ("message", text()),
        ("activityId", id("wtxn")),
        ("status?", text()),
        ("amount?", amount()),
        ("currency?", text()),
        ("balance?", text()),
        ("balanceFormatted?", text()),
        ("settlementReference?", text()),
        ("reason?", text()),
        ("actionUrl?", text()),
    ])
}

fn deposited() -> Value {
    object(&[
        ("balanceFormatted", text()),
        ("balance", text()),
        ("activityId", id("wtxn")),
        ("amount", amount()),
        ("currency", text()),
        ("metadata?", metadata()),
    ])
}
