//! What an operator should look at now. Each question is bounded and goes by an index.

use crate::sql::params;
use domain::amount::Amount;
use domain::id::{CustomerId, SecretId, WalletId};
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::value::{Key, Millis, Money};

/// The newest rows of the alert log that are looked at.
const ALERTS_MAX: i64 = 300;

/// A wallet whose newest alert is not at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowWallet {
    pub wallet: WalletId,
    pub customer: CustomerId,
    pub name: String,
    pub currency: String,
    pub level: String,
    pub value: Amount,
    pub at: Timestamp,
}

/// An API key that has run out or soon will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingKey {
    pub id: SecretId,
    pub name: String,
    pub display: String,
    pub expires_at: Timestamp,
}

/// Wallets whose newest alert row says that something is wrong, the newest first.
pub fn low_wallets(read: Read<'_>, scope: &Scope, limit: usize) -> Result<Vec<LowWallet>, Error> {
    let (first, last) = scope.env.range();
    let mut select = read.connection.prepare_cached(
        "SELECT a.wallet, w.id, c.id, c.name, c.external_id, w.currency, a.level, a.value, a.at
         FROM (SELECT place, wallet, level, value, at FROM alert_logs
               WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC LIMIT ?3) a
         JOIN wallets w ON w.no = a.wallet AND w.env = ?4 AND w.status <> 'closed'
         JOIN customers c ON c.no = w.customer ORDER BY a.place DESC",
    )?;
    let mut rows = select.query(params![first, last, ALERTS_MAX, scope.env.get()])?;
    let mut seen = Vec::new();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let no: i64 = row.get(0)?;
        let level: String = row.get(6)?;
        if seen.contains(&no) || found.len() == limit {
            continue;
        }
        seen.push(no);
        if level == "ok" {
            continue;
        }
        let (name, external_id): (String, String) = (row.get(3)?, row.get(4)?);
        found.push(LowWallet {
            wallet: WalletId(row.get::<Key>(1)?.0),
            customer: CustomerId(row.get::<Key>(2)?.0),
            name: if name.is_empty() { external_id } else { name },
            currency: row.get(5)?,
            level,
            value: row.get::<Money>(7)?.0,
            at: row.get::<Millis>(8)?.0,
        });
    }
    Ok(found)
}

/// Wallets on which nothing moves because an invariant broke.
pub fn stopped_wallets(
    read: Read<'_>,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<WalletId>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT w.id FROM balances b JOIN wallets w ON w.no = b.wallet
         WHERE b.stopped = 1 AND w.env = ?1 LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select
        .query_map(params![scope.env.get(), limit], |row| Ok(WalletId(row.get::<Key>(0)?.0)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// API keys in use that end before `before`.
pub fn ending_keys(
    read: Read<'_>,
    scope: &Scope,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<EndingKey>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT id, name, display, expires_at FROM keys
         WHERE env = ?1 AND kind = 'sk' AND status = 'published' AND expires_at < ?2
         ORDER BY no DESC LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map(params![scope.env.get(), Millis(before), limit], |row| {
        Ok(EndingKey {
            id: SecretId(row.get::<Key>(0)?.0),
            name: row.get(1)?,
            display: row.get(2)?,
            expires_at: row.get::<Millis>(3)?.0,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
