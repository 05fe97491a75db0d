//! The frame around every page of the portal: whose it is, who looks, where one can go, and the
//! headers that keep it safe.

use axum::http::StatusCode;
use domain::portal::{Allowance, Item};
use engine::Error;
use maud::{DOCTYPE, Markup, html};

use super::super::cookies::{self, Note};
use super::super::customers::name_of;
use super::super::{assets, layout, mishap};
use super::visit::Visit;
use super::zone::Zone;
use crate::http::answer::Answer;

/// Nothing from elsewhere, nothing inline, and nothing runs at all.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub struct Page {
    title: String,
    body: Markup,
    status: StatusCode,
    /// Path of the tab that it belongs to.
    tab: &'static str,
}

impl Page {
    pub fn new(title: impl Into<String>, body: Markup) -> Page {
        Page { title: title.into(), body, status: StatusCode::OK, tab: "" }
    }

    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Page {
        self.status = status;
        self
    }

    #[must_use]
    pub fn under(mut self, tab: &'static str) -> Page {
        self.tab = tab;
        self
    }
}

/// Everything around a page.
pub struct Frame {
    brand: String,
    customer: String,
    is_live: bool,
    now: String,
    ends: String,
    zone: String,
    leave: Markup,
    tabs: Vec<(&'static str, &'static str)>,
    note: Option<Note>,
}

impl Frame {
    pub fn of(visit: &Visit) -> Frame {
        let (scope, zone) = (visit.visitor.scope(), Zone::of(visit));
        Frame {
            brand: visit.brand.clone(),
            customer: name_of(&visit.visitor.customer).to_owned(),
            is_live: scope.live,
            now: zone.plain(visit.app.engine.now(&scope)),
            ends: zone.plain(visit.visitor.session.expires_at),
            zone: zone.name().to_owned(),
            leave: html! {
                form method="post" action="/portal/leave" {
                    (visit.proof())
                    button.quiet type="submit" { "Leave" }
                }
            },
            tabs: tabs(visit),
            note: visit.note.clone(),
        }
    }

    pub fn answer(&self, page: &Page) -> Answer {
        let answer = guarded(&self.render(page), page.status);
        if self.note.is_some() { cookies::without_portal_note(answer) } else { answer }
    }

    fn render(&self, page: &Page) -> Markup {
        let body = html! {
            a.skip href="#main" { "Skip to the content" }
            header.portal-top {
                div {
                    p.brand { (self.brand) }
                    p.mute { (self.customer) }
                }
                @if !self.is_live {
                    span.tag.test title="Nothing here is real money" { "Test" }
                }
                (self.leave)
            }
            nav.tabs aria-label="Pages" {
                @for (path, name) in &self.tabs {
                    a href=(path) aria-current=[(*path == page.tab).then_some("page")] { (name) }
                }
            }
            main #main tabindex="-1" {
                @if let Some(note) = &self.note {
                    div.note.bad[!note.good] role="status" { (note.text) }
                }
                header.title { h1 { (page.title) } }
                (page.body)
            }
            footer.portal-end {
                p {
                    "As of " (self.now) " " (self.zone) ". This page can be used until "
                    (self.ends) " " (self.zone) "."
                }
            }
        };
        document(&format!("{} · {}", page.title, self.brand), "portal", &body)
    }
}

/// What the operator lets be seen.
fn tabs(visit: &Visit) -> Vec<(&'static str, &'static str)> {
    let config = &visit.config;
    let all = [
        (true, "/portal", "Overview"),
        (config.shows(Item::Transactions), "/portal/transactions", "Transactions"),
        (config.allows(Allowance::Webhooks), "/portal/webhooks", "Webhooks"),
        (true, "/portal/details", "Details"),
    ];
    all.into_iter().filter(|(on, ..)| *on).map(|(_, path, name)| (path, name)).collect()
}

fn document(title: &str, class: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="icon" href=(assets::path("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(assets::path("app.css"));
            }
            body class=(class) { (body) }
        }
    }
}

fn guarded(document: &Markup, status: StatusCode) -> Answer {
    layout::guarded(document.clone(), status, (POLICY, "no-referrer"))
}

/// For whoever has no session that is good now.
pub fn outside(error: &Error) -> Answer {
    let status = mishap::status(error);
    if status.is_server_error() {
        return closed(status, &mishap::words(error), "Try again in a minute.");
    }
    let help = "A link opens these pages for one hour. Go back to where you found it and ask for a \
        new one.";
    closed(status, "This page is closed.", help)
}

/// A page that leads nowhere.
pub fn closed(status: StatusCode, title: &str, help: &str) -> Answer {
    let body = html! { main #main { h1 { (title) } p { (help) } } };
    guarded(&document(title, "outside", &body), status)
}
