//! The newest requests of each environment, in this process's memory, for a person who looks for
//! what just happened. Bounded, and begun anew with the process; the durable record is the ledger,
//! its events and the audit log. No header, query or body is in it, and no text of a key.
//!
//! A request pays for one lock that only requests of the same few environments and an open page
//! ever hold, and for a push into a ring; a path that names nothing is not even copied.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::id::{PaywallId, RequestId};
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::Timestamp;
use parking_lot::Mutex;
use store::keys::StoredKey;

use crate::http::call::Caller;

/// Requests that are kept of an environment.
pub const KEPT_MAX: usize = 2_000;
/// Locks, each for the environments whose number falls to it.
const SHARDS: usize = 16;
/// Environments of one lock: the one that was quiet for longest makes room.
const ENVIRONMENTS_MAX: usize = 16;
const PATH_BYTES_MAX: usize = 200;

/// By what a caller was let in.
#[derive(Clone)]
pub enum Credential {
    Key(Arc<StoredKey>),
    Paywall(Arc<StoredKey>, PaywallId),
    /// A customer's session in the portal, as logs may show it.
    Session(Arc<str>),
}

impl Credential {
    /// The credential as a page may show it: its first and last characters.
    pub fn display(&self) -> &str {
        match self {
            Credential::Key(key) | Credential::Paywall(key, _) => &key.display,
            Credential::Session(display) => display,
        }
    }

    /// What its owner calls it.
    pub fn name(&self) -> &str {
        match self {
            Credential::Key(key) | Credential::Paywall(key, _) => &key.name,
            Credential::Session(_) => "portal session",
        }
    }
}

/// Who asked for what, before it is known how it ended.
pub struct Asked {
    scope: Scope,
    by: Credential,
    /// Where the route's own path does not say it.
    path: Option<Box<str>>,
}

/// One request that was answered.
#[derive(Clone)]
pub struct Record {
    pub id: RequestId,
    /// Method and pattern of the route.
    route: &'static str,
    path: Option<Box<str>>,
    pub by: Credential,
    pub status: u16,
    /// Until the answer began.
    pub took_us: u32,
    /// Of the refusal, where it was one.
    pub code: Option<&'static str>,
}

/// How a request ended.
pub struct Ended {
    pub route: &'static str,
    pub status: u16,
    pub took: Duration,
    pub code: Option<&'static str>,
}

/// What a reader looks for.
#[derive(Debug, Default)]
pub struct Filter {
    /// First digit of the status.
    pub class: Option<u16>,
    /// What the path begins with.
    pub path: String,
    /// A credential, as it is shown.
    pub key: String,
    /// Only those that came before it.
    pub before: Option<RequestId>,
}

impl Asked {
    /// `None` where nobody is known: what has no environment is nobody's to see.
    pub fn of(caller: &Caller, pattern: &str, path: &str) -> Option<Asked> {
        let (scope, by) = match caller {
            Caller::Key(key) => (key.scope, Credential::Key(key.clone())),
            Caller::Paywall(key, paywall) => {
                (key.scope, Credential::Paywall(key.clone(), paywall.paywall.id))
            }
            Caller::Customer(visitor) => {
                let display = visitor.session.display.as_str();
                (visitor.scope(), Credential::Session(display.into()))
            }
            Caller::Nobody => return None,
        };
        Some(Asked { scope, by, path: (pattern != path).then(|| cut(path).into()) })
    }

    /// Of a key that is good and may not do this.
    pub fn of_key(key: Arc<StoredKey>, path: &str) -> Asked {
        Asked { scope: key.scope, by: Credential::Key(key), path: Some(cut(path).into()) }
    }
}

fn cut(path: &str) -> &str {
    path.get(..path.floor_char_boundary(PATH_BYTES_MAX)).unwrap_or_default()
}

impl Record {
    pub fn method(&self) -> &'static str {
        self.route.split_once(' ').map_or("", |(method, _)| method)
    }

    pub fn path(&self) -> &str {
        let pattern = || self.route.split_once(' ').map_or("", |(_, pattern)| pattern);
        self.path.as_deref().unwrap_or_else(pattern)
    }

    /// When it came.
    pub fn at(&self) -> Timestamp {
        // The first 48 bits of the id.
        let ms = u128::from_be_bytes(self.id.0.to_bytes()) >> 80;
        Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
    }
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        self.class.is_none_or(|class| record.status / 100 == class)
            && record.path().starts_with(&self.path)
            && (self.key.is_empty() || record.by.display() == self.key)
            && self.before.is_none_or(|before| record.id < before)
    }
}

type Rings = HashMap<EnvNo, VecDeque<Record>>;

/// Cloning it shares it.
#[derive(Clone, Default)]
pub struct RequestLog(Arc<[Mutex<Rings>; SHARDS]>);

impl RequestLog {
    fn shard(&self, env: EnvNo) -> &Mutex<Rings> {
        &self.0[usize::from(env.get()) % SHARDS]
    }

