//! Taking money: charges of a paywall, debits of the billing API. Whole or not at all.

use super::account::Account;
use super::alerts;
use super::entry::{Activity, Announce, Details, KeyUse, Kind, LedgerAccount, Reason, Status};
use super::log::{Draft, Log};
use super::refusal::Refusal;
use crate::amount::Amount;
use crate::place::Place;
use crate::scope::Cause;

/// A charge of a paywall's user.
#[derive(Clone, Debug, Default)]
pub struct Charge {
    pub credits: Amount,
    /// The operator's part inside `credits`.
    pub fee: Amount,
    pub details: Details,
    pub key: Option<KeyUse>,
}

/// A debit by the billing API.
#[derive(Clone, Debug)]
pub struct Debit {
    pub credits: Amount,
    pub details: Details,
    pub key: Option<KeyUse>,
}

/// Charges the wallet; `available` never passes the floor (paywalls 4.5).
pub fn charge(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    ask: Charge,
) -> Result<Place, Refusal> {
    account.must_spend()?;
    must_cover(account, ask.credits)?;
    let paywall = account.wallet.paywall.is_some();
    let announce = if paywall { Announce::Charge } else { Announce::Transaction };
    Ok(post_charge(account, log, cause, (ask, announce)))
}

/// Takes what was found to be there.
pub(super) fn post_charge(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    (ask, announce): (Charge, Announce),
) -> Place {
    let begun = log.begin();
    let taken = account.draw(ask.credits);
    let draft = Draft {
        kind: Kind::Debit,
        reason: Some(Reason::ManualBalanceDebit),
        activity: Activity::Charge,
        status: Status::Completed,
        announce,
        from: LedgerAccount::Available,
        to: LedgerAccount::Revenue,
        credits: ask.credits,
        amount: account.worth(ask.credits),
        fee: ask.fee,
        taken,
        details: ask.details,
        key: ask.key,
    };
    let place = log.post(account, draft, cause, log.now);
    alerts::finish(account, log, begun, cause);
    place
}

/// Debits the wallet. A billing wallet may go below zero, a paywall's stops at its floor
/// (billing 4.5).
pub fn debit(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    ask: Debit,
) -> Result<Place, Refusal> {
    account.must_spend()?;
    account.must_stay_in_range(-ask.credits)?;
    if account.wallet.paywall.is_some() {
        must_cover(account, ask.credits)?;
    }
    let begun = log.begin();
    let taken = account.draw(ask.credits);
    let announce = adjustment_or_transaction(account);
    let draft = Draft {
        kind: Kind::Debit,
        reason: Some(Reason::ManualBalanceDebit),
        activity: Activity::Adjustment,
        status: Status::Completed,
        announce,
        from: LedgerAccount::Available,
        to: LedgerAccount::Adjustment,
        credits: ask.credits,
        amount: account.worth(ask.credits),
        fee: Amount::ZERO,
        taken,
        details: ask.details,
        key: ask.key,
    };
    let place = log.post(account, draft, cause, log.now);
    alerts::finish(account, log, begun, cause);
    Ok(place)
}

/// Records a charge that was refused for money: a failed row without any transfer.
pub fn record_failed_charge(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    ask: Charge,
) -> Place {
    let begun = log.begin();
    let mut details = ask.details;
    details.error_code = Some("insufficient_funds".to_owned());
    let draft = Draft {
        kind: Kind::Debit,
        reason: Some(Reason::ManualBalanceDebit),
        activity: Activity::Charge,
        status: Status::Failed,
        announce: Announce::ChargeFailed,
        from: LedgerAccount::Available,
        to: LedgerAccount::Revenue,
        credits: ask.credits,
        amount: account.worth(ask.credits),
        fee: ask.fee,
        taken: Vec::new(),
        details,
        key: None,
    };
    let place = log.post(account, draft, cause, log.now);
    log.seal(account, begun);
    place
}

pub(super) fn must_cover(account: &Account, credits: Amount) -> Result<(), Refusal> {
    let available = account.available();
    if credits > available {
        return Err(Refusal::InsufficientBalance { required: credits, available });
    }
    Ok(())
}

/// Movements that are no charge and no deposit: a paywall tells them as adjustments.
pub(super) fn adjustment_or_transaction(account: &Account) -> Announce {
    if account.wallet.paywall.is_some() { Announce::Adjustment } else { Announce::Transaction }
}
