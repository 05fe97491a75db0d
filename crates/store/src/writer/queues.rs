//! What waits for the writer: commands whose callers wait, and work aside, which nobody waits for.
//!
//! While callers come, work aside has an eighth of the time, so that a charge does not pay for a
//! backlog of webhooks or a sweep; when they are quiet it has all of it. It is never starved.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, select};

use super::{BATCH_MAX, Job};
use crate::error::Error;

/// Callers are quiet when none came for so long.
const QUIET_AFTER: Duration = Duration::from_millis(5);
/// While callers come, one part of so many is for work aside.
const SHARE: u32 = 8;
/// What it may save up, and owe for a job that took longer than its share.
const CREDIT_MAX_US: i64 = 5_000;
const DEBT_MAX_US: i64 = 25_000;

type Queued = Box<dyn Job>;

pub(super) struct Senders {
    callers: Sender<Queued>,
    aside: Sender<Queued>,
}

pub(super) struct Queues {
    callers: Receiver<Queued>,
    aside: Receiver<Queued>,
    share: Share,
}

/// Both ends, for at most `most` waiting jobs of each kind.
pub(super) fn queues(most: usize) -> (Senders, Queues) {
    let ((callers, from_callers), (aside, from_aside)) = (bounded(most), bounded(most));
    let share = Share { credit_us: CREDIT_MAX_US, looked_at: Instant::now(), caller_at: None };
    (Senders { callers, aside }, Queues { callers: from_callers, aside: from_aside, share })
}

impl Senders {
    /// Gives the job back where there is no room for it.
    pub(super) fn send(&self, job: Queued) -> Option<Queued> {
        let queue = if job.is_aside() { &self.aside } else { &self.callers };
        queue.try_send(job).err().map(crossbeam_channel::TrySendError::into_inner)
    }

    pub(super) fn waiting(&self) -> usize {
        self.callers.len() + self.aside.len()
    }
}

impl Queues {
    /// The jobs of the next batch, those of callers first; none once both queues are closed and
    /// empty.
    pub(super) fn next(&mut self) -> Option<Vec<Queued>> {
        let mut jobs = Vec::new();
        loop {
            jobs.extend(self.callers.try_iter().take(BATCH_MAX - jobs.len()));
            let wait = self.share.opens_in(Instant::now(), !jobs.is_empty());
            if wait.is_none() {
                let most = if jobs.is_empty() { BATCH_MAX } else { 1 };
                jobs.extend(self.aside.try_iter().take(most));
            }
            if !jobs.is_empty() {
                return Some(jobs);
            }
            match self.recv(wait) {
                Ok(job) => jobs.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.rest(),
            }
        }
    }

    /// The next job; with `wait`, one of a caller within that time.
    fn recv(&self, wait: Option<Duration>) -> Result<Queued, RecvTimeoutError> {
        if let Some(wait) = wait {
            return self.callers.recv_timeout(wait);
        }
        select! {
            recv(self.callers) -> job => Ok(job?),
            recv(self.aside) -> job => Ok(job?),
        }
    }

    /// Nothing comes any more: what is left has no share to wait for.
    fn rest(&self) -> Option<Vec<Queued>> {
        let left = self.callers.try_iter().chain(self.aside.try_iter());
        Some(left.take(BATCH_MAX).collect::<Vec<_>>()).filter(|jobs| !jobs.is_empty())
    }

    /// Work aside took so long.
    pub(super) fn spend(&mut self, took: Duration) {
        self.share.spend(took);
    }

    /// Answers everything that waits. Returns whether nothing can come any more.
    pub(super) fn refuse_waiting(&self) -> bool {
        let mut are_closed = true;
        for queue in [&self.callers, &self.aside] {
            are_closed &= loop {
                match queue.try_recv() {
                    Ok(job) => job.done(Err(Error::Unavailable)),
                    Err(error) => break error == TryRecvError::Disconnected,
                }
            };
        }
        are_closed
    }
}

/// Time that work aside may take.
struct Share {
    credit_us: i64,
    looked_at: Instant,
    /// When the last job of a caller came.
    caller_at: Option<Instant>,
}

impl Share {
    /// How long work aside has to wait, where it has to.
    fn opens_in(&mut self, now: Instant, callers_came: bool) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        self.credit_us = (self.credit_us + micros(passed / SHARE)).min(CREDIT_MAX_US);
        if callers_came {
            self.caller_at = Some(now);
        }
        let quiet_at = self.caller_at? + QUIET_AFTER;
        let quiet_in = quiet_at.saturating_duration_since(now);
        if self.credit_us > 0 || quiet_in.is_zero() {
            return None;
        }
        let owed = Duration::from_micros(self.credit_us.unsigned_abs() + 1) * SHARE;
        Some(owed.min(quiet_in))
    }

    fn spend(&mut self, took: Duration) {
        self.credit_us = (self.credit_us - micros(took)).max(-DEBT_MAX_US);
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn share(credit_us: i64) -> (Share, Instant) {
        let now = Instant::now();
        (Share { credit_us, looked_at: now, caller_at: None }, now)
    }

    #[test]
    fn without_callers_work_aside_never_waits() {
        let (mut share, now) = share(-DEBT_MAX_US);
        assert_eq!(share.opens_in(now, false), None);
        assert!(share.opens_in(now + MS, true).is_some(), "now one came");
        assert_eq!(share.opens_in(now + MS * 6, false), None, "and was the last");
    }

    #[test]
    fn beside_callers_it_has_an_eighth() {
        let (mut share, began) = share(0);
        let (mut now, mut spent) = (began, Duration::ZERO);
        while now < began + MS * 1_000 {
            now += MS;
            if share.opens_in(now, true).is_none() {
                share.spend(MS * 4);
                (now, spent) = (now + MS * 4, spent + MS * 4);
            }
        }
        let part = spent.as_secs_f64() / (now - began).as_secs_f64();
        assert!((0.115..0.135).contains(&part), "{part}");
    }

    #[test]
    fn what_one_long_job_took_is_not_owed_for_ever() {
        let (mut share, now) = share(0);
        share.spend(MS * 10_000);
        assert!(share.opens_in(now + MS, true).is_some());
        assert_eq!(share.opens_in(now + MS * 202, true), None);
    }
}
