//! Closing a wallet: what is left leaves it, or moves lot by lot to another wallet.

use std::sync::Arc;

use super::account::Account;
use super::credit::{self, Credit};
use super::entry::{Activity, Details, Kind, LedgerAccount, Reason, Status};
use super::log::{Draft, Log};
use super::refusal::Refusal;
use super::{alerts, spend};
use crate::amount::Amount;
use crate::scope::Cause;
use crate::wallet::{Wallet, WalletStatus};

/// Takes everything and closes the wallet. A debt is closed by a credit row. The caller stores the
/// new version of the wallet and tells `wallet.terminated`.
pub fn terminate(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
) -> Result<Wallet, Refusal> {
    must_close(account)?;
    let begun = log.begin();
    let credits = account.credits;
    if credits.is_positive() {
        let taken = account.draw(credits);
        post_closing(account, log, cause, (Kind::Debit, credits), taken);
    } else if credits.is_negative() {
        post_closing(account, log, cause, (Kind::Credit, -credits), Vec::new());
    }
    log.seal(account, begun);
    Ok(closed(account, log))
}

/// Moves every lot to `target` as it is: reason, expiry, priority and rest are kept.
pub fn convert(
    account: &mut Account,
    target: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
) -> Result<Wallet, Refusal> {
    must_close(account)?;
    let lots = account.lots.clone();
    for lot in &lots {
        let begun = log.begin();
        let taken = account.draw(lot.remaining);
        let parent = post_closing(account, log, cause, (Kind::Debit, lot.remaining), taken);
        log.seal(account, begun);
        let begun = log.begin();
        let moved = Credit {
            credits: lot.remaining,
            amount: target.worth(lot.remaining),
            reason: lot.reason,
            activity: Activity::Topup,
            from: LedgerAccount::Breakage,
            priority: lot.priority,
            expires_at: lot.expires_at,
            details: Details { parent: Some(parent), ..Details::default() },
            key: None,
        };
        credit::post(target, log, cause, moved);
        alerts::finish(target, log, begun, cause);
    }
    if account.credits.is_negative() {
        let begun = log.begin();
        post_closing(account, log, cause, (Kind::Credit, -account.credits), Vec::new());
        log.seal(account, begun);
    }
    Ok(closed(account, log))
}

fn must_close(account: &Account) -> Result<(), Refusal> {
    account.must_move()?;
    if account.holds.is_empty() { Ok(()) } else { Err(Refusal::HoldsOpen(account.holds.len())) }
}

fn post_closing(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    (kind, credits): (Kind, Amount),
    taken: Vec<super::entry::Taken>,
) -> crate::id::TransactionId {
    let (from, to) = match kind {
        Kind::Credit => (LedgerAccount::Breakage, LedgerAccount::Available),
        _ => (LedgerAccount::Available, LedgerAccount::Breakage),
    };
    let draft = Draft {
        kind,
        reason: Some(Reason::WalletTermination),
        activity: Activity::Adjustment,
        status: Status::Completed,
        announce: spend::adjustment_or_transaction(account),
        from,
        to,
        credits,
        amount: account.worth(credits),
        fee: Amount::ZERO,
        taken,
        details: Details::default(),
        key: None,
    };
    log.post(account, draft, cause, log.now).transaction_id(log.now)
}

fn closed(account: &mut Account, log: &mut Log<'_>) -> Wallet {
    alerts::silence(account, log, "wallet_closed");
    let mut wallet = Wallet::clone(&account.wallet);
    wallet.status = WalletStatus::Closed;
    wallet.updated_at = log.now;
    account.wallet = Arc::new(wallet.clone());
    wallet
}
