//! Calls to a running server, for the verbs that need one. The key is never an argument.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::dev::state::State;
use super::{Context, Failure};

/// Longest time of one call; moving a clock may run much.
const CALL_TIME_MAX: Duration = Duration::from_mins(10);

pub struct Client {
    http: reqwest::Client,
    pub base: String,
    key: String,
}

impl Client {
    /// With the key of the environment; without one, with that of `farebox dev` in this folder.
    pub fn new(context: &Context) -> Result<Client, Failure> {
        let config = &context.config;
        let dev = || State::find(&config.data_dir);
        let (base, key) = match (config.api_key.clone(), dev()) {
            (Some(key), _) => (config.public_url.clone(), key),
            (None, Some(state)) => {
                let given = context.texts.get("public_url").map(str::to_owned);
                (given.unwrap_or(state.url), state.api_key)
            }
            (None, None) => {
                let message = "set FAREBOX_API_KEY to a key of the server";
                return Err(Failure::Usage(message.to_owned()));
            }
        };
        Client::with(&base, &key)
    }

    pub fn with(base: &str, key: &str) -> Result<Client, Failure> {
        let http = builder().build().map_err(|error| Failure::Bad(error.to_string()))?;
        Ok(Client { http, base: base.trim_end_matches('/').to_owned(), key: key.to_owned() })
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    /// As the holder of another key.
    pub fn as_key(&self, key: &str) -> Client {
        Client { http: self.http.clone(), base: self.base.clone(), key: key.to_owned() }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.header("x-api-key", &self.key).timeout(CALL_TIME_MAX);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        Err(refused(status, &text))
    }

    /// Opens a stream of server-sent events; refused like any call.
    pub async fn stream(&self, path: &str, last: Option<&str>) -> Result<Response, Failure> {
        let mut request = self.http.get(format!("{}{path}", self.base));
        request = request.header("x-api-key", &self.key).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        Err(refused(status, &answer.text().await.unwrap_or_default()))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::Bad(format!("{} does not answer: {}", self.base, root(error)))
    }
}

/// The innermost reason, which names what happened.
pub fn root(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Calls follow no redirect and go to no proxy: the address is the caller's own choice.
pub fn builder() -> reqwest::ClientBuilder {
    // A second verb of one process finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let agent = concat!("farebox/", env!("CARGO_PKG_VERSION"));
    reqwest::Client::builder()
        .user_agent(agent)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
}

fn refused(status: StatusCode, text: &str) -> Failure {
    let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let error = body.get("error").unwrap_or(&body);
    let word = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let (code, message) = (word("code"), word("message"));
    Failure::Bad(format!("the server refused with {} {code}: {message}", status.as_u16()))
}
