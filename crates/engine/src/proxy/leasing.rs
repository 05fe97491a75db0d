//! Requests of paywalls that settle in batches: let in from a lease, ended into it (paywalls 18).
//!
//! What a lease cannot answer at once (too little money, a limit, a refusal) is decided in the
//! ledger, as without leases.

use std::sync::Arc;

use domain::amount::Amount;
use domain::ledger::Refusal;
use domain::paywall::SettlementMode;
use domain::proxy::chapter::{Line, Scene};
use domain::proxy::hold::{Extension, Hold, Stuck};
use domain::proxy::story::{HoldStory, Story};
use domain::scope::Scope;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use store::Tx;
use store::proxy_requests::{Noted, Standing};

use super::admission::{Asked, admitted, begun};
use super::leases::{Due, Ended, Granted, Leased};
use super::reckoning::{Used, finish, held, is_charged, last_scene};
use super::renewal::Want;
use super::replay::{self, Keeping};
use super::{Admission, Changing, End, Settled, Target, Ticket, limits};
use crate::error::Error;
use crate::run::Engine;

impl Engine {
    /// Lets a request in against a lease. `None`: the ledger must say.
    pub(super) async fn admit_leased(
        &self,
        asked: &Arc<Asked>,
    ) -> Result<Option<Admission>, Error> {
        let paywall = &asked.call.paywall.paywall;
        let by_ledger = paywall.settlement.mode != SettlementMode::Lease || limits::any(paywall);
        if by_ledger {
            return Ok(None);
        }
        let Ok(target) = &asked.aim else { return Ok(None) };
        let (leased, let_in) = self.lease_for(asked).await?;
        Ok(let_in.map(|let_in| self.leased_ticket((asked, target), leased, let_in)))
    }

    /// The wallet's lease, with room for the request where it has, or gets, enough.
    async fn lease_for(
        &self,
        asked: &Arc<Asked>,
    ) -> Result<(Arc<Leased>, Option<(Hold, Granted)>), Error> {
        loop {
            let leased = self.leases.of(asked);
            if let Some(let_in) = leased.let_in(asked, self.steady_now()) {
                return Ok((leased, Some(let_in)));
            }
            let turn = Box::pin(leased.turn.lock()).await;
            if leased.is_dead() {
                continue;
            }
            if let Some(let_in) = leased.let_in(asked, self.steady_now()) {
                drop(turn);
                return Ok((leased, Some(let_in)));
            }
            let want = || Want::Admission(asked.clone());
            let mut room = Box::pin(self.renew(&leased, want())).await?;
            let recall = self.recall_from_nodes(leased.scope, leased.wallet);
            if room.hold.is_none() && Box::pin(recall).await? {
                room = Box::pin(self.renew(&leased, want())).await?;
            }
            drop(turn);
            let let_in = room.hold.and_then(|hold| leased.held(hold));
            if let_in.is_none() {
                self.leases.forget_empty(&leased);
            }
            return Ok((leased, let_in));
        }
    }

    fn leased_ticket(
        &self,
        (asked, target): (&Asked, &Arc<Target>),
        leased: Arc<Leased>,
        (hold, granted): (Hold, Granted),
    ) -> Admission {
        let mut story = begun(asked, self.now(&leased.scope));
        story.settlement = SettlementMode::Lease;
        story.deferred = true;
        story.deferred_amount = Some(hold.amount);
        story.hold = Some(HoldStory::of(&hold, granted.place.hold_id(granted.at)));
        let changing = Changing { story, holds: Vec::new(), told: false, settled: None };
        admitted((asked, target), (hold, None), changing, Some(leased))
    }

    /// Ends a request into its lease. What it was, and that it is to be paid, is on disk before
    /// this returns, unless the paywall does without.
    pub(super) async fn settle_leased(
        &self,
        ticket: &Ticket,
        leased: &Leased,
        end: &End,
    ) -> Result<Settled, Error> {
        let Changing { mut story, told, settled, .. } = ticket.changing.lock().clone();
        if let Some(settled) = settled {
            return Ok(settled);
        }
        let used = Used::of(&story, end);
        let charged = is_charged(end) || told;
        finish(&mut story, end, self.now(&leased.scope));
        story.deferred = charged;
        story.usage = charged.then(|| used.story());
        story.due = charged.then_some(used.bill);
        let scenes = match (told, charged) {
            (true, _) => vec![last_scene(&end.outcome)],
            (false, true) => vec![Scene::Started, Scene::Deferred, last_scene(&end.outcome)],
            (false, false) => vec![Scene::Started, last_scene(&end.outcome)],
        };
        note(&mut story, &scenes);
        let (amount, estimated) = (used.bill.amount, used.metered.estimated);
        let (held, cause) = (held(&story), ticket.call.cause.clone());
        let used = charged.then_some(used);
        let mut ended = Ended { story, used, cause, scenes };
        let amount = if charged { amount } else { Amount::ZERO };
        let available = leased.available() + held - amount;
        let settled = Settled { amount, available, activity: None, estimated };
        if ticket.call.paywall.paywall.settlement.strict || end.reply.is_some() {
            let reply = (end.reply.clone(), settled.clone());
            Box::pin(self.write_down(ticket, &mut ended, reply)).await?;
        }
        if leased.end(held, ended, self.steady_now()) {
            self.leases.due.notify_one();
        }
        ticket.changing.lock().settled = Some(settled.clone());
        Ok(settled)
    }

