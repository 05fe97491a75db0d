//! Pieces that pages are made of: amounts, times, badges, tables' ends, fields, things to copy.
//! Everything that a person or a program gave is a value here, and is escaped where it is put.

use domain::percent;
use std::collections::BTreeMap;

use domain::amount::Amount;
use domain::currency::Currency;
use domain::time::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::form::Form;
use super::icons::icon;
use super::visit::Visit;

/// With a mark between thousands, at least the currency's digits, and its code.
pub fn money(amount: Amount, currency: Currency) -> Markup {
    html! {
        span.num {
            (grouped(&amount.formatted(currency.digits(), 9)))
            " "
            span.unit { (currency.upper()) }
        }
    }
}

/// To the currency's own digits, for figures at a glance; its title says all of it.
pub fn glance(amount: Amount, currency: Currency) -> Markup {
    let exact = format!("{} {}", grouped(&amount.to_string()), currency.upper());
    let short = amount.formatted(currency.digits(), currency.digits());
    html! {
        span.num title=(exact) { (grouped(&short)) " " span.unit { (currency.upper()) } }
    }
}

/// A currency by its code; dollars where it is none.
pub fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap_or(Currency::USD)
}

/// An amount of JSON, as text or number.
pub fn amount(value: &Value) -> Amount {
    domain::json::amount(value).unwrap_or_default()
}

pub fn number(amount: Amount) -> Markup {
    html! { span.num { (grouped(&amount.to_string())) } }
}

pub fn count(count: impl Into<i128>) -> Markup {
    html! { span.num { (grouped(&count.into().to_string())) } }
}

/// The bytes in small hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `1234567.5` as `1,234,567.5`.
pub fn grouped(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, part) = rest.split_once('.').map_or((rest, None), |(a, b)| (a, Some(b)));
    let mut grouped = String::with_capacity(text.len() + 4);
    grouped.push_str(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(part) = part {
        grouped.push('.');
        grouped.push_str(part);
    }
    grouped
}

/// `2026-11-22 10:33:05`, in UTC as everywhere.
pub fn plain_time(at: Timestamp) -> String {
    let text = at.to_string();
    let (day, time) = (text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default());
    format!("{day} {time}")
}

pub fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) title={ (plain_time(at)) " UTC" } { (plain_time(at)) } }
}

/// A time of JSON; a dash where there is none.
pub fn json_time(value: &Value) -> Markup {
    let at = value.as_str().and_then(|text| Timestamp::parse(text).ok());
    at.map_or_else(|| html! { span.faint { "–" } }, time)
}

pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A dash where there is nothing.
pub fn or_dash(text: &str) -> Markup {
    html! { @if text.is_empty() { span.faint { "–" } } @else { (text) } }
}

/// How a word of a state looks: good, bad, waiting or plain.
pub fn badge(word: &str) -> Markup {
    let kind = match word {
        "active" | "enabled" | "completed" | "delivered" | "ok" | "published" | "running"
        | "credit" | "success" | "connected" | "2xx" => "good",
        "failed" | "blocked" | "exhausted" | "disabled" | "in_alarm" | "closed" | "stopped"
        | "suspended" | "error" | "critical" | "expired" => "bad",
        "pending" | "paused" | "frozen" | "warning" | "waiting" | "retrying" | "open"
        | "canceled" | "archived" | "hold" | "parked" | "due" => "slow",
        _ => "plain",
    };
    let shown = word.replace('_', " ");
    html! { span class={ "badge " (kind) } { (shown) } }
}

/// An id that can be taken along with one click.
pub fn id(id: &str) -> Markup {
    html! {
        span.id {
            code { (id) }
            button.copy type="button" data-copy=(id) aria-label={ "Copy " (id) } { (icon("copy")) }
        }
    }
}

/// Something to paste, with a button.
pub fn snippet(label: &str, text: &str) -> Markup {
    html! {
        div.snippet {
            div.snippet-head {
                span { (label) }
                button.quiet type="button" data-copy=(text) { (icon("copy")) "Copy" }
            }
            pre tabindex="0" role="region" aria-label=(label) { code { (text) } }
        }
    }
}

