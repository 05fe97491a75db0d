//! Commands on wallets, a file a verb; `shown` is how every one of them answers.

pub mod change;
pub mod close;
pub mod create;
pub mod debit;
pub mod shown;
pub mod stop;
pub mod topup;

use std::sync::Arc;

use domain::event::wallet::render_life;
use domain::id::WalletId;
use domain::ledger::Account;
use domain::scope::{Cause, Scope};
use domain::wallet::Wallet;
use domain::webhook::catalogue::EventType;
use store::Tx;
use store::customers::Stored;

use crate::error::Error;
use crate::run::Engine;

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
    // At rest: a wallet that is just made is not topped up before its first movement.
    tx.account_at_rest(no, |account, log| {
        let default = log.alert_default.clone();
        log.tell_wallet(account, EventType::WALLET_CREATED, cause, |telling, account| {
            render_life(telling, account, &default, None)
        });
    })?;
    Ok(no)
}

impl Engine {
    /// Makes sure that a search over balances sees every change that was answered before it.
    pub async fn bring_balances_up(&self, scope: Scope) -> Result<(), Error> {
        self.change(scope, |tx| Ok(tx.write_account_rows()?)).await
    }
}

/// Number of the wallet with this id.
pub fn number(tx: &mut Tx<'_>, id: WalletId) -> Result<i64, Error> {
    let scope = tx.scope();
    store::wallets::find_no(tx.read()?, &scope, id)?.ok_or_else(|| Error::not_found("wallet"))
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
