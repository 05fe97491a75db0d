//! Changes of a wallet's settings: `PUT /wallets/:id`, freeze and unfreeze (billing 4.9, 5.4).

use std::sync::Arc;

use domain::event::wallet::render_life;
use domain::id::WalletId;
use domain::ledger::alerts;
use domain::scope::Cause;
use domain::wallet::patch::{MissingField, WalletPatch};
use domain::wallet::{Wallet, WalletStatus};
use domain::webhook::catalogue::EventType;
use serde_json::{Map, Value};
use store::Tx;

use super::shown::{Shown, in_command};
use crate::audit;
use crate::error::Error;

/// Changes what the patch names, tells `wallet.updated`, and evaluates the machines where their
/// settings changed. A patch that changes nothing tells nothing.
pub fn update(
    tx: &mut Tx<'_>,
    cause: &Cause,
    id: WalletId,
    patch: &WalletPatch,
) -> Result<Shown, Error> {
    let (no, wallet) = current(tx, id)?;
    if wallet.status == WalletStatus::Closed {
        return Err(Error::operation("the wallet is closed"));
    }
    let (next, previous) = wallet.apply(patch).map_err(missing)?;
    set(tx, cause, no, next, &previous)
}

/// A frozen wallet takes credits and spends none.
pub fn freeze(tx: &mut Tx<'_>, cause: &Cause, id: WalletId) -> Result<Shown, Error> {
    turn(tx, cause, id, (WalletStatus::Active, WalletStatus::Frozen))
}

pub fn unfreeze(tx: &mut Tx<'_>, cause: &Cause, id: WalletId) -> Result<Shown, Error> {
    turn(tx, cause, id, (WalletStatus::Frozen, WalletStatus::Active))
}

fn turn(
    tx: &mut Tx<'_>,
    cause: &Cause,
    id: WalletId,
    (from, to): (WalletStatus, WalletStatus),
) -> Result<Shown, Error> {
    let (no, wallet) = current(tx, id)?;
    let is_stopped = tx.account_at_rest(no, |account, _| account.is_stopped())?;
    if to == WalletStatus::Active && is_stopped == Some(true) {
        let message = "the wallet is stopped because its books do not balance; recheck it first";
        return Err(Error::operation(message));
    }
    if wallet.status != from {
        let message = format!("the wallet is {}, not {}", wallet.status.name(), from.name());
        return Err(Error::operation(message));
    }
    let next = Wallet { status: to, ..Wallet::clone(&wallet) };
    let previous = wallet.replaced_by(&next);
    set(tx, cause, no, next, &previous)
}

pub(super) fn current(tx: &mut Tx<'_>, id: WalletId) -> Result<(i64, Arc<Wallet>), Error> {
    let no = super::number(tx, id)?;
    let wallet = tx.account_at_rest(no, |account, _| account.wallet.clone())?;
    Ok((no, wallet.ok_or_else(|| Error::not_found("wallet"))?))
}

fn set(
    tx: &mut Tx<'_>,
    cause: &Cause,
    no: i64,
    mut next: Wallet,
    previous: &Map<String, Value>,
) -> Result<Shown, Error> {
    if previous.is_empty() {
        return in_command(tx, no);
    }
    let id = next.id.to_string();
    next.updated_at = tx.now();
    next.updated_by.clone_from(&cause.actor.id);
    let scope = tx.scope();
    let version = store::wallets::set(tx.write()?, &scope, no, &next)?;
    let next = Arc::new(next);
    tx.account(no, |account, log| {
        let default = log.alert_default.clone();
        let before = account.alert_settings(&default).0.clone();
        account.wallet = next;
        account.wallet_version = version;
        if previous.contains_key("auto_topup") {
            account.topups.suspended_told_at = None;
            account.changes.balance = true;
        }
        log.tell_wallet(account, EventType::WALLET_UPDATED, cause, |telling, account| {
            render_life(telling, account, &default, Some(previous))
        });
        if before != *account.alert_settings(&default).0 {
            alerts::edited(account, log, cause);
        }
    })?;
    let before = Some(Value::Object(previous.clone()));
    audit::record(tx, cause, "wallet.updated", ("wallet", id), (before, None))?;
    in_command(tx, no)
}

pub(super) fn missing(error: MissingField) -> Error {
    Error::invalid(format!("auto_topup.{}", error.0), error.to_string())
}
