//! Routes: path, who may call, what the docs say, and the handler. One declaration for all of it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use axum::routing::{MethodFilter, on};
use domain::id::{EnvironmentId, RequestId, TenantId};
use domain::place::EnvNo;
use domain::role::{Entity, Grant, Needs, grants_permit};
use domain::scope::Scope;
use engine::{Class, Error, Fault};
use http_body_util::BodyExt as _;

use super::answer::Answer;
use super::call::{Call, Caller};
use super::errors;
use super::spec::Doc;
use crate::app::App;
use crate::request_log::{Asked, Ended};

/// Largest body outside the proxy.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// What is read of a larger body before the connection ends.
const DROPPED_BYTES_MAX: usize = 32 << 20;

const NO_SESSION: &str = "the token of a portal session is missing";

/// Routes that machines ask all the time.
const PROBES: [&str; 4] = [" /livez", " /readyz", " /health", " /metrics"];

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static X_PAYWALL_KEY: HeaderName = HeaderName::from_static("x-paywall-key");
static X_SESSION_TOKEN: HeaderName = HeaderName::from_static("x-session-token");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Whose words an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Surface {
    Billing,
    Paywall,
    /// A paywall's routes that speak as Anthropic does.
    Messages,
}

impl Surface {
    /// Of a paywall's own route, by its path or name.
    pub fn of_paywall(route: &str) -> Surface {
        if route.contains("/messages") { Surface::Messages } else { Surface::Paywall }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Surface::Billing => "billing",
            Surface::Paywall => "paywall",
            Surface::Messages => "messages",
        }
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone; only for what holds no tenant's data.
    Public,
    /// A key of the environment that may do this.
    Key(Needs),
    /// A key of a paywall.
    Paywall,
    /// Either; the credential decides which shape is spoken.
    Either(Needs),
    /// A customer, with the token of a portal session.
    Customer,
}

type Handled = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;
type Handler = Arc<dyn Fn(App, Call) -> Handled + Send + Sync>;

/// One route as it was declared.
#[derive(Clone)]
pub struct Route {
    pub method: Method,
    /// With `{name}` for what the path names; starts with `/`.
    pub path: &'static str,
    pub access: Access,
    pub doc: Doc,
    body_bytes_max: usize,
    handler: Handler,
}

impl Route {
    /// Does the route's work for a caller that was let in elsewhere, with these grants.
    pub async fn run(&self, app: App, call: Call, grants: &[Grant]) -> Result<Answer, Error> {
        match self.access {
            Access::Public => {}
            Access::Key(needs) | Access::Either(needs) if grants_permit(grants, needs) => {}
            Access::Paywall if matches!(call.caller, Caller::Paywall(..)) => {}
            Access::Customer if matches!(call.caller, Caller::Customer(..)) => {}
            Access::Key(needs) | Access::Either(needs) => return Err(not_permitted(needs)),
            Access::Paywall => return Err(unauthorized("a paywall key is missing")),
            Access::Customer => return Err(unauthorized(NO_SESSION)),
        }
        (self.handler)(app, call).await
    }
}

/// What a caller hears whose grants are not enough.
pub fn not_permitted(needs: Needs) -> Error {
    let message = format!("your role may not {} {}", needs.action.as_str(), needs.entity.as_str());
    Error::forbidden("permission_denied", message)
}

#[derive(Clone, Default)]
pub struct Routes {
    pub all: Vec<Route>,
}

impl Routes {
    /// Adds a route.
    #[must_use]
    pub fn add<F, R>(
        mut self,
        (method, path): (Method, &'static str),
        access: Access,
        doc: Doc,
        handler: F,
    ) -> Routes
    where
        F: Fn(App, Call) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Answer, Error>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |app, call| Box::pin(handler(app, call)));
        let body_bytes_max = BODY_BYTES_MAX;
        self.all.push(Route { method, path, access, doc, body_bytes_max, handler });
        self
    }

    /// All of these take bodies of this size.
    #[must_use]
    pub fn with_bodies_up_to(mut self, bytes: usize) -> Routes {
        for route in &mut self.all {
            route.body_bytes_max = bytes;
        }
        self
    }

    #[must_use]
    pub fn merge(mut self, other: Routes) -> Routes {
        self.all.extend(other.all);
        self
    }
}

/// A route of a running server, with its name for logs and figures.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) route: Arc<Route>,
    name: &'static str,
}

impl Known {
    pub(super) fn of(route: Route) -> Known {
        let name = format!("{} {}", route.method, route.path).leak();
        Known { route: Arc::new(route), name }
    }
}

