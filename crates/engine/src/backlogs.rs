//! Deliveries follow the state of their receiver: parked, back again, given up. A backlog may have
//! millions, so what is more than a piece goes on in transactions of its own; the receiver's row
//! says what is left. New deliveries come behind those that are on their way back.

use domain::place::{Place, ReceiverNo};
use domain::scope::Scope;
use domain::webhook::receiver::{Ordering, ReceiverKind, State};
use store::Tx;
use store::deliveries::pieces;
use store::receivers::{self, Moving, Stored};

use crate::error::Error;
use crate::run::Engine;

/// Deliveries that one transaction moves: some 20 ms in which nobody else writes.
const PIECE: usize = 1_000;

/// What the receiver's state asks of its deliveries.
pub(crate) fn asked_by(receiver: &Stored) -> Option<Moving> {
    match (receiver.state, receiver.kind) {
        (State::Enabled, ReceiverKind::Endpoint) => Some(Moving::Return),
        // A subscription keeps what was parked: only a replay sends it.
        (State::Enabled, ReceiverKind::Subscription) => None,
        (State::Paused | State::Disabled, _) => Some(Moving::Park),
        (State::Deleted, _) => Some(Moving::Discard { upto: Place::from_raw(i64::MAX) }),
    }
}

/// What could not be sent so far is given up.
pub(crate) fn giving_up(tx: &mut Tx<'_>, receiver: &Stored) -> Result<Option<Moving>, Error> {
    let scope = tx.scope();
    let last = pieces::last_place(tx.read()?, &scope, receiver.no)?;
    Ok(last.map(|upto| Moving::Discard { upto }))
}

/// Moves the first piece and notes in `receiver` what is left; the caller writes its row. Returns
/// how many deliveries are concerned.
pub(crate) fn start(
    tx: &mut Tx<'_>,
    receiver: &mut Stored,
    moving: Option<Moving>,
) -> Result<usize, Error> {
    if let Some(given_up @ Moving::Discard { .. }) = receiver.moving.take() {
        // It would not be known any more from what is parked now.
        while piece(tx, receiver, given_up)? == PIECE {}
    }
    let Some(moving) = moving else { return Ok(0) };
    let moved = piece(tx, receiver, moving)?;
    if moved < PIECE {
        return Ok(moved);
    }
    receiver.moving = Some(moving);
    let scope = tx.scope();
    Ok(moved + pieces::count_open(tx.read()?, &scope, receiver.no)?)
}

fn piece(tx: &mut Tx<'_>, receiver: &Stored, moving: Moving) -> Result<usize, Error> {
    let (scope, now, no) = (tx.scope(), tx.now(), receiver.no);
    let limit = i64::try_from(PIECE).unwrap_or(i64::MAX);
    let ordered = receiver.config.ordering == Ordering::Subject;
    Ok(match moving {
        Moving::Park => pieces::park(tx.write()?, &scope, no, limit)?,
        Moving::Return => pieces::unpark(tx.write()?, &scope, (no, ordered), (now, limit))?,
        Moving::Discard { upto } => pieces::discard(tx.write()?, &scope, (no, upto), limit)?,
    })
}

/// One more piece, unless another node was faster. Returns whether it came further.
fn go_on(tx: &mut Tx<'_>, no: ReceiverNo) -> Result<bool, Error> {
    let scope = tx.scope();
    let Some(mut receiver) = receivers::find(tx.read()?, &scope, no)? else { return Ok(false) };
    let Some(moving) = receiver.moving else { return Ok(false) };
    if piece(tx, &receiver, moving)? < PIECE {
        receiver.moving = None;
        receivers::set(tx.write()?, &scope, &receiver)?;
        tx.receivers_changed()?;
    }
    Ok(true)
}

impl Engine {
    /// One more piece of every backlog. Returns how many came further.
    pub async fn move_backlogs(&self) -> Result<usize, Error> {
        let left = self.read_now(|read| Ok(receivers::moving(read)?))?;
        if left.is_empty() {
            return Ok(0);
        }
        let (scopes, mut moved) = (self.scopes()?, 0);
        for (env, no) in left {
            if let Some(scope) = scopes.iter().find(|scope| scope.env == env) {
                moved += usize::from(self.change_aside(*scope, move |tx| go_on(tx, no)).await?);
            }
        }
        Ok(moved)
    }

    /// Moves what is left of the environment's backlogs, before its test clock goes on.
    pub(crate) async fn end_backlogs(&self, scope: Scope) -> Result<(), Error> {
        let of = |(env, no)| (env == scope.env).then_some(no);
        loop {
            let left = self.read_now(|read| Ok(receivers::moving(read)?))?;
            let Some(no) = left.into_iter().find_map(of) else { return Ok(()) };
            self.change(scope, move |tx| go_on(tx, no)).await?;
        }
    }
}
