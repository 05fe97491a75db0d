//! Requests that a process left open when it ended: settled once, for what was delivered (paywalls
//! 17.8).

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::amount::Amount;
use domain::paywall::{ExternalUser, SettlementMode};
use domain::place::{Place, Placed};
use domain::proxy::chapter::Scene;
use domain::proxy::story::Story;
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use store::Tx;
use store::proxy_requests::{self, Standing, StoredRequest};

use super::leases::Ended;
use super::recalls::leases;
use super::reckoning::{Used, finish};
use super::renewal::{Renewing, settle_together};
use super::settlement::{Ending, settle};
use super::{End, Outcome};
use crate::error::Error;
use crate::run::Engine;
use crate::users::{self, Sight};

impl Engine {
    /// Ends every open request of the environment and settles what was left unsettled; called
    /// before this process admits any. Returns how many requests it settled. One that cannot be,
    /// because its wallet may not move, is left as it is: it must not keep the others, or the
    /// server, from their work. `node` names whose; without it they are of processes that are gone.
    pub async fn recover_requests(&self, scope: Scope, node: Option<i64>) -> Result<usize, Error> {
        let open = self.read(move |read| Ok(proxy_requests::open(read, &scope, node)?)).await?;
        let mut leased: BTreeMap<(i64, i64), Vec<StoredRequest>> = BTreeMap::new();
        let mut ended = 0;
        for row in open {
            let (paywall, wallet, id) = (row.paywall, row.wallet, row.story.request_id);
            if row.story.settlement == SettlementMode::Lease {
                leased.entry((paywall, wallet)).or_default().push(row);
                continue;
            }
            match self.change(scope, move |tx| recover(tx, (paywall, id))).await {
                Ok(()) => ended += 1,
                Err(error) => tracing::warn!(request = %id, %error, "a request stays open"),
            }
        }
        for ((paywall, wallet), rows) in leased {
            let count = rows.len();
            match self
                .change(scope, move |tx| recover_lease(tx, (paywall, wallet, node), &rows))
                .await
            {
                Ok(()) => ended += count,
                Err(error) => tracing::warn!(wallet, %error, "a lease stays unsettled"),
            }
        }
        Ok(ended)
    }

    /// The stories of a paywall's requests, newest first.
    pub fn request_stories(
        &self,
        scope: &Scope,
        paywall: domain::id::PaywallId,
        page: (Option<domain::id::RequestId>, u32),
    ) -> Result<Vec<Story>, Error> {
        self.read_now(|read| {
            let paywall = crate::paywalls::find(read, scope, paywall)?;
            Ok(proxy_requests::page(read, scope, paywall.no, page)?)
        })
    }

    /// The whole story of one request.
    pub fn request_story(
        &self,
        scope: &Scope,
        (paywall, request): (domain::id::PaywallId, domain::id::RequestId),
    ) -> Result<Story, Error> {
        self.read_now(|read| {
            let paywall = crate::paywalls::find(read, scope, paywall)?;
            let found = proxy_requests::find(read, scope, (paywall.no, request))?;
            found.ok_or_else(|| Error::not_found("request"))
        })
    }
}

fn recover(tx: &mut Tx<'_>, key: (i64, domain::id::RequestId)) -> Result<(), Error> {
    let scope = tx.scope();
    let stored = proxy_requests::find_open(tx.read()?, &scope, key)?;
    let Some(mut stored) = stored.filter(|stored| stored.standing == Standing::Open) else {
        return Ok(());
    };
    let found = store::paywalls::find_by_no(tx.read()?, &scope, stored.paywall)?;
    let paywall = found.ok_or_else(|| Error::not_found("paywall"))?;
    let held = stored.story.hold.iter().flat_map(|hold| &hold.hold_ids);
    let holds: Vec<Place> = held.map(|id| id.place()).collect();
    let cause = Cause { request: Some(key.1), ..Cause::schedule() };
    let payer = users::payer(tx, stored.wallet)?;
    let request = Ending {
        paywall: &paywall.paywall,
        paywall_no: paywall.no,
        wallet: stored.wallet,
        payer,
        holds: &holds,
        cause: &cause,
    };
    let end = node_lost(&stored, tx.now());
    settle(tx, &request, &mut stored.story, &end)?;
    Ok(())
}

fn node_lost(stored: &StoredRequest, now: Timestamp) -> End {
    End {
        outcome: Outcome::Failed { code: "node_lost", http_status: None },
        usage: None,
        counted_output_tokens: stored.counted,
        has_output: stored.counted > 0,
        model: None,
        service_tier: None,
        finish_reason: None,
        latency_ms: u64::try_from(now.millis() - stored.story.started_at.millis()).unwrap_or(0),
        upstream_status: None,
        reply: None,
    }
}

/// Settles what a lost process wrote down of a wallet, from the leases that it held. Without a
/// `node` every process is gone, and so is the wallet's every other request: all leases are left.
fn recover_lease(
    tx: &mut Tx<'_>,
    (paywall, wallet, node): (i64, i64, Option<i64>),
    rows: &[StoredRequest],
) -> Result<(), Error> {
    let scope = tx.scope();
    let stored = store::paywalls::find_by_no(tx.read()?, &scope, paywall)?;
    let stored = Arc::new(stored.ok_or_else(|| Error::not_found("paywall"))?);
    let mut ended: Vec<Ended> = rows.iter().map(|row| lost(row, tx.now())).collect();
    let Some(first) = ended.first() else { return Ok(()) };
    let user = first.story.external_user_id.clone();
    let payer = users::payer(tx, wallet)?;
    let holds = leases(tx, wallet, |of| node.is_none_or(|node| of == node))?;
    let renewing = Renewing {
        paywall: stored,
        user: ExternalUser::parse(&user)
            .map_err(|_| Error::operation("a request names no user"))?,
        sight: Sight { wallet, payer, first_seen_at: Timestamp::default(), suspended: false },
        holds,
        in_flight: Amount::ZERO,
        kept: Amount::ZERO,
    };
    settle_together(tx, &renewing, &mut ended)
}

/// A request as the lost process left it.
fn lost(row: &StoredRequest, now: Timestamp) -> Ended {
    let mut story = row.story.clone();
    let cause = Cause { request: Some(story.request_id), ..Cause::schedule() };
    if row.standing == Standing::Unsettled {
        let used = Used::due(&story);
        return Ended { story, used, cause, scenes: Vec::new() };
    }
    let end = node_lost(row, now);
    let used = Used::of(&story, &end);
    finish(&mut story, &end, now);
    story.usage = Some(used.story());
    let last = Scene::Failed;
    story.events.push(last.event());
    Ended { story, used: Some(used), cause, scenes: vec![last] }
}
