//! Connections that wait for their next request. Each goes to an address that was checked; none
//! is used long after its name was resolved, so that a name's owner can move it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::webhook::target::{Target, TargetHost};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::connection::Connection;

const IDLE_MAX: Duration = Duration::from_secs(30);
/// Since the name was resolved.
const AGE_MAX: Duration = Duration::from_mins(1);
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
const CONNECTIONS_MAX: usize = 1_024;

/// Where a connection leads. The checked address is kept with the connection: every address under
/// one key was checked, and which of them serves a request makes no difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::ports) struct Key {
    is_https: bool,
    host: String,
    port: u16,
}

impl Key {
    pub(in crate::ports) fn of(target: &Target) -> Key {
        let host = match target.host() {
            TargetHost::Name(name) => name.clone(),
            TargetHost::Address(address) => address.to_string(),
        };
        Key { is_https: target.is_https(), host, port: target.port() }
    }
}

pub(in crate::ports) struct Pool {
    /// As many as one host may have requests in flight.
    per_key_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
    /// A task that ends what is too old is running.
    is_swept: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        let fresh = now.duration_since(self.connection.resolved_at) < AGE_MAX;
        fresh && now.duration_since(self.since) < IDLE_MAX && !self.connection.is_closed()
    }
}

impl Pool {
    pub(in crate::ports) fn new(per_key_max: usize) -> Pool {
        Pool { per_key_max, state: Mutex::default() }
    }

    /// The connection that was used last: the others may then grow old and end.
    pub(in crate::ports) fn take(&self, key: &Key) -> Option<Connection> {
        let now = Instant::now();
        let mut state = self.state.lock();
        while let Some(idle) = state.idle.get_mut(key).and_then(Vec::pop) {
            state.count -= 1;
            if idle.is_usable(now) {
                return Some(idle.connection);
            }
        }
        None
    }

    pub(in crate::ports) fn put(self: &Arc<Pool>, connection: Connection) {
        let idle = Idle { connection, since: Instant::now() };
        let mut state = self.state.lock();
        if state.count >= CONNECTIONS_MAX || !idle.is_usable(idle.since) {
            return;
        }
        match state.idle.get_mut(&idle.connection.key) {
            Some(same) if same.len() >= self.per_key_max => return,
            Some(same) => same.push(idle),
            None => drop(state.idle.insert(idle.connection.key.clone(), vec![idle])),
        }
        state.count += 1;
        if !std::mem::replace(&mut state.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

impl State {
    fn drop_unusable(&mut self, now: Instant) {
        for same in self.idle.values_mut() {
            same.retain(|idle| idle.is_usable(now));
        }
        self.idle.retain(|_, same| !same.is_empty());
        self.count = self.idle.values().map(Vec::len).sum();
    }
}

/// Runs while there is something to end, and not longer than the pool.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut state = pool.state.lock();
        state.drop_unusable(Instant::now());
        if state.count == 0 {
            state.is_swept = false;
            return;
        }
    }
}
