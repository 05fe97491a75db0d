//! Adds up the log for pages that draw it: a step takes what came since the last one.

use store::tallies::{self, Log};

use crate::error::Error;
use crate::run::Engine;

/// Rows of one batch: a few milliseconds of the writer at most.
const ROWS_MAX: usize = 20_000;
/// Packs hold up to 64 requests each.
const PACKS_MAX: usize = 400;

impl Engine {
    /// Adds up one batch of each log. True where more waits.
    pub async fn tally(&self) -> Result<bool, Error> {
        let mut logs: Vec<Log> =
            self.scopes()?.iter().map(|scope| Log::Entries(scope.env)).collect();
        logs.extend([Log::Requests, Log::Attempts]);
        let mut more = false;
        for log in logs {
            let limit = if log == Log::Requests { PACKS_MAX } else { ROWS_MAX };
            let batch = self.read(move |read| Ok(tallies::read(read, log, limit)?)).await?;
            if batch.rows == 0 {
                continue;
            }
            more |= batch.rows >= limit;
            self.change_above(move |tx| Ok(tallies::store(tx.write()?, &batch)?)).await?;
        }
        Ok(more)
    }
}
