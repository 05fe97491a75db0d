//! Users of a paywall: who an external user id is, made at first sight.

use std::sync::Arc;

use domain::amount::Amount;
use domain::customer::NewCustomer;
use domain::id::{CustomerId, WalletId};
use domain::ledger::{Account, expiry};
use domain::paywall::ExternalUser;
use domain::place::Place;
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::wallet::{Payer, PaywallLink, Wallet, WalletStatus, WalletType};
use store::identities::{self, Identity};
use store::paywalls::Stored as StoredPaywall;
use store::{Read, Tx};

use crate::error::Error;
use crate::run::Engine;
use crate::{customers, trials, wallets};

/// A user that is known: where its money is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub wallet: i64,
    pub payer: Payer,
    pub first_seen_at: Timestamp,
    pub suspended: bool,
}

/// Sums over a wallet's completed entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub deposits: Amount,
    pub topups: Amount,
    pub trials: Amount,
    pub charges: Amount,
    pub refunds: Amount,
    /// Credits less debits.
    pub adjustments: Amount,
}

/// Totals up to and with the entry at a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalsAt {
    pub(crate) last: Option<Place>,
    pub(crate) totals: Totals,
}

impl Engine {
    /// The user behind an external id. Parallel first calls make one customer and one wallet.
    pub async fn sight(
        &self,
        scope: Scope,
        paywall: &Arc<StoredPaywall>,
        user: &ExternalUser,
        cause: &Cause,
    ) -> Result<Sight, Error> {
        if let Some(sight) = self.known_sight(&scope, paywall.no, user)? {
            return Ok(sight);
        }
        Box::pin(self.first_sight(scope, (paywall, user), cause)).await
    }

    async fn first_sight(
        &self,
        scope: Scope,
        (paywall, user): (&Arc<StoredPaywall>, &ExternalUser),
        cause: &Cause,
    ) -> Result<Sight, Error> {
        let seen = self.forgets();
        let (stored, named, cause) = (paywall.clone(), user.clone(), cause.clone());
        let sight = self.change(scope, move |tx| first_sight(tx, &stored, &named, &cause)).await?;
        let key = (paywall.no, user.as_str().to_owned());
        self.remember(&self.sights, seen, (key, sight.clone()));
        Ok(sight)
    }

    /// The users of a batch; those that were never seen are made in one command.
    pub async fn sights(
        &self,
        scope: Scope,
        paywall: &Arc<StoredPaywall>,
        users: Vec<ExternalUser>,
        cause: &Cause,
    ) -> Result<Vec<Sight>, Error> {
        let known = users.iter().map(|user| self.known_sight(&scope, paywall.no, user));
        let known = known.collect::<Result<Vec<_>, _>>()?;
        if known.iter().all(Option::is_some) {
            return Ok(known.into_iter().flatten().collect());
        }
        let (stored, cause) = (paywall.clone(), cause.clone());
        self.change(scope, move |tx| {
            let sights = known.iter().zip(&users).map(|(known, user)| match known {
                Some(sight) => Ok(sight.clone()),
                None => first_sight(tx, &stored, user, &cause),
            });
            sights.collect()
        })
        .await
    }

    /// The user from memory or from the table.
    fn known_sight(
        &self,
        scope: &Scope,
        paywall: i64,
        user: &ExternalUser,
    ) -> Result<Option<Sight>, Error> {
        let key = (paywall, user.as_str().to_owned());
        if let Some(sight) = self.sights.get(&key) {
            return Ok(Some(sight));
        }
        let seen = self.forgets();
        let known = self.read_now(|read| find(read, scope, paywall, user.as_str()))?;
        if let Some(sight) = &known {
            self.remember(&self.sights, seen, (key, sight.clone()));
        }
        Ok(known)
    }

    /// The user whose remembered wallet turned out to be closed: the next wallet, made if need be.
    pub(crate) async fn see_again(
        &self,
        scope: Scope,
        paywall: &Arc<StoredPaywall>,
        user: &ExternalUser,
        cause: &Cause,
    ) -> Result<Sight, Error> {
        self.forget_sight(paywall.no, user.as_str());
        self.sight(scope, paywall, user, cause).await
    }

    /// Forgets what is remembered of a user, because its state or its wallet changed.
    pub fn forget_sight(&self, paywall: i64, external_id: &str) {
        self.forget();
        self.sights.remove(&(paywall, external_id.to_owned()));
    }

    /// The user's account as it stands now: what has fallen due is posted before it is shown.
    pub async fn account_now(
        &self,
        scope: Scope,
        paywall: &Arc<StoredPaywall>,
        user: &ExternalUser,
        cause: &Cause,
    ) -> Result<(Account, Sight), Error> {
        let mut sight = self.sight(scope, paywall, user, cause).await?;
        let mut account = self.account(scope, sight.wallet).await?;
        if account.wallet.status == WalletStatus::Closed {
            sight = self.see_again(scope, paywall, user, cause).await?;
            account = self.account(scope, sight.wallet).await?;
        }
        Ok((account, sight))
    }