    pub fn note(&self, id: RequestId, Asked { scope, by, path }: Asked, ended: &Ended) {
        let took_us = u32::try_from(ended.took.as_micros()).unwrap_or(u32::MAX);
        let Ended { route, status, code, .. } = *ended;
        let record = Record { id, route, path, by, status, took_us, code };
        let mut rings = self.shard(scope.env).lock();
        if rings.len() >= ENVIRONMENTS_MAX && !rings.contains_key(&scope.env) {
            forget_the_quietest(&mut rings);
        }
        let ring = rings.entry(scope.env).or_default();
        if ring.len() >= KEPT_MAX {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// Those of the environment that fit, newest first, at most `limit`.
    pub fn page(&self, env: EnvNo, filter: &Filter, limit: usize) -> Vec<Record> {
        let rings = self.shard(env).lock();
        let all = rings.get(&env).into_iter().flat_map(|ring| ring.iter().rev());
        all.filter(|record| filter.takes(record)).take(limit).cloned().collect()
    }

    pub fn one(&self, env: EnvNo, id: RequestId) -> Option<Record> {
        let rings = self.shard(env).lock();
        rings.get(&env)?.iter().rev().find(|record| record.id == id).cloned()
    }

    /// The credentials in it, as they are shown, with their names.
    pub fn keys(&self, env: EnvNo) -> Vec<(String, String)> {
        let rings = self.shard(env).lock();
        let mut all: Vec<(String, String)> = Vec::new();
        for record in rings.get(&env).into_iter().flatten() {
            if !all.iter().any(|(display, _)| display == record.by.display()) {
                all.push((record.by.display().to_owned(), record.by.name().to_owned()));
            }
        }
        all
    }
}

fn forget_the_quietest(rings: &mut Rings) {
    let newest = |ring: &VecDeque<Record>| ring.back().map(|record| record.id);
    let quietest = rings.iter().min_by_key(|(_, ring)| newest(ring)).map(|(env, _)| *env);
    quietest.map(|env| rings.remove(&env));
}

#[cfg(test)]
mod tests {
    use domain::id::Ulid;

    use super::*;

    fn scope(env: u16) -> Scope {
        let (environment, tenant) = Default::default();
        Scope { env: EnvNo::new(env), environment, tenant, live: false }
    }

    fn id(n: usize) -> RequestId {
        RequestId(Ulid::new(Timestamp::from_millis(1_000), n as u128))
    }

    fn noted(log: &RequestLog, env: u16, n: usize, path: &str, status: u16) {
        let path = Some(path.into());
        let asked = Asked { scope: scope(env), by: Credential::Session("fbx…1234".into()), path };
        let took = Duration::from_micros(7);
        log.note(id(n), asked, &Ended { route: "GET /v1/{x}", status, took, code: None });
    }

    #[test]
    fn the_newest_are_kept_and_each_environment_has_its_own() {
        let log = RequestLog::default();
        for n in 0..KEPT_MAX + 5 {
            noted(&log, 1, n, "/v1/a", 200);
        }
        noted(&log, 17, 1, "/v1/b", 200);
        let all = log.page(EnvNo::new(1), &Filter::default(), usize::MAX);
        assert_eq!((all.len(), all[0].id), (KEPT_MAX, id(KEPT_MAX + 4)));
        assert!(log.one(EnvNo::new(1), id(4)).is_none(), "the oldest made room");
        assert_eq!(log.page(EnvNo::new(17), &Filter::default(), 9).len(), 1, "of the same lock");
        assert!(log.one(EnvNo::new(2), id(9)).is_none());
    }

    #[test]
    fn a_filter_takes_a_class_a_path_a_key_and_what_came_before() {
        let log = RequestLog::default();
        noted(&log, 1, 1, "/v1/wallets/w", 200);
        noted(&log, 1, 2, "/v1/customers/c", 404);
        noted(&log, 1, 3, "/v1/wallets/w", 503);
        let path = |path: &str| Filter { path: path.to_owned(), ..Filter::default() };
        let key = |key: &str| Filter { key: key.to_owned(), ..Filter::default() };
        let table = [
            (Filter::default(), vec![3, 2, 1]),
            (Filter { class: Some(4), ..Filter::default() }, vec![2]),
            (path("/v1/wallets"), vec![3, 1]),
            (key("fbx…1234"), vec![3, 2, 1]),
            (key("other"), vec![]),
            (Filter { before: Some(id(3)), ..Filter::default() }, vec![2, 1]),
        ];
        for (filter, expected) in table {
            let found = log.page(EnvNo::new(1), &filter, 9);
            let found: Vec<RequestId> = found.iter().map(|record| record.id).collect();
            let expected: Vec<RequestId> = expected.into_iter().map(id).collect();
            assert_eq!(found, expected, "{filter:?}");
        }
        assert_eq!(log.one(EnvNo::new(1), id(2)).unwrap().at(), Timestamp::from_millis(1_000));
    }

    #[test]
    fn an_environment_too_many_takes_the_place_of_the_quietest() {
        let log = RequestLog::default();
        for n in 0..=ENVIRONMENTS_MAX {
            let env = u16::try_from(1 + n * SHARDS).unwrap();
            noted(&log, env, n, "/v1/a", 200);
        }
        assert!(log.one(EnvNo::new(1), id(0)).is_none());
        assert_eq!(log.0[1].lock().len(), ENVIRONMENTS_MAX);
    }

    #[test]
    fn a_long_path_is_cut_between_letters() {
        let path = "/ä".repeat(200);
        assert!(cut(&path).len() <= PATH_BYTES_MAX && path.starts_with(cut(&path)));
        assert_eq!(cut("/v1"), "/v1");
    }
}
