//! Calls that are blocked before money moves: why, how the caller hears of it, and its event.
//!
//! The gate asks for the state of paywall and user only. Whether the balance covers a charge is
//! decided on the wallet itself.

use std::sync::Arc;

use domain::event::paywall::{Data, Subject, Told};
use domain::ledger::entry::KeyUse;
use domain::paywall::ExternalUser;
use domain::scope::{Cause, Scope};
use domain::webhook::catalogue::EventType;
use serde_json::{Map, Value};
use store::Tx;
use store::paywalls::Stored;

use crate::charges::{Moved, replayed};
use crate::error::{Class, Error, Fault};
use crate::run::Engine;
use crate::users::Sight;

/// Reasons of paywalls 19.1 that this stage knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    InsufficientBalance,
    PaywallArchived,
    UserSuspended,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::InsufficientBalance => "insufficient_balance",
            Reason::PaywallArchived => "paywall_archived",
            Reason::UserSuspended => "user_suspended",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Reason::InsufficientBalance => "the balance does not cover it",
            Reason::PaywallArchived => "this paywall is archived: no money moves through it",
            Reason::UserSuspended => "this user is suspended by the owner of the paywall",
        }
    }
}

/// The refusal with its `paywall` object (paywalls 19.4); `more` holds the fields that only this
/// reason has.
pub fn refusal(
    reason: Reason,
    message: impl Into<String>,
    cause: &Cause,
    more: Map<String, Value>,
) -> Error {
    let message = message.into();
    let mut told = Map::new();
    told.insert("status".to_owned(), "blocked".into());
    told.insert("reason".to_owned(), reason.name().into());
    if let Some(request) = cause.request {
        told.insert("requestId".to_owned(), request.to_string().into());
    }
    told.insert("message".to_owned(), message.clone().into());
    told.extend(more);
    let details = Map::from_iter([("paywall".to_owned(), Value::Object(told))]);
    Fault::new(Class::Forbidden, reason.name(), message).with(details.into()).into()
}

/// Why the state of paywall or user bars a call that could bring or take money (paywalls 10.3).
pub fn bar(paywall: &Stored, sight: &Sight) -> Option<Reason> {
    if paywall.paywall.is_archived() {
        Some(Reason::PaywallArchived)
    } else if sight.suspended {
        Some(Reason::UserSuspended)
    } else {
        None
    }
}

/// One call at the gate.
#[derive(Clone, Copy)]
pub struct Caller<'c> {
    pub user: &'c ExternalUser,
    pub sight: &'c Sight,
    pub cause: &'c Cause,
}

impl Engine {
    /// Lets a call through, or tells `request.blocked` and refuses. A repeat of a call that did its
    /// work is answered whatever has happened since.
    pub async fn gate(
        &self,
        scope: Scope,
        paywall: &Arc<Stored>,
        caller: Caller<'_>,
        key: Option<&KeyUse>,
    ) -> Result<Option<Moved>, Error> {
        match bar(paywall, caller.sight) {
            Some(reason) => self.block(scope, paywall, caller, (reason, key)).await.map(Some),
            None => Ok(None),
        }
    }

    /// As `gate`, for calls that move no money yet: only an archived paywall bars them.
    pub async fn gate_archived(
        &self,
        scope: Scope,
        paywall: &Arc<Stored>,
        caller: Caller<'_>,
    ) -> Result<(), Error> {
        if paywall.paywall.is_archived() {
            let reason = (Reason::PaywallArchived, None);
            self.block(scope, paywall, caller, reason).await?;
        }
        Ok(())
    }

    async fn block(
        &self,
        scope: Scope,
        paywall: &Arc<Stored>,
        caller: Caller<'_>,
        (reason, key): (Reason, Option<&KeyUse>),
    ) -> Result<Moved, Error> {
        let (paywall, key, cause) = (paywall.clone(), key.cloned(), caller.cause.clone());
        let (user, sight) = (caller.user.clone(), caller.sight.clone());
        let told = cause.clone();
        let prior = self.change(scope, move |tx| {
            if let Some(moved) = replayed(tx, key.as_ref())? {
                return Ok::<_, Error>(Some(moved));
            }
            tell(tx, &paywall, Caller { user: &user, sight: &sight, cause: &cause }, reason)?;
            Ok(None)
        });
        prior.await?.ok_or_else(|| barred(reason, &told))
    }
}

/// The refusal of a call at the gate.
pub fn barred(reason: Reason, cause: &Cause) -> Error {
    refusal(reason, reason.message(), cause, Map::new())
}

/// Tells `request.blocked`.
pub fn tell(
    tx: &mut Tx<'_>,
    paywall: &Stored,
    caller: Caller<'_>,
    reason: Reason,
) -> Result<(), Error> {
    let (no, id) = (paywall.no, paywall.paywall.id);
    let request = caller.cause.request.map(|id| id.to_string());
    let data = Data::new(id, tx.scope().tenant)
        .with("walletUserId", caller.sight.payer.customer.to_string())
        .with("externalUserId", caller.user.as_str())
        .with("reason", reason.name())
        .maybe("requestId", request.clone());
    let subject = Subject {
        kind: "paywall.request",
        id: request.unwrap_or_default(),
        external_id: Some(caller.user.as_str().to_owned()),
    };
    let kind = EventType::PAYWALL_REQUEST_BLOCKED;
    let payer = Some(caller.sight.payer);
    tx.tell_paywall((no, id), payer, kind, caller.cause, |telling| {
        let actor = &caller.cause.actor;
        let told = Told { paywall: id, data, metadata: None, actor, subject };
        domain::event::paywall::render(telling, &told)
    })?;
    Ok(())
}