/// A call of the API as a command. The key is never in it.
pub fn curl(visit: &Visit, method: &str, path: &str, body: Option<&Value>) -> String {
    use std::fmt::Write as _;
    let url = &visit.app.engine.public_url;
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut command = "curl".to_owned();
    if method != "GET" {
        // Writing to a text cannot fail.
        let _ = write!(command, " -X {method}");
    }
    let _ =
        write!(command, " {} -H \"x-api-key: $FAREBOX_API_KEY\"", quoted(&format!("{url}{path}")));
    if method == "POST" {
        command.push_str(" -H \"Idempotency-Key: $(date +%s%N)\"");
    }
    if let Some(body) = body {
        let _ = write!(command, " \\\n  -d {}", quoted(&body.to_string()));
    }
    command
}

pub fn as_curl(visit: &Visit, method: &str, path: &str, body: Option<&Value>) -> Markup {
    html! {
        details.curl {
            summary { "As curl" }
            (snippet("The same as a command", &curl(visit, method, path, body)))
        }
    }
}

/// JSON as it is, in lines.
pub fn json(label: &str, value: &Value) -> Markup {
    snippet(label, &serde_json::to_string_pretty(value).unwrap_or_default())
}

pub fn raw_json(value: &Value) -> Markup {
    html! { details.curl { summary { "As JSON" } (json("JSON", value)) } }
}

/// What stands where nothing is yet, and what to do about it.
pub fn blank(title: &str, body: &Markup) -> Markup {
    html! { div.blank { p.blank-title { (title) } (body) } }
}

/// Figures side by side: name, value, and a word more.
pub fn stats(rows: &[(&str, Markup, Markup)]) -> Markup {
    html! {
        div.stats #stats data-live {
            @for (name, value, more) in rows {
                div.stat { div.k { (name) } div.v { (value) } div.s { (more) } }
            }
        }
    }
}

/// Names and values, one a line.
pub fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
}

/// What callers wrote beside a thing; nothing where they wrote nothing.
pub fn metadata(metadata: &BTreeMap<String, String>) -> Markup {
    html! {
        @if !metadata.is_empty() {
            h3 { "Metadata" }
            dl.facts { @for (key, value) in metadata { div { dt { (key) } dd { (value) } } } }
        }
    }
}

/// A field with its label and a word of help.
pub fn field(label: &str, name: &str, input: &Markup, help: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            (input)
            @if !help.is_empty() { p.help id={ (name) "-help" } { (help) } }
        }
    }
}

pub fn text_field(label: &str, name: &str, (value, place): (&str, &str), help: &str) -> Markup {
    let described = (!help.is_empty()).then(|| format!("{name}-help"));
    let input = html! {
        input id=(name) name=(name) value=(value) placeholder=(place)
            aria-describedby=[described] autocomplete="off";
    };
    field(label, name, &input, help)
}

/// A field of a kind that browsers know, such as `number`, with attributes of that kind.
pub struct Typed<'a> {
    pub kind: &'a str,
    pub value: &'a str,
    pub min: Option<&'a str>,
    pub max: Option<&'a str>,
    pub step: Option<&'a str>,
}

