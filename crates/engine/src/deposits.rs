//! Deposits into a paywall user's wallet (paywalls 11.1).

use std::sync::Arc;

use domain::amount::Amount;
use domain::ledger::Refusal;
use domain::ledger::credit::{self, Credit};
use domain::ledger::entry::{Activity, Details, KeyUse, Reason};
use domain::ledger::lot::PAID_PRIORITY;
use domain::paywall::ExternalUser;
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use store::Tx;
use store::idempotency::Worked;
use store::paywalls::Stored as StoredPaywall;

use crate::blocks::Caller;
use crate::charges::{Moved, posted_entry, replayed};
use crate::error::Error;
use crate::run::Engine;

/// Where credit comes from, and so which lots are spent first (paywalls 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Trial,
    Promo,
    Deposit,
}

impl Origin {
    pub fn parse(text: &str) -> Option<Origin> {
        match text {
            "trial" => Some(Origin::Trial),
            "promo" => Some(Origin::Promo),
            "deposit" => Some(Origin::Deposit),
            _ => None,
        }
    }

    pub(crate) fn priority(self) -> i64 {
        match self {
            Origin::Trial => 10,
            Origin::Promo => 20,
            Origin::Deposit => PAID_PRIORITY,
        }
    }

    pub(crate) fn activity(self) -> Activity {
        match self {
            Origin::Trial => Activity::Trial,
            Origin::Promo | Origin::Deposit => Activity::Deposit,
        }
    }

    pub(crate) fn reason(self) -> Reason {
        match self {
            Origin::Trial | Origin::Promo => Reason::FreeCreditGrant,
            Origin::Deposit => Reason::PurchasedCreditDirect,
        }
    }
}

#[derive(Clone, Debug)]
pub struct DepositAsk {
    pub paywall: Arc<StoredPaywall>,
    pub user: ExternalUser,
    pub amount: Amount,
    pub origin: Origin,
    pub expires_at: Option<Timestamp>,
    /// The text of a JSON object.
    pub metadata: Option<String>,
    pub key: Option<KeyUse>,
    pub cause: Cause,
}

impl Engine {
    pub async fn deposit(&self, scope: Scope, ask: DepositAsk) -> Result<Moved, Error> {
        let sight = self.sight(scope, &ask.paywall, &ask.user, &ask.cause).await?;
        let caller = Caller { user: &ask.user, sight: &sight, cause: &ask.cause };
        if let Some(moved) = self.gate(scope, &ask.paywall, caller, ask.key.as_ref()).await? {
            return Ok(moved);
        }
        let (ask, wallet) = (Arc::new(ask), sight.wallet);
        let asked = ask.clone();
        match self.movement(scope, move |tx| deposit(tx, wallet, &asked)).await {
            Err(Error::Refused(Refusal::WalletClosed)) => {
                let sight = self.see_again(scope, &ask.paywall, &ask.user, &ask.cause).await?;
                self.movement(scope, move |tx| deposit(tx, sight.wallet, &ask)).await
            }
            moved => moved,
        }
    }
}

fn deposit(tx: &mut Tx<'_>, wallet: i64, ask: &DepositAsk) -> Result<Moved, Error> {
    if let Some(moved) = replayed(tx, ask.key.as_ref())? {
        return Ok(moved);
    }
    let reason = ask.origin.reason();
    let credit = Credit {
        credits: ask.amount,
        amount: ask.amount,
        reason,
        activity: ask.origin.activity(),
        from: reason.origin_account(),
        priority: Some(ask.origin.priority()),
        expires_at: ask.expires_at,
        details: Details { call_metadata: ask.metadata.clone(), ..Details::default() },
        key: ask.key.clone(),
    };
    let posted = tx.account(wallet, |account, log| {
        let (place, _) = credit::add(account, log, &ask.cause, credit, None)?;
        Ok::<_, Refusal>(place)
    });
    let place = posted?.ok_or_else(|| Error::not_found("wallet"))??;
    if let Some(key) = &ask.key {
        tx.remember(&key.route, &key.key, Worked::Entry(place));
    }
    posted_entry(tx, place)
}
