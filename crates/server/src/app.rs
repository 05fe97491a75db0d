//! What every handler may reach: the engine, and what this process counts and remembers.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::address::AllowList;
use engine::Engine;
use engine::steps::deliver::Deliverer;
use parking_lot::Mutex;
use store::keys::StoredKey;
use tokio::sync::watch;

use crate::http::webhook_stream::Streams;
use crate::ledger_counts::Counted;
use crate::metrics::Metrics;
use crate::ports::provider_client::ProviderClient;
use crate::ports::webhook_client::GuardedClient;
use crate::proxy::UnderWay;
use crate::request_log::RequestLog;
use crate::sending::SendingThread;
use crate::tasks::Tasks;

/// Cloning it shares everything.
#[derive(Clone)]
pub struct App(Arc<Parts>);

#[derive(Clone)]
pub struct Parts {
    pub engine: Arc<Engine>,
    pub metrics: Arc<Metrics>,
    /// Reaches the addresses that users give, and judges them.
    pub webhooks: GuardedClient,
    /// Asks the providers of paywalls.
    pub providers: ProviderClient,
    /// Streams from them that are open.
    pub under_way: UnderWay,
    /// What outlives its request.
    pub tasks: Tasks,
    pub streams: Streams,
    /// The newest requests, for whoever looks.
    pub requests: RequestLog,
    pub(crate) counted: Counted,
    deliverer: Arc<Mutex<Option<Deliverer>>>,
    /// Balancers are told to look elsewhere.
    leaving: Arc<AtomicBool>,
    /// True from the moment on at which the process takes no more work.
    stop: watch::Sender<bool>,
    /// Keys by number, with the time of their last use since the last flush.
    uses: Arc<Mutex<HashMap<i64, (Scope, Timestamp)>>>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    pub fn new(engine: Arc<Engine>) -> App {
        // Where the log cannot be read now, everything in it will be counted.
        let counted = Counted::from_now(&engine).unwrap_or_default();
        App(Arc::new(Parts {
            engine,
            counted,
            metrics: Arc::new(Metrics::default()),
            webhooks: GuardedClient::new(AllowList::default()),
            providers: ProviderClient::new(AllowList::default()),
            under_way: UnderWay::default(),
            tasks: Tasks::default(),
            streams: Streams::default(),
            requests: RequestLog::default(),
            deliverer: Arc::default(),
            leaving: Arc::default(),
            stop: watch::Sender::new(false),
            uses: Arc::new(Mutex::new(HashMap::new())),
        }))
    }

    /// With the operator's word on addresses.
    #[must_use]
    pub fn with_targets(self, list: AllowList) -> App {
        let providers = ProviderClient::new(list.clone());
        let parts = Parts::clone(&self);
        App(Arc::new(Parts { webhooks: GuardedClient::new(list), providers, ..parts }))
    }

    /// Begins to send webhooks, at most so many at a time. One sender a process.
    pub fn start_deliverer(&self, in_flight_max: u32, thread: &SendingThread) -> Deliverer {
        let _there = thread.enter();
        let port = Arc::new(self.webhooks.clone());
        let deliverer = Deliverer::start_bounded(self.engine.clone(), port, in_flight_max);
        *self.deliverer.lock() = Some(deliverer.clone());
        deliverer
    }

    /// The sender of this process, for counting.
    pub fn deliverer(&self) -> Option<Deliverer> {
        self.deliverer.lock().clone()
    }

    /// Keeps the time of a key's last use; written once a minute by `flush_uses`.
    pub fn note_use(&self, key: &Arc<StoredKey>) {
        let now = self.engine.now(&key.scope);
        self.uses.lock().insert(key.no, (key.scope, now));
    }

    /// Writes the uses of keys that were noted since the last call.
    pub async fn flush_uses(&self) -> Result<(), engine::Error> {
        let noted = std::mem::take(&mut *self.uses.lock());
        let uses: Vec<_> = noted.into_iter().map(|(no, (scope, at))| (scope, no, at)).collect();
        self.engine.set_last_used(uses).await
    }

    /// Readiness fails from here on, and all else goes on.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Begins the end: readiness fails, streams end, no new connection is taken.
    pub fn stop(&self) {
        self.leave();
        self.stop.send_replace(true);
    }

    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Changes when the process begins to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }
}
