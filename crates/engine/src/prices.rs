//! The price book of a paywall: rows are added and end each other, and none is ever edited
//! (paywalls 14.3).

use domain::id::{PaywallId, PriceId};
use domain::ledger::entry::KeyUse;
use domain::paywall::Change;
use domain::proxy::catalogue::catalogue;
use domain::proxy::{PriceError, PriceList, PriceRow};
use domain::scope::{Cause, Scope};
use serde_json::{Map, Value, json};
use store::Tx;
use store::prices::{self, Only, StoredPrice};

use crate::error::{Class, Error, Fault};
use crate::idempotency::{Answered, Reply};
use crate::paywall_states::publish;
use crate::paywalls::find;
use crate::run::Engine;

/// Rows of one paywall at most: they are all in memory while it is used.
const ROWS_MAX: usize = 5_000;

impl Engine {
    /// Adds a row, once for its key, and ends the open one before it.
    pub async fn create_paywall_price(
        &self,
        scope: Scope,
        cause: Cause,
        (id, body, key): (PaywallId, Value, Option<KeyUse>),
        render: impl Fn(&PriceRow) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let work = move |tx: &mut Tx<'_>| create(tx, &cause, id, &body);
        let answered = self.once(scope, key, work, render).await?;
        self.forget_paywall(self.read_now(|read| find(read, &scope, id))?.no);
        Ok(answered)
    }

    /// Newest first, below number `before`.
    pub fn paywall_prices(
        &self,
        scope: &Scope,
        id: PaywallId,
        only: &Only,
        (before, limit): (Option<i64>, u32),
    ) -> Result<Vec<StoredPrice>, Error> {
        self.read_now(|read| {
            let paywall = find(read, scope, id)?;
            Ok(prices::page(read, paywall.no, only, (before, limit))?)
        })
    }

    /// A row of the paywall, or of the shipped catalogue: charges name both.
    pub fn paywall_price(
        &self,
        scope: &Scope,
        id: PaywallId,
        price: PriceId,
    ) -> Result<PriceRow, Error> {
        self.read_now(|read| {
            let paywall = find(read, scope, id)?;
            let own = prices::find(read, paywall.no, price)?.map(|stored| stored.row);
            let row = own.or_else(|| catalogue().find(price).cloned());
            row.ok_or_else(|| Error::not_found("price"))
        })
    }
}

fn create(tx: &mut Tx<'_>, cause: &Cause, id: PaywallId, body: &Value) -> Result<PriceRow, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let paywall = find(tx.read()?, &scope, id)?;
    let price = PriceId(tx.mint());
    let row = PriceRow::from_json(body, price, now, paywall.paywall.currency).map_err(refusal)?;
    let rows = prices::of_paywall(tx.read()?, paywall.no)?;
    if rows.len() >= ROWS_MAX {
        let message = format!("a paywall has at most {ROWS_MAX} price rows");
        return Err(Error::conflict("too_many_prices", message));
    }
    let ended = end_before(&rows, &row)?;
    if let Some((_, after)) = &ended {
        prices::end(tx.write()?, paywall.no, after)?;
    }
    prices::insert(tx.write()?, paywall.no, &row)?;
    let line = format!("price of {} at {} set", row.model, row.provider);
    let change = Change::beside(paywall.paywall, ("prices".to_owned(), line));
    let shown = |row: Option<&PriceRow>| Map::from_iter([("prices".to_owned(), json!(row))]);
    let values = (shown(ended.as_ref().map(|(before, _)| before)), shown(Some(&row)));
    publish(tx, cause, paywall.no, (change, values))?;
    Ok(row)
}

/// The row that the new one ends, before and after.
fn end_before(rows: &[PriceRow], new: &PriceRow) -> Result<Option<(PriceRow, PriceRow)>, Error> {
    let list: PriceList = rows.iter().cloned().collect();
    let ended = list
        .ended_by(new)
        .map_err(|overlap| Error::conflict("price_overlap", format!("the row {overlap}")))?;
    let before = rows.iter().find(|row| Some(row.id) == ended);
    Ok(before.map(|before| {
        let after = PriceRow { effective_to: Some(new.effective_from), ..before.clone() };
        (before.clone(), after)
    }))
}

fn refusal(error: PriceError) -> Error {
    let message = error.to_string();
    Fault::new(Class::Invalid, "validation_error", message).at(error.field).into()
}
