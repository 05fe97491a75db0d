//! What a paywall offers to its users' requests: connections with opened keys, and price rows. Kept
//! in memory with the paywall, and forgotten with it.

use std::collections::HashMap;
use std::sync::Arc;

use domain::paywall::{Paywall, Provider, ProviderSecrets};
use domain::proxy::{Market, PriceList};
use domain::scope::Scope;
use domain::time::Timestamp;
use parking_lot::Mutex;
use store::paywalls::Stored as StoredPaywall;

use crate::error::{Class, Error, Fault};
use crate::proxy::Target;
use crate::run::Engine;

/// Models whose way is remembered.
const TARGETS_MAX: usize = 1_000;

#[derive(Debug)]
pub struct Offer {
    /// Oldest first.
    pub providers: Vec<Provider>,
    /// Of each connection; `None` where they do not open with the operator's key.
    secrets: Vec<Option<Arc<ProviderSecrets>>>,
    /// The paywall's own.
    pub rows: PriceList,
    targets: Mutex<HashMap<String, KnownTarget>>,
}

/// Where a model led to, and while what that holds.
#[derive(Debug)]
struct KnownTarget {
    target: Arc<Target>,
    /// Of the paywall's settings.
    version: u64,
    from: Timestamp,
    until: Timestamp,
}

impl Offer {
    /// Names, prices and lists under these settings.
    pub fn market<'a>(&'a self, paywall: &'a Paywall) -> Market<'a> {
        Market::of(paywall, &self.providers, &self.rows)
    }

    /// Where the model leads to, if that was found before and still holds.
    pub(crate) fn known(
        &self,
        model: &str,
        paywall: &Paywall,
        at: Timestamp,
    ) -> Option<Arc<Target>> {
        let targets = self.targets.lock();
        let known = targets.get(model)?;
        let holds = known.version == paywall.version && (known.from..known.until).contains(&at);
        holds.then(|| known.target.clone())
    }

    /// Remembers where a model leads to, until the next price comes into force.
    pub(crate) fn remember(
        &self,
        model: &str,
        paywall: &Paywall,
        (target, from): (&Arc<Target>, Timestamp),
    ) {
        let (target, version) = (target.clone(), paywall.version);
        let until = self.market(paywall).same_until(from);
        let mut targets = self.targets.lock();
        if targets.len() >= TARGETS_MAX {
            targets.clear();
        }
        targets.insert(model.to_owned(), KnownTarget { target, version, from, until });
    }

    /// Key and headers of a connection.
    pub fn secrets(&self, provider: &str) -> Result<Arc<ProviderSecrets>, Error> {
        let index = self.providers.iter().position(|known| known.name == provider);
        let secrets = index.and_then(|index| self.secrets.get(index)?.clone());
        secrets.ok_or_else(|| {
            let message = format!("the key of provider {provider} cannot be opened; send it again");
            Fault::new(Class::Unavailable, "provider_not_configured", message).into()
        })
    }
}

impl Engine {
    /// What the paywall offers, from memory where it is there.
    pub fn offer(&self, scope: &Scope, paywall: &StoredPaywall) -> Result<Arc<Offer>, Error> {
        if let Some(found) = self.offers.get(&paywall.no) {
            return Ok(found);
        }
        let seen = self.forgets();
        let (stored, rows) = self.read_now(|read| {
            let providers = store::providers::of_paywall(read, paywall.no)?;
            Ok((providers, store::prices::of_paywall(read, paywall.no)?))
        })?;
        let open = |stored| self.provider_secrets(scope, &paywall.paywall, stored).ok();
        let offer = Arc::new(Offer {
            secrets: stored.iter().map(open).collect(),
            providers: stored.into_iter().map(|stored| stored.provider).collect(),
            rows: rows.into_iter().collect(),
            targets: Mutex::default(),
        });
        self.remember(&self.offers, seen, (paywall.no, offer.clone()));
        Ok(offer)
    }
}
