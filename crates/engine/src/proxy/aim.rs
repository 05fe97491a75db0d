//! Where a request would go: which connection its model leads to, and the price that holds.

use std::sync::Arc;

use domain::proxy::reason::Reason;
use domain::time::Timestamp;

use store::paywalls::Stored;

use super::{Call, Target};
use crate::error::{Class, Error, Fault};
use crate::offers::Offer;

/// A place to go to, or why there is none.
pub(super) type Aim = Result<Arc<Target>, Reason>;

/// `Err`: nobody knows the model (404, no event).
pub(super) fn aim(offer: &Offer, call: &Call, at: Timestamp) -> Result<Aim, Error> {
    aim_at(offer, (&call.paywall, &call.ask.model), at)
}

/// As `aim`, for a model by its name.
pub(super) fn aim_at(
    offer: &Offer,
    (paywall, name): (&Stored, &str),
    at: Timestamp,
) -> Result<Aim, Error> {
    if let Some(target) = offer.known(name, &paywall.paywall, at) {
        return Ok(Ok(target));
    }
    let market = offer.market(&paywall.paywall);
    let Some(route) = market.route(name, at) else {
        if offer.providers.is_empty() {
            return Ok(Err(Reason::ProviderNotConfigured));
        }
        let message = format!("there is no model {name:?} here: GET /v1/models lists them");
        return Err(Fault::new(Class::NotFound, "model_not_found", message).at("model").into());
    };
    if !market.permits(&route, name) {
        return Ok(Err(Reason::ModelNotAllowed));
    }
    let secrets = offer.secrets(&route.provider.name);
    let (Ok(tariff), Ok(secrets)) = (market.tariff(&route, at), secrets) else {
        return Ok(Err(Reason::ProviderNotConfigured));
    };
    let target = Arc::new(Target {
        facts: market.facts(&route, at),
        provider: route.provider.clone(),
        secrets,
        model: route.model,
        upstream: route.upstream,
        tariff,
    });
    offer.remember(name, &paywall.paywall, (&target, at));
    Ok(Ok(target))
}
