//! The home of work that outlives the request that began it, such as settling a stream whose
//! client has gone. The process waits for it before it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Counts what runs; cloning it shares the count.
#[derive(Clone, Debug)]
pub struct Tasks {
    running: Arc<watch::Sender<usize>>,
}

/// Counts one task down when it ends, however it ends.
struct Counted(Arc<watch::Sender<usize>>);

impl Default for Tasks {
    fn default() -> Tasks {
        Tasks { running: Arc::new(watch::Sender::new(0)) }
    }
}

impl Tasks {
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.running.send_modify(|running| *running += 1);
        let counted = Counted(self.running.clone());
        // In a box it is moved once; an async block would keep room for it twice.
        let work = Box::pin(work);
        tokio::spawn(async move {
            work.await;
            drop(counted);
        });
    }

    /// Whether everything ended within this time.
    pub async fn end(&self, within: Duration) -> bool {
        let mut running = self.running.subscribe();
        let ended = running.wait_for(|running| *running == 0);
        tokio::time::timeout(within, ended).await.is_ok()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running = running.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_what_runs_and_no_longer() {
        let tasks = Tasks::default();
        assert!(tasks.end(Duration::ZERO).await);
        tasks.spawn(tokio::time::sleep(Duration::from_millis(20)));
        tasks.spawn(async { panic!("a task that fails is over too") });
        assert!(!tasks.end(Duration::from_millis(1)).await);
        assert!(tasks.end(Duration::from_secs(5)).await);
    }
}
