//! A paywall before the fake provider, without HTTP, on a real file.

use std::sync::Arc;

use domain::amount::Amount;
use domain::paywall::ExternalUser;
use domain::proxy::ask::Ask;
use domain::proxy::usage::{Protocol, Usage};
use domain::proxy::{Class, Quantities};
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};
use engine::deposits::{DepositAsk, Origin};
use engine::proxy::{Admission, Blocked, Call, CanceledBy, End, Outcome, Ticket};
use engine::random::Random;
use engine::seal::Seal;
use engine::verify::Summary;
use engine::{Engine, Settings};
use serde_json::{Value, json};
use store::paywalls::Stored;

pub struct House {
    pub engine: Arc<Engine>,
    pub scope: Scope,
    pub paywall: Arc<Stored>,
    pub folder: tempfile::TempDir,
}

pub fn start(folder: &tempfile::TempDir, seed: u64) -> Arc<Engine> {
    start_on(&testkit::ground::location(&folder.path().join("farebox.db")), seed)
}

pub fn start_on(location: &store::Location, seed: u64) -> Arc<Engine> {
    let database = store::Database::open(location, true).unwrap();
    let settings = Settings {
        seal: Seal::none(),
        random: Random::seeded(seed),
        public_url: "http://127.0.0.1:7070".into(),
    };
    Engine::start(database, settings).unwrap()
}

pub fn cause(engine: &Engine) -> Cause {
    let actor = Actor { source: Source::Proxy, kind: ActorKind::PaywallKey, id: "pw".into() };
    Cause { actor, request: Some(engine.request_id()), idempotency_key: None }
}

/// A paywall before the fake provider; `settings` are more of its fields.
pub async fn house(settings: Value) -> House {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder, 1);
    house_of(engine, folder, settings).await
}

pub async fn house_of(engine: Arc<Engine>, folder: tempfile::TempDir, settings: Value) -> House {
    let scope = engine.ensure_tenant("Test").await.unwrap();
    let mut body = json!({ "name": "Demo", "currency": "USD", "pricing": {"markupPercent": "20"} });
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let created = engine.create_paywall(scope, cause(&engine), body).await.unwrap();
    let id = created.paywall.id;
    let provider = json!({ "kind": "fake", "baseUrl": "http://127.0.0.1:9/v1" });
    engine.set_provider(scope, cause(&engine), id, ("fake".into(), provider)).await.unwrap();
    let stored = engine.read_now(|read| Ok(store::paywalls::find(read, &scope, id)?)).unwrap();
    House { engine, scope, paywall: Arc::new(stored.unwrap()), folder }
}

pub fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

impl House {
    pub async fn deposit(&self, user: &str, text: &str) {
        let ask = DepositAsk {
            paywall: self.paywall.clone(),
            user: ExternalUser::parse(user).unwrap(),
            amount: amount(text),
            origin: Origin::Deposit,
            expires_at: None,
            metadata: None,
            key: None,
            cause: cause(&self.engine),
        };
        self.engine.deposit(self.scope, ask).await.unwrap();
    }

    pub fn call(&self, user: &str, body: &Value) -> Call {
        Call {
            scope: self.scope,
            paywall: self.paywall.clone(),
            user: ExternalUser::parse(user).unwrap(),
            cause: cause(&self.engine),
            endpoint: "/v1/chat/completions",
            protocol: Protocol::Chat,
            ask: Arc::new(Ask::read(Protocol::Chat, body.to_string().as_bytes()).unwrap()),
            max_cost: None,
        }
    }

    pub async fn admit(&self, user: &str, body: &Value) -> Admission {
        self.engine.admit(self.call(user, body)).await.unwrap()
    }

    pub async fn admitted(&self, user: &str, body: &Value) -> Arc<Ticket> {
        match self.admit(user, body).await {
            Admission::Admitted(ticket) => ticket,
            Admission::Blocked(blocked) => panic!("blocked: {blocked:?}"),
        }
    }

    pub async fn blocked(&self, user: &str, body: &Value) -> Box<Blocked> {
        match self.admit(user, body).await {
            Admission::Blocked(blocked) => blocked,
            Admission::Admitted(ticket) => panic!("admitted: {:?}", ticket.hold),
        }
    }

    pub fn told(&self) -> Vec<String> {
        let scope = self.scope;
        let page = self.engine.read_now(|read| Ok(store::events::page(read, &scope, 0, 10_000)?));
        let (events, _) = page.unwrap();
        let names = events.iter().map(|recorded| recorded.event.kind.name());
        names.filter(|name| name.starts_with("paywall.")).map(|name| name[8..].to_owned()).collect()
    }

    pub async fn balance(&self, user: &str) -> (Amount, Amount) {
        let user = ExternalUser::parse(user).unwrap();
        let cause = cause(&self.engine);
        let sight = self.engine.sight(self.scope, &self.paywall, &user, &cause).await.unwrap();
        let load = |read: store::Read<'_>| Ok(store::accounts::load(read, sight.wallet)?);
        let account = self.engine.read_now(load).unwrap().unwrap();
        (account.credits, account.held)
    }

    pub async fn books_balance(&self) -> Summary {
        let summary = self.engine.verify(self.scope).await.unwrap();
        assert!(summary.findings.is_empty(), "{:?}", summary.findings);
        summary
    }
}

pub fn chat(words: &str, more: &Value) -> Value {
    let mut body = json!({"model": "gpt-test", "messages": [{"role": "user", "content": words}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

pub fn used(prompt: u64, completion: u64) -> End {
    let quantities =
        Quantities::default().with(Class::Input, prompt).with(Class::Output, completion);
    End {
        outcome: Outcome::Completed { cut: false },
        usage: Some(Usage { quantities, provider_cost: None }),
        counted_output_tokens: 0,
        has_output: true,
        model: None,
        service_tier: None,
        finish_reason: Some("stop".into()),
        latency_ms: 5,
        upstream_status: Some(200),
        reply: None,
    }
}

pub fn nothing(outcome: Outcome) -> End {
    End { outcome, usage: None, has_output: false, ..used(0, 0) }
}

/// The client went away.
pub const fn left() -> Outcome {
    Outcome::Canceled { by: CanceledBy::Client }
}
