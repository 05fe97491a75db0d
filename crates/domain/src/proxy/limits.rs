//! Rates, quotas and calendar windows (paywalls 15): pure steps on counters that are kept
//! elsewhere.
//!
//! A step returns what to store; a check that refuses stores nothing, so nothing has to be undone.

use jiff::tz::TimeZone;

use super::reason::Reason;
use crate::paywall::Limits;
use crate::time::{MINUTE_MS, SECOND_MS, Timestamp};

/// An even pace with a burst: the generic cell rate algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    count: u64,
    period_ms: i64,
    /// Requests that may come at once.
    burst: u64,
}

/// When the next request would be exactly on pace, in microseconds since 1970. All that a pace
/// keeps between two requests.
pub type DueUs = i64;

/// A request that keeps the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnPace {
    pub due_us: DueUs,
    /// More that could come at this moment.
    pub remaining: u64,
}

/// A calendar day or month of a zone, half open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// `2026-11-22` or `2026-11`.
    pub name: String,
    pub starts: Timestamp,
    pub ends: Timestamp,
}

/// Counters of one user, and of one user and model, as they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub second_due_us: DueUs,
    pub minute_due_us: DueUs,
    /// Requests under way.
    pub in_flight: u64,
    /// Requests admitted today, over all models and with this one.
    pub today: u64,
    pub today_of_model: u64,
}

/// A request that every limit lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// To store.
    pub counters: Counters,
    /// For the `RateLimit-*` headers; `None` where no limit applies.
    pub tightest: Option<Remaining>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    pub limit: u64,
    pub remaining: u64,
    pub reset_seconds: u64,
}

/// A limit that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitHit {
    pub reason: Reason,
    /// The setting's name below `limits`.
    pub limit_key: &'static str,
    pub limit: u64,
    pub used: u64,
    /// `second`, `minute`, `day`; empty for concurrency.
    pub window: &'static str,
    pub reset_at: Timestamp,
    /// Whole seconds, at least 1.
    pub retry_after: u64,
}

const US_PER_MS: i64 = 1_000;

impl Pace {
    /// `count` in a period; without a burst, as many may come at once as come in the period.
    pub fn new(count: u64, period_ms: i64, burst: Option<u64>) -> Pace {
        let count = count.max(1);
        Pace { count, period_ms, burst: burst.unwrap_or(count).max(1) }
    }

    /// `Err`: milliseconds until a request would be on pace.
    pub fn take(self, due_us: DueUs, now: Timestamp) -> Result<OnPace, i64> {
        let (now_us, interval) = (now.millis().saturating_mul(US_PER_MS), self.interval_us());
        let window = interval.saturating_mul(i64::try_from(self.burst).unwrap_or(i64::MAX));
        let next = due_us.max(now_us).saturating_add(interval);
        let room = window.saturating_sub(next.saturating_sub(now_us));
        if room < 0 {
            return Err((-room).saturating_add(US_PER_MS - 1) / US_PER_MS);
        }
        Ok(OnPace { due_us: next, remaining: u64::try_from(room / interval).unwrap_or_default() })
    }

    /// Microseconds between two requests, rounded up: never faster than the limit.
    fn interval_us(self) -> i64 {
        let count = i64::try_from(self.count).unwrap_or(i64::MAX);
        let period = self.period_ms.saturating_mul(US_PER_MS);
        (period.saturating_add(count - 1) / count).max(1)
    }
}

impl Window {
    /// The calendar day of the zone; an unknown zone is UTC.
    pub fn day(zone: &str, now: Timestamp) -> Window {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let date = date_of(&zone, now);
        let next = date.tomorrow().unwrap_or(date);
        Window { name: date.to_string(), starts: start(&zone, date), ends: start(&zone, next) }
    }

    pub fn month(zone: &str, now: Timestamp) -> Window {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let first = date_of(&zone, now).first_of_month();
        let next = first.last_of_month().tomorrow().unwrap_or(first);
        let name = first.strftime("%Y-%m").to_string();
        Window { name, starts: start(&zone, first), ends: start(&zone, next) }
    }
}

fn date_of(zone: &TimeZone, now: Timestamp) -> jiff::civil::Date {
    let instant = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
    instant.to_zoned(zone.clone()).date()
}

/// The first instant of the date in the zone.
fn start(zone: &TimeZone, date: jiff::civil::Date) -> Timestamp {
    let midnight = date.to_zoned(zone.clone());
    midnight
        .map_or(Timestamp::default(), |at| Timestamp::from_millis(at.timestamp().as_millisecond()))
}

