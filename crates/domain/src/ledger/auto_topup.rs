//! Automatic top-up with collection `external` (billing 4.14): the operation after the one that
//! brought the wallet to its threshold.

use super::account::Account;
use super::credit::{self, Credit};
use super::entry::{Activity, Details, LedgerAccount, Reason};
use super::log::Log;
use crate::amount::{Amount, Rounding};
use crate::event::wallet::render_topup_suspended;
use crate::scope::Cause;
use crate::time::{DAY_MS, Timestamp};
use crate::wallet::{AutoTopup, WalletStatus};
use crate::webhook::catalogue::EventType;

/// Tops the wallet up until it is above its threshold, or a guard stops it.
pub fn run(account: &mut Account, log: &mut Log<'_>) {
    while let Some(plan) = due(account) {
        match guard(account, &plan, log.now) {
            Guard::Go => {}
            Guard::CoolDown => return,
            Guard::DailyCap => {
                tell_suspended(account, log);
                return;
            }
        }
        if !attempt(account, log, &plan) {
            return;
        }
    }
}

/// The plan, when it is on and the wallet is at or below its threshold.
fn due(account: &Account) -> Option<AutoTopup> {
    let plan = account.wallet.auto_topup.as_ref().filter(|plan| plan.enabled)?;
    let active = account.wallet.status == WalletStatus::Active && !account.is_stopped();
    (active && account.credits <= plan.threshold).then(|| plan.clone())
}

enum Guard {
    Go,
    CoolDown,
    DailyCap,
}

fn guard(account: &mut Account, plan: &AutoTopup, now: Timestamp) -> Guard {
    account.topups.attempts.retain(|(at, _)| now.millis() - at.millis() < DAY_MS);
    let attempts = &account.topups.attempts;
    if let (Some(cooldown), Some((last, _))) = (plan.cooldown, attempts.last())
        && now < last.plus_ms(cooldown.millis())
    {
        return Guard::CoolDown;
    }
    let spent: Amount = attempts.iter().map(|(_, credits)| *credits).sum();
    let over = plan.max_amount_per_day.is_some_and(|most| spent + plan.amount > most);
    if over || attempts.len() >= plan.max_per_day as usize { Guard::DailyCap } else { Guard::Go }
}

fn attempt(account: &mut Account, log: &mut Log<'_>, plan: &AutoTopup) -> bool {
    let mut details = Details::default();
    details.metadata.insert("auto_topup".to_owned(), "true".to_owned());
    details.source = Some("billing.auto_topup".to_owned());
    let price = plan.amount.times(account.wallet.topup_conversion_rate, Rounding::HalfAwayFromZero);
    let credit = Credit {
        credits: plan.amount,
        amount: price,
        reason: Reason::PurchasedCreditDirect,
        activity: Activity::Topup,
        from: LedgerAccount::Funding,
        priority: None,
        expires_at: None,
        details,
        key: None,
    };
    account.topups.attempts.push((log.now, plan.amount));
    credit::add(account, log, &Cause::schedule(), credit, None).is_ok()
}

fn tell_suspended(account: &mut Account, log: &mut Log<'_>) {
    let told = account.topups.suspended_told_at;
    if told.is_some_and(|told| log.now.millis() - told.millis() < DAY_MS) {
        return;
    }
    account.topups.suspended_told_at = Some(log.now);
    log.tell_wallet(
        account,
        EventType::WALLET_AUTO_TOPUP_SUSPENDED,
        &Cause::schedule(),
        |telling, account| render_topup_suspended(telling, account, "daily_cap"),
    );
}
