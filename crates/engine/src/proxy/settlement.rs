//! The end of a request: one transaction with its charge, the rest of its hold, its last events and
//! its story (paywalls 17.6). It happens once, whoever asks for it.

use std::sync::Arc;

use domain::amount::Amount;
use domain::event::paywall::Data;
use domain::event::proxy::Call as Named;
use domain::ledger::usage::{self, Collected, UsageCharge};
use domain::paywall::Paywall;
use domain::place::Place;
use domain::proxy::chapter::Scene;
use domain::proxy::story::{Status, Story, UsageStory};
use domain::scope::Cause;
use domain::time::Timestamp;
use domain::wallet::Payer;
use domain::webhook::catalogue::EventType;
use store::Tx;
use store::proxy_requests::{self, Noted, Standing};

use super::limits::{self, Counted};
use super::reckoning::{Used, details, finish, held, is_charged, last_scene};
use super::telling::Teller;
use super::{Changing, End, Outcome, Settled, Ticket, replay};
use crate::error::Error;
use crate::run::Engine;

impl Engine {
    /// Charges what the request came to and frees the rest. A second call finds it done.
    pub async fn settle(&self, ticket: &Arc<Ticket>, end: End) -> Result<Settled, Error> {
        let _turn = ticket.turn.lock().await;
        if let Some(leased) = &ticket.leased {
            return self.settle_leased(ticket, leased, &end).await;
        }
        Box::pin(self.settle_in_ledger(ticket, end)).await
    }

    async fn settle_in_ledger(&self, ticket: &Arc<Ticket>, end: End) -> Result<Settled, Error> {
        let (scope, end) = (ticket.call.scope, Arc::new(end));
        if end.reply.is_none() && !limits::any(&ticket.call.paywall.paywall) {
            let (quick, end) = (ticket.clone(), end.clone());
            let settled = self.movement(scope, move |tx| settle_open(tx, &quick, &end)).await?;
            if let Some(settled) = settled {
                return Ok(settled);
            }
        }
        let ticket = ticket.clone();
        self.change(scope, move |tx| {
            let Changing { mut story, holds, .. } = ticket.changing.lock().clone();
            let settled = settle(tx, &ticket.ending(&holds), &mut story, &end)?;
            replay::keep(tx, end.reply.as_ref(), &settled)?;
            Ok(settled)
        })
        .await
    }
}

impl Ticket {
    fn ending<'e>(&'e self, holds: &'e [Place]) -> Ending<'e> {
        Ending {
            paywall: &self.call.paywall.paywall,
            paywall_no: self.call.paywall.no,
            wallet: self.sight.wallet,
            payer: self.sight.payer,
            holds,
            cause: &self.call.cause,
        }
    }
}

/// A request that ends, from memory or from its row.
#[derive(Clone, Copy)]
pub(super) struct Ending<'e> {
    pub(super) paywall: &'e Paywall,
    pub(super) paywall_no: i64,
    pub(super) wallet: i64,
    pub(super) payer: Payer,
    pub(super) holds: &'e [Place],
    pub(super) cause: &'e Cause,
}

impl Ending<'_> {
    fn noted(&self, story: &Story) -> Noted {
        Noted::new((self.paywall_no, self.wallet), Standing::Ended { known: true }, story)
    }
}

/// Settles a request of a paywall without limits, whose open hold says that nobody has: its row
/// need not be read. `None`: the row must say what happened.
fn settle_open(tx: &mut Tx<'_>, ticket: &Ticket, end: &End) -> Result<Option<Settled>, Error> {
    let Changing { mut story, holds, .. } = ticket.changing.lock().clone();
    let is_open = tx.account_at_rest(ticket.sight.wallet, |account, _| {
        holds.iter().all(|place| account.holds.iter().any(|hold| hold.place == *place))
    })?;
    if is_open != Some(true) {
        return Ok(None);
    }
    finish_request(tx, &ticket.ending(&holds), &mut story, end).map(Some)
}

pub(super) fn settle(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &mut Story,
    end: &End,
) -> Result<Settled, Error> {
    let (scope, key) = (tx.scope(), (request.paywall_no, story.request_id));
    let stored = proxy_requests::find(tx.read()?, &scope, key)?;
    let stored = stored.ok_or_else(|| Error::not_found("request"))?;
    if stored.status != Status::Open {
        return settled_before(tx, request, &stored);
    }
    finish_request(tx, request, story, end)
}

