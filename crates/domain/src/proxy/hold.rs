//! What is held for a request, how far its output is shortened, or why it is refused
//! (paywalls 17.2, 17.3, 15).
//!
//! It decides on figures that it is given; check and reservation are one step of the ledger, which
//! calls this inside its transaction.

use serde::{Deserialize, Serialize};

use super::book::ModelFacts;
use super::cost::CostOverflow;
use super::estimate::Estimate;
use super::pricing::Pricing;
use crate::amount::Amount;
use crate::paywall::{Limits, OnShort};

/// Money of the wallet at the moment of the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Funds {
    /// Posted balance less holds and leases.
    pub available: Amount,
    /// How far below zero it may go.
    pub overdraft: Amount,
    /// Holds and leases of other requests.
    pub held: Amount,
}

/// A limit on money beside the wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    pub source: CapSource,
    /// What it leaves to this request.
    pub rest: Amount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapSource {
    UserDay,
    UserMonth,
    PaywallDay,
    PaywallMonth,
    Key,
}

/// Everything that a hold is decided on.
#[derive(Clone, Copy, Debug)]
pub struct HoldAsk<'a> {
    pub estimate: &'a Estimate,
    pub pricing: &'a Pricing,
    pub facts: &'a ModelFacts,
    pub limits: &'a Limits,
    pub funds: Funds,
    pub caps: &'a [Ceiling],
    /// `X-Paywall-Max-Cost`
    pub max_cost: Option<Amount>,
    /// The client's own cap on each output.
    pub client_cap: Option<u64>,
    pub stream: bool,
    /// Embeddings have no output.
    pub has_output: bool,
    /// Places of the paywall.
    pub decimals: u32,
}

impl CapSource {
    pub const fn name(self) -> &'static str {
        match self {
            CapSource::UserDay => "user_day",
            CapSource::UserMonth => "user_month",
            CapSource::PaywallDay => "paywall_day",
            CapSource::PaywallMonth => "paywall_month",
            CapSource::Key => "key",
        }
    }
}

/// A request may go on under this hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub amount: Amount,
    /// Tokens of each output that it pays for.
    pub output_tokens: u64,
    /// The cap to write into the request, where it is not the client's own.
    pub sent_cap: Option<u64>,
    pub clamped: Option<Clamped>,
    /// No cap binds the provider, so the hold may grow with the stream up to this.
    pub extends_to: Option<u64>,
    /// What the wallet would have paid for.
    pub affordable_tokens: u64,
    pub estimate: Estimate,
}

/// Why the output is shorter than it might be: `X-Paywall-Clamped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clamped {
    Balance,
    Default,
    Limit,
    Cap,
    MaxCost,
}

/// A request may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Short {
    pub reason: ShortReason,
    /// The hold of the request as it was asked for.
    pub required_amount: Amount,
    /// The least hold with which it would be answered, shortened as far as settings allow.
    pub least_amount: Amount,
    pub available: Amount,
    /// How long each output could be; 0 where not even the prompt fits.
    pub affordable_tokens: u64,
    /// The balance would do; only other holds are in the way.
    pub in_flight: bool,
    pub estimate: Estimate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortReason {
    InsufficientBalance,
    SpendCapReached(CapSource),
    MaxCostExceeded,
    /// The prompt alone is above `maxTokensPerRequest`.
    PromptTooLong,
}

/// A hold that may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The whole hold, old and new.
    pub amount: Amount,
    pub output_tokens: u64,
}

/// What keeps a hold from growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// The model gives no more.
    ModelMaximum,
    Balance,
    Cap(CapSource),
    MaxCost,
}

/// Where nothing is known of the model.
const MAX_OUTPUT_TOKENS: u64 = 16_384;
/// A provider that keeps its cap never comes near so many counted tokens for each real one.
const CAP_SLACK: u64 = 8;

/// The output cap under way through the rules.
#[derive(Clone, Copy)]
struct Plan {
    output_tokens: u64,
    sent: bool,
    clamped: Option<Clamped>,
    /// The least output that is worth a request.
    least: u64,
}

impl Plan {
    fn lowered(self, tokens: u64, why: Clamped) -> Plan {
        if tokens >= self.output_tokens {
            return self;
        }
        Plan { output_tokens: tokens, sent: true, clamped: Some(why), ..self }
    }
}

