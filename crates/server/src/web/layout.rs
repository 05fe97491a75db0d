//! The frame around every page: menu, environment, theme, what the last action said. One place
//! for the headers that keep a page safe.

use axum::http::{HeaderValue, StatusCode};
use domain::role::Entity;
use engine::clock::TestClock;
use maud::{DOCTYPE, Markup, html};

use super::cookies::{self, Note};
use super::icons::icon;
use super::visit::Visit;
use super::{assets, parts};
use crate::http::answer::Answer;
use crate::http::call::Call;

/// Nothing from elsewhere, nothing inline; forms go to us alone.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' \
    data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a visitor chose to look at.
#[derive(Clone, Debug)]
pub struct Look {
    theme: Option<&'static str>,
}

impl Look {
    pub fn of(call: &Call) -> Look {
        Look { theme: cookies::theme(call) }
    }
}

/// A page without its frame.
pub struct Page {
    title: String,
    body: Markup,
    status: StatusCode,
    section: &'static str,
    /// Its parts marked `data-live` are fetched again when something was committed.
    live: bool,
    crumbs: Vec<(String, String)>,
    actions: Option<Markup>,
}

impl Page {
    pub fn new(title: impl Into<String>, body: Markup) -> Page {
        let (status, section, live) = (StatusCode::OK, "", false);
        let title = title.into();
        Page { title, body, status, section, live, crumbs: Vec::new(), actions: None }
    }

    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Page {
        self.status = status;
        self
    }

    /// The line of the menu that it belongs to.
    #[must_use]
    pub fn of(mut self, section: &'static str) -> Page {
        self.section = section;
        self
    }

    #[must_use]
    pub fn live(mut self) -> Page {
        self.live = true;
        self
    }

    /// The page above it.
    #[must_use]
    pub fn under(mut self, name: impl Into<String>, path: impl Into<String>) -> Page {
        self.crumbs.push((name.into(), path.into()));
        self
    }

    /// What stands beside the title.
    #[must_use]
    pub fn actions(mut self, actions: Markup) -> Page {
        self.actions = Some(actions);
        self
    }

    pub fn answer(self, frame: &Frame) -> Answer {
        let status = self.status;
        let mut answer = html_answer(frame.render(&self), status);
        if frame.note.is_some() {
            answer = cookies::without_note(answer);
        }
        answer
    }
}

/// A whole document with the headers of all of ours.
pub fn html_answer(document: Markup, status: StatusCode) -> Answer {
    guarded(document, status, (POLICY, "same-origin"))
}

/// A whole document under a policy, which tells other sites so much of where it is linked from.
pub fn guarded(document: Markup, status: StatusCode, (policy, referrer): (&str, &str)) -> Answer {
    let mut answer = Answer::text("text/html; charset=utf-8", document.into_string());
    if let Answer::Raw(response) = &mut answer {
        *response.status_mut() = status;
    }
    answer
        .with("content-security-policy", policy)
        .with("x-content-type-options", "nosniff")
        .with("x-frame-options", "DENY")
        .with("referrer-policy", referrer)
        .with("cross-origin-opener-policy", "same-origin")
        .with("cache-control", "no-store")
}

