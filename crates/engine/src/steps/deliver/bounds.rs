//! What bounds the requests of one receiver: its owner's wishes, its pace, its way back after an
//! outage. Pure but for the instants that it is given.

use std::time::Duration;

use domain::id::TenantId;
use domain::webhook::receiver::IN_FLIGHT_DEFAULT;
use tokio::time::Instant;

/// A receiver without a success in the last hour, or that is slow, has so many at a time.
pub const CAREFUL_IN_FLIGHT: u32 = 2;
const TOKEN: u64 = 1_000_000;

/// What is read of a receiver with each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub tenant: TenantId,
    pub in_flight: u32,
    /// Requests that may start a second.
    pub rps: Option<u32>,
    /// It succeeded in the last hour.
    pub proven: bool,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            tenant: TenantId::default(),
            in_flight: IN_FLIGHT_DEFAULT,
            rps: None,
            proven: false,
        }
    }
}

/// A token bucket: a tenth of a second's worth deep, one token at least.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rps: u32,
    /// In millionths of a token.
    tokens: u64,
    at: Instant,
}

impl Bucket {
    /// For a receiver that a request has just gone to.
    pub fn new(rps: u32, now: Instant) -> Bucket {
        let rps = rps.max(1);
        Bucket { rps, tokens: depth(rps) - TOKEN, at: now }
    }

    pub fn rps(&self) -> u32 {
        self.rps
    }

    /// Takes a token, or says when there will be one.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let rate = u64::from(self.rps);
        let passed_us = now.saturating_duration_since(self.at).as_micros();
        let passed_us = u64::try_from(passed_us).unwrap_or(u64::MAX);
        let gained = passed_us.saturating_mul(rate);
        self.tokens = self.tokens.saturating_add(gained).min(depth(self.rps));
        self.at = self.at.max(now);
        if self.tokens >= TOKEN {
            self.tokens -= TOKEN;
            return Ok(());
        }
        Err(now + Duration::from_micros((TOKEN - self.tokens).div_ceil(rate)))
    }
}

fn depth(rps: u32) -> u64 {
    (u64::from(rps) * TOKEN / 10).max(TOKEN)
}

/// The way back after an outage: 1, 2, 4, … at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    pub limit: u32,
    /// Successes of this round.
    done: u32,
}

impl Ramp {
    pub fn start() -> Ramp {
        Ramp { limit: 1, done: 0 }
    }

    /// After a success: the next step, or none where `most` are allowed.
    pub fn succeeded(self, most: u32) -> Option<Ramp> {
        let done = self.done + 1;
        if done < self.limit {
            return Some(Ramp { done, ..self });
        }
        let limit = self.limit.saturating_mul(2);
        (limit < most).then_some(Ramp { limit, done: 0 })
    }

    /// After a failure the round begins again.
    pub fn failed(self) -> Ramp {
        Ramp { done: 0, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::in_a_while;

    #[test]
    fn a_bucket_lets_through_its_rate_and_no_more() {
        let begin = in_a_while(Duration::ZERO);
        for rps in [1, 5, 100, 1_000] {
            let mut bucket = Bucket::new(rps, begin);
            let mut passed = 1_u32;
            for ms in 0..3_000 {
                let now = begin + Duration::from_millis(ms);
                while bucket.take(now).is_ok() {
                    passed += 1;
                }
            }
            let most = rps * 3 + (rps / 10).max(1);
            assert!(passed <= most && passed + 2 >= rps * 3, "{rps}: {passed}");
        }
    }

    #[test]
    fn an_empty_bucket_says_when_there_is_a_token() {
        let begin = in_a_while(Duration::ZERO);
        let mut bucket = Bucket::new(4, begin);
        let at = bucket.take(begin).unwrap_err();
        assert_eq!(at, begin + Duration::from_millis(250));
        assert!(bucket.take(at).is_ok());
    }

    #[test]
    fn the_way_back_doubles_after_each_round_without_failure() {
        let (mut ramp, mut limits) = (Some(Ramp::start()), Vec::new());
        while let Some(now) = ramp {
            limits.push(now.limit);
            ramp = now.succeeded(8);
        }
        assert_eq!(limits, [1, 2, 2, 4, 4, 4, 4]);
        let round = Ramp::start().succeeded(8).unwrap().succeeded(8).unwrap();
        assert_eq!(round.failed().succeeded(8), Some(Ramp { limit: 2, done: 1 }));
    }
}
