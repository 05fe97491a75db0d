//! The thread that sends webhooks: a runtime of its own, so that parts which only talk to each
//! other do not wake each other across cores, and with less weight than what answers callers, so
//! that whoever charges does not wait for whoever listens.

use std::io;
use std::thread;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

/// Where cores are short, this thread has about a third of what one of the others has.
const NICENESS: i32 = 5;

/// It ends when this is dropped, with whatever still runs on it.
pub struct SendingThread {
    handle: Handle,
    _lives: oneshot::Sender<()>,
}

impl SendingThread {
    pub fn start() -> io::Result<SendingThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (lives, ended) = oneshot::channel();
        thread::Builder::new().name("webhooks".to_owned()).spawn(move || {
            yield_to_callers();
            drop(runtime.block_on(ended));
        })?;
        Ok(SendingThread { handle, _lives: lives })
    }

    /// What is spawned while the guard lives runs on this thread.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }
}

/// Linux weighs each thread by itself; elsewhere this would be the whole process.
fn yield_to_callers() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "webhooks are sent with the same weight as all else");
    }
}
