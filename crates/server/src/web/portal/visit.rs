//! Who looks at a page of the portal: one customer, as long as the session is good. A form proves
//! that it is ours.

use std::future::Future;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use domain::portal::PortalConfig;
use engine::portal_sessions::Visitor;
use engine::{Error, settings};
use maud::{Markup, html};

use super::super::cookies::Note;
use super::super::door::{Ask, ask_of};
use super::super::form::Form;
use super::super::visit::{csrf, is_same_site, not_ours, proves, redirect};
use super::super::{cookies, mishap};
use super::frame::{self, Frame, Page};
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::call::{Call, Caller};
use crate::http::route::{Access, Routes};
use crate::http::spec::Doc;

/// Largest body of a form.
const FORM_BYTES_MAX: usize = 64 << 10;

pub struct Visit {
    pub app: App,
    /// Caller and scope are the session's, so it can be handed to the API's own handlers.
    pub call: Call,
    pub visitor: Arc<Visitor>,
    pub config: PortalConfig,
    /// What the operator is called.
    pub brand: String,
    pub note: Option<Note>,
    token: String,
}

/// What a page's handler gives back.
pub enum Shown {
    Page(Page),
    /// To another page, with a word on what was done.
    To(String, Note),
    Raw(Answer),
}

impl Shown {
    pub fn done(to: impl Into<String>, text: impl Into<String>) -> Shown {
        Shown::To(to.into(), Note { good: true, text: text.into() })
    }

    pub fn failed(to: impl Into<String>, error: &Error) -> Shown {
        Shown::To(to.into(), Note { good: false, text: mishap::words(error) })
    }
}

impl Visit {
    pub fn ask<'a>(&'a self, name: &'a str) -> Ask<'a> {
        ask_of(&self.app, &self.call, name)
    }

    pub fn form(&self) -> Form {
        Form::of(&self.call.body)
    }

    pub fn query(&self, name: &str) -> Option<String> {
        self.call.query_value(name).filter(|text| !text.is_empty())
    }

    /// What every form carries: the proof that it is ours.
    pub fn proof(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(csrf(&self.token)); }
    }

    pub fn is_secure(&self) -> bool {
        is_secure(&self.app)
    }
    /// A key so that sending the form twice does its work once.
    pub fn once(&self) -> Markup {
        html! { input type="hidden" name="once" value={ "page-" (self.call.request) }; }
    }
}

pub fn is_secure(app: &App) -> bool {
    app.engine.public_url.starts_with("https:")
}

#[derive(Default)]
pub struct Pages {
    routes: Routes,
}

impl Pages {
    pub fn into_routes(self) -> Routes {
        self.routes
    }

    #[must_use]
    pub fn get<F, R>(self, path: &'static str, handler: F) -> Pages
    where
        F: Fn(Visit) -> R + Copy + Send + Sync + 'static,
        R: Future<Output = Result<Shown, Error>> + Send + 'static,
    {
        self.add((Method::GET, path), handler)
    }

    /// What a form asks for.
    #[must_use]
    pub fn post<F, R>(self, path: &'static str, handler: F) -> Pages
    where
        F: Fn(Visit) -> R + Copy + Send + Sync + 'static,
        R: Future<Output = Result<Shown, Error>> + Send + 'static,
    {
        self.add((Method::POST, path), handler)
    }

    fn add<F, R>(mut self, (method, path): (Method, &'static str), handler: F) -> Pages
    where
        F: Fn(Visit) -> R + Copy + Send + Sync + 'static,
        R: Future<Output = Result<Shown, Error>> + Send + 'static,
    {
        let posts = method == Method::POST;
        let serve = move |app: App, call: Call| serve(app, call, posts, handler);
        let doc = Doc::new("Portal", "portalPage", "A page of the portal");
        let one = Routes::default().add((method, path), Access::Public, doc, serve);
        self.routes = self.routes.merge(one.with_bodies_up_to(FORM_BYTES_MAX));
        self
    }
}

async fn serve<F, R>(app: App, call: Call, posts: bool, handler: F) -> Result<Answer, Error>
where
    F: Fn(Visit) -> R,
    R: Future<Output = Result<Shown, Error>>,
{
    let secure = is_secure(&app);
    let visit = match admit(app, call) {
        Ok(visit) => visit,
        Err(error) => return Ok(cookies::without_portal(frame::outside(&error), secure)),
    };
    let frame = Frame::of(&visit);
    let shown = if posts && !is_ours(&visit) { Err(not_ours()) } else { handler(visit).await };
    Ok(match shown {
        Ok(Shown::Page(page)) => frame.answer(&page),
        Ok(Shown::To(to, note)) => cookies::with_portal_note(redirect(&to), Some(&note), secure),
        Ok(Shown::Raw(answer)) => answer,
        Err(error) => frame.answer(&mishap_page(&error)),
    })
}

fn admit(app: App, mut call: Call) -> Result<Visit, Error> {
    let token = cookies::portal(&call).unwrap_or_default();
    let visitor = Arc::new(app.engine.portal_visitor(&token)?);
    let scope = visitor.scope();
    let (config, brand) = app.engine.read_now(|read| {
        let tenant = engine::tenants::find(read, &scope)?;
        Ok::<_, Error>((settings::portal_config(read, &scope)?, tenant.name))
    })?;
    let note = cookies::portal_note(&call);
    call.scope = scope;
    call.caller = Caller::Customer(visitor.clone());
    Ok(Visit { app, call, visitor, config, brand, note, token })
}

/// A form proves that it was made for this session and does not come from another site. Pages that
/// tell no referrer send the origin `null`.
fn is_ours(visit: &Visit) -> bool {
    let is_silent = visit.call.header("origin") == Some("null");
    let is_told = visit.call.header("sec-fetch-site").is_some();
    proves(&visit.call, &visit.token) && (is_same_site(&visit.call) || (is_silent && !is_told))
}

fn mishap_page(error: &Error) -> Page {
    let status = mishap::status(error);
    let title = match status {
        StatusCode::NOT_FOUND => "Not here",
        StatusCode::FORBIDDEN => "Not part of this page",
        status if status.is_server_error() => "That did not work",
        _ => "That cannot be done",
    };
    let body = html! {
        section.panel {
            div.blank {
                p.blank-title { (mishap::words(error)) }
                p { a.button href="/portal" { "To the overview" } }
            }
        }
    };
    Page::new(title, body).status(status)
}
