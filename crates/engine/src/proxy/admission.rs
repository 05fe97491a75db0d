//! Letting a request in: the order of decisions, the hold, and the first event (paywalls 16.2).

use std::sync::Arc;

use domain::amount::Amount;
use domain::event::proxy::Blocked as BlockedEvent;
use domain::ledger::Refusal;
use domain::ledger::entry::Details;
use domain::ledger::hold::{self, Reserve};
use domain::paywall::SettlementMode;
use domain::place::Place;
use domain::proxy::chapter::Scene;
use domain::proxy::estimate::Estimate;
use domain::proxy::hold::{Ceiling, Clamped, Funds, Hold, HoldAsk, Short, ShortReason};
use domain::proxy::limits::{LimitHit, Remaining};
use domain::proxy::reason::{Link, Reason};
use domain::proxy::story::{HoldStory, Status, Story};
use domain::proxy::usage::Protocol;
use domain::scope::Scope;
use domain::time::{SECOND_MS, Timestamp};
use domain::webhook::catalogue::EventType;
use parking_lot::Mutex;
use store::Tx;
use store::proxy_requests::{Noted, Standing};

use super::aim::{Aim, aim};
use super::leases::Leased;
use super::limits::{self, Counted, Passed};
use super::telling::Teller;
use super::{Admission, Blocked, Call, Changing, Target, Ticket};
use crate::blocks::{self, Caller};
use crate::charges::tell_depleted;
use crate::error::Error;
use crate::run::Engine;
use crate::topup_links::{self, SpareToken};
use crate::users::Sight;

/// What a hold outlives the request's own time limits by.
const DEADLINE_SLACK_S: u64 = 60;

impl Engine {
    /// Decides on a request in one transaction: holds the worst that it can cost, or tells why not.
    pub async fn admit(&self, call: Call) -> Result<Admission, Error> {
        let call = Arc::new(call);
        let scope = call.scope;
        let offer = self.offer(&scope, &call.paywall)?;
        let aim = aim(&offer, &call, self.now(&scope))?;
        let sight = self.sight(scope, &call.paywall, &call.user, &call.cause).await?;
        let asked = Asked { call: call.clone(), sight, aim: aim.clone() };
        match self.decide(asked).await {
            Err(Error::Refused(Refusal::WalletClosed)) => {
                let again = self.see_again(scope, &call.paywall, &call.user, &call.cause);
                let sight = Box::pin(again).await?;
                Box::pin(self.decide(Asked { call, sight, aim })).await
            }
            admitted => admitted,
        }
    }

    async fn decide(&self, asked: Asked) -> Result<Admission, Error> {
        let (scope, asked) = (asked.call.scope, Arc::new(asked));
        if let Some(admitted) = self.admit_leased(&asked).await? {
            return Ok(admitted);
        }
        // In a box, as all that a lease makes rare: the tasks that wait stay small.
        Box::pin(self.decide_in_ledger(scope, asked)).await
    }

    async fn decide_in_ledger(&self, scope: Scope, asked: Arc<Asked>) -> Result<Admission, Error> {
        if !limits::any(&asked.call.paywall.paywall) {
            let quick = asked.clone();
            let admitted = self.movement(scope, move |tx| admit_fitting(tx, &quick)).await?;
            if let Some(admitted) = admitted {
                return Ok(admitted);
            }
        }
        let spare = self.spare_token();
        self.change(scope, move |tx| admit(tx, &asked, &spare)).await
    }
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) call: Arc<Call>,
    pub(super) sight: Sight,
    pub(super) aim: Aim,
}

/// Why a request goes no further.
enum No {
    State(Reason),
    Short(Box<Short>, Option<Timestamp>),
    Limit(LimitHit),
}

/// A request that everything lets through.
struct Yes {
    hold: Hold,
    passed: Option<Passed>,
}

/// Lets a request in that nothing stands against, without a look at any row. `None`: it is not
/// that simple, and nothing was changed.
fn admit_fitting(tx: &mut Tx<'_>, asked: &Asked) -> Result<Option<Admission>, Error> {
    match decide(tx, asked)? {
        Ok((target, yes)) => let_in(tx, asked, target, yes).map(Some),
        Err(_) => Ok(None),
    }
}