impl<'a> Typed<'a> {
    /// A whole number from `min` to `max`.
    pub fn whole(value: &'a str, min: &'a str, max: &'a str) -> Typed<'a> {
        Typed { kind: "number", value, min: Some(min), max: Some(max), step: Some("1") }
    }

    /// A time to the second, UTC as everywhere.
    pub fn time(value: &'a str) -> Typed<'a> {
        Typed { kind: "datetime-local", value, min: None, max: None, step: Some("1") }
    }
}

pub fn typed_field(label: &str, name: &str, typed: &Typed<'_>, help: &str) -> Markup {
    let described = (!help.is_empty()).then(|| format!("{name}-help"));
    let input = html! {
        input id=(name) name=(name) type=(typed.kind) value=(typed.value) min=[typed.min]
            max=[typed.max] step=[typed.step] aria-describedby=[described] autocomplete="off";
    };
    field(label, name, &input, help)
}

/// Fields with what was typed so far: label, name, example, help.
pub fn texts(form: &Form, rows: &[(&str, &str, &str, &str)]) -> Markup {
    html! {
        @for (label, name, place, help) in rows {
            (text_field(label, name, (&form.get(name), place), help))
        }
    }
}

pub fn problem(problem: Option<&str>) -> Markup {
    html! { @if let Some(problem) = problem { p.note.bad role="alert" { (problem) } } }
}

pub fn select_field(label: &str, name: &str, (all, chosen): (&[(&str, &str)], &str)) -> Markup {
    let input = html! {
        select id=(name) name=(name) {
            @for (value, shown) in all {
                option value=(value) selected[*value == chosen] { (shown) }
            }
        }
    };
    field(label, name, &input, "")
}

/// What every form of ours carries.
pub fn token(visit: &Visit) -> Markup {
    html! { input type="hidden" name="csrf" value=(visit.csrf()); }
}

/// A key so that sending the form twice does its work once.
pub fn once(visit: &Visit) -> Markup {
    html! { input type="hidden" name="once" value={ "page-" (visit.call.request) }; }
}

/// One button that is a form.
pub fn button(visit: &Visit, action: &str, label: &str, kind: &str) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (token(visit)) (once(visit))
            button class=(kind) type="submit" { (label) }
        }
    }
}

/// A table: what a column is called and how it stands (`r` to the right, `tight` as narrow as it
/// can be), and the cells of each row.
pub fn table(label: &str, heads: &[(&str, &str)], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { @for (name, class) in heads { th class=(class) { (name) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (cell, (_, class)) in row.iter().zip(heads) {
                                td class=(class) { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Text of someone's in a cell.
pub fn words(text: &str) -> Markup {
    html! { span.wrap { (or_dash(text)) } }
}

pub fn link(to: &str, text: &str) -> Markup {
    html! { a.wrap href=(to) { (text) } }
}

/// The rows of a list of the API.
pub fn rows(list: &Value) -> &[Value] {
    list["data"].as_array().map_or(&[], Vec::as_slice)
}

/// Where a list of the API goes on, as a page of ours.
pub fn next(list: &Value, path: &str) -> Option<String> {
    let cursor = list["next_cursor"].as_str().filter(|_| list["has_more"] == true)?;
    let mark = if path.contains('?') { '&' } else { '?' };
    Some(format!("{path}{mark}cursor={}", percent::encoded(cursor)))
}

/// The links under a list of the API at a page of ours.
pub fn more(list: &Value, path: &str, is_later: bool) -> Markup {
    pager(is_later.then_some(path), next(list, path).as_deref())
}

/// The links under a list that goes on.
pub fn pager(first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav.pager aria-label="More of this list" {
                @if let Some(first) = first { a.button.quiet href=(first) { "From the start" } }
                @if let Some(next) = next { a.button href=(next) rel="next" { "Next" } }
            }
        }
    }
}

/// Tabs of a thing's pages: name, path, whether it is this one.
pub fn tabs(label: &str, all: &[(&str, String, bool)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (name, path, here) in all {
                a href=(path) aria-current=[here.then_some("page")] { (name) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_marked() {
        for (text, expected) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.891", "−1,234,567.891"),
            ("100000.5", "100,000.5"),
        ] {
            assert_eq!(grouped(text), expected);
        }
    }

    #[test]
    fn what_a_customer_is_called_is_text_and_never_markup() {
        let shown = id("<script>alert(1)</script>").into_string();
        assert!(!shown.contains("<script>") && shown.contains("&lt;script&gt;"));
        let shown = snippet("x", "\"><img src=x onerror=alert(1)>").into_string();
        assert!(!shown.contains("<img"));
    }
}
