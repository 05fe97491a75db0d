//! `/livez`, `/readyz`, `/health`, `/metrics`: no key, and no tenant's data.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::route::{Access, Routes};
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    let tag = "Health";
    Routes::default()
        .add(
            (Method::GET, "/livez"),
            Access::Public,
            Doc::new(tag, "livez", "Whether the process answers"),
            async |_, _| Ok(Answer::ok(&json!({ "status": "ok" }))),
        )
        .add(
            (Method::GET, "/readyz"),
            Access::Public,
            Doc::new(tag, "readyz", "Whether the process can take work"),
            readyz,
        )
}

async fn readyz(app: App, _: Call) -> Result<Answer, engine::Error> {
    let written = app.engine.read(|read| Ok(store::tenants::environments(read)?.len())).await;
    Ok(match written {
        Ok(_) => Answer::ok(&json!({ "status": "ok" })),
        Err(_) => Answer::json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "status": "unavailable", "failed": ["database"] }),
        ),
    })
}
