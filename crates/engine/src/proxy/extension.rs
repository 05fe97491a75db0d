//! What happens to a request under way: its hold grows, its stream opens, its money ends.

use std::sync::Arc;

use domain::event::proxy::Deferred;
use domain::proxy::hold::{Ceiling, Extension, Hold, Stuck};
use domain::proxy::reason::Reason;
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use store::{Tx, proxy_requests};

use super::admission::{estimate, funds, hold_ask, reserve};
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
        let growing = ticket.clone();
        let grown = self.change(ticket.call.scope, move |tx| extend(tx, &growing, &hold)).await?;
        Ok(grown.map(|(extension, changing)| {
            *ticket.changing.lock() = changing;
            hold.grown(extension)
        }))
    }

    /// The provider opened the stream: a charge will follow.
    pub async fn stream_opened(&self, ticket: &Arc<Ticket>) -> Result<(), Error> {
        let _turn = ticket.turn.lock().await;
        let opened = ticket.clone();
        let changing = self.change(ticket.call.scope, move |tx| open(tx, &opened)).await?;
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
        let Some(scope) = streams.first().map(|(ticket, _)| ticket.call.scope) else {
            return Ok(());
        };
        self.change(scope, move |tx| {
            for (ticket, counted) in &streams {
                let call = &ticket.call;
                proxy_requests::checkpoint(tx.write()?, &call.scope, call.request(), *counted)?;
            }
            Ok(())
        })
        .await
    }
}

fn extend(
    tx: &mut Tx<'_>,
    ticket: &Ticket,
    hold: &Hold,
) -> Result<Result<(Extension, Changing), Halt>, Error> {
    let Some(most) = hold.extends_to else { return Ok(Err(Halt::AT_MAXIMUM)) };
    let (call, now) = (&ticket.call, tx.now());
    let counted = counted(ticket);
    let caps = limits::ceilings(tx, counted)?;
    let ceilings: Vec<_> = caps.iter().map(|(ceiling, _)| *ceiling).collect();
    let figures = (funds(tx, ticket.sight.wallet)?, &ceilings[..]);
    let estimate = estimate(call, &ticket.target);
    let ask = hold_ask(call, &ticket.target, &estimate, figures);
    let next = ask.extend(hold.amount, hold.output_tokens, most);
    let extension = match next {
        Ok(Ok(extension)) => extension,
        Ok(Err(stuck)) => return Ok(Err(halt(stuck, &caps))),
        // The price of so long an output overflows: the model cannot mean it.
        Err(_) => return Ok(Err(Halt::AT_MAXIMUM)),
    };
    let more = extension.amount - hold.amount;
    let place = reserve(tx, call, ticket.sight.wallet, more)?;
    limits::spend(tx, counted, (more, now))?;
    let mut changing = ticket.changing.lock().clone();
    changing.holds.push(place);
    if let Some(story) = &mut changing.story.hold {
        story.amount = extension.amount;
        story.output_tokens = extension.output_tokens;
        story.hold_ids.push(place.hold_id(now));
    }
    save(tx, ticket, &changing)?;
    Ok(Ok((extension, changing)))
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
    if changing.story.deferred {
        return Ok(changing);
    }
    let currency = ticket.call.paywall.paywall.currency;
    let event = Deferred { held: ticket.hold.amount, currency };
    changing.story.deferred = true;
    let mut teller = teller(ticket, &mut changing);
    teller.tell(tx, EventType::PAYWALL_USAGE_CHARGE_DEFERRED, |data, named| {
        (event.data(data, named), named.usage_subject(None))
    })?;
    save(tx, ticket, &changing)?;
    Ok(changing)
}

fn deplete(
    tx: &mut Tx<'_>,
    ticket: &Ticket,
    spare: &SpareToken,
) -> Result<(Changing, Option<String>), Error> {
    let mut changing = ticket.changing.lock().clone();
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
    save(tx, ticket, &changing)?;
    Ok((changing, link.map(|link| link.url)))
}

fn teller<'t>(ticket: &'t Ticket, changing: &'t mut Changing) -> Teller<'t> {
    let (paywall, cause) = (ticket.call.paywall.no, &ticket.call.cause);
    Teller { paywall, cause, story: &mut changing.story }
}

fn save(tx: &mut Tx<'_>, ticket: &Ticket, changing: &Changing) -> Result<(), Error> {
    let (scope, id) = (tx.scope(), ticket.call.request());
    let state = (proxy_requests::OPEN, &*changing.story.text());
    proxy_requests::set(tx.write()?, &scope, id, state)?;
    Ok(())
}
