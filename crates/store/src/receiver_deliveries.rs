//! The newest deliveries of one receiver, along its own key: no other receiver's are looked at.

use crate::sql::params;
use domain::id::DeliveryId;
use domain::place::{Place, ReceiverNo};
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::value::Millis;

/// Ids of the newest deliveries, at most `limit`.
pub fn newest(
    read: Read<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    limit: i64,
) -> Result<Vec<DeliveryId>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT place, at FROM deliveries
         WHERE receiver = ?1 AND env = ?2 ORDER BY place DESC LIMIT ?3",
    )?;
    let rows = select.query_map(params![receiver.0, scope.env.get(), limit], |row| {
        let at = row.get::<Millis>(1)?.0;
        Ok(Place::from_raw(row.get(0)?).delivery_id(at, receiver))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
