//! Leases as the ledger knows them: whose they are, and how a node gets back what another one has
//! leased of a wallet (paywalls 18.1).

use std::time::Duration;

use domain::place::Place;
use domain::scope::Scope;
use store::Tx;
use store::turns::Recall;

use super::renewal::LEASE;
use crate::error::Error;
use crate::run::Engine;

/// So long a request waits for money that other nodes have leased.
const WAITS_MS_MAX: i64 = 500;
const LOOKS_EVERY: Duration = Duration::from_millis(40);

impl Engine {
    /// Calls in what other nodes have leased of a wallet, and waits until each has answered, or
    /// for as long as a request may wait. Returns whether there was anything.
    pub(super) async fn recall_from_nodes(&self, scope: Scope, wallet: i64) -> Result<bool, Error> {
        if !self.database().is_shared() {
            return Ok(false);
        }
        let ask = move |tx: &mut Tx<'_>| {
            tx.is_routine();
            let node = tx.node();
            let theirs = leases(tx, wallet, |of| of != node)?;
            if !theirs.is_empty() {
                tx.recall(Recall::Wallet(wallet));
            }
            Ok::<_, Error>(theirs)
        };
        let theirs = self.change(scope, ask).await?;
        let began = self.steady_now();
        let mut are_open = !theirs.is_empty();
        while are_open && self.steady_now().millis() - began.millis() < WAITS_MS_MAX {
            tokio::time::sleep(LOOKS_EVERY).await;
            let theirs = theirs.clone();
            // A holder that has answered holds what it still needs at another place.
            let look = move |tx: &mut Tx<'_>| {
                let open = tx.account_at_rest(wallet, |account, _| {
                    account.holds.iter().any(|hold| theirs.contains(&hold.place))
                })?;
                Ok::<_, Error>(open.unwrap_or_default())
            };
            are_open = self.movement(scope, look).await?;
        }
        Ok(!theirs.is_empty())
    }
}

/// The leases of a wallet that nodes hold of whom `whose` is true.
pub(super) fn leases(
    tx: &mut Tx<'_>,
    wallet: i64,
    whose: impl Fn(i64) -> bool,
) -> Result<Vec<Place>, Error> {
    let quiet = tx.account_at_rest(wallet, |account, _| {
        let quiet = account.holds.iter().filter(|hold| hold.quiet);
        quiet.map(|hold| hold.place).collect::<Vec<Place>>()
    })?;
    let mut leases = Vec::new();
    for place in quiet.unwrap_or_default() {
        let Some(entry) = tx.entry(place)? else { continue };
        let of = entry.details.reference_id.and_then(|node| node.parse().ok());
        if entry.details.reference_type.as_deref() == Some(LEASE) && of.is_some_and(&whose) {
            leases.push(place);
        }
    }
    Ok(leases)
}
