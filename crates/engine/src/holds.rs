//! Two-phase charges: reserve, then capture once or release (paywalls 12.1).
//!
//! An open hold is part of its wallet's account. How one ended is told by the entry that ended it,
//! or by its deadline.

use std::sync::Arc;

use domain::amount::Amount;
use domain::id::HoldId;
use domain::ledger::entry::{Details, KeyUse, Kind};
use domain::ledger::hold::{self, Capture, Reserve};
use domain::ledger::{Entry, Refusal};
use domain::paywall::ExternalUser;
use domain::place::Placed;
use domain::scope::{Cause, Scope};
use domain::time::{SECOND_MS, Timestamp};
use domain::wallet::Wallet;
use store::idempotency::Worked;
use store::paywalls::Stored as StoredPaywall;
use store::{Read, Tx};

use crate::blocks::Caller;
use crate::charges::{Moved, free_balance, posted_entry, replayed, tell_depleted};
use crate::error::Error;
use crate::idempotency::{Answered, Reply};
use crate::run::Engine;
use crate::topup_links::{self, SpareToken, TopupLink};
use crate::users::Sight;

#[derive(Clone, Debug)]
pub struct HoldAsk {
    pub paywall: Arc<StoredPaywall>,
    pub user: ExternalUser,
    pub amount: Amount,
    pub expires_in_s: i64,
    /// The text of a JSON object.
    pub metadata: Option<String>,
    pub key: Option<KeyUse>,
    pub cause: Cause,
}

/// A hold found too little; nothing was reserved.
#[derive(Clone, Debug)]
pub struct Shortage {
    pub required: Amount,
    pub available: Amount,
    pub link: Option<TopupLink>,
}

#[derive(Clone, Debug)]
pub enum Held {
    Reserved(Box<Moved>),
    TooLittle(Shortage),
}

#[derive(Clone, Debug, PartialEq)]
pub enum HoldState {
    Held,
    /// With the entry of the charge.
    Captured(Box<Entry>),
    Released,
    Expired,
}

/// A hold as the API shows it.
#[derive(Clone, Debug)]
pub struct HoldView {
    pub entry: Entry,
    pub wallet: Arc<Wallet>,
    pub state: HoldState,
}

/// Which hold a call names: of which paywall, and of which user if it says one.
#[derive(Clone, Debug)]
pub struct HoldRef {
    pub paywall: Arc<StoredPaywall>,
    pub id: HoldId,
    pub user: Option<ExternalUser>,
}

/// What a capture asks; without an amount, all of it.
#[derive(Clone, Debug)]
pub struct CaptureAsk {
    pub hold: HoldRef,
    pub amount: Option<Amount>,
    pub metadata: Option<String>,
    pub key: Option<KeyUse>,
    pub cause: Cause,
}

impl HoldView {
    /// A hold that was just made, as its entry tells it.
    pub fn fresh(moved: Moved) -> HoldView {
        HoldView { entry: moved.entry, wallet: moved.wallet, state: HoldState::Held }
    }

    pub fn id(&self) -> HoldId {
        self.entry.place.hold_id(self.entry.at)
    }
}

impl Engine {
    pub async fn hold(&self, scope: Scope, ask: HoldAsk) -> Result<Held, Error> {
        let sight = self.sight(scope, &ask.paywall, &ask.user, &ask.cause).await?;
        let caller = Caller { user: &ask.user, sight: &sight, cause: &ask.cause };
        if let Some(moved) = self.gate(scope, &ask.paywall, caller, ask.key.as_ref()).await? {
            return Ok(Held::Reserved(Box::new(moved)));
        }
        let ask = Arc::new(ask);
        match self.hold_on_wallet(scope, sight, ask.clone()).await {
            Err(Error::Refused(Refusal::WalletClosed)) => {
                let sight = self.see_again(scope, &ask.paywall, &ask.user, &ask.cause).await?;
                self.hold_on_wallet(scope, sight, ask).await
            }
            held => held,
        }
    }

    async fn hold_on_wallet(
        &self,
        scope: Scope,
        sight: Sight,
        ask: Arc<HoldAsk>,
    ) -> Result<Held, Error> {
        let wallet = sight.wallet;
        let reserve = || {
            let asked = ask.clone();
            move |tx: &mut Tx<'_>| reserve(tx, wallet, &asked)
        };
        match self.moved_with_leases(scope, wallet, reserve).await {
            Ok(moved) => Ok(Held::Reserved(Box::new(moved))),
            Err(Error::Refused(Refusal::InsufficientBalance { .. })) => {
                let spare = self.spare_token();
                self.change(scope, move |tx| reserve_or_tell(tx, &sight, &ask, &spare)).await
            }
            Err(error) => Err(error),
        }
    }

    pub fn find_hold(&self, scope: Scope, hold: &HoldRef) -> Result<HoldView, Error> {
        let now = self.now(&scope);
        self.read_now(|read| view(read, &scope, hold, now))
    }

    /// Takes all or part, once, and releases the rest.
    pub async fn capture_hold(
        &self,
        scope: Scope,
        ask: CaptureAsk,
        render: impl Fn(&HoldView) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        self.once(scope, ask.key.clone(), move |tx| capture(tx, &ask), render).await
    }