/// Rates, then concurrency, then quotas; the first that refuses is told.
pub fn admit(
    limits: &Limits,
    counters: Counters,
    model: &str,
    now: Timestamp,
    day: &Window,
) -> Result<Admitted, LimitHit> {
    let mut steps = Steps { next: counters, tightest: None, now };
    steps.pace(limits, Period::Second)?;
    steps.pace(limits, Period::Minute)?;
    if let Some(limit) = limits.concurrency
        && counters.in_flight >= limit
    {
        return Err(steps.too_many_under_way(limit, counters.in_flight));
    }
    let of_model = limits.max_requests_per_model.get(model).copied();
    steps.quota(("maxRequests", limits.max_requests), counters.today, day)?;
    steps.quota(("maxRequestsPerModel", of_model), counters.today_of_model, day)?;
    let counters = Counters {
        in_flight: counters.in_flight.saturating_add(1),
        today: counters.today.saturating_add(1),
        today_of_model: counters.today_of_model.saturating_add(1),
        ..steps.next
    };
    Ok(Admitted { counters, tightest: steps.tightest })
}

#[derive(Clone, Copy)]
enum Period {
    Second,
    Minute,
}

struct Steps {
    next: Counters,
    tightest: Option<Remaining>,
    now: Timestamp,
}

impl Steps {
    fn pace(&mut self, limits: &Limits, period: Period) -> Result<(), LimitHit> {
        let (limit, period_ms, limit_key, window, due) = match period {
            Period::Second => (
                limits.requests_per_second,
                SECOND_MS,
                "requestsPerSecond",
                "second",
                &mut self.next.second_due_us,
            ),
            Period::Minute => (
                limits.requests_per_minute,
                MINUTE_MS,
                "requestsPerMinute",
                "minute",
                &mut self.next.minute_due_us,
            ),
        };
        let Some(limit) = limit else { return Ok(()) };
        match Pace::new(limit, period_ms, limits.burst).take(*due, self.now) {
            Ok(on_pace) => {
                *due = on_pace.due_us;
                let full_us = on_pace.due_us.saturating_sub(self.now.millis() * US_PER_MS);
                let remaining = on_pace.remaining;
                self.note(Remaining {
                    limit,
                    remaining,
                    reset_seconds: seconds(full_us / US_PER_MS),
                });
                Ok(())
            }
            Err(wait_ms) => Err(LimitHit {
                reason: Reason::RateLimited,
                limit_key,
                limit,
                used: limit,
                window,
                reset_at: self.now.plus_ms(wait_ms),
                retry_after: seconds(wait_ms),
            }),
        }
    }

    fn quota(
        &mut self,
        (limit_key, limit): (&'static str, Option<u64>),
        used: u64,
        day: &Window,
    ) -> Result<(), LimitHit> {
        let Some(limit) = limit else { return Ok(()) };
        let reset_seconds = seconds(day.ends.millis() - self.now.millis());
        if used >= limit {
            return Err(LimitHit {
                reason: Reason::QuotaReached,
                limit_key,
                limit,
                used,
                window: "day",
                reset_at: day.ends,
                retry_after: reset_seconds,
            });
        }
        self.note(Remaining { limit, remaining: limit - used - 1, reset_seconds });
        Ok(())
    }

    fn too_many_under_way(&self, limit: u64, used: u64) -> LimitHit {
        LimitHit {
            reason: Reason::ConcurrencyLimited,
            limit_key: "concurrency",
            limit,
            used,
            window: "",
            reset_at: self.now.plus_ms(SECOND_MS),
            retry_after: 1,
        }
    }

    fn note(&mut self, one: Remaining) {
        if self.tightest.is_none_or(|tightest| one.remaining < tightest.remaining) {
            self.tightest = Some(one);
        }
    }
}

/// Whole seconds, rounded up, at least 1.
fn seconds(ms: i64) -> u64 {
    let seconds = ms.saturating_add(SECOND_MS - 1) / SECOND_MS;
    u64::try_from(seconds).unwrap_or_default().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY_MS, HOUR_MS};
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn day() -> Window {
        Window::day("UTC", at(0))
    }

    /// How many of `asks` requests at one moment pass.
    fn passing(limits: &Limits, mut counters: Counters, now: i64, asks: u64) -> (u64, Counters) {
        let mut passed = 0;
        for _ in 0..asks {
            if let Ok(admitted) = admit(limits, counters, "m", at(now), &day()) {
                (passed, counters) = (passed + 1, admitted.counters);
            }
        }
        (passed, counters)
    }