fn admit(tx: &mut Tx<'_>, asked: &Asked, spare: &SpareToken) -> Result<Admission, Error> {
    match decide(tx, asked)? {
        Ok((target, yes)) => let_in(tx, asked, target, yes),
        Err(no) => block(tx, asked, spare, &no),
    }
}

/// A story's beginning.
pub(super) fn begun(asked: &Asked, at: Timestamp) -> Story {
    let (call, target) = (&asked.call, asked.aim.as_ref().ok());
    let paywall = &call.paywall.paywall;
    Story {
        request_id: call.request(),
        paywall_id: paywall.id,
        status: Status::Open,
        endpoint: call.endpoint.to_owned(),
        stream: call.ask.stream,
        external_user_id: call.user.as_str().to_owned(),
        wallet_user_id: asked.sight.payer.customer,
        requested_model: call.ask.model.clone(),
        settlement: SettlementMode::Immediate,
        currency: paywall.currency,
        model: target.map(|target| target.model.clone()),
        provider: target.map(|target| target.provider.name.clone()),
        started_at: at,
        ended_at: None,
        reason: None,
        limit_source: None,
        price: target.and_then(|target| target.tariff.clone()),
        // The one override that counts is the price.
        pricing: paywall.pricing.without_overrides(),
        decimals: paywall.decimals,
        hold: None,
        deferred: false,
        deferred_amount: None,
        usage: None,
        due: None,
        charge: None,
        error_code: None,
        http_status: None,
        finish_reason: None,
        cut: false,
        canceled_by: None,
        latency_ms: None,
        events: Vec::new(),
    }
}

fn teller<'t>(asked: &'t Asked, story: &'t mut Story) -> Teller<'t> {
    let (paywall, payer) = (asked.call.paywall.no, asked.sight.payer);
    Teller { paywall, payer, cause: &asked.call.cause, story }
}

/// The first rule that refuses is the one that is told.
fn decide<'a>(
    tx: &mut Tx<'_>,
    asked: &'a Asked,
) -> Result<Result<(&'a Arc<Target>, Yes), No>, Error> {
    if let Some(reason) = bar(asked) {
        return Ok(Err(No::State(reason)));
    }
    let target = match &asked.aim {
        Ok(target) => target,
        Err(reason) => return Ok(Err(No::State(*reason))),
    };
    let counted = counted(asked, target);
    let caps = limits::ceilings(tx, counted)?;
    let funds = funds(tx, asked.sight.wallet)?;
    let ceilings: Vec<_> = caps.iter().map(|(ceiling, _)| *ceiling).collect();
    let estimate = estimate(&asked.call, target);
    let Ok(decided) = hold_ask(&asked.call, target, &estimate, (funds, &ceilings)).decide() else {
        tracing::warn!(model = target.model, "the price of a request overflows");
        return Ok(Err(No::State(Reason::ProviderNotConfigured)));
    };
    let short = match decided {
        Err(short) if short.reason == ShortReason::InsufficientBalance => {
            return Ok(Err(No::Short(Box::new(short), None)));
        }
        decided => decided,
    };
    let passed = match limits::check(tx, counted)? {
        Ok(passed) => passed,
        Err(hit) => return Ok(Err(No::Limit(hit))),
    };
    Ok(match short {
        Ok(hold) => Ok((target, Yes { hold, passed })),
        Err(short) => {
            let reset = caps
                .iter()
                .find(|(ceiling, _)| short.reason == ShortReason::SpendCapReached(ceiling.source));
            Err(No::Short(Box::new(short), reset.map(|(_, ends)| *ends)))
        }
    })
}

/// The hold of a request that this much money lets in easily: nothing is refused, and nothing is
/// shortened for want of money. It looks at no limit of the paywall's.
pub(super) fn fitting(asked: &Asked, funds: Funds) -> Option<Hold> {
    let target = asked.aim.as_ref().ok().filter(|_| bar(asked).is_none())?;
    let estimate = estimate(&asked.call, target);
    let hold = hold_ask(&asked.call, target, &estimate, (funds, &[])).decide().ok()?.ok()?;
    (hold.clamped != Some(Clamped::Balance)).then_some(hold)
}

fn bar(asked: &Asked) -> Option<Reason> {
    blocks::bar(&asked.call.paywall, &asked.sight).map(|reason| match reason {
        blocks::Reason::UserSuspended => Reason::UserSuspended,
        _ => Reason::PaywallArchived,
    })
}

