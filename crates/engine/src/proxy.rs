//! The paywall before an LLM provider: who may ask, what is held for it, and what it comes to.
//!
//! `admit` and `settle` are one transaction each; between them the edge talks to the provider. The
//! rules are `domain::proxy`; nothing here knows HTTP or a provider's protocol.

mod admission;
mod aim;
mod extension;
pub(crate) mod leases;
mod leasing;
mod limits;
mod passing;
pub mod prompts;
mod recalls;
mod reckoning;
mod recovery;
mod renewal;
pub mod replay;
mod settlement;
mod settlements;
mod telling;

use std::sync::Arc;

use domain::amount::Amount;
use domain::id::{RequestId, TransactionId};
use domain::paywall::{ExternalUser, Provider, ProviderSecrets};
use domain::place::Place;
use domain::proxy::ask::Ask;
use domain::proxy::hold::Hold;
use domain::proxy::limits::Remaining;
use domain::proxy::reason::Reason;
use domain::proxy::usage::{Protocol, Usage};
use domain::proxy::{ModelFacts, Tariff};
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use parking_lot::Mutex;
use store::paywalls::Stored as StoredPaywall;

pub use domain::proxy::story::{ChargeStory, HoldStory, Status, Story, UsageStory};
pub use extension::{Grown, Halt};
pub use settlements::Batch;

use self::leases::Leased;
use crate::users::Sight;

/// A request as the edge read it.
#[derive(Clone, Debug)]
pub struct Call {
    pub scope: Scope,
    pub paywall: Arc<StoredPaywall>,
    pub user: ExternalUser,
    /// Names the request.
    pub cause: Cause,
    /// Path of the route, such as `/v1/chat/completions`.
    pub endpoint: &'static str,
    pub protocol: Protocol,
    pub ask: Arc<Ask>,
    /// `X-Paywall-Max-Cost`
    pub max_cost: Option<Amount>,
}

/// Where an admitted request goes, and what it is priced by.
#[derive(Clone, Debug)]
pub struct Target {
    pub provider: Provider,
    pub secrets: Arc<ProviderSecrets>,
    pub model: String,
    /// As the provider calls it.
    pub upstream: String,
    pub facts: ModelFacts,
    pub tariff: Option<Tariff>,
}

/// An admitted request. It must be settled, whatever becomes of it.
#[derive(Debug)]
pub struct Ticket {
    pub call: Arc<Call>,
    pub target: Arc<Target>,
    pub hold: Hold,
    /// Of the tightest limit, for headers.
    pub remaining: Option<Remaining>,
    pub sight: Sight,
    /// Held from a change of the request to its commit, so that none undoes what another noted.
    turn: tokio::sync::Mutex<()>,
    changing: Mutex<Changing>,
    /// What it is held in, where it has no hold of its own.
    leased: Option<Arc<Leased>>,
}

/// What happens to a request under way.
#[derive(Clone, Debug)]
struct Changing {
    story: Story,
    holds: Vec<Place>,
    /// Its beginning is told.
    told: bool,
    /// How it ended, where the ledger does not say.
    settled: Option<Settled>,
}

#[derive(Debug)]
pub enum Admission {
    Admitted(Arc<Ticket>),
    Blocked(Box<Blocked>),
}

/// Why a request was not let through.
#[derive(Clone, Debug)]
pub struct Blocked {
    pub reason: Reason,
    pub required: Option<Amount>,
    pub available: Option<Amount>,
    pub affordable_tokens: Option<u64>,
    /// Which of several limits it was, such as `in_flight`, `user_day`, `maxRequests`.
    pub limit_source: Option<String>,
    pub reset_at: Option<Timestamp>,
    pub retry_after_s: Option<u64>,
    pub link: Option<String>,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    Completed { cut: bool },
    Canceled { by: CanceledBy },
    Failed { code: &'static str, http_status: Option<u16> },
}

/// Who ended a request before it was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanceledBy {
    Client,
    /// The process stopped.
    Shutdown,
}

#[derive(Clone, Debug)]
pub struct End {
    pub outcome: Outcome,
    /// The provider's own figures.
    pub usage: Option<Usage>,
    /// Our own count of the output that was relayed, for where the provider gives none.
    pub counted_output_tokens: u64,
    pub has_output: bool,
    pub model: Option<String>,
    pub service_tier: Option<String>,
    pub finish_reason: Option<String>,
    pub latency_ms: u64,
    pub upstream_status: Option<u16>,
    /// The answer, where the request's idempotency key shall give it again.
    pub reply: Option<replay::Keeping>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub amount: Amount,
    /// After it.
    pub available: Amount,
    /// `None` where nothing was charged.
    pub activity: Option<TransactionId>,
    pub estimated: bool,
}

impl Call {
    /// The request's id; the edge always sets it.
    pub fn request(&self) -> RequestId {
        self.cause.request.unwrap_or_default()
    }
}

impl CanceledBy {
    const fn name(self) -> &'static str {
        match self {
            CanceledBy::Client => "client",
            CanceledBy::Shutdown => "shutdown",
        }
    }
}

impl Blocked {
    fn for_reason(reason: Reason) -> Blocked {
        Blocked {
            reason,
            required: None,
            available: None,
            affordable_tokens: None,
            limit_source: None,
            reset_at: None,
            retry_after_s: None,
            link: None,
        }
    }
}

impl Ticket {
    /// Its charge follows in a batch.
    pub fn is_deferred(&self) -> bool {
        self.leased.is_some()
    }

    /// The story so far.
    pub fn story(&self) -> Story {
        self.changing.lock().story.clone()
    }
}
