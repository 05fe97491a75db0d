//! People at the door: passwords, sessions, one-time links.
//!
//! A wrong password is counted before it is looked at, so that no number of guesses at the same
//! time gets past the lock. Times here are the world's: a test clock opens no door.

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{EnvironmentId, UserId};
use domain::role::{Grant, Role};
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};
use domain::time::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::members::{Member, Profile};
use store::sign_ins::{self, Link, Login, Session};
use tokio::sync::Semaphore;

use crate::error::{Class, Error, Fault};
use crate::members::{self, PERSON};
use crate::run::Engine;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// A session ends after so long, and after so long without use.
pub const SESSION_MS: i64 = 7 * DAY_MS;
const IDLE_MS: i64 = DAY_MS / 2;
/// A use is written down so often at most.
const SEEN_EVERY_MS: i64 = 5 * MINUTE_MS;
const LINK_MS: i64 = DAY_MS;
/// Wrong passwords in a row that cost nothing; each one after them doubles the wait.
const FREE_FAILURES: u32 = 4;
const FIRST_LOCK_MS: i64 = MINUTE_MS / 2;
const LOCK_MS_MAX: i64 = 15 * MINUTE_MS;
pub const PASSWORD_CHARS_MIN: usize = 10;
const PASSWORD_CHARS_MAX: usize = 200;
const EMAIL_CHARS_MAX: usize = 254;
/// Passwords that are worked on at a time: each takes 19 MiB and a core.
const HASHING_MAX: usize = 2;

static HASHING: Semaphore = Semaphore::const_new(HASHING_MAX);
/// Looked at where there is no such person, so that the answer takes as long.
static NOBODYS: LazyLock<String> = LazyLock::new(|| hash("nobody's password").unwrap_or_default());

/// Whoever asks with a session.
#[derive(Clone, Debug)]
pub struct Person {
    pub member: Member,
    pub session: Session,
}

impl Person {
    pub fn grants(&self) -> Vec<Grant> {
        self.member.profile.roles.iter().filter_map(|role| role.parse().ok()).collect()
    }
}

