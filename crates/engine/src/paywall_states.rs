//! Changes of a paywall: its settings, the archive and back (paywalls 10.2, 10.3).

use domain::event::paywall::Updated;
use domain::event::wallet::render_life;
use domain::id::PaywallId;
use domain::ledger::entry::KeyUse;
use domain::paywall::{Change, Paywall, PaywallError, Section};
use domain::scope::{Cause, Scope};
use domain::wallet::Wallet;
use domain::webhook::catalogue::EventType;
use serde_json::{Map, Value, json};
use store::Tx;
use store::paywalls::Stored;
use store::turns::Recall;

use crate::error::Error;
use crate::idempotency::{Answered, Reply};
use crate::paywalls::{find, refusal, tell};
use crate::run::Engine;

impl Engine {
    /// Merges `patch`. What changes nothing writes and tells nothing.
    pub async fn update_paywall(
        &self,
        scope: Scope,
        cause: Cause,
        id: PaywallId,
        (patch, may_set_fees): (Value, bool),
    ) -> Result<Paywall, Error> {
        let edit = move |paywall: &Paywall| paywall.merge(&patch);
        self.edit_paywall(scope, cause, id, (edit, may_set_fees)).await
    }

    /// Puts `body` in the place of a section. What changes nothing writes and tells nothing.
    pub async fn replace_section(
        &self,
        scope: Scope,
        cause: Cause,
        id: PaywallId,
        (section, body, may_set_fees): (Section, Value, bool),
    ) -> Result<Paywall, Error> {
        let edit = move |paywall: &Paywall| paywall.replace(section, &body);
        self.edit_paywall(scope, cause, id, (edit, may_set_fees)).await
    }

    async fn edit_paywall(
        &self,
        scope: Scope,
        cause: Cause,
        id: PaywallId,
        (edit, may_set_fees): (
            impl Fn(&Paywall) -> Result<Option<Change>, PaywallError> + Send + 'static,
            bool,
        ),
    ) -> Result<Paywall, Error> {
        let work = move |tx: &mut Tx<'_>| update(tx, &cause, id, (&edit, may_set_fees));
        let stored = self.change(scope, work).await?;
        self.forget_paywall(stored.no);
        self.recall_paywall(stored.no).await;
        Ok(stored.paywall)
    }

    pub async fn archive_paywall(
        &self,
        scope: Scope,
        cause: Cause,
        (id, reason, key): (PaywallId, Option<String>, Option<KeyUse>),
        render: impl Fn(&Stored) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let work = move |tx: &mut Tx<'_>| archive(tx, &cause, id, reason.as_deref());
        let answered = self.once(scope, key, work, render).await?;
        let no = self.read_now(|read| find(read, &scope, id))?.no;
        self.forget_paywall(no);
        self.recall_paywall(no).await;
        Ok(answered)
    }

    pub async fn unarchive_paywall(
        &self,
        scope: Scope,
        cause: Cause,
        (id, key): (PaywallId, Option<KeyUse>),
        render: impl Fn(&Stored) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let work = move |tx: &mut Tx<'_>| unarchive(tx, &cause, id);
        let answered = self.once(scope, key, work, render).await?;
        self.forget_paywall(self.read_now(|read| find(read, &scope, id))?.no);
        Ok(answered)
    }
}

fn update(
    tx: &mut Tx<'_>,
    cause: &Cause,
    id: PaywallId,
    (edit, may_set_fees): (&impl Fn(&Paywall) -> Result<Option<Change>, PaywallError>, bool),
) -> Result<Stored, Error> {
    let scope = tx.scope();
    let stored = find(tx.read()?, &scope, id)?;
    let Some(change) = edit(&stored.paywall).map_err(refusal)? else {
        return Ok(stored);
    };
    if change.touches_fees() && !may_set_fees {
        let message = "only a key with the role super_admin may set fees";
        return Err(Error::forbidden("permission_denied", message));
    }
    let carries = stored.paywall.overdraft != change.next.overdraft;
    let values = shown_changes(&stored.paywall, &change);
    let stored = publish(tx, cause, stored.no, (change, values))?;
    tx.recall(Recall::Paywall(stored.no));
    if carries {
        carry_overdraft(tx, cause, &stored.paywall)?;
    }
    Ok(stored)
}

/// Changed fields with their values before and after.
pub(crate) type Values = (Map<String, Value>, Map<String, Value>);

