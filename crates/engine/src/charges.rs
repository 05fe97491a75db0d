//! Charging a paywall's user: the product's hot path.
//!
//! A charge that fits is one movement of the wallet. One that does not is run once more as a full
//! command, which records the failure, tells it and finds the user a link to top up.

use std::sync::Arc;

use domain::amount::Amount;
use domain::event::paywall::{Data, Subject, Told};
use domain::ledger::entry::{Details, KeyUse};
use domain::ledger::spend::{self, Charge};
use domain::ledger::{Entry, Refusal};
use domain::paywall::ExternalUser;
use domain::place::Place;
use domain::scope::{Cause, Scope};
use domain::wallet::Wallet;
use domain::webhook::catalogue::EventType;
use store::Tx;
use store::idempotency::Worked;
use store::paywalls::Stored as StoredPaywall;

use crate::blocks::Caller;
use crate::error::Error;
use crate::idempotency::{Prior, prior};
use crate::run::Engine;
use crate::topup_links::{self, SpareToken, TopupLink};
use crate::users::Sight;

/// What a charge asks.
#[derive(Clone, Debug)]
pub struct ChargeAsk {
    pub paywall: Arc<StoredPaywall>,
    pub user: ExternalUser,
    pub amount: Amount,
    /// The text of a JSON object.
    pub metadata: Option<String>,
    pub key: Option<KeyUse>,
    pub cause: Cause,
}

/// A movement that was made, with the wallet as the entry saw it.
#[derive(Clone, Debug)]
pub struct Moved {
    pub entry: Entry,
    pub wallet: Arc<Wallet>,
    /// The first answer of the key, again.
    pub replayed: bool,
}

/// A charge found too little; recorded as a failed transaction.
#[derive(Clone, Debug)]
pub struct TooLittle {
    pub entry: Entry,
    pub required: Amount,
    /// Posted balance less holds; below zero where an overdraft was used.
    pub available: Amount,
    pub link: Option<TopupLink>,
}

#[derive(Clone, Debug)]
pub enum Charged {
    Paid(Box<Moved>),
    TooLittle(Box<TooLittle>),
}

impl Engine {
    /// Takes the whole amount or nothing.
    pub async fn charge(&self, scope: Scope, ask: ChargeAsk) -> Result<Charged, Error> {
        let sight = self.sight(scope, &ask.paywall, &ask.user, &ask.cause).await?;
        let caller = Caller { user: &ask.user, sight: &sight, cause: &ask.cause };
        if let Some(moved) = self.gate(scope, &ask.paywall, caller, ask.key.as_ref()).await? {
            return Ok(Charged::Paid(Box::new(moved)));
        }
        let ask = Arc::new(ask);
        match self.charge_wallet(scope, sight, ask.clone()).await {
            Err(Error::Refused(Refusal::WalletClosed)) => {
                let sight = self.see_again(scope, &ask.paywall, &ask.user, &ask.cause).await?;
                self.charge_wallet(scope, sight, ask).await
            }
            charged => charged,
        }
    }

    async fn charge_wallet(
        &self,
        scope: Scope,
        sight: Sight,
        ask: Arc<ChargeAsk>,
    ) -> Result<Charged, Error> {
        let wallet = sight.wallet;
        let pay = || {
            let asked = ask.clone();
            move |tx: &mut Tx<'_>| pay(tx, wallet, &asked)
        };
        match self.moved_with_leases(scope, wallet, pay).await {
            Ok(moved) => Ok(Charged::Paid(Box::new(moved))),
            Err(Error::Refused(Refusal::InsufficientBalance { .. })) => {
                let spare = self.spare_token();
                self.change(scope, move |tx| pay_or_record(tx, &sight, &ask, &spare)).await
            }
            Err(error) => Err(error),
        }
    }
}

/// The hot part: look the key up, charge, remember the key.
pub(crate) fn pay(tx: &mut Tx<'_>, wallet: i64, ask: &ChargeAsk) -> Result<Moved, Error> {
    if let Some(moved) = replayed(tx, ask.key.as_ref())? {
        return Ok(moved);
    }
    let charge = charge_of(ask);
    let posted = tx.account(wallet, |account, log| {
        let place = spend::charge(account, log, &ask.cause, charge)?;
        Ok::<_, Refusal>((place, account.wallet.clone()))
    });
    let (place, wallet) = posted?.ok_or_else(|| Error::not_found("wallet"))??;
    if let Some(key) = &ask.key {
        tx.remember(&key.route, &key.key, Worked::Entry(place));
    }
    let entry = tx.entry(place)?.ok_or_else(|| Error::not_found("transaction"))?;
    Ok(Moved { entry, wallet, replayed: false })
}

