//! What becomes of a receiver by how its attempts go (webhooks 11): circuit, failing, switched off.
//! The rules are the domain's; this writes what they decide, with what follows from it.

use domain::place::ReceiverNo;
use domain::scope::Cause;
use domain::webhook::catalogue::EventType;
use domain::webhook::health::{Change, Seen};
use domain::webhook::receiver::{State, StateReason};
use domain::webhook::schedule::Outcome;
use serde_json::json;
use store::receivers::{self, Stored};
use store::{Tx, receiver_standing, timers};

use crate::error::Error;
use crate::{operational, receivers as commands};

/// Writes what attempts, in their order, say about their receiver. Returns whether its circuit
/// closed.
pub(crate) fn note(tx: &mut Tx<'_>, mut after: Stored, all: &[Seen]) -> Result<bool, Error> {
    let scope = tx.scope();
    let changes: Vec<Change> = all.iter().map(|seen| after.health.note(seen)).collect();
    receivers::set_health(tx.write()?, &scope, after.no, &after.health)?;
    for change in &changes {
        follow(tx, &after, change)?;
    }
    if all.iter().any(|seen| seen.outcome == Outcome::Gone) {
        commands::switch_off(tx, &after, StateReason::Gone)?;
    } else if after.health.is_hopeless(tx.now()) {
        commands::switch_off(tx, &after, StateReason::Auto)?;
    }
    let turned = changes.iter().any(|change| change.circuit.is_some());
    Ok(turned && !after.health.circuit.is_open())
}

/// What follows from a change beside the receiver's row.
fn follow(tx: &mut Tx<'_>, after: &Stored, change: &Change) -> Result<(), Error> {
    let scope = tx.scope();
    if change.row_ended {
        timers::unwatch(tx.write()?, &scope, after.no)?;
    }
    for due in &change.timers {
        timers::watch(tx.write()?, &scope, after.no, *due)?;
    }
    if let Some(circuit) = change.circuit {
        let open = circuit.is_open();
        tracing::info!(receiver = after.no.0, open, "the circuit of a receiver turned");
        tx.receivers_changed()?;
    }
    if let Some(since) = change.recovered {
        tracing::info!(receiver = after.no.0, "a receiver recovered");
        let (kind, keys) =
            (EventType::WEBHOOK_ENDPOINT_RECOVERED, json!({ "failing_since": since }));
        operational::tell(tx, &Cause::schedule(), kind, (after, keys))?;
    }
    Ok(())
}

/// A timer of a receiver is due: it may be failing by now, or for too long.
pub(crate) fn look(tx: &mut Tx<'_>, no: ReceiverNo) -> Result<(), Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let Some(mut receiver) = receivers::find(tx.read()?, &scope, no)? else { return Ok(()) };
    if receiver.state != State::Enabled {
        return Ok(());
    }
    if receiver.health.is_newly_failing(now) {
        receiver.health.failing_since = Some(now);
        receivers::set_health(tx.write()?, &scope, no, &receiver.health)?;
        tell_failing(tx, &receiver)?;
    }
    if receiver.health.is_hopeless(now) {
        commands::switch_off(tx, &receiver, StateReason::Auto)?;
    }
    Ok(())
}

fn tell_failing(tx: &mut Tx<'_>, receiver: &Stored) -> Result<(), Error> {
    let scope = tx.scope();
    tracing::info!(receiver = receiver.no.0, "a receiver is failing");
    let keys = json!({
        "first_failure_at": receiver.health.troubled_since,
        "last_result": receiver.health.last_result,
        "pending": receiver_standing::pending(tx.read()?, &scope, receiver.no)?,
    });
    let kind = EventType::WEBHOOK_ENDPOINT_FAILING;
    operational::tell(tx, &Cause::schedule(), kind, (receiver, keys))
}

/// Ends a row of failures that says nothing any more: the receiver moved, or is switched on again.
pub(crate) fn forgive(tx: &mut Tx<'_>, receiver: &mut Stored) -> Result<(), Error> {
    if receiver.health.failures_in_a_row == 0 && receiver.health.troubled_since.is_none() {
        return Ok(());
    }
    let scope = tx.scope();
    receiver.health.forgive();
    receivers::set_health(tx.write()?, &scope, receiver.no, &receiver.health)?;
    timers::unwatch(tx.write()?, &scope, receiver.no)?;
    tx.receivers_changed()?;
    Ok(())
}
