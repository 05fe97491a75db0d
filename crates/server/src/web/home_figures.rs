//! What the home page says, read from the sums of the log: money, requests, tokens, refusals,
//! attempts of webhooks; by stretches of a range.

use std::collections::BTreeMap;

use domain::amount::Amount;
use domain::scope::Scope;
use domain::time::Timestamp;
use engine::{Engine, Error};
use store::tallies::{self, DAY_MS, HOUR_MS, Tally};

/// A choice of the range picker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub name: &'static str,
    pub words: &'static str,
    span: i64,
    /// Spans in one stretch of the charts, and stretches.
    spans: i64,
    stretches: i64,
}

const fn range(name: &'static str, words: &'static str, of: (i64, i64, i64)) -> Range {
    Range { name, words, span: of.0, spans: of.1, stretches: of.2 }
}

pub const RANGES: [Range; 5] = [
    range("24h", "24 hours", (HOUR_MS, 1, 24)),
    range("7d", "7 days", (HOUR_MS, 6, 28)),
    range("30d", "30 days", (DAY_MS, 1, 30)),
    range("90d", "90 days", (DAY_MS, 3, 30)),
    range("12m", "12 months", (DAY_MS, 14, 26)),
];

impl Range {
    pub fn find(name: &str) -> Range {
        RANGES.into_iter().find(|range| range.name == name).unwrap_or(RANGES[0])
    }

    fn stretch_ms(self) -> i64 {
        self.span * self.spans
    }

    /// The stretch that now is in is the last one.
    fn start(self, now: Timestamp) -> i64 {
        let now = now.millis();
        let spans_ago = self.spans * self.stretches - 1;
        now - now.rem_euclid(self.span) - spans_ago * self.span
    }
}

/// Sums of one stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    pub at: i64,
    pub paid_in: Amount,
    pub spent: Amount,
    pub requests: i64,
    pub blocked: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub delivered: i64,
    pub failed: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub stretches: Vec<Stretch>,
    pub paid_in: Amount,
    pub granted: Amount,
    pub spent: Amount,
    pub charges: i64,
    pub expired: Amount,
    /// Of all time, in credits, for the currency.
    pub outstanding: Amount,
    pub held: Amount,
    pub requests: i64,
    pub blocked: i64,
    pub tokens: i64,
    pub prompt_tokens: i64,
    pub refused: BTreeMap<String, i64>,
    pub models: BTreeMap<String, (i64, Amount)>,
    pub delivered: i64,
    pub failed: i64,
    /// Currencies that ever moved, the busiest first.
    pub currencies: Vec<String>,
    /// Positions of the ledger that are not in these sums yet.
    pub behind: u64,
}

/// `from`, `to` and currency of a movement.
fn movement(label: &str) -> Option<(&str, &str, &str)> {
    let (ends, currency) = label.rsplit_once(' ')?;
    let (from, to) = ends.split_once('>')?;
    Some((from, to, currency))
}

fn is_wallet(account: &str) -> bool {
    matches!(account, "available" | "held")
}

/// The figures of a range in one currency; the busiest where none is named.
pub fn load(
    engine: &Engine,
    scope: Scope,
    range: Range,
    currency: Option<&str>,
) -> Result<(Figures, String), Error> {
    let now = engine.now(&scope);
    let start = range.start(now);
    let before = start + range.stretch_ms() * range.stretches;
    let between = (Timestamp::from_millis(start), Timestamp::from_millis(before));
    let (totals, rows, behind) = engine.read_now(|read| {
        Ok((
            tallies::totals(read, &scope)?,
            tallies::list(read, &scope, range.span, between)?,
            tallies::behind(read, &scope)?,
        ))
    })?;
    let mut figures = Figures { behind, ..Figures::default() };
    figures.currencies = busiest(&totals);
    let known = currency.filter(|code| figures.currencies.iter().any(|one| one == code));
    let first = figures.currencies.first().map_or("usd", String::as_str);
    let currency = known.unwrap_or(first).to_owned();
    figures.add_totals(&totals, &currency);
    let stretch = |index| Stretch { at: start + range.stretch_ms() * index, ..Stretch::default() };
    figures.stretches = (0..range.stretches).map(stretch).collect();
    for row in &rows {
        let index = usize::try_from((row.at.millis() - start) / range.stretch_ms());
        let index = index.unwrap_or(0).min(figures.stretches.len() - 1);
        figures.add(index, row, &currency);
    }
    Ok((figures, currency))
}