    pub async fn release_hold(
        &self,
        scope: Scope,
        (hold, key): (HoldRef, Option<KeyUse>),
        cause: Cause,
        render: impl Fn(&HoldView) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        self.once(scope, key, move |tx| release(tx, &hold, &cause), render).await
    }
}

fn reserve(tx: &mut Tx<'_>, wallet: i64, ask: &HoldAsk) -> Result<Moved, Error> {
    if let Some(moved) = replayed(tx, ask.key.as_ref())? {
        return Ok(moved);
    }
    let asked = Reserve {
        credits: ask.amount,
        deadline: tx.now().plus_ms(ask.expires_in_s.saturating_mul(SECOND_MS)),
        details: Details { call_metadata: ask.metadata.clone(), ..Details::default() },
        key: ask.key.clone(),
        quiet: false,
    };
    let place = tx
        .account(wallet, |account, log| hold::reserve(account, log, &ask.cause, asked))?
        .ok_or_else(|| Error::not_found("wallet"))??;
    if let Some(key) = &ask.key {
        tx.remember(&key.route, &key.key, Worked::Entry(place));
    }
    posted_entry(tx, place)
}

fn reserve_or_tell(
    tx: &mut Tx<'_>,
    sight: &Sight,
    ask: &HoldAsk,
    spare: &SpareToken,
) -> Result<Held, Error> {
    match reserve(tx, sight.wallet, ask) {
        Ok(moved) => Ok(Held::Reserved(Box::new(moved))),
        Err(Error::Refused(Refusal::InsufficientBalance { required, .. })) => {
            let available = free_balance(tx, sight.wallet)?;
            let caller = Caller { user: &ask.user, sight, cause: &ask.cause };
            tell_depleted(tx, &ask.paywall, caller, (required, available))?;
            let user = (ask.user.as_str(), sight);
            let link = topup_links::live_or_new(tx, &ask.paywall, user, spare, &ask.cause)?;
            Ok(Held::TooLittle(Shortage { required, available, link }))
        }
        Err(error) => Err(error),
    }
}

fn capture(tx: &mut Tx<'_>, ask: &CaptureAsk) -> Result<HoldView, Error> {
    let mut view = open(tx, &ask.hold)?;
    let part = ask.amount.unwrap_or(view.entry.credits);
    let asked = Capture {
        hold: view.entry.place,
        part: Some(part),
        fee: ask.hold.paywall.paywall.fees.of(part),
        details: Details { call_metadata: ask.metadata.clone(), ..Details::default() },
        key: None,
    };
    let place = tx
        .account(view.entry.wallet_no, |account, log| {
            hold::capture(account, log, &ask.cause, asked)
        })?
        .ok_or_else(|| Error::not_found("wallet"))??;
    store::holds::insert_end(tx.write()?, view.entry.place, place)?;
    let charge = posted_entry(tx, place)?.entry;
    view.state = HoldState::Captured(Box::new(charge));
    Ok(view)
}

fn release(tx: &mut Tx<'_>, hold: &HoldRef, cause: &Cause) -> Result<HoldView, Error> {
    let mut view = open(tx, hold)?;
    let begun = view.entry.place;
    let place = tx
        .account(view.entry.wallet_no, |account, log| {
            hold::release(account, log, cause, begun, "released")
        })?
        .ok_or_else(|| Error::not_found("wallet"))??;
    store::holds::insert_end(tx.write()?, begun, place)?;
    view.state = HoldState::Released;
    Ok(view)
}

/// The hold, if it is still held.
fn open(tx: &mut Tx<'_>, hold: &HoldRef) -> Result<HoldView, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let view = view(tx.read()?, &scope, hold, now)?;
    match view.state {
        HoldState::Held => Ok(view),
        HoldState::Expired => Err(Refusal::HoldExpired.into()),
        HoldState::Captured(_) | HoldState::Released => Err(Refusal::HoldClosed.into()),
    }
}

/// The hold as stored. Another paywall's and another user's are not there.
fn view(read: Read<'_>, scope: &Scope, hold: &HoldRef, now: Timestamp) -> Result<HoldView, Error> {
    let missing = || Error::not_found("hold");
    let entry = store::entries::find(read, scope, hold.id.place())?.ok_or_else(missing)?;
    if entry.kind != Kind::Hold || entry.place.hold_id(entry.at) != hold.id {
        return Err(missing());
    }
    let (wallet, _) = store::events::Versions::default().of_entry(read, &entry)?;
    let is_named = wallet.paywall.as_ref().is_some_and(|link| {
        let user = hold.user.as_ref();
        link.no == hold.paywall.no && user.is_none_or(|user| user.as_str() == link.external_user)
    });
    if !is_named {
        return Err(missing());
    }
    let state = state(read, scope, &entry, now)?;
    Ok(HoldView { entry, wallet, state })
}

fn state(read: Read<'_>, scope: &Scope, entry: &Entry, now: Timestamp) -> Result<HoldState, Error> {
    let Some(place) = store::holds::find_end(read, scope, entry.place)? else {
        let is_over = entry.details.expires_at.is_some_and(|deadline| deadline <= now);
        return Ok(if is_over { HoldState::Expired } else { HoldState::Held });
    };
    let end = store::entries::find(read, scope, place)?.ok_or_else(|| Error::not_found("hold"))?;
    Ok(match end.kind {
        Kind::Debit => HoldState::Captured(Box::new(end)),
        _ => HoldState::Released,
    })
}
