//! Ends of a wallet: `POST /wallets/:id/terminate` and `/modify` (billing 4.9).

use std::sync::Arc;

use domain::event::wallet::render_life;
use domain::id::WalletId;
use domain::ledger::close;
use domain::scope::Cause;
use domain::wallet::{PriceType, Wallet, WalletStatus, WalletType};
use domain::webhook::catalogue::EventType;
use store::Tx;

use super::shown::{Shown, in_command};
use crate::audit;
use crate::error::Error;

/// Takes what is left, closes the wallet and tells `wallet.terminated`.
pub fn terminate(tx: &mut Tx<'_>, cause: &Cause, id: WalletId) -> Result<Shown, Error> {
    let no = super::number(tx, id)?;
    let closed = tx.account(no, |account, log| close::terminate(account, log, cause))?;
    let closed = closed.ok_or_else(|| Error::not_found("wallet"))??;
    end(tx, cause, no, closed)?;
    in_command(tx, no)
}

/// Closes a PRE_PAID wallet and opens a POST_PAID one with its lots. Shows the new one.
pub fn to_postpaid(tx: &mut Tx<'_>, cause: &Cause, id: WalletId) -> Result<Shown, Error> {
    let (no, wallet) = super::change::current(tx, id)?;
    must_convert(&wallet)?;
    let scope = tx.scope();
    let customer = store::customers::find(tx.read()?, &scope, wallet.customer_id)?;
    let customer = customer.ok_or_else(|| Error::not_found("customer"))?;
    let successor = successor(tx, cause, &wallet);
    let target = super::open(tx, cause, &customer, successor)?;
    let closed =
        tx.two_accounts((no, target), |old, new, log| close::convert(old, new, log, cause))?;
    let closed = closed.ok_or_else(|| Error::not_found("wallet"))??;
    end(tx, cause, no, closed)?;
    in_command(tx, target)
}

fn must_convert(wallet: &Wallet) -> Result<(), Error> {
    if wallet.paywall.is_some() {
        return Err(Error::operation("a paywall's wallet cannot be converted"));
    }
    if wallet.status == WalletStatus::Closed {
        return Err(Error::operation("the wallet is closed"));
    }
    match wallet.wallet_type {
        WalletType::PrePaid => Ok(()),
        WalletType::PostPaid => Err(Error::operation("the wallet is POST_PAID already")),
    }
}

/// The same rates, alerts and auto top-up; it pays for everything.
fn successor(tx: &mut Tx<'_>, cause: &Cause, old: &Wallet) -> Wallet {
    let default = Wallet::default_name(old.wallet_type, old.currency);
    let name = if old.name == default {
        Wallet::default_name(WalletType::PostPaid, old.currency)
    } else {
        old.name.clone()
    };
    Wallet {
        id: WalletId(tx.mint()),
        name,
        wallet_type: WalletType::PostPaid,
        status: WalletStatus::Active,
        allowed_price_types: vec![PriceType::All],
        created_at: tx.now(),
        updated_at: tx.now(),
        created_by: cause.actor.id.clone(),
        updated_by: cause.actor.id.clone(),
        ..old.clone()
    }
}

fn end(tx: &mut Tx<'_>, cause: &Cause, no: i64, mut closed: Wallet) -> Result<(), Error> {
    closed.updated_by.clone_from(&cause.actor.id);
    let id = closed.id.to_string();
    let scope = tx.scope();
    let version = store::wallets::set(tx.write()?, &scope, no, &closed)?;
    let closed = Arc::new(closed);
    tx.account_at_rest(no, |account, log| {
        let default = log.alert_default.clone();
        account.wallet = closed;
        account.wallet_version = version;
        log.tell_wallet(account, EventType::WALLET_TERMINATED, cause, |telling, account| {
            render_life(telling, account, &default, None)
        });
    })?;
    audit::record(tx, cause, "wallet.terminated", ("wallet", id), (None, None))
}