/// What is stored of a session's or a link's text.
pub fn fingerprint(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn hash(password: &str) -> Result<String, Error> {
    let hashed = Argon2::default().hash_password(password.as_bytes());
    let hashed = hashed.map_err(|_| Error::Store(store::Error::Unavailable))?;
    Ok(hashed.to_string())
}

fn fits(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let unavailable = || Error::Store(store::Error::Unavailable);
    let _turn = HASHING.acquire().await.map_err(|_| unavailable())?;
    tokio::task::spawn_blocking(work).await.map_err(|_| unavailable())
}

fn refused() -> Error {
    let message = "the e-mail address or the password is wrong";
    Fault::new(Class::Unauthorized, "unauthorized", message).into()
}

/// An address as it is looked up.
fn address(text: &str) -> Result<String, Error> {
    let text = text.trim().to_lowercase();
    let plain = text.chars().all(|letter| !letter.is_whitespace() && !letter.is_control());
    let parts = text.split_once('@');
    let whole = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if plain && whole && text.chars().count() <= EMAIL_CHARS_MAX {
        Ok(text)
    } else {
        Err(Error::invalid("email", "that is no e-mail address"))
    }
}

fn must_be_long(password: &str) -> Result<(), Error> {
    let chars = password.chars().count();
    if (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars) {
        return Ok(());
    }
    let message = format!(
        "a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters; a sentence is good"
    );
    Err(Error::invalid("password", message))
}

/// How long the door stays shut after so many failures.
fn lock_ms(failures: u32) -> i64 {
    match failures.checked_sub(FREE_FAILURES) {
        None | Some(0) => 0,
        Some(over) => FIRST_LOCK_MS.saturating_mul(1 << (over - 1).min(10)).min(LOCK_MS_MAX),
    }
}

fn by_person(user: UserId) -> Cause {
    let actor =
        Actor { source: Source::Dashboard, kind: ActorKind::PaywallOwner, id: user.to_string() };
    Cause { actor, request: None, idempotency_key: None }
}

impl Engine {
    fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.random.bytes::<32>())
    }

    /// A session for an address and its password; the text is shown to nobody but the browser.
    pub async fn sign_in(&self, email: &str, password: String) -> Result<String, Error> {
        let email = email.trim().to_lowercase();
        let now = self.real_now();
        let login = self.knock(email, now).await?;
        let stored = login.as_ref().map_or_else(|| NOBODYS.clone(), |login| login.hash.clone());
        let right = off_thread(move || fits(&password, &stored)).await?;
        match login {
            Some(login) if right => self.begin_session(login.user, login.scope, now).await,
            _ => Err(refused()),
        }
    }

    /// Counts the attempt as a failure, before it is one. Refuses where the door is shut.
    async fn knock(&self, email: String, now: Timestamp) -> Result<Option<Login>, Error> {
        self.change_above(move |tx| {
            let Some(login) = sign_ins::find_login(tx.read()?, &email)? else { return Ok(None) };
            if let Some(until) = login.locked_until.filter(|until| *until > now) {
                let seconds = (until.millis() - now.millis()) / 1_000 + 1;
                let message = format!("too many wrong passwords: try again in {seconds} seconds");
                return Err(Fault::new(Class::TooMany, "too_many_requests", message).into());
            }
            let failures = login.failures.saturating_add(1);
            let lock = lock_ms(failures);
            let until = (lock > 0).then(|| now.plus_ms(lock));
            sign_ins::set_failures(tx.write()?, login.user, failures, until)?;
            Ok(Some(login))
        })
        .await
    }

    async fn begin_session(
        &self,
        user: UserId,
        scope: Scope,
        now: Timestamp,
    ) -> Result<String, Error> {
        let token = self.token();
        let hash = fingerprint(&token);
        let expires_at = now.plus_ms(SESSION_MS);
        let tenant_suspended = false;
        let session =
            Session { user, scope, created_at: now, seen_at: now, expires_at, tenant_suspended };
        self.change(scope, move |tx| {
            let write = tx.write()?;
            sign_ins::sweep(write, now)?;
            sign_ins::set_failures(write, user, 0, None)?;
            sign_ins::insert_session(write, hash, &session)?;
            let states = (None, None);
            crate::audit::record(
                tx,
                &by_person(user),
                "session.created",
                ("user", user.to_string()),
                states,
            )
        })
        .await?;
        Ok(token)
    }

    /// Who a session's text belongs to, if it is good now.
    pub async fn person(&self, token: &str) -> Result<Option<Person>, Error> {
        let hash = fingerprint(token);
        let now = self.real_now();
        let found = self.read_now(|read| {
            let Some(session) = sign_ins::find_session(read, &hash)? else { return Ok(None) };
            let member = store::members::find(read, &session.scope, session.user)?;
            Ok(member.map(|member| Person { member, session }))
        })?;
        let good = |person: &Person| {
            let idle_until = person.session.seen_at.plus_ms(IDLE_MS);
            now < person.session.expires_at
                && now < idle_until
                && person.member.status == "published"
                && !person.session.tenant_suspended
        };
        let Some(person) = found.filter(good) else { return Ok(None) };
        if now.millis() - person.session.seen_at.millis() > SEEN_EVERY_MS {
            self.change_above(move |tx| Ok(sign_ins::see_session(tx.write()?, hash, now)?)).await?;
        }
        Ok(Some(person))
    }

    pub async fn sign_out(&self, token: &str) -> Result<(), Error> {
        let hash = fingerprint(token);
        self.change_above(move |tx| Ok(sign_ins::end_session(tx.write()?, hash)?)).await
    }

    /// The session looks at another environment of its tenant from now on.
    pub async fn move_session(&self, token: &str, to: EnvironmentId) -> Result<(), Error> {
        let hash = fingerprint(token);
        let moved =
            self.change_above(move |tx| Ok(sign_ins::move_session(tx.write()?, hash, to)?)).await?;
        if moved { Ok(()) } else { Err(Error::not_found("environment")) }
    }

    /// Whether nobody can sign in yet.
    pub fn is_without_people(&self) -> Result<bool, Error> {
        self.read_now(|read| Ok(!sign_ins::has_logins(read)?))
    }

    /// The path of a link that lets one person in once: to set a password, or to be the first.
    pub async fn sign_in_link(&self, user: Option<UserId>) -> Result<String, Error> {
        let token = self.token();
        let (hash, now) = (fingerprint(&token), self.real_now());
        let expires_at = now.plus_ms(LINK_MS);
        self.change_above(move |tx| {
            Ok(sign_ins::insert_link(tx.write()?, hash, user, (now, expires_at))?)
        })
        .await?;
        Ok(format!("/welcome/{token}"))
    }

    /// A link that can be used now.
    pub fn open_link(&self, token: &str) -> Result<Link, Error> {
        let (hash, now) = (fingerprint(token), self.real_now());
        let link = self.read_now(|read| Ok(sign_ins::find_link(read, &hash)?))?;
        link.filter(|link| link.used_at.is_none() && now < link.expires_at).ok_or_else(used_up)
    }

    /// Uses a link up: its person gets this address and password, and a session.
    pub async fn accept_link(
        &self,
        token: &str,
        (email, password): (&str, String),
    ) -> Result<String, Error> {
        let link = self.open_link(token)?;
        if link.user.is_none() && !self.is_without_people()? {
            return Err(used_up());
        }
        let email = address(email)?;
        must_be_long(&password)?;
        let password = off_thread(move || hash(&password)).await??;
        let scope = match link.user {
            Some(user) => self.read_now(|read| Ok(sign_ins::scope_of(read, user)?))?,
            None => Some(self.ensure_tenant("Farebox").await?),
        };
        let scope = scope.ok_or_else(used_up)?;
        let (hash, now) = (fingerprint(token), self.real_now());
        let user = self
            .change(scope, move |tx| {
                if !sign_ins::use_link(tx.write()?, hash, now)? {
                    return Err(used_up());
                }
                let user = match link.user {
                    Some(user) => user,
                    None => crate::bootstrap::owner(tx)?,
                };
                set_login(tx, user, (&email, &password), now)?;
                Ok(user)
            })
            .await?;
        self.begin_session(user, scope, now).await
    }

    /// Gives the first person of a tenant this address and password, unless it has one: what a
    /// development server does, which prints them.
    pub async fn ensure_login(
        &self,
        scope: Scope,
        (email, password): (&str, String),
    ) -> Result<(), Error> {
        let email = address(email)?;
        let known = email.clone();
        if self.read_now(|read| Ok(sign_ins::find_login(read, &known)?))?.is_some() {
            return Ok(());
        }
        let password = off_thread(move || hash(&password)).await??;
        let now = self.real_now();
        self.change(scope, move |tx| {
            let user = crate::bootstrap::owner(tx)?;
            set_login(tx, user, (&email, &password), now)
        })
        .await
    }

    /// Sets another password for whoever knows the one so far. Every session ends.
    pub async fn change_password(
        &self,
        person: &Person,
        (old, new): (String, String),
    ) -> Result<(), Error> {
        let (user, scope, now) = (person.member.id, person.session.scope, self.real_now());
        let stored = self.read_now(|read| Ok(sign_ins::login_of(read, user)?))?;
        let (email, stored) = stored.ok_or_else(refused)?;
        self.knock(email.clone(), now).await?;
        if !off_thread(move || fits(&old, &stored)).await? {
            return Err(Error::invalid("old", "that is not your password so far"));
        }
        must_be_long(&new)?;
        let password = off_thread(move || hash(&new)).await??;
        self.change(scope, move |tx| {
            sign_ins::end_sessions_of(tx.write()?, user)?;
            set_login(tx, user, (&email, &password), now)
        })
        .await
    }

    /// Makes a person of the tenant, and the link that lets them in. Nobody gives more than they
    /// have.
    pub async fn invite(
        &self,
        scope: Scope,
        cause: Cause,
        (profile, held): (Profile, Vec<Grant>),
    ) -> Result<(Member, String), Error> {
        address(&profile.email)?;
        let member = self
            .change(scope, move |tx| {
                members::check_cover(&held, &members::roles(&profile.roles)?)?;
                let now = tx.now();
                let member = Member {
                    id: UserId(tx.mint()),
                    kind: PERSON.to_owned(),
                    status: "published".to_owned(),
                    profile: profile.clone(),
                    created_at: now,
                    updated_at: now,
                };
                store::members::insert(tx.write()?, scope.tenant, &member)?;
                let states = (None, Some(members::view(&member)));
                let entity = ("user", member.id.to_string());
                crate::audit::record(tx, &cause, "user.invited", entity, states)?;
                Ok(member)
            })
            .await?;
        let link = self.sign_in_link(Some(member.id)).await?;
        Ok((member, link))
    }
}

