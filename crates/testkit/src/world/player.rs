//! Plays lines on a real engine, and says what it answered in the words of the oracle. Where an
//! answer names an id, the id stands in it.

mod wallets;

use std::sync::Arc;

use domain::alert::settings::Settings as AlertSettings;
use domain::amount::Amount;
use domain::customer::{CustomerPatch, NewCustomer};
use domain::id::{RequestId, TransactionId, Ulid};
use domain::ledger::Refusal;
use domain::ledger::entry::KeyUse;
use domain::paywall::ExternalUser;
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};
use domain::setting::Setting;
use domain::time::Timestamp;
use engine::blocks::Caller;
use engine::charges::{ChargeAsk, Charged, Moved};
use engine::deposits::{DepositAsk, Origin};
use engine::holds::{CaptureAsk, Held, HoldAsk, HoldRef, HoldState, HoldView};
use engine::idempotency::{Answered, Reply, key_use};
use engine::refunds::{Named, RefundAsk};
use engine::user_states::StateAsk;
use engine::{Engine, Error};
use serde_json::{Value, json};
use store::paywalls::Stored;

use super::line::{Line, time_ms};
use super::oracle::Said;

pub(super) type Done = Result<Said, Error>;

/// One engine, and the line that it is to play.
pub struct Player {
    pub engine: Arc<Engine>,
    pub scope: Scope,
    pub line: Line,
    /// Id of the hold or charge that the line names.
    pub id: Option<String>,
    /// Where the environment's clock stood when the line was drawn.
    pub now: Timestamp,
}

pub(super) fn said(text: impl Into<String>) -> Said {
    Said { text: text.into(), replayed: false }
}

pub(super) fn reply(text: impl Into<String>) -> Reply {
    Reply { status: 200, body: text.into().into_bytes() }
}

pub(super) fn answered(answered: Answered) -> Said {
    let text = String::from_utf8(answered.reply.body).unwrap();
    Said { text, replayed: answered.replayed }
}

impl Player {
    pub async fn play(self) -> Said {
        let done = match self.line.verb.as_str() {
            "charge" => self.charge().await,
            "hold" => self.hold().await,
            "deposit" => self.deposit().await,
            "batch" => self.batch().await,
            "see" => self.see().await,
            "link" => self.link().await,
            "capture" => self.capture().await,
            "release" => self.release().await,
            "refund" => self.refund().await,
            "suspend" | "unsuspend" => self.suspend().await,
            "paywall" | "overdraft" | "archive" | "unarchive" => self.paywall_state().await,
            "customer" | "call" | "remove" => self.customer().await,
            "default" | "bonus" => self.setting().await,
            "advance" => self.advance().await,
            "receiver" | "pause" | "resume" | "disable" | "enable" | "delete" => {
                self.receiver().await
            }
            "deliver" | "crash" => Ok(said("done")),
            _ => self.wallet().await,
        };
        done.unwrap_or_else(|error| said(words(&error)))
    }

    pub(super) fn cause(&self) -> Cause {
        let actor =
            Actor { source: Source::Api, kind: ActorKind::PaywallKey, id: "world".to_owned() };
        let request = Some(RequestId(Ulid(u128::from(self.line.n))));
        Cause { actor, request, idempotency_key: None }
    }

    pub(super) fn key(&self) -> Option<KeyUse> {
        let body = self.line.body();
        self.line.key.as_ref().map(|key| key_use(&self.line.verb, key, body.as_bytes()))
    }

    pub(super) fn figure(&self) -> Amount {
        Amount::from_nanos(self.line.figure.unwrap_or_default())
    }

    pub(super) fn asked(&self) -> Option<Amount> {
        self.line.figure.map(Amount::from_nanos)
    }

    pub(super) fn after(&self, name: &str) -> Option<Timestamp> {
        self.line.time_ms(name).map(|ms| self.now.plus_ms(ms))
    }

