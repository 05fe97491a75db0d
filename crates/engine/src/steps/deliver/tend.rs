//! Work on the database between attempts: claim what is due, give back what found no room.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::place::{EnvNo, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use store::deliveries::{self, Handover};
use store::receivers;

use super::Shared;
use super::lane::LANE_MAX;
use crate::error::Error;

/// What cannot be prepared (a secret that does not open) is tried again after this long.
const POSTPONED_MS: i64 = 60_000;

/// What one round shall do.
#[derive(Default)]
pub struct Round {
    pub give_back: Vec<Handover>,
    /// Could not be prepared: due again after `POSTPONED_MS`.
    pub postponed: Vec<Handover>,
    /// Free places of lanes that have fewer than all.
    pub rooms: HashMap<ReceiverNo, usize>,
    /// Receivers with something on its way: no probe goes out beside it.
    pub busy: BTreeSet<ReceiverNo>,
    /// Environments that are drained, with the time until when.
    pub until: HashMap<EnvNo, Timestamp>,
    /// How often each spilled lane had given something back when the round began.
    pub epochs: HashMap<ReceiverNo, u64>,
}

/// What one round found.
#[derive(Default)]
pub struct Tended {
    pub epochs: HashMap<ReceiverNo, u64>,
    pub drained: BTreeSet<EnvNo>,
    /// Claimed, by environment.
    pub claimed: HashMap<EnvNo, usize>,
    /// Receivers with more than they had room for.
    pub full: BTreeSet<ReceiverNo>,
    pub error: Option<Error>,
    /// Not given back because of the error.
    pub kept: (Vec<Handover>, Vec<Handover>),
}

pub async fn tend(shared: Arc<Shared>, round: Round) -> Tended {
    let mut tended = Tended {
        epochs: round.epochs.clone(),
        drained: round.until.keys().copied().collect(),
        ..Tended::default()
    };
    if let Err(error) = work(&shared, &round, &mut tended).await {
        tended.error = Some(error);
        tended.kept = (round.give_back, round.postponed);
    }
    tended
}

async fn work(shared: &Arc<Shared>, round: &Round, tended: &mut Tended) -> Result<(), Error> {
    let due = shared.engine.read(|read| Ok(deliveries::due(read)?)).await?;
    postpone(shared, &round.postponed).await?;
    let mut plan: BTreeMap<EnvNo, Plan> = BTreeMap::new();
    for due in due {
        let scope = shared.memory.scope(&shared.engine, due.env)?;
        if due.at > until(shared, round, &scope) {
            continue;
        }
        let plan = plan.entry(due.env).or_default();
        if !due.is_probe {
            let room = round.rooms.get(&due.receiver).copied().unwrap_or(LANE_MAX);
            plan.rooms.insert(due.receiver, room);
        } else if !round.busy.contains(&due.receiver) {
            plan.probes.push(due.receiver);
        }
    }
    for handover in &round.give_back {
        plan.entry(handover.place.env()).or_default().back.push(*handover);
    }
    for (env, plan) in plan {
        let scope = shared.memory.scope(&shared.engine, env)?;
        let until = until(shared, round, &scope);
        let (claimed, full) = claim(shared, scope, plan, until).await?;
        tended.claimed.insert(env, claimed);
        tended.full.extend(full);
    }
    Ok(())
}

async fn postpone(shared: &Shared, postponed: &[Handover]) -> Result<(), Error> {
    for &handover in postponed {
        let scope = shared.memory.scope(&shared.engine, handover.place.env())?;
        let work = move |tx: &mut store::Tx<'_>| {
            tx.is_routine();
            let later = tx.now().plus_ms(POSTPONED_MS);
            Ok(deliveries::give_back(tx.write()?, &scope, &[handover], Some(later))?)
        };
        shared.engine.change_aside(scope, work).await?;
    }
    Ok(())
}

fn until(shared: &Shared, round: &Round, scope: &Scope) -> Timestamp {
    round.until.get(&scope.env).copied().unwrap_or_else(|| shared.engine.now(scope))
}

/// What one round does in one environment.
#[derive(Clone, Default)]
struct Plan {
    /// Free places of receivers with due deliveries.
    rooms: BTreeMap<ReceiverNo, usize>,
    /// Receivers with an open circuit whose next probe is due.
    probes: Vec<ReceiverNo>,
    back: Vec<Handover>,
}

/// What is claimed comes back through the hand-over, as everything that is leased does.
async fn claim(
    shared: &Shared,
    scope: Scope,
    plan: Plan,
    until: Timestamp,
) -> Result<(usize, Vec<ReceiverNo>), Error> {
    let work = move |tx: &mut store::Tx<'_>| {
        tx.is_routine();
        deliveries::give_back(tx.write()?, &scope, &plan.back, None)?;
        let (mut claimed, mut full) = (0, Vec::new());
        for (&receiver, &room) in &plan.rooms {
            let found = deliveries::claim(tx.write()?, &scope, (receiver, room), until)?;
            if found.len() >= room {
                full.push(receiver);
            }
            claimed += found.len();
            for handover in found {
                tx.hand_over(handover);
            }
        }
        for &receiver in &plan.probes {
            claimed += probe(tx, receiver)?;
        }
        Ok((claimed, full))
    };
    shared.engine.change_aside(scope, work).await
}

/// Sends a probe. The circuit waits for the next one, whatever becomes of this one.
fn probe(tx: &mut store::Tx<'_>, receiver: ReceiverNo) -> Result<usize, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let Some(stored) = receivers::find(tx.read()?, &scope, receiver)? else { return Ok(0) };
    if stored.health.circuit.until().is_none_or(|until| until > now) {
        return Ok(0);
    }
    let Some(handover) = deliveries::claim_probe(tx.write()?, &scope, receiver)? else {
        return Ok(0);
    };
    receivers::set_circuit(tx.write()?, &scope, receiver, stored.health.circuit.probed(now))?;
    tx.hand_over(handover);
    Ok(1)
}
