//! `GET /v1/verify`: the books' proof of the caller's environment.

use axum::http::Method;
use domain::role::{Entity, Role};
use engine::Error;

use super::answer::Answer;
use super::call::{Call, Caller};
use super::route::{Routes, reads};
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    Routes::default().add(
        (Method::GET, "/v1/verify"),
        reads(Entity::Ledger),
        Doc::new("Ledger", "verifyLedger", "Prove that the books of the environment balance"),
        verify,
    )
}

/// Reads the whole log, so only who owns the environment may ask for it.
async fn verify(app: App, call: Call) -> Result<Answer, Error> {
    let admin = Role::SuperAdmin.as_str();
    let owner = match &call.caller {
        Caller::Key(key) => key.grants.iter().any(|grant| grant == admin),
        _ => false,
    };
    if !owner {
        let message = "the proof takes a key with the role super_admin";
        return Err(Error::forbidden("permission_denied", message));
    }
    Ok(Answer::ok(&app.engine.verify(call.scope).await?))
}
