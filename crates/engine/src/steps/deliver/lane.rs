//! The queue of one receiver in memory, with its bounds. It knows no database and no clock.

use std::collections::VecDeque;

use domain::webhook::receiver::IN_FLIGHT_DEFAULT;
use domain::webhook::schedule::Failure;
use store::deliveries::Handover;

/// Deliveries of one lane in memory; what is more waits in the database.
pub const LANE_MAX: usize = 256;
/// Successes after which a receiver that asked for rest gets one more request at a time.
const RECOVERY: u32 = 8;
/// A receiver whose attempts take longer on average is slow.
const SLOW_MS: u64 = 5_000;
const SLOW_IN_FLIGHT: u32 = 2;

#[derive(Debug)]
pub struct Lane {
    pub queue: VecDeque<Handover>,
    pub in_flight: u32,
    /// New deliveries go back to the database, and come from there in order.
    pub spilled: bool,
    /// Rises with every delivery that was given back.
    pub epoch: u64,
    limit: u32,
    successes: u32,
    average_ms: u64,
}

impl Default for Lane {
    fn default() -> Lane {
        Lane {
            queue: VecDeque::new(),
            in_flight: 0,
            spilled: false,
            epoch: 0,
            limit: IN_FLIGHT_DEFAULT,
            successes: 0,
            average_ms: 0,
        }
    }
}

impl Lane {
    /// Takes a delivery in, or says that it must go back.
    #[must_use]
    pub fn take(&mut self, handover: Handover) -> bool {
        if handover.fresh && (self.spilled || self.queue.len() >= LANE_MAX) {
            self.spilled = true;
            self.epoch += 1;
            return false;
        }
        self.queue.push_back(handover);
        true
    }

    pub fn room(&self) -> usize {
        LANE_MAX.saturating_sub(self.queue.len())
    }

    pub fn is_slow(&self) -> bool {
        self.average_ms > SLOW_MS
    }

    pub fn may_start(&self) -> bool {
        let limit = if self.is_slow() { self.limit.min(SLOW_IN_FLIGHT) } else { self.limit };
        !self.queue.is_empty() && self.in_flight < limit
    }

    /// Whether the database should feed it now.
    pub fn is_hungry(&self) -> bool {
        self.spilled && self.queue.len() < LANE_MAX / 4
    }

    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0 && !self.spilled
    }

    /// Learns from an attempt that took `duration_ms`; `failure` is `None` for a success.
    pub fn learn(&mut self, duration_ms: u64, failure: Option<&Failure>) {
        self.average_ms = (self.average_ms * 7 + duration_ms) / 8;
        match failure {
            None => {
                self.successes += 1;
                if self.successes >= RECOVERY {
                    self.successes = 0;
                    self.limit = (self.limit + 1).min(IN_FLIGHT_DEFAULT);
                }
            }
            Some(failure) => {
                self.successes = 0;
                if failure.asks_for_rest() {
                    self.limit = (self.limit / 2).max(1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::id::DeliveryId;
    use domain::place::{EnvNo, ReceiverNo};
    use domain::webhook::schedule::Outcome;

    use super::*;

    fn handover(position: u64, fresh: bool) -> Handover {
        Handover { receiver: ReceiverNo(1), place: EnvNo::new(1).place(position), fresh }
    }

    #[test]
    fn a_full_lane_sends_new_ones_back_until_it_is_fed_again() {
        let mut lane = Lane::default();
        for position in 0..256 {
            assert!(lane.take(handover(position, true)));
        }
        assert!(!lane.take(handover(256, true)) && lane.spilled);
        lane.queue.clear();
        assert!(!lane.take(handover(257, true)), "a later one must not pass one that went back");
        assert!(lane.take(handover(256, false)), "what the database feeds is taken");
        assert_eq!((lane.epoch, lane.is_hungry(), lane.is_idle()), (2, true, false));
    }

    #[test]
    fn a_receiver_that_asks_for_rest_gets_it_and_recovers() {
        let mut lane = Lane::default();
        lane.queue.push_back(handover(1, true));
        let failure = Failure {
            outcome: Outcome::HttpError,
            status: Some(503),
            retry_after_s: None,
            delivery: DeliveryId::default(),
            attempt: 1,
        };
        lane.in_flight = 1;
        for _ in 0..5 {
            lane.learn(10, Some(&failure));
        }
        assert!(!lane.may_start(), "halved to one");
        for _ in 0..8 {
            lane.learn(10, None);
        }
        assert!(lane.may_start());
        for _ in 0..30 {
            lane.learn(20_000, None);
        }
        lane.in_flight = 2;
        assert!(lane.is_slow() && !lane.may_start());
    }
}
