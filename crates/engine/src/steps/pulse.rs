//! Whether the writer gets anywhere. While a disk hangs, what waits for it waits on; but nothing
//! new is let in, so that callers hear at once that nothing was written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::run::Engine;

/// Looks without progress until nothing new is let in.
const STUCK_LOOKS: u64 = 5;

#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// The newest commit at the last look, and how often it was the same although work waited.
    commit: AtomicU64,
    looks: AtomicU64,
    stuck: AtomicBool,
}

impl Pulse {
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Returns whether the writer is stuck now, and whether that is new.
    fn look(&self, commit: u64, waiting: usize) -> (bool, bool) {
        let moved = self.commit.swap(commit, Ordering::Relaxed) != commit;
        if moved || waiting == 0 {
            self.looks.store(0, Ordering::Relaxed);
        }
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        let stuck = looks > STUCK_LOOKS;
        (stuck, self.stuck.swap(stuck, Ordering::Relaxed) != stuck)
    }
}

impl Engine {
    /// Looks once; to be called about once a second.
    pub fn feel_pulse(&self) {
        let (commit, waiting) = (self.writer.committed(), self.writer.waiting());
        match self.pulse.look(commit, waiting) {
            (true, true) => tracing::error!(waiting, "the disk hangs: no new work is taken"),
            (false, true) => tracing::warn!("the disk answers again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_waits_without_a_commit_makes_it_stuck_and_any_progress_ends_it() {
        let pulse = Pulse::default();
        let all = |commit, waiting| (0..10).any(|_| pulse.look(commit, waiting).0);
        assert!(!all(1, 0), "nothing waits");
        assert!(!(2..20).any(|commit| pulse.look(commit, 9).0), "commits follow");
        assert!(all(20, 1) && pulse.is_stuck());
        assert_eq!(pulse.look(21, 1), (false, true));
        assert!(all(21, 1));
        assert_eq!(pulse.look(21, 0), (false, true));
        assert!(!pulse.is_stuck());
    }
}
