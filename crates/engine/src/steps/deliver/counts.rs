//! What this process counts of its attempts, for whoever watches it. No label names a receiver.

use domain::webhook::receiver::Class;
use domain::webhook::schedule::Outcome;
use parking_lot::Mutex;

/// Upper bounds of the buckets.
pub const BOUNDS_MS: [u64; 14] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 15_000, 60_000, 3_600_000, 86_400_000];

/// Times in buckets, each with all below its bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Histogram {
    pub buckets: [u64; BOUNDS_MS.len()],
    pub count: u64,
    pub sum_ms: u64,
}

impl Histogram {
    fn observe(&mut self, ms: u64) {
        for (bound, bucket) in BOUNDS_MS.iter().zip(&mut self.buckets) {
            *bucket += u64::from(ms <= *bound);
        }
        self.count += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }
}

#[derive(Debug, Default)]
pub struct Counts {
    /// Durations of attempts, by place of their result in `Outcome::ALL`.
    attempts: Mutex<[Histogram; Outcome::ALL.len()]>,
    /// From the event to its first success, by class.
    delivered: Mutex<[Histogram; Class::ALL.len()]>,
}

impl Counts {
    pub(super) fn attempt(&self, outcome: Outcome, duration_ms: u64) {
        for (one, times) in Outcome::ALL.iter().zip(self.attempts.lock().iter_mut()) {
            if *one == outcome {
                times.observe(duration_ms);
            }
        }
    }

    pub(super) fn delivered(&self, class: Class, passed_ms: u64) {
        let place = super::lane::index(class);
        self.delivered.lock()[place].observe(passed_ms);
    }

    /// Durations by result.
    pub fn attempts(&self) -> Vec<(&'static str, Histogram)> {
        let all = self.attempts.lock();
        Outcome::ALL.iter().zip(all.iter()).map(|(one, times)| (one.name(), *times)).collect()
    }

    /// Times from an event to its first success, by class.
    pub fn times_to_delivery(&self) -> Vec<(&'static str, Histogram)> {
        let all = self.delivered.lock();
        Class::ALL.iter().zip(all.iter()).map(|(one, times)| (one.name(), *times)).collect()
    }
}