fn used_up() -> Error {
    let message = "this link was used, or has run out; ask for another one";
    Fault::new(Class::Gone, "link_used", message).into()
}

fn set_login(
    tx: &mut store::Tx<'_>,
    user: UserId,
    (email, password): (&str, &str),
    now: Timestamp,
) -> Result<(), Error> {
    let scope = tx.scope();
    let mut member = members::find(tx.read()?, &scope, user)?;
    if member.profile.email != email {
        email.clone_into(&mut member.profile.email);
        store::members::set(tx.write()?, &scope, &member)?;
    }
    let set = sign_ins::set_login(tx.write()?, user, (email, password), now);
    set.map_err(|error| {
        if error.is_conflict() {
            Error::already_exists("another person has this e-mail address")
        } else {
            error.into()
        }
    })?;
    let after = json!({ "email": email });
    let entity = ("user", user.to_string());
    crate::audit::record(tx, &by_person(user), "user.password_set", entity, (None, Some(after)))
}

/// Roles that a person may be given.
pub fn assignable_roles() -> Vec<&'static str> {
    Role::ALL.iter().map(|role| role.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_stays_shut_longer_with_each_failure() {
        let waits: Vec<i64> = (0..=12).map(|failures| lock_ms(failures) / 1_000).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(lock_ms(u32::MAX), LOCK_MS_MAX);
    }

    #[test]
    fn a_password_is_stored_with_argon2id_and_a_salt_of_its_own() {
        let (one, other) = (hash("correct horse").unwrap(), hash("correct horse").unwrap());
        assert!(one.starts_with("$argon2id$") && one != other);
        assert!(fits("correct horse", &one) && !fits("correct horsf", &one));
        assert!(!fits("correct horse", "nonsense"));
    }

    #[test]
    fn addresses_are_kept_in_small_letters_and_must_look_like_one() {
        assert_eq!(address(" Ada@Example.com ").unwrap(), "ada@example.com");
        for text in ["", "ada", "@x", "ada@", "a da@x"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
