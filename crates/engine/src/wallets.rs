//! Commands on wallets.

use std::sync::Arc;

use domain::event::wallet::render_life;
use domain::ledger::Account;
use domain::scope::Cause;
use domain::wallet::Wallet;
use domain::webhook::catalogue::EventType;
use store::Tx;
use store::customers::Stored;

use crate::error::Error;

/// Inserts a wallet with its empty account and tells `wallet.created`. Returns its number.
pub fn open(
    tx: &mut Tx<'_>,
    cause: &Cause,
    customer: &Stored,
    wallet: Wallet,
) -> Result<i64, Error> {
    let scope = tx.scope();
    let inserted = store::wallets::insert(tx.write()?, &scope, customer.no, &wallet);
    let no = inserted.map_err(|error| taken(error, &wallet))?;
    let versions = (1, customer.version);
    let holder = Arc::new(customer.customer.clone());
    tx.open_account(&Account::open(no, Arc::new(wallet), holder, versions))?;
    tx.account(no, |account, log| {
        let default = log.alert_default.clone();
        log.tell_wallet(account, EventType::WALLET_CREATED, cause, |telling, account| {
            render_life(telling, account, &default, None)
        });
    })?;
    Ok(no)
}

fn taken(error: store::Error, wallet: &Wallet) -> Error {
    if error.is_conflict() {
        let message = format!(
            "the customer has an open {} wallet in {} already",
            wallet.wallet_type.name(),
            wallet.currency.as_str()
        );
        return Error::already_exists(message);
    }
    error.into()
}
