//! What happens to a request under way: its hold grows, its stream opens, its money ends.

use std::collections::HashMap;
use std::sync::Arc;

use domain::place::EnvNo;
use domain::proxy::chapter::Scene;
use domain::proxy::hold::{Ceiling, Extension, Funds, Hold, Stuck};
use domain::proxy::reason::Reason;
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use store::{Tx, proxy_requests};

use super::admission::{estimate, funds, hold_ask, noted, reserve};
use super::limits::{self, Counted};
use super::telling::Teller;
use super::{Changing, Ticket};
use crate::blocks::Caller;
use crate::charges::tell_depleted;
use crate::error::Error;
use crate::run::Engine;
use crate::topup_links::{self, SpareToken};

/// A hold that grew, or why it did not.
pub type Grown = Result<Hold, Halt>;

/// Why a stream goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    pub reason: Reason,
    /// Which of several limits it was.
    pub limit_source: Option<&'static str>,
    pub reset_at: Option<Timestamp>,
}

impl Halt {
    /// No limit on money: the output itself is longer than any may be.
    pub const AT_MAXIMUM: Halt = Halt {
        reason: Reason::PolicyViolation,
        limit_source: Some("maxOutputTokens"),
        reset_at: None,
    };
}

impl Engine {
    /// The hold with its next step, or what does not allow one more token.
    pub async fn extend(&self, ticket: &Arc<Ticket>, hold: Hold) -> Result<Grown, Error> {
        let _turn = ticket.turn.lock().await;
        if let Some(leased) = &ticket.leased {
            let extension = self.extend_leased(ticket, leased, hold).await?;
            if let Ok(extension) = &extension {
                ticket.changing.lock().grow(extension);
            }
            return Ok(extension
                .map(|extension| hold.grown(extension))
                .map_err(|it| halt(it, &[])));
        }
        let growing = ticket.clone();
        let (scope, grow) = (ticket.call.scope, move |tx: &mut Tx<'_>| extend(tx, &growing, &hold));
        let grown = if limits::any(&ticket.call.paywall.paywall) {
            self.change(scope, grow).await?
        } else {
            self.movement(scope, grow).await?
        };
        Ok(grown.map(|(extension, changing)| {
            *ticket.changing.lock() = changing;
            hold.grown(extension)
        }))
    }

    /// The provider opened the stream: a charge will follow.
    pub async fn stream_opened(&self, ticket: &Arc<Ticket>) -> Result<(), Error> {
        if ticket.is_deferred() {
            return Ok(());
        }
        let _turn = ticket.turn.lock().await;
        let opened = ticket.clone();
        let changing = self.movement(ticket.call.scope, move |tx| open(tx, &opened)).await?;
        *ticket.changing.lock() = changing;
        Ok(())
    }

    /// The stream is cut because its money ended. Returns the link to bring more.
    pub async fn stream_cut(&self, ticket: &Arc<Ticket>) -> Result<Option<String>, Error> {
        let _turn = ticket.turn.lock().await;
        let (cut, spare) = (ticket.clone(), self.spare_token());
        let (changing, link) =
            self.change(ticket.call.scope, move |tx| deplete(tx, &cut, &spare)).await?;
        *ticket.changing.lock() = changing;
        Ok(link)
    }

    /// Notes how far open streams came, so that a crash loses no more than what followed.
    pub async fn checkpoint(&self, streams: Vec<(Arc<Ticket>, u64)>) -> Result<(), Error> {
        let mut by_env: HashMap<EnvNo, Vec<_>> = HashMap::new();
        for stream in streams {
            by_env.entry(stream.0.call.scope.env).or_default().push(stream);
        }
        for streams in by_env.into_values() {
            self.checkpoint_env(&streams).await?;
        }
        Ok(())
    }

    async fn checkpoint_env(&self, streams: &[(Arc<Ticket>, u64)]) -> Result<(), Error> {
        // A request whose turn is taken is about to be written anyway.
        let turns: Vec<_> = streams
            .iter()
            .filter_map(|(ticket, counted)| Some((ticket, *counted, ticket.turn.try_lock().ok()?)))
            .collect();
        let Some((first, ..)) = turns.first() else { return Ok(()) };
        let open: Vec<_> =
            turns.iter().map(|(ticket, counted, _)| (Arc::clone(ticket), *counted)).collect();
        let written = self.change(first.call.scope, move |tx| note_open(tx, &open)).await?;
        for ((ticket, ..), changing) in turns.iter().zip(written) {
            *ticket.changing.lock() = changing;
        }
        Ok(())
    }
}

impl Changing {
    fn grow(&mut self, extension: &Extension) {
        if let Some(story) = &mut self.story.hold {
            story.amount = extension.amount;
            story.output_tokens = extension.output_tokens;
        }
    }
}

/// Writes down how far streams came, and that they are, where that is not told yet.
fn note_open(tx: &mut Tx<'_>, streams: &[(Arc<Ticket>, u64)]) -> Result<Vec<Changing>, Error> {
    let mut written = Vec::with_capacity(streams.len());
    for (ticket, counted) in streams {
        let call = &ticket.call;
        let mut changing = ticket.changing.lock().clone();
        tell_beginning(tx, ticket, &mut changing)?;
        let request = (call.paywall.no, call.request());
        proxy_requests::checkpoint(tx.write()?, &call.scope, request, *counted)?;
        written.push(changing);
    }
    Ok(written)
}

fn extend(
    tx: &mut Tx<'_>,
    ticket: &Ticket,
    hold: &Hold,
) -> Result<Result<(Extension, Changing), Halt>, Error> {
    let (call, now) = (&ticket.call, tx.now());
    let counted = counted(ticket);
    let caps = limits::ceilings(tx, counted)?;
    let ceilings: Vec<_> = caps.iter().map(|(ceiling, _)| *ceiling).collect();
    let funds = funds(tx, ticket.sight.wallet)?;
    let extension = match extension_of(ticket, hold, (funds, &ceilings)) {
        Ok(extension) => extension,
        Err(stuck) => return Ok(Err(halt(stuck, &caps))),
    };
    let more = extension.amount - hold.amount;
    let place = reserve(tx, call, ticket.sight.wallet, more)?;
    limits::spend(tx, counted, (more, now))?;
    let mut changing = ticket.changing.lock().clone();
    changing.holds.push(place);
    changing.grow(&extension);
    if let Some(story) = &mut changing.story.hold {
        story.hold_ids.push(place.hold_id(now));
    }
    save(tx, ticket, &changing);
    Ok(Ok((extension, changing)))
}

/// The next step that this much money pays for, or what is in its way.
pub(super) fn extension_of(
    ticket: &Ticket,
    hold: &Hold,
    figures: (Funds, &[Ceiling]),
) -> Result<Extension, Stuck> {
    let most = hold.extends_to.ok_or(Stuck::ModelMaximum)?;
    let estimate = estimate(&ticket.call, &ticket.target);
    let ask = hold_ask(&ticket.call, &ticket.target, &estimate, figures);
    // A price that overflows for so long an output: the model cannot mean it.
    ask.extend(hold.amount, hold.output_tokens, most).unwrap_or(Err(Stuck::ModelMaximum))
}

/// The reason in the words of refusals, with the end of a cap's window.
fn halt(stuck: Stuck, caps: &[(Ceiling, Timestamp)]) -> Halt {
    let of = |reason| Halt { reason, limit_source: None, reset_at: None };
    match stuck {
        Stuck::ModelMaximum => Halt::AT_MAXIMUM,
        Stuck::Balance => of(Reason::InsufficientBalance),
        Stuck::MaxCost => of(Reason::MaxCostExceeded),
        Stuck::Cap(source) => {
            let cap = caps.iter().find(|(ceiling, _)| ceiling.source == source);
            Halt {
                limit_source: Some(source.name()),
                reset_at: cap.map(|(_, ends)| *ends),
                ..of(Reason::SpendCapReached)
            }
        }
    }
}

pub(super) fn counted(ticket: &Ticket) -> Counted<'_> {
    Counted {
        paywall: &ticket.call.paywall.paywall,
        paywall_no: ticket.call.paywall.no,
        wallet: ticket.sight.wallet,
        model: &ticket.target.model,
    }
}

