//! Whether an endpoint is left alone for a while, and when it is tried again (webhooks 11.1).
//!
//! It knows only what it is told: how the row of failures stands, and when probes went out.

use crate::time::{SECOND_MS, Timestamp};

/// Attempts in a row that fail before a circuit opens.
pub const FAILURES_MIN: u32 = 10;
/// Deliveries that those attempts were of: one that always fails keeps its own schedule.
pub const DELIVERIES_MIN: usize = 5;
const FIRST_WAIT_MS: i64 = 5 * SECOND_MS;
const LAST_WAIT_MS: i64 = 300 * SECOND_MS;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Circuit {
    #[default]
    Closed,
    /// Nothing is sent but a probe at `until`; `probes` went out since it opened.
    Open { until: Timestamp, probes: u32 },
}

impl Circuit {
    pub fn is_open(self) -> bool {
        self != Circuit::Closed
    }

    /// When the next probe goes out.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Circuit::Closed => None,
            Circuit::Open { until, .. } => Some(until),
        }
    }

    pub fn probes(self) -> u32 {
        match self {
            Circuit::Closed => 0,
            Circuit::Open { probes, .. } => probes,
        }
    }

    pub fn opened(now: Timestamp) -> Circuit {
        Circuit::Open { until: now.plus_ms(wait_ms(0)), probes: 0 }
    }

    /// A probe goes out. The next one waits, even if this one is never heard of again.
    #[must_use]
    pub fn probed(self, now: Timestamp) -> Circuit {
        match self {
            Circuit::Closed => Circuit::Closed,
            Circuit::Open { probes, .. } => {
                let probes = probes.saturating_add(1);
                Circuit::Open { until: now.plus_ms(wait_ms(probes)), probes }
            }
        }
    }

    /// A probe failed: the wait begins at its end, and is not shorter than the receiver asks for,
    /// as far as a circuit ever waits.
    #[must_use]
    pub fn probe_failed(self, now: Timestamp, retry_after_s: Option<u32>) -> Circuit {
        match self {
            Circuit::Closed => Circuit::Closed,
            Circuit::Open { probes, .. } => {
                let asked_ms = i64::from(retry_after_s.unwrap_or(0)) * SECOND_MS;
                let wait_ms = wait_ms(probes).max(asked_ms.min(LAST_WAIT_MS));
                Circuit::Open { until: now.plus_ms(wait_ms), probes }
            }
        }
    }
}

/// The wait after so many probes: 5, 10, 20 s … 5 min.
fn wait_ms(probes: u32) -> i64 {
    let doubled = 1_i64.checked_shl(probes.min(32)).unwrap_or(i64::MAX);
    FIRST_WAIT_MS.saturating_mul(doubled).min(LAST_WAIT_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_770_000_000_000);

    fn wait_s(circuit: Circuit) -> i64 {
        (circuit.until().unwrap().millis() - NOON.millis()) / SECOND_MS
    }

    #[test]
    fn probes_go_out_ever_more_rarely_up_to_five_minutes() {
        let mut circuit = Circuit::opened(NOON);
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(wait_s(circuit));
            circuit = circuit.probed(NOON).probe_failed(NOON, None);
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(circuit.probes(), 9);
    }

    #[test]
    fn a_receiver_that_asks_for_rest_gets_it_within_bounds() {
        let circuit = Circuit::opened(NOON).probed(NOON);
        for (asked, wait) in [(None, 10), (Some(7), 10), (Some(60), 60), (Some(86_400), 300)] {
            assert_eq!(wait_s(circuit.probe_failed(NOON, asked)), wait, "{asked:?}");
        }
    }

    #[test]
    fn a_closed_circuit_stays_closed() {
        assert_eq!(Circuit::Closed.probed(NOON), Circuit::Closed);
        assert_eq!(Circuit::Closed.probe_failed(NOON, Some(5)), Circuit::Closed);
        assert!(!Circuit::Closed.is_open() && Circuit::Closed.until().is_none());
    }

    proptest! {
        #[test]
        fn no_wait_is_shorter_than_the_one_before(probes in 0_u32..2_000) {
            let open = |probes| Circuit::Open { until: NOON, probes };
            let wait = |probes| wait_s(open(probes).probe_failed(NOON, None));
            prop_assert!(wait(probes) <= wait(probes + 1));
            prop_assert!((5..=300).contains(&wait(probes)));
        }
    }
}
