//! Figures of webhooks (webhooks 24): of one endpoint, and of all of an environment together. Read
//! from what was counted with the attempts; no attempt is looked at.

use std::collections::BTreeMap;

use domain::id::DeliveryId;
use domain::place::ReceiverNo;
use domain::scope::Scope;
use domain::time::{DAY_MS, HOUR_MS, Timestamp};
use domain::webhook::receiver::ReceiverKind;
use domain::webhook::schedule::Outcome;
use domain::webhook::stats::Buckets;
use store::receivers::{self, Stored};
use store::{Read, deliveries, receiver_counts, receiver_standing};

use crate::error::Error;
use crate::run::Engine;

/// A delivery that used up its schedule.
pub(crate) const EXHAUSTED: &str = "exhausted";
/// Durations of attempts, by bucket.
pub(crate) const TOOK: &str = "took:";
/// Times from an event to its first success, by bucket.
pub(crate) const TOLD: &str = "told:";
/// Never more endpoints than these.
const ENDPOINTS_MAX: u32 = 100;

/// How far figures look back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub name: &'static str,
    pub ms: i64,
}

pub const WINDOWS: [Window; 3] = [
    Window { name: "1h", ms: HOUR_MS },
    Window { name: "24h", ms: DAY_MS },
    Window { name: "7d", ms: 7 * DAY_MS },
];

/// What attempts came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By result.
    pub results: BTreeMap<&'static str, u64>,
    pub exhausted: u64,
    pub took_ms: Buckets,
    pub told_ms: Buckets,
}

/// An order key that falls behind, and the delivery that blocks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub order_key: String,
    pub waiting: u64,
    pub blocked_by: Option<DeliveryId>,
    /// It stands until someone acts.
    pub is_halted: bool,
}

/// How deliveries stand now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub pending: u64,
    pub oldest_pending_at: Option<Timestamp>,
    pub parked: u64,
    pub blocked: Vec<Blocked>,
}

/// Figures of one endpoint.
#[derive(Clone, Debug)]
pub struct Stats {
    pub receiver: Stored,
    pub counted: Counted,
    pub standing: Standing,
}

impl Counted {
    pub fn attempts(&self) -> u64 {
        self.results.values().sum()
    }

    pub fn delivered(&self) -> u64 {
        self.results.get(Outcome::Delivered.name()).copied().unwrap_or(0)
    }

    pub fn failed(&self) -> u64 {
        self.attempts() - self.delivered()
    }

    fn take(&mut self, name: &str, count: u64) {
        let bucket = |prefix: &str| name.strip_prefix(prefix)?.parse::<u64>().ok();
        if let Some(bound) = bucket(TOOK) {
            *self.took_ms.entry(bound).or_default() += count;
        } else if let Some(bound) = bucket(TOLD) {
            *self.told_ms.entry(bound).or_default() += count;
        } else if name == EXHAUSTED {
            self.exhausted += count;
        } else if let Some(outcome) = Outcome::parse(name) {
            *self.results.entry(outcome.name()).or_default() += count;
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Counted) {
        self.exhausted += other.exhausted;
        for (name, count) in &other.results {
            *self.results.entry(name).or_default() += count;
        }
        for (bound, count) in &other.took_ms {
            *self.took_ms.entry(*bound).or_default() += count;
        }
        for (bound, count) in &other.told_ms {
            *self.told_ms.entry(*bound).or_default() += count;
        }
    }
}

impl Engine {
    /// Figures of an endpoint.
    pub fn endpoint_stats(
        &self,
        scope: &Scope,
        id: domain::id::ReceiverId,
        window: Window,
    ) -> Result<Stats, Error> {
        let from = self.now(scope).plus_ms(-window.ms);
        self.read_now(|read| {
            let of = (ReceiverKind::Endpoint, None);
            let receiver = crate::receivers::find(read, scope, of, id)?;
            stats(read, scope, (receiver, from))
        })
    }

    /// Figures of every endpoint of the environment.
    pub fn all_endpoint_stats(&self, scope: &Scope, window: Window) -> Result<Vec<Stats>, Error> {
        let from = self.now(scope).plus_ms(-window.ms);
        self.read_now(|read| {
            let of = (ReceiverKind::Endpoint, None);
            let all = receivers::page(read, scope, of, None, ENDPOINTS_MAX)?;
            all.into_iter().map(|receiver| stats(read, scope, (receiver, from))).collect()
        })
    }
}

fn stats(
    read: Read<'_>,
    scope: &Scope,
    (receiver, from): (Stored, Timestamp),
) -> Result<Stats, Error> {
    let mut counted = Counted::default();
    for (name, count) in receiver_counts::sums(read, scope, receiver.no, from)? {
        counted.take(&name, count);
    }
    let standing = standing(read, scope, receiver.no)?;
    Ok(Stats { receiver, counted, standing })
}

fn standing(read: Read<'_>, scope: &Scope, receiver: ReceiverNo) -> Result<Standing, Error> {
    let found = receiver_standing::load(read, scope, receiver)?;
    let blocked = found.blocked.into_iter().map(|(order_key, waiting)| {
        let by = deliveries::first_open(read, scope, (receiver, &order_key))?;
        Ok(Blocked {
            order_key,
            waiting,
            blocked_by: by.as_ref().map(deliveries::Delivery::id),
            is_halted: by.is_some_and(|by| by.halts),
        })
    });
    Ok(Standing {
        pending: found.pending,
        oldest_pending_at: found.oldest_pending_at,
        parked: found.parked,
        blocked: blocked.collect::<Result<_, Error>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_their_names_and_added_up() {
        let mut counted = Counted::default();
        let names = [("delivered", 3), ("timeout", 1), ("exhausted", 1), ("took:10", 4)];
        for (name, count) in names.into_iter().chain([("told:250", 3), ("unknown", 9)]) {
            counted.take(name, count);
        }
        assert_eq!((counted.attempts(), counted.delivered(), counted.failed()), (4, 3, 1));
        let mut twice = counted.clone();
        twice.add(&counted);
        assert_eq!((twice.attempts(), twice.exhausted), (8, 2));
        assert_eq!((twice.took_ms[&10], twice.told_ms[&250]), (8, 6));
    }
}