    /// The paywall of a name, read anew: nothing of it is remembered here.
    pub(super) fn paywall(&self, name: &str) -> Result<Arc<Stored>, Error> {
        let page = |read: store::Read<'_>| {
            Ok::<_, Error>(store::paywalls::page(read, &self.scope, None, 100)?)
        };
        let found = self.engine.read_now(page)?.into_iter().find(|one| one.paywall.name == name);
        let no = found.ok_or_else(|| Error::not_found("paywall"))?.no;
        self.engine.paywall(&self.scope, no)
    }

    fn user(&self) -> Result<(Arc<Stored>, ExternalUser), Error> {
        let (paywall, user) = self.line.user();
        Ok((self.paywall(paywall)?, ExternalUser::parse(user).unwrap()))
    }

    fn ask(&self) -> Result<ChargeAsk, Error> {
        let (paywall, user) = self.user()?;
        Ok(ChargeAsk {
            paywall,
            user,
            amount: self.figure(),
            metadata: None,
            key: self.key(),
            cause: self.cause(),
        })
    }

    async fn charge(&self) -> Done {
        Ok(charged(self.engine.charge(self.scope, self.ask()?).await?))
    }

    async fn deposit(&self) -> Done {
        let (paywall, user) = self.user()?;
        let origin = self.line.option("as").and_then(Origin::parse).unwrap_or(Origin::Deposit);
        let ask = DepositAsk {
            paywall,
            user,
            amount: self.figure(),
            origin,
            expires_at: self.after("expires"),
            metadata: None,
            key: self.key(),
            cause: self.cause(),
        };
        Ok(moved(&self.engine.deposit(self.scope, ask).await?))
    }

    async fn hold(&self) -> Done {
        let (paywall, user) = self.user()?;
        let ask = HoldAsk {
            paywall,
            user,
            amount: self.figure(),
            expires_in_s: self.line.time_ms("for").unwrap() / 1_000,
            metadata: None,
            key: self.key(),
            cause: self.cause(),
        };
        Ok(match self.engine.hold(self.scope, ask).await? {
            Held::Reserved(moved) => {
                let id = moved.entry.place.hold_id(moved.entry.at);
                let text = format!("hold {id} balance {}", moved.entry.after);
                Said { text, replayed: moved.replayed }
            }
            Held::TooLittle(short) => said(insufficient(short.required, short.available)),
        })
    }

    async fn batch(&self) -> Done {
        let paywall = self.paywall(&self.line.subject)?;
        let ask = |(name, text): &(String, String)| ChargeAsk {
            paywall: paywall.clone(),
            user: ExternalUser::parse(name).unwrap(),
            amount: Amount::parse(text).unwrap(),
            metadata: None,
            key: None,
            cause: self.cause(),
        };
        let asks: Vec<ChargeAsk> = self.line.options.iter().map(ask).collect();
        let render = |results: &Vec<Result<Charged, Error>>| {
            let words = results.iter().map(|result| match result {
                Ok(done) => charged(done.clone()).text,
                Err(error) => words(error),
            });
            words.collect::<Vec<_>>().join(" ; ")
        };
        let (engine, scope, cause) = (&self.engine, self.scope, self.cause());
        match self.key() {
            None => Ok(said(render(&engine.charge_batch(scope, &paywall, asks, &cause).await?))),
            Some(key) => {
                let render = move |results: &Vec<_>| reply(render(results));
                let call = (asks, key);
                let done = engine.charge_batch_once(scope, &paywall, call, &cause, render);
                Ok(answered(done.await?))
            }
        }
    }

    async fn see(&self) -> Done {
        let (paywall, user) = self.user()?;
        let cause = self.cause();
        let (account, _) = self.engine.account_now(self.scope, &paywall, &user, &cause).await?;
        let status = account.wallet.status.name();
        Ok(said(format!("wallet {} held {} {status}", account.credits, account.held)))
    }

    async fn link(&self) -> Done {
        let ((paywall, user), cause) = (self.user()?, self.cause());
        let sight = self.engine.sight(self.scope, &paywall, &user, &cause).await?;
        let caller = Caller { user: &user, sight: &sight, cause: &cause };
        self.engine.topup_link(self.scope, &paywall, caller).await?;
        Ok(said("done"))
    }

    fn hold_ref(&self) -> Result<HoldRef, Error> {
        let missing = || Error::not_found("hold");
        let id = self.id.as_deref().and_then(|id| id.parse().ok()).ok_or_else(missing)?;
        let paywall = self.paywall(self.line.option("of").unwrap_or_default())?;
        Ok(HoldRef { paywall, id, user: None })
    }

    async fn capture(&self) -> Done {
        let ask = CaptureAsk {
            hold: self.hold_ref()?,
            amount: self.asked(),
            metadata: None,
            key: self.key(),
            cause: self.cause(),
        };
        let render = |view: &HoldView| match &view.state {
            HoldState::Captured(entry) => {
                reply(format!("entry {} balance {}", entry.id(), entry.after))
            }
            other => reply(format!("{other:?}")),
        };
        Ok(answered(self.engine.capture_hold(self.scope, ask, render).await?))
    }

    async fn release(&self) -> Done {
        let asked = (self.hold_ref()?, self.key());
        let render = |_: &HoldView| reply("released");
        Ok(answered(self.engine.release_hold(self.scope, asked, self.cause(), render).await?))
    }

    async fn refund(&self) -> Done {
        let id: Option<TransactionId> = self.id.as_deref().and_then(|id| id.parse().ok());
        let ask = RefundAsk {
            paywall: self.paywall(self.line.option("of").unwrap_or_default())?,
            named: Named::Activity(id.ok_or_else(|| Error::not_found("charge"))?),
            user: None,
            amount: self.asked(),
            reason: None,
            metadata: None,
            key: self.key(),
            cause: self.cause(),
        };
        let done = self.engine.refund(self.scope, ask, |done| {
            let (id, after, left) = (done.entry.id(), done.after, done.left);
            reply(format!("entry {id} balance {after} left {left}"))
        });
        Ok(answered(done.await?))
    }

    async fn suspend(&self) -> Done {
        let (paywall, user) = self.user()?;
        let ask = StateAsk {
            paywall: paywall.paywall.id,
            user: user.as_str().to_owned(),
            suspended: self.line.verb == "suspend",
            reason: None,
            key: self.key(),
        };
        let done = self.engine.set_user_state(self.scope, self.cause(), ask, |_| reply("done"));
        Ok(answered(done.await?))
    }

    async fn paywall_state(&self) -> Done {
        let (engine, scope, cause) = (&self.engine, self.scope, self.cause());
        let line = &self.line;
        if line.verb == "paywall" {
            engine.create_paywall(scope, cause, terms(line)).await?;
            return Ok(said("done"));
        }
        let id = self.paywall(&line.subject)?.paywall.id;
        let done = |_: &Stored| reply("done");
        match line.verb.as_str() {
            "overdraft" => {
                let patch = (json!({ "overdraft": self.figure() }), true);
                engine.update_paywall(scope, cause, id, patch).await?;
                Ok(said("done"))
            }
            "archive" => {
                let asked = (id, None, self.key());
                Ok(answered(engine.archive_paywall(scope, cause, asked, done).await?))
            }
            _ => {
                let asked = (id, self.key());
                Ok(answered(engine.unarchive_paywall(scope, cause, asked, done).await?))
            }
        }
    }

    async fn customer(&self) -> Done {
        let (cause, line) = (self.cause(), self.line.clone());
        let work = move |tx: &mut store::Tx<'_>| {
            if line.verb == "customer" {
                return engine::customers::create(tx, &cause, NewCustomer::named(&line.subject));
            }
            let stored = engine::customers::require_external(tx, &line.subject)?;
            if line.verb == "remove" {
                return engine::customers::delete(tx, &cause, stored.customer.id);
            }
            let name = line.option("as").map(str::to_owned);
            let patch = CustomerPatch { name, ..CustomerPatch::default() };
            engine::customers::update(tx, &cause, stored, patch)
        };
        Ok(answered(self.engine.once(self.scope, self.key(), work, |_| reply("done")).await?))
    }

    async fn setting(&self) -> Done {
        let line = &self.line;
        let (setting, value) = if line.verb == "default" {
            (Setting::WalletBalanceAlert, ladder(line))
        } else {
            (Setting::BonusCreditsTopup, bonus(line))
        };
        self.engine.set_setting(self.scope, self.cause(), setting, value).await?;
        Ok(said("done"))
    }

    async fn advance(&self) -> Done {
        let at = self.now.plus_ms(time_ms(&self.line.subject).unwrap());
        self.engine.set_clock(self.scope, self.cause(), at).await?;
        Ok(said("done"))
    }
}

