//! What a paywall sells at one moment: which connection a model's name leads to, for which price,
//! and the list of all of it (paywalls 16.2, 14.3, 6.1).
//!
//! It chooses; it asks no provider and moves no money.

use std::collections::BTreeMap;

use ethnum::I256;

use super::book::{ModelFacts, PriceAsk, PriceBook, PriceList, Tariff};
use super::catalogue::{catalogue, other_names};
use super::model;
use super::price::Price;
use super::pricing::{Pricing, PricingMode, Unbillable};
use super::vector::Class;
use crate::amount::Rate;
use crate::currency::Currency;
use crate::paywall::{Models, Paywall, Provider};
use crate::time::Timestamp;

/// A paywall's settings, its connections and its own price rows.
#[derive(Clone, Copy, Debug)]
pub struct Market<'a> {
    pub models: &'a Models,
    pub pricing: &'a Pricing,
    pub currency: Currency,
    /// Oldest first: the order in which a bare id looks for its connection.
    pub providers: &'a [Provider],
    pub rows: &'a PriceList,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    pub provider: &'a Provider,
    /// Without alias and without the connection's namespace.
    pub model: String,
    /// As the provider calls it: what is sent.
    pub upstream: String,
}

/// One line of the list of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The shortest name that leads there.
    pub id: String,
    pub route: Route<'a>,
    pub facts: ModelFacts,
    /// By class, in the paywall's currency, markup included.
    pub prices: BTreeMap<&'static str, String>,
}

/// Three names, each with two others.
const NAMES_MAX: usize = 9;

/// Rows of the environment: no route writes them yet.
static NO_ROWS: std::sync::LazyLock<PriceList> = std::sync::LazyLock::new(PriceList::default);

impl Route<'_> {
    fn to<'a>(provider: &'a Provider, model: &str) -> Route<'a> {
        let upstream = provider.model_for(model).to_owned();
        Route { provider, model: model.to_owned(), upstream }
    }

    /// The model with the connection's name before it.
    pub fn namespaced(&self) -> String {
        format!("{}/{}", self.provider.name, self.model)
    }

    /// Names that rows and overrides may have, best first.
    fn with_names<T>(&self, work: impl FnOnce(&[&str]) -> T) -> T {
        let namespaced = self.namespaced();
        let own = [self.upstream.as_str(), &self.model, &namespaced];
        let variants = own.iter().flat_map(|name| other_names(name));
        let mut names: Vec<&str> = Vec::with_capacity(NAMES_MAX);
        for name in own.into_iter().chain(variants) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        work(&names)
    }
}

impl<'a> Market<'a> {
    pub fn of(paywall: &'a Paywall, providers: &'a [Provider], rows: &'a PriceList) -> Market<'a> {
        Market {
            models: &paywall.models,
            pricing: &paywall.pricing,
            currency: paywall.currency,
            providers,
            rows,
        }
    }

    /// Where a name leads: alias, then the namespace of a connection, then the first connection
    /// that has the model. `None` where nobody knows it.
    pub fn route(&self, name: &str, at: Timestamp) -> Option<Route<'a>> {
        let name = model::target(self.models, name);
        let known = |route: &Route<'_>| self.knows(route, at) || self.is_priced_by_owner(route);
        let spaced = name.split_once('/').and_then(|(space, rest)| {
            let provider = self.providers.iter().find(|provider| provider.name == space)?;
            let route = Route::to(provider, rest);
            let any = self.pricing.mode == PricingMode::Requests;
            (!rest.is_empty() && (any || known(&route))).then_some(route)
        });
        spaced.or_else(|| self.route_bare(name, at))
    }

