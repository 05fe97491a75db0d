//! The test clock of a development environment: attach, move, remove.
//!
//! It only moves forward. A move runs everything that falls due on the way, each at its own
//! instant, and answers when nothing is left before the new now.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::place::ReceiverNo;
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use serde_json::json;
use store::Tx;

use crate::audit;
use crate::clock::TestClock;
use crate::error::Error;
use crate::run::Engine;
use crate::steps::deliver::Figures;

/// Furthest that one move may go.
pub const MOVE_MS_MAX: i64 = 10 * 366 * domain::time::DAY_MS;

type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

type Looking<'a> = Pin<Box<dyn Future<Output = BTreeMap<ReceiverNo, Figures>> + Send + 'a>>;

/// Deliveries, for a clock that moves. Set once by whoever sends them in this process.
pub trait Sends: Send + Sync {
    /// A receiver has other bounds than before.
    fn receiver_changed(&self, receiver: ReceiverNo);
    /// How the lanes of these receivers stand.
    fn figures(&self, receivers: Vec<ReceiverNo>) -> Looking<'_>;
    /// When the environment's next attempt is due, by its own clock.
    fn next_attempt(&self, scope: &Scope) -> Result<Option<Timestamp>, Error>;
    /// Sends what is due now and returns when each attempt is recorded.
    fn send_due(&self, scope: Scope) -> Sending<'_>;
}

/// How an environment's clock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Absent where the environment runs on the world's clock.
    pub clock: Option<TestClock>,
    pub now: Timestamp,
    /// What falls due next by itself.
    pub next_due: Option<Timestamp>,
}

impl Engine {
    /// Lets moving clocks send webhooks through `sends`.
    pub fn set_sends(&self, sends: Arc<dyn Sends>) {
        *self.sends.write() = Some(sends);
    }

    /// Whether this process sends webhooks.
    pub(crate) fn is_sending(&self) -> bool {
        self.sends.read().is_some()
    }

    /// How this process sends to these receivers, where it does.
    pub async fn lane_figures(&self, receivers: Vec<ReceiverNo>) -> BTreeMap<ReceiverNo, Figures> {
        let sends = self.sends.read().clone();
        match sends {
            Some(sends) if !receivers.is_empty() => sends.figures(receivers).await,
            _ => BTreeMap::new(),
        }
    }

    pub fn clock_standing(&self, scope: &Scope) -> Result<Standing, Error> {
        let clock = self.clocks.get(scope.env);
        Ok(Standing { clock, now: self.now(scope), next_due: self.next_due(scope)? })
    }

    /// Attaches a clock that begins at the environment's now and then moves to `at`.
    pub async fn attach_clock(
        &self,
        scope: Scope,
        cause: Cause,
        (at, frozen): (Option<Timestamp>, bool),
    ) -> Result<Standing, Error> {
        must_be_development(&scope)?;
        let _one_at_a_time = self.moving.lock().await;
        if self.clocks.get(scope.env).is_some() {
            return Err(attached());
        }
        let now = self.now(&scope);
        check_target(now, at.unwrap_or(now))?;
        let clock = if frozen {
            TestClock::Frozen { at_ms: now.millis() }
        } else {
            TestClock::Running { ahead_ms: 0 }
        };
        self.keep_clock(scope, Some(clock), &cause).await?;
        if let Some(at) = at {
            self.move_clock(scope, at).await?;
        }
        self.clock_standing(&scope)
    }

    /// Moves the clock to `at` and runs what falls due on the way.
    pub async fn set_clock(
        &self,
        scope: Scope,
        cause: Cause,
        at: Timestamp,
    ) -> Result<Standing, Error> {
        let _one_at_a_time = self.moving.lock().await;
        self.must_have_clock(&scope)?;
        check_target(self.now(&scope), at)?;
        self.move_clock(scope, at).await?;
        self.place_clock(scope, self.now(&scope), Some(cause)).await?;
        self.clock_standing(&scope)
    }

    /// As `set_clock`, by a distance.
    pub async fn advance_clock(
        &self,
        scope: Scope,
        cause: Cause,
        by_ms: i64,
    ) -> Result<Standing, Error> {
        let at = self.now(&scope).plus_ms(by_ms);
        self.set_clock(scope, cause, at).await
    }

