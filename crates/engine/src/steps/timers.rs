//! What falls due by itself: lots that expire, holds that reach their deadline, notices of expiry,
//! kept answers that end, receivers that fail for too long.
//!
//! A row is due by the environment's clock. Acting on it is a command like any other, so a step
//! that runs twice, or at the same time as a charge, changes nothing twice.

use domain::ledger::expiry;
use domain::place::{Place, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use store::Tx;
use store::timers::{self, Timer};

use crate::error::Error;
use crate::run::Engine;

/// Rows of one look.
const PAGE_MAX: u32 = 256;

impl Engine {
    /// Runs the rows of one environment that are due now, earliest first. Returns how many ran.
    pub async fn run_timers(&self, scope: Scope) -> Result<usize, Error> {
        let mut ran = 0;
        loop {
            let now = self.now(&scope);
            let due = self.read_now(|read| Ok(timers::due(read, scope.env, now, PAGE_MAX)?))?;
            if due.is_empty() {
                return Ok(ran);
            }
            ran += due.len();
            let (replies, due) = due.into_iter().partition::<Vec<_>, _>(is_reply);
            if !replies.is_empty() {
                self.change(scope, move |tx| empty_replies(tx, &replies)).await?;
            }
            for timer in due {
                self.change(scope, move |tx| run(tx, &timer)).await?;
            }
        }
    }

    /// When the environment's next row falls due, by its own clock.
    pub fn next_timer(&self, scope: &Scope) -> Result<Option<Timestamp>, Error> {
        self.read_now(|read| Ok(timers::next(read, scope.env)?))
    }
}

/// Acts on one row. The row of a wallet is moved by its account, or removed here when nothing on
/// the account is due any more; every other row is removed.
fn run(tx: &mut Tx<'_>, timer: &Timer) -> Result<(), Error> {
    match timer.kind.as_str() {
        timers::WALLET => drop(tx.account(timer.reference, |_, _| ())?),
        timers::NOTICE => notice(tx, Place::from_raw(timer.reference))?,
        timers::RECEIVER => {
            let no = u32::try_from(timer.reference).unwrap_or_default();
            crate::receiver_health::look(tx, ReceiverNo(no))?;
        }
        other => tracing::warn!(kind = other, "a timer of an unknown kind was dropped"),
    }
    let scope = tx.scope();
    timers::disarm(tx.write()?, scope.env, timer)?;
    Ok(())
}

fn is_reply(timer: &Timer) -> bool {
    timer.kind == timers::REPLY
}

/// Many at a time: there may be one for each request of a week ago.
fn empty_replies(tx: &mut Tx<'_>, due: &[Timer]) -> Result<(), Error> {
    let scope = tx.scope();
    for timer in due {
        store::replies::empty(tx.write()?, &scope, timer.reference)?;
        timers::disarm(tx.write()?, scope.env, timer)?;
    }
    Ok(())
}

/// Tells that the lot of this place will expire, unless it is used up.
fn notice(tx: &mut Tx<'_>, lot: Place) -> Result<(), Error> {
    let Some(entry) = tx.entry(lot)? else { return Ok(()) };
    tx.account(entry.wallet_no, |account, log| expiry::tell_expiring(account, log, lot))?;
    Ok(())
}
