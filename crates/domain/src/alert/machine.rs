//! The alert machine: which level a value has, and what a change of level sends.
//!
//! One machine for each (wallet, alert type). An episode opens with the first `dropped` and closes
//! with the one `recovered`; in between a level is told once, and only on the way down. Nothing
//! here knows wallets, clocks or events.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::settings::Levels;
use crate::amount::Amount;

/// How bad a value is. The order is that of badness.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    #[default]
    Ok,
    Info,
    Warning,
    InAlarm,
}

/// What is remembered between two evaluations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Machine {
    /// Set by the first thing that may move the value; a sleeping machine ignores edits.
    pub awake: bool,
    pub level: Level,
    /// The worst level told in the open episode; ok when none is open.
    pub told: Level,
}

/// What made us look at the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Credits were settled.
    #[serde(rename = "wallet_transaction")]
    Movement,
    Usage,
    Invoice,
    Subscription,
    /// The settings in force were changed.
    #[serde(rename = "settings")]
    Edit,
}

/// What goes to the receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Send {
    Nothing,
    Dropped,
    Recovered,
    /// The added `wallet.alert_level.changed`, for those who asked for it.
    LevelChanged,
}

/// The outcome of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub machine: Machine,
    /// The row of the alert log: the level before, and the level now.
    pub log: Option<(Level, Level)>,
    pub send: Send,
}

/// Cause of the log row that switching alerts off leaves.
pub const CAUSE_DISABLED: &str = "disabled";
/// Cause of the log row that closing the wallet leaves.
pub const CAUSE_WALLET_CLOSED: &str = "wallet_closed";

impl Level {
    pub const ALL: [Level; 4] = [Level::Ok, Level::Info, Level::Warning, Level::InAlarm];

    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::InAlarm => "in_alarm",
        }
    }

    pub fn parse(text: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Cause {
    /// The `type` of the event's `trigger`, and the `cause` of the log row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Movement => "wallet_transaction",
            Cause::Usage => "usage",
            Cause::Invoice => "invoice",
            Cause::Subscription => "subscription",
            Cause::Edit => "settings",
        }
    }
}

impl Machine {
    /// For a movement while alerts are off: nothing is evaluated, but a later edit may be.
    #[must_use]
    pub const fn woken(self) -> Machine {
        Machine { awake: true, ..self }
    }

    const fn unchanged(self) -> Step {
        Step { machine: self, log: None, send: Send::Nothing }
    }
}

/// The level of `value`, given the level it had: a recovery must clear the margin.
pub fn level_of(levels: &Levels, current: Level, value: Amount) -> Level {
    let reached = |threshold: Option<Amount>| threshold.is_some_and(|t| levels.reaches(value, t));
    if reached(levels.critical) {
        Level::InAlarm
    } else if reached(levels.warning) {
        Level::Warning
    } else if reached(levels.info) {
        Level::Info
    } else {
        level_outside(levels, current, value)
    }
}

/// Outside of every threshold the value is ok, unless it comes from inside and stays too near.
fn level_outside(levels: &Levels, current: Level, value: Amount) -> Level {
    let (level, threshold) = levels.outermost();
    let near =
        levels.recovery_margin.is_positive() && levels.reaches(value, levels.widened(threshold));
    if current != Level::Ok && near { level } else { Level::Ok }
}

/// One evaluation with the level that `level_of` found.
pub fn step(machine: Machine, new: Level, cause: Cause) -> Step {
    if cause == Cause::Edit && !machine.awake {
        return machine.unchanged();
    }
    let old = machine.level;
    let (send, told) = if new > machine.told {
        (Send::Dropped, new)
    } else if new == Level::Ok && machine.told != Level::Ok {
        (Send::Recovered, Level::Ok)
    } else {
        let send = if new == old { Send::Nothing } else { Send::LevelChanged };
        // New settings are a new ladder: it may be told again on the way down.
        let restarts = cause == Cause::Edit && new != Level::Ok;
        (send, if restarts { new } else { machine.told })
    };
    let log = (new != old).then_some((old, new));
    Step { machine: Machine { awake: true, level: new, told }, log, send }
}

/// Alerts were switched off: back to ok without a word. It stays awake for the next switching on.
pub fn disable(machine: Machine) -> Step {
    silence(machine, machine.awake)
}

/// The wallet was closed: the machine ends without a word, and no later edit wakes it.
pub fn close(machine: Machine) -> Step {
    silence(machine, false)
}

fn silence(machine: Machine, awake: bool) -> Step {
    let log = (machine.level != Level::Ok).then_some((machine.level, Level::Ok));
    let ended = Machine { awake, ..Machine::default() };
    Step { log, ..ended.unchanged() }
}

#[cfg(test)]
mod tests {
    use super::Level::{InAlarm, Info, Warning};
    use super::{Send, *};
    use crate::alert::settings::{Condition, Settings, Threshold};
    use proptest::prelude::*;

    const OK: Level = Level::Ok;

    fn amount(text: &str) -> Amount {
        Amount::parse(text).unwrap()
    }

