//! The price book: rows of prices and model facts, and which one holds (paywalls 14.3).
//!
//! Resolution only chooses; it computes no money. Where rows are kept is the store's matter.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::price::Price;
use super::pricing::{Pricing, PricingMode, Unbillable};
use super::vector::PriceVector;
use crate::amount::Rate;
use crate::currency::Currency;
use crate::id::PriceId;
use crate::time::Timestamp;

/// What a model costs, in all the ways in which one row can say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// `prices` on the wire.
    #[serde(rename = "prices")]
    pub vector: PriceVector,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_context: Option<LongContext>,
    /// Factors on the whole cost by the answer's `service_tier`; a tier that is absent is 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_tiers: BTreeMap<String, Price>,
}

/// A prompt of more than `above` tokens is priced whole by `prices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongContext {
    pub above: u64,
    pub prices: PriceVector,
}

/// What is known of a model beside its prices. Absent facts have the defaults of paywalls 17.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Output cap for a client that gave none, in place of `limits.defaultOutputTokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_output_tokens: Option<u64>,
    /// Most tokens that one image can count as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_image_tokens: Option<u64>,
    /// Most tokens that one audio part can count as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_audio_tokens: Option<u64>,
    #[serde(skip_serializing_if = "TokenizerFamily::is_unknown")]
    pub tokenizer: TokenizerFamily,
}

/// How the model's provider cuts text into tokens. No family is counted exactly in this release:
/// all are bounded by bytes (`estimate`), and the name is kept for the day when one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerFamily {
    O200k,
    Cl100k,
    Claude,
    Llama,
    #[default]
    Unknown,
}

/// One row of the price book. Rows are never edited; a new one ends the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceRow {
    pub id: PriceId,
    pub model: String,
    /// A provider connection of the paywall, or a kind of provider.
    pub provider: String,
    #[serde(with = "crate::paywall::upper_case")]
    pub currency: Currency,
    #[serde(flatten)]
    pub prices: Arc<Prices>,
    #[serde(flatten)]
    pub facts: ModelFacts,
    /// In force from this instant …
    pub effective_from: Timestamp,
    /// … until before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_to: Option<Timestamp>,
    /// Where the figures come from, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// Rows that can be asked for a model: the paywall's, the environment's, or the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceList {
    by_model: HashMap<String, Vec<PriceRow>>,
}

/// Where a price came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Override,
    Paywall,
    Environment,
    Catalogue,
}

/// The three lists of a paywall; its overrides are in its `Pricing`.
#[derive(Clone, Copy, Debug)]
pub struct PriceBook<'a> {
    pub paywall: &'a PriceList,
    pub environment: &'a PriceList,
    pub catalogue: &'a PriceList,
}

/// What a price is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct PriceAsk<'a> {
    /// Names of the model, best first: as the provider knows it, as the client asked for it.
    pub models: &'a [&'a str],
    /// Names of the provider, best first: the connection, its kind.
    pub providers: &'a [&'a str],
    pub at: Timestamp,
    /// The paywall's.
    pub currency: Currency,
}

/// The price that holds for one request, from its hold to its charge. Kept with the hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tariff {
    pub origin: Origin,
    /// The row's; an override has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_id: Option<PriceId>,
    #[serde(flatten)]
    pub prices: Arc<Prices>,
    /// The paywall's currency for one unit of the row's; `None` where they are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Rate>,
    /// Whether the paywall's markup applies.
    pub markup: bool,
}

/// A row that would be in force together with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("overlaps {0}: rows of one model and provider may not be in force together")]
pub struct Overlap(pub PriceId);

impl TokenizerFamily {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
    fn is_unknown(&self) -> bool {
        *self == TokenizerFamily::Unknown
    }
}

impl Prices {
    pub fn of(vector: PriceVector) -> Prices {
        Prices { vector, ..Prices::default() }
    }

    /// The vector for a prompt of so many tokens.
    pub fn vector_for(&self, prompt_tokens: u64) -> &PriceVector {
        match &self.long_context {
            Some(long) if prompt_tokens > long.above => &long.prices,
            _ => &self.vector,
        }
    }

    /// The factor of a service tier; 1 where the row has none for it.
    pub fn factor(&self, tier: Option<&str>) -> Price {
        let factor = tier.and_then(|tier| self.service_tiers.get(tier));
        factor.copied().unwrap_or(Price::ONE)
    }

