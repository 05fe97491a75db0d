//! The ledger of one paywall: the entries of its users' wallets, newest first.

use crate::sql::params;
use domain::id::PaywallId;
use domain::ledger::Entry;
use domain::ledger::entry::Activity;
use domain::place::Place;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::entries;
use crate::error::Error;
use crate::value::Millis;

/// Which rows are wanted; what is absent narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub activity: Option<Activity>,
    /// External id of one user.
    pub user: Option<String>,
    pub from: Option<Timestamp>,
    /// Up to here, without it.
    pub to: Option<Timestamp>,
}

/// Rows of the paywall (its number and id) below `before`.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    paywall: (i64, PaywallId),
    filter: &Filter,
    (before, limit): (Option<Place>, u32),
) -> Result<Vec<Entry>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {} FROM entries WHERE place >= ?1 AND place < ?2
            AND wallet IN (SELECT no FROM wallets
                WHERE env = ?3 AND paywall_scope = ?4 AND paywall_scope <> ''
                    AND (customer = (SELECT customer FROM identities
                        WHERE paywall = ?6 AND external_id = ?5) OR ?5 IS NULL))
            AND (activity = ?7 OR ?7 IS NULL) AND (at >= ?8 OR ?8 IS NULL)
            AND (at < ?9 OR ?9 IS NULL)
         ORDER BY place DESC LIMIT ?10",
        entries::columns()
    ))?;
    let (first, last) = scope.env.range();
    let values = params![
        first,
        before.map_or(last, Place::raw),
        scope.env.get(),
        paywall.1.to_string(),
        filter.user,
        paywall.0,
        filter.activity.map(Activity::code),
        filter.from.map(Millis),
        filter.to.map(Millis),
        limit,
    ];
    let rows = select.query_map(values, entries::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
