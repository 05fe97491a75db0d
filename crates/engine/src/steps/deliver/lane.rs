//! The queue of one receiver in memory, with its bounds. It knows no database and no clock.

use std::collections::VecDeque;

use domain::webhook::receiver::Class;
use domain::webhook::schedule::Failure;
use store::deliveries::Handover;
use tokio::time::Instant;

use super::bounds::{Bounds, Bucket, CAREFUL_IN_FLIGHT, Ramp};

/// Deliveries that every lane may have in memory.
pub const LANE_MAX: usize = 256;
/// Successes after which a receiver that asked for rest gets one more request at a time.
const RECOVERY: u32 = 8;
/// A receiver whose attempts take longer on average is slow.
const SLOW_MS: u64 = 5_000;
/// Slots of live, retry and replay in a hundred, where they contend.
const SHARES: [u32; CLASSES] = [70, 20, 10];
pub const CLASSES: usize = 3;

/// One of each class.
pub type ByClass<T> = [T; CLASSES];

pub fn index(class: Class) -> usize {
    match class {
        Class::Live => 0,
        Class::Retry => 1,
        Class::Replay => 2,
    }
}

/// The slots of a class where others want some too.
pub fn share(slots: u32, class: usize) -> u32 {
    (slots * SHARES[class]).div_ceil(100)
}

/// How a lane stands, for whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    pub in_flight: u32,
    pub limit: u32,
    /// What makes the limit.
    pub reason: &'static str,
    /// The next one waits for `max_rps`.
    pub waits_for_rate: bool,
}

#[derive(Debug, Default)]
pub struct Lane {
    queues: ByClass<VecDeque<Handover>>,
    in_flight: ByClass<u32>,
    /// Turns that each class is owed.
    credits: ByClass<i64>,
    /// New deliveries go back to the database, and come from there in order.
    pub spilled: bool,
    /// Rises with every delivery that was given back.
    pub epoch: u64,
    bounds: Bounds,
    /// The bounds are those of the receiver as it is; else one request goes ahead and asks.
    sure: bool,
    asked: bool,
    bucket: Option<Bucket>,
    /// No request starts before, for `max_rps`.
    pub rate_at: Option<Instant>,
    /// Of a receiver that asked for rest.
    rest: Option<u32>,
    ramp: Option<Ramp>,
    successes: u32,
    average_ms: u64,
}

impl Lane {
    /// Takes a delivery in, or says that it must go back. `spare`: the node has room for more than
    /// what every lane may have.
    #[must_use]
    pub fn take(&mut self, handover: Handover, spare: bool) -> bool {
        let is_full = self.len() >= LANE_MAX && !spare;
        if handover.fresh && (self.spilled || is_full) {
            self.spilled = true;
            self.epoch += 1;
            return false;
        }
        self.queues[index(handover.class)].push_back(handover);
        true
    }

    fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    pub fn room(&self) -> usize {
        LANE_MAX.saturating_sub(self.len())
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub fn is_slow(&self) -> bool {
        self.average_ms > SLOW_MS
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.iter().sum()
    }

    pub fn waits(&self) -> ByClass<bool> {
        self.queues.each_ref().map(|queue| !queue.is_empty())
    }

    /// So many at a time now, and why.
    fn limit(&self) -> (u32, &'static str) {
        let mut limits = vec![(self.bounds.in_flight, "max_in_flight")];
        limits.extend(self.is_slow().then_some((CAREFUL_IN_FLIGHT, "slow")));
        limits.extend((!self.bounds.proven).then_some((CAREFUL_IN_FLIGHT, "no_recent_success")));
        limits.extend(self.rest.map(|rest| (rest, "asked_for_rest")));
        limits.extend(self.ramp.map(|ramp| (ramp.limit, "slow_start")));
        limits.into_iter().min_by_key(|(limit, _)| *limit).unwrap_or((1, "max_in_flight"))
    }

    pub fn may_start(&self) -> bool {
        self.len() > 0 && self.in_flight() < self.limit().0 && (self.sure || !self.asked)
    }

    pub fn figures(&self) -> Figures {
        let (limit, reason) = self.limit();
        let waits_for_rate = self.rate_at.is_some() && self.len() > 0;
        Figures { in_flight: self.in_flight(), limit, reason, waits_for_rate }
    }

    /// The next request of a class that is allowed, if the rate lets one start.
    pub fn start(&mut self, allowed: ByClass<bool>, now: Instant) -> Option<Handover> {
        if !self.may_start() {
            return None;
        }
        let class = self.next_class(allowed)?;
        self.rate_at = self.bucket.as_mut().and_then(|bucket| bucket.take(now).err());
        if self.rate_at.is_some() {
            return None;
        }
        self.charge(class, allowed);
        self.in_flight[class] += 1;
        self.asked = true;
        self.queues[class].pop_front()
    }

    /// Of those with something to send, the one that is owed most; one that has its share of the
    /// slots only where no other wants them.
    fn next_class(&self, allowed: ByClass<bool>) -> Option<usize> {
        let limit = self.limit().0;
        let waits = |class: &usize| allowed[*class] && !self.queues[*class].is_empty();
        let modest = |class: &usize| self.in_flight[*class] < share(limit, *class);
        if self.ramp.is_some() {
            // What waited for the receiver to come back goes out in its order.
            let first = |class: &usize| self.queues[*class].front().map(|one| one.place.raw());
            return (0..CLASSES).filter(waits).min_by_key(first);
        }
        let owed = |class: &usize| self.credits[*class] + i64::from(SHARES[*class]);
        let most = (0..CLASSES).filter(waits).filter(modest).max_by_key(owed);
        most.or_else(|| (0..CLASSES).filter(waits).max_by_key(owed))
    }

    /// Smooth weighted turns: whoever waits is owed its share, whoever starts pays for all.
    fn charge(&mut self, started: usize, allowed: ByClass<bool>) {
        let mut paid = 0;
        for class in 0..CLASSES {
            if allowed[class] && !self.queues[class].is_empty() {
                self.credits[class] += i64::from(SHARES[class]);
                paid += i64::from(SHARES[class]);
            } else {
                self.credits[class] = 0;
            }
        }
        self.credits[started] -= paid;
    }

    /// A request ended, or did not start after all.
    pub fn free(&mut self, class: Class) {
        let count = &mut self.in_flight[index(class)];
        *count = count.saturating_sub(1);
    }

    /// What its receiver allows, as it was just read.
    pub fn bound(&mut self, bounds: Bounds, now: Instant) {
        self.bounds = bounds;
        self.sure = true;
        if self.bucket.map(|bucket| bucket.rps()) != bounds.rps {
            self.bucket = bounds.rps.map(|rps| Bucket::new(rps, now));
            self.rate_at = None;
        }
    }

    /// Its receiver changed: one request goes ahead.
    pub fn doubt(&mut self) {
        self.sure = false;
        self.asked = false;
    }

    /// What went ahead to ask came back.
    pub fn asked(&mut self) {
        self.asked = false;
    }

    /// Whether the database should feed it now.
    pub fn is_hungry(&self) -> bool {
        self.spilled && self.len() < LANE_MAX / 4
    }

    pub fn is_idle(&self) -> bool {
        self.len() == 0 && self.in_flight() == 0 && !self.spilled
    }

    /// Its circuit closed: what waited goes out slowly.
    pub fn start_slowly(&mut self) {
        self.ramp = Some(Ramp::start());
        self.rest = None;
    }

    /// Learns from an attempt that took `duration_ms`; `failure` is `None` for a success.
    pub fn learn(&mut self, duration_ms: u64, failure: Option<&Failure>) {
        self.average_ms = (self.average_ms * 7 + duration_ms) / 8;
        let most = self.bounds.in_flight;
        if let Some(failure) = failure {
            self.successes = 0;
            self.ramp = self.ramp.map(Ramp::failed);
            if failure.asks_for_rest() {
                self.rest = Some((self.rest.unwrap_or(most).min(most) / 2).max(1));
            }
            return;
        }
        self.bounds.proven = true;
        self.ramp = self.ramp.and_then(|ramp| ramp.succeeded(most));
        self.successes += 1;
        if self.successes >= RECOVERY {
            self.successes = 0;
            self.rest = self.rest.map(|rest| rest + 1).filter(|rest| *rest < most);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::id::DeliveryId;
    use domain::place::{EnvNo, ReceiverNo};
    use domain::webhook::schedule::Outcome;

    use super::*;
    use crate::clock::in_a_while;

    const ALL: ByClass<bool> = [true; CLASSES];

    fn handover(position: u64, class: Class, fresh: bool) -> Handover {
        Handover {
            receiver: ReceiverNo(1),
            place: EnvNo::new(1).place(position),
            class,
            fresh,
            probe: false,
        }
    }

    fn live(position: u64) -> Handover {
        handover(position, Class::Live, true)
    }

    fn now() -> Instant {
        in_a_while(Duration::ZERO)
    }

    fn failure(status: u16) -> Failure {
        Failure {
            outcome: Outcome::HttpError,
            status: Some(status),
            retry_after_s: None,
            delivery: DeliveryId::default(),
            attempt: 1,
        }
    }

    /// A lane whose receiver is known, and has `in_flight` at a time.
    fn known(in_flight: u32) -> Lane {
        let mut lane = Lane::default();
        lane.bound(Bounds { in_flight, proven: true, ..Bounds::default() }, now());
        lane
    }

    /// How many start now.
    fn started(lane: &mut Lane) -> Vec<Class> {
        std::iter::from_fn(|| lane.start(ALL, now())).map(|one| one.class).collect()
    }

    #[test]
    fn a_full_lane_sends_new_ones_back_until_it_is_fed_again() {
        let mut lane = Lane::default();
        for position in 0..256 {
            assert!(lane.take(live(position), false));
        }
        assert!(lane.take(live(256), true), "the node has room");
        assert!(!lane.take(live(256), false) && lane.spilled);
        lane.queues = Default::default();
        assert!(!lane.take(live(257), false), "a later one must not pass one that went back");
        assert!(
            lane.take(handover(256, Class::Live, false), false),
            "what the database feeds is taken"
        );
        assert_eq!((lane.epoch, lane.is_hungry(), lane.is_idle()), (2, true, false));
    }

    #[test]
    fn each_bound_is_obeyed_and_named() {
        let mut lane = Lane::default();
        (0..200).for_each(|position| assert!(lane.take(live(position), false)));
        assert_eq!(started(&mut lane).len(), 1, "one goes ahead and asks");
        lane.bound(Bounds { in_flight: 20, ..Bounds::default() }, now());
        assert_eq!(started(&mut lane).len(), 1, "two in all without a recent success");
        assert_eq!(lane.figures().reason, "no_recent_success");
        lane.learn(10, None);
        assert_eq!(started(&mut lane).len(), 18);
        assert_eq!((lane.figures().limit, lane.figures().reason), (20, "max_in_flight"));
        lane.learn(10, Some(&failure(503)));
        assert_eq!((lane.figures().limit, lane.figures().reason), (10, "asked_for_rest"));
        (0..80).for_each(|_| lane.learn(10, None));
        assert_eq!((lane.figures().limit, lane.figures().reason), (20, "max_in_flight"));
        (0..30).for_each(|_| lane.learn(20_000, None));
        assert_eq!((lane.figures().limit, lane.figures().reason), (2, "slow"));
    }

    #[test]
    fn a_receiver_that_comes_back_gets_one_then_two_then_four() {
        let mut lane = known(8);
        (0..100).for_each(|position| assert!(lane.take(live(position), false)));
        lane.start_slowly();
        let mut rounds = Vec::new();
        for _ in 0..4 {
            let round = started(&mut lane).len();
            rounds.push(round);
            for _ in 0..round {
                lane.free(Class::Live);
                lane.learn(10, None);
            }
        }
        assert_eq!(rounds, [1, 2, 4, 8]);
    }

    #[test]
    fn classes_that_contend_share_the_slots() {
        let mut lane = known(10);
        for position in 0..40 {
            for class in [Class::Live, Class::Retry, Class::Replay] {
                assert!(lane.take(handover(position, class, false), false));
            }
        }
        let first = started(&mut lane);
        let count = |class| first.iter().filter(|one| **one == class).count();
        assert_eq!([Class::Live, Class::Retry, Class::Replay].map(count), [7, 2, 1]);
        let mut alone = known(10);
        (0..40).for_each(|at| assert!(alone.take(handover(at, Class::Replay, false), false)));
        assert_eq!(started(&mut alone).len(), 10, "what others do not use is free");
        let mut narrow = known(1);
        for position in 0..100 {
            assert!(narrow.take(handover(position, Class::Live, false), false));
            assert!(narrow.take(handover(position, Class::Replay, false), false));
        }
        let mut order = Vec::new();
        for _ in 0..80 {
            let one = started(&mut narrow)[0];
            order.push(one);
            narrow.free(one);
        }
        let replays = order.iter().filter(|one| **one == Class::Replay).count();
        assert_eq!(replays, 10, "an eighth, where only these two contend");
    }

    #[test]
    fn a_changed_receiver_is_asked_by_one_request() {
        let mut lane = known(8);
        (0..20).for_each(|position| assert!(lane.take(live(position), false)));
        lane.doubt();
        assert_eq!(started(&mut lane).len(), 1);
        let bounds = Bounds { rps: Some(1), proven: true, ..Bounds::default() };
        lane.bound(bounds, now());
        assert!(started(&mut lane).is_empty() && lane.figures().waits_for_rate);
    }
}