    /// Commits a request's end, with what is not told of it.
    async fn write_down(
        &self,
        ticket: &Ticket,
        ended: &mut Ended,
        (reply, settled): (Option<Keeping>, Settled),
    ) -> Result<(), Error> {
        let standing =
            if ended.used.is_some() { Standing::Unsettled } else { ended.last_standing() };
        let story = &ended.story;
        let lines: Vec<Line> = std::mem::take(&mut ended.scenes)
            .into_iter()
            .map(|scene| Line { scene, request: story.request_id })
            .collect();
        let row = Noted::new((ticket.call.paywall.no, ticket.sight.wallet), standing, story);
        let told = (ticket.call.paywall.no, ticket.call.paywall.paywall.id);
        let (payer, cause) = (ticket.sight.payer, ended.cause.clone());
        let scenes: Vec<Scene> = lines.iter().map(|line| line.scene).collect();
        let is_light = reply.is_none();
        let work = move |tx: &mut Tx<'_>| {
            tx.tell_chapter(told, payer, &cause, (lines.clone(), None))?;
            tx.save_request(row.clone());
            replay::keep(tx, reply.as_ref(), &settled)
        };
        let scope = ticket.call.scope;
        let written = if is_light {
            self.movement(scope, work).await
        } else {
            self.change(scope, work).await
        };
        if written.is_err() {
            ended.scenes = scenes;
        }
        written
    }

    /// More of the lease for a request, or a larger lease.
    pub(super) async fn extend_leased(
        &self,
        ticket: &Arc<Ticket>,
        leased: &Leased,
        hold: Hold,
    ) -> Result<Result<Extension, Stuck>, Error> {
        if let Some(extension) = leased.extend(ticket, &hold) {
            return Ok(Ok(extension));
        }
        let _turn = leased.turn.lock().await;
        if let Some(extension) = leased.extend(ticket, &hold) {
            return Ok(Ok(extension));
        }
        let room = self.renew(leased, Want::Extension(ticket.clone(), Box::new(hold))).await?;
        Ok(room.extension.unwrap_or(Err(Stuck::Balance)))
    }

    /// Settles and renews the leases that are due, and ends those that were not used for long.
    pub async fn settle_leases(&self) {
        let steady_now = self.steady_now();
        let due = self.leases.all().into_iter().filter_map(|leased| {
            let due = leased.due((self.now(&leased.scope), steady_now))?;
            Some((leased, if due == Due::End { Want::Least } else { Want::Renewal }))
        });
        self.settle_all(due.collect()).await;
    }

    /// Settles every lease and gives back what is free: the process ends.
    pub async fn end_leases(&self) {
        let all = self.leases.all().into_iter();
        self.settle_all(all.map(|leased| (leased, Want::Least)).collect()).await;
    }

    async fn settle_all(&self, due: Vec<(Arc<Leased>, Want)>) {
        let settle = |(leased, want)| self.settle_lease(leased, want);
        let mut settling: FuturesUnordered<_> = due.into_iter().map(settle).collect();
        while settling.next().await.is_some() {}
    }

    async fn settle_lease(&self, leased: Arc<Leased>, want: Want) {
        let turn = leased.turn.lock().await;
        let ends = matches!(want, Want::Least);
        if let Err(error) = self.renew(&leased, want).await {
            tracing::warn!(%error, "a lease is not settled; trying again");
        }
        drop(turn);
        if ends {
            self.leases.forget_empty(&leased);
        }
    }

    /// Ends when a lease must be settled before its time.
    pub async fn lease_is_due(&self) {
        self.leases.due.notified().await;
    }

    /// Gives back what this process has leased of a wallet and not promised. Returns whether it
    /// had a lease at all.
    pub(crate) async fn recall(&self, wallet: i64) -> bool {
        let leased = self.leases.find(wallet);
        let found = leased.is_some();
        if let Some(leased) = leased {
            self.settle_lease(leased, Want::Least).await;
        }
        found
    }

    /// As `recall`, for every wallet of a paywall.
    pub(crate) async fn recall_paywall(&self, paywall: i64) {
        self.recall_all(|leased| leased.paywall_no() == paywall).await;
    }

    /// As `recall`, for one user of a paywall.
    pub(crate) async fn recall_user(&self, paywall: i64, user: &str) {
        let theirs = |leased: &Leased| leased.user.as_str() == user;
        self.recall_all(|leased| theirs(leased) && leased.paywall_no() == paywall).await;
    }

    async fn recall_all(&self, which: impl Fn(&Leased) -> bool) {
        let leased = self.leases.all().into_iter().filter(|leased| which(leased));
        self.settle_all(leased.map(|leased| (leased, Want::Least)).collect()).await;
    }

    /// Moves money; where too little is there, once more with what leases give back.
    pub(crate) async fn moved_with_leases<T, F>(
        &self,
        scope: Scope,
        wallet: i64,
        work: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        match self.movement(scope, work()).await {
            Err(Error::Refused(Refusal::InsufficientBalance { .. }))
                if self.recall(wallet).await | self.recall_from_nodes(scope, wallet).await? =>
            {
                self.movement(scope, work()).await
            }
            moved => moved,
        }
    }
}

/// Notes in the story what is told of it.
fn note(story: &mut Story, scenes: &[Scene]) {
    story.events.extend(scenes.iter().map(|scene| scene.event()));
}
