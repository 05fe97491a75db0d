//! The fields of `limits`, `caps`, `settlement` and `trial`.

use serde_json::Value;

use super::read::{amount, amount_or_none, count, flag, merge_by_model, one_of};
use crate::amount::Amount;
use crate::paywall::edit::{PaywallError, Problem};
use crate::paywall::{Caps, Limits, Settlement, Trial};

const RATE_MAX: u64 = 1_000_000;
const REQUESTS_MAX: u64 = 1_000_000_000;
const TOKENS_MAX: u64 = 1_000_000_000;
const SECONDS_MAX: u64 = 86_400;
const DRAIN_SECONDS_MAX: u64 = 3_600;
/// A lease is renewed while it is used, and ends within the hour.
const LEASE_SECONDS_MAX: u64 = 3_600;
const INTERVAL_MS_MAX: u64 = 60_000;
const BATCH_MAX: u64 = 10_000;
const DAYS_MAX: u64 = 36_500;
/// An amount that a trial may have: 12 digits, as charges.
const TRIAL_MAX: Amount = Amount::units(999_999_999_999);

pub fn write_limit(limits: &mut Limits, path: &str, value: &Value) -> Result<(), PaywallError> {
    let usual = Limits::default();
    let rate = || count(value, 1..=RATE_MAX);
    let tokens = || count(value, 1..=TOKENS_MAX);
    let seconds = || count(value, 1..=SECONDS_MAX);
    match path {
        "limits.requestsPerSecond" => limits.requests_per_second = rate()?,
        "limits.requestsPerMinute" => limits.requests_per_minute = rate()?,
        "limits.burst" => limits.burst = rate()?,
        "limits.maxRequests" => limits.max_requests = count(value, 0..=REQUESTS_MAX)?,
        "limits.maxRequestsPerModel" => {
            merge_by_model(&mut limits.max_requests_per_model, value, |_, value| {
                let most = count(value, 0..=REQUESTS_MAX)?;
                most.ok_or_else(|| Problem::NotWhole(0, REQUESTS_MAX).into())
            })?;
        }
        "limits.concurrency" => limits.concurrency = rate()?,
        "limits.maxTokensPerRequest" => limits.max_tokens_per_request = tokens()?,
        "limits.minOutputTokens" => {
            limits.min_output_tokens = tokens()?.unwrap_or(usual.min_output_tokens);
        }
        "limits.defaultOutputTokens" => {
            limits.default_output_tokens = tokens()?.unwrap_or(usual.default_output_tokens);
        }
        "limits.uncappedShare" => {
            limits.uncapped_share = share(value)?.unwrap_or(usual.uncapped_share);
        }
        "limits.streamStepTokens" => {
            limits.stream_step_tokens = tokens()?.unwrap_or(usual.stream_step_tokens);
        }
        "limits.onShort" => limits.on_short = one_of(value, "clamp, block")?,
        "limits.drainSeconds" => {
            let drain = count(value, 0..=DRAIN_SECONDS_MAX)?;
            limits.drain_seconds = drain.unwrap_or(usual.drain_seconds);
        }
        "limits.requestSeconds" => {
            limits.request_seconds = seconds()?.unwrap_or(usual.request_seconds);
        }
        "limits.firstByteSeconds" => {
            limits.first_byte_seconds = seconds()?.unwrap_or(usual.first_byte_seconds);
        }
        "limits.idleSeconds" => limits.idle_seconds = seconds()?.unwrap_or(usual.idle_seconds),
        _ => return Err(Problem::Unknown.into()),
    }
    Ok(())
}

fn share(value: &Value) -> Result<Option<Amount>, Problem> {
    let share = amount_or_none(value)?;
    if share.is_some_and(|share| share > Amount::units(1)) {
        return Err(Problem::AboveOne);
    }
    Ok(share)
}

pub fn write_cap(caps: &mut Caps, path: &str, value: &Value) -> Result<(), Problem> {
    let slot = match path {
        "caps.userDay" => &mut caps.user_day,
        "caps.userMonth" => &mut caps.user_month,
        "caps.paywallDay" => &mut caps.paywall_day,
        "caps.paywallMonth" => &mut caps.paywall_month,
        _ => return Err(Problem::Unknown),
    };
    *slot = amount_or_none(value)?;
    Ok(())
}

pub fn write_settlement(
    settlement: &mut Settlement,
    path: &str,
    value: &Value,
) -> Result<(), Problem> {
    let usual = Settlement::default();
    match path {
        "settlement.mode" => settlement.mode = one_of(value, "immediate, lease")?,
        "settlement.strict" => settlement.strict = flag(value, usual.strict)?,
        "settlement.maxLease" => {
            settlement.max_lease = amount_or_none(value)?.unwrap_or(usual.max_lease);
        }
        "settlement.leaseSeconds" => {
            let seconds = count(value, 1..=LEASE_SECONDS_MAX)?;
            settlement.lease_seconds = seconds.unwrap_or(usual.lease_seconds);
        }
        "settlement.intervalMs" => {
            let interval = count(value, 1..=INTERVAL_MS_MAX)?;
            settlement.interval_ms = interval.unwrap_or(usual.interval_ms);
        }
        "settlement.batch" => {
            settlement.batch = count(value, 1..=BATCH_MAX)?.unwrap_or(usual.batch);
        }
        _ => return Err(Problem::Unknown),
    }
    Ok(())
}

pub fn write_trial(trial: &mut Trial, path: &str, value: &Value) -> Result<(), Problem> {
    match path {
        "trial.amount" => {
            let given = amount(value)?;
            if given > TRIAL_MAX {
                return Err(crate::amount::NumberError::TooLarge.into());
            }
            trial.amount = given;
        }
        "trial.expiresInDays" => trial.expires_in_days = count(value, 1..=DAYS_MAX)?,
        "trial.budget" => trial.budget = amount_or_none(value)?,
        "trial.requireCard" => trial.require_card = flag(value, false)?,
        _ => return Err(Problem::Unknown),
    }
    Ok(())
}
