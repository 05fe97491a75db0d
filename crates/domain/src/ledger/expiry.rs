//! Expiry: at its instant the unheld rest of a lot leaves the wallet (billing 4.10).
//!
//! Each expiry is an operation of its own, dated at its instant, and posted before anything else
//! happens to the wallet: an expired credit is never spendable and never counted.

use std::collections::BTreeMap;

use super::account::Account;
use super::entry::{Activity, Details, Kind, LedgerAccount, Reason, Status, Taken};
use super::log::{Draft, Log};
use super::{alerts, spend};
use crate::amount::Amount;
use crate::event::wallet::render_credits_notice;
use crate::place::Place;
use crate::scope::Cause;
use crate::time::Timestamp;
use crate::webhook::catalogue::EventType;

/// The next instant at which something of this wallet falls due by itself. On a stopped wallet
/// nothing does; what came due meanwhile is posted when it moves again.
pub fn next_due(account: &Account) -> Option<Timestamp> {
    if account.is_stopped() {
        return None;
    }
    let lots = account.lots.iter().filter(|lot| lot.free().is_positive());
    let holds = account.holds.iter().map(|hold| hold.deadline);
    lots.filter_map(|lot| lot.expires_at).chain(holds).min()
}

/// Posts what is due on the wallet: deadlines of holds, then expiries, oldest first.
pub fn post_due(account: &mut Account, log: &mut Log<'_>) {
    if account.is_stopped() {
        return;
    }
    super::hold::release_due(account, log);
    loop {
        let due = account
            .lots
            .iter()
            .filter(|lot| lot.is_expired(log.now) && lot.free().is_positive())
            .min_by_key(|lot| (lot.expires_at, lot.place));
        let Some(place) = due.map(|lot| lot.place) else { return };
        expire(account, log, place);
    }
}

fn expire(account: &mut Account, log: &mut Log<'_>, place: Place) {
    let Some(lot) = account.lot_mut(place) else { return };
    let credits = lot.free();
    let expires_at = lot.expires_at.unwrap_or_default();
    let created_at = lot.created_at;
    lot.remaining -= credits;
    account.changes.lots.push(place);
    account.sweep();
    let begun = log.begin();
    let cause = Cause::schedule();
    let source = place.transaction_id(created_at);
    let draft = Draft {
        kind: Kind::Debit,
        reason: Some(Reason::CreditExpired),
        activity: Activity::Adjustment,
        status: Status::Completed,
        announce: spend::adjustment_or_transaction(account),
        from: LedgerAccount::Available,
        to: LedgerAccount::Breakage,
        credits,
        amount: account.worth(credits),
        fee: Amount::ZERO,
        taken: vec![Taken { lot: place, lot_at: created_at, credits }],
        details: Details {
            metadata: BTreeMap::from([
                ("expired_transaction_id".to_owned(), source.to_string()),
                ("expiry_date".to_owned(), expires_at.to_string()),
            ]),
            parent: Some(source),
            ..Details::default()
        },
        key: None,
    };
    log.post(account, draft, &cause, expires_at);
    log.tell_wallet(account, EventType::WALLET_CREDITS_EXPIRED, &cause, |telling, account| {
        render_credits_notice(telling, account, source, credits, expires_at)
    });
    alerts::finish(account, log, begun, &cause);
}

/// Tells that credits will expire; the store makes sure of once per lot and lead time.
pub fn tell_expiring(account: &mut Account, log: &mut Log<'_>, place: Place) {
    let Some(lot) = account.lots.iter().find(|lot| lot.place == place) else { return };
    let (credits, expires_at) = (lot.remaining, lot.expires_at.unwrap_or_default());
    let source = place.transaction_id(lot.created_at);
    let cause = Cause::schedule();
    log.tell_wallet(account, EventType::WALLET_CREDITS_EXPIRING, &cause, |telling, account| {
        render_credits_notice(telling, account, source, credits, expires_at)
    });
}
