//! Automatic top-up as a person sets it: the fields, the call that they stand for, and the plan in
//! words. What a plan does is the ledger's; here it is only asked for.

use domain::amount::Amount;
use domain::wallet::AutoTopup;
use engine::wallets::shown::Shown as Standing;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::form::Form;
use super::parts;

const UNITS: &[(&str, &str)] =
    &[("second", "seconds"), ("minute", "minutes"), ("hour", "hours"), ("day", "days")];

/// The value of `auto_topup`, made of the form. What is left empty stays, but the cool-down, which
/// ends.
pub fn body(form: &Form) -> Value {
    let mut plan = form.object(&["threshold", "amount", "max_amount_per_day"]);
    plan.insert("enabled".to_owned(), json!(form.is_on("enabled")));
    plan.insert("invoicing".to_owned(), json!(false));
    let cooldown = match form.some("cooldown") {
        Some(value) => json!({ "value": whole(&value), "unit": form.get("cooldown_unit") }),
        None => json!({ "value": 0 }),
    };
    plan.insert("cooldown".to_owned(), cooldown);
    if let Some(most) = form.some("max_per_day") {
        plan.insert("max_per_day".to_owned(), whole(&most));
    }
    let mut body = Map::new();
    body.insert("auto_topup".to_owned(), Value::Object(plan));
    Value::Object(body)
}

/// A whole number, or the text as it is for whoever judges it.
fn whole(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
}

pub fn inputs(standing: &Standing, form: &Form) -> Markup {
    let plan = json!(standing.wallet.auto_topup);
    // What was typed, or what holds.
    let fresh = form.pairs().is_empty();
    let value = |name: &str, now: &Value| if fresh { parts::text(now) } else { form.get(name) };
    let on = if fresh { plan["enabled"] != false } else { form.is_on("enabled") };
    let most = value("max_per_day", &plan["max_per_day"]);
    let cooldown = value("cooldown", &plan["cooldown"]["value"]);
    let chosen = value("cooldown_unit", &plan["cooldown"]["unit"]);
    let chosen = if chosen.is_empty() { "hour".to_owned() } else { chosen };
    let text = |label, name: &'static str, example, help| {
        parts::text_field(label, name, (&value(name, &plan[name]), example), help)
    };
    html! {
        p.mute {
            "The credits come at once and count as paid: you collect the money yourself, and hear "
            "of each top-up by webhook."
        }
        label.check {
            input type="checkbox" name="enabled" value="on" checked[on];
            "Top up automatically"
        }
        div.row {
            (text("When the balance is at or below", "threshold", "5", "In credits."))
            (text("Add", "amount", "20", "In credits."))
        }
        div.row {
            (parts::typed_field("Not again for", "cooldown",
                &parts::Typed::whole(&cooldown, "0", "1000000"), "Empty: no wait."))
            (parts::select_field("Unit", "cooldown_unit", (UNITS, &chosen)))
        }
        div.row {
            (parts::typed_field("Times in 24 hours at most", "max_per_day",
                &parts::Typed::whole(&most, "1", "100"), "Empty: stays; 10 at first."))
            (text("Credits in 24 hours at most", "max_amount_per_day", "100",
                "Empty: stays; no bound at first."))
        }
    }
}

/// The plan in words.
pub fn words(plan: Option<&AutoTopup>) -> Markup {
    let number = |amount: Amount| parts::number(amount);
    html! {
        @match plan.filter(|plan| plan.enabled) {
            None => "off",
            Some(plan) => {
                (number(plan.amount)) " at " (number(plan.threshold)) " or below, at most "
                (plan.max_per_day) @if plan.max_per_day == 1 { " time" } @else { " times" }
                @if let Some(most) = plan.max_amount_per_day { " and " (number(most)) " credits" }
                " in 24 hours"
                @if let Some(cooldown) = plan.cooldown {
                    @let unit = parts::text(&json!(cooldown.unit));
                    ", not again for " (cooldown.value) " " (unit)
                    @if cooldown.value != 1 { "s" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_stands_for_the_whole_plan() {
        let form = Form::of(b"enabled=on&threshold=5&amount=20&cooldown=2&cooldown_unit=hour");
        let plan = json!({ "enabled": true, "invoicing": false, "threshold": "5", "amount": "20",
            "cooldown": { "value": 2, "unit": "hour" } });
        assert_eq!(body(&form), json!({ "auto_topup": plan }));
        let off = body(&Form::of(b"threshold=5&cooldown=&max_per_day=x"));
        assert_eq!(off["auto_topup"]["enabled"], false);
        assert_eq!(off["auto_topup"]["cooldown"], json!({ "value": 0 }));
        assert_eq!(off["auto_topup"]["max_per_day"], "x");
    }

    #[test]
    fn a_plan_is_told_in_words() {
        let plan = json!({ "enabled": true, "threshold": "5", "amount": "20", "invoicing": false,
            "cooldown": { "value": 1, "unit": "hour" }, "collection": "external",
            "max_per_day": 3, "max_amount_per_day": "100" });
        let plan: AutoTopup = serde_json::from_value(plan).unwrap();
        let told = words(Some(&plan)).into_string();
        for part in ["at most 3 times", "credits in 24 hours", "not again for 1 hour"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("hours<") && !told.contains("1 hours"));
        assert_eq!(words(Some(&AutoTopup { enabled: false, ..plan })).into_string(), "off");
    }
}
