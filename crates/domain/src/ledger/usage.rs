//! What a proxied request is charged: out of its holds, and never further than the wallet's floor
//! (paywalls 17.6).

use super::account::Account;
use super::entry::{Announce, Details};
use super::hold::{self, Capture};
use super::log::Log;
use super::refusal::Refusal;
use super::spend::{self, Charge};
use crate::amount::Amount;
use crate::paywall::Fees;
use crate::place::Place;
use crate::scope::Cause;

/// The price of a request that has ended, or of several that are paid at once.
#[derive(Clone, Debug)]
pub struct UsageCharge<'h> {
    /// The holds that were made for it; those that are gone count as nothing.
    pub holds: &'h [Place],
    /// Of each request.
    pub prices: &'h [Amount],
    /// What the wallet must keep for requests that are still under way.
    pub kept: Amount,
    pub fees: Fees,
    pub details: Details,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    pub place: Place,
    pub taken: Amount,
    /// What the wallet did not have; nobody owes it.
    pub uncollected: Amount,
}

/// Takes the price once and frees the rest of the holds.
pub fn collect(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    ask: UsageCharge<'_>,
) -> Result<Collected, Refusal> {
    account.must_move()?;
    let open: Vec<Place> = open_holds(account, ask.holds);
    let price: Amount = ask.prices.iter().copied().sum();
    let fee = |taken| shared_out(ask.prices, taken).map(|part| ask.fees.of(part)).sum();
    let covered = |hold: Place| {
        let covers = |amount| price + ask.kept <= amount;
        account
            .holds
            .iter()
            .any(|open| open.place == hold && covers(open.amount) && open.deadline > log.now)
    };
    if let [only] = open[..]
        && covered(only)
    {
        let (part, fee) = (Some(price), fee(price));
        let capture = Capture { hold: only, part, fee, details: ask.details, key: None };
        let place = hold::capture(account, log, cause, capture)?;
        return Ok(Collected { place, taken: price, uncollected: Amount::ZERO });
    }
    free(account, log, cause, &open)?;
    let taken = price.min((account.available() - ask.kept).or_zero());
    let charge = Charge { credits: taken, fee: fee(taken), details: ask.details, key: None };
    let place = spend::post_charge(account, log, cause, (charge, Announce::Transaction));
    Ok(Collected { place, taken, uncollected: price - taken })
}

/// What each of the prices gets of what was taken: the first ones all, the last ones the rest.
pub fn shared_out(prices: &[Amount], taken: Amount) -> impl Iterator<Item = Amount> {
    prices.iter().scan(taken, |left, price| {
        let part = (*price).min(*left);
        *left -= part;
        Some(part)
    })
}

/// Frees the holds of a request that costs nothing.
pub fn free(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    holds: &[Place],
) -> Result<(), Refusal> {
    for hold in open_holds(account, holds) {
        hold::release(account, log, cause, hold, "settled")?;
    }
    Ok(())
}

fn open_holds(account: &Account, holds: &[Place]) -> Vec<Place> {
    let is_open = |place: &&Place| account.holds.iter().any(|open| open.place == **place);
    holds.iter().filter(is_open).copied().collect()
}
