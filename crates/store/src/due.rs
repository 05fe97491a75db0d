//! What falls due next by itself, for whoever looks at an environment's clock.

use crate::sql::params;
use domain::id::WalletId;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: Timestamp,
    /// The kind of the timer.
    pub kind: String,
    pub wallet: Option<WalletId>,
}

/// The next timers, at most `limit`.
pub fn next(read: Read<'_>, scope: &Scope, limit: i64) -> Result<Vec<Due>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT t.due, t.kind, w.id FROM timers t
         LEFT JOIN wallets w ON w.no = t.ref AND w.env = t.env AND t.kind = 'wallet'
         WHERE t.env = ?1 ORDER BY t.due LIMIT ?2",
    )?;
    let rows = select.query_map(params![scope.env.get(), limit], |row| {
        Ok(Due {
            at: row.get::<Millis>(0)?.0,
            kind: row.get(1)?,
            wallet: row.get::<Option<Key>>(2)?.map(|key| WalletId(key.0)),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