/// A header's value, if the text can be one.
pub fn is_header(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

/// Name, path, icon, key, and what it takes to see it.
type Line = (&'static str, &'static str, &'static str, &'static str, Entity);

const MENU: &[&[Line]] = &[
    &[
        ("Home", "/", "home", "h", Entity::Ledger),
        ("Customers", "/customers", "people", "c", Entity::Customer),
        ("Paywalls", "/paywalls", "gate", "p", Entity::Paywall),
        ("Webhooks", "/webhooks", "bolt", "w", Entity::Webhook),
        ("Events", "/events", "feed", "e", Entity::Webhook),
    ],
    &[
        ("Developers", "/developers", "code", "d", Entity::Secret),
        ("Test clock", "/clock", "clock", "t", Entity::Clock),
        ("Audit log", "/audit", "book", "a", Entity::Audit),
        ("Settings", "/settings", "gear", "s", Entity::Setting),
        ("System", "/system", "pulse", "y", Entity::Ledger),
    ],
];

/// Everything around a page that depends on who looks.
pub struct Frame {
    look: Look,
    name: String,
    email: String,
    csrf: String,
    live_environment: bool,
    environment: String,
    environments: Vec<(String, String, bool)>,
    menu: Vec<Vec<Line>>,
    note: Option<Note>,
    /// The test clock, where it is not the world's.
    clock: Option<String>,
}

impl Frame {
    pub fn of(visit: &Visit, look: Look) -> Frame {
        let scope = visit.scope();
        let menu = MENU
            .iter()
            .map(|part| part.iter().copied().filter(|(.., entity)| visit.reads(*entity)).collect());
        let named = |one: &store::tenants::Environment| {
            (one.scope.environment.to_string(), one.name.clone(), one.scope.live)
        };
        let clock = visit.app.engine.clocks.get(scope.env).map(|clock| {
            let now = parts::plain_time(visit.app.engine.now(&scope));
            match clock {
                TestClock::Frozen { .. } => format!("stands at {now}"),
                TestClock::Running { .. } => now,
            }
        });
        Frame {
            look,
            name: visit.person.member.profile.name.clone(),
            email: visit.person.member.profile.email.clone(),
            csrf: visit.csrf(),
            live_environment: scope.live,
            environment: scope.environment.to_string(),
            environments: visit.environments.iter().map(named).collect(),
            menu: menu.collect(),
            note: visit.note.clone(),
            clock,
        }
    }

    fn render(&self, page: &Page) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" data-theme=[self.look.theme] {
                (head(&page.title))
                body data-csrf=(self.csrf) data-live=[page.live.then_some("on")] {
                    a.skip href="#main" { "Skip to the content" }
                    div.app {
                        (self.side(page))
                        div.stage {
                            (self.top())
                            main #main tabindex="-1" { (self.main(page)) }
                        }
                    }
                    (palette())
                }
            }
        }
    }

    fn main(&self, page: &Page) -> Markup {
        html! {
            @if let Some(note) = &self.note {
                div.note.bad[!note.good] role="status" { (note.text) }
            }
            header.title {
                div {
                    @if !page.crumbs.is_empty() {
                        nav.crumbs aria-label="Where this is" {
                            @for (name, path) in &page.crumbs {
                                a href=(path) { (name) }
                                span { "/" }
                            }
                        }
                    }
                    h1 { (page.title) }
                }
                @if let Some(actions) = &page.actions {
                    div.actions { (actions) }
                }
            }
            (page.body)
        }
    }

    fn side(&self, page: &Page) -> Markup {
        html! {
            aside #menu.side aria-label="Menu" {
                div.brand {
                    a href="/" {
                        span.mark aria-hidden="true" {}
                        "Farebox"
                    }
                    a.close href="#main" aria-label="Close the menu" { (icon("close")) }
                }
                (self.switch())
                nav aria-label="Pages" {
                    @for part in &self.menu {
                        ul {
                            @for (name, path, shape, key, _) in part {
                                li {
                                    a   href=(path)
                                        data-go=(key)
                                        aria-current=[(page.section == *name).then_some("page")]
                                    {
                                        (icon(shape))
                                        span { (name) }
                                    }
                                }
                            }
                        }
                    }
                }
                div.me {
                    a.who href="/account" {
                        span { (self.name) }
                        small { (self.email) }
                    }
                    div.me-row {
                        form method="post" action="/theme" {
                            input type="hidden" name="csrf" value=(self.csrf);
                            button
                                .quiet
                                type="submit"
                                data-theme-switch
                                aria-label="Theme: light or dark"
                            { (icon("half")) "Theme" }
                        }
                        form method="post" action="/sign-out" {
                            input type="hidden" name="csrf" value=(self.csrf);
                            button.quiet type="submit" { "Sign out" }
                        }
                    }
                }
            }
        }
    }

    /// Which environment: every figure of every page is of this one.
    fn switch(&self) -> Markup {
        let kind = |live: bool| if live { "live" } else { "test" };
        html! {
            form.switch method="post" action="/environment" data-auto {
                input type="hidden" name="csrf" value=(self.csrf);
                label for="environment" { "Environment" }
                div {
                    select #environment name="environment" {
                        @for (id, name, live) in &self.environments {
                            option value=(id) selected[*id == self.environment] {
                                (name)
                                " · "
                                (kind(*live))
                            }
                        }
                    }
                    button.quiet type="submit" { "Go" }
                }
            }
        }
    }

    fn top(&self) -> Markup {
        html! {
            div.top {
                a.button.quiet.open href="#menu" aria-label="Open the menu" { (icon("menu")) }
                @if self.live_environment {
                    span.tag.live { "Live" }
                } @else {
                    span.tag.test title="Nothing here is real money" { "Test" }
                }
                @if let Some(clock) = &self.clock {
                    a.tag.test href="/clock" title="This environment has a clock of its own" {
                        (icon("clock"))
                        (clock)
                    }
                }
                form.find action="/customers" role="search" {
                    label.hidden for="find" { "Find customers" }
                    input
                        #find
                        name="q"
                        type="search"
                        placeholder="Find a customer, or an id"
                        autocomplete="off";
                    kbd data-palette-open title="Ctrl K or ⌘K: go anywhere" { "Ctrl K" }
                }
            }
        }
    }
}

pub fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · Farebox" }
            link rel="icon" href=(assets::path("icon.svg")) type="image/svg+xml";
            link rel="stylesheet" href=(assets::path("app.css"));
            script src=(assets::path("app.js")) defer {}
        }
    }
}

/// Filled by the script from the menu and the links of the page.
fn palette() -> Markup {
    html! {
        dialog.palette #palette aria-label="Go to" {
            input #palette-input type="text" role="combobox" aria-expanded="true"
                aria-controls="palette-list" aria-label="Type a page, an action or a customer"
                placeholder="Type a page, an action or a customer" autocomplete="off";
            ul #palette-list role="listbox" aria-label="Matches" {}
            p.hint { kbd { "↑" } " " kbd { "↓" } " choose · " kbd { "Enter" } " go · "
                kbd { "G" } " then a letter jumps from any page" }
        }
    }
}

/// A document for whoever is not signed in.
pub fn outside(look: &Look, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[look.theme] {
            (head(title))
            body.outside {
                main #main {
                    p.brand { span.mark aria-hidden="true" {} "Farebox" }
                    h1 { (title) }
                    (body)
                }
            }
        }
    }
}

/// A document for a customer of ours' customers, in the same look; nothing runs on it.
pub fn hosted(title: &str, body: &Markup) -> Markup {
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
            body.outside { main { (body) } }
        }
    }
}