fn busiest(totals: &[Tally]) -> Vec<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for row in totals.iter().filter(|row| row.name == "moved") {
        if let Some((_, _, currency)) = movement(&row.label) {
            *counts.entry(currency).or_default() += row.sum.count;
        }
    }
    let mut all: Vec<(&str, i64)> = counts.into_iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all.into_iter().map(|(currency, _)| currency.to_owned()).collect()
}

impl Figures {
    fn add_totals(&mut self, totals: &[Tally], currency: &str) {
        for row in totals.iter().filter(|row| row.name == "moved") {
            let Some((from, to, of)) = movement(&row.label) else { continue };
            if of != currency {
                continue;
            }
            match (is_wallet(from), is_wallet(to)) {
                (false, true) => self.outstanding += row.sum.credits,
                (true, false) => self.outstanding -= row.sum.credits,
                _ => {}
            }
            match (from == "held", to == "held") {
                (false, true) => self.held += row.sum.credits,
                (true, false) => self.held -= row.sum.credits,
                _ => {}
            }
        }
    }

    fn add(&mut self, index: usize, row: &Tally, currency: &str) {
        let (sum, label) = (row.sum, row.label.as_str());
        let stretch = &mut self.stretches[index];
        match row.name.as_str() {
            "moved" => self.add_movement(index, row, currency),
            "requests" => {
                stretch.requests += sum.count;
                self.requests += sum.count;
                if label == "blocked" {
                    stretch.blocked += sum.count;
                    self.blocked += sum.count;
                }
            }
            "tokens" => {
                self.tokens += sum.count;
                if label == "prompt" {
                    stretch.prompt_tokens += sum.count;
                    self.prompt_tokens += sum.count;
                } else {
                    stretch.completion_tokens += sum.count;
                }
            }
            "refused" => *self.refused.entry(row.label.clone()).or_default() += sum.count,
            "attempts" if label == "delivered" => {
                stretch.delivered += sum.count;
                self.delivered += sum.count;
            }
            "attempts" => {
                stretch.failed += sum.count;
                self.failed += sum.count;
            }
            "models" => {
                let (model, of) = label.rsplit_once(' ').unwrap_or((label, ""));
                let known = self.models.entry(model.to_owned()).or_default();
                known.0 += sum.count;
                if of == currency {
                    known.1 += sum.amount;
                }
            }
            _ => {}
        }
    }

    fn add_movement(&mut self, index: usize, row: &Tally, currency: &str) {
        let Some((from, to, of)) = movement(&row.label) else { return };
        if of != currency {
            return;
        }
        let (sum, stretch) = (row.sum, &mut self.stretches[index]);
        match (from, to) {
            ("funding", to) if is_wallet(to) => {
                stretch.paid_in += sum.amount;
                self.paid_in += sum.amount;
            }
            ("promotion", to) if is_wallet(to) => self.granted += sum.amount,
            (from, "revenue") if is_wallet(from) => {
                stretch.spent += sum.amount;
                self.spent += sum.amount;
                self.charges += sum.count;
            }
            ("revenue", to) if is_wallet(to) => {
                stretch.spent -= sum.amount;
                self.spent -= sum.amount;
            }
            (from, "breakage") if is_wallet(from) => self.expired += sum.amount,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_with_the_stretch_that_now_is_in() {
        let now = Timestamp::from_millis(1_000 * DAY_MS + 5 * HOUR_MS + 17);
        for range in RANGES {
            let start = range.start(now);
            let end = start + range.stretch_ms() * range.stretches;
            assert!(start <= now.millis() && now.millis() < end, "{}", range.name);
            assert!(end - now.millis() <= range.span, "{}", range.name);
        }
    }

    #[test]
    fn outstanding_is_what_wallets_hold_and_a_hold_does_not_change_it() {
        let tally = |label: &str, credits: i64| Tally {
            at: Timestamp::from_millis(0),
            name: "moved".to_owned(),
            label: label.to_owned(),
            sum: tallies::Sum { count: 1, credits: Amount::units(credits), ..Default::default() },
        };
        let totals = [
            tally("funding>available usd", 100),
            tally("available>held usd", 30),
            tally("held>available usd", 10),
            tally("held>revenue usd", 15),
            tally("available>revenue usd", 5),
            tally("funding>available eur", 7),
        ];
        let mut figures = Figures::default();
        figures.add_totals(&totals, "usd");
        assert_eq!(figures.outstanding, Amount::units(80));
        assert_eq!(figures.held, Amount::units(5));
        assert_eq!(busiest(&totals), ["usd", "eur"]);
    }
}
