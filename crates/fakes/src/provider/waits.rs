//! How the provider waits. A measurement brings finer waits than a runtime's timer has.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

pub type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

pub trait Waits: Debug + Send + Sync {
    /// Ends when `length` is over.
    fn wait(&self, length: Duration) -> Waiting;
}

/// The runtime's timer, which counts in milliseconds: waits that begin in one of them end at once.
#[derive(Debug)]
pub struct Coarse;

impl Waits for Coarse {
    fn wait(&self, length: Duration) -> Waiting {
        Box::pin(tokio::time::sleep(length))
    }
}
