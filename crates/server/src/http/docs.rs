//! `/openapi.json` and `/docs`: the API as a document and as one page, both made of the routes.

use std::sync::OnceLock;

use axum::http::Method;
use engine::Error;
use maud::{DOCTYPE, Markup, html};

use super::answer::Answer;
use super::call::Call;
use super::route::{Access, Route, Routes};
use super::spec::{Doc, document_text};
use crate::app::App;

const STYLE: &str = include_str!("docs/style.css");
/// Nothing but our own style is loaded, and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

pub fn routes() -> Routes {
    let (public, tag) = (Access::Public, "Docs");
    Routes::default()
        .add(
            (Method::GET, "/openapi.json"),
            public,
            Doc::new(tag, "openapi", "This document"),
            async |_, _| Ok(Answer::text("application/json", text())),
        )
        .add((Method::GET, "/docs"), public, Doc::new(tag, "docs", "The API on one page"), page)
        .add(
            (Method::GET, "/docs/style.css"),
            public,
            Doc::new(tag, "docsStyle", "The style of the page"),
            async |_, _| Ok(Answer::text("text/css; charset=utf-8", STYLE)),
        )
}

/// The routes never change while the process runs.
fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| document_text(&super::routes()))
}

async fn page(_: App, _: Call) -> Result<Answer, Error> {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| render(&super::routes()).into_string());
    let answer = Answer::text("text/html; charset=utf-8", page.as_str());
    Ok(answer
        .with("content-security-policy", POLICY)
        .with("x-content-type-options", "nosniff")
        .with("referrer-policy", "no-referrer"))
}

fn render(routes: &Routes) -> Markup {
    let groups = groups(routes);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Farebox API" }
                link rel="stylesheet" href="/docs/style.css";
            }
            body {
                a.skip href="#calls" { "Skip to the calls" }
                header {
                    h1 { "Farebox API" }
                    p {
                        "Version " (env!("CARGO_PKG_VERSION")) ". Also as "
                        a href="/openapi.json" { "OpenAPI 3.1" } "."
                    }
                }
                nav aria-label="Parts of the API" {
                    ul {
                        @for (tag, _) in &groups {
                            li { a href={ "#" (anchor(tag)) } { (tag) } }
                        }
                    }
                }
                main id="calls" { @for (tag, routes) in &groups { (group(tag, routes)) } }
            }
        }
    }
}

fn groups(routes: &Routes) -> Vec<(&'static str, Vec<&Route>)> {
    let mut groups: Vec<(&'static str, Vec<&Route>)> = Vec::new();
    for route in &routes.all {
        match groups.iter_mut().find(|(tag, _)| *tag == route.doc.tag) {
            Some((_, group)) => group.push(route),
            None => groups.push((route.doc.tag, vec![route])),
        }
    }
    groups
}

fn group(tag: &str, routes: &[&Route]) -> Markup {
    html! {
        section aria-labelledby=(anchor(tag)) {
            h2 id=(anchor(tag)) { (tag) }
            table {
                thead { tr { th { "Call" } th { "What it does" } th { "Key" } } }
                tbody {
                    @for route in routes {
                        tr id=(route.doc.operation) {
                            td { code { span.method { (route.method.as_str()) } " " (route.path) } }
                            td { (route.doc.summary) }
                            td { (who(route.access)) }
                        }
                    }
                }
            }
        }
    }
}

fn who(access: Access) -> String {
    match access {
        Access::Public => "none".to_owned(),
        Access::Paywall => "paywall".to_owned(),
        Access::Customer => "portal session".to_owned(),
        Access::Key(needs) => needs.to_string(),
        Access::Either(needs) => format!("{needs}, or paywall"),
    }
}

fn anchor(tag: &str) -> String {
    tag.to_lowercase().replace(' ', "-")
}
