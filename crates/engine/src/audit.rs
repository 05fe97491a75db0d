//! One audit row for each management change, in its transaction.

use domain::id::AuditId;
use domain::scope::Cause;
use serde_json::Value;
use store::Tx;
use store::audit::AuditRow;

use crate::error::Error;

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
        entity,
        request: cause.request,
        before,
        after,
    };
    let scope = tx.scope();
    store::audit::insert(tx.write()?, &scope, &row)?;
    Ok(())
}
