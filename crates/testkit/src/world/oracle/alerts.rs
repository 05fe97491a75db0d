//! The oracle's own alert machine, from the words of the specification.

use crate::world::line::Line;

/// Thresholds of a wallet's balance; the worst is first. Percentages are of the last purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    pub critical: i128,
    pub warning: Option<i128>,
    pub info: Option<i128>,
    pub margin: i128,
    pub percent: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub awake: bool,
    /// 0 is ok, 3 in alarm.
    pub level: u8,
    pub told: u8,
}

pub const LEVELS: [&str; 4] = ["ok", "info", "warning", "in_alarm"];

/// What a step sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Nothing,
    Dropped,
    Recovered,
    Changed,
}

impl Ladder {
    /// The ladder that a line names; `off` is none.
    pub fn of(line: &Line) -> Option<Ladder> {
        Some(Ladder {
            critical: line.amount("critical")?,
            warning: line.amount("warning"),
            info: line.amount("info"),
            margin: line.amount("margin").unwrap_or_default(),
            percent: line.option("unit") == Some("percent"),
        })
    }

    /// A percentage means nothing before there was a purchase.
    pub fn resolved(&self, base: Option<i128>) -> Option<Ladder> {
        if !self.percent {
            return Some(self.clone());
        }
        let base = base?;
        let hundred = 100 * 1_000_000_000;
        let part = |percent: i128| (base * percent + hundred / 2) / hundred;
        Some(Ladder {
            critical: part(self.critical),
            warning: self.warning.map(part),
            info: self.info.map(part),
            margin: part(self.margin),
            percent: false,
        })
    }

    fn level(&self, before: u8, value: i128) -> u8 {
        let steps = [(3, Some(self.critical)), (2, self.warning), (1, self.info)];
        let set = steps.iter().filter_map(|(level, at)| at.map(|at| (*level, at)));
        let set: Vec<(u8, i128)> = set.collect();
        if let Some((level, _)) = set.iter().find(|(_, at)| value <= *at) {
            return *level;
        }
        let (outermost, at) = set[set.len() - 1];
        let near = self.margin > 0 && value <= at + self.margin;
        if before > 0 && near { outermost } else { 0 }
    }
}

impl Machine {
    /// Looks at the value; an edit of the settings wakes no machine.
    pub fn step(&mut self, ladder: &Ladder, value: i128, edit: bool) -> (u8, Sent) {
        let before = self.level;
        if edit && !self.awake {
            return (before, Sent::Nothing);
        }
        self.awake = true;
        self.level = ladder.level(before, value);
        let sent = if self.level > self.told {
            self.told = self.level;
            Sent::Dropped
        } else if self.level == 0 && self.told > 0 {
            self.told = 0;
            Sent::Recovered
        } else {
            if edit && self.level > 0 {
                self.told = self.level;
            }
            if self.level == before { Sent::Nothing } else { Sent::Changed }
        };
        (before, sent)
    }

    /// Alerts are off, or the wallet has ended: back to ok without a word.
    pub fn silence(&mut self) {
        (self.level, self.told) = (0, 0);
    }
}
