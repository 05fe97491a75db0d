//! `POST /wallets/:id/top-up`: credits at once, with their bonus (billing 4.7, 4.8).

use std::collections::BTreeMap;

use domain::amount::{Amount, Rounding};
use domain::id::WalletId;
use domain::ledger::credit::{self, Bonus, Credit};
use domain::ledger::entry::{Activity, Details, KeyUse, Reason};
use domain::ledger::{Account, Refusal};
use domain::place::Place;
use domain::scope::Cause;
use domain::setting::Setting;
use domain::time::Timestamp;
use domain::topup_bonus::TopupBonus;
use store::Tx;

use super::shown::{Row, Shown, in_command};
use crate::error::Error;

/// An instant at which credits end, and the field that said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    pub at: Timestamp,
    pub field: &'static str,
}

#[derive(Clone, Debug)]
pub struct TopupAsk {
    pub wallet: WalletId,
    pub credits: Option<Amount>,
    /// Price in currency; with `credits` it must agree with them.
    pub amount: Option<Amount>,
    pub reason: Reason,
    pub expiry: Option<Expiry>,
    pub priority: Option<i64>,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub bonus_credits: Option<Amount>,
    pub bonus_expiry: Option<Expiry>,
    pub key: Option<KeyUse>,
}

/// The top-up's row, and the wallet after the whole operation.
#[derive(Clone, Debug)]
pub struct ToppedUp {
    pub row: Row,
    pub shown: Shown,
}

impl Expiry {
    pub fn must_be_after(&self, now: Timestamp) -> Result<(), Error> {
        if self.at > now {
            return Ok(());
        }
        Err(Error::invalid(self.field, format!("{} is not after now", self.field)))
    }
}

pub fn top_up(tx: &mut Tx<'_>, cause: &Cause, ask: &TopupAsk) -> Result<ToppedUp, Error> {
    for expiry in [&ask.expiry, &ask.bonus_expiry].into_iter().flatten() {
        expiry.must_be_after(tx.now())?;
    }
    let no = super::number(tx, ask.wallet)?;
    let config = bonus_config(tx, ask)?;
    let now = tx.now();
    let posted = tx.account(no, |account, log| {
        // A closed wallet says so before anything about the numbers.
        account.must_move()?;
        let credits = credits(account, ask)?;
        let bonus = bonus(ask, &config, (credits, now));
        let credit = credit(account, ask, credits);
        let (place, _) = credit::add(account, log, cause, credit, bonus)?;
        Ok::<_, Error>((place, account.wallet.clone(), account.customer.clone()))
    })?;
    let (place, wallet, customer) = posted.ok_or_else(|| Error::not_found("wallet"))??;
    let entry = tx.entry(place)?.ok_or_else(|| Error::not_found("transaction"))?;
    let available = rest_of(tx, no, place)?;
    let row = Row { entry, wallet, customer, available: Some(available) };
    Ok(ToppedUp { row, shown: in_command(tx, no)? })
}

/// An explicit bonus beats the setting, and only a purchase has one.
fn bonus_config(tx: &mut Tx<'_>, ask: &TopupAsk) -> Result<TopupBonus, Error> {
    if ask.bonus_credits.is_some() || ask.reason != Reason::PurchasedCreditDirect {
        return Ok(TopupBonus::default());
    }
    let scope = tx.scope();
    let name = Setting::BonusCreditsTopup.name();
    let setting = store::settings::find(tx.read()?, &scope, name)?;
    let stored = setting.and_then(|setting| TopupBonus::from_json(&setting.value).ok());
    Ok(stored.unwrap_or_default())
}

fn bonus(
    ask: &TopupAsk,
    config: &TopupBonus,
    (credits, now): (Amount, Timestamp),
) -> Option<Bonus> {
    if let Some(credits) = ask.bonus_credits {
        return Some(Bonus { credits, expires_at: ask.bonus_expiry.map(|expiry| expiry.at) });
    }
    let slab = config.slab_of(credits)?;
    let credits = slab.bonus_of(credits);
    let expires_at = slab.expires_after.map(|lifetime| lifetime.end(now));
    credits.is_positive().then_some(Bonus { credits, expires_at })
}

/// What is added, in credits; an amount buys them at the top-up rate.
fn credits(account: &Account, ask: &TopupAsk) -> Result<Amount, Error> {
    let rate = account.wallet.topup_conversion_rate;
    let round = Rounding::HalfAwayFromZero;
    let bought = ask.amount.map(|amount| amount.divided_by(rate, round));
    match (ask.credits, bought) {
        (Some(credits), Some(bought)) => {
            let agree = credits == bought || ask.amount == Some(credits.times(rate, round));
            if agree { Ok(credits) } else { Err(differ()) }
        }
        (Some(credits), None) => Ok(credits),
        (None, Some(bought)) if !bought.in_range() => Err(Refusal::OutOfRange.into()),
        (None, Some(bought)) if bought.is_positive() => Ok(bought),
        (None, Some(_)) => {
            Err(Error::invalid("amount", "amount buys less than 0.000000001 credits"))
        }
        (None, None) => {
            Err(Error::invalid("credits_to_add", "credits_to_add or amount is required"))
        }
    }
}

fn differ() -> Error {
    Error::invalid("amount", "amount and credits_to_add do not agree at the wallet's top-up rate")
}

/// A purchase is posted at its price, everything else at its worth.
fn credit(account: &Account, ask: &TopupAsk, credits: Amount) -> Credit {
    let paid =
        matches!(ask.reason, Reason::PurchasedCreditDirect | Reason::PurchasedCreditInvoiced);
    let rate = account.wallet.topup_conversion_rate;
    let price = credits.times(rate, Rounding::HalfAwayFromZero);
    Credit {
        credits,
        amount: if paid { price } else { account.worth(credits) },
        reason: ask.reason,
        activity: Activity::Topup,
        from: ask.reason.origin_account(),
        priority: ask.priority,
        expires_at: ask.expiry.map(|expiry| expiry.at),
        details: Details {
            description: ask.description.clone(),
            metadata: ask.metadata.clone(),
            ..Details::default()
        },
        key: ask.key.clone(),
    }
}

/// What is left of the lot at `place`.
pub(super) fn rest_of(tx: &mut Tx<'_>, no: i64, place: Place) -> Result<Amount, Error> {
    let rest = tx.account_at_rest(no, |account, _| {
        account.lots.iter().find(|lot| lot.place == place).map(|lot| lot.remaining)
    })?;
    Ok(rest.flatten().unwrap_or_default())
}
