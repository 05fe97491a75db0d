//! `GET /v1/verify`: the books' proof of the caller's environment; and that of one wallet, which
//! is the way back for one that was stopped.

use axum::http::Method;
use domain::id::WalletId;
use domain::role::{Entity, Role};
use engine::Error;
use engine::wallets::stop::{Recheck, Rechecked};

use super::answer::{Answer, reply};
use super::call::{Call, Caller};
use super::fields::Fields;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

pub fn routes() -> Routes {
    Routes::default()
        .add(
            (Method::GET, "/v1/verify"),
            reads(Entity::Ledger),
            Doc::new("Ledger", "verifyLedger", "Prove that the books of the environment balance"),
            verify,
        )
        .add(
            (Method::POST, "/v1/wallets/{id}/recheck"),
            writes(Entity::Wallet),
            Doc::new("Ledger", "recheckWallet", "Prove one wallet's books, and let it move again"),
            recheck,
        )
}

/// Reads the whole log, so only who owns the environment may ask for it.
async fn verify(app: App, call: Call) -> Result<Answer, Error> {
    must_own(&call)?;
    Ok(Answer::ok(&app.engine.verify(call.scope).await?))
}

async fn recheck(app: App, call: Call) -> Result<Answer, Error> {
    must_own(&call)?;
    let wallet: WalletId = call.path("id", "wallet")?;
    let mut fields = Fields::of_body(&call)?;
    let key = fields.key_use(&call)?;
    let rebuild = fields.flag("rebuild")?.unwrap_or(false);
    let ask = Recheck { wallet, rebuild, cause: call.cause(), key };
    let render = |done: &Rechecked| reply(200, done);
    let answered = app.engine.recheck_wallet(call.scope, ask, render).await?;
    Ok(Answer::of(answered).ignoring(&fields.unknown()))
}

fn must_own(call: &Call) -> Result<(), Error> {
    let admin = Role::SuperAdmin.as_str();
    let owner = match &call.caller {
        Caller::Key(key) => key.grants.iter().any(|grant| grant == admin),
        _ => false,
    };
    if !owner {
        let message = "the proof takes a key with the role super_admin";
        return Err(Error::forbidden("permission_denied", message));
    }
    Ok(())
}
