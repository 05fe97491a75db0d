//! How a receiver fares: its row of failures, and what follows from it (webhooks 11).
//!
//! Every attempt counts but tests. What is decided here is written with the attempt, or by a timer
//! of the environment's clock; nothing here sends, waits or tells.

use super::circuit::{Circuit, DELIVERIES_MIN, FAILURES_MIN};
use super::schedule::Outcome;
use crate::place::Place;
use crate::time::{DAY_MS, MINUTE_MS, Timestamp};

/// Without a success for so long since its first failure a receiver is failing.
pub const FAILING_MS: i64 = 30 * MINUTE_MS;
/// Without a success for so long, and after so many attempts, it is switched off.
pub const HOPELESS_MS: i64 = 3 * DAY_MS;
pub const HOPELESS_ATTEMPTS: u32 = 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub failures_in_a_row: u32,
    pub first_failure_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub last_success_at: Option<Timestamp>,
    pub last_result: Option<Outcome>,
    /// Deliveries that failed in the row, the first few.
    pub failed_of: Vec<Place>,
    /// First failure since the last success, of events that are not about delivery itself.
    pub troubled_since: Option<Timestamp>,
    /// When it was told that the receiver fails, until it recovers.
    pub failing_since: Option<Timestamp>,
    pub circuit: Circuit,
}

/// An attempt that ended, as far as health depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub now: Timestamp,
    pub delivery: Place,
    pub outcome: Outcome,
    pub retry_after_s: Option<u32>,
    /// Of an event about delivery itself: it neither starts nor ends `failing`.
    pub is_operational: bool,
    pub probe: Option<Probe>,
    /// Endpoints have one, subscriptions keep their schedule.
    pub has_circuit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Claimed for it, and counted then.
    Planned,
    /// Asked for by hand.
    ByHand,
}

/// What an attempt changed about its receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The circuit opened or closed.
    pub circuit: Option<Circuit>,
    /// A success ended a row of failures.
    pub row_ended: bool,
    /// The receiver had been failing since then.
    pub recovered: Option<Timestamp>,
    /// When to look at it again.
    pub timers: Vec<Timestamp>,
}

impl Health {
    pub fn note(&mut self, seen: &Seen) -> Change {
        self.last_attempt_at = Some(seen.now);
        self.last_result = Some(seen.outcome);
        if seen.outcome == Outcome::Delivered { self.succeed(seen) } else { self.fail(seen) }
    }

    fn succeed(&mut self, seen: &Seen) -> Change {
        let mut change = Change { row_ended: self.failures_in_a_row > 0, ..Change::default() };
        self.last_success_at = Some(seen.now);
        if self.circuit.is_open() {
            change.circuit = Some(Circuit::Closed);
        }
        let (troubled, failing) = (self.troubled_since, self.failing_since);
        self.forgive();
        if seen.is_operational {
            self.troubled_since = troubled;
            change.timers.extend(troubled.map(|since| since.plus_ms(FAILING_MS)));
        } else {
            self.failing_since = None;
            change.recovered = failing;
        }
        change
    }

    fn fail(&mut self, seen: &Seen) -> Change {
        let mut change = Change::default();
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.first_failure_at.is_none() {
            self.first_failure_at = Some(seen.now);
            change.timers.push(seen.now.plus_ms(HOPELESS_MS));
        }
        if self.troubled_since.is_none() && !seen.is_operational {
            self.troubled_since = Some(seen.now);
            change.timers.push(seen.now.plus_ms(FAILING_MS));
        }
        if self.failed_of.len() < DELIVERIES_MIN && !self.failed_of.contains(&seen.delivery) {
            self.failed_of.push(seen.delivery);
        }
        self.circuit = match seen.probe {
            Some(Probe::Planned) => self.circuit.probe_failed(seen.now, seen.retry_after_s),
            Some(Probe::ByHand) => {
                self.circuit.probed(seen.now).probe_failed(seen.now, seen.retry_after_s)
            }
            None => self.circuit,
        };
        if !self.circuit.is_open() && seen.has_circuit && self.opens() {
            self.circuit = Circuit::opened(seen.now);
            change.circuit = Some(self.circuit);
        }
        change
    }

    fn opens(&self) -> bool {
        self.failures_in_a_row >= FAILURES_MIN && self.failed_of.len() >= DELIVERIES_MIN
    }

    /// Ends the row of failures: it moved, or somebody switched it on again. That it was failing is
    /// known until it succeeds.
    pub fn forgive(&mut self) {
        *self = Health {
            last_attempt_at: self.last_attempt_at,
            last_success_at: self.last_success_at,
            last_result: self.last_result,
            failing_since: self.failing_since,
            ..Health::default()
        };
    }

    /// Whether it is to be told at `now` that the receiver fails.
    pub fn is_newly_failing(&self, now: Timestamp) -> bool {
        self.failing_since.is_none()
            && self.troubled_since.is_some_and(|since| since.plus_ms(FAILING_MS) <= now)
    }

