//! Trial credit: given once to each wallet user of a paywall, at first sight (paywalls 13).

use domain::amount::Amount;
use domain::ledger::Refusal;
use domain::ledger::credit::{self, Credit};
use domain::ledger::entry::Details;
use domain::paywall::Trial;
use domain::scope::Cause;
use domain::time::DAY_MS;
use store::Tx;
use store::paywalls::Stored as StoredPaywall;

use crate::deposits::Origin;
use crate::error::Error;
use crate::run::Engine;

impl Engine {
    /// What a paywall, found under its scope, has given away so far.
    pub fn trials_granted(&self, paywall: i64) -> Result<Amount, Error> {
        self.read_now(|read| Ok(store::trials::total(read, paywall)?))
    }
}

/// Gives the trial to a user who was just made, if the paywall gives one and has some left.
pub(crate) fn grant(
    tx: &mut Tx<'_>,
    paywall: &StoredPaywall,
    (customer, wallet): (i64, i64),
    cause: &Cause,
) -> Result<(), Error> {
    let trial = &paywall.paywall.trial;
    if !trial.amount.is_positive() {
        return Ok(());
    }
    let granted = store::trials::total(tx.read()?, paywall.no)?;
    let (Some(credits), now) = (trial.next_grant(granted), tx.now()) else { return Ok(()) };
    if !store::trials::insert(tx.write()?, (paywall.no, customer), credits, now)? {
        return Ok(());
    }
    let lot = lot(trial, now);
    let posted = tx.account(wallet, |account, log| {
        credit::grant_trial(account, log, cause, lot)?;
        Ok::<_, Refusal>(())
    });
    Ok(posted?.ok_or_else(|| Error::not_found("wallet"))??)
}

fn lot(trial: &Trial, now: domain::time::Timestamp) -> Credit {
    let reason = Origin::Trial.reason();
    let days = trial.expires_in_days.map(u64::cast_signed);
    Credit {
        credits: trial.amount,
        amount: trial.amount,
        reason,
        activity: Origin::Trial.activity(),
        from: reason.origin_account(),
        priority: Some(Origin::Trial.priority()),
        expires_at: days.map(|days| now.plus_ms(days.saturating_mul(DAY_MS))),
        details: Details { source: Some("trial".to_owned()), ..Details::default() },
        key: None,
    }
}
