//! How much of each charge was refunded. The entries say it too; this says it without reading them.
//!
//! Every row carries the sums up to it, so the newest row of a charge is the answer.

use std::collections::BTreeMap;

use crate::sql::{OptionalExtension, params};
use domain::amount::Amount;
use domain::id::RequestId;
use domain::place::Place;
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Money};

/// One entry that gave credits of a charge back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refund {
    pub charge: Place,
    pub entry: Place,
    /// The request that it was asked for: a part of the charge, or all of it.
    pub request: Option<RequestId>,
    pub credits: Amount,
}

/// What was given back of the charge, and of the part of it that is one request.
pub fn totals(
    read: Read<'_>,
    scope: &Scope,
    charge: Place,
    request: Option<RequestId>,
) -> Result<(Amount, Amount), Error> {
    if charge.env() != scope.env {
        return Ok((Amount::ZERO, Amount::ZERO));
    }
    let newest = |column: &str, filter: &str, key: &[&dyn crate::sql::ToSql]| {
        let mut select = read.connection.prepare_cached(&format!(
            "SELECT {column} FROM refunds WHERE charge = ?1{filter} ORDER BY entry DESC LIMIT 1"
        ))?;
        let sum: Option<Money> = select.query_row(key, |row| row.get(0)).optional()?;
        Ok::<_, Error>(sum.map_or(Amount::ZERO, |sum| sum.0))
    };
    let of_charge = newest("total", "", &[&charge.raw()])?;
    let Some(request) = request else { return Ok((of_charge, Amount::ZERO)) };
    let key: [&dyn crate::sql::ToSql; 2] = [&charge.raw(), &Key(request.0)];
    Ok((of_charge, newest("request_total", " AND request = ?2", &key)?))
}

pub fn insert(write: Write<'_>, scope: &Scope, refund: &Refund) -> Result<(), Error> {
    let (total, request_total) = totals(write.read(), scope, refund.charge, refund.request)?;
    write
        .connection
        .prepare_cached(
            "INSERT INTO refunds (charge, entry, request, credits, total, request_total)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            refund.charge.raw(),
            refund.entry.raw(),
            refund.request.map(|id| Key(id.0)),
            Money(refund.credits),
            Money(total + refund.credits),
            Money(request_total + refund.credits),
        ])?;
    Ok(())
}

/// The newest refunds of a charge.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    charge: Place,
    limit: u32,
) -> Result<Vec<Refund>, Error> {
    let (first, last) = scope.env.range();
    let mut select = read.connection.prepare_cached(
        "SELECT entry, request, credits FROM refunds
         WHERE charge = ?1 AND charge BETWEEN ?2 AND ?3 ORDER BY entry DESC LIMIT ?4",
    )?;
    let rows = select.query_map(params![charge.raw(), first, last, limit], |row| {
        Ok(Refund {
            charge,
            entry: Place::from_raw(row.get(0)?),
            request: row.get::<Option<Key>>(1)?.map(|key| RequestId(key.0)),
            credits: row.get::<Money>(2)?.0,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// For the books' proof: what the rows of every charge come to, and the sum that its newest states.
pub fn sums(read: Read<'_>, scope: &Scope) -> Result<BTreeMap<Place, (Amount, Amount)>, Error> {
    let (first, last) = scope.env.range();
    let mut select = read.connection.prepare_cached(
        "SELECT charge, credits, total FROM refunds WHERE charge BETWEEN ?1 AND ?2
         ORDER BY charge, entry",
    )?;
    let mut rows = select.query([first, last])?;
    let mut sums: BTreeMap<Place, (Amount, Amount)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let sum = sums.entry(Place::from_raw(row.get(0)?)).or_default();
        sum.0 += row.get::<Money>(1)?.0;
        sum.1 = row.get::<Money>(2)?.0;
    }
    Ok(sums)
}
