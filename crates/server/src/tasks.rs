//! The home of work that outlives the request that began it, such as settling a stream whose
//! client has gone. The process waits for it before it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

/// Counts what runs; cloning it shares the count.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Running>);

#[derive(Debug, Default)]
struct Running {
    count: AtomicUsize,
    none: Notify,
}

/// One that runs; counted down when it ends, however it ends.
struct Counted(Arc<Running>);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work for somebody who waits for its answer. It is done where it is waited for; what is left of
/// it when the answer has come, or when nobody waits any more, becomes a task of its own.
pub struct Carried<T> {
    work: Option<(Work, Counted)>,
    answer: oneshot::Receiver<T>,
}

impl Tasks {
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        spawn(Box::pin(work), self.counted());
    }

    fn counted(&self) -> Counted {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Counted(self.0.clone())
    }

    /// `work` sends its answer to `answer`; without one the future gives `None`.
    pub fn carry<T>(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
        answer: oneshot::Receiver<T>,
    ) -> Carried<T> {
        Carried { work: Some((Box::pin(work), self.counted())), answer }
    }

    /// Whether everything ended within this time.
    pub async fn end(&self, within: Duration) -> bool {
        let ended = async {
            loop {
                let none = self.0.none.notified();
                if self.0.count.load(Ordering::SeqCst) == 0 {
                    return;
                }
                none.await;
            }
        };
        tokio::time::timeout(within, ended).await.is_ok()
    }
}

fn spawn(work: Work, counted: Counted) {
    tokio::spawn(async move {
        work.await;
        drop(counted);
    });
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

impl<T> Future for Carried<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some((work, _)) = &mut self.work
            && work.as_mut().poll(context).is_ready()
        {
            self.work = None;
        }
        Pin::new(&mut self.answer).poll(context).map(Result::ok)
    }
}

impl<T> Drop for Carried<T> {
    fn drop(&mut self) {
        self.answer.close();
        if let Some((work, counted)) = self.work.take() {
            spawn(work, counted);
        }
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

    #[tokio::test]
    async fn work_goes_on_after_its_answer() {
        let tasks = Tasks::default();
        let (sender, answer) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let carried = tasks.carry(
            async {
                sender.send(1).unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
                done.send(()).unwrap();
            },
            answer,
        );
        assert_eq!(carried.await, Some(1));
        assert!(!tasks.end(Duration::ZERO).await);
        is_done.await.unwrap();
        assert!(tasks.end(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_and_knows_it() {
        let tasks = Tasks::default();
        let (mut sender, answer) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let carried = tasks.carry(
            async move {
                sender.closed().await;
                done.send(()).unwrap();
            },
            answer,
        );
        assert!(!tasks.end(Duration::ZERO).await);
        let waited = tokio::time::timeout(Duration::from_millis(1), carried).await;
        assert!(waited.is_err());
        is_done.await.unwrap();
        assert!(tasks.end(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn work_that_gives_no_answer_is_found_out() {
        let tasks = Tasks::default();
        let (sender, answer) = oneshot::channel::<()>();
        assert_eq!(tasks.carry(async { drop(sender) }, answer).await, None);
    }
}
