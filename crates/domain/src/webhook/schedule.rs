//! When a failed delivery is tried again, and when it is given up.
//!
//! Waits follow from the schedule, the answer, the delivery and the number of the attempt alone, so
//! that anyone can compute them again. Nothing here reads a clock or stores a step.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::{DeliveryId, splitmix};
use crate::time::{SECOND_MS, Timestamp};

pub const CUSTOM_WAITS_MAX: usize = 20;
pub const CUSTOM_WAIT_S_MAX: u32 = 48 * HOUR_S;
pub const PARITY_ATTEMPTS_MAX: u8 = 8;
/// A receiver may ask for a longer wait, but not for more than this.
pub const RETRY_AFTER_S_MAX: u32 = 24 * HOUR_S;

const MINUTE_S: u32 = 60;
const HOUR_S: u32 = 3_600;
/// Endpoints that are overloaded get at least this much rest.
const FLOOR_S: u32 = 60;
/// Where the slow leg of `default` begins, as a place in its waits.
const SLOW_LEG: u8 = 7;

const STANDARD: [u32; 11] = [
    5,
    30,
    2 * MINUTE_S,
    10 * MINUTE_S,
    30 * MINUTE_S,
    2 * HOUR_S,
    5 * HOUR_S,
    10 * HOUR_S,
    14 * HOUR_S,
    20 * HOUR_S,
    24 * HOUR_S,
];

/// The quick leg, then the slow one.
const DEFAULT: [u32; 15] = [
    30,
    60,
    120,
    240,
    480,
    960,
    1_920,
    30 * MINUTE_S,
    HOUR_S,
    2 * HOUR_S,
    4 * HOUR_S,
    8 * HOUR_S,
    12 * HOUR_S,
    20 * HOUR_S,
    24 * HOUR_S,
];

/// The waits between attempts. Written as `standard`, `default`, `parity:8` or `5,30,120`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Of endpoints.
    Standard,
    /// Of an endpoint: its own waits, in seconds.
    Custom(Vec<u32>),
    /// Of subscriptions.
    Default,
    /// Of subscriptions that ask for the quick leg alone.
    Parity { max_attempts: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("must have 1 to {CUSTOM_WAITS_MAX} waits")]
    WrongLength,
    #[error("wait {0} must be 1 to {CUSTOM_WAIT_S_MAX} seconds")]
    WrongWait(usize),
    #[error("must be 1 to {PARITY_ATTEMPTS_MAX}")]
    WrongAttempts,
    #[error("is not a schedule")]
    Malformed,
}

wire_names! {
    /// What became of one attempt.
    Outcome {
        Delivered = "delivered",
        Gone = "gone",
        RedirectRefused = "redirect_refused",
        HttpError = "http_error",
        Timeout = "timeout",
        TimeoutBody = "timeout_body",
        DnsFailed = "dns_failed",
        ConnectFailed = "connect_failed",
        TlsFailed = "tls_failed",
        ConnectionLost = "connection_lost",
        BadResponse = "bad_response",
        BlockedAddress = "blocked_address",
    }
}

/// One failed attempt, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub outcome: Outcome,
    pub status: Option<u16>,
    /// From `parse_retry_after`.
    pub retry_after_s: Option<u32>,
    pub delivery: DeliveryId,
    /// Number of the attempt that failed, from 1.
    pub attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after `ms`, counted from the end of the failed attempt, jitter included.
    Wait {
        step: u8,
        ms: i64,
    },
    Exhausted,
}

impl Schedule {
    pub fn custom(waits_s: Vec<u32>) -> Result<Schedule, ScheduleError> {
        if waits_s.is_empty() || waits_s.len() > CUSTOM_WAITS_MAX {
            return Err(ScheduleError::WrongLength);
        }
        match waits_s.iter().position(|wait| !(1..=CUSTOM_WAIT_S_MAX).contains(wait)) {
            Some(index) => Err(ScheduleError::WrongWait(index)),
            None => Ok(Schedule::Custom(waits_s)),
        }
    }

    pub fn parity(max_attempts: i64) -> Result<Schedule, ScheduleError> {
        match u8::try_from(max_attempts) {
            Ok(max_attempts @ 1..=PARITY_ATTEMPTS_MAX) => Ok(Schedule::Parity { max_attempts }),
            _ => Err(ScheduleError::WrongAttempts),
        }
    }

