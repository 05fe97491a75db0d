//! Who looks at a page: a person with a session, in one environment of their tenant. Every page
//! declares what it needs, as routes of the API do; a form also proves that it is ours.

use domain::percent;
use std::future::Future;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use domain::id::SecretId;
use domain::role::{Entity, Grant, Needs, grants_permit};
use domain::scope::Scope;
use engine::sign_ins::{Person, fingerprint};
use engine::{Class, Error, Fault};
use store::keys::StoredKey;
use store::tenants::Environment;
use subtle::ConstantTimeEq as _;

use super::form::Form;
use super::layout::{self, Page};
use super::{cookies, mishap, parts};
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::call::{Call, Caller, SESSION_KIND};
use crate::http::route::{Access, Routes, not_permitted};
use crate::http::spec::Doc;

/// Largest body of a form.
const FORM_BYTES_MAX: usize = 256 << 10;

/// A request of a person who is signed in.
pub struct Visit {
    pub app: App,
    /// Caller and scope are the session's, so it can be handed to the API's own handlers.
    pub call: Call,
    pub person: Person,
    pub token: String,
    pub grants: Vec<Grant>,
    pub environments: Vec<Environment>,
    /// What the last request left to say.
    pub note: Option<cookies::Note>,
}

/// What a page's handler gives back.
pub enum Shown {
    Page(Page),
    /// To another page, with a word on what was done.
    To(String, Option<cookies::Note>),
    Raw(Answer),
}

impl Shown {
    pub fn to(to: impl Into<String>) -> Shown {
        Shown::To(to.into(), None)
    }

    /// To another page, which says what was done.
    pub fn done(to: impl Into<String>, text: impl Into<String>) -> Shown {
        Shown::To(to.into(), Some(cookies::Note { good: true, text: text.into() }))
    }

    /// To another page, which says why nothing was done.
    pub fn failed(to: impl Into<String>, error: &Error) -> Shown {
        let text = mishap::words(error);
        Shown::To(to.into(), Some(cookies::Note { good: false, text }))
    }
}

impl Visit {
    pub fn scope(&self) -> Scope {
        self.call.scope
    }

    pub fn may(&self, needs: Needs) -> bool {
        grants_permit(&self.grants, needs)
    }

    pub fn reads(&self, entity: Entity) -> bool {
        self.may(Needs::read(entity))
    }

    pub fn writes(&self, entity: Entity) -> bool {
        self.may(Needs::write(entity))
    }

    pub fn form(&self) -> Form {
        Form::of(&self.call.body)
    }

    /// Proof that a form came from one of our pages.
    pub fn csrf(&self) -> String {
        csrf(&self.token)
    }

    pub fn path<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<T, Error> {
        self.call.path(name, what)
    }

    pub fn query(&self, name: &str) -> Option<String> {
        self.call.query_value(name).filter(|text| !text.is_empty())
    }
}

/// The proof of a session's forms: it follows from the session, which only the browser has.
pub fn csrf(token: &str) -> String {
    let digest = fingerprint(&format!("csrf:{token}"));
    parts::hex(&digest[..16])
}

/// Pages, each with what it needs.
#[derive(Default)]
pub struct Pages {
    routes: Routes,
}

impl Pages {
    pub fn into_routes(self) -> Routes {
        self.routes
    }