fn terms(line: &Line) -> Value {
    let text = |name: &str| line.option(name);
    let mut trial = json!({ "amount": text("trial").unwrap_or("0") });
    if let Some(ms) = line.time_ms("lasts") {
        trial["expiresInDays"] = (ms / 86_400_000).into();
    }
    if let Some(budget) = text("budget") {
        trial["budget"] = budget.into();
    }
    let overdraft = text("overdraft").unwrap_or("0");
    json!({ "name": line.subject, "currency": "USD", "overdraft": overdraft, "trial": trial })
}

/// Alert settings as the API takes them; `None` where alerts are off.
pub(super) fn ladder(line: &Line) -> Option<Value> {
    let critical = line.option("critical")?;
    let level = |text: &str| json!({ "threshold": text, "condition": "below" });
    let mut value = json!({ "alert_enabled": true, "critical": level(critical) });
    for name in ["warning", "info"] {
        if let Some(text) = line.option(name) {
            value[name] = level(text);
        }
    }
    if let Some(margin) = line.option("margin") {
        value["recovery_margin"] = margin.into();
    }
    if line.option("unit") == Some("percent") {
        value["alert_threshold_type"] = "percentage".into();
    }
    Some(value)
}

pub(super) fn alert_settings(line: &Line) -> Option<AlertSettings> {
    ladder(line).map(|value| AlertSettings::from_json(&value).unwrap())
}

