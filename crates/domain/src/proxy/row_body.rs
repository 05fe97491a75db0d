//! The body with which a row of the price book is made, read field by field.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::book::{LongContext, ModelFacts, PriceRow, Prices, TokenizerFamily};
use super::price::{Price, PriceError, PriceProblem, members};
use super::vector::PriceVector;
use crate::currency::Currency;
use crate::id::PriceId;
use crate::time::Timestamp;

const NAME_CHARS_MAX: usize = 200;
const TOKENS_MAX: u64 = 1_000_000_000;
const TIERS_MAX: usize = 20;

impl PriceRow {
    /// Reads `model`, `provider`, `prices`, and what else is given; `effectiveFrom` is `now` where
    /// it is not said, `currency` is `currency`.
    pub fn from_json(
        body: &Value,
        id: PriceId,
        now: Timestamp,
        currency: Currency,
    ) -> Result<PriceRow, PriceError> {
        let mut draft = Draft::new(id, now, currency);
        for (field, value) in members(body)? {
            if !value.is_null() {
                draft.read(field, value)?;
            }
        }
        draft.finish()
    }
}

struct Draft {
    row: PriceRow,
    prices: Prices,
    priced: bool,
}

impl Draft {
    fn new(id: PriceId, now: Timestamp, currency: Currency) -> Draft {
        let row = PriceRow {
            id,
            model: String::new(),
            provider: String::new(),
            currency,
            prices: Arc::default(),
            facts: ModelFacts::default(),
            effective_from: now,
            effective_to: None,
            source: String::new(),
        };
        Draft { row, prices: Prices::default(), priced: false }
    }

    fn read(&mut self, field: &str, value: &Value) -> Result<(), PriceError> {
        let at = |problem: PriceProblem| PriceError::at(field, problem);
        match field {
            "model" => self.row.model = name(value).map_err(at)?,
            "provider" => self.row.provider = name(value).map_err(at)?,
            "source" => self.row.source = name(value).map_err(at)?,
            "currency" => {
                let code = value.as_str().unwrap_or_default();
                self.row.currency =
                    Currency::parse(code).map_err(|problem| PriceError::at(field, problem))?;
            }
            "prices" => {
                self.prices.vector =
                    PriceVector::from_json(value).map_err(|error| error.under(field))?;
                self.priced = true;
            }
            "longContext" => {
                let long = long_context(value).map_err(|error| error.under(field))?;
                self.prices.long_context = Some(long);
            }
            "serviceTiers" => {
                self.prices.service_tiers = tiers(value).map_err(|error| error.under(field))?;
            }
            "effectiveFrom" => self.row.effective_from = instant(value).map_err(at)?,
            "effectiveTo" => self.row.effective_to = Some(instant(value).map_err(at)?),
            _ => read_fact(&mut self.row.facts, field, value).map_err(at)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<PriceRow, PriceError> {
        let required = [
            ("model", self.row.model.is_empty()),
            ("provider", self.row.provider.is_empty()),
            ("prices", !self.priced),
        ];
        if let Some((field, _)) = required.iter().find(|(_, missing)| *missing) {
            return Err(PriceError::at(field, PriceProblem::Missing));
        }
        if self.row.effective_to.is_some_and(|end| end <= self.row.effective_from) {
            return Err(PriceError::at("effectiveTo", PriceProblem::EndsBeforeItStarts));
        }
        Ok(PriceRow { prices: Arc::new(self.prices), ..self.row })
    }
}

fn name(value: &Value) -> Result<String, PriceProblem> {
    let text = value.as_str().unwrap_or_default();
    let fits = !text.trim().is_empty() && text.chars().count() <= NAME_CHARS_MAX;
    if fits { Ok(text.to_owned()) } else { Err(PriceProblem::NotAName(NAME_CHARS_MAX)) }
}

fn instant(value: &Value) -> Result<Timestamp, PriceProblem> {
    Ok(Timestamp::parse(value.as_str().unwrap_or_default())?)
}

fn tokens(value: &Value, least: u64) -> Result<u64, PriceProblem> {
    let number = value.as_u64().filter(|number| (least..=TOKENS_MAX).contains(number));
    number.ok_or(PriceProblem::NotWhole(least, TOKENS_MAX))
}

fn long_context(value: &Value) -> Result<LongContext, PriceError> {
    let body = members(value)?;
    if let Some(other) = body.keys().find(|key| !["above", "prices"].contains(&key.as_str())) {
        return Err(PriceError::at(other, PriceProblem::NoSuchField));
    }
    let member =
        |field: &str| body.get(field).ok_or_else(|| PriceError::at(field, PriceProblem::Missing));
    let above = tokens(member("above")?, 1).map_err(|problem| PriceError::at("above", problem))?;
    let prices = PriceVector::from_json(member("prices")?);
    Ok(LongContext { above, prices: prices.map_err(|error| error.under("prices"))? })
}

fn tiers(value: &Value) -> Result<BTreeMap<String, Price>, PriceError> {
    let body = members(value)?;
    if body.len() > TIERS_MAX {
        return Err(PriceError::at("", PriceProblem::TooMany(TIERS_MAX)));
    }
    let read = |(tier, factor): (&String, &Value)| {
        let factor = Price::from_json(factor).map_err(|problem| PriceError::at(tier, problem))?;
        Ok((tier.clone(), factor))
    };
    body.iter().map(read).collect()
}

fn read_fact(facts: &mut ModelFacts, field: &str, value: &Value) -> Result<(), PriceProblem> {
    match field {
        "contextTokens" => facts.context_tokens = Some(tokens(value, 1)?),
        "maxOutputTokens" => facts.max_output_tokens = Some(tokens(value, 1)?),
        "defaultOutputTokens" => facts.default_output_tokens = Some(tokens(value, 1)?),
        "maxImageTokens" => facts.max_image_tokens = Some(tokens(value, 0)?),
        "maxAudioTokens" => facts.max_audio_tokens = Some(tokens(value, 0)?),
        "tokenizer" => facts.tokenizer = family(value)?,
        _ => return Err(PriceProblem::NoSuchField),
    }
    Ok(())
}

fn family(value: &Value) -> Result<TokenizerFamily, PriceProblem> {
    serde::Deserialize::deserialize(value)
        .map_err(|_| PriceProblem::NotOneOf("o200k, cl100k, claude, llama, unknown"))
}