    /// Waits before attempts 2, 3, …, in seconds and without jitter.
    pub fn waits_s(&self) -> &[u32] {
        match self {
            Schedule::Standard => &STANDARD,
            Schedule::Custom(waits) => waits,
            Schedule::Default => &DEFAULT,
            Schedule::Parity { max_attempts } => {
                let waits = usize::from(max_attempts.saturating_sub(1));
                &DEFAULT[..waits.min(usize::from(SLOW_LEG))]
            }
        }
    }

    pub fn attempts_max(&self) -> usize {
        self.waits_s().len() + 1
    }

    const fn is_for_endpoints(&self) -> bool {
        matches!(self, Schedule::Standard | Schedule::Custom(_))
    }

    /// Answers after which nobody asks again.
    const fn is_final(&self, failure: &Failure) -> bool {
        match (self, failure.status) {
            (_, Some(410)) => true,
            (Schedule::Parity { .. }, Some(status)) => {
                matches!(status, 400 | 401 | 403 | 404 | 422)
            }
            _ => matches!(failure.outcome, Outcome::Gone),
        }
    }

    /// The place of the next wait. A receiver's own mistake is not mended within minutes, so it
    /// skips the quick leg.
    const fn place(&self, step: u8, failure: &Failure) -> u8 {
        match (self, failure.status) {
            (Schedule::Default, Some(408 | 425 | 429)) => step,
            (Schedule::Default, Some(400..=499)) if step < SLOW_LEG => SLOW_LEG,
            _ => step,
        }
    }

    fn wait_s(&self, nominal_s: u32, failure: &Failure) -> u32 {
        let asked_s = failure.retry_after_s.unwrap_or(0).min(RETRY_AFTER_S_MAX);
        let floor_s = if self.is_for_endpoints() && failure.asks_for_rest() { FLOOR_S } else { 0 };
        nominal_s.max(asked_s).max(floor_s)
    }
}

impl Outcome {
    /// What an answer means whose body ended in time.
    pub const fn of_status(status: u16) -> Outcome {
        match status {
            200..=299 => Outcome::Delivered,
            410 => Outcome::Gone,
            301 | 302 | 303 | 307 | 308 => Outcome::RedirectRefused,
            _ => Outcome::HttpError,
        }
    }
}

impl Failure {
    /// Also halves the requests in flight.
    pub const fn asks_for_rest(&self) -> bool {
        matches!(self.status, Some(429 | 502 | 503 | 504))
            || matches!(self.outcome, Outcome::Timeout | Outcome::TimeoutBody)
    }
}

/// What to do after a failed attempt that stood at `step` (0 for the first).
pub fn after_failure(schedule: &Schedule, step: u8, failure: &Failure) -> Next {
    debug_assert!(failure.outcome != Outcome::Delivered, "a success has no next attempt");
    if schedule.is_final(failure) {
        return Next::Exhausted;
    }
    let place = schedule.place(step, failure);
    match schedule.waits_s().get(usize::from(place)) {
        Some(&nominal_s) => {
            let wait_ms = i64::from(schedule.wait_s(nominal_s, failure)) * SECOND_MS;
            let ms = wait_ms + jitter_ms(wait_ms, failure.delivery, failure.attempt);
            Next::Wait { step: place + 1, ms }
        }
        None => Next::Exhausted,
    }
}

/// 0 to 20 % of the wait, the same whenever it is asked for.
fn jitter_ms(wait_ms: i64, delivery: DeliveryId, attempt: u32) -> i64 {
    let unique = delivery.0.to_bytes();
    let mixed = unique.chunks(8).fold(u64::from(attempt), |seed, half| {
        let half = half.try_into().map_or(0, u64::from_be_bytes);
        splitmix(seed ^ half)
    });
    let choices = wait_ms.unsigned_abs() / 5 + 1;
    i64::try_from(mixed % choices).unwrap_or(0)
}

/// Reads `Retry-After`: whole seconds, or a date in one of the three forms of HTTP. What cannot be
/// read is no wish at all.
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<u32> {
    let text = text.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u32::MAX));
    }
    let until = http_date(text)?;
    let left_ms = until.millis().saturating_sub(now.millis()).max(0).unsigned_abs();
    Some(u32::try_from(left_ms.div_ceil(SECOND_MS.unsigned_abs())).unwrap_or(u32::MAX))
}

