//! The one home of time. An environment runs on the world's clock, or on a test clock that its
//! owner moves; everything that asks for "now" asks here.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::place::EnvNo;
use domain::time::{DAY_MS, Timestamp};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use store::writer::Times;

/// A clock that is set back further than this between two runs was wrong before.
const AHEAD_MS_MAX: i64 = DAY_MS;

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
    steady: Steady,
    /// Environments whose log an earlier process has led further than the world is now.
    ahead: RwLock<HashMap<EnvNo, Steady>>,
}

/// World time as this process tells it: it never goes back. Where the machine's clock was set back,
/// it runs at half speed until the world is there again: what is due is late by no more than twice
/// its time, and never early.
#[derive(Debug)]
struct Steady {
    began: Instant,
    /// A time that was told, and the uptime when it was.
    told: Mutex<(i64, i64)>,
}

impl Default for Steady {
    fn default() -> Steady {
        Steady { began: Instant::now(), told: Mutex::new((0, 0)) }
    }
}

impl Steady {
    fn now(&self) -> Timestamp {
        let mut told = self.told.lock();
        // Read under the lock: of two readings the later one is told later.
        let uptime_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(steady(&mut told, real_now().millis(), uptime_ms))
    }
}

fn steady(told: &mut (i64, i64), world_ms: i64, uptime_ms: i64) -> i64 {
    let slow_ms = told.0.saturating_add((uptime_ms - told.1).max(0) / 2);
    if world_ms >= slow_ms {
        *told = (world_ms, uptime_ms);
    }
    world_ms.max(slow_ms)
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

    /// World time that never goes back; see `Steady`.
    pub fn steady_now(&self) -> Timestamp {
        self.steady.now()
    }

    /// An earlier process told `at` to an environment: it goes on from there. Not if that lies far
    /// ahead: then the clock was wrong, and somebody has put it right.
    pub fn not_before(&self, env: EnvNo, at: Timestamp) {
        let ahead_ms = at.millis() - self.steady_now().millis();
        let env_no = env.get();
        if ahead_ms > AHEAD_MS_MAX {
            tracing::warn!(env_no, %at, "the last entry lies far in the future; time goes back");
        } else if ahead_ms > 0 {
            tracing::warn!(env_no, %at, "the clock was set back; time runs at half speed");
            let steady = Steady::default();
            *steady.told.lock() = (at.millis(), 0);
            self.ahead.write().insert(env, steady);
        }
    }

    /// The world's time in an environment.
    fn world(&self, env: EnvNo) -> Timestamp {
        let ahead = self.ahead.read();
        ahead.get(&env).unwrap_or(&self.steady).now()
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

    /// The one of two that is further; of different kinds, this one.
    #[must_use]
    pub fn or_later(self, other: TestClock) -> TestClock {
        match (self, other) {
            (TestClock::Frozen { at_ms }, TestClock::Frozen { at_ms: other }) => {
                TestClock::Frozen { at_ms: at_ms.max(other) }
            }
            (TestClock::Running { ahead_ms }, TestClock::Running { ahead_ms: other }) => {
                TestClock::Running { ahead_ms: ahead_ms.max(other) }
            }
            (this, _) => this,
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
        match self.get(env) {
            Some(clock) => clock.now(self.steady_now()),
            None => self.world(env),
        }
    }

    fn real(&self) -> Timestamp {
        real_now()
    }

    fn reload(&self, clocks: Vec<(EnvNo, Option<String>)>) {
        for (env, text) in clocks {
            self.set(env, text.and_then(|text| serde_json::from_str(&text).ok()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_runs_at_half_speed_until_the_world_is_there() {
        let mut told = (0, 0);
        // (world, uptime, told)
        let table = [
            (10_000, 0, 10_000),
            (10_100, 100, 10_100),
            // Set back by an hour: on at half speed, by the process's own time.
            (-3_589_800, 200, 10_150),
            (-3_589_799, 201, 10_150),
            (-3_589_000, 1_000, 10_550),
            // Set forward: at once.
            (99_000, 1_100, 99_000),
            (98_000, 1_101, 99_000),
            (98_900, 2_001, 99_450),
            // The world has caught up.
            (99_900, 2_901, 99_900),
            (100_000, 3_001, 100_000),
        ];
        for (world, uptime, expected) in table {
            assert_eq!(steady(&mut told, world, uptime), expected, "{world} at {uptime}");
        }
    }

    #[test]
    fn time_goes_on_from_where_an_earlier_process_was_unless_that_is_far_ahead() {
        let (clocks, env, other) = (Clocks::default(), EnvNo::new(1), EnvNo::new(2));
        let ahead = real_now().plus_ms(3_600_000);
        clocks.not_before(env, ahead);
        clocks.not_before(other, real_now().plus_ms(3 * DAY_MS));
        let first = clocks.now(env);
        assert!(first >= ahead && first < ahead.plus_ms(60_000));
        for now in [clocks.now(other), clocks.now(EnvNo::new(3)), clocks.steady_now()] {
            assert!(now < real_now().plus_ms(60_000));
        }
    }

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
