//! Answers of proxied requests that carry an idempotency key: kept sealed with the settlement that
//! they tell of, and given again byte for byte (paywalls 7.4). One task at a time works on a key.
//! Requests without a key never come here.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::ledger::entry::KeyUse;
use domain::place::EnvNo;
use domain::scope::Scope;
use domain::time::DAY_MS;
use parking_lot::Mutex;
use store::Tx;
use store::claims;
use store::idempotency::Worked;
use store::replies::{self, StoredReply};

use super::Settled;
use crate::error::{Class, Error, Fault};
use crate::idempotency::{Prior, Reply, prior};
use crate::random::Random;
use crate::run::Engine;
use crate::seal::Seal;

/// Longest answer that is kept.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;
/// So long it can be given again; its key stays used for ever.
const KEPT_MS: i64 = 7 * DAY_MS;

/// First byte of a kept row: what follows is the sealed answer.
const SEALED: u8 = 1;
/// First byte of a kept row whose answer was too long to keep.
const NOT_STORED: u8 = 2;

/// The part of an answer that only its settlement knows: what it came to.
pub type Tail = Arc<dyn Fn(&Settled) -> Vec<u8> + Send + Sync>;

type Place = (EnvNo, String, String);

/// Keys that tasks of this process work on, each with what it was asked; cloning shares the list.
#[derive(Clone, Default)]
pub struct AtWork(Arc<Mutex<Keys>>);

#[derive(Default)]
struct Keys {
    held: HashMap<Place, [u8; 16]>,
    /// Where several nodes share the database: what they still take for held by this one.
    released: Option<Vec<(Scope, Place)>>,
}

/// The right to work on a key, which ends with the value if not before.
pub struct Claim {
    list: AtWork,
    place: Place,
    scope: Scope,
    key: KeyUse,
    released: AtomicBool,
}

/// What a key comes to.
pub enum Claimed {
    /// The work was done before: the answer to it.
    Before(Kept),
    Now(Claim),
}

/// An answer as it was kept: what was known before the settlement, and the rest of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    pub status: u16,
    pub bulk: Vec<u8>,
    pub tail: Vec<u8>,
}

/// An answer on its way into the transaction that settles its request.
#[derive(Clone)]
pub struct Keeping {
    key: KeyUse,
    scope: Scope,
    status: u16,
    /// Sealed. `None`: it is not stored, only that the work was done.
    bulk: Option<Arc<[u8]>>,
    tail: Tail,
    seal: Seal,
    seed: u64,
}

impl fmt::Debug for Keeping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keeping").field("status", &self.status).finish_non_exhaustive()
    }
}

impl AtWork {
    /// `is_shared`: what is released is also to be given back to other nodes.
    pub(crate) fn new(is_shared: bool) -> AtWork {
        let released = is_shared.then(Vec::new);
        AtWork(Arc::new(Mutex::new(Keys { released, ..Keys::default() })))
    }

    fn holds(&self, place: &Place) -> bool {
        self.0.lock().held.contains_key(place)
    }

    fn next_released(&self) -> Option<(Scope, Place)> {
        self.0.lock().released.as_mut()?.pop()
    }

    fn note_released(&self, released: (Scope, Place)) {
        if let Some(list) = &mut self.0.lock().released {
            list.push(released);
        }
    }

    fn enter(&self, scope: Scope, key: KeyUse) -> Result<Claim, Error> {
        let place = (scope.env, key.route.clone(), key.key.clone());
        let mut keys = self.0.lock();
        match keys.held.get(&place) {
            Some(request) => return Err(in_use(*request == key.request)),
            None => drop(keys.held.insert(place.clone(), key.request)),
        }
        drop(keys);
        Ok(Claim { list: self.clone(), place, scope, key, released: AtomicBool::new(false) })
    }
}