fn counted<'c>(asked: &'c Asked, target: &'c Target) -> Counted<'c> {
    Counted {
        paywall: &asked.call.paywall.paywall,
        paywall_no: asked.call.paywall.no,
        wallet: asked.sight.wallet,
        model: &target.model,
    }
}

pub(super) fn funds(tx: &mut Tx<'_>, wallet: i64) -> Result<Funds, Error> {
    let funds = tx.account(wallet, |account, _| Funds {
        available: account.credits - account.held,
        overdraft: account.wallet.overdraft_limit,
        held: account.held,
    })?;
    funds.ok_or_else(|| Error::not_found("wallet"))
}

pub(super) fn estimate(call: &Call, target: &Target) -> Estimate {
    Estimate::of(&call.ask, target.tariff.as_ref(), &target.facts)
}

/// Everything that a hold is decided on.
pub(super) fn hold_ask<'a>(
    call: &'a Call,
    target: &'a Target,
    estimate: &'a Estimate,
    (funds, caps): (Funds, &'a [Ceiling]),
) -> HoldAsk<'a> {
    let paywall = &call.paywall.paywall;
    HoldAsk {
        estimate,
        pricing: &paywall.pricing,
        facts: &target.facts,
        limits: &paywall.limits,
        funds,
        caps,
        max_cost: call.max_cost,
        client_cap: call.ask.output_cap(),
        stream: call.ask.stream,
        has_output: call.protocol != Protocol::Embeddings,
        decimals: paywall.decimals,
    }
}

fn let_in(
    tx: &mut Tx<'_>,
    asked: &Asked,
    target: &Arc<Target>,
    yes: Yes,
) -> Result<Admission, Error> {
    let (call, now) = (&asked.call, tx.now());
    let mut story = begun(asked, now);
    let counted = counted(asked, target);
    let place = reserve(tx, call, asked.sight.wallet, yes.hold.amount)?;
    if let Some(passed) = &yes.passed {
        limits::take(tx, counted, passed)?;
    }
    limits::spend(tx, counted, (yes.hold.amount, now))?;
    story.hold = Some(HoldStory::of(&yes.hold, place.hold_id(now)));
    teller(asked, &mut story).scenes(tx, &[Scene::Started])?;
    tx.save_request(noted(call, asked.sight.wallet, &story));
    let remaining = yes.passed.and_then(|passed| passed.remaining);
    let changing = Changing { story, holds: vec![place], told: true, settled: None };
    Ok(admitted((asked, target), (yes.hold, remaining), changing, None))
}

pub(super) fn admitted(
    (asked, target): (&Asked, &Arc<Target>),
    (hold, remaining): (Hold, Option<Remaining>),
    changing: Changing,
    leased: Option<Arc<Leased>>,
) -> Admission {
    Admission::Admitted(Arc::new(Ticket {
        call: asked.call.clone(),
        target: target.clone(),
        hold,
        remaining,
        sight: asked.sight.clone(),
        turn: tokio::sync::Mutex::default(),
        changing: Mutex::new(changing),
        leased,
    }))
}

/// Reserves money for a request until long after it must have ended.
pub(super) fn reserve(
    tx: &mut Tx<'_>,
    call: &Call,
    wallet: i64,
    credits: Amount,
) -> Result<Place, Error> {
    let limits = &call.paywall.paywall.limits;
    let seconds = limits.request_seconds + limits.drain_seconds + DEADLINE_SLACK_S;
    let lives_ms = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND_MS);
    let details = Details {
        reference_type: Some("REQUEST".to_owned()),
        reference_id: Some(call.request().to_string()),
        ..Details::default()
    };
    let deadline = tx.now().plus_ms(lives_ms);
    let ask = Reserve { credits, deadline, details, key: None, quiet: true };
    let held = tx.account(wallet, |account, log| hold::reserve(account, log, &call.cause, ask))?;
    Ok(held.ok_or_else(|| Error::not_found("wallet"))??)
}

pub(super) fn noted(call: &Call, wallet: i64, story: &Story) -> Noted {
    Noted::new((call.paywall.no, wallet), Standing::first(story.status), story)
}