    /// The account of a wallet, with what has fallen due posted.
    pub(crate) async fn account(&self, scope: Scope, wallet: i64) -> Result<Account, Error> {
        let missing = || Error::not_found("wallet");
        let account = self.read_now(|read| Ok(store::accounts::load(read, wallet)?))?;
        let account = account.ok_or_else(missing)?;
        let now = self.now(&scope);
        if expiry::next_due(&account).is_none_or(|due| due > now) {
            return Ok(account);
        }
        self.movement(scope, move |tx| {
            tx.account(wallet, |account, _| account.clone())?.ok_or_else(missing)
        })
        .await
    }
}

/// The user as stored, if its wallet is open.
pub fn find(
    read: Read<'_>,
    scope: &Scope,
    paywall: i64,
    external_id: &str,
) -> Result<Option<Sight>, Error> {
    let Some(identity) = identities::find(read, paywall, external_id)? else { return Ok(None) };
    let Some(account) = store::accounts::load(read, identity.wallet)? else { return Ok(None) };
    if account.wallet.status == WalletStatus::Closed {
        return Ok(None);
    }
    debug_assert!(store::customers::find_by_no(read, scope, identity.customer)?.is_some());
    Ok(Some(Sight {
        wallet: identity.wallet,
        payer: account.wallet.payer(),
        first_seen_at: identity.created_at,
        suspended: identity.suspended,
    }))
}

/// Who pays from a wallet.
pub(crate) fn payer(tx: &mut Tx<'_>, wallet: i64) -> Result<Payer, Error> {
    let payer = tx.account_at_rest(wallet, |account, _| account.wallet.payer())?;
    payer.ok_or_else(|| Error::not_found("wallet"))
}

/// Makes customer, wallet and identity, each only where it is missing.
pub fn first_sight(
    tx: &mut Tx<'_>,
    paywall: &StoredPaywall,
    user: &ExternalUser,
    cause: &Cause,
) -> Result<Sight, Error> {
    let scope = tx.scope();
    if let Some(sight) = find(tx.read()?, &scope, paywall.no, user.as_str())? {
        return Ok(sight);
    }
    let external_id = paywall.paywall.customer_external_id(user);
    let known = store::customers::find_by_external_id(tx.read()?, &scope, &external_id)?;
    let customer = match known {
        Some(customer) => customer,
        None => customers::create(tx, cause, NewCustomer::named(&external_id))?,
    };
    let wallet = wallet_of(tx, paywall, user, (customer.customer.id, cause));
    let payer = wallet.payer();
    let no = wallets::open(tx, cause, &customer, wallet)?;
    let now = tx.now();
    let before = identities::find(tx.read()?, paywall.no, user.as_str())?;
    let is_new = before.is_none();
    let identity = Identity {
        paywall: paywall.no,
        external_id: user.as_str().to_owned(),
        customer: customer.no,
        wallet: no,
        suspended: before.as_ref().is_some_and(|identity| identity.suspended),
        reason: before.as_ref().and_then(|identity| identity.reason.clone()),
        created_at: before.map_or(now, |identity| identity.created_at),
    };
    identities::insert(tx.write()?, &identity)?;
    if is_new {
        trials::grant(tx, paywall, (customer.no, no), cause)?;
    }
    Ok(Sight {
        wallet: no,
        payer,
        first_seen_at: identity.created_at,
        suspended: identity.suspended,
    })
}

fn wallet_of(
    tx: &mut Tx<'_>,
    paywall: &StoredPaywall,
    user: &ExternalUser,
    (customer_id, cause): (CustomerId, &Cause),
) -> Wallet {
    let config = &paywall.paywall;
    let wallet_type = WalletType::PrePaid;
    Wallet {
        id: WalletId(tx.mint()),
        customer_id,
        name: config.name.clone(),
        description: String::new(),
        metadata: [("paywall_id".to_owned(), config.id.to_string())].into(),
        currency: config.currency,
        wallet_type,
        status: WalletStatus::Active,
        conversion_rate: domain::amount::Rate::ONE,
        topup_conversion_rate: domain::amount::Rate::ONE,
        allowed_price_types: Wallet::default_price_types(wallet_type),
        auto_topup: None,
        alert_settings: None,
        overdraft_limit: config.overdraft,
        paywall: Some(PaywallLink {
            id: config.id,
            no: paywall.no,
            external_user: user.as_str().to_owned(),
            decimals: config.decimals,
        }),
        created_at: tx.now(),
        updated_at: tx.now(),
        created_by: cause.actor.id.clone(),
        updated_by: cause.actor.id.clone(),
    }
}
