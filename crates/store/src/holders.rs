//! Whose wallet it is, for lists that name the customer beside each row.

use crate::sql::{OptionalExtension, params};
use domain::id::{CustomerId, PaywallId, WalletId};
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub wallet: WalletId,
    pub customer: CustomerId,
    /// Name, or the own id where there is none.
    pub name: String,
    pub currency: String,
}

/// The holder of wallet number `no`.
pub fn of_wallet(read: Read<'_>, scope: &Scope, no: i64) -> Result<Option<Holder>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT w.id, c.id, c.name, c.external_id, w.currency FROM wallets w
         JOIN customers c ON c.no = w.customer WHERE w.env = ?1 AND w.no = ?2",
    )?;
    let found = select.query_row(params![scope.env.get(), no], |row| {
        let (name, external_id): (String, String) = (row.get(2)?, row.get(3)?);
        Ok(Holder {
            wallet: WalletId(row.get::<Key>(0)?.0),
            customer: CustomerId(row.get::<Key>(1)?.0),
            name: if name.is_empty() { external_id } else { name },
            currency: row.get(4)?,
        })
    });
    Ok(found.optional()?)
}

/// A wallet's holder as a user of a paywall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub paywall: PaywallId,
    pub paywall_name: String,
    pub user: String,
    pub state: String,
    pub since: Timestamp,
}

/// Where these wallets, found under the scope, are users' of paywalls.
pub fn uses_of(read: Read<'_>, scope: &Scope, wallets: &[i64]) -> Result<Vec<Use>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT p.id, p.name, i.external_id, i.state, i.created_at FROM identities i
         JOIN paywalls p ON p.no = i.paywall WHERE p.env = ?1 AND i.wallet = ?2",
    )?;
    let mut found = Vec::new();
    for no in wallets {
        let rows = select.query_map(params![scope.env.get(), no], |row| {
            Ok(Use {
                paywall: PaywallId(row.get::<Key>(0)?.0),
                paywall_name: row.get(1)?,
                user: row.get(2)?,
                state: row.get(3)?,
                since: row.get::<Millis>(4)?.0,
            })
        })?;
        for one in rows {
            found.push(one?);
        }
    }
    Ok(found)
}
