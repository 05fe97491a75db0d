//! A server that waits for a migration: alive and not ready. Everything else it refuses.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use domain::id::RequestId;
use engine::{Class, Error, Fault};
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::http::answer::Answer;
use crate::http::errors;
use crate::http::route::Surface;
use crate::node::NodeError;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Answers until the schema is this release's. `listener` is another handle of the port.
pub async fn wait(config: &Config, listener: TcpListener) -> Result<(), NodeError> {
    let first = pending(config)?;
    tracing::warn!(pending = first.join(", "), "not ready: run `farebox migrate`");
    let router = Router::new().fallback(async |request: Request| answer(&request));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let waited = async {
        while !pending(config)?.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    };
    let waited = waited.await;
    serving.abort();
    waited
}

/// Names of the migrations that this release has and the file has not.
pub fn pending(config: &Config) -> Result<Vec<&'static str>, NodeError> {
    let all = store::Database::migrations_of(&config.database)?;
    Ok(all.into_iter().filter(|(_, applied)| !applied).map(|(name, _)| name).collect())
}

fn answer(request: &Request) -> Response {
    let told = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => Answer::ok(&json!({ "status": "ok" })),
        (&Method::GET, "/readyz") => {
            let body = json!({ "status": "unavailable", "failed": ["migrations"] });
            Answer::json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
        _ => errors::answer(&refusal(), Surface::Billing, RequestId::default()),
    };
    told.into_response()
}

fn refusal() -> Error {
    let message = "a migration is pending; `farebox migrate` applies it";
    Fault::new(Class::Unavailable, "service_unavailable", message).into()
}
