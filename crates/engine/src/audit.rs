//! One audit row for each management change, in its transaction, and reading them.

use domain::id::AuditId;
use domain::scope::{Cause, Scope};
use serde_json::Value;
use store::Tx;
use store::audit::{AuditRow, Wanted};

use crate::error::Error;
use crate::run::Engine;

/// Records who changed what, from which value to which. Secrets are masked by the caller.
pub fn record(
    tx: &mut Tx<'_>,
    cause: &Cause,
    action: &str,
    entity: (&'static str, String),
    (before, after): (Option<Value>, Option<Value>),
) -> Result<(), Error> {
    let row = AuditRow {
        id: AuditId(tx.mint()),
        at: tx.now(),
        action: action.to_owned(),
        actor: cause.actor.id.clone(),
        actor_kind: wire_name(cause.actor.kind),
        source: wire_name(cause.actor.source),
        entity: (entity.0.to_owned(), entity.1),
        request: cause.request,
        before,
        after,
    };
    let scope = tx.scope();
    store::audit::insert(tx.write()?, &scope, &row)?;
    Ok(())
}

fn wire_name(value: impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Engine {
    /// Rows that are wanted, newest first, and where the next page goes on.
    pub async fn audit_page(
        &self,
        scope: Scope,
        wanted: Wanted,
        limit: u32,
    ) -> Result<(Vec<AuditRow>, Option<i64>), Error> {
        self.read_aside(move |read| {
            let mut rows = store::audit::page(read, &scope, &wanted, limit + 1)?;
            let kept = usize::try_from(limit).unwrap_or(usize::MAX);
            let more = rows.len() > kept;
            rows.truncate(kept);
            let next = rows.last().filter(|_| more).map(|(no, _)| *no);
            Ok((rows.into_iter().map(|(_, row)| row).collect(), next))
        })
        .await
    }

    pub async fn audit_row(&self, scope: Scope, id: AuditId) -> Result<AuditRow, Error> {
        self.read_aside(move |read| {
            store::audit::find(read, &scope, id)?.ok_or_else(|| Error::not_found("activity"))
        })
        .await
    }
}