fn http_date(text: &str) -> Option<Timestamp> {
    const FORMS: [&str; 3] =
        ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    FORMS.iter().find_map(|form| {
        let civil = BrokenDownTime::parse(form, text).ok()?.to_datetime().ok()?;
        let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
        Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    })
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Cow<'_, str> = match self {
            Schedule::Standard => "standard".into(),
            Schedule::Default => "default".into(),
            Schedule::Parity { max_attempts } => format!("parity:{max_attempts}").into(),
            Schedule::Custom(waits) => {
                waits.iter().map(u32::to_string).collect::<Vec<_>>().join(",").into()
            }
        };
        f.write_str(&text)
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Schedule, ScheduleError> {
        let malformed = |_| ScheduleError::Malformed;
        if let Some(attempts) = text.strip_prefix("parity:") {
            return Schedule::parity(attempts.parse().map_err(malformed)?);
        }
        match text {
            "standard" => Ok(Schedule::Standard),
            "default" => Ok(Schedule::Default),
            waits => {
                let waits = waits.split(',').map(str::parse).collect::<Result<_, _>>();
                Schedule::custom(waits.map_err(malformed)?)
            }
        }
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Schedule, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::Ulid;

    fn failure(outcome: Outcome, status: Option<u16>) -> Failure {
        Failure { outcome, status, retry_after_s: None, delivery: DeliveryId(Ulid(7)), attempt: 1 }
    }

    fn answer(status: u16) -> Failure {
        failure(Outcome::of_status(status), Some(status))
    }

    /// The wait in whole seconds, after checking that jitter kept to its 20 %.
    fn wait_s(schedule: &Schedule, step: u8, failure: &Failure, nominal_s: u32) -> u8 {
        let Next::Wait { step, ms } = after_failure(schedule, step, failure) else {
            panic!("{schedule} gave up at step {step} after {failure:?}");
        };
        let least = i64::from(nominal_s) * SECOND_MS;
        assert!((least..=least / 5 * 6).contains(&ms), "{schedule} {failure:?}: {ms}");
        step
    }

    #[test]
    fn schedules_have_their_attempts_and_totals() {
        let parity = |max_attempts| Schedule::Parity { max_attempts };
        let table = [
            (Schedule::Standard, 12, 75 * HOUR_S + 42 * MINUTE_S + 35),
            (Schedule::Default, 16, 72 * HOUR_S + 33 * MINUTE_S + 30),
            (parity(8), 8, 3_810),
            (parity(3), 3, 90),
            (parity(1), 1, 0),
            (Schedule::Custom(vec![1, 2]), 3, 3),
        ];
        for (schedule, attempts, total_s) in table {
            assert_eq!(schedule.attempts_max(), attempts, "{schedule}");
            assert_eq!(schedule.waits_s().iter().sum::<u32>(), total_s, "{schedule}");
            let mut step = 0;
            for &nominal_s in schedule.waits_s() {
                step = wait_s(&schedule, step, &answer(500), nominal_s);
            }
            assert_eq!(after_failure(&schedule, step, &answer(500)), Next::Exhausted);
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
    }

    #[test]
    fn final_answers_end_at_once() {
        let parity = Schedule::Parity { max_attempts: 8 };
        let all = [Schedule::Standard, Schedule::Custom(vec![9]), Schedule::Default, parity];
        for schedule in &all {
            assert_eq!(after_failure(schedule, 0, &answer(410)), Next::Exhausted);
        }
        for status in [400, 401, 403, 404, 422] {
            assert_eq!(after_failure(&all[3], 0, &answer(status)), Next::Exhausted);
            assert_eq!(wait_s(&all[0], 0, &answer(status), 5), 1, "bugs get fixed");
        }
        for status in [302, 304, 402, 405, 408, 425, 429, 500, 503] {
            assert_eq!(wait_s(&all[3], 0, &answer(status), 30), 1);
        }
    }

    #[test]
    fn mistakes_of_a_subscription_skip_the_rest_of_the_quick_leg() {
        for status in [400, 401, 402, 403, 404, 405, 409, 418, 422, 451] {
            assert_eq!(wait_s(&Schedule::Default, 0, &answer(status), 1_800), 8);
            assert_eq!(wait_s(&Schedule::Default, 6, &answer(status), 1_800), 8);
            assert_eq!(wait_s(&Schedule::Default, 7, &answer(status), 1_800), 8);
            assert_eq!(wait_s(&Schedule::Default, 8, &answer(status), HOUR_S), 9);
            assert_eq!(after_failure(&Schedule::Default, 15, &answer(status)), Next::Exhausted);
        }
        for status in [301, 304, 408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(wait_s(&Schedule::Default, 0, &answer(status), 30), 1);
        }
        let broken = failure(Outcome::ConnectFailed, None);
        assert_eq!(wait_s(&Schedule::Default, 1, &broken, 60), 2);
    }

    #[test]
    fn overloaded_endpoints_rest_a_minute() {
        let own = Schedule::Custom(vec![1, 3_000]);
        let timeouts = [Outcome::Timeout, Outcome::TimeoutBody].map(|kind| failure(kind, None));
        let late = failure(Outcome::TimeoutBody, Some(200));
        let answers = [429, 502, 503, 504].map(answer);
        for failure in answers.iter().chain(&timeouts).chain([&late]) {
            wait_s(&Schedule::Standard, 0, failure, 60);
            wait_s(&Schedule::Standard, 2, failure, 120);
            wait_s(&own, 0, failure, 60);
            wait_s(&own, 1, failure, 3_000);
            wait_s(&Schedule::Parity { max_attempts: 8 }, 0, failure, 30);
        }
        wait_s(&Schedule::Standard, 0, &answer(500), 5);
        wait_s(&Schedule::Standard, 0, &failure(Outcome::DnsFailed, None), 5);
    }

    #[test]
    fn retry_after_only_lengthens_and_only_to_a_day() {
        let asks = |status, seconds| Failure { retry_after_s: Some(seconds), ..answer(status) };
        wait_s(&Schedule::Standard, 0, &asks(500, 0), 5);
        wait_s(&Schedule::Standard, 0, &asks(500, 7), 7);
        wait_s(&Schedule::Standard, 0, &asks(503, 7), 60);
        wait_s(&Schedule::Standard, 3, &asks(500, 7), 600);
        wait_s(&Schedule::Default, 0, &asks(429, u32::MAX), RETRY_AFTER_S_MAX);
        wait_s(&Schedule::Custom(vec![CUSTOM_WAIT_S_MAX]), 0, &asks(500, 9), CUSTOM_WAIT_S_MAX);
        assert_eq!(after_failure(&Schedule::Standard, 11, &asks(503, 9)), Next::Exhausted);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date() {
        let now = Timestamp::parse("1994-11-06T08:49:07.500Z").unwrap();
        let table = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999", Some(u32::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("1994-11-06T08:49:37Z", None),
            ("٣", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parse_retry_after(text, now), seconds, "{text:?}");
        }
    }

    #[test]
    fn own_lists_keep_to_their_limits() {
        assert_eq!(Schedule::custom(vec![]), Err(ScheduleError::WrongLength));
        assert_eq!(Schedule::custom(vec![1; 21]), Err(ScheduleError::WrongLength));
        assert_eq!(Schedule::custom(vec![1, 0]), Err(ScheduleError::WrongWait(1)));
        assert_eq!(Schedule::custom(vec![172_801]), Err(ScheduleError::WrongWait(0)));
        assert_eq!(Schedule::custom(vec![172_800; 20]).unwrap().attempts_max(), 21);
        for wrong in [0, 9, -1, 300] {
            assert_eq!(Schedule::parity(wrong), Err(ScheduleError::WrongAttempts));
        }
        assert_eq!("weekly".parse::<Schedule>(), Err(ScheduleError::Malformed));
    }

    #[test]
    fn statuses_have_one_meaning() {
        let table = [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (299, Outcome::Delivered),
            (410, Outcome::Gone),
            (301, Outcome::RedirectRefused),
            (308, Outcome::RedirectRefused),
            (300, Outcome::HttpError),
            (304, Outcome::HttpError),
            (404, Outcome::HttpError),
            (500, Outcome::HttpError),
            (101, Outcome::HttpError),
        ];
        for (status, outcome) in table {
            assert_eq!(Outcome::of_status(status), outcome, "{status}");
        }
    }

    proptest! {
        #[test]
        fn jitter_is_repeatable_and_within_a_fifth(
            id: u128,
            attempt: u32,
            wait_s in 1..172_801_i64,
        ) {
            let wait_ms = wait_s * SECOND_MS;
            let jitter = jitter_ms(wait_ms, DeliveryId(Ulid(id)), attempt);
            prop_assert!((0..=wait_ms / 5).contains(&jitter));
            prop_assert_eq!(jitter, jitter_ms(wait_ms, DeliveryId(Ulid(id)), attempt));
        }
    }

    #[test]
    fn jitter_spreads_over_deliveries_and_attempts() {
        let of = |id, attempt| jitter_ms(1_000_000, DeliveryId(Ulid(id)), attempt);
        let values: std::collections::BTreeSet<_> =
            (0..50).flat_map(|id| (1..5).map(move |attempt| of(id, attempt))).collect();
        assert!(values.len() > 190 && values.first() < Some(&20_000), "{values:?}");
        assert!(values.last() > Some(&180_000));
    }
}