    fn route_bare(&self, name: &str, at: Timestamp) -> Option<Route<'a>> {
        let mut routes = self.providers.iter().map(|provider| Route::to(provider, name));
        let first = routes.clone().next()?;
        let by_row = routes.find(|route| self.knows(route, at));
        by_row.or_else(|| {
            let any = self.pricing.mode == PricingMode::Requests;
            (any || self.is_priced_by_owner(&first)).then_some(first)
        })
    }

    /// Whether the connection maps the model, or a row has it.
    fn knows(&self, route: &Route<'_>, at: Timestamp) -> bool {
        let book = self.book();
        let mapped = route.provider.model_map.contains_key(&route.model);
        let listed = |ask: &PriceAsk<'_>| {
            book.paywall.find(ask).or_else(|| book.catalogue.find(ask)).is_some()
        };
        mapped || self.asked(route, at, listed)
    }

    fn is_priced_by_owner(&self, route: &Route<'_>) -> bool {
        route
            .with_names(|names| names.iter().any(|name| self.pricing.overrides.contains_key(*name)))
    }

    /// Whether the paywall's lists let the model through that was asked for as `name`.
    pub fn permits(&self, route: &Route<'_>, name: &str) -> bool {
        let namespaced = route.namespaced();
        let target = model::target(self.models, name);
        let names = [name, target, &route.model, &namespaced, &route.upstream];
        model::is_allowed(self.models, &names)
    }

    /// The price that holds (paywalls 14.3). `Ok(None)` only where it prices by requests.
    /// Until when no price or fact changes, where no row is written: the next time at which a row
    /// comes into force or ends.
    pub fn same_until(&self, at: Timestamp) -> Timestamp {
        let book = self.book();
        let lists = book.lists().into_iter().flat_map(|(_, list)| list.rows());
        let times = lists.flat_map(|row| [Some(row.effective_from), row.effective_to]);
        times.flatten().filter(|time| *time > at).min().unwrap_or(Timestamp::from_millis(i64::MAX))
    }

    pub fn tariff(&self, route: &Route<'_>, at: Timestamp) -> Result<Option<Tariff>, Unbillable> {
        self.asked(route, at, |ask| self.book().resolve(self.pricing, ask))
    }

    pub fn facts(&self, route: &Route<'_>, at: Timestamp) -> ModelFacts {
        self.asked(route, at, |ask| self.book().facts(ask))
    }

    fn asked<T>(
        &self,
        route: &Route<'_>,
        at: Timestamp,
        work: impl FnOnce(&PriceAsk<'_>) -> T,
    ) -> T {
        let providers = [route.provider.name.as_str(), route.provider.kind.name()];
        route.with_names(|models| {
            work(&PriceAsk { models, providers: &providers, at, currency: self.currency })
        })
    }

    fn book(&self) -> PriceBook<'a> {
        PriceBook { paywall: self.rows, environment: &NO_ROWS, catalogue: &catalogue().list }
    }

    /// Everything that is allowed and has a price, connection by connection, each under the
    /// shortest name that leads there; then aliases and what the owner prices himself.
    pub fn list(&self, at: Timestamp) -> Vec<Listed<'a>> {
        let mut ids: Vec<String> = Vec::new();
        for provider in self.providers {
            for model in self.models_of(provider, at) {
                let here = |id: &str| {
                    self.route(id, at).is_some_and(|found| {
                        found.provider.name == provider.name && found.model == model
                    })
                };
                let full = format!("{}/{model}", provider.name);
                ids.extend([model.to_owned(), full].into_iter().find(|id| here(id)));
            }
        }
        let own = self.models.aliases.keys().chain(self.pricing.overrides.keys());
        ids.extend(own.cloned());
        let mut list: Vec<Listed<'a>> = Vec::new();
        for id in ids {
            if list.iter().all(|listed| listed.id != id) {
                list.extend(self.listed(&id, at));
            }
        }
        list
    }

    /// The line of one model, if it is allowed and has a price.
    pub fn listed(&self, id: &str, at: Timestamp) -> Option<Listed<'a>> {
        let route = self.route(id, at).filter(|route| self.permits(route, id))?;
        let tariff = self.tariff(&route, at).ok()?;
        let prices = shown_prices(self.pricing, tariff.as_ref());
        Some(Listed { id: id.to_owned(), facts: self.facts(&route, at), route, prices })
    }

    /// Models of a connection: those that it maps, those of the paywall's rows, the catalogue's.
    fn models_of(&self, provider: &'a Provider, at: Timestamp) -> Vec<&'a str> {
        let ours = |name: &str| name == provider.name || name == provider.kind.name();
        let rows = self.rows.rows().filter(|row| ours(&row.provider) && row.in_force_at(at));
        let mut own: Vec<&str> = rows.map(|row| row.model.as_str()).collect();
        own.sort_unstable();
        let mapped = provider.model_map.keys().map(String::as_str);
        let shipped = catalogue().models_of(provider.kind.name()).iter().map(String::as_str);
        let mut models: Vec<&str> = Vec::new();
        for model in mapped.chain(own).chain(shipped) {
            if !models.contains(&model) {
                models.push(model);
            }
        }
        models
    }
}

