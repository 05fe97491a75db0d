//! The ledger of a paywall, row by row and explained.

use std::sync::Arc;

use domain::amount::Amount;
use domain::customer::Customer;
use domain::event::Event;
use domain::event::entry::{Facts, events};
use domain::id::TransactionId;
use domain::ledger::Entry;
use domain::ledger::entry::Activity;
use domain::place::{Place, Placed};
use domain::scope::Scope;
use domain::wallet::Wallet;
use store::activities::Filter;
use store::events::Versions;
use store::paywalls::Stored;
use store::{Read, entries, refunds};

use crate::error::Error;
use crate::run::Engine;

/// Refunds of one charge that are listed; their sum counts all.
const REFUNDS_MAX: u32 = 100;

/// A row with the wallet and the customer as they were.
#[derive(Clone, Debug)]
pub struct ActivityRow {
    pub entry: Entry,
    pub wallet: Arc<Wallet>,
    pub customer: Arc<Customer>,
}

/// One row with what it used and what it told.
#[derive(Clone, Debug)]
pub struct Explained {
    pub row: ActivityRow,
    /// The credits that it took from, each with how much.
    /// Of a refund: those that it gave back to, itself among them where it made a lot.
    pub lots: Vec<(Entry, Amount)>,
    pub events: Vec<Event>,
    /// All that went back of a charge, and the newest refunds that say so.
    pub refunded: Amount,
    pub refunds: Vec<Entry>,
}

impl Engine {
    /// Rows of the paywall's ledger, newest first, below `before`.
    pub async fn paywall_ledger(
        &self,
        scope: Scope,
        paywall: Arc<Stored>,
        filter: Filter,
        (before, limit): (Option<Place>, u32),
    ) -> Result<Vec<ActivityRow>, Error> {
        self.read_aside(move |read| {
            let names = (paywall.no, paywall.paywall.id);
            let page = store::activities::page(read, &scope, names, &filter, (before, limit))?;
            let mut versions = Versions::default();
            page.into_iter().map(|entry| row(read, &mut versions, entry)).collect()
        })
        .await
    }

    /// One entry of the paywall; another paywall's is not there.
    pub async fn paywall_activity(
        &self,
        scope: Scope,
        paywall: Arc<Stored>,
        id: TransactionId,
    ) -> Result<Explained, Error> {
        self.read_aside(move |read| explain(read, &scope, &paywall, id)).await
    }
}

fn row(read: Read<'_>, versions: &mut Versions, entry: Entry) -> Result<ActivityRow, Error> {
    let (wallet, customer) = versions.of_entry(read, &entry)?;
    Ok(ActivityRow { entry, wallet, customer })
}

fn explain(
    read: Read<'_>,
    scope: &Scope,
    paywall: &Stored,
    id: TransactionId,
) -> Result<Explained, Error> {
    let missing = || Error::not_found("activity");
    let entry = entries::find(read, scope, id.place())?.ok_or_else(missing)?;
    let row = row(read, &mut Versions::default(), entry)?;
    let link = row.wallet.paywall.as_ref();
    if row.entry.id() != id || link.is_none_or(|link| link.no != paywall.no) {
        return Err(missing());
    }
    let lots = lots(read, scope, &row.entry)?;
    let facts =
        Facts { scope: *scope, entry: &row.entry, wallet: &row.wallet, customer: &row.customer };
    let events = events(&facts);
    let (refunded, _) = refunds::totals(read, scope, row.entry.place, None)?;
    let refunds = newest_refunds(read, scope, row.entry.place)?;
    Ok(Explained { row, lots, events, refunded, refunds })
}

fn lots(read: Read<'_>, scope: &Scope, entry: &Entry) -> Result<Vec<(Entry, Amount)>, Error> {
    let missing = || Error::not_found("activity");
    let mut lots = Vec::new();
    for taken in &entry.taken {
        let lot = entries::find(read, scope, taken.lot)?.ok_or_else(missing)?;
        lots.push((lot, taken.credits));
    }
    if entry.activity == Activity::Refund && entry.own_lot().is_positive() {
        lots.push((entry.clone(), entry.own_lot()));
    }
    Ok(lots)
}

fn newest_refunds(read: Read<'_>, scope: &Scope, charge: Place) -> Result<Vec<Entry>, Error> {
    let mut rows = Vec::new();
    for refund in refunds::page(read, scope, charge, REFUNDS_MAX)? {
        rows.extend(entries::find(read, scope, refund.entry)?);
    }
    Ok(rows)
}
