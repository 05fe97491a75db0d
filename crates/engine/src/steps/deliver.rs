//! The sending step: leased deliveries become signed requests, and their results are recorded.
//!
//! One task owns the lanes of all receivers and decides what starts; requests, reads and writes run
//! beside it. The database is the only truth: what is in memory here is leased there, and a start
//! of the process makes it due again.
//!
//! Bounds: a receiver has as many requests at a time as its owner says, 8 without a word; a process
//! 512, or what its operator says. Slow receivers have 2 each and a tenth of the process together,
//! those without a success in the last hour 2 each and a quarter. Tenants take turns, then their
//! receivers; live, retry and replay have 70, 20 and 10 in a hundred where they contend.

mod bounds;
mod counts;
mod lane;
mod prepare;
mod record;
mod sender;
mod tend;
mod turns;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use domain::place::ReceiverNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use store::deliveries::Handed;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::error::Error;
use crate::ports::WebhookPort;
use crate::run::Engine;
use crate::test_clock::Sends;

pub use counts::{BOUNDS_MS, Counts, Histogram};
pub use lane::Figures;
use prepare::Memory;
pub(crate) use record::go_on;

/// Requests of a process at a time, where nobody says otherwise.
const IN_FLIGHT_MAX: u32 = 512;

/// The handle of a running sender. Cloning it is cheap; the sender ends with `stop`.
#[derive(Clone)]
pub struct Deliverer {
    commands: mpsc::UnboundedSender<Command>,
    counts: Arc<Counts>,
    engine: Weak<Engine>,
    task: AbortHandle,
}

enum Command {
    Drain {
        scope: Scope,
        until: Timestamp,
        done: oneshot::Sender<()>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
    /// A receiver changed.
    Doubt {
        receiver: ReceiverNo,
    },
    Look {
        receivers: Vec<ReceiverNo>,
        answer: oneshot::Sender<BTreeMap<ReceiverNo, Figures>>,
    },
}

/// What every part of the step reaches.
struct Shared {
    engine: Arc<Engine>,
    port: Arc<dyn WebhookPort>,
    memory: Memory,
    counts: Arc<Counts>,
    in_flight_max: u32,
}

impl Deliverer {
    /// Starts to send. Needs a tokio runtime.
    pub fn start(engine: Arc<Engine>, port: Arc<dyn WebhookPort>) -> Deliverer {
        Deliverer::start_bounded(engine, port, IN_FLIGHT_MAX)
    }

    /// As `start`, with another bound of the requests at a time.
    pub fn start_bounded(
        engine: Arc<Engine>,
        port: Arc<dyn WebhookPort>,
        in_flight_max: u32,
    ) -> Deliverer {
        let handovers = engine.take_handovers().unwrap_or_else(no_handovers);
        let (commands, received) = mpsc::unbounded_channel();
        let (counts, weak) = (Arc::new(Counts::default()), Arc::downgrade(&engine));
        let memory = Memory::default();
        let shared =
            Arc::new(Shared { engine, port, memory, counts: counts.clone(), in_flight_max });
        let sends = shared.clone();
        let task = tokio::spawn(sender::run(shared, handovers, received)).abort_handle();
        let deliverer = Deliverer { commands, counts, engine: weak, task };
        sends.engine.set_sends(Arc::new(deliverer.clone()));
        deliverer
    }

    /// Sends what is due in the environment at `until`, and what follows from it. Answers when
    /// nothing is on its way and nothing is due any more.
    pub async fn drain_due(&self, scope: Scope, until: Timestamp) {
        let (done, drained) = oneshot::channel();
        drop(self.commands.send(Command::Drain { scope, until, done }));
        // A sender that has stopped has nothing on its way.
        drop(drained.await);
    }

    /// Starts nothing new, lets running requests end, records them, and gives every lease back.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        drop(self.commands.send(Command::Stop { done }));
        drop(stopped.await);
    }

    /// Ends at once, as a crash would. Only for tests of what a crash leaves behind.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// What this process counted of its attempts.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Sends for Deliverer {
    fn receiver_changed(&self, receiver: ReceiverNo) {
        drop(self.commands.send(Command::Doubt { receiver }));
    }

    fn figures(
        &self,
        receivers: Vec<ReceiverNo>,
    ) -> Pin<Box<dyn Future<Output = BTreeMap<ReceiverNo, Figures>> + Send + '_>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            drop(self.commands.send(Command::Look { receivers, answer }));
            answered.await.unwrap_or_default()
        })
    }

    fn next_attempt(&self, scope: &Scope) -> Result<Option<Timestamp>, Error> {
        let Some(engine) = self.engine.upgrade() else { return Ok(None) };
        engine.read_now(|read| Ok(store::deliveries::next_due(read, scope)?))
    }

    fn send_due(
        &self,
        scope: Scope,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>> {
        Box::pin(async move {
            if let Some(engine) = self.engine.upgrade() {
                self.drain_due(scope, engine.now(&scope)).await;
            }
            Ok(())
        })
    }
}

/// Another sender has taken them: this one sends what its sweeps claim.
fn no_handovers() -> mpsc::UnboundedReceiver<Vec<Handed>> {
    mpsc::unbounded_channel().1
}