    /// Every part is zero, whatever is asked.
    pub fn is_free(&self) -> bool {
        let long = self.long_context.as_ref();
        self.vector.is_free() && long.is_none_or(|long| long.prices.is_free())
    }
}

impl PriceRow {
    /// Half open: from `effective_from` until before `effective_to`.
    pub fn in_force_at(&self, at: Timestamp) -> bool {
        self.effective_from <= at && self.effective_to.is_none_or(|end| at < end)
    }

    fn overlaps(&self, other: &PriceRow) -> bool {
        let starts_before_end =
            |one: &PriceRow, end: Option<Timestamp>| end.is_none_or(|end| one.effective_from < end);
        starts_before_end(self, other.effective_to) && starts_before_end(other, self.effective_to)
    }
}

impl PriceList {
    pub fn insert(&mut self, row: PriceRow) {
        self.by_model.entry(row.model.clone()).or_default().push(row);
    }

    pub fn is_empty(&self) -> bool {
        self.by_model.is_empty()
    }

    pub fn rows(&self) -> impl Iterator<Item = &PriceRow> {
        self.by_model.values().flatten()
    }

    /// The row in force: the first name of the model and of the provider that has one.
    pub fn find(&self, ask: &PriceAsk<'_>) -> Option<&PriceRow> {
        let named = ask.models.iter().filter_map(|model| self.by_model.get(*model));
        named.flat_map(|rows| ask.providers.iter().map(move |provider| (rows, *provider))).find_map(
            |(rows, provider)| {
                rows.iter().find(|row| row.provider == provider && row.in_force_at(ask.at))
            },
        )
    }

    /// Which row a new one ends: the open one that started before it. Any other that would be in
    /// force together with it refuses it.
    pub fn ended_by(&self, new: &PriceRow) -> Result<Option<PriceId>, Overlap> {
        let rows = self.by_model.get(&new.model).map_or(&[][..], Vec::as_slice);
        let mut ended = None;
        for row in rows.iter().filter(|row| row.provider == new.provider && row.overlaps(new)) {
            if row.effective_to.is_some() || row.effective_from >= new.effective_from {
                return Err(Overlap(row.id));
            }
            ended = Some(row.id);
        }
        Ok(ended)
    }
}

impl FromIterator<PriceRow> for PriceList {
    fn from_iter<I: IntoIterator<Item = PriceRow>>(rows: I) -> PriceList {
        let mut list = PriceList::default();
        rows.into_iter().for_each(|row| list.insert(row));
        list
    }
}

impl PriceBook<'_> {
    /// The price that holds: override, paywall, environment, catalogue; the first hit wins whole.
    /// `Ok(None)` only where the paywall prices by requests and nobody has a price.
    pub fn resolve(
        &self,
        pricing: &Pricing,
        ask: &PriceAsk<'_>,
    ) -> Result<Option<Tariff>, Unbillable> {
        let found = self.find(pricing, ask);
        match found {
            Err(_) | Ok(None) if pricing.mode == PricingMode::Requests => Ok(None),
            Ok(None) => Err(Unbillable::NoPrice),
            found => found,
        }
    }

    /// Facts of the model: those of the first row of any list, since an override has none.
    pub fn facts(&self, ask: &PriceAsk<'_>) -> ModelFacts {
        let row = self.lists().into_iter().find_map(|(_, list)| list.find(ask));
        row.map(|row| row.facts).unwrap_or_default()
    }

    pub(super) fn lists(&self) -> [(Origin, &PriceList); 3] {
        [
            (Origin::Paywall, self.paywall),
            (Origin::Environment, self.environment),
            (Origin::Catalogue, self.catalogue),
        ]
    }

    fn find(&self, pricing: &Pricing, ask: &PriceAsk<'_>) -> Result<Option<Tariff>, Unbillable> {
        let override_ = ask.models.iter().find_map(|model| pricing.overrides.get(*model));
        if let Some(own) = override_ {
            return Ok(Some(own.tariff()));
        }
        let hit =
            self.lists().into_iter().find_map(|(origin, list)| Some((origin, list.find(ask)?)));
        let Some((origin, row)) = hit else { return Ok(None) };
        let conversion = match (row.currency == ask.currency, pricing.currency_rate) {
            (true, _) => None,
            (false, Some(rate)) => Some(rate),
            (false, None) => return Err(Unbillable::OtherCurrency(row.currency)),
        };
        let prices = Arc::clone(&row.prices);
        Ok(Some(Tariff { origin, price_id: Some(row.id), prices, conversion, markup: true }))
    }
}
