//! Secrets of receivers: made, sealed, opened for the sender, rotated with overlap, ended (webhooks
//! 13). Their texts leave this process in the answer that made them and nowhere else.

use domain::id::{ReceiverId, WebhookSecretId};
use domain::ledger::entry::KeyUse;
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::webhook::catalogue::EventType;
use domain::webhook::key_pair::{KeyPair, SEED_BYTES};
use domain::webhook::receiver::{ReceiverKind, SecretKind};
use domain::webhook::rotation::{OVERLAP_S_DEFAULT, OVERLAP_S_MAX, Rotation, TooManyLive, rotate};
use domain::webhook::signature::{secret_from_bytes, secret_suffix, suffix};
use serde_json::{Value, json};
use store::receiver_secrets::{self as secrets, Secret};
use store::receivers::{self, Stored};
use store::{Read, Tx};

use crate::error::Error;
use crate::idempotency::{Answered, Reply, Shown};
use crate::operational;
use crate::receivers::{Edit, Receiver, apply, audit, field, find};
use crate::run::Engine;

const PUBLIC_SUFFIX_CHARS: usize = 6;

/// Whose secrets: a kind of receiver, of a paywall, and its id.
pub type Of = ((ReceiverKind, Option<i64>), ReceiverId);

/// What a rotation asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub kind: SecretKind,
    pub overlap_s: u32,
    /// A secret that its owner brings.
    pub secret: Option<String>,
}

/// A secret with what it holds: the text of a shared one, the seed of a pair.
pub struct Opened {
    pub secret: Secret,
    pub bytes: Vec<u8>,
}

/// Reads a rotation; `overlap` is the name of the field that says how long both sign.
pub fn read(body: &Value, overlap: &str) -> Result<Ask, Error> {
    let seconds: Option<u32> = field(body, overlap)?;
    if seconds.is_some_and(|seconds| seconds > OVERLAP_S_MAX) {
        return Err(Error::invalid(overlap, format!("{overlap} must be 0 to {OVERLAP_S_MAX}")));
    }
    let kind = field(body, "kind")?.unwrap_or(SecretKind::V1);
    let secret: Option<String> = field(body, "secret")?;
    if kind == SecretKind::V1a && secret.is_some() {
        let message = "a key pair is made here: give no secret with kind \"v1a\"";
        return Err(Error::invalid("secret", message));
    }
    Ok(Ask { kind, overlap_s: seconds.unwrap_or(OVERLAP_S_DEFAULT), secret })
}

fn place(id: WebhookSecretId) -> String {
    format!("receiver_secrets.sealed:{id}")
}

/// Every secret that signs now or did not end yet, newest first.
pub fn open(
    engine: &Engine,
    read: Read<'_>,
    scope: &Scope,
    receiver: &Stored,
) -> Result<Vec<Opened>, Error> {
    let live = secrets::live(read, scope, receiver.no, engine.now(scope))?;
    let open = |secret: Secret| {
        let bytes = engine.seal.open(scope.tenant, &place(secret.id), &secret.sealed)?;
        Ok(Opened { secret, bytes })
    };
    live.into_iter().map(open).collect()
}

impl Engine {
    /// Seals the given secret, or a new one.
    pub(crate) fn new_secret(
        &self,
        scope: &Scope,
        kind: ReceiverKind,
        given: Option<&str>,
    ) -> Result<(Secret, String), Error> {
        let text = if let Some(text) = given {
            text.to_owned()
        } else {
            let bytes: [u8; 32] = self.random.bytes();
            secret_from_bytes(&bytes[..kind.secret_bytes()])
        };
        let secret = self.sealed(scope, SecretKind::V1, text.as_bytes())?;
        Ok((Secret { suffix: secret_suffix(&text).to_owned(), ..secret }, text))
    }

    /// Seals a new key pair.
    pub(crate) fn new_key_pair(&self, scope: &Scope) -> Result<Secret, Error> {
        let seed: [u8; SEED_BYTES] = self.random.bytes();
        let public = KeyPair::of_seed(&seed).map(|pair| pair.public_key());
        let public = public.ok_or_else(|| Error::operation("a key pair could not be made"))?;
        let secret = self.sealed(scope, SecretKind::V1a, &seed)?;
        let end = suffix(&public, PUBLIC_SUFFIX_CHARS).to_owned();
        Ok(Secret { suffix: end, public_key: Some(public), ..secret })
    }