impl Claim {
    /// Lets others ask for the key: its work is done and kept, or will not be.
    pub fn release(&self) {
        if !self.released.swap(true, Ordering::Relaxed) {
            self.list.0.lock().held.remove(&self.place);
            self.list.note_released((self.scope, self.place.clone()));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

impl Engine {
    /// Takes the key to work on, or finds what its work came to. The same key with another body,
    /// or while another task works on it, is refused.
    pub async fn claim(&self, scope: Scope, key: KeyUse) -> Result<Claimed, Error> {
        let claim = self.at_work.enter(scope, key)?;
        let key = claim.key.clone();
        let is_shared = self.database().is_shared();
        let found = self.change(scope, move |tx| {
            let found = prior(tx, &key)?;
            let elsewhere = match found {
                None if is_shared => claims::take(tx.write()?, &scope, &key)?,
                _ => None,
            };
            elsewhere.map_or(Ok(found), |request| Err(in_use(request == key.request)))
        });
        let found = found.await?;
        match found {
            Some(Prior::Reply(reply)) => self.opened(&claim, &reply).map(Claimed::Before),
            Some(Prior::Entry(_)) => Err(spent()),
            None => Ok(Claimed::Now(claim)),
        }
    }

    /// Tells the other nodes of a shared database which keys they may have.
    pub(crate) async fn give_keys_back(&self) -> Result<(), Error> {
        while let Some((scope, place)) = self.at_work.next_released() {
            let (at_work, released) = (self.at_work.clone(), place.clone());
            let given = self.change(scope, move |tx| {
                tx.is_routine();
                // Asked here, so that a key that was taken again stays.
                if !at_work.holds(&place) {
                    claims::give_back(tx.write()?, &scope, (&place.1, &place.2))?;
                }
                Ok::<_, Error>(())
            });
            if let Err(error) = given.await {
                self.at_work.note_released((scope, released));
                return Err(error);
            }
        }
        Ok(())
    }

    fn opened(&self, claim: &Claim, reply: &Reply) -> Result<Kept, Error> {
        let Some((kind, sealed)) = reply.body.split_first() else { return Err(spent()) };
        if *kind != SEALED {
            return Err(not_stored());
        }
        let (tail, bulk) = split(sealed).ok_or_else(not_stored)?;
        let open = |part, sealed| {
            let opened = self.seal.open(claim.scope.tenant, &named(&claim.key, part), sealed);
            opened.map_err(|error| {
                tracing::warn!(%error, "a kept answer does not open");
                not_stored()
            })
        };
        Ok(Kept { status: reply.status, bulk: open("bulk", bulk)?, tail: open("tail", tail)? })
    }

    /// Seals what is known of the answer before its settlement. `None`: it was too long.
    pub fn keeping(&self, claim: &Claim, status: u16, bulk: Option<&[u8]>, tail: Tail) -> Keeping {
        let (tenant, place) = (claim.scope.tenant, named(&claim.key, "bulk"));
        let bulk = bulk.filter(|bulk| bulk.len() <= ANSWER_BYTES_MAX);
        let sealed = bulk.and_then(|bulk| self.seal.seal(&self.random, tenant, &place, bulk).ok());
        Keeping {
            key: claim.key.clone(),
            scope: claim.scope,
            status,
            bulk: sealed.map(Arc::from),
            tail,
            seal: self.seal.clone(),
            seed: u64::from_be_bytes(self.random.bytes()),
        }
    }
}

/// Stores the answer with the settlement, once.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    keeping: Option<&Keeping>,
    settled: &Settled,
) -> Result<(), Error> {
    let Some(keeping) = keeping else { return Ok(()) };
    if prior(tx, &keeping.key)?.is_some() {
        return Ok(());
    }
    let (scope, now, key) = (tx.scope(), tx.now(), keeping.key.clone());
    let (route, text) = (key.route.clone(), key.key.clone());
    let body = keeping.body(settled).unwrap_or_else(|| vec![NOT_STORED]);
    let reply = StoredReply { key, status: keeping.status, body };
    let no = replies::insert_for_a_time(tx.write()?, &scope, &reply, (now, now.plus_ms(KEPT_MS)))?;
    tx.remember(&route, &text, Worked::Reply(no));
    Ok(())
}

impl Keeping {
    fn body(&self, settled: &Settled) -> Option<Vec<u8>> {
        let (bulk, tail) = (self.bulk.as_ref()?, (self.tail)(settled));
        if bulk.len() + tail.len() > ANSWER_BYTES_MAX {
            return None;
        }
        let (chance, place) = (Random::seeded(self.seed), named(&self.key, "tail"));
        let tail = self.seal.seal(&chance, self.scope.tenant, &place, &tail).ok()?;
        let length = u32::try_from(tail.len()).ok()?.to_be_bytes();
        Some([&[SEALED][..], &length, &tail, bulk].concat())
    }
}

fn split(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = sealed.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Where a part stands, for its seal.
fn named(key: &KeyUse, part: &str) -> String {
    format!("replies.{part}:{} {}", key.route, key.key)
}

fn in_use(by_the_same: bool) -> Error {
    if !by_the_same {
        return Error::key_reused();
    }
    let message = "a request with this idempotency key is at work";
    Fault::new(Class::InProgress, "idempotency_key_in_use", message).into()
}

fn not_stored() -> Error {
    let message = "this idempotency key did its work, but the answer was not stored; the request \
        was not sent again, and nothing more was charged";
    Error::conflict("answer_not_stored", message)
}

fn spent() -> Error {
    let message = "this idempotency key did its work, and its answer is no longer stored; use a \
        new key for a new request";
    Error::conflict("idempotency_key_spent", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str, request: u8) -> KeyUse {
        KeyUse { route: "POST /x".to_owned(), key: text.to_owned(), request: [request; 16] }
    }

    fn scope() -> Scope {
        let (environment, tenant) = Default::default();
        Scope { env: EnvNo::default(), environment, tenant, live: false }
    }

    #[test]
    fn one_task_at_a_time_works_on_a_key() {
        let (list, scope) = (AtWork::default(), scope());
        let code = |entered: Result<Claim, Error>| match entered {
            Ok(_) => "claimed",
            Err(Error::Fault(fault)) => fault.code,
            Err(_) => "other",
        };
        let first = list.enter(scope, key("a", 1)).unwrap();
        assert_eq!(code(list.enter(scope, key("a", 1))), "idempotency_key_in_use");
        assert_eq!(code(list.enter(scope, key("a", 2))), "idempotency_key_reused");
        assert_eq!(code(list.enter(scope, key("b", 2))), "claimed");
        first.release();
        let second = list.enter(scope, key("a", 2)).unwrap();
        drop(first);
        assert_eq!(code(list.enter(scope, key("a", 2))), "idempotency_key_in_use");
        drop(second);
        assert_eq!(code(list.enter(scope, key("a", 3))), "claimed");
    }
}