    fn settings(condition: Condition, critical: &str, warning: &str, info: &str) -> Settings {
        let level = |text: &str| {
            (!text.is_empty()).then(|| Threshold { threshold: amount(text), condition })
        };
        let (critical, warning, info) = (level(critical), level(warning), level(info));
        Settings { enabled: true, critical, warning, info, ..Settings::tenant_default() }
    }

    fn below(critical: &str, warning: &str, info: &str) -> Levels {
        settings(Condition::Below, critical, warning, info).resolve(None).unwrap()
    }

    fn at(level: Level, told: Level) -> Machine {
        Machine { awake: true, level, told }
    }

    /// Runs a value through level_of and step, and gives what was sent.
    fn feed(machine: &mut Machine, levels: &Levels, value: &str, cause: Cause) -> (Level, Send) {
        let level = level_of(levels, machine.level, amount(value));
        let step = step(*machine, level, cause);
        *machine = step.machine;
        (level, step.send)
    }

    /// The published table, a row for each state: what is sent (d, r, l, or - for nothing) and the
    /// level told afterwards, for a value that goes to ok, info, warning, in_alarm.
    const TABLE: [((Level, Level), &str, [Level; 4]); 7] = [
        ((OK, OK), "-ddd", [OK, Info, Warning, InAlarm]),
        ((Info, Info), "r-dd", [OK, Info, Warning, InAlarm]),
        ((Info, Warning), "r-ld", [OK, Warning, Warning, InAlarm]),
        ((Info, InAlarm), "r-ll", [OK, InAlarm, InAlarm, InAlarm]),
        ((Warning, Warning), "rl-d", [OK, Warning, Warning, InAlarm]),
        ((Warning, InAlarm), "rl-l", [OK, InAlarm, InAlarm, InAlarm]),
        ((InAlarm, InAlarm), "rll-", [OK, InAlarm, InAlarm, InAlarm]),
    ];

    #[test]
    fn transition_table_is_complete() {
        for ((level, told), sends, tolds) in TABLE {
            for ((new, sign), next_told) in Level::ALL.into_iter().zip(sends.chars()).zip(tolds) {
                let send = match sign {
                    'd' => Send::Dropped,
                    'r' => Send::Recovered,
                    'l' => Send::LevelChanged,
                    _ => Send::Nothing,
                };
                let from = at(level, told);
                let got = step(from, new, Cause::Movement);
                assert_eq!((got.send, got.machine), (send, at(new, next_told)), "{from:?} {new}");
                assert_eq!(got.log, (new != level).then_some((level, new)));

                let edited = step(from, new, Cause::Edit);
                assert_eq!(edited.send, send, "an edit sends what the table says");
                assert_eq!(edited.machine, at(new, new), "and starts the ladder anew");
            }
        }
    }

    #[test]
    fn sequence_a_debits_and_topups_around_one_threshold() {
        use Send::{Dropped, Nothing, Recovered};
        let levels = below("50", "", "");
        let mut machine = Machine::default();
        let table = [
            ("100", OK, Nothing),
            ("50", InAlarm, Dropped),
            ("40", InAlarm, Nothing),
            ("50", InAlarm, Nothing),
            ("50.01", OK, Recovered),
            ("60.01", OK, Nothing),
            ("60.01", OK, Nothing),
            ("30.01", InAlarm, Dropped),
            ("530.01", OK, Recovered),
        ];
        for (value, level, send) in table {
            assert_eq!(
                feed(&mut machine, &levels, value, Cause::Movement),
                (level, send),
                "{value}"
            );
        }
    }

    #[test]
    fn sequence_b_ladder_down_and_up() {
        use Send::{Dropped, LevelChanged, Nothing, Recovered};
        let levels = below("0", "10", "20");
        let run = |table: &[(&str, Level, Send)]| {
            let mut machine = Machine::default();
            for &(value, level, send) in table {
                let got = feed(&mut machine, &levels, value, Cause::Movement);
                assert_eq!(got, (level, send), "{value}");
            }
        };
        run(&[
            ("25", OK, Nothing),
            ("20", Info, Dropped),
            ("10", Warning, Dropped),
            ("0", InAlarm, Dropped),
            ("5", Warning, LevelChanged),
            ("15", Info, LevelChanged),
            ("25", OK, Recovered),
        ]);
        run(&[("25", OK, Nothing), ("10", Warning, Dropped), ("25", OK, Recovered)]);
        run(&[
            ("25", OK, Nothing),
            ("0", InAlarm, Dropped),
            ("5", Warning, LevelChanged),
            ("0", InAlarm, LevelChanged),
            ("25", OK, Recovered),
        ]);
    }

    #[test]
    fn sequence_c_above() {
        let levels = settings(Condition::Above, "100", "80", "50").resolve(None).unwrap();
        let values = [("49", OK), ("50", Info), ("80", Warning), ("100", InAlarm)];
        for (value, level) in values {
            assert_eq!(level_of(&levels, OK, amount(value)), level, "{value}");
        }
    }

