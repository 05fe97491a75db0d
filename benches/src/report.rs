//! Medians, rates and tables. Whole numbers only: a rate is counted, never estimated.

use std::io::Write as _;
use std::time::Duration;

/// One line of a table.
pub struct Row {
    pub name: String,
    pub cells: Vec<String>,
}

impl Row {
    pub fn new(name: impl Into<String>, cells: &[String]) -> Row {
        Row { name: name.into(), cells: cells.to_vec() }
    }
}

/// Writes one line to the terminal.
pub fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Writes a table in Markdown.
pub fn table(title: &str, head: &[&str], rows: &[Row]) -> anyhow::Result<()> {
    line(&format!("\n### {title}\n"))?;
    line(&format!("| {} |", head.join(" | ")))?;
    line(&format!("|{}", "---|".repeat(head.len())))?;
    for row in rows {
        line(&format!("| {} | {} |", row.name, row.cells.join(" | ")))?;
    }
    Ok(())
}

/// What it was measured on.
pub fn machine() -> anyhow::Result<()> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": ?");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    line(&format!("{cores} cores{}; load {}", model.trim_start_matches('\t'), load.join(" ")))
}

/// Events a second.
pub fn rate(count: u64, took: Duration) -> u64 {
    let micros = took.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

pub fn median<T: Ord + Copy>(values: &mut [T]) -> Option<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The value below which `per_mille` of all lie. `sorted` is sorted.
pub fn percentile(sorted: &[u32], per_mille: usize) -> u32 {
    let at = sorted.len().saturating_sub(1) * per_mille / 1_000;
    sorted.get(at).copied().unwrap_or(0)
}

/// `12 345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `one ÷ other` with one decimal, such as `3.4×`.
pub fn ratio(one: u64, other: u64) -> String {
    let tenths = one.saturating_mul(10) / other.max(1);
    format!("{}.{}×", tenths / 10, tenths % 10)
}

/// `one ÷ other` with two decimals, such as `0.85×`.
pub fn fraction(one: u64, other: u64) -> String {
    let hundredths = one.saturating_mul(100) / other.max(1);
    format!("{}.{:02}×", hundredths / 100, hundredths % 100)
}

/// Microseconds as milliseconds with two decimals.
pub fn fine_millis(micros: u32) -> String {
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}

/// Microseconds as milliseconds with one decimal.
pub fn millis(micros: u32) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}
