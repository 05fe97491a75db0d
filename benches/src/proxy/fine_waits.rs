//! Waits that end within about a tenth of a millisecond of their time.
//!
//! A runtime's timer counts in milliseconds: 32 calls that wait in the same one would end at once
//! and stay in step for ever, and each would then wait for the 31 others' CPU time, whatever stands
//! between. A thread of its own sleeps until the next wait is over; it never spins, since it shares
//! its core with the load.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use fakes::provider::waits::{Waiting, Waits};
use tokio::sync::oneshot;

#[derive(Debug)]
pub struct FineWaits {
    asked: Sender<Wait>,
}

#[derive(Debug)]
struct Wait {
    until: Instant,
    over: oneshot::Sender<()>,
}

impl FineWaits {
    /// The thread runs where its caller runs, and ends with what is made here.
    pub fn start() -> FineWaits {
        let (asked, waits) = mpsc::channel();
        std::thread::spawn(move || keep(&waits));
        FineWaits { asked }
    }
}

impl Waits for FineWaits {
    fn wait(&self, length: Duration) -> Waiting {
        let (over, ended) = oneshot::channel();
        let asked = self.asked.send(Wait { until: Instant::now() + length, over });
        Box::pin(async move {
            if asked.is_ok() {
                drop(ended.await);
            }
        })
    }
}

fn keep(asked: &Receiver<Wait>) {
    let mut waits: BinaryHeap<Reverse<Wait>> = BinaryHeap::new();
    loop {
        let now = Instant::now();
        while waits.peek().is_some_and(|Reverse(next)| next.until <= now) {
            if let Some(Reverse(wait)) = waits.pop() {
                // Whoever waited may have left.
                let _ = wait.over.send(());
            }
        }
        let next = waits.peek().map(|Reverse(next)| next.until.saturating_duration_since(now));
        let more = match next {
            Some(length) => asked.recv_timeout(length),
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match more {
            Ok(wait) => waits.push(Reverse(wait)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl PartialEq for Wait {
    fn eq(&self, other: &Wait) -> bool {
        self.until == other.until
    }
}

impl Eq for Wait {}

impl PartialOrd for Wait {
    fn partial_cmp(&self, other: &Wait) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wait {
    fn cmp(&self, other: &Wait) -> Ordering {
        self.until.cmp(&other.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_end_in_the_order_of_their_times_and_not_before_them() {
        let waits = FineWaits::start();
        let began = Instant::now();
        let (later, sooner) = (Duration::from_micros(30_300), Duration::from_micros(10_200));
        let (long, short) = (waits.wait(later), waits.wait(sooner));
        short.await;
        let first = began.elapsed();
        long.await;
        assert!(first >= sooner && first < later && began.elapsed() >= later, "{first:?}");
    }
}
