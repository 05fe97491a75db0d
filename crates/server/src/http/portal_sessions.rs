//! `/v1/customers/portal/{external_id}`: the operator lets a customer into the portal, or ends it.

use axum::http::Method;
use domain::role::Entity;
use engine::Error;
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::route::{Routes, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Customers";
const PATH: &str = "/v1/customers/portal/{external_id}";

/// Who opens the portal can do there what the customer can: that takes the right to write, though
/// the call is a GET.
pub fn routes() -> Routes {
    let write = writes(Entity::Portal);
    Routes::default()
        .add(
            (Method::GET, PATH),
            write,
            Doc::new(
                TAG,
                "createCustomerPortalSession",
                "Let a customer into the portal for an hour",
            ),
            open,
        )
        .add(
            (Method::DELETE, PATH),
            write,
            Doc::new(TAG, "endCustomerPortalSessions", "End a customer's portal sessions"),
            end,
        )
}

async fn open(app: App, call: Call) -> Result<Answer, Error> {
    let external_id: String = call.path("external_id", "customer")?;
    let opened = app.engine.open_portal(call.scope, call.cause(), external_id).await?;
    let body = json!({
        "url": opened.url,
        "token": opened.token,
        "expires_at": opened.expires_at,
    });
    Ok(Answer::ok(&body).with("cache-control", "no-store"))
}

async fn end(app: App, call: Call) -> Result<Answer, Error> {
    let external_id: String = call.path("external_id", "customer")?;
    app.engine.close_portal(call.scope, call.cause(), external_id).await?;
    Ok(Answer::nothing())
}