    fn sealed(&self, scope: &Scope, kind: SecretKind, bytes: &[u8]) -> Result<Secret, Error> {
        let id = WebhookSecretId(self.fresh_id(scope));
        let sealed = self.seal.seal(&self.random, scope.tenant, &place(id), bytes)?;
        Ok(Secret {
            id,
            kind,
            sealed,
            suffix: String::new(),
            public_key: None,
            created_at: self.now(scope),
            expires_at: None,
        })
    }

    /// Gives a receiver a new secret; those before it sign on for the overlap.
    pub async fn rotate_secret(
        &self,
        scope: Scope,
        (of, id): Of,
        (ask, cause): (Ask, Cause),
        key: Option<KeyUse>,
        render: impl Fn(&Receiver) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let seen = self.receiver(&scope, of, id)?;
        let given = Edit { secret: ask.secret.clone(), ..Edit::default() };
        apply(&given, &mut seen.stored.clone(), &mut seen.private.clone())?;
        let (secret, text) = match ask.kind {
            SecretKind::V1 => {
                let (secret, text) = self.new_secret(&scope, of.0, ask.secret.as_deref())?;
                (secret, Some(text))
            }
            SecretKind::V1a => (self.new_key_pair(&scope)?, None),
        };
        let work = move |tx: &mut Tx<'_>| {
            let before = find(tx.read()?, &scope, of, id)?;
            let ends_at = take_over(tx, &before, &secret, ask.overlap_s)?;
            let stored = changed(tx, &before, ("secret_rotated", &cause))?;
            let keys = json!({ "secret_id": secret.id, "previous_expires_at": ends_at });
            let kind = EventType::WEBHOOK_ENDPOINT_SECRET_ROTATED;
            operational::tell_of_endpoint(tx, &cause, kind, (&stored, keys))?;
            let now = tx.now();
            let secrets = secrets::live(tx.read()?, &scope, stored.no, now)?;
            let (private, secret) = (seen.private.clone(), text.clone());
            Ok(Receiver { stored, private, secrets, secret, made: false })
        };
        self.once_shown(scope, key, work, move |made| Shown::sealed(render(made))).await
    }

    /// Ends an older secret before its time.
    pub async fn end_secret(
        &self,
        scope: Scope,
        (of, id): Of,
        secret: WebhookSecretId,
        cause: Cause,
    ) -> Result<(), Error> {
        let work = move |tx: &mut Tx<'_>| {
            let (before, now) = (find(tx.read()?, &scope, of, id)?, tx.now());
            let live = secrets::live(tx.read()?, &scope, before.no, now)?;
            let found = live.into_iter().find(|one| one.id == secret);
            let found = found.ok_or_else(|| Error::not_found("secret"))?;
            if found.expires_at.is_none() {
                let message = "the newest secret of its kind cannot be deleted: rotate it";
                return Err(Error::operation(message));
            }
            secrets::delete(tx.write()?, &scope, before.no, secret)?;
            changed(tx, &before, ("secret_ended", &cause)).map(drop)
        };
        self.change(scope, work).await
    }
}

/// Puts the new secret before those of its kind. Returns when the one before it ends.
fn take_over(
    tx: &mut Tx<'_>,
    receiver: &Stored,
    secret: &Secret,
    overlap_s: u32,
) -> Result<Timestamp, Error> {
    let (scope, now, of) = (tx.scope(), tx.now(), (receiver.no, secret.kind));
    secrets::delete_ended(tx.write()?, &scope, receiver.no, now)?;
    let live = secrets::live(tx.read()?, &scope, receiver.no, now)?;
    let live = live.iter().filter(|one| one.kind == secret.kind).count();
    let too_many = |error: TooManyLive| Error::conflict("too_many_live_secrets", error.to_string());
    let ends_at = match rotate(live, now, overlap_s).map_err(too_many)? {
        Rotation::Replaced => {
            secrets::delete_all(tx.write()?, &scope, of)?;
            now
        }
        Rotation::Overlaps { until } => {
            secrets::end_newest(tx.write()?, &scope, of, until)?;
            until
        }
    };
    secrets::insert(tx.write()?, &scope, receiver.no, secret)?;
    Ok(ends_at)
}

/// A new version of the receiver: senders open its secrets again.
fn changed(
    tx: &mut Tx<'_>,
    before: &Stored,
    (verb, cause): (&str, &Cause),
) -> Result<Stored, Error> {
    let scope = tx.scope();
    let mut stored = before.clone();
    stored.version += 1;
    stored.updated_at = tx.now();
    receivers::set(tx.write()?, &scope, &stored)?;
    audit(tx, cause, verb, (Some(before), &stored))?;
    Ok(stored)
}