fn bonus(line: &Line) -> Option<Value> {
    let (from, credits) = (line.option("from")?, line.option("credits")?);
    let bonus = json!({ "type": "flat", "value": credits });
    Some(json!({ "enabled": true, "slabs": [{ "threshold": from, "bonus": bonus }] }))
}

fn moved(moved: &Moved) -> Said {
    let text = format!("entry {} balance {}", moved.entry.id(), moved.entry.after);
    Said { text, replayed: moved.replayed }
}

fn charged(charged: Charged) -> Said {
    match charged {
        Charged::Paid(paid) => moved(&paid),
        Charged::TooLittle(short) => {
            let words = insufficient(short.required, short.available);
            said(format!("{words} failed {}", short.entry.id()))
        }
    }
}

fn insufficient(required: Amount, available: Amount) -> String {
    format!("insufficient {required} {available}")
}

/// A refusal in a word or two.
fn words(error: &Error) -> String {
    match error {
        Error::Fault(fault) => fault.code.to_owned(),
        Error::Store(error) => format!("store: {error}"),
        Error::Refused(refusal) => match refusal {
            Refusal::WalletClosed => "wallet_closed".to_owned(),
            Refusal::WalletFrozen => "wallet_frozen".to_owned(),
            Refusal::ExpiryInPast(_) => "expiry_in_past".to_owned(),
            Refusal::InsufficientBalance { required, available } => {
                insufficient(*required, *available)
            }
            Refusal::HoldClosed => "hold_closed".to_owned(),
            Refusal::HoldExpired => "hold_expired".to_owned(),
            Refusal::CaptureExceedsHold { .. } => "capture_exceeds_hold".to_owned(),
            Refusal::AlreadyRefunded => "already_refunded".to_owned(),
            Refusal::RefundExceedsCharge { left, .. } => format!("refund_exceeds {left}"),
            Refusal::HoldsOpen(open) => format!("holds_open {open}"),
            other => other.to_string(),
        },
    }
}
