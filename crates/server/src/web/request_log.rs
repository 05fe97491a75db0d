//! The newest requests to the API with their outcome, and each by its id: what this process keeps
//! of them in memory. It reads; nothing here changes anything.

use domain::id::RequestId;
use domain::percent;
use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};

use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{developers, parts};
use crate::http::route::Routes;
use crate::request_log::{Credential, Filter, KEPT_MAX, Record};

const PAGE_MAX: usize = 50;
const PATH: &str = "/developers/requests";
const CLASSES: &[(&str, &str)] = &[
    ("", "Every status"),
    ("2", "2xx: done"),
    ("3", "3xx"),
    ("4", "4xx: refused"),
    ("5", "5xx: failed"),
];

pub fn routes() -> Routes {
    let reads = Some(Needs::read(Entity::Secret));
    Pages::default()
        .get(PATH, reads, list)
        .get("/developers/requests/{request}", reads, show)
        .into_routes()
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let wanted = visit.query("id");
    if let Some(id) = wanted.as_deref().and_then(|text| text.trim().parse().ok())
        && visit.app.requests.one(visit.scope().env, id).is_some()
    {
        return Ok(Shown::to(format!("{PATH}/{id}")));
    }
    let value = |name: &str| visit.query(name).unwrap_or_default();
    let (class, path, key) = (value("status"), value("path"), value("key"));
    let before: Option<RequestId> = visit.query("before").and_then(|text| text.parse().ok());
    let filter = Filter { class: class.parse().ok(), path, key, before };
    let log = &visit.app.requests;
    let mut found = log.page(visit.scope().env, &filter, PAGE_MAX + 1);
    let more = found.len() > PAGE_MAX;
    found.truncate(PAGE_MAX);
    let same = format!(
        "{PATH}?status={}&path={}&key={}",
        percent::encoded(&class),
        percent::encoded(&filter.path),
        percent::encoded(&filter.key)
    );
    let next = found.last().filter(|_| more).map(|last| format!("{same}&before={}", last.id));
    let body = html! {
        (not_found(wanted.as_deref()))
        (filters(&visit, &filter, &class))
        section.panel #requests data-live {
            (table(&found))
            (parts::pager(before.map(|_| same.as_str()), next.as_deref()))
        }
        p.help {
            "The newest " (kept()) " requests of this environment that this process answered, "
            "in its memory: the list begins anew when the process starts, and with several nodes "
            "each has its own. Requests whose key is not known, and those of this dashboard, are "
            "not in it. What changed something is kept for good in the ledger, the events and the "
            "audit log."
        }
    };
    Ok(Shown::Page(developers::page("Requests", &body).live()))
}

fn kept() -> String {
    parts::grouped(&KEPT_MAX.to_string())
}

fn not_found(wanted: Option<&str>) -> Markup {
    html! {
        @if let Some(id) = wanted {
            p.note.bad role="alert" {
                "No request " code { (id) } " is kept here. It may be older than the newest "
                (kept()) ", of before this process began, or of another environment or node."
            }
        }
    }
}

fn filters(visit: &Visit, filter: &Filter, class: &str) -> Markup {
    let keys = visit.app.requests.keys(visit.scope().env);
    let mut choices = vec![(String::new(), "Every key".to_owned())];
    choices.extend(keys.into_iter().map(|(display, name)| {
        let shown = if name.is_empty() { display.clone() } else { format!("{name} · {display}") };
        (display, shown)
    }));
    let choices: Vec<(&str, &str)> =
        choices.iter().map(|(value, shown)| (value.as_str(), shown.as_str())).collect();
    html! {
        form.filters action=(PATH) {
            (parts::select_field("Status", "status", (CLASSES, class)))
            (parts::text_field("Path begins with", "path", (&filter.path, "/v1/wallets"), ""))
            (parts::select_field("Key", "key", (&choices, &filter.key)))
            button type="submit" { "Filter" }
            a.button.quiet href=(PATH) { "All" }
        }
        form.filters action=(PATH) {
            (parts::text_field("Request id", "id", ("", "req_…"), ""))
            button type="submit" { "Open" }
        }
    }
}

fn table(found: &[Record]) -> Markup {
    let heads = [
        ("Request", ""),
        ("Status", "tight"),
        ("Error", ""),
        ("Took", "r tight"),
        ("Key", "tight"),
        ("Time (UTC)", "tight"),
    ];
    let rows: Vec<Vec<Markup>> = found.iter().map(row).collect();
    html! {
        @if rows.is_empty() {
            (parts::blank("No request here", &html! {
                p { "Each call of the API with a key of this environment is listed as it ends." }
            }))
        } @else { (parts::table("Requests", &heads, &rows)) }
    }
}

fn row(one: &Record) -> Vec<Markup> {
    vec![
        html! {
            a.wrap href={ (PATH) "/" (one.id) } { b { (one.method()) } " " (one.path()) }
        },
        status(one.status),
        code(one),
        took(one.took_us),
        html! { code.mute { (one.by.display()) } },
        parts::time(one.at()),
    ]
}

fn status(status: u16) -> Markup {
    let kind = match status {
        ..300 => "good",
        300..400 => "plain",
        400..500 => "slow",
        _ => "bad",
    };
    html! { span class={ "badge " (kind) } { (status) } }
}

fn code(one: &Record) -> Markup {
    html! {
        @if let Some(code) = one.code { code { (code) } } @else { span.faint { "–" } }
    }
}

/// Milliseconds with a tenth, from microseconds.
fn took(us: u32) -> Markup {
    let tenths = us.div_ceil(100);
    html! { span.num { (tenths / 10) "." (tenths % 10) " ms" } }
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let id: RequestId = visit.path("request", "request")?;
    let Some(one) = visit.app.requests.one(visit.scope().env, id) else {
        let to = format!("{PATH}?id={id}");
        return Ok(Shown::to(to));
    };
    let path = one.path();
    let body = html! {
        section.panel.narrow {
            header { h2 { "Request" } (status(one.status)) }
            div.in {
                (parts::facts(&[
                    ("Id", parts::id(&id.to_string())),
                    ("Time", html! { (parts::time(one.at())) " UTC" }),
                    ("Method", html! { (one.method()) }),
                    ("Path", html! { code { (path) } }),
                    ("Status", html! { (one.status) }),
                    ("Error", code(&one)),
                    ("Took", html! { (took(one.took_us)) " until the answer began" }),
                    ("Key", html! { (one.by.name()) " " code { (one.by.display()) } }),
                ]))
                (more(&visit, &one))
            }
        }
    };
    let page = Page::new(format!("{} {path}", one.method()), body).of(developers::SECTION);
    Ok(Shown::Page(page.under("Developers", "/developers").under("Requests", PATH)))
}

fn more(visit: &Visit, one: &Record) -> Markup {
    let same = format!("{PATH}?key={}", percent::encoded(one.by.display()));
    html! {
        p { a href=(same) { "Other requests of this key" } }
        @if let Credential::Paywall(_, paywall) = &one.by && visit.reads(Entity::Paywall) {
            p { a href={ "/paywalls/" (paywall) "/requests" } { "What its paywall decided" } }
        }
        @if one.method() == "GET" { (parts::as_curl(visit, "GET", one.path(), None)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_milliseconds_and_never_as_nothing() {
        for (us, shown) in [(1, "0.1 ms"), (100, "0.1 ms"), (1_234, "1.3 ms"), (65_000, "65.0 ms")]
        {
            assert!(took(us).into_string().contains(shown), "{us}");
        }
    }
}
