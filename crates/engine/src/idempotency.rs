//! The same key does its work once: the first answer is stored with the work and given again.

use domain::ledger::Entry;
use domain::ledger::entry::KeyUse;
use domain::scope::Scope;
use sha2::{Digest, Sha256};
use store::Tx;
use store::idempotency::Worked;
use store::replies::{self, StoredReply};

use crate::error::Error;
use crate::random::Random;
use crate::run::Engine;

/// A finished answer: status and body as they go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// What did the work of a key before.
pub enum Prior {
    Reply(Reply),
    Entry(Box<Entry>),
}

/// An answer with a secret in it, and the same without.
#[derive(Clone, Debug)]
pub struct Shown {
    pub clear: Reply,
    pub masked: Reply,
}

impl Shown {
    /// An answer that only exists where secrets can be sealed, so its masked form is never kept.
    pub fn sealed(clear: Reply) -> Shown {
        let masked = Reply { status: clear.status, body: b"{}".to_vec() };
        Shown { clear, masked }
    }
}

/// First byte of a kept body that is sealed; JSON never begins with it.
const SEALED: u8 = 0;

/// An answer, and whether it is a first one's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub reply: Reply,
    pub replayed: bool,
}

/// The key of a request on a route; the body decides whether a repeat asks for the same.
pub fn key_use(route: &str, key: &str, body: &[u8]) -> KeyUse {
    let digest: [u8; 32] = Sha256::digest(body).into();
    let mut request = [0; 16];
    request.copy_from_slice(&digest[..16]);
    KeyUse { route: route.to_owned(), key: key.to_owned(), request }
}

/// Looks the key up. Another body under the same key is refused. A stored reply comes before the
/// entry that it tells of.
pub fn prior(tx: &mut Tx<'_>, key: &KeyUse) -> Result<Option<Prior>, Error> {
    let mut entry_of_key = None;
    for worked in tx.worked(&key.route, &key.key)? {
        let (used, prior) = match worked {
            Worked::Entry(place) => {
                let Some(entry) = tx.entry(place)? else { continue };
                let Some(used) = entry.key.clone() else { continue };
                (used, Prior::Entry(Box::new(entry)))
            }
            Worked::Reply(no) => {
                let scope = tx.scope();
                let Some(stored) = replies::find(tx.read()?, &scope, no)? else { continue };
                (stored.key, Prior::Reply(Reply { status: stored.status, body: stored.body }))
            }
        };
        if used.route == key.route && used.key == key.key {
            if used.request != key.request {
                return Err(Error::key_reused());
            }
            match prior {
                Prior::Reply(_) => return Ok(Some(prior)),
                Prior::Entry(_) => entry_of_key = Some(prior),
            }
        }
    }
    Ok(entry_of_key)
}

/// Stores the answer with the work that it answers.
pub fn keep(tx: &mut Tx<'_>, key: KeyUse, reply: &Reply) -> Result<(), Error> {
    let scope = tx.scope();
    let at = tx.recorded_at();
    let (route, text) = (key.route.clone(), key.key.clone());
    let stored = StoredReply { key, status: reply.status, body: reply.body.clone() };
    let no = replies::insert(tx.write()?, &scope, &stored, at)?;
    tx.remember(&route, &text, Worked::Reply(no));
    Ok(())
}

impl Engine {
    /// Runs `work` once for its key. `render` makes the answer inside the transaction, so that what
    /// is stored is what goes out.
    pub async fn once<T>(
        &self,
        scope: Scope,
        key: Option<KeyUse>,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
        render: impl Fn(&T) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        self.change(scope, move |tx| {
            if let Some(key) = &key
                && let Some(Prior::Reply(reply)) = prior(tx, key)?
            {
                return Ok(Answered { reply, replayed: true });
            }
            let reply = render(&work(tx)?);
            if let Some(key) = key.clone() {
                keep(tx, key, &reply)?;
            }
            Ok(Answered { reply, replayed: false })
        })
        .await
    }

    /// As `once`, for an answer that shows a secret. What is kept for a repeat is sealed with the
    /// operator's key; without one, a repeat shows the answer with the secret masked.
    pub async fn once_shown<T>(
        &self,
        scope: Scope,
        key: Option<KeyUse>,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
        render: impl Fn(&T) -> Shown + Send + 'static,
    ) -> Result<Answered, Error> {
        let seal = self.seal.clone();
        let chance = Random::seeded(u64::from_be_bytes(self.random.bytes()));
        self.change(scope, move |tx| {
            let Some(key) = &key else {
                return Ok(Answered { reply: render(&work(tx)?).clear, replayed: false });
            };
            let place = format!("replies.body:{} {}", key.route, key.key);
            if let Some(Prior::Reply(mut reply)) = prior(tx, key)? {
                if let Some((&SEALED, sealed)) = reply.body.split_first() {
                    reply.body = seal.open(scope.tenant, &place, sealed)?;
                }
                return Ok(Answered { reply, replayed: true });
            }
            let shown = render(&work(tx)?);
            let kept = match seal.seal(&chance, scope.tenant, &place, &shown.clear.body) {
                Ok(sealed) => Reply { body: [&[SEALED], &sealed[..]].concat(), ..shown.clear },
                Err(_) => shown.masked,
            };
            keep(tx, key.clone(), &kept)?;
            Ok(Answered { reply: shown.clear, replayed: false })
        })
        .await
    }
}
