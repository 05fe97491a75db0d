//! One life of the engine: from its start on a database to its end, which is a crash.

use std::sync::Arc;

use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use engine::random::Random;
use engine::seal::Seal;
use engine::steps::deliver::Deliverer;
use engine::{Engine, Settings};

use super::ground::Ground;
use super::mailbox::Mailbox;

/// 32 bytes in base64, for secrets at rest.
const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Where every world begins: the first day of 2030.
pub const BEGINNING_MS: i64 = 1_893_456_000_000;

pub struct Process {
    pub engine: Arc<Engine>,
    pub scope: Scope,
    deliverer: Deliverer,
}

impl Process {
    /// Starts on what the ground has; an empty database gets a tenant and its clock.
    pub async fn start(ground: &Ground, mailbox: &Arc<Mailbox>, seed: u64) -> Process {
        let settings = Settings {
            seal: Seal::parse(SEAL_KEY).unwrap(),
            random: Random::seeded(seed),
            public_url: "https://world.example".to_owned(),
        };
        let engine = Engine::start(ground.open(), settings).unwrap();
        // On a server: takes over from the one that crashed.
        engine.keep_node().await.unwrap();
        let scope = engine.ensure_tenant("World").await.unwrap();
        if engine.clocks.get(scope.env).is_none() {
            let begin = (Some(Timestamp::from_millis(BEGINNING_MS)), true);
            engine.attach_clock(scope, Cause::schedule(), begin).await.unwrap();
        }
        mailbox.begin(ground.gauge());
        let deliverer = Deliverer::start(engine.clone(), mailbox.clone());
        Process { engine, scope, deliverer }
    }

    /// Sends everything that is due, and waits until it is recorded.
    pub async fn deliver(&self) {
        self.deliverer.drain_due(self.scope, self.engine.now(&self.scope)).await;
    }

    /// Ends without a word. The database was left behind before: what is still written goes into
    /// files that nobody opens again.
    pub fn end(self) {
        self.deliverer.abort();
        self.engine.close();
    }
}
