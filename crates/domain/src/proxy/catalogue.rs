//! The shipped catalogue: list prices and facts of the usual models, as data of this release.
//!
//! It is the last list that is asked, and prices change: an owner who charges for a model checks
//! its row, or writes a row of his own. A model's dated and suffixed names find its row too.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::book::{PriceList, PriceRow};
use crate::currency::Currency;
use crate::id::{PriceId, Ulid};
use crate::time::Timestamp;

const DATA: &str = include_str!("catalogue.json");

/// The list, and the rows by their ids.
pub struct Catalogue {
    pub list: PriceList,
    /// Models of each provider kind, in the order of the data.
    models: HashMap<String, Vec<String>>,
    by_id: HashMap<PriceId, PriceRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    source: String,
    fake_source: String,
    rows: Vec<Value>,
}

/// The catalogue of this release, read once.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::of(&rows(DATA)));
    &CATALOGUE
}

/// Names under which a model may be listed, best first: its own, then without what stands after a
/// colon, then without a date or `-latest` at its end.
pub fn model_names(model: &str) -> Vec<&str> {
    let mut names = vec![model];
    for name in other_names(model) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The names beside its own; they may be the same.
pub(super) fn other_names(model: &str) -> [&str; 2] {
    let base = model.split_once(':').map_or(model, |(base, _)| base);
    [base, without_date(base)]
}

impl Catalogue {
    fn of(rows: &[PriceRow]) -> Catalogue {
        let mut models: HashMap<String, Vec<String>> = HashMap::new();
        for row in rows {
            models.entry(row.provider.clone()).or_default().push(row.model.clone());
        }
        let by_id = rows.iter().map(|row| (row.id, row.clone())).collect();
        Catalogue { list: rows.iter().cloned().collect(), models, by_id }
    }

    pub fn find(&self, id: PriceId) -> Option<&PriceRow> {
        self.by_id.get(&id)
    }

    /// The models of a kind of provider.
    pub fn models_of(&self, kind: &str) -> &[String] {
        self.models.get(kind).map_or(&[], Vec::as_slice)
    }
}

/// The rows of the data. They hold from the beginning of time, so that every clock finds them.
fn rows(data: &str) -> Vec<PriceRow> {
    let Ok(data) = serde_json::from_str::<Data>(data) else { return Vec::new() };
    let read = |row: &Value| {
        let id = id_of(row.get("provider")?.as_str()?, row.get("model")?.as_str()?);
        let mut read = PriceRow::from_json(row, id, Timestamp::default(), Currency::USD).ok()?;
        let fake = read.provider == "fake";
        read.source = if fake { data.fake_source.clone() } else { data.source.clone() };
        Some(read)
    };
    data.rows.iter().filter_map(read).collect()
}

/// The same in every process and release, because charges name it.
fn id_of(provider: &str, model: &str) -> PriceId {
    let digest: [u8; 32] = Sha256::digest(format!("catalogue {provider} {model}")).into();
    let unique = digest.iter().take(10).fold(0, |number, byte| number << 8 | u128::from(*byte));
    PriceId(Ulid::new(Timestamp::default(), unique))
}

/// `name-2024-07-18`, `name-20250929` and `name-latest` are `name`.
fn without_date(name: &str) -> &str {
    if let Some(base) = name.strip_suffix("-latest") {
        return base;
    }
    let is_date = |text: &str| {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let dashes = text.bytes().filter(|&byte| byte == b'-').count();
        digits == 8 && digits + dashes == text.len() && text.starts_with("20")
    };
    for length in [10, 8] {
        let Some(at) = name.len().checked_sub(length + 1) else { continue };
        if let (Some(base), Some(tail)) = (name.get(..at), name.get(at..))
            && let Some(date) = tail.strip_prefix('-')
            && is_date(date)
            && !base.is_empty()
        {
            return base;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{Class, Price, PriceAsk};

    #[test]
    fn every_row_of_the_data_is_read_and_none_is_there_twice() {
        let data: Data = serde_json::from_str(DATA).unwrap();
        let catalogue = catalogue();
        assert_eq!(catalogue.list.rows().count(), data.rows.len());
        assert_eq!(catalogue.by_id.len(), data.rows.len());
        for row in catalogue.list.rows() {
            let free = row.model == "gpt-free";
            assert_eq!(row.prices.is_free(), free, "{}", row.model);
            assert!(row.source.contains("check") || row.provider == "fake");
            let output = row.prices.vector.price(Class::Output);
            let embeds = row.model.contains("embedding");
            assert_eq!(output.is_zero(), free || embeds, "{}", row.model);
            let cached = row.prices.vector.price(Class::CachedInput);
            assert!(cached <= row.prices.vector.price(Class::Input), "{}", row.model);
        }
    }

    #[test]
    fn ids_of_rows_never_change() {
        let id = id_of("openai", "gpt-4o-mini");
        assert_eq!(catalogue().find(id).unwrap().model, "gpt-4o-mini");
        assert_eq!(id, id_of("openai", "gpt-4o-mini"));
        assert_ne!(id, id_of("openrouter", "gpt-4o-mini"));
    }

    #[test]
    fn other_names_of_a_model_find_its_row() {
        let table = [
            ("gpt-4o-mini", vec!["gpt-4o-mini"]),
            ("gpt-4o-mini-2024-07-18", vec!["gpt-4o-mini-2024-07-18", "gpt-4o-mini"]),
            ("claude-sonnet-4-5-20250929", vec!["claude-sonnet-4-5-20250929", "claude-sonnet-4-5"]),
            ("claude-3-7-sonnet-latest", vec!["claude-3-7-sonnet-latest", "claude-3-7-sonnet"]),
            ("a/b-1:thinking", vec!["a/b-1:thinking", "a/b-1"]),
            ("20240718", vec!["20240718"]),
            ("x-12345678", vec!["x-12345678"]),
            ("é-2024-07-1", vec!["é-2024-07-1"]),
            ("", vec![""]),
        ];
        for (model, names) in table {
            assert_eq!(model_names(model), names, "{model}");
        }
        let ask = PriceAsk {
            models: &model_names("gpt-4o-mini-2024-07-18"),
            providers: &["main", "openai"],
            at: Timestamp::from_millis(1),
            currency: Currency::USD,
        };
        let row = catalogue().list.find(&ask).unwrap();
        assert_eq!(row.prices.vector.price(Class::Input), Price::parse("0.15").unwrap());
    }
}
