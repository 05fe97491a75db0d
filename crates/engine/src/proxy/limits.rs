//! Limits of a user's requests, taken in the transaction that makes the hold (paywalls 15).

use domain::amount::Amount;
use domain::event::proxy::RateLimited;
use domain::paywall::{Caps, Limits, Paywall};
use domain::proxy::hold::{CapSource, Ceiling};
use domain::proxy::limits::{self, Admitted, Counters, LimitHit, Remaining, Window};
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use store::Tx;
use store::proxy_limits::{self, Pace};

use super::telling::Teller;
use crate::error::Error;

/// Whose counters they are.
#[derive(Clone, Copy)]
pub(super) struct Counted<'c> {
    pub(super) paywall: &'c Paywall,
    pub(super) paywall_no: i64,
    pub(super) wallet: i64,
    pub(super) model: &'c str,
}

/// Counters to store once everything else has let the request through.
pub(super) struct Passed {
    day: String,
    counters: Counters,
    pub(super) remaining: Option<Remaining>,
}

/// Whether the paywall has limits or caps at all; without, no counter is read or written.
pub(super) fn any(paywall: &Paywall) -> bool {
    let Caps { user_day, user_month, paywall_day, paywall_month } = &paywall.caps;
    let caps = [user_day, user_month, paywall_day, paywall_month];
    has_counters(&paywall.limits) || caps.iter().any(|cap| cap.is_some())
}

fn has_counters(limits: &Limits) -> bool {
    limits.requests_per_second.is_some()
        || limits.requests_per_minute.is_some()
        || limits.concurrency.is_some()
        || limits.max_requests.is_some()
        || !limits.max_requests_per_model.is_empty()
}

/// `None`: the paywall has no such limits.
pub(super) fn check(
    tx: &mut Tx<'_>,
    of: Counted<'_>,
) -> Result<Result<Option<Passed>, LimitHit>, Error> {
    if !has_counters(&of.paywall.limits) {
        return Ok(Ok(None));
    }
    let (scope, now) = (tx.scope(), tx.now());
    let day = Window::day(&of.paywall.timezone, now);
    let own = proxy_limits::pace(tx.read()?, &scope, (of.wallet, of.model), &day.name)?;
    let all = proxy_limits::pace(tx.read()?, &scope, (of.wallet, ""), &day.name)?;
    let counters = Counters {
        second_due_us: own.second_due_us,
        minute_due_us: own.minute_due_us,
        in_flight: store::proxy_requests::count_open(tx.read()?, &scope, of.wallet)?,
        today: all.today,
        today_of_model: own.today,
    };
    let admitted = limits::admit(&of.paywall.limits, counters, of.model, now, &day);
    Ok(admitted.map(|Admitted { counters, tightest }| {
        Some(Passed { day: day.name, counters, remaining: tightest })
    }))
}

pub(super) fn take(tx: &mut Tx<'_>, of: Counted<'_>, passed: &Passed) -> Result<(), Error> {
    let scope = tx.scope();
    let own = Pace {
        second_due_us: passed.counters.second_due_us,
        minute_due_us: passed.counters.minute_due_us,
        today: passed.counters.today_of_model,
    };
    let all = Pace { today: passed.counters.today, ..Pace::default() };
    for (model, pace) in [(of.model, own), ("", all)] {
        proxy_limits::set_pace(tx.write()?, &scope, (of.wallet, model), (&passed.day, pace))?;
    }
    Ok(())
}

/// A request that failed before any output gives its count back.
pub(super) fn give_back(
    tx: &mut Tx<'_>,
    of: Counted<'_>,
    started_at: Timestamp,
) -> Result<(), Error> {
    if has_counters(&of.paywall.limits) {
        let (scope, day) = (tx.scope(), Window::day(&of.paywall.timezone, started_at));
        proxy_limits::give_back(tx.write()?, &scope, (of.wallet, of.model), &day.name)?;
    }
    Ok(())
}

/// Tells a limit once for each user and day.
pub(super) fn tell(
    tx: &mut Tx<'_>,
    of: Counted<'_>,
    hit: &LimitHit,
    teller: &mut Teller<'_>,
) -> Result<(), Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let day = Window::day(&of.paywall.timezone, now);
    if proxy_limits::told(tx.write()?, &scope, (of.wallet, hit.limit_key), &day.name)? {
        return Ok(());
    }
    let event = RateLimited {
        limit_key: hit.limit_key,
        limit: hit.limit,
        used: hit.used,
        window: hit.window,
        date: &day.name,
        reset_at: hit.reset_at,
    };
    teller.tell(tx, EventType::PAYWALL_USAGE_RATE_LIMITED, |data, call| {
        (event.data(data, call), call.usage_subject(None))
    })
}

/// A cap with its window and the wallet that it counts (0: all users).
struct Cap {
    source: CapSource,
    wallet: i64,
    most: Amount,
    window: Window,
}

fn caps(of: Counted<'_>, at: Timestamp) -> Vec<Cap> {
    let Caps { user_day, user_month, paywall_day, paywall_month } = &of.paywall.caps;
    let zone = &of.paywall.timezone;
    let all = [
        (CapSource::UserDay, of.wallet, user_day),
        (CapSource::UserMonth, of.wallet, user_month),
        (CapSource::PaywallDay, 0, paywall_day),
        (CapSource::PaywallMonth, 0, paywall_month),
    ];
    let set = all.into_iter().filter_map(|(source, wallet, most)| {
        let is_day = matches!(source, CapSource::UserDay | CapSource::PaywallDay);
        let window = if is_day { Window::day(zone, at) } else { Window::month(zone, at) };
        most.map(|most| Cap { source, wallet, most, window })
    });
    set.collect()
}

/// What each cap leaves, with the end of its window.
pub(super) fn ceilings(
    tx: &mut Tx<'_>,
    of: Counted<'_>,
) -> Result<Vec<(Ceiling, Timestamp)>, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let mut left = Vec::new();
    for cap in caps(of, now) {
        let place = (of.paywall_no, cap.wallet);
        let spent = proxy_limits::spent(tx.read()?, &scope, place, &cap.window.name)?;
        let ceiling = Ceiling { source: cap.source, rest: cap.most - spent };
        left.push((ceiling, cap.window.ends));
    }
    Ok(left)
}

/// Adds to what the windows of `at` have spent: a hold, or the charge less its hold.
pub(super) fn spend(
    tx: &mut Tx<'_>,
    of: Counted<'_>,
    (amount, at): (Amount, Timestamp),
) -> Result<(), Error> {
    let scope = tx.scope();
    for cap in caps(of, at) {
        let place = (of.paywall_no, cap.wallet);
        let spent = proxy_limits::spent(tx.read()?, &scope, place, &cap.window.name)?;
        let next = (&*cap.window.name, spent + amount);
        proxy_limits::set_spent(tx.write()?, &scope, place, next)?;
    }
    Ok(())
}