    /// Whether it is to be switched off at `now`.
    pub fn is_hopeless(&self, now: Timestamp) -> bool {
        self.failures_in_a_row >= HOPELESS_ATTEMPTS
            && self.first_failure_at.is_some_and(|first| first.plus_ms(HOPELESS_MS) <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::place::EnvNo;
    use crate::time::SECOND_MS;

    const NOON: Timestamp = Timestamp::from_millis(1_770_000_000_000);

    fn seen(delivery: u64, outcome: Outcome) -> Seen {
        Seen {
            now: NOON,
            delivery: EnvNo::new(1).place(delivery),
            outcome,
            retry_after_s: None,
            is_operational: false,
            probe: None,
            has_circuit: true,
        }
    }

    fn failed(delivery: u64) -> Seen {
        seen(delivery, Outcome::HttpError)
    }

    /// Health after attempts that failed, each of a delivery.
    fn after(deliveries: &[u64]) -> Health {
        let mut health = Health::default();
        for &delivery in deliveries {
            health.note(&failed(delivery));
        }
        health
    }

    #[test]
    fn a_circuit_opens_after_ten_failures_of_five_deliveries() {
        // (deliveries that failed, whether the circuit is open then)
        let table: [(&[u64], bool); 6] = [
            (&[1, 2, 3, 4, 5, 1, 2, 3, 4], false),
            (&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5], true),
            (&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], false),
            (&[1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4], false),
            (&[1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 5], true),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], true),
        ];
        for (deliveries, open) in table {
            assert_eq!(after(deliveries).circuit.is_open(), open, "{deliveries:?}");
        }
        let mut health = Health::default();
        for delivery in 0..20 {
            health.note(&Seen { has_circuit: false, ..failed(delivery) });
        }
        assert!(!health.circuit.is_open(), "a subscription has none");
    }

    #[test]
    fn one_success_ends_the_row_and_closes_the_circuit() {
        let mut health = after(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let change = health.note(&seen(1, Outcome::Delivered));
        assert_eq!((change.circuit, change.row_ended), (Some(Circuit::Closed), true));
        assert_eq!((health.failures_in_a_row, health.first_failure_at), (0, None));
        assert_eq!((health.last_success_at, health.circuit), (Some(NOON), Circuit::Closed));
        assert_eq!(health.note(&seen(2, Outcome::Delivered)), Change::default());
    }

    #[test]
    fn only_probes_move_the_time_of_the_next_probe() {
        let open = after(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let later = NOON.plus_ms(60 * SECOND_MS);
        let table = [(None, 5), (Some(Probe::Planned), 65), (Some(Probe::ByHand), 70)];
        for (probe, wait_s) in table {
            let mut health = open.clone();
            let change = health.note(&Seen { probe, now: later, ..failed(3) });
            let expected = NOON.plus_ms(wait_s * SECOND_MS);
            assert_eq!(
                (health.circuit.until(), change.circuit),
                (Some(expected), None),
                "{probe:?}"
            );
        }
    }

    #[test]
    fn failing_begins_after_half_an_hour_and_is_told_once() {
        let mut health = after(&[1]);
        let due = NOON.plus_ms(FAILING_MS);
        assert!(!health.is_newly_failing(due.plus_ms(-1)) && health.is_newly_failing(due));
        health.failing_since = Some(due);
        assert!(!health.is_newly_failing(due.plus_ms(1)));
        let change = health.note(&seen(1, Outcome::Delivered));
        assert_eq!((change.recovered, health.failing_since), (Some(due), None));
    }

    #[test]
    fn events_about_delivery_neither_start_nor_end_failing() {
        let mut health = Health::default();
        health.note(&Seen { is_operational: true, ..failed(1) });
        assert!(!health.is_newly_failing(NOON.plus_ms(DAY_MS)));
        health.note(&failed(2));
        let change = health.note(&Seen { is_operational: true, ..seen(3, Outcome::Delivered) });
        assert_eq!(change.timers, [NOON.plus_ms(FAILING_MS)], "the row that stands is looked at");
        assert!(health.is_newly_failing(NOON.plus_ms(DAY_MS)));
        health.failing_since = Some(NOON);
        let change = health.note(&Seen { is_operational: true, ..seen(3, Outcome::Delivered) });
        assert_eq!((change.recovered, health.failing_since), (None, Some(NOON)));
    }

    #[test]
    fn a_receiver_is_given_up_after_three_days_and_twenty_attempts() {
        let table =
            [(19, HOPELESS_MS, false), (20, HOPELESS_MS - 1, false), (20, HOPELESS_MS, true)];
        for (attempts, after_ms, hopeless) in table {
            let health = after(&vec![1; attempts]);
            let now = NOON.plus_ms(after_ms);
            assert_eq!(health.is_hopeless(now), hopeless, "{attempts} after {after_ms} ms");
        }
        let mut health = after(&[1; 30]);
        health.forgive();
        assert!(!health.is_hopeless(NOON.plus_ms(30 * DAY_MS)));
    }

    #[test]
    fn each_row_has_one_timer_of_each_kind() {
        let mut health = Health::default();
        let timers = health.note(&failed(1)).timers;
        assert_eq!(timers, [NOON.plus_ms(HOPELESS_MS), NOON.plus_ms(FAILING_MS)]);
        assert!(health.note(&failed(2)).timers.is_empty());
    }

    proptest! {
        /// Whatever happened before: open means that the row is long enough, and a success ends
        /// everything.
        #[test]
        fn open_circuits_have_a_row_of_failures(
            steps in prop::collection::vec((0_u64..8, 0_u8..5), 0..60),
        ) {
            let mut health = Health::default();
            for (delivery, luck) in steps {
                let outcome = if luck == 0 { Outcome::Delivered } else { Outcome::Timeout };
                let was_open = health.circuit.is_open();
                let change = health.note(&seen(delivery, outcome));
                prop_assert_eq!(change.circuit.is_some(), was_open != health.circuit.is_open());
                if health.circuit.is_open() {
                    prop_assert!(health.failures_in_a_row >= FAILURES_MIN);
                    prop_assert_eq!(health.failed_of.len(), DELIVERIES_MIN);
                }
                prop_assert_eq!(health.failures_in_a_row == 0, health.first_failure_at.is_none());
                if outcome == Outcome::Delivered {
                    let after = (health.circuit, health.failing_since);
                    prop_assert_eq!(after, (Circuit::Closed, None));
                }
            }
        }
    }
}