fn open(tx: &mut Tx<'_>, ticket: &Ticket) -> Result<Changing, Error> {
    let mut changing = ticket.changing.lock().clone();
    changing.story.deferred = true;
    changing.story.deferred_amount = Some(ticket.hold.amount);
    teller(ticket, &mut changing).scenes(tx, &[Scene::Deferred])?;
    save(tx, ticket, &changing);
    Ok(changing)
}

fn deplete(
    tx: &mut Tx<'_>,
    ticket: &Ticket,
    spare: &SpareToken,
) -> Result<(Changing, Option<String>), Error> {
    let mut changing = ticket.changing.lock().clone();
    tell_beginning(tx, ticket, &mut changing)?;
    let call = &ticket.call;
    let caller = Caller { user: &call.user, sight: &ticket.sight, cause: &call.cause };
    let held = changing.story.hold.as_ref().map(|hold| hold.amount).unwrap_or_default();
    let available = funds(tx, ticket.sight.wallet)?.available;
    tell_depleted(tx, &call.paywall, caller, (held, available))?;
    teller(ticket, &mut changing).note(EventType::PAYWALL_BALANCE_DEPLETED);
    let user = (call.user.as_str(), &ticket.sight);
    let link = topup_links::live_or_new(tx, &call.paywall, user, spare, &call.cause)?;
    let now = tx.now();
    if link.as_ref().is_some_and(|link| link.is_new_at(now)) {
        teller(ticket, &mut changing).note(EventType::PAYWALL_TOPUP_LINK_CREATED);
    }
    save(tx, ticket, &changing);
    Ok((changing, link.map(|link| link.url)))
}

/// A leased request is told of when it ends, or when it is written down before.
fn tell_beginning(tx: &mut Tx<'_>, ticket: &Ticket, changing: &mut Changing) -> Result<(), Error> {
    if !changing.told {
        teller(ticket, changing).scenes(tx, &[Scene::Started, Scene::Deferred])?;
        changing.told = true;
        save(tx, ticket, changing);
    }
    Ok(())
}

fn teller<'t>(ticket: &'t Ticket, changing: &'t mut Changing) -> Teller<'t> {
    let (paywall, payer) = (ticket.call.paywall.no, ticket.sight.payer);
    Teller { paywall, payer, cause: &ticket.call.cause, story: &mut changing.story }
}

fn save(tx: &mut Tx<'_>, ticket: &Ticket, changing: &Changing) {
    tx.save_request(noted(&ticket.call, ticket.sight.wallet, &changing.story));
}
