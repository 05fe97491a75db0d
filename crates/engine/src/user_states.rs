//! Users of a paywall as its owner sees them: found, listed, suspended, resumed.

use domain::amount::Amount;
use domain::event::paywall::{Data, Subject, Told};
use domain::id::PaywallId;
use domain::ledger::entry::{Activity, KeyUse, Kind, Status};
use domain::ledger::{Account, Entry};
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use serde_json::json;
use store::identities::{self, Identity};
use store::paywalls::Stored;
use store::turns::Recall;
use store::{Read, Tx};

use crate::error::Error;
use crate::idempotency::{Answered, Reply};
use crate::paywalls::find;
use crate::run::Engine;
use crate::users::{Totals, TotalsAt};

/// A user with its money.
#[derive(Clone, Debug)]
pub struct UserView {
    pub identity: Identity,
    pub account: Account,
    pub totals: Totals,
}

/// Which user a change names, and whether it is to be suspended.
#[derive(Clone, Debug)]
pub struct StateAsk {
    pub paywall: PaywallId,
    pub user: String,
    pub suspended: bool,
    pub reason: Option<String>,
    pub key: Option<KeyUse>,
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        let sum = match entry.activity {
            Activity::Deposit => &mut self.deposits,
            Activity::Topup => &mut self.topups,
            Activity::Trial => &mut self.trials,
            Activity::Charge => &mut self.charges,
            Activity::Refund => &mut self.refunds,
            Activity::Adjustment => &mut self.adjustments,
            Activity::Hold | Activity::Release => return,
        };
        if entry.status == Status::Completed {
            let is_debit = entry.kind == Kind::Debit && entry.activity == Activity::Adjustment;
            *sum += if is_debit { -entry.credits } else { entry.credits };
        }
    }

    fn and(self, newer: Totals) -> Totals {
        Totals {
            deposits: self.deposits + newer.deposits,
            topups: self.topups + newer.topups,
            trials: self.trials + newer.trials,
            charges: self.charges + newer.charges,
            refunds: self.refunds + newer.refunds,
            adjustments: self.adjustments + newer.adjustments,
        }
    }

    /// What the balance must be by these sums (paywalls 28, rule 1).
    pub fn balance(self) -> Amount {
        self.deposits + self.topups + self.trials - self.charges + self.refunds + self.adjustments
    }
}

impl Engine {
    /// Users of the paywall, newest first, before the one that `before` names.
    pub async fn paywall_users(
        &self,
        scope: Scope,
        paywall: i64,
        before: Option<(Timestamp, String)>,
        limit: u32,
    ) -> Result<Vec<UserView>, Error> {
        let found = self.read(move |read| {
            let before = before.as_ref().map(|(at, id)| (*at, id.as_str()));
            Ok::<_, Error>(identities::page(read, paywall, before, limit)?)
        });
        let mut views = Vec::new();
        for identity in found.await? {
            views.push(self.user_view(scope, identity).await?);
        }
        Ok(views)
    }

    pub async fn paywall_user(
        &self,
        scope: Scope,
        paywall: i64,
        user: &str,
    ) -> Result<UserView, Error> {
        let found = self.read_now(|read| Ok::<_, Error>(identities::find(read, paywall, user)?))?;
        self.user_view(scope, found.ok_or_else(|| Error::not_found("user"))?).await
    }

    async fn user_view(&self, scope: Scope, identity: Identity) -> Result<UserView, Error> {
        let account = self.account(scope, identity.wallet).await?;
        let last = account.last;
        let known = self.totals.get(&account.no).filter(|known| known.last <= last);
        let known = known.unwrap_or_default();
        let newer = self.read(move |read| sum(read, known, last)).await?;
        let totals = known.totals.and(newer);
        self.totals.insert(account.no, TotalsAt { last, totals });
        Ok(UserView { identity, account, totals })
    }

    /// Suspends or resumes; what changes nothing tells nothing.
    pub async fn set_user_state(
        &self,
        scope: Scope,
        cause: Cause,
        ask: StateAsk,
        render: impl Fn(&Identity) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let no = self.read_now(|read| find(read, &scope, ask.paywall))?.no;
        let (key, user) = (ask.key.clone(), ask.user.clone());
        let answered = self.once(scope, key, move |tx| set_state(tx, &cause, &ask), render).await?;
        self.forget_sight(no, &user);
        self.recall_user(no, &user).await;
        Ok(answered)
    }
}

/// Adds up the entries that are newer than what is known.
fn sum(
    read: Read<'_>,
    known: TotalsAt,
    last: Option<domain::place::Place>,
) -> Result<Totals, Error> {
    let mut totals = Totals::default();
    store::entries::walk(read, last, |entry| {
        if Some(entry.place) <= known.last {
            return None;
        }
        totals.add(&entry);
        Some(())
    })?;
    Ok(totals)
}

fn set_state(tx: &mut Tx<'_>, cause: &Cause, ask: &StateAsk) -> Result<Identity, Error> {
    let scope = tx.scope();
    let paywall = find(tx.read()?, &scope, ask.paywall)?;
    let found = identities::find(tx.read()?, paywall.no, &ask.user)?;
    let before = found.ok_or_else(|| Error::not_found("user"))?;
    if before.suspended == ask.suspended {
        return Ok(before);
    }
    let state = (ask.suspended, ask.reason.as_deref());
    identities::set_state(tx.write()?, paywall.no, &ask.user, state)?;
    tx.recall(Recall::Wallet(before.wallet));
    tell(tx, &paywall, (cause, ask), &before)?;
    let action = if ask.suspended { "paywall.user.suspended" } else { "paywall.user.resumed" };
    let entity = ("paywall_user", format!("{}:{}", ask.paywall, ask.user));
    let values = (
        Some(json!({ "suspended": before.suspended })),
        Some(json!({ "suspended": ask.suspended, "reason": ask.reason })),
    );
    crate::audit::record(tx, cause, action, entity, values)?;
    Ok(Identity { suspended: ask.suspended, reason: ask.reason.clone(), ..before })
}

fn tell(
    tx: &mut Tx<'_>,
    stored: &Stored,
    (cause, ask): (&Cause, &StateAsk),
    identity: &Identity,
) -> Result<(), Error> {
    let scope = tx.scope();
    let payer = crate::users::payer(tx, identity.wallet)?;
    let id = stored.paywall.id;
    let data = Data::new(id, scope.tenant)
        .with("walletUserId", payer.customer.to_string())
        .with("externalUserId", identity.external_id.clone())
        .maybe("reason", ask.reason.clone())
        .with("actorId", cause.actor.id.clone());
    let subject = Subject {
        kind: "paywall",
        id: id.to_string(),
        external_id: Some(identity.external_id.clone()),
    };
    let kind = if ask.suspended {
        EventType::PAYWALL_USER_SUSPENDED
    } else {
        EventType::PAYWALL_USER_RESUMED
    };
    tx.tell_paywall((stored.no, id), Some(payer), kind, cause, |telling| {
        let told = Told { paywall: id, data, metadata: None, actor: &cause.actor, subject };
        domain::event::paywall::render(telling, &told)
    })?;
    Ok(())
}
