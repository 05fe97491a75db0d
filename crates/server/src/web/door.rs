//! The way from a page into the API: the same handlers, in this process, as the signed-in person.
//! Whatever a page does or shows through here, a key with the same role could.

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue};
use domain::role::Grant;
use engine::Error;
use serde_json::Value;

use super::visit::Visit;
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::call::{Call, Caller, IDEMPOTENCY_KEY};
use crate::http::route::Route;

struct Listed {
    route: Route,
    name: &'static str,
}

/// The API's routes by method and path.
fn table() -> &'static HashMap<String, Listed> {
    static TABLE: OnceLock<HashMap<String, Listed>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let all = crate::http::routes().all.into_iter();
        all.map(|route| {
            let name = format!("{} {}", route.method, route.path);
            (name.clone(), Listed { route, name: name.leak() })
        })
        .collect()
    })
}

/// One call of the API.
pub struct Ask<'a> {
    app: &'a App,
    /// The request of the page.
    page: &'a Call,
    grants: &'a [Grant],
    name: &'a str,
    path: HashMap<String, String>,
    query: String,
    body: Option<Value>,
    once: Option<String>,
    caller: Option<Caller>,
}

/// `name` is method and path as they are declared, such as `GET /v1/wallets/{id}`.
pub fn ask<'a>(visit: &'a Visit, name: &'a str) -> Ask<'a> {
    Ask { grants: &visit.grants, ..ask_of(&visit.app, &visit.call, name) }
}

/// As `ask`, as whoever the page's request is of.
pub fn ask_of<'a>(app: &'a App, page: &'a Call, name: &'a str) -> Ask<'a> {
    let (path, query) = (HashMap::new(), String::new());
    Ask { app, page, grants: &[], name, path, query, body: None, once: None, caller: None }
}

impl Ask<'_> {
    #[must_use]
    pub fn of(mut self, name: &str, value: impl std::fmt::Display + Copy) -> Self {
        self.path.insert(name.to_owned(), value.to_string());
        self
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let mut query = url::form_urlencoded::Serializer::new(self.query);
        query.append_pair(name, value);
        self.query = query.finish();
        self
    }

    /// With the parameter, where there is one.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The same key does its work once.
    #[must_use]
    pub fn once(mut self, key: &str) -> Self {
        self.once = Some(key.to_owned()).filter(|key| !key.is_empty());
        self
    }

    /// As another caller, such as a paywall.
    #[must_use]
    pub fn by(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// The answer as it is; a refusal is an error.
    pub async fn answer(self) -> Result<Answer, Error> {
        let listed = table().get(self.name).ok_or_else(|| Error::not_found("route"))?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.once
            && let Ok(value) = HeaderValue::from_str(key)
        {
            headers.insert(&IDEMPOTENCY_KEY, value);
        }
        let body = self.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let call = Call {
            request: self.page.request,
            caller: self.caller.unwrap_or_else(|| self.page.caller.clone()),
            scope: self.page.scope,
            headers,
            body,
            route: listed.name,
            path: self.path,
            query: self.query,
        };
        listed.route.run(self.app.clone(), call, self.grants).await
    }

    /// The answer's body; null where it has none.
    pub async fn json(self) -> Result<Value, Error> {
        match self.answer().await? {
            Answer::Whole { body, .. } => Ok(serde_json::from_slice(&body).unwrap_or_default()),
            Answer::Raw(_) => Ok(Value::Null),
        }
    }
}
