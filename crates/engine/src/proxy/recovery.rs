//! Requests that a process left open when it ended: settled once, for what was delivered (paywalls
//! 17.8).

use domain::place::{Place, Placed};
use domain::scope::{Cause, Scope};
use store::Tx;
use store::proxy_requests::{self, StoredRequest};

use super::settlement::{Ending, settle};
use super::story::Story;
use super::{End, Outcome};
use crate::error::Error;
use crate::run::Engine;

impl Engine {
    /// Ends every open request of the environment; called before this process admits any. Returns
    /// how many it ended. One that cannot be ended, because its wallet may not move, is left as it
    /// is: it must not keep the others, or the server, from their work.
    pub async fn recover_requests(&self, scope: Scope) -> Result<usize, Error> {
        let open = self.read(move |read| Ok(proxy_requests::open(read, &scope)?)).await?;
        let mut ended = 0;
        for StoredRequest { id, .. } in open {
            match self.change(scope, move |tx| recover(tx, id)).await {
                Ok(()) => ended += 1,
                Err(error) => tracing::warn!(request = %id, %error, "a request stays open"),
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
            let rows = proxy_requests::page(read, scope, paywall.no, page)?;
            rows.iter().map(|row| parse(&row.story)).collect()
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
            let found = proxy_requests::find(read, scope, request)?;
            let found = found.filter(|found| found.paywall == paywall.no);
            parse(&found.ok_or_else(|| Error::not_found("request"))?.story)
        })
    }
}

fn parse(story: &str) -> Result<Story, Error> {
    serde_json::from_str(story).map_err(|_| Error::operation("the story of a request is broken"))
}

fn recover(tx: &mut Tx<'_>, id: domain::id::RequestId) -> Result<(), Error> {
    let scope = tx.scope();
    let Some(stored) = proxy_requests::find(tx.read()?, &scope, id)? else { return Ok(()) };
    if stored.state != proxy_requests::OPEN {
        return Ok(());
    }
    let mut story = parse(&stored.story)?;
    let found = store::paywalls::find_by_no(tx.read()?, &scope, stored.paywall)?;
    let paywall = found.ok_or_else(|| Error::not_found("paywall"))?;
    let holds: Vec<Place> =
        story.hold.iter().flat_map(|hold| hold.hold_ids.iter().map(|id| id.place())).collect();
    let cause = Cause { request: Some(id), ..Cause::schedule() };
    let request = Ending {
        paywall: &paywall.paywall,
        paywall_no: paywall.no,
        wallet: stored.wallet,
        holds: &holds,
        cause: &cause,
    };
    let end = End {
        outcome: Outcome::Failed { code: "node_lost", http_status: None },
        usage: None,
        counted_output_tokens: stored.counted,
        has_output: stored.counted > 0,
        model: None,
        service_tier: None,
        finish_reason: None,
        latency_ms: u64::try_from(tx.now().millis() - stored.started_at.millis()).unwrap_or(0),
        upstream_status: None,
        reply: None,
    };
    settle(tx, &request, &mut story, &end)?;
    Ok(())
}
