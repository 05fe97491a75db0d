//! Batches of charges that were settled together, as their owner sees them.

use domain::amount::Amount;
use domain::id::{CustomerId, PaywallId, RequestId, SettlementId, TransactionId};
use domain::place::Placed;
use domain::proxy::chapter::Chapter;
use domain::scope::Scope;
use domain::time::Timestamp;
use store::{Read, chapters, entries};

use crate::error::Error;
use crate::run::Engine;

/// One entry that paid for several requests.
#[derive(Clone, Debug)]
pub struct Batch {
    pub reference: SettlementId,
    pub activity: TransactionId,
    pub user: CustomerId,
    pub amount: Amount,
    pub at: Timestamp,
    pub requests: Vec<RequestId>,
}

impl Engine {
    /// Batches of a paywall, newest first, before the one that is named.
    pub fn settlements(
        &self,
        scope: &Scope,
        paywall: PaywallId,
        (before, limit): (Option<SettlementId>, u32),
    ) -> Result<Vec<Batch>, Error> {
        self.read_now(|read| {
            let paywall = crate::paywalls::find(read, scope, paywall)?.no;
            let before = before.map(Placed::place);
            let batches = chapters::settlements(read, scope, paywall, (before, limit))?;
            batches.iter().filter_map(|batch| batch_of(read, scope, batch).transpose()).collect()
        })
    }

    pub fn settlement(
        &self,
        scope: &Scope,
        (paywall, reference): (PaywallId, SettlementId),
    ) -> Result<Batch, Error> {
        let after = reference.place().offset(1).settlement_id(Timestamp::default());
        let newest = self.settlements(scope, paywall, (Some(after), 1))?;
        let found = newest.into_iter().find(|batch| batch.reference == reference);
        found.ok_or_else(|| Error::not_found("settlement"))
    }
}

fn batch_of(read: Read<'_>, scope: &Scope, batch: &Chapter) -> Result<Option<Batch>, Error> {
    let Some(place) = batch.settled_by else { return Ok(None) };
    let entry = entries::find(read, scope, place)?;
    Ok(entry.map(|entry| Batch {
        reference: place.settlement_id(entry.at),
        activity: place.transaction_id(entry.at),
        user: batch.payer.customer,
        amount: entry.credits,
        at: entry.at,
        requests: batch.lines.iter().map(|line| line.request).collect(),
    }))
}