/// What the key did before, if it did something.
pub(crate) fn replayed(tx: &mut Tx<'_>, key: Option<&KeyUse>) -> Result<Option<Moved>, Error> {
    let Some(key) = key else { return Ok(None) };
    match prior(tx, key)? {
        Some(Prior::Entry(entry)) => moved(tx, *entry, true).map(Some),
        _ => Ok(None),
    }
}

fn charge_of(ask: &ChargeAsk) -> Charge {
    let details = Details { call_metadata: ask.metadata.clone(), ..Details::default() };
    let fee = ask.paywall.paywall.fees.of(ask.amount);
    Charge { credits: ask.amount, fee, details, key: ask.key.clone() }
}

/// The entry that this transaction posted at `place`.
pub(crate) fn posted_entry(tx: &mut Tx<'_>, place: Place) -> Result<Moved, Error> {
    let entry = tx.entry(place)?.ok_or_else(|| Error::not_found("transaction"))?;
    moved(tx, entry, false)
}

pub(crate) fn moved(tx: &mut Tx<'_>, entry: Entry, replayed: bool) -> Result<Moved, Error> {
    let wallet = tx
        .account(entry.wallet_no, |account, _| account.wallet.clone())?
        .ok_or_else(|| Error::not_found("wallet"))?;
    Ok(Moved { entry, wallet, replayed })
}

pub(crate) fn pay_or_record(
    tx: &mut Tx<'_>,
    sight: &Sight,
    ask: &ChargeAsk,
    spare: &SpareToken,
) -> Result<Charged, Error> {
    match pay(tx, sight.wallet, ask) {
        Ok(moved) => Ok(Charged::Paid(Box::new(moved))),
        Err(Error::Refused(Refusal::InsufficientBalance { required, .. })) => {
            let available = free_balance(tx, sight.wallet)?;
            let failed = record(tx, sight, ask, spare, (required, available))?;
            Ok(Charged::TooLittle(Box::new(failed)))
        }
        Err(error) => Err(error),
    }
}

/// Posted balance less holds, as users are told it; the overdraft is not theirs.
pub(crate) fn free_balance(tx: &mut Tx<'_>, wallet: i64) -> Result<Amount, Error> {
    let free = tx.account(wallet, |account, _| account.credits - account.held)?;
    free.ok_or_else(|| Error::not_found("wallet"))
}

/// `balance.depleted`, then a new link's event where none lives, then the failed charge.
fn record(
    tx: &mut Tx<'_>,
    sight: &Sight,
    ask: &ChargeAsk,
    spare: &SpareToken,
    (required, available): (Amount, Amount),
) -> Result<TooLittle, Error> {
    let caller = Caller { user: &ask.user, sight, cause: &ask.cause };
    tell_depleted(tx, &ask.paywall, caller, (required, available))?;
    let user = (ask.user.as_str(), sight);
    let link = topup_links::live_or_new(tx, &ask.paywall, user, spare, &ask.cause)?;
    let charge = charge_of(ask);
    let place = tx
        .account(sight.wallet, |account, log| {
            spend::record_failed_charge(account, log, &ask.cause, charge)
        })?
        .ok_or_else(|| Error::not_found("wallet"))?;
    let entry = posted_entry(tx, place)?.entry;
    Ok(TooLittle { entry, required, available, link })
}

/// Tells `balance.depleted`.
pub(crate) fn tell_depleted(
    tx: &mut Tx<'_>,
    stored: &StoredPaywall,
    caller: Caller<'_>,
    (required, available): (Amount, Amount),
) -> Result<(), Error> {
    let (paywall, cause) = (&stored.paywall, caller.cause);
    let payer = caller.sight.payer;
    let data = Data::new(paywall.id, tx.scope().tenant)
        .with("walletUserId", payer.customer.to_string())
        .with("externalUserId", caller.user.as_str())
        .money("requestedAmount", required)
        .money("availableBalance", available)
        .with("currency", paywall.currency.upper())
        .maybe("requestId", cause.request.map(|id| id.to_string()));
    let subject = Subject {
        kind: "paywall.balance",
        id: payer.customer.to_string(),
        external_id: Some(caller.user.as_str().to_owned()),
    };
    let kind = EventType::PAYWALL_BALANCE_DEPLETED;
    tx.tell_paywall((stored.no, paywall.id), Some(payer), kind, cause, |telling| {
        let actor = &cause.actor;
        let told = Told { paywall: paywall.id, data, metadata: None, actor, subject };
        domain::event::paywall::render(telling, &told)
    })?;
    Ok(())
}