pub(super) fn router(all: Vec<Known>, app: App) -> Router {
    let mut router = Router::new();
    for known in all {
        let route = &known.route;
        let filter = MethodFilter::try_from(route.method.clone()).unwrap_or(MethodFilter::GET);
        let path = route.path;
        let serve = move |State(app): State<App>,
                          path: Result<Path<HashMap<String, String>>, PathRejection>,
                          request: Request| {
            let known = known.clone();
            async move {
                match path {
                    Ok(Path(path)) => serve(app, known, (path, request)).await,
                    Err(_) => broken_path(&app, &known.route, &request),
                }
            }
        };
        router = router.route(path, on(filter, serve));
    }
    router
        .fallback(|State(app): State<App>, request: Request| async move { unknown(&app, &request) })
        .method_not_allowed_fallback(|State(app): State<App>, request: Request| async move {
            unknown(&app, &request)
        })
        .with_state(app)
}

/// Lets the request in, runs its handler, and answers in the words of its surface.
pub(super) async fn serve(
    app: App,
    Known { route, name }: Known,
    (path, request): (HashMap<String, String>, Request),
) -> Response<Body> {
    let started = app.metrics.started();
    let id = app.engine.request_id();
    let surface = surface(&route, request.headers());
    let admitted = admit(&app, route.access, request.headers());
    let key = admitted.as_ref().map_or_else(|_| String::new(), Caller::key_mask);
    let asked = asked(&app, (&route, &request), &admitted);
    let outcome = match admitted {
        Ok(caller) => handle(&app, &route, (name, id, caller), (path, request)).await,
        Err(error) => Err(error),
    };
    let code = outcome.as_ref().err().map(errors::code);
    let answer = outcome.unwrap_or_else(|error| {
        app.metrics.refusal(errors::code(&error));
        errors::answer(&error, surface, id)
    });
    let response = stamped(answer.into_response(), id);
    let status = response.status();
    app.metrics.request(&started, (surface, name), status);
    let (status, took) = (status.as_u16(), started.elapsed());
    if let Some(asked) = asked {
        app.requests.note(id, asked, &Ended { route: name, status, took, code });
    }
    log_request((name, surface), (id, status), took, &key);
    response
}

/// Who asks for what, as the log of requests keeps it. A key that is good but may not do this is
/// looked up again: that is seldom, and its owner wants to find it.
fn asked(
    app: &App,
    (route, request): (&Route, &Request),
    admitted: &Result<Caller, Error>,
) -> Option<Asked> {
    let path = request.uri().path();
    match admitted {
        Ok(caller) => Asked::of(caller, route.path, path),
        Err(Error::Fault(fault)) if fault.class == Class::Forbidden => {
            let key = app.engine.authenticate(text(request.headers(), &X_API_KEY)?).ok()?;
            Some(Asked::of_key(key, path))
        }
        Err(_) => None,
    }
}

/// One line a request; at debug, where it is a probe, or a paywall's user whose call went well: the
/// log of those is their events.
fn log_request(
    (route, surface): (&'static str, Surface),
    (id, status): (RequestId, u16),
    took: Duration,
    key: &str,
) {
    if !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    let is_hot = surface != Surface::Billing && status < 400;
    let (surface, duration_us) = (surface.name(), took.as_micros());
    let duration_us = u64::try_from(duration_us).unwrap_or(u64::MAX);
    if is_hot || PROBES.iter().any(|probe| route.ends_with(probe)) {
        tracing::debug!(request_id = %id, route, status, duration_us, surface, key, "request");
    } else {
        tracing::info!(request_id = %id, route, status, duration_us, surface, key, "request");
    }
}

async fn handle(
    app: &App,
    route: &Route,
    (name, id, caller): (&'static str, RequestId, Caller),
    (path, request): (HashMap<String, String>, Request),
) -> Result<Answer, Error> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, route.body_bytes_max).await?;
    let scope = match &caller {
        Caller::Key(key) | Caller::Paywall(key, _) => key.scope,
        Caller::Customer(visitor) => visitor.scope(),
        Caller::Nobody => nowhere(),
    };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let call =
        Call { request: id, caller, scope, headers: parts.headers, body, route: name, path, query };
    let answer = (route.handler)(app.clone(), call.checked()?).await;
    if route.method == Method::GET {
        app.engine.durable().await;
    }
    answer
}

async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Error> {
    if body.size_hint().upper().is_some_and(|bytes| bytes <= bytes_max as u64) {
        return axum::body::to_bytes(body, bytes_max).await.map_err(|_| broken_body());
    }
    read_long_body(body, bytes_max).await
}

/// A body that says no length, or a large one. What is too much is read and dropped, up to a bound:
/// many clients see no answer before they have sent everything.
async fn read_long_body(mut body: Body, bytes_max: usize) -> Result<Bytes, Error> {
    let (mut kept, mut seen) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| broken_body())?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= bytes_max {
            kept.extend_from_slice(&data);
        }
        if seen > DROPPED_BYTES_MAX.max(bytes_max) {
            break;
        }
    }
    if seen > bytes_max {
        let message = format!("the body is larger than {bytes_max} bytes");
        return Err(Fault::new(Class::TooLarge, "request_too_large", message).into());
    }
    Ok(kept.into())
}