    #[test]
    fn sequence_d_edits_start_the_ladder_anew() {
        use Send::{Dropped, LevelChanged, Recovered};
        let mut machine = Machine::default();
        let (first, second) = (below("50", "", ""), below("10", "45", ""));
        let movement = Cause::Movement;
        assert_eq!(feed(&mut machine, &first, "40", movement), (InAlarm, Dropped));
        assert_eq!(feed(&mut machine, &second, "40", Cause::Edit), (Warning, LevelChanged));
        assert_eq!(machine, at(Warning, Warning));
        assert_eq!(feed(&mut machine, &second, "5", movement), (InAlarm, Dropped));
        assert_eq!(feed(&mut machine, &below("3", "", ""), "5", Cause::Edit), (OK, Recovered));
    }

    #[test]
    fn sequence_e_usage_and_topup() {
        use Send::{Dropped, LevelChanged, Nothing, Recovered};
        let levels = below("0", "10", "25");
        let mut machine = Machine::default();
        let table = [
            ("30", OK, Nothing),
            ("24", Info, Dropped),
            ("-5", InAlarm, Dropped),
            ("25", Info, LevelChanged),
            ("26", OK, Recovered),
        ];
        for (value, level, send) in table {
            assert_eq!(feed(&mut machine, &levels, value, Cause::Usage), (level, send), "{value}");
        }
    }

    #[test]
    fn recovery_must_clear_the_margin() {
        let with_margin = |condition, critical, info| Levels {
            recovery_margin: amount("5"),
            ..settings(condition, critical, "", info).resolve(None).unwrap()
        };
        let levels = with_margin(Condition::Below, "10", "20");
        for (current, value, level) in [
            (OK, "20.01", OK),
            (Info, "20.01", Info),
            (InAlarm, "25", Info),
            (Info, "25.01", OK),
            (InAlarm, "10.01", Info),
            (InAlarm, "10", InAlarm),
        ] {
            assert_eq!(level_of(&levels, current, amount(value)), level, "{current} at {value}");
        }
        let only_critical = with_margin(Condition::Below, "10", "");
        assert_eq!(level_of(&only_critical, InAlarm, amount("15")), InAlarm);
        let above = with_margin(Condition::Above, "100", "50");
        assert_eq!(level_of(&above, InAlarm, amount("45")), Info);
        assert_eq!(level_of(&above, InAlarm, amount("44.99")), OK);
    }

    #[test]
    fn a_sleeping_machine_is_not_woken_by_an_edit() {
        let asleep = Machine::default();
        assert_eq!(step(asleep, InAlarm, Cause::Edit), asleep.unchanged());
        assert_eq!(step(asleep.woken(), InAlarm, Cause::Edit).send, Send::Dropped);
        assert!(step(asleep, OK, Cause::Usage).machine.awake);
    }

    #[test]
    fn switching_off_and_closing_are_silent() {
        let loud = at(Warning, InAlarm);
        let off = disable(loud);
        assert_eq!((off.machine, off.send), (at(OK, OK), Send::Nothing));
        assert_eq!(off.log, Some((Warning, OK)));
        assert_eq!(disable(at(OK, OK)).log, None);
        assert_eq!(close(loud).machine, Machine::default());
        assert_eq!(step(close(loud).machine, InAlarm, Cause::Edit).send, Send::Nothing);
    }

    #[test]
    fn names_are_those_of_the_wire() {
        for level in Level::ALL {
            assert_eq!(Level::parse(level.as_str()), Some(level));
            assert_eq!(serde_json::json!(level), level.as_str());
        }
        for cause in
            [Cause::Movement, Cause::Usage, Cause::Invoice, Cause::Subscription, Cause::Edit]
        {
            assert_eq!(serde_json::json!(cause), cause.as_str());
        }
    }

    fn any_level() -> impl Strategy<Value = Level> {
        proptest::sample::select(Level::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn dropped_and_recovered_come_in_pairs(
            moves in proptest::collection::vec((any_level(), 0..8_u8), 0..60),
        ) {
            let mut machine = Machine::default();
            let mut open = false;
            for (level, kind) in moves {
                let step = match kind {
                    0 => disable(machine),
                    1 | 2 => step(machine, level, Cause::Edit),
                    _ => step(machine, level, Cause::Movement),
                };
                match step.send {
                    Send::Dropped => open = true,
                    Send::Recovered => {
                        prop_assert!(open, "recovered without dropped");
                        open = false;
                    }
                    Send::Nothing | Send::LevelChanged => {}
                }
                open = open && kind != 0;
                machine = step.machine;
                prop_assert_eq!(open, machine.told != OK);
                prop_assert!(machine.told >= machine.level);
                prop_assert_eq!(machine.told == OK, machine.level == OK);
            }
        }

        #[test]
        fn each_level_is_told_at_most_once_in_an_episode(
            moves in proptest::collection::vec(any_level(), 0..60),
        ) {
            let mut machine = Machine::default();
            let mut told: Vec<Level> = Vec::new();
            for level in moves {
                let step = step(machine, level, Cause::Movement);
                machine = step.machine;
                match step.send {
                    Send::Dropped => {
                        prop_assert!(told.iter().all(|&before| before < level));
                        told.push(level);
                    }
                    Send::Recovered => told.clear(),
                    Send::Nothing | Send::LevelChanged => {}
                }
            }
        }
    }
}