    /// Returns to the world's clock. Time does not go back: it stands until the world is there.
    pub async fn remove_clock(&self, scope: Scope, cause: Cause) -> Result<(), Error> {
        let _one_at_a_time = self.moving.lock().await;
        self.must_have_clock(&scope)?;
        self.keep_clock(scope, None, &cause).await
    }

    fn must_have_clock(&self, scope: &Scope) -> Result<TestClock, Error> {
        self.clocks.get(scope.env).ok_or_else(must_have)
    }

    /// From one due instant to the next, until `target`.
    async fn move_clock(&self, scope: Scope, target: Timestamp) -> Result<(), Error> {
        loop {
            self.run_due(scope).await?;
            let next = self.next_due(&scope)?.filter(|next| *next <= target);
            let Some(next) = next else { break };
            self.place_clock(scope, next.max(self.now(&scope)), None).await?;
        }
        self.place_clock(scope, target.max(self.now(&scope)), None).await?;
        self.run_due(scope).await
    }

    async fn run_due(&self, scope: Scope) -> Result<(), Error> {
        self.run_timers(scope).await?;
        self.end_backlogs(scope).await?;
        let sends = self.sends.read().clone();
        match sends {
            Some(sends) => sends.send_due(scope).await,
            None => Ok(()),
        }
    }

    fn next_due(&self, scope: &Scope) -> Result<Option<Timestamp>, Error> {
        let timer = self.next_timer(scope)?;
        let sends = self.sends.read().clone();
        let attempt = sends.map(|sends| sends.next_attempt(scope)).transpose()?.flatten();
        Ok([timer, attempt].into_iter().flatten().min())
    }

    /// Another node may have moved it further meanwhile: there it stays.
    async fn place_clock(
        &self,
        scope: Scope,
        at: Timestamp,
        cause: Option<Cause>,
    ) -> Result<(), Error> {
        let clock = self.must_have_clock(&scope)?.moved_to(at, self.steady_now());
        let placed = self.change(scope, move |tx| {
            let stored = stored_clock(tx)?.ok_or_else(must_have)?;
            let clock = clock.or_later(stored);
            write_clock(tx, Some(clock), cause.as_ref())?;
            Ok::<_, Error>(clock)
        });
        self.clocks.set(scope.env, Some(placed.await?));
        Ok(())
    }

    /// Attaches or removes: stores it, and then lets this process run on it.
    async fn keep_clock(
        &self,
        scope: Scope,
        clock: Option<TestClock>,
        cause: &Cause,
    ) -> Result<(), Error> {
        let cause = cause.clone();
        self.change(scope, move |tx| {
            if clock.is_some() && stored_clock(tx)?.is_some() {
                return Err(attached());
            }
            write_clock(tx, clock, Some(&cause))
        })
        .await?;
        self.clocks.set(scope.env, clock);
        Ok(())
    }
}

fn attached() -> Error {
    Error::already_exists("this environment has a test clock already")
}

fn must_have() -> Error {
    Error::operation("this environment runs on the world's clock; attach a test clock first")
}

fn stored_clock(tx: &mut Tx<'_>) -> Result<Option<TestClock>, Error> {
    let env = tx.scope().env;
    let stored = store::tenants::find_environment(tx.read()?, env)?;
    Ok(stored.and_then(|stored| stored.clock).and_then(|text| serde_json::from_str(&text).ok()))
}

fn write_clock(
    tx: &mut Tx<'_>,
    clock: Option<TestClock>,
    cause: Option<&Cause>,
) -> Result<(), Error> {
    let scope = tx.scope();
    let text = clock.map(|clock| json!(clock).to_string());
    store::tenants::set_clock(tx.write()?, &scope, text.as_deref())?;
    match cause {
        Some(cause) => {
            let entity = ("test_clock", scope.environment.to_string());
            let after = clock.map(|clock| json!(clock));
            audit::record(tx, cause, "test_clock.changed", entity, (None, after))
        }
        None => Ok(()),
    }
}

fn must_be_development(scope: &Scope) -> Result<(), Error> {
    if scope.live {
        return Err(Error::operation("a production environment runs on the world's clock"));
    }
    Ok(())
}

fn check_target(now: Timestamp, at: Timestamp) -> Result<(), Error> {
    if at < now {
        let message = format!("a test clock only moves forward, and it is {now} already");
        return Err(Error::invalid("to", message));
    }
    if at.millis() - now.millis() > MOVE_MS_MAX {
        return Err(Error::invalid("to", "one move is at most ten years"));
    }
    Ok(())
}
