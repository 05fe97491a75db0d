//! The end of old events: whole days of real time, in chunks between other work (webhooks 23).

use domain::scope::Scope;
use domain::time::{DAY_MS, Timestamp};
use serde_json::json;
use store::retention::Kept;
use store::{Tx, deliveries, retention};

use crate::error::{Class, Error, Fault};
use crate::run::Engine;

/// Rows that one transaction removes.
const CHUNK_MAX: usize = 1_000;

/// Everything that was recorded before is older than so many whole days.
fn cutoff(now: Timestamp, days: u32) -> Timestamp {
    let today = now.millis().div_euclid(DAY_MS) * DAY_MS;
    Timestamp::from_millis(today).plus_ms(-i64::from(days) * DAY_MS)
}

impl Engine {
    /// One chunk of every environment. Returns how many rows were removed.
    pub async fn purge_events(&self, days: u32) -> Result<usize, Error> {
        let (cutoff, mut rows) = (cutoff(self.real_now(), days), 0);
        for scope in self.scopes()? {
            let due = self.read(move |read| Ok(retention::due(read, &scope, cutoff)?)).await?;
            if let Some(kept) = due {
                self.change(scope, move |tx| Ok(retention::set(tx.write()?, &scope, kept)?))
                    .await?;
                tracing::info!(environment = %scope.environment, from = kept.from, "events ended");
            }
            if due.is_some() || self.has_swept(&scope)? {
                rows += self.change_aside(scope, sweep).await?;
            }
        }
        Ok(rows)
    }

    /// Whether anything of this environment was ever removed: then a chunk may be left.
    fn has_swept(&self, scope: &Scope) -> Result<bool, Error> {
        self.read_now(|read| Ok(retention::kept(read, scope)?.from > 1))
    }
}

fn sweep(tx: &mut Tx<'_>) -> Result<usize, Error> {
    let scope = tx.scope();
    let swept = retention::sweep(tx.write()?, &scope, CHUNK_MAX)?;
    let freed = swept.freed.iter().map(|(receiver, order_key)| (*receiver, order_key.as_str()));
    for next in deliveries::promote(tx.write()?, &scope, &freed.collect())? {
        tx.hand_over(next);
    }
    Ok(swept.rows)
}

/// It was there once.
pub(crate) fn purged() -> Error {
    let message = "this event is older than what is kept";
    Fault::new(Class::Gone, "payload_purged", message).into()
}

/// What is asked for is partly gone.
pub(crate) fn reaches_back(kept: Kept) -> Error {
    let oldest = kept.purged_at.unwrap_or_default().plus_ms(1);
    let message = format!("events before {oldest} are older than what is kept");
    let details = json!({ "oldest": oldest });
    Fault::new(Class::Gone, "payload_purged", message).at("from").with(details).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_days_are_kept() {
        let at = |text| Timestamp::parse(text).unwrap();
        for (now, days, expected) in [
            ("2026-03-10T00:00:00Z", 1, "2026-03-09T00:00:00Z"),
            ("2026-03-10T23:59:59Z", 1, "2026-03-09T00:00:00Z"),
            ("2026-03-10T12:00:00Z", 90, "2025-12-10T00:00:00Z"),
        ] {
            assert_eq!(cutoff(at(now), days), at(expected), "{now}, {days} days");
        }
    }
}
