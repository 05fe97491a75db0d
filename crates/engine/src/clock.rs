//! The one home of time. An environment runs on the world's clock, or on a test clock that its
//! owner moves; everything that asks for "now" asks here.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::place::EnvNo;
use domain::time::Timestamp;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use store::writer::Times;

/// A test clock. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum TestClock {
    /// Stands still until it is moved.
    Frozen { at_ms: i64 },
    /// Runs like the world's clock, this far ahead of it (or behind).
    Running { ahead_ms: i64 },
}

/// The clocks of all environments of this process.
#[derive(Debug, Default)]
pub struct Clocks {
    test: RwLock<HashMap<EnvNo, TestClock>>,
}

/// Time of the world. Network time limits and records of what really happened use it.
pub fn real_now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A moment of this process, for waits between its own parts; it names no time of the world.
pub fn in_a_while(wait: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + wait
}

impl Clocks {
    pub fn set(&self, env: EnvNo, clock: Option<TestClock>) {
        let mut test = self.test.write();
        match clock {
            Some(clock) => test.insert(env, clock),
            None => test.remove(&env),
        };
    }

    pub fn get(&self, env: EnvNo) -> Option<TestClock> {
        self.test.read().get(&env).copied()
    }
}

impl TestClock {
    pub fn now(self, real: Timestamp) -> Timestamp {
        match self {
            TestClock::Frozen { at_ms } => Timestamp::from_millis(at_ms),
            TestClock::Running { ahead_ms } => real.plus_ms(ahead_ms),
        }
    }

    /// The same kind of clock, standing at `at`.
    #[must_use]
    pub fn moved_to(self, at: Timestamp, real: Timestamp) -> TestClock {
        match self {
            TestClock::Frozen { .. } => TestClock::Frozen { at_ms: at.millis() },
            TestClock::Running { .. } => {
                TestClock::Running { ahead_ms: at.millis() - real.millis() }
            }
        }
    }
}

impl Times for Clocks {
    fn now(&self, env: EnvNo) -> Timestamp {
        let real = real_now();
        self.get(env).map_or(real, |clock| clock.now(real))
    }

    fn real(&self) -> Timestamp {
        real_now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_clock_stands_and_a_running_one_keeps_its_distance() {
        let (env, hour) = (EnvNo::new(1), 3_600_000);
        let clocks = Clocks::default();
        clocks.set(env, Some(TestClock::Frozen { at_ms: 5 }));
        assert_eq!(clocks.now(env), Timestamp::from_millis(5));
        clocks.set(env, Some(TestClock::Running { ahead_ms: hour }));
        let ahead = clocks.now(env).millis() - real_now().millis();
        assert!((hour - 1_000..=hour + 1_000).contains(&ahead), "{ahead}");
        assert_eq!(clocks.get(EnvNo::new(2)), None);
    }
}
