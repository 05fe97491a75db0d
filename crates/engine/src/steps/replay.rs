//! The walk of replays: each round opens what there is room for, in order, and ends what is done.
//!
//! A replay has no memory but its row. A round reads first and then opens in one transaction, which
//! does nothing if another node came further meanwhile; so any node may take any round.

use domain::scope::{Cause, Scope};
use domain::webhook::receiver::State;
use domain::webhook::replay::ReplayState;
use store::Tx;
use store::deliveries::Head;
use store::replays::{self, Replay, Scan};

use crate::error::Error;
use crate::replays::{counted, end};
use crate::run::Engine;

/// Deliveries that one transaction opens.
const ROUND_MAX: u64 = 64;
/// Positions that one round looks at.
const POSITIONS_MAX: u64 = 5_000;

impl Engine {
    /// One round of every running replay. Returns how many came further.
    pub async fn run_replays(&self) -> Result<usize, Error> {
        let running = self.read_now(|read| Ok(replays::running(read)?))?;
        if running.is_empty() {
            return Ok(0);
        }
        let (scopes, mut moved) = (self.scopes()?, 0);
        for (env, no) in running {
            if let Some(scope) = scopes.iter().find(|scope| scope.env == env) {
                moved += usize::from(self.run_replay(*scope, no).await?);
            }
        }
        Ok(moved)
    }

    async fn run_replay(&self, scope: Scope, no: i64) -> Result<bool, Error> {
        let real = self.real_now();
        let look = self.read(move |read| {
            let Some(replay) = replays::find(read, &scope, no)? else { return Ok(None) };
            if replay.state != ReplayState::Running {
                return Ok(None);
            }
            if replay.counted < replay.head {
                let further = counted(read, &scope, replay.clone())?;
                return Ok(Some((replay, Round::Count(further))));
            }
            let receiver = store::receivers::find(read, &scope, replay.receiver)?;
            let takes = receiver.is_some_and(|receiver| receiver.state == State::Enabled);
            let unsent = replays::unsent(read, &replay)?;
            if replay.walked >= replay.head {
                return Ok((unsent == 0).then_some((replay, Round::End)));
            }
            let (room, next_at) = replay.selection.room(unsent, replay.next_at, real);
            let room = room.min(ROUND_MAX);
            if !takes || room == 0 {
                return Ok(None);
            }
            let further = (replay.walked, POSITIONS_MAX, room);
            let scan = replays::scan(read, &scope, &replay, further)?;
            Ok(Some((Replay { next_at, ..replay }, Round::Open(scan))))
        });
        let Some((seen, round)) = look.await? else { return Ok(false) };
        let work = move |tx: &mut Tx<'_>| take(tx, &seen, &round);
        self.change_aside(scope, work).await
    }
}

/// What one round does.
enum Round {
    /// The row as it is with more counted.
    Count(Replay),
    Open(Scan),
    End,
}

/// Writes a round, unless the replay is another by now.
fn take(tx: &mut Tx<'_>, seen: &Replay, round: &Round) -> Result<bool, Error> {
    let scope = tx.scope();
    let Some(now) = replays::find(tx.read()?, &scope, seen.no)? else { return Ok(false) };
    let same = (now.walked, now.counted) == (seen.walked, seen.counted);
    if now.state != ReplayState::Running || !same {
        return Ok(false);
    }
    match round {
        Round::Count(further) => {
            let (counted, matched) = (further.counted, further.matched);
            replays::set(tx.write()?, &scope, &Replay { counted, matched, ..now })?;
        }
        Round::Open(scan) => open(tx, Replay { next_at: seen.next_at, ..now }, scan)?,
        Round::End => {
            let Some(receiver) = store::receivers::find(tx.read()?, &scope, now.receiver)? else {
                return Ok(false);
            };
            end(tx, &Cause::schedule(), (&receiver, now), ReplayState::Done)?;
        }
    }
    Ok(true)
}

fn open(tx: &mut Tx<'_>, mut replay: Replay, scan: &Scan) -> Result<(), Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let heads: &[Head] = &scan.open;
    let (handovers, late) = replays::open(tx.write()?, &scope, (&replay, heads), now)?;
    for handover in handovers {
        tx.hand_over(handover);
    }
    replay.walked = scan.upto;
    replay.skipped += scan.skipped + late;
    replay.updated_at = now;
    Ok(replays::set(tx.write()?, &scope, &replay)?)
}