    #[test]
    fn as_many_pass_at_once_as_the_limit_has_left() {
        let table = [
            (Limits { requests_per_second: Some(3), ..Limits::default() }, 3),
            (Limits { requests_per_minute: Some(7), ..Limits::default() }, 7),
            (Limits { requests_per_minute: Some(7), burst: Some(2), ..Limits::default() }, 2),
            (Limits { concurrency: Some(4), ..Limits::default() }, 4),
            (Limits { max_requests: Some(5), ..Limits::default() }, 5),
            (
                Limits {
                    max_requests_per_model: [("m".to_owned(), 6)].into(),
                    ..Limits::default()
                },
                6,
            ),
            (Limits::default(), 20),
            (Limits { max_requests: Some(0), ..Limits::default() }, 0),
        ];
        for (limits, expected) in table {
            let (passed, counters) = passing(&limits, Counters::default(), 1_000, 20);
            assert_eq!((passed, counters.today), (expected, expected), "{limits:?}");
        }
    }

    #[test]
    fn a_pace_frees_evenly_and_says_when() {
        let limits = Limits { requests_per_minute: Some(6), ..Limits::default() };
        let (_, counters) = passing(&limits, Counters::default(), 0, 6);
        let hit = admit(&limits, counters, "m", at(0), &day()).unwrap_err();
        assert_eq!((hit.reason, hit.limit_key), (Reason::RateLimited, "requestsPerMinute"));
        assert_eq!((hit.retry_after, hit.reset_at), (10, at(10_000)));
        assert!(admit(&limits, counters, "m", at(9_999), &day()).is_err());
        assert_eq!(passing(&limits, counters, 10_000, 9).0, 1);
        assert_eq!(passing(&limits, counters, 60_000, 9).0, 6);
    }

    #[test]
    fn quotas_end_at_the_zones_midnight() {
        let limits = Limits { max_requests: Some(1), ..Limits::default() };
        let used = Counters { today: 1, ..Counters::default() };
        let hit = admit(&limits, used, "m", at(DAY_MS - 5_000), &day()).unwrap_err();
        assert_eq!((hit.reason, hit.window), (Reason::QuotaReached, "day"));
        assert_eq!((hit.retry_after, hit.reset_at), (5, at(DAY_MS)));
        assert_eq!((hit.limit, hit.used), (1, 1));
    }

    #[test]
    fn the_tightest_limit_is_shown() {
        let limits =
            Limits { requests_per_minute: Some(10), max_requests: Some(3), ..Limits::default() };
        let shown = |counters| admit(&limits, counters, "m", at(0), &day()).unwrap().tightest;
        let quota = Remaining { limit: 3, remaining: 2, reset_seconds: 86_400 };
        assert_eq!(shown(Counters::default()), Some(quota));
        let (_, counters) = passing(&limits, Counters::default(), 0, 2);
        assert_eq!(shown(counters).unwrap().remaining, 0);
        let none = admit(&Limits::default(), Counters::default(), "m", at(0), &day());
        assert_eq!(none.unwrap().tightest, None);
    }

    #[test]
    fn windows_are_days_and_months_of_the_zone() {
        let now = Timestamp::parse("2026-03-29T01:30:00Z").unwrap();
        let paris = Window::day("Europe/Paris", now);
        assert_eq!(paris.name, "2026-03-29");
        assert_eq!(paris.starts.to_string(), "2026-03-28T23:00:00.000Z");
        assert_eq!(paris.ends.millis() - paris.starts.millis(), 23 * HOUR_MS);
        let late = Timestamp::parse("2026-12-31T23:30:00Z").unwrap();
        let month = Window::month("Europe/Paris", late);
        assert_eq!((month.name.as_str(), month.ends > late), ("2027-01", true));
        assert_eq!(Window::month("UTC", late).name, "2026-12");
        assert_eq!(Window::day("Nowhere/None", late).name, "2026-12-31");
    }

    proptest! {
        #[test]
        fn no_period_lets_more_through_than_burst_and_pace(
            count in 1..50_u64,
            burst in prop::option::of(1..50_u64),
            gaps in prop::collection::vec(0..400_i64, 1..200),
        ) {
            let pace = Pace::new(count, SECOND_MS, burst);
            let (mut due, mut now, mut passed) = (0, 0_i64, Vec::new());
            for gap in gaps {
                now += gap;
                if let Ok(on_pace) = pace.take(due, at(now)) {
                    due = on_pace.due_us;
                    passed.push(now);
                }
            }
            for (index, &start) in passed.iter().enumerate() {
                let within = passed[index..].iter().filter(|&&at| at < start + SECOND_MS).count();
                prop_assert!(within as u64 <= burst.unwrap_or(count) + count);
            }
        }

        #[test]
        fn the_wait_that_is_told_is_enough(count in 1..50_u64, asks in 1..80_u64) {
            let limits = Limits { requests_per_second: Some(count), ..Limits::default() };
            let (_, counters) = passing(&limits, Counters::default(), 0, asks);
            if let Err(hit) = admit(&limits, counters, "m", at(0), &day()) {
                prop_assert!(admit(&limits, counters, "m", hit.reset_at, &day()).is_ok());
            }
        }
    }
}