fn finish_request(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &mut Story,
    end: &End,
) -> Result<Settled, Error> {
    let used = Used::of(story, end);
    let model = story.model.clone().unwrap_or_default();
    let counted = Counted {
        paywall: request.paywall,
        paywall_no: request.paywall_no,
        wallet: request.wallet,
        model: &model,
    };
    let held = held(story);
    let collected = if story.deferred || is_charged(end) {
        let (collected, at) = collect(tx, request, story, used.bill.amount)?;
        story.usage = Some(used.story());
        story.charge = Some(used.charge(story, (collected.place, at), collected.uncollected));
        Some(collected)
    } else {
        free(tx, request)?;
        None
    };
    finish(story, end, tx.now());
    if !end.has_output && matches!(end.outcome, Outcome::Failed { .. }) {
        limits::give_back(tx, counted, story.started_at)?;
    }
    let taken = collected.map_or(Amount::ZERO, |collected| collected.taken);
    limits::spend(tx, counted, (taken - held, story.started_at))?;
    tell(tx, request, story, &end.outcome)?;
    tx.save_request(request.noted(story));
    Ok(Settled {
        amount: taken,
        available: available(tx, request.wallet)?,
        activity: story.charge.as_ref().map(|charge| charge.activity_id),
        estimated: used.metered.estimated,
    })
}

fn collect(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &Story,
    price: Amount,
) -> Result<(Collected, Timestamp), Error> {
    let (now, fees) = (tx.now(), request.paywall.fees);
    let (prices, kept) = (&[price][..], Amount::ZERO);
    let ask = UsageCharge { holds: request.holds, prices, kept, fees, details: details(story) };
    let collected = tx
        .account(request.wallet, |account, log| usage::collect(account, log, request.cause, ask))?;
    Ok((collected.ok_or_else(|| Error::not_found("wallet"))??, now))
}

fn free(tx: &mut Tx<'_>, request: &Ending<'_>) -> Result<(), Error> {
    let freed = tx.account(request.wallet, |account, log| {
        usage::free(account, log, request.cause, request.holds)
    })?;
    Ok(freed.ok_or_else(|| Error::not_found("wallet"))??)
}

/// The last events, in the order of paywalls 21: a charge that was announced follows the end, one
/// that was not precedes it, but for requests that did not end well.
fn tell(
    tx: &mut Tx<'_>,
    request: &Ending<'_>,
    story: &mut Story,
    outcome: &Outcome,
) -> Result<(), Error> {
    let last = last_scene(outcome);
    let charge_first = !story.deferred && last == Scene::Completed;
    let short = story.charge.as_ref().is_some_and(|charge| charge.uncollected.is_positive());
    let scenes: &[Scene] = match (story.charge.is_some(), charge_first) {
        (false, _) => &[last],
        (true, true) => &[Scene::Charged, last],
        (true, false) => &[last, Scene::Charged],
    };
    let before =
        if short { scenes.iter().position(|scene| *scene == Scene::Charged) } else { None };
    let (before, after) = scenes.split_at(before.unwrap_or(0));
    let (paywall, payer) = (request.paywall_no, request.payer);
    let mut teller = Teller { paywall, payer, cause: request.cause, story };
    if !before.is_empty() {
        teller.scenes(tx, before)?;
    }
    if short {
        tell_short(tx, request, &mut teller)?;
    }
    teller.scenes(tx, after)
}

/// Part of a charge could not be taken.
fn tell_short(tx: &mut Tx<'_>, request: &Ending<'_>, teller: &mut Teller<'_>) -> Result<(), Error> {
    let Some(charge) = teller.story.charge.clone() else { return Ok(()) };
    let available = available(tx, request.wallet)?;
    let currency = request.paywall.currency;
    teller.tell(tx, EventType::PAYWALL_BALANCE_DEPLETED, |data: Data, named: &Named<'_>| {
        let data = data
            .with("walletUserId", named.user.to_string())
            .with("externalUserId", named.external_user)
            .money("requestedAmount", charge.amount)
            .money("availableBalance", available)
            .with("currency", currency.upper())
            .with("requestId", named.request.to_string());
        (data, named.usage_subject(Some(charge.activity_id)))
    })
}

fn available(tx: &mut Tx<'_>, wallet: i64) -> Result<Amount, Error> {
    Ok(super::admission::funds(tx, wallet)?.available)
}

/// Somebody else ended it: nothing changes, and its own figures are told again.
fn settled_before(tx: &mut Tx<'_>, request: &Ending<'_>, ended: &Story) -> Result<Settled, Error> {
    let charge = ended.charge.as_ref();
    Ok(Settled {
        amount: charge.map(|charge| charge.amount - charge.uncollected).unwrap_or_default(),
        available: available(tx, request.wallet)?,
        activity: charge.map(|charge| charge.activity_id),
        estimated: ended.usage.as_ref().is_some_and(UsageStory::is_estimated),
    })
}