fn broken_body() -> Error {
    Error::invalid("body", "the body broke off")
}

/// The scope of a request that names no tenant.
fn nowhere() -> Scope {
    Scope {
        env: EnvNo::default(),
        environment: EnvironmentId::default(),
        tenant: TenantId::default(),
        live: false,
    }
}

/// Finds out who calls, and refuses who may not.
fn admit(app: &App, access: Access, headers: &HeaderMap) -> Result<Caller, Error> {
    match access {
        Access::Public => Ok(Caller::Nobody),
        Access::Paywall => admit_paywall(app, headers),
        Access::Customer => admit_customer(app, headers),
        Access::Either(needs) if speaks_paywall(headers) => {
            admit_paywall(app, headers).or_else(|error| match headers.get(&X_API_KEY) {
                Some(_) => admit_key(app, needs, headers),
                None => Err(error),
            })
        }
        Access::Key(needs) | Access::Either(needs) => admit_key(app, needs, headers),
    }
}

fn admit_key(app: &App, needs: Needs, headers: &HeaderMap) -> Result<Caller, Error> {
    let text = headers.get(&X_API_KEY).and_then(|value| value.to_str().ok());
    let text = text.ok_or_else(|| unauthorized("the header x-api-key is missing"))?;
    let key = app.engine.authenticate(text)?;
    if key.kind == "pw" {
        return Err(unauthorized("a paywall key does not open this route"));
    }
    let grants: Vec<Grant> = key.grants.iter().filter_map(|text| text.parse().ok()).collect();
    if !grants_permit(&grants, needs) {
        let message =
            format!("this key may not {} {}", needs.action.as_str(), needs.entity.as_str());
        return Err(Error::forbidden("permission_denied", message));
    }
    app.note_use(&key);
    Ok(Caller::Key(key))
}

fn admit_paywall(app: &App, headers: &HeaderMap) -> Result<Caller, Error> {
    let text = paywall_key(headers).ok_or_else(|| unauthorized("a paywall key is missing"))?;
    let key = app.engine.authenticate(text)?;
    let no = key.paywall.ok_or_else(|| unauthorized("this is not a paywall key"))?;
    let paywall = app.engine.paywall(&key.scope, no)?;
    app.note_use(&key);
    Ok(Caller::Paywall(key, paywall))
}

fn admit_customer(app: &App, headers: &HeaderMap) -> Result<Caller, Error> {
    let token = text(headers, &X_SESSION_TOKEN).or_else(|| bearer(headers));
    let token = token.ok_or_else(|| unauthorized(NO_SESSION))?;
    Ok(Caller::Customer(Arc::new(app.engine.portal_visitor(token)?)))
}

/// `X-Paywall-Key`, then `Authorization: Bearer`, then `x-api-key`.
fn paywall_key(headers: &HeaderMap) -> Option<&str> {
    let own = text(headers, &X_PAYWALL_KEY).or_else(|| bearer(headers));
    own.or_else(|| text(headers, &X_API_KEY))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = text(headers, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn speaks_paywall(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(&X_PAYWALL_KEY)
}

fn surface(route: &Route, headers: &HeaderMap) -> Surface {
    match route.access {
        Access::Paywall => Surface::of_paywall(route.path),
        Access::Either(_) if speaks_paywall(headers) => Surface::Paywall,
        _ => Surface::Billing,
    }
}

fn unauthorized(message: &str) -> Error {
    Fault::new(Class::Unauthorized, "unauthorized", message).into()
}

/// Both names of the request id, on every answer.
fn stamped(mut response: Response<Body>, id: RequestId) -> Response<Body> {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(&X_REQUEST_ID, value.clone());
        response.headers_mut().insert(&REQUEST_ID, value);
    }
    response
}

/// A path or method that no route has.
fn unknown(app: &App, request: &Request) -> Response<Body> {
    let id = app.engine.request_id();
    let surface =
        if speaks_paywall(request.headers()) { Surface::Paywall } else { Surface::Billing };
    stamped(errors::answer(&Error::not_found("route"), surface, id).into_response(), id)
}

/// A path that is no UTF-8 once it is decoded.
fn broken_path(app: &App, route: &Route, request: &Request) -> Response<Body> {
    let id = app.engine.request_id();
    let surface = surface(route, request.headers());
    let error = Error::invalid("path", "must be UTF-8 once its percent signs are decoded");
    stamped(errors::answer(&error, surface, id).into_response(), id)
}

/// Shorthands for declarations.
pub fn reads(entity: Entity) -> Access {
    Access::Key(Needs::read(entity))
}

pub fn writes(entity: Entity) -> Access {
    Access::Key(Needs::write(entity))
}
