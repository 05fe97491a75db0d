//! The streams that are open now, with what each has delivered: what a crash would otherwise
//! forget is written down every few seconds (paywalls 17.8).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::id::RequestId;
use engine::proxy::Ticket;
use parking_lot::Mutex;

type Open = HashMap<RequestId, (Arc<Ticket>, Arc<AtomicU64>)>;

/// Of this process; cloning it shares the list.
#[derive(Clone, Default)]
pub struct UnderWay(Arc<Mutex<Open>>);

/// One open stream. It leaves the list with the value.
pub struct Entry {
    list: UnderWay,
    request: RequestId,
    delivered_tokens: Arc<AtomicU64>,
}

impl UnderWay {
    pub fn enter(&self, ticket: &Arc<Ticket>) -> Entry {
        let (request, delivered_tokens) = (ticket.call.request(), Arc::<AtomicU64>::default());
        self.0.lock().insert(request, (ticket.clone(), delivered_tokens.clone()));
        Entry { list: self.clone(), request, delivered_tokens }
    }

    /// Each with its counted output; those without any are left out.
    pub fn delivered(&self) -> Vec<(Arc<Ticket>, u64)> {
        let open = self.0.lock();
        let counted =
            open.values().map(|(ticket, tokens)| (ticket.clone(), tokens.load(Ordering::Relaxed)));
        counted.filter(|(_, tokens)| *tokens > 0).collect()
    }
}

impl Entry {
    pub fn set(&self, tokens: u64) {
        self.delivered_tokens.store(tokens, Ordering::Relaxed);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.list.0.lock().remove(&self.request);
    }
}
