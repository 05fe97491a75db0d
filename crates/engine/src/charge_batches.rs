//! Many charges in one call: one job of the writer, a result for each item in order.
//!
//! Items that fit are one movement. The rest (barred, too little, a wallet that was closed) goes
//! through one full command afterwards, which records and tells it as single charges do.

use std::sync::Arc;

use domain::ledger::Refusal;
use domain::ledger::entry::KeyUse;
use domain::scope::{Cause, Scope};
use store::Tx;
use store::paywalls::Stored as StoredPaywall;

use crate::blocks::{Caller, bar, barred, tell};
use crate::charges::{ChargeAsk, Charged, pay, pay_or_record, replayed};
use crate::error::{Class, Error};
use crate::idempotency::{Answered, Prior, Reply, keep, prior};
use crate::run::Engine;
use crate::topup_links::SpareToken;
use crate::users::{Sight, first_sight};

/// Items of one call.
pub const ITEMS_MAX: usize = 1_000;

/// What became of each item, in order.
pub type Results = Vec<Result<Charged, Error>>;

/// One item with its user's wallet.
struct Item {
    ask: ChargeAsk,
    sight: Sight,
}

impl Item {
    fn caller(&self) -> Caller<'_> {
        Caller { user: &self.ask.user, sight: &self.sight, cause: &self.ask.cause }
    }

    fn is_barred(&self) -> bool {
        bar(&self.ask.paywall, &self.sight).is_some()
    }
}

impl Engine {
    /// Charges each item whole or not at all; one does not hinder another.
    pub async fn charge_batch(
        &self,
        scope: Scope,
        paywall: &Arc<StoredPaywall>,
        asks: Vec<ChargeAsk>,
        cause: &Cause,
    ) -> Result<Results, Error> {
        let items = Arc::new(self.items(scope, paywall, asks, cause).await?);
        let work = items.clone();
        let first = self.movement(scope, move |tx| Ok::<_, Error>(fitting(tx, &work))).await?;
        if first.iter().all(Option::is_some) {
            return Ok(first.into_iter().flatten().collect());
        }
        let left: Vec<bool> = first.iter().map(Option::is_none).collect();
        let spares: Vec<SpareToken> = items.iter().map(|_| self.spare_token()).collect();
        let (work, wanted) = (items.clone(), left.clone());
        let rest = self.change(scope, move |tx| {
            let chosen = work.iter().zip(&spares).zip(&wanted).filter(|(_, wanted)| **wanted);
            chosen.map(|((item, spare), _)| full(tx, item, spare)).collect::<Result<Vec<_>, _>>()
        });
        let mut rest = rest.await?.into_iter();
        self.forget_closed(paywall, &items, &left);
        Ok(first.into_iter().filter_map(|done| done.or_else(|| rest.next())).collect())
    }

    /// As `charge_batch`, once for a key of the whole call. An answer is kept only if some item was
    /// paid; otherwise the same call may be tried again.
    pub async fn charge_batch_once(
        &self,
        scope: Scope,
        paywall: &Arc<StoredPaywall>,
        (asks, key): (Vec<ChargeAsk>, KeyUse),
        cause: &Cause,
        render: impl Fn(&Results) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let items = self.items(scope, paywall, asks, cause).await?;
        let spares: Vec<SpareToken> = items.iter().map(|_| self.spare_token()).collect();
        self.change(scope, move |tx| {
            if let Some(Prior::Reply(reply)) = prior(tx, &key)? {
                return Ok(Answered { reply, replayed: true });
            }
            let pairs = items.iter().zip(&spares);
            let results =
                pairs.map(|(item, spare)| full(tx, item, spare)).collect::<Result<Results, _>>()?;
            let reply = render(&results);
            if results.iter().any(|result| matches!(result, Ok(Charged::Paid(_)))) {
                keep(tx, key.clone(), &reply)?;
            }
            Ok(Answered { reply, replayed: false })
        })
        .await
    }

    async fn items(
        &self,
        scope: Scope,
        paywall: &Arc<StoredPaywall>,
        asks: Vec<ChargeAsk>,
        cause: &Cause,
    ) -> Result<Vec<Item>, Error> {
        let users = asks.iter().map(|ask| ask.user.clone()).collect();
        let sights = self.sights(scope, paywall, users, cause).await?;
        let pairs = asks.into_iter().zip(sights);
        Ok(pairs.map(|(ask, sight)| Item { ask, sight }).collect())
    }

    /// Items of the second command may have met a closed wallet; the next look finds the new one.
    fn forget_closed(&self, paywall: &StoredPaywall, items: &[Item], left: &[bool]) {
        for (item, _) in items.iter().zip(left).filter(|(_, left)| **left) {
            self.forget_sight(paywall.no, item.ask.user.as_str());
        }
    }
}

/// The items that fit. What has posted stays posted, so a failure of one item is its own result and
/// never the job's.
fn fitting(tx: &mut Tx<'_>, items: &[Item]) -> Vec<Option<Result<Charged, Error>>> {
    let charge = |item: &Item| {
        if item.is_barred() {
            return None;
        }
        match pay(tx, item.sight.wallet, &item.ask) {
            Ok(moved) => Some(Ok(Charged::Paid(Box::new(moved)))),
            Err(Error::Refused(Refusal::InsufficientBalance { .. } | Refusal::WalletClosed)) => {
                None
            }
            Err(error) => Some(Err(error)),
        }
    };
    items.iter().map(charge).collect()
}

/// One item with everything that a refusal writes. Only a failing store fails the whole command.
fn full(tx: &mut Tx<'_>, item: &Item, spare: &SpareToken) -> Result<Result<Charged, Error>, Error> {
    match charge_full(tx, item, spare) {
        Err(Error::Store(error)) => Err(error.into()),
        result => Ok(result),
    }
}

fn charge_full(tx: &mut Tx<'_>, item: &Item, spare: &SpareToken) -> Result<Charged, Error> {
    let paywall = &item.ask.paywall;
    if let Some(reason) = bar(paywall, &item.sight) {
        if let Some(moved) = replayed(tx, item.ask.key.as_ref())? {
            return Ok(Charged::Paid(Box::new(moved)));
        }
        tell(tx, paywall, item.caller(), reason)?;
        return Err(barred(reason, &item.ask.cause));
    }
    match pay_or_record(tx, &item.sight, &item.ask, spare) {
        Err(Error::Refused(Refusal::WalletClosed)) => {
            let sight = first_sight(tx, paywall, &item.ask.user, &item.ask.cause)?;
            pay_or_record(tx, &sight, &item.ask, spare)
        }
        done => done,
    }
}

/// Whether every item was barred by the state of the paywall: then the call is.
pub fn barred_whole(results: Results) -> Result<Results, Error> {
    let is_barred = |result: &Result<Charged, Error>| {
        matches!(result, Err(Error::Fault(fault))
            if fault.class == Class::Forbidden && fault.code == "paywall_archived")
    };
    if !results.iter().all(is_barred) {
        return Ok(results);
    }
    match results.into_iter().next() {
        Some(Err(error)) => Err(error),
        _ => Ok(Vec::new()),
    }
}