impl Funds {
    /// What a hold may take.
    pub fn spendable(&self) -> Amount {
        self.available + self.overdraft
    }
}

impl Hold {
    /// Counted output tokens at which a stream under this hold is cut. Where the provider has a
    /// cap, our own count, which is an upper bound, may run ahead of it.
    pub fn budget_tokens(&self) -> u64 {
        let all = self.output_tokens.saturating_mul(self.estimate.choices);
        let may_grow = self.extends_to.is_some_and(|most| self.output_tokens < most);
        if may_grow { all } else { all.saturating_mul(CAP_SLACK) }
    }

    /// The hold after it was extended.
    #[must_use]
    pub fn grown(self, extension: Extension) -> Hold {
        Hold { amount: extension.amount, output_tokens: extension.output_tokens, ..self }
    }
}

impl HoldAsk<'_> {
    /// Clamp or refuse. `Err` only where the price overflows.
    pub fn decide(&self) -> Result<Result<Hold, Short>, CostOverflow> {
        let asked = self.asked()?;
        if self.prompt_is_too_long() {
            return self.short(ShortReason::PromptTooLong, asked).map(Err);
        }
        let affordable = self.affordable(self.funds.spendable())?;
        let plan = match self.within_limits(asked)? {
            Ok(plan) => plan,
            // Money is told before limits, where both refuse.
            Err(_) if self.shortened(asked, affordable, Clamped::Balance).is_none() => {
                return self.short(ShortReason::InsufficientBalance, asked).map(Err);
            }
            Err(reason) => return self.short(reason, asked).map(Err),
        };
        match self.shortened(plan, affordable, Clamped::Balance) {
            Some(plan) => self.hold(&plan, affordable).map(Ok),
            None => self.short(ShortReason::InsufficientBalance, plan).map(Err),
        }
    }

    /// The plan within spend caps and the caller's maximum.
    fn within_limits(&self, asked: Plan) -> Result<Result<Plan, ShortReason>, CostOverflow> {
        let mut plan = asked;
        for cap in self.caps {
            let rest = if cap.rest.is_positive() { self.affordable(cap.rest)? } else { None };
            match self.shortened(plan, rest, Clamped::Cap) {
                Some(shorter) => plan = shorter,
                None => return Ok(Err(ShortReason::SpendCapReached(cap.source))),
            }
        }
        let plan = self.under_max_cost(plan)?;
        Ok(plan.ok_or(ShortReason::MaxCostExceeded))
    }

    /// The next step of a stream without a cap. `held` is the hold so far, already taken off
    /// `funds`; or what does not allow one more token.
    pub fn extend(
        &self,
        held: Amount,
        output_tokens: u64,
        extends_to: u64,
    ) -> Result<Result<Extension, Stuck>, CostOverflow> {
        let step = self.limits.stream_step_tokens.max(1);
        let mut next = output_tokens.saturating_add(step).min(extends_to);
        let mut why = Stuck::ModelMaximum;
        for (rest, of) in self.money(held) {
            let affordable = self.affordable(rest)?.unwrap_or(0);
            if affordable < next {
                (next, why) = (affordable, of);
            }
            if next <= output_tokens {
                return Ok(Err(why));
            }
        }
        if next <= output_tokens {
            return Ok(Err(why));
        }
        let amount = self.amount(next)?.max(held);
        Ok(Ok(Extension { amount, output_tokens: next }))
    }

    /// What a request that holds so much already may cost in all: by the wallet, each cap, and the
    /// caller's maximum. The first that binds is told.
    fn money(&self, held: Amount) -> impl Iterator<Item = (Amount, Stuck)> {
        let wallet = (self.funds.spendable() + held, Stuck::Balance);
        let caps = self.caps.iter().map(move |cap| (cap.rest + held, Stuck::Cap(cap.source)));
        let most = self.max_cost.map(|most| (most, Stuck::MaxCost));
        [wallet].into_iter().chain(caps).chain(most)
    }

    /// The output as the client asked for it (17.2).
    fn asked(&self) -> Result<Plan, CostOverflow> {
        let most = self.most();
        let least = self.limits.min_output_tokens.min(self.client_cap.unwrap_or(u64::MAX));
        let open = Plan { output_tokens: most, sent: false, clamped: None, least };
        if !self.has_output {
            return Ok(Plan { output_tokens: 0, least: 0, ..open });
        }
        let limit = self.limits.max_tokens_per_request.unwrap_or(u64::MAX);
        let limited = open.lowered(limit, Clamped::Limit);
        match self.client_cap {
            Some(cap) => {
                let own = Plan { output_tokens: cap.min(most), ..open };
                Ok(own.lowered(limit, Clamped::Limit))
            }
            None if self.stream && !limited.sent => {
                let step = self.limits.stream_step_tokens.clamp(1, most.max(1));
                Ok(Plan { output_tokens: step, ..open })
            }
            None if self.stream => Ok(limited),
            None => self.comfortable(limited),
        }
    }

    /// Without a cap the whole length is held only where that is a small share of the wallet.
    fn comfortable(&self, open: Plan) -> Result<Plan, CostOverflow> {
        let percent = Amount::from_nanos(self.limits.uncapped_share.nanos() * 100);
        let share = self.funds.available.or_zero().percent(percent);
        if self.amount(open.output_tokens)? <= share {
            return Ok(open);
        }
        let default = self.facts.default_output_tokens.unwrap_or(self.limits.default_output_tokens);
        let fits = self.affordable(share)?.unwrap_or(0);
        Ok(open.lowered(default.max(fits), Clamped::Default))
    }

    fn most(&self) -> u64 {
        self.facts.max_output_tokens.unwrap_or(MAX_OUTPUT_TOKENS)
    }

    fn prompt_is_too_long(&self) -> bool {
        let limit = self.limits.max_tokens_per_request;
        limit.is_some_and(|limit| self.estimate.prompt_tokens > limit)
    }

    /// The plan within so many tokens, or `None` where that is too short to be worth it.
    fn shortened(&self, plan: Plan, tokens: Option<u64>, why: Clamped) -> Option<Plan> {
        let tokens = tokens?;
        if tokens >= plan.output_tokens {
            return Some(plan);
        }
        let enough = self.limits.on_short == OnShort::Clamp && tokens >= plan.least;
        enough.then(|| plan.lowered(tokens, why))
    }

    /// A maximum never shortens what the client asked for.
    fn under_max_cost(&self, plan: Plan) -> Result<Option<Plan>, CostOverflow> {
        let Some(max_cost) = self.max_cost else { return Ok(Some(plan)) };
        let Some(tokens) = self.affordable(max_cost)? else { return Ok(None) };
        if tokens >= plan.output_tokens {
            return Ok(Some(plan));
        }
        let may_shorten = self.client_cap.is_none() && tokens >= plan.least;
        Ok(may_shorten.then(|| plan.lowered(tokens, Clamped::MaxCost)))
    }

    fn hold(&self, plan: &Plan, affordable: Option<u64>) -> Result<Hold, CostOverflow> {
        let bound = self.client_cap.is_some() || plan.sent || !self.stream || !self.has_output;
        Ok(Hold {
            amount: self.amount(plan.output_tokens)?,
            output_tokens: plan.output_tokens,
            sent_cap: plan.sent.then_some(plan.output_tokens),
            clamped: plan.clamped,
            extends_to: (!bound).then(|| self.most()),
            affordable_tokens: affordable.unwrap_or(0),
            estimate: *self.estimate,
        })
    }

    fn short(&self, reason: ShortReason, plan: Plan) -> Result<Short, CostOverflow> {
        let spendable = self.funds.spendable();
        let least = plan.least.min(plan.output_tokens);
        let least = match self.limits.on_short {
            OnShort::Clamp => least,
            OnShort::Block => plan.output_tokens,
        };
        let least_amount = self.amount(least)?;
        let balance_is_short = reason == ShortReason::InsufficientBalance;
        Ok(Short {
            reason,
            required_amount: self.amount(plan.output_tokens)?,
            least_amount,
            available: self.funds.available,
            affordable_tokens: self.affordable(spendable)?.unwrap_or(0),
            in_flight: balance_is_short && least_amount <= spendable + self.funds.held,
            estimate: *self.estimate,
        })
    }

    fn amount(&self, output_tokens: u64) -> Result<Amount, CostOverflow> {
        self.estimate.hold(self.pricing, output_tokens, self.decimals)
    }

    fn affordable(&self, funds: Amount) -> Result<Option<u64>, CostOverflow> {
        self.estimate.affordable_tokens(self.pricing, funds, self.decimals)
    }
}