/// Tells why, hands out the link, and ends the request.
fn block(tx: &mut Tx<'_>, asked: &Asked, spare: &SpareToken, no: &No) -> Result<Admission, Error> {
    let mut story = begun(asked, tx.now());
    teller(asked, &mut story).scenes(tx, &[Scene::Started])?;
    let mut blocked = told(tx, asked, no, &mut story)?;
    if blocked.reason.link() == Link::TopUp {
        blocked.link = link(tx, asked, spare, &mut story)?;
    }
    story.status = Status::Blocked;
    story.ended_at = Some(tx.now());
    story.reason = Some(blocked.reason.name().to_owned());
    story.limit_source.clone_from(&blocked.limit_source);
    let event = BlockedEvent { reason: blocked.reason.name() };
    let mut teller = teller(asked, &mut story);
    for kind in [EventType::PAYWALL_REQUEST_BLOCKED, EventType::PAYWALL_PROXY_REQUEST_BLOCKED] {
        let (url, source) = (blocked.link.as_deref(), blocked.limit_source.as_deref());
        teller.tell(tx, kind, |data, named| {
            let data = event.data(data, named).maybe("actionUrl", url);
            (data.maybe("limitSource", source), named.subject())
        })?;
    }
    tx.save_request(noted(&asked.call, asked.sight.wallet, &story));
    Ok(Admission::Blocked(Box::new(blocked)))
}

fn link(
    tx: &mut Tx<'_>,
    asked: &Asked,
    spare: &SpareToken,
    story: &mut Story,
) -> Result<Option<String>, Error> {
    let call = &asked.call;
    let user = (call.user.as_str(), &asked.sight);
    let link = topup_links::live_or_new(tx, &call.paywall, user, spare, &call.cause)?;
    if let Some(link) = &link {
        let (told, now) = (EventType::PAYWALL_TOPUP_LINK_CREATED, tx.now());
        if link.is_new_at(now) {
            teller(asked, story).note(told);
        }
    }
    Ok(link.map(|link| link.url))
}

/// The refusal's figures, with the events that tell them.
fn told(tx: &mut Tx<'_>, asked: &Asked, no: &No, story: &mut Story) -> Result<Blocked, Error> {
    Ok(match no {
        No::State(reason) => Blocked::for_reason(*reason),
        No::Limit(hit) => {
            if let Ok(target) = &asked.aim
                && hit.reason != Reason::ConcurrencyLimited
            {
                limits::tell(tx, counted(asked, target), hit, &mut teller(asked, story))?;
            }
            Blocked {
                limit_source: Some(hit.limit_key.to_owned()),
                reset_at: Some(hit.reset_at),
                retry_after_s: Some(hit.retry_after),
                ..Blocked::for_reason(hit.reason)
            }
        }
        No::Short(short, reset_at) => {
            let blocked = of_short(short, *reset_at);
            if short.reason == ShortReason::InsufficientBalance {
                let call = &asked.call;
                let caller = Caller { user: &call.user, sight: &asked.sight, cause: &call.cause };
                let figures = (short.required_amount, short.available);
                tell_depleted(tx, &call.paywall, caller, figures)?;
                teller(asked, story).note(EventType::PAYWALL_BALANCE_DEPLETED);
            }
            blocked
        }
    })
}

fn of_short(short: &Short, reset_at: Option<Timestamp>) -> Blocked {
    let (reason, source) = match short.reason {
        ShortReason::InsufficientBalance => {
            (Reason::InsufficientBalance, short.in_flight.then(|| "in_flight".to_owned()))
        }
        ShortReason::SpendCapReached(cap) => {
            let name = serde_json::to_value(cap).ok();
            (Reason::SpendCapReached, name.and_then(|name| name.as_str().map(str::to_owned)))
        }
        ShortReason::MaxCostExceeded => (Reason::MaxCostExceeded, None),
        ShortReason::PromptTooLong => {
            (Reason::PolicyViolation, Some("maxTokensPerRequest".to_owned()))
        }
    };
    Blocked {
        required: Some(short.required_amount),
        available: Some(short.available),
        affordable_tokens: Some(short.affordable_tokens),
        limit_source: source,
        reset_at,
        retry_after_s: short.in_flight.then_some(1),
        ..Blocked::for_reason(reason)
    }
}
