//! Who acts, and in which environment. Every statement of the store takes a `Scope` first.

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, RequestId, TenantId};
use crate::place::EnvNo;

/// One environment of one tenant. Nothing crosses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub env: EnvNo,
    pub environment: EnvironmentId,
    pub tenant: TenantId,
    /// `production`: real money and real customers.
    pub live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    PaywallOwner,
    PaywallKey,
    WalletUser,
    System,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Api,
    Dashboard,
    /// A customer, in the portal or with its token.
    Portal,
    Proxy,
    Stripe,
    Schedule,
    System,
}

/// Who caused a change, as events, rows and the audit log tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub source: Source,
    pub kind: ActorKind,
    /// A user id; for a paywall key the paywall's id.
    pub id: String,
}

impl Actor {
    pub fn system() -> Actor {
        Actor { source: Source::System, kind: ActorKind::System, id: "system".to_owned() }
    }

    pub fn schedule() -> Actor {
        Actor { source: Source::Schedule, kind: ActorKind::System, id: "system".to_owned() }
    }
}

/// The request that a change answers to: its id, who sent it and its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub actor: Actor,
    pub request: Option<RequestId>,
    pub idempotency_key: Option<String>,
}

impl Cause {
    pub fn schedule() -> Cause {
        Cause { actor: Actor::schedule(), request: None, idempotency_key: None }
    }
}
