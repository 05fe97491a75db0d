//! Lines on wallets of the billing API, and on receivers.

use std::collections::BTreeMap;

use domain::amount::{Amount, Rate};
use domain::currency::Currency;
use domain::id::WalletId;
use domain::ledger::entry::Reason;
use domain::scope::Cause;
use domain::wallet::WalletType;
use domain::wallet::patch::{AutoTopupPatch, WalletPatch};
use domain::webhook::receiver::ReceiverKind;
use engine::wallets::create::{Holder, NewWallet};
use engine::wallets::debit::DebitAsk;
use engine::wallets::shown::Shown;
use engine::wallets::topup::{Expiry, TopupAsk};
use engine::wallets::{change, close, create, debit, topup};
use engine::{Error, receivers};
use serde_json::json;
use store::Tx;

use super::{Done, Player, alert_settings, answered, reply, said};
use crate::world::line::Line;
use crate::world::oracle::receivers::Receiver;

fn show(shown: &Shown) -> engine::idempotency::Reply {
    let (standing, status) = (shown.figures.standing, shown.wallet.status.name());
    reply(format!("wallet {} held {} {status}", standing.credits, standing.held))
}

type Verb = fn(&mut Tx<'_>, &Cause, WalletId) -> Result<Shown, Error>;

impl Player {
    pub(super) async fn wallet(&self) -> Done {
        match self.line.verb.as_str() {
            "wallet" => self.create().await,
            "topup" => self.topup().await,
            "debit" => self.debit().await,
            "floor" | "alerts" | "auto" => self.update().await,
            "freeze" => self.act(change::freeze).await,
            "unfreeze" => self.act(change::unfreeze).await,
            "terminate" => self.act(close::terminate).await,
            "postpaid" => self.act(close::to_postpaid).await,
            other => panic!("no such command: {other}"),
        }
    }

    /// A wallet that does not exist has an id that nothing bears.
    fn wallet_id(&self) -> WalletId {
        self.id.as_deref().and_then(|id| id.parse().ok()).unwrap_or_default()
    }

    async fn act(&self, verb: Verb) -> Done {
        let (cause, id) = (self.cause(), self.wallet_id());
        let work = move |tx: &mut Tx<'_>| verb(tx, &cause, id);
        Ok(answered(self.engine.once(self.scope, self.key(), work, show).await?))
    }

    async fn create(&self) -> Done {
        let line = &self.line;
        let new = NewWallet {
            holder: Holder { id: None, external_id: line.option("of").map(str::to_owned) },
            currency: Currency::parse("usd").unwrap(),
            name: Some(line.subject.clone()),
            description: String::new(),
            metadata: BTreeMap::new(),
            wallet_type: WalletType::PrePaid,
            conversion_rate: Rate::ONE,
            topup_conversion_rate: None,
            allowed_price_types: None,
            auto_topup: None,
            alert_settings: None,
            overdraft_limit: money(line, "overdraft").unwrap_or_default(),
            initial_credits: money(line, "start"),
            initial_expiry: None,
        };
        let cause = self.cause();
        let work = move |tx: &mut Tx<'_>| create::create(tx, &cause, &new);
        Ok(answered(self.engine.once(self.scope, self.key(), work, show).await?))
    }

    async fn topup(&self) -> Done {
        let line = &self.line;
        let free = line.option("as") == Some("free");
        let ask = TopupAsk {
            wallet: self.wallet_id(),
            credits: self.asked(),
            amount: None,
            reason: if free { Reason::FreeCreditGrant } else { Reason::PurchasedCreditDirect },
            expiry: self.after("expires").map(|at| Expiry { at, field: "expiry_date_utc" }),
            priority: line.option("priority").map(|text| text.parse().unwrap()),
            description: None,
            metadata: BTreeMap::new(),
            bonus_credits: money(line, "bonus"),
            bonus_expiry: None,
            key: self.key(),
        };
        let cause = self.cause();
        let work = move |tx: &mut Tx<'_>| topup::top_up(tx, &cause, &ask);
        let render = |done: &topup::ToppedUp| {
            let (entry, rest) = (&done.row.entry, done.row.available.unwrap_or_default());
            reply(format!("entry {} balance {} rest {rest}", entry.id(), entry.after))
        };
        Ok(answered(self.engine.once(self.scope, self.key(), work, render).await?))
    }

    async fn debit(&self) -> Done {
        let ask = DebitAsk {
            wallet: self.wallet_id(),
            credits: self.figure(),
            description: None,
            metadata: BTreeMap::new(),
            key: self.key(),
        };
        let cause = self.cause();
        let work = move |tx: &mut Tx<'_>| debit::debit(tx, &cause, &ask);
        let render = |row: &engine::wallets::shown::Row| {
            reply(format!("entry {} balance {}", row.entry.id(), row.entry.after))
        };
        Ok(answered(self.engine.once(self.scope, self.key(), work, render).await?))
    }

    async fn update(&self) -> Done {
        let (cause, id, patch) = (self.cause(), self.wallet_id(), patch(&self.line));
        let work = move |tx: &mut Tx<'_>| change::update(tx, &cause, id, &patch);
        let shown = self.engine.change(self.scope, work).await?;
        Ok(said(String::from_utf8(show(&shown).body).unwrap()))
    }

    pub(super) async fn receiver(&self) -> Done {
        let (line, cause) = (&self.line, self.cause());
        let paywall = line.option("of").map(|name| self.paywall(name)).transpose()?;
        let of = paywall.map(|paywall| paywall.no);
        if line.verb == "receiver" {
            return self.new_receiver(of).await;
        }
        let kind = if of.is_some() { ReceiverKind::Subscription } else { ReceiverKind::Endpoint };
        let all = self.engine.receivers(&self.scope, (kind, of), None, 100)?;
        let named = all.into_iter().find(|one| one.stored.config.description == line.subject);
        let id = named.ok_or_else(|| Error::not_found("receiver"))?.stored.id;
        if let Some(no) = of {
            let active = line.verb == "enable";
            let switched = (active, cause);
            self.engine.switch_subscription((self.scope, no), id, switched).await?;
            return Ok(said("done"));
        }
        let action = match line.verb.as_str() {
            "pause" => receivers::Action::Pause,
            "resume" => receivers::Action::Resume,
            "disable" => receivers::Action::Disable,
            "enable" => receivers::Action::Enable,
            _ => receivers::Action::Delete,
        };
        self.engine.act_on_endpoint(self.scope, id, (action, cause)).await?;
        Ok(said("done"))
    }

    async fn new_receiver(&self, of: Option<i64>) -> Done {
        let line = &self.line;
        let filter = line.option("filter").unwrap_or("all");
        let (types, extensions) = Receiver::types(filter, of.is_some());
        let url = format!("https://{}.example/hook", line.subject.to_lowercase());
        if let Some(no) = of {
            let body = json!({ "events": types, "extensions": extensions,
                "description": line.subject });
            let mut edit = engine::subscriptions::read(&body)?;
            edit.url = Some(url);
            let made = ((self.scope, no), (edit, self.cause()), self.key());
            let done = self.engine.create_subscription(made.0, made.1, made.2, |_| reply("done"));
            return Ok(answered(done.await?));
        }
        let ordering = line.option("order").unwrap_or("none");
        let body = json!({ "types": types, "extensions": extensions,
            "ordering": ordering, "description": line.subject });
        let mut edit = engine::endpoints::read(&body)?;
        edit.url = Some(url);
        let made = (self.scope, (edit, self.cause()), self.key());
        let done = self.engine.create_endpoint(made.0, made.1, made.2, |_| reply("done"));
        Ok(answered(done.await?))
    }
}

fn money(line: &Line, name: &str) -> Option<Amount> {
    line.amount(name).map(Amount::from_nanos)
}

fn patch(line: &Line) -> WalletPatch {
    let mut patch = WalletPatch::default();
    match line.verb.as_str() {
        "floor" => patch.overdraft_limit = line.figure.map(Amount::from_nanos),
        "alerts" => patch.alert_settings = Some(alert_settings(line)),
        _ => {
            patch.auto_topup = Some(AutoTopupPatch {
                enabled: Some(line.option("on") != Some("no")),
                threshold: money(line, "at"),
                amount: money(line, "add"),
                invoicing: Some(false),
                cooldown: None,
                max_per_day: line.option("day").map(|text| text.parse().unwrap()),
                max_amount_per_day: None,
            });
        }
    }
    patch
}