    #[must_use]
    pub fn get<F, R>(self, path: &'static str, needs: Option<Needs>, handler: F) -> Pages
    where
        F: Fn(Visit) -> R + Copy + Send + Sync + 'static,
        R: Future<Output = Result<Shown, Error>> + Send + 'static,
    {
        self.add((Method::GET, path), needs, handler)
    }

    /// What a form asks for.
    #[must_use]
    pub fn post<F, R>(self, path: &'static str, needs: Option<Needs>, handler: F) -> Pages
    where
        F: Fn(Visit) -> R + Copy + Send + Sync + 'static,
        R: Future<Output = Result<Shown, Error>> + Send + 'static,
    {
        self.add((Method::POST, path), needs, handler)
    }

    fn add<F, R>(
        mut self,
        (method, path): (Method, &'static str),
        needs: Option<Needs>,
        handler: F,
    ) -> Pages
    where
        F: Fn(Visit) -> R + Copy + Send + Sync + 'static,
        R: Future<Output = Result<Shown, Error>> + Send + 'static,
    {
        let posts = method == Method::POST;
        let serve = move |app: App, call: Call| serve(app, call, (needs, posts), handler);
        let doc = Doc::new("Dashboard", "page", "A page of the dashboard");
        let one = Routes::default().add((method, path), Access::Public, doc, serve);
        self.routes = self.routes.merge(one.with_bodies_up_to(FORM_BYTES_MAX));
        self
    }
}

async fn serve<F, R>(
    app: App,
    call: Call,
    (needs, posts): (Option<Needs>, bool),
    handler: F,
) -> Result<Answer, Error>
where
    F: Fn(Visit) -> R,
    R: Future<Output = Result<Shown, Error>>,
{
    let asked = target(&call);
    let secure = app.engine.public_url.starts_with("https:");
    let look = layout::Look::of(&call);
    let Some(visit) = admit(app, call).await? else {
        let to = format!("/sign-in?next={}", percent::encoded(&asked));
        return Ok(redirect(if posts { "/sign-in" } else { &to }));
    };
    let frame = layout::Frame::of(&visit, look);
    let allowed = must_be_ours(&visit, posts).and_then(|()| {
        needs.filter(|needs| !visit.may(*needs)).map_or(Ok(()), |needs| Err(not_permitted(needs)))
    });
    let shown = match allowed {
        Ok(()) => handler(visit).await,
        Err(error) => Err(error),
    };
    Ok(match shown {
        Ok(Shown::Page(page)) => page.answer(&frame),
        Ok(Shown::To(to, note)) => cookies::with_note(redirect(&to), note.as_ref(), secure),
        Ok(Shown::Raw(answer)) => answer,
        Err(error) => mishap::page(&error).answer(&frame),
    })
}

/// The page that was asked for, as a path of ours.
fn target(call: &Call) -> String {
    let (_, pattern) = call.route.split_once(' ').unwrap_or_default();
    let mut path = pattern.to_owned();
    for (name, value) in &call.path {
        path = path.replace(&format!("{{{name}}}"), &percent::encoded(value));
    }
    if call.query.is_empty() { path } else { format!("{path}?{}", call.query) }
}

pub fn redirect(to: &str) -> Answer {
    Answer::json(StatusCode::SEE_OTHER, &()).with("location", to).with("cache-control", "no-store")
}

/// Who asks, if the request has a session that is good now.
pub async fn admit(app: App, mut call: Call) -> Result<Option<Visit>, Error> {
    let Some(token) = cookies::session(&call) else { return Ok(None) };
    let Some(person) = app.engine.person(&token).await? else { return Ok(None) };
    let key = session_key(&person);
    call.scope = person.session.scope;
    call.caller = Caller::Key(Arc::new(key));
    let scope = call.scope;
    let environments =
        app.engine.read_now(|read| Ok(store::tenants::environments_of(read, &scope)?))?;
    let note = cookies::note(&call);
    let grants = person.grants();
    Ok(Some(Visit { app, call, person, token, grants, environments, note }))
}

/// The session as handlers of the API see it: a key in memory with the person's roles.
fn session_key(person: &Person) -> StoredKey {
    let at = person.session.created_at;
    StoredKey {
        no: 0,
        id: SecretId::default(),
        scope: person.session.scope,
        kind: SESSION_KIND.to_owned(),
        paywall: None,
        hash: [0; 32],
        display: person.member.id.to_string(),
        last_four: String::new(),
        name: person.member.profile.name.clone(),
        grants: person.member.profile.roles.clone(),
        user: Some(person.member.id),
        user_type: "user".to_owned(),
        status: "published".to_owned(),
        expires_at: None,
        last_used_at: None,
        created_at: at,
        updated_at: at,
        created_by: person.member.id.to_string(),
        tenant_suspended: false,
    }
}

/// A form proves that it was made for this session, and does not come from another site.
fn must_be_ours(visit: &Visit, posts: bool) -> Result<(), Error> {
    if !posts {
        return Ok(());
    }
    if proves(&visit.call, &visit.token) && is_same_site(&visit.call) {
        return Ok(());
    }
    Err(not_ours())
}

/// Whether the request carries the proof of the session's forms.
pub fn proves(call: &Call, token: &str) -> bool {
    let given = Form::of(&call.body).get("csrf");
    let given = call.header("x-csrf").map_or(given, str::to_owned);
    bool::from(given.as_bytes().ct_eq(csrf(token).as_bytes()))
}

pub fn not_ours() -> Error {
    let message = "this form is not from this page as it is now; load the page again";
    Fault::new(Class::Forbidden, "permission_denied", message).into()
}

/// What browsers say about where a request comes from.
pub fn is_same_site(call: &Call) -> bool {
    if let Some(site) = call.header("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let origin = call.header("origin").map(|origin| origin.split("://").last());
    origin.is_none_or(|origin| origin == call.header("host"))
}
