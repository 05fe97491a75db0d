//! How far a long verb is: one line that is written over where stderr is a terminal, else a line
//! now and then.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use store::copying::{Progress, Stage};

use super::out;

const BAR_WIDTH: u64 = 24;
const REWRITTEN_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(5);

pub struct Meter {
    began: Instant,
    told: Option<Instant>,
    /// What was there before this attempt does not count for its speed.
    before: Option<u64>,
    terminal: bool,
}

impl Meter {
    pub fn begin() -> Meter {
        let terminal = io::stderr().is_terminal();
        Meter { began: Instant::now(), told: None, before: None, terminal }
    }

    pub fn tell(&mut self, at: Progress<'_>) {
        let before = *self.before.get_or_insert(at.rows);
        let pause = if self.terminal { REWRITTEN_EVERY } else { LINE_EVERY };
        let last = self.told.unwrap_or(self.began);
        if last.elapsed() < pause {
            return;
        }
        self.told = Some(Instant::now());
        let speed = per_second(at.rows.saturating_sub(before), self.began.elapsed());
        let line = line(at, speed);
        if self.terminal {
            // Whether anyone reads it changes nothing.
            drop(write!(io::stderr().lock(), "\r{line}\u{1b}[K"));
        } else {
            out::say(&line);
        }
    }

    /// Ends the line. Returns how many of these rows passed in a second.
    pub fn end(self, rows: u64) -> u64 {
        if self.terminal && self.told.is_some() {
            drop(write!(io::stderr().lock(), "\r\u{1b}[K"));
        }
        per_second(rows, self.began.elapsed())
    }
}

fn per_second(rows: u64, time: Duration) -> u64 {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    rows.saturating_mul(1_000) / ms
}

fn line(at: Progress<'_>, speed: u64) -> String {
    let verb = match at.stage {
        Stage::Copying => "copying",
        Stage::Comparing => "comparing",
    };
    let total = at.total.max(at.rows).max(1);
    let full = usize::try_from(at.rows * BAR_WIDTH / total).unwrap_or(0);
    let width = usize::try_from(BAR_WIDTH).unwrap_or(0);
    format!(
        "{verb} [{:<width$}] {:>3} %  {} of {} rows, {speed} a second: {}",
        "#".repeat(full),
        at.rows * 100 / total,
        at.rows,
        at.total,
        at.table,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_how_fast_and_at_what() {
        let at = Progress { stage: Stage::Copying, table: "entries", rows: 50, total: 200 };
        let told = line(at, per_second(50, Duration::from_millis(500)));
        let bar = "######                  ";
        assert_eq!(told, format!("copying [{bar}]  25 %  50 of 200 rows, 100 a second: entries"));
        let none = Progress { stage: Stage::Comparing, table: "wallets", rows: 0, total: 0 };
        assert!(line(none, 0).contains("0 of 0 rows"), "an empty database is no division by zero");
    }
}
