//! Counters of the ledger: entries by kind and currency, and how holds ended, since the process
//! began. They are read from the log when someone asks, so that no charge pays for them.

use std::collections::HashMap;
use std::sync::Arc;

use domain::place::EnvNo;
use engine::{Engine, Error};
use parking_lot::Mutex;

use crate::app::App;

/// Up to which position each environment's log has been counted.
#[derive(Clone, Debug, Default)]
pub struct Counted(Arc<Mutex<HashMap<EnvNo, u64>>>);

impl Counted {
    /// What is there already is not counted: counters begin with the process.
    pub fn from_now(engine: &Engine) -> Result<Counted, Error> {
        let mut seen = HashMap::new();
        for scope in engine.scopes()? {
            let head = engine.read_now(|read| Ok(store::events::head(read, &scope)?))?;
            seen.insert(scope.env, head);
        }
        Ok(Counted(Arc::new(Mutex::new(seen))))
    }
}

impl App {
    /// Adds what was written since the last call.
    pub async fn count_ledger(&self) -> Result<(), Error> {
        let app = self.clone();
        let work = move || {
            // Held over the reads: two askers at a time would count twice.
            let mut seen = app.counted.0.lock();
            for scope in app.engine.scopes()? {
                let from = seen.get(&scope.env).copied().unwrap_or(0);
                let (tally, head) =
                    app.engine.read_now(|read| Ok(store::gauges::tally(read, &scope, from)?))?;
                seen.insert(scope.env, head);
                app.add(&tally);
            }
            Ok(())
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or(Err(Error::Store(store::Error::Unavailable)))
    }

    fn add(&self, tally: &[store::gauges::Tallied]) {
        for row in tally {
            let currency = row.currency.to_uppercase();
            let labels = [("kind", row.kind), ("currency", currency.as_str())];
            self.metrics.add("farebox_ledger_entries_total", &labels, row.count);
            if let Some(outcome) = &row.hold_outcome {
                let labels = [("outcome", outcome.as_str())];
                self.metrics.add("farebox_holds_closed_total", &labels, row.count);
            }
        }
    }
}
