//! `POST /wallets`: a wallet with its first credits (billing 4.1).

use std::collections::BTreeMap;

use domain::alert::settings::Settings;
use domain::amount::{Amount, Rate};
use domain::currency::Currency;
use domain::id::{CustomerId, WalletId};
use domain::ledger::credit::{self, Credit};
use domain::ledger::entry::{Activity, Details, Reason};
use domain::scope::Cause;
use domain::time::Timestamp;
use domain::wallet::patch::AutoTopupPatch;
use domain::wallet::{PriceType, Wallet, WalletStatus, WalletType};
use serde_json::json;
use store::Tx;
use store::customers::Stored;

use super::shown::{Shown, in_command};
use super::topup::Expiry;
use crate::error::Error;
use crate::{audit, customers};

/// Whose wallet it will be. Both names must mean the same customer.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    pub id: Option<CustomerId>,
    pub external_id: Option<String>,
}

#[derive(Clone, Debug)]
pub struct NewWallet {
    pub holder: Holder,
    pub currency: Currency,
    pub name: Option<String>,
    pub description: String,
    pub metadata: BTreeMap<String, String>,
    pub wallet_type: WalletType,
    pub conversion_rate: Rate,
    /// Like `conversion_rate` where nobody says.
    pub topup_conversion_rate: Option<Rate>,
    pub allowed_price_types: Option<Vec<PriceType>>,
    pub auto_topup: Option<AutoTopupPatch>,
    pub alert_settings: Option<Settings>,
    pub overdraft_limit: Amount,
    pub initial_credits: Option<Amount>,
    pub initial_expiry: Option<Expiry>,
}

/// Makes the wallet, tells `wallet.created`, and loads its first credits.
pub fn create(tx: &mut Tx<'_>, cause: &Cause, new: &NewWallet) -> Result<Shown, Error> {
    let holder = holder(tx, &new.holder)?;
    if let Some(expiry) = &new.initial_expiry {
        expiry.must_be_after(tx.now())?;
    }
    let wallet = wallet(tx.mint(), (tx.now(), &cause.actor.id), &holder, new)?;
    let id = wallet.id;
    let no = super::open(tx, cause, &holder, wallet)?;
    if let Some(credits) = new.initial_credits {
        load(tx, cause, no, credits, new.initial_expiry.as_ref().map(|expiry| expiry.at))?;
    }
    let shown = in_command(tx, no)?;
    let after = json!({ "customer_id": holder.customer.id, "currency": shown.wallet.currency });
    audit::record(tx, cause, "wallet.created", ("wallet", id.to_string()), (None, Some(after)))?;
    Ok(shown)
}

fn holder(tx: &mut Tx<'_>, named: &Holder) -> Result<Stored, Error> {
    let by_id = named.id.map(|id| customers::require(tx, id)).transpose()?;
    let by_name = named.external_id.as_deref();
    let by_name = by_name.map(|name| customers::require_external(tx, name)).transpose()?;
    match (by_id, by_name) {
        (Some(one), Some(other)) if one.no != other.no => Err(Error::invalid(
            "external_customer_id",
            "customer_id and external_customer_id name two customers",
        )),
        (Some(stored), _) | (None, Some(stored)) => Ok(stored),
        (None, None) => {
            Err(Error::invalid("customer_id", "customer_id or external_customer_id is required"))
        }
    }
}

fn wallet(
    id: domain::id::Ulid,
    (now, by): (Timestamp, &str),
    holder: &Stored,
    new: &NewWallet,
) -> Result<Wallet, Error> {
    let plan = new.auto_topup.as_ref().map(|plan| plan.apply(None)).transpose();
    let auto_topup = plan.map_err(super::change::missing)?;
    let types = || Wallet::default_price_types(new.wallet_type);
    let name = || Wallet::default_name(new.wallet_type, new.currency);
    Ok(Wallet {
        id: WalletId(id),
        customer_id: holder.customer.id,
        name: new.name.clone().unwrap_or_else(name),
        description: new.description.clone(),
        metadata: new.metadata.clone(),
        currency: new.currency,
        wallet_type: new.wallet_type,
        status: WalletStatus::Active,
        conversion_rate: new.conversion_rate,
        topup_conversion_rate: new.topup_conversion_rate.unwrap_or(new.conversion_rate),
        allowed_price_types: new.allowed_price_types.clone().unwrap_or_else(types),
        auto_topup,
        alert_settings: new.alert_settings.clone(),
        overdraft_limit: new.overdraft_limit,
        paywall: None,
        created_at: now,
        updated_at: now,
        created_by: by.to_owned(),
        updated_by: by.to_owned(),
    })
}

/// Initial credits are a top-up that is given.
fn load(
    tx: &mut Tx<'_>,
    cause: &Cause,
    no: i64,
    credits: Amount,
    expires_at: Option<Timestamp>,
) -> Result<(), Error> {
    let reason = Reason::FreeCreditGrant;
    tx.account(no, |account, log| {
        let amount = account.worth(credits);
        let credit = Credit {
            credits,
            amount,
            reason,
            activity: Activity::Topup,
            from: reason.origin_account(),
            priority: None,
            expires_at,
            details: Details::default(),
            key: None,
        };
        credit::add(account, log, cause, credit, None)
    })?
    .ok_or_else(|| Error::not_found("wallet"))??;
    Ok(())
}
