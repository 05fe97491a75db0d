//! A wallet as answers show it: settings, figures and holder at one moment.

use std::sync::Arc;

use domain::alert::settings::Settings;
use domain::amount::Amount;
use domain::customer::Customer;
use domain::event::wallet::Figures;
use domain::ledger::entry::Entry;
use domain::ledger::log::Counters;
use domain::ledger::{Account, Log, expiry};
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::wallet::Wallet;
use store::{Read, Tx};

use crate::error::Error;

#[derive(Clone, Debug)]
pub struct Shown {
    pub wallet: Arc<Wallet>,
    pub customer: Arc<Customer>,
    pub figures: Figures,
}

/// A row that was just posted, with wallet and holder as it saw them.
#[derive(Clone, Debug)]
pub struct Row {
    pub entry: Entry,
    pub wallet: Arc<Wallet>,
    pub customer: Arc<Customer>,
    /// The unspent rest of a credit.
    pub available: Option<Amount>,
}

impl Shown {
    pub fn of(account: &Account, now: Timestamp) -> Shown {
        Shown {
            wallet: account.wallet.clone(),
            customer: account.customer.clone(),
            figures: Figures::of(account, now),
        }
    }
}

/// Wallet number `no` as it is now: what has expired and is not posted yet is subtracted.
pub fn read(read: Read<'_>, scope: &Scope, no: i64, now: Timestamp) -> Result<Shown, Error> {
    Ok(Shown::of(&account(read, scope, no, now)?, now))
}

/// As `read`, with the lots.
pub fn account(read: Read<'_>, scope: &Scope, no: i64, now: Timestamp) -> Result<Account, Error> {
    let account = store::accounts::load(read, no)?;
    let mut account = account.ok_or_else(|| Error::not_found("wallet"))?;
    settle(&mut account, *scope, now);
    Ok(account)
}

/// As `read`, inside a command that changed the wallet.
pub fn in_command(tx: &mut Tx<'_>, no: i64) -> Result<Shown, Error> {
    let now = tx.now();
    let shown = tx.account_at_rest(no, |account, _| Shown::of(account, now))?;
    shown.ok_or_else(|| Error::not_found("wallet"))
}

/// Posts what is due into a log that nobody keeps.
fn settle(account: &mut Account, scope: Scope, now: Timestamp) {
    if expiry::next_due(account).is_none_or(|due| due > now) {
        return;
    }
    let sequence = account.sequence;
    let (mut counters, mut records) = (Counters::default(), Vec::new());
    let alert_default = Settings::off();
    let mut log = Log {
        scope,
        now,
        counters: &mut counters,
        records: &mut records,
        alert_default: &alert_default,
    };
    expiry::post_due(account, &mut log);
    account.sequence = sequence;
}