/// What users pay by class: tokens for 1,000,000 of them, the request with the paywall's fee.
fn shown_prices(pricing: &Pricing, tariff: Option<&Tariff>) -> BTreeMap<&'static str, String> {
    let by_requests = pricing.mode == PricingMode::Requests;
    let tariff = tariff.filter(|_| !by_requests);
    let price = |class: Class| {
        tariff.map_or(Price::ZERO, |tariff| {
            marked(pricing, tariff, tariff.prices.vector.price(class))
        })
    };
    let fee = Price::from_picos(pricing.request_fee.nanos() * 1_000);
    let request = Price::from_picos(price(Class::Request).picos().saturating_add(fee.picos()));
    let mut prices = BTreeMap::new();
    for class in Class::ALL {
        let has = tariff.is_some_and(|tariff| tariff.prices.vector.own(class).is_some());
        let always = matches!(class, Class::Input | Class::Output);
        if has || always {
            prices.insert(class.name(), price(class).to_string());
        }
    }
    prices.insert(Class::Request.name(), request.to_string());
    prices
}

/// A price in the paywall's currency with its markup, to the nearest 10⁻¹².
fn marked(pricing: &Pricing, tariff: &Tariff, price: Price) -> Price {
    let rate = I256::from(tariff.conversion.unwrap_or(Rate::ONE).picos());
    // In units of 10⁻¹¹, and the rate in units of 10⁻¹².
    let unit = I256::from(10_i128.pow(23));
    let exact = I256::from(price.picos())
        .saturating_mul(rate)
        .saturating_mul(pricing.multiplier(tariff.markup));
    let rounded = exact.saturating_add(unit / 2) / unit;
    Price::from_picos(i128::try_from(rounded).unwrap_or(i128::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PriceId;
    use crate::proxy::PriceRow;
    use serde_json::{Value, json};

    const AT: Timestamp = Timestamp::from_millis(1_000);

    fn provider(name: &str, kind: &str, map: &Value) -> Provider {
        let body = json!({"kind": kind, "key": "k", "modelMap": map,
            "baseUrl": "https://a.example/v1"});
        Provider::read(name, &body, None).unwrap().0
    }

    fn row(model: &str, provider: &str, prices: &Value) -> PriceRow {
        let body = json!({"model": model, "provider": provider, "prices": prices});
        let from = Timestamp::from_millis(10);
        PriceRow::from_json(&body, PriceId::default(), from, Currency::USD).unwrap()
    }

    fn paywall(patch: &Value) -> Paywall {
        let mut body = json!({"name": "Chat", "currency": "usd"});
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        Paywall::create(&body, crate::paywall::Birth::default()).unwrap()
    }

    #[test]
    fn a_name_leads_by_alias_namespace_or_first_connection() {
        let paywall = paywall(&json!({
            "models": {"aliases": {"fast": "router/openai/gpt-4o-mini", "self": "nobody"}},
            "pricing": {"overrides": {"own-model": {"prompt": "1"}}},
        }));
        let providers = [
            provider("openai", "openai", &json!({"small": "gpt-4o-mini"})),
            provider("router", "openrouter", &json!({})),
            provider("mine", "compatible", &json!({})),
        ];
        let rows = [row("llama", "mine", &json!({"input": "1"}))].into_iter().collect();
        let market = Market::of(&paywall, &providers, &rows);
        let table = [
            ("gpt-4o-mini", Some(("openai", "gpt-4o-mini"))),
            ("openai/gpt-4o-mini", Some(("openai", "gpt-4o-mini"))),
            ("gpt-4o-mini-2024-07-18", Some(("openai", "gpt-4o-mini-2024-07-18"))),
            ("router/openai/gpt-4o-mini", Some(("router", "openai/gpt-4o-mini"))),
            ("fast", Some(("router", "openai/gpt-4o-mini"))),
            (
                "anthropic/claude-3.7-sonnet:thinking",
                Some(("router", "anthropic/claude-3.7-sonnet:thinking")),
            ),
            ("small", Some(("openai", "gpt-4o-mini"))),
            ("llama", Some(("mine", "llama"))),
            ("mine/llama", Some(("mine", "llama"))),
            ("own-model", Some(("openai", "own-model"))),
            ("mine/own-model", Some(("mine", "own-model"))),
            ("mine/gpt-4o-mini", None),
            ("router/gpt-4o-mini", None),
            ("nobody", None),
            ("self", None),
            ("openai/", None),
            ("", None),
        ];
        for (name, expected) in table {
            let found = market.route(name, AT);
            let found = found.as_ref().map(|route| (&*route.provider.name, &*route.upstream));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_paywall_by_requests_sends_any_name_on() {
        let paywall = paywall(&json!({"pricing": {"mode": "requests", "requestFee": "0.02"}}));
        let providers = [provider("mine", "compatible", &json!({}))];
        let rows = PriceList::default();
        let market = Market::of(&paywall, &providers, &rows);
        let route = market.route("whatever", AT).unwrap();
        assert_eq!(market.tariff(&route, AT), Ok(None));
        let listed = market.listed("whatever", AT).unwrap();
        assert_eq!(listed.prices["request"], "0.02");
        assert_eq!((&*listed.prices["prompt"], &*listed.prices["completion"]), ("0", "0"));
    }

    #[test]
    fn the_list_has_the_shortest_names_the_allowed_models_and_marked_prices() {
        let paywall = paywall(&json!({
            "models": {"allow": ["gpt-4o*", "tiny"], "deny": ["gpt-4o"],
                "aliases": {"tiny": "gpt-4o-mini"}},
            "pricing": {"markupPercent": "20", "requestFee": "0.001"},
        }));
        let providers =
            [provider("fake", "fake", &json!({})), provider("openai", "openai", &json!({}))];
        let rows = PriceList::default();
        let market = Market::of(&paywall, &providers, &rows);
        let list = market.list(AT);
        let ids: Vec<&str> = list.iter().map(|listed| listed.id.as_str()).collect();
        assert_eq!(ids, ["gpt-4o-mini", "openai/gpt-4o-mini", "gpt-4o-audio-preview", "tiny"]);
        assert_eq!(list[0].route.provider.name, "fake");
        let prices = &list[1].prices;
        assert_eq!((&*prices["prompt"], &*prices["completion"]), ("0.18", "0.72"));
        assert_eq!((&*prices["cached_input"], &*prices["request"]), ("0.09", "0.001"));
        assert_eq!(list[1].facts.max_output_tokens, Some(16_384));
    }

    #[test]
    fn another_currency_needs_a_rate() {
        let with = |pricing: &Value| paywall(&json!({"currency": "eur", "pricing": pricing}));
        let providers = [provider("openai", "openai", &json!({}))];
        let rows = PriceList::default();
        let paywall = with(&json!({}));
        let market = Market::of(&paywall, &providers, &rows);
        assert!(market.route("gpt-4o-mini", AT).is_some());
        assert!(market.list(AT).is_empty());
        let paywall = with(&json!({"currencyRate": "0.5", "markupPercent": 0}));
        let market = Market::of(&paywall, &providers, &rows);
        assert_eq!(market.listed("gpt-4o-mini", AT).unwrap().prices["prompt"], "0.075");
    }
}
