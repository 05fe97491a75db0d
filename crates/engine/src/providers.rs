//! Provider connections of a paywall: whom its proxy asks, with keys that are only ever written.

use std::sync::Arc;

use domain::id::PaywallId;
use domain::paywall::{
    Change, PROVIDERS_MAX, Paywall, Provider, ProviderKind, ProviderSecrets, is_provider_name,
};
use domain::scope::{Cause, Scope};
use serde_json::{Map, Value, json};
use store::Tx;
use store::paywalls::Stored;
use store::providers::{self, StoredProvider};

use crate::error::Error;
use crate::paywall_states::publish;
use crate::paywalls::{find, refusal};
use crate::random::Random;
use crate::run::Engine;
use crate::seal::Seal;

/// What a command on a connection needs beside its transaction.
struct Door {
    seal: Seal,
    chance: Random,
    cause: Cause,
}

impl Engine {
    /// The connections of a paywall, oldest first.
    pub fn providers(&self, scope: &Scope, id: PaywallId) -> Result<Vec<StoredProvider>, Error> {
        self.read_now(|read| {
            let paywall = find(read, scope, id)?;
            Ok(providers::of_paywall(read, paywall.no)?)
        })
    }

    /// Makes a connection or replaces the one with this name; its URL was judged before. What
    /// changes nothing writes and tells nothing.
    pub async fn set_provider(
        &self,
        scope: Scope,
        cause: Cause,
        id: PaywallId,
        (name, body): (String, Value),
    ) -> Result<StoredProvider, Error> {
        let door = self.door(cause);
        let work = move |tx: &mut Tx<'_>| set(tx, &door, id, (&name, &body));
        let (no, stored) = self.change(scope, work).await?;
        self.forget_paywall(no);
        Ok(stored)
    }

    pub async fn delete_provider(
        &self,
        scope: Scope,
        cause: Cause,
        (id, name): (PaywallId, String),
    ) -> Result<(), Error> {
        let work = move |tx: &mut Tx<'_>| delete(tx, &cause, id, &name);
        let no = self.change(scope, work).await?;
        self.forget_paywall(no);
        Ok(())
    }

    fn door(&self, cause: Cause) -> Door {
        let chance = Random::seeded(u64::from_be_bytes(self.random.bytes()));
        Door { seal: self.seal.clone(), chance, cause }
    }

    /// The secrets of a connection, opened.
    pub(crate) fn provider_secrets(
        &self,
        scope: &Scope,
        paywall: &Paywall,
        stored: &StoredProvider,
    ) -> Result<Arc<ProviderSecrets>, Error> {
        open(&self.seal, scope, paywall.id, stored).map(Arc::new)
    }
}

/// What is sealed is bound to its paywall and its name.
fn place(paywall: PaywallId, name: &str) -> String {
    format!("providers.sealed:{paywall} {name}")
}

fn open(
    seal: &Seal,
    scope: &Scope,
    paywall: PaywallId,
    stored: &StoredProvider,
) -> Result<ProviderSecrets, Error> {
    let Some(sealed) = &stored.sealed else { return Ok(ProviderSecrets::default()) };
    let bytes = seal.open(scope.tenant, &place(paywall, &stored.provider.name), sealed)?;
    serde_json::from_slice(&bytes)
        .map_err(|_| Error::operation("the stored key of a provider cannot be read"))
}

fn set(
    tx: &mut Tx<'_>,
    door: &Door,
    id: PaywallId,
    (name, body): (&str, &Value),
) -> Result<(i64, StoredProvider), Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let paywall = find(tx.read()?, &scope, id)?;
    if !is_provider_name(name) {
        return Err(Error::invalid("name", "a name has 1 to 64 of a-z, 0-9, - and _"));
    }
    let before = providers::find(tx.read()?, paywall.no, name)?;
    must_have_room(tx, &paywall, before.is_some())?;
    let old = before.as_ref().map(|stored| open(&door.seal, &scope, id, stored)).transpose()?;
    let held = before.as_ref().map(|stored| &stored.provider).zip(old.as_ref());
    let (provider, secrets) = Provider::read(name, body, held).map_err(refusal)?;
    if provider.kind == ProviderKind::Fake && scope.live {
        let message = "the fake provider belongs to development environments";
        return Err(Error::invalid("kind", message));
    }
    if let Some(stored) = &before
        && held == Some((&provider, &secrets))
    {
        return Ok((paywall.no, stored.clone()));
    }
    let stored = StoredProvider {
        sealed: seal(door, &scope, id, (name, &secrets))?,
        provider,
        created_at: before.as_ref().map_or(now, |before| before.created_at),
        updated_at: now,
    };
    providers::set(tx.write()?, paywall.no, &stored)?;
    let values = (before.as_ref().map(|before| &before.provider), Some(&stored.provider));
    let no = tell(tx, &door.cause, paywall, (name, values))?;
    Ok((no, stored))
}

fn must_have_room(tx: &mut Tx<'_>, paywall: &Stored, exists: bool) -> Result<(), Error> {
    if !exists && providers::of_paywall(tx.read()?, paywall.no)?.len() >= PROVIDERS_MAX {
        let message = format!("a paywall has at most {PROVIDERS_MAX} provider connections");
        return Err(Error::conflict("too_many_providers", message));
    }
    Ok(())
}

fn seal(
    door: &Door,
    scope: &Scope,
    id: PaywallId,
    (name, secrets): (&str, &ProviderSecrets),
) -> Result<Option<Vec<u8>>, Error> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let bytes = serde_json::to_vec(secrets).unwrap_or_default();
    door.seal.seal(&door.chance, scope.tenant, &place(id, name), &bytes).map(Some)
}

fn delete(tx: &mut Tx<'_>, cause: &Cause, id: PaywallId, name: &str) -> Result<i64, Error> {
    let scope = tx.scope();
    let paywall = find(tx.read()?, &scope, id)?;
    let stored = providers::find(tx.read()?, paywall.no, name)?;
    let stored = stored.ok_or_else(|| Error::not_found("provider"))?;
    providers::delete(tx.write()?, paywall.no, name)?;
    tell(tx, cause, paywall, (name, (Some(&stored.provider), None)))
}

/// The paywall with its version raised, because something that belongs to it changed.
fn tell(
    tx: &mut Tx<'_>,
    cause: &Cause,
    paywall: Stored,
    (name, (before, after)): (&str, (Option<&Provider>, Option<&Provider>)),
) -> Result<i64, Error> {
    let verb = match (before, after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let path = format!("providers.{name}");
    let line = format!("provider {name} {verb}");
    let shown = |value: Option<&Provider>| Map::from_iter([(path.clone(), json!(value))]);
    let values = (shown(before), shown(after));
    let change = Change::beside(paywall.paywall, (path.clone(), line));
    Ok(publish(tx, cause, paywall.no, (change, values))?.no)
}