/// Writes a changed paywall, tells `paywall.updated` and audits it.
pub(crate) fn publish(
    tx: &mut Tx<'_>,
    cause: &Cause,
    no: i64,
    (mut change, (previous, next)): (Change, Values),
) -> Result<Stored, Error> {
    let scope = tx.scope();
    let id = change.next.id;
    change.next.updated_at = tx.now();
    store::paywalls::set(tx.write()?, &scope, no, &change.next)?;
    let (before, after) = (json!(previous), json!(next));
    tell(tx, (no, id), EventType::PAYWALL_UPDATED, cause, |data| {
        let updated = Updated {
            changed_fields: &change.changed_fields,
            summary_sections: &change.summary_sections,
            version: change.next.version,
            previous,
            next,
        };
        updated.data(data, &cause.actor.id)
    })?;
    let entity = ("paywall", id.to_string());
    crate::audit::record(tx, cause, "paywall.updated", entity, (Some(before), Some(after)))?;
    Ok(Stored { no, paywall: change.next })
}

/// The changed fields by their dotted paths, before and after. A paywall holds no secret.
fn shown_changes(before: &Paywall, change: &Change) -> Values {
    let values = |paywall: &Paywall| {
        let wire = json!(paywall);
        let value = |path: &String| {
            let found = wire.pointer(&format!("/{}", path.replace('.', "/")));
            (path.clone(), found.cloned().unwrap_or_default())
        };
        change.changed_fields.iter().map(value).collect()
    };
    (values(before), values(&change.next))
}

/// A wallet carries its floor, so a new overdraft is a new version of every open wallet.
fn carry_overdraft(tx: &mut Tx<'_>, cause: &Cause, paywall: &Paywall) -> Result<(), Error> {
    let scope = tx.scope();
    for no in store::wallets::open_numbers_of_paywall(tx.read()?, &scope, paywall.id)? {
        let Some(wallet) = tx.account(no, |account, _| account.wallet.clone())? else { continue };
        let next = Wallet {
            overdraft_limit: paywall.overdraft,
            updated_at: tx.now(),
            updated_by: cause.actor.id.clone(),
            ..Wallet::clone(&wallet)
        };
        store::wallets::set(tx.write()?, &scope, no, &next)?;
        tx.reload_account(no)?;
        tx.account(no, |account, log| {
            let default = log.alert_default.clone();
            let before = json!({ "overdraft_limit": wallet.overdraft_limit });
            log.tell_wallet(account, EventType::WALLET_UPDATED, cause, |telling, account| {
                render_life(telling, account, &default, before.as_object())
            });
        })?;
    }
    Ok(())
}

fn archive(
    tx: &mut Tx<'_>,
    cause: &Cause,
    id: PaywallId,
    reason: Option<&str>,
) -> Result<Stored, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let stored = find(tx.read()?, &scope, id)?;
    let Some(paywall) = stored.paywall.archive(reason.map(str::to_owned), now) else {
        return Ok(stored);
    };
    store::paywalls::set(tx.write()?, &scope, stored.no, &paywall)?;
    tx.recall(Recall::Paywall(stored.no));
    tell(tx, (stored.no, id), EventType::PAYWALL_ARCHIVED, cause, |data| {
        data.with("reason", reason)
            .with("archivedAt", now.to_string())
            .with("actorId", cause.actor.id.clone())
    })?;
    let after = json!({ "status": "archived", "archiveReason": reason });
    record_state(tx, cause, (id, "paywall.archived"), (json!({ "status": "active" }), after))?;
    Ok(Stored { no: stored.no, paywall })
}

fn unarchive(tx: &mut Tx<'_>, cause: &Cause, id: PaywallId) -> Result<Stored, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let stored = find(tx.read()?, &scope, id)?;
    let Some(paywall) = stored.paywall.unarchive(now) else { return Ok(stored) };
    store::paywalls::set(tx.write()?, &scope, stored.no, &paywall)?;
    tell(tx, (stored.no, id), EventType::PAYWALL_UNARCHIVED, cause, |data| {
        data.with("actorId", cause.actor.id.clone())
    })?;
    let states = (json!({ "status": "archived" }), json!({ "status": "active" }));
    record_state(tx, cause, (id, "paywall.unarchived"), states)?;
    Ok(Stored { no: stored.no, paywall })
}

fn record_state(
    tx: &mut Tx<'_>,
    cause: &Cause,
    (id, action): (PaywallId, &str),
    (before, after): (Value, Value),
) -> Result<(), Error> {
    let entity = ("paywall", id.to_string());
    crate::audit::record(tx, cause, action, entity, (Some(before), Some(after)))
}
