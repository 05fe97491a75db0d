//! `POST /wallets/:id/debit`: credits taken by hand (billing 4.9).

use std::collections::BTreeMap;

use domain::amount::Amount;
use domain::id::WalletId;
use domain::ledger::entry::{Details, KeyUse};
use domain::ledger::spend::{self, Debit};
use domain::scope::Cause;
use store::Tx;

use super::shown::Row;
use crate::error::Error;

#[derive(Clone, Debug)]
pub struct DebitAsk {
    pub wallet: WalletId,
    pub credits: Amount,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub key: Option<KeyUse>,
}

/// Takes the credits. A billing wallet may go below zero.
pub fn debit(tx: &mut Tx<'_>, cause: &Cause, ask: &DebitAsk) -> Result<Row, Error> {
    let no = super::number(tx, ask.wallet)?;
    let details = Details {
        description: ask.description.clone(),
        metadata: ask.metadata.clone(),
        ..Details::default()
    };
    let debit = Debit { credits: ask.credits, details, key: ask.key.clone() };
    let posted = tx.account(no, |account, log| {
        let seen = (account.wallet.clone(), account.customer.clone());
        spend::debit(account, log, cause, debit).map(|place| (place, seen))
    })?;
    let (place, (wallet, customer)) = posted.ok_or_else(|| Error::not_found("wallet"))??;
    let entry = tx.entry(place)?.ok_or_else(|| Error::not_found("transaction"))?;
    Ok(Row { entry, wallet, customer, available: None })
}
