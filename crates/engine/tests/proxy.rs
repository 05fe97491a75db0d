//! The paywall before a provider, without the provider: holds, charges, refusals and what a crash
//! leaves, on a real file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use domain::amount::Amount;
use domain::paywall::ExternalUser;
use domain::proxy::ask::Ask;
use domain::proxy::reason::Reason;
use domain::proxy::usage::{Protocol, Usage};
use domain::proxy::{Class, Quantities};
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};
use engine::deposits::{DepositAsk, Origin};
use engine::proxy::{Admission, Blocked, Call, CanceledBy, End, Outcome, Settled, Status, Ticket};
use engine::random::Random;
use engine::seal::Seal;
use engine::{Engine, Settings};
use serde_json::{Value, json};
use store::paywalls::Stored;

struct House {
    engine: Arc<Engine>,
    scope: Scope,
    paywall: Arc<Stored>,
    folder: tempfile::TempDir,
}

fn start(folder: &tempfile::TempDir, seed: u64) -> Arc<Engine> {
    let database = store::Database::open(&folder.path().join("farebox.db"), true).unwrap();
    let settings = Settings {
        seal: Seal::none(),
        random: Random::seeded(seed),
        public_url: "http://127.0.0.1:7070".into(),
    };
    Engine::start(database, settings).unwrap()
}

fn cause(engine: &Engine) -> Cause {
    let actor = Actor { source: Source::Proxy, kind: ActorKind::PaywallKey, id: "pw".into() };
    Cause { actor, request: Some(engine.request_id()), idempotency_key: None }
}

/// A paywall before the fake provider; `settings` are more of its fields.
async fn house(settings: Value) -> House {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder, 1);
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

fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

impl House {
    async fn deposit(&self, user: &str, text: &str) {
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

    fn call(&self, user: &str, body: &Value) -> Call {
        Call {
            scope: self.scope,
            paywall: self.paywall.clone(),
            user: ExternalUser::parse(user).unwrap(),
            cause: cause(&self.engine),
            endpoint: "/v1/chat/completions",
            protocol: Protocol::Chat,
            ask: Ask::read(Protocol::Chat, body.to_string().as_bytes()).unwrap(),
            max_cost: None,
        }
    }

    async fn admit(&self, user: &str, body: &Value) -> Admission {
        self.engine.admit(self.call(user, body)).await.unwrap()
    }

    async fn admitted(&self, user: &str, body: &Value) -> Arc<Ticket> {
        match self.admit(user, body).await {
            Admission::Admitted(ticket) => ticket,
            Admission::Blocked(blocked) => panic!("blocked: {blocked:?}"),
        }
    }

    async fn blocked(&self, user: &str, body: &Value) -> Box<Blocked> {
        match self.admit(user, body).await {
            Admission::Blocked(blocked) => blocked,
            Admission::Admitted(ticket) => panic!("admitted: {:?}", ticket.hold),
        }
    }

    fn told(&self) -> Vec<String> {
        let scope = self.scope;
        let page = self.engine.read_now(|read| Ok(store::events::page(read, &scope, 0, 10_000)?));
        let (events, _) = page.unwrap();
        let names = events.iter().map(|recorded| recorded.event.kind.name());
        names.filter(|name| name.starts_with("paywall.")).map(|name| name[8..].to_owned()).collect()
    }

    async fn balance(&self, user: &str) -> (Amount, Amount) {
        let user = ExternalUser::parse(user).unwrap();
        let cause = cause(&self.engine);
        let sight = self.engine.sight(self.scope, &self.paywall, &user, &cause).await.unwrap();
        let load = |read: store::Read<'_>| Ok(store::accounts::load(read, sight.wallet)?);
        let account = self.engine.read_now(load).unwrap().unwrap();
        (account.credits, account.held)
    }

    async fn books_balance(&self) {
        let summary = self.engine.verify(self.scope).await.unwrap();
        assert!(summary.findings.is_empty(), "{:?}", summary.findings);
    }
}

fn chat(words: &str, more: &Value) -> Value {
    let mut body = json!({"model": "gpt-test", "messages": [{"role": "user", "content": words}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn used(prompt: u64, completion: u64) -> End {
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

fn nothing(outcome: Outcome) -> End {
    End { outcome, usage: None, has_output: false, ..used(0, 0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_held_for_and_charged_to_the_last_digit() {
    let house = house(json!({})).await;
    house.deposit("ann", "10").await;
    let before = house.told().len();
    let ticket = house.admitted("ann", &chat("hi", &json!({"max_tokens": 100}))).await;
    let (balance, held) = house.balance("ann").await;
    assert_eq!((balance, held), (amount("10"), ticket.hold.amount));
    assert!(held.is_positive() && held < amount("0.001"), "{held}");
    let settled = house.engine.settle(&ticket, used(10, 7)).await.unwrap();
    // (10 × 1 + 7 × 2) / 1,000,000 × 1.2 = 0.0000288, rounded up at 6 places.
    assert_eq!(settled.amount, amount("0.000029"));
    assert_eq!(house.balance("ann").await, (amount("9.999971"), Amount::ZERO));
    let expected = ["proxy.request.started", "usage.charge.created", "proxy.request.completed"];
    assert_eq!(house.told()[before..], expected);
    let again = house.engine.settle(&ticket, used(99, 99)).await.unwrap();
    assert_eq!(again, Settled { available: again.available, ..settled });
    assert_eq!(house.told().len(), before + 3, "a request ends once");
    let ids = (house.paywall.paywall.id, ticket.call.request());
    let story = house.engine.request_story(&house.scope, ids).unwrap();
    assert_eq!(story.status, Status::Completed);
    assert_eq!(story.charge.unwrap().cost.to_string(), "0.000024");
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_money_blocks_with_a_link_and_all_events_at_once() {
    let house = house(json!({})).await;
    let blocked = house.blocked("bob", &chat("hi", &json!({}))).await;
    assert_eq!(blocked.reason, Reason::InsufficientBalance);
    assert!(blocked.link.unwrap().starts_with("http://127.0.0.1:7070/v1/checkout/"));
    let told = house.told();
    let from = told.iter().position(|name| name == "proxy.request.started").unwrap();
    let expected = [
        "proxy.request.started",
        "balance.depleted",
        "balance.topup.link.created",
        "request.blocked",
        "proxy.request.blocked",
    ];
    assert_eq!(told[from..], expected);
    let free = house.admitted("bob", &chat("hi", &json!({"model": "gpt-free"}))).await;
    let settled = house.engine.settle(&free, used(5, 5)).await.unwrap();
    assert_eq!(settled.amount, Amount::ZERO);
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_requests_hold_together_no_more_than_there_is() {
    let house = Arc::new(house(json!({"limits": {"onShort": "block"}})).await);
    // Each holds 1,000 output tokens at 2.4 dollars a million, and its prompt.
    let body = chat("hi", &json!({"max_tokens": 1_000}));
    house.deposit("cat", "0.0125").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (house, body) = (house.clone(), body.clone());
        tasks.spawn(async move { house.admit("cat", &body).await });
    }
    let mut tickets = Vec::new();
    for admission in tasks.join_all().await {
        match admission {
            Admission::Admitted(ticket) => tickets.push(ticket),
            Admission::Blocked(blocked) => assert_eq!(blocked.limit_source.unwrap(), "in_flight"),
        }
    }
    assert_eq!(tickets.len(), 5);
    for ticket in &tickets {
        house.engine.settle(ticket, used(3, 1_000)).await.unwrap();
    }
    let (balance, held) = house.balance("cat").await;
    assert!(!balance.is_negative() && held.is_zero(), "{balance} {held}");
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_costs_nothing_and_a_deferred_charge_always_follows() {
    let house = house(json!({})).await;
    house.deposit("dan", "1").await;
    let before = house.told().len();
    let ticket = house.admitted("dan", &chat("hi", &json!({}))).await;
    let failed = Outcome::Failed { code: "provider_error", http_status: Some(500) };
    let settled = house.engine.settle(&ticket, nothing(failed)).await.unwrap();
    assert_eq!((settled.amount, settled.activity), (Amount::ZERO, None));
    assert_eq!(house.told()[before..], ["proxy.request.started", "proxy.request.failed"]);
    let before = house.told().len();
    let ticket = house.admitted("dan", &chat("hi", &json!({"stream": true}))).await;
    house.engine.stream_opened(&ticket).await.unwrap();
    house
        .engine
        .settle(&ticket, nothing(Outcome::Canceled { by: CanceledBy::Client }))
        .await
        .unwrap();
    let expected = [
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.canceled",
        "usage.charge.created",
    ];
    assert_eq!(house.told()[before..], expected);
    assert_eq!(house.balance("dan").await, (amount("1"), Amount::ZERO));
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_extends_its_hold_as_far_as_the_money_goes() {
    let house = house(json!({"limits": {"streamStepTokens": 100}})).await;
    house.deposit("eve", "0.001").await;
    let ticket = house.admitted("eve", &chat("hi", &json!({"stream": true}))).await;
    house.engine.stream_opened(&ticket).await.unwrap();
    let mut growing = ticket.hold;
    let halt = loop {
        match house.engine.extend(&ticket, growing).await.unwrap() {
            Ok(next) => {
                assert!(next.output_tokens > growing.output_tokens);
                growing = next;
            }
            Err(halt) => break halt,
        }
    };
    assert_eq!(halt.reason, Reason::InsufficientBalance);
    let (balance, held) = house.balance("eve").await;
    assert_eq!(growing.amount, held);
    assert!(held <= balance && balance - held < amount("0.000003"), "{balance} {held}");
    let settled = house.engine.settle(&ticket, used(20, 10_000)).await.unwrap();
    assert_eq!(settled.amount, amount("0.001"), "never more than there is");
    assert_eq!(house.balance("eve").await, (Amount::ZERO, Amount::ZERO));
    assert_eq!(house.told().last().unwrap(), "balance.depleted");
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_settles_each_open_request_once_for_what_was_delivered() {
    let house = house(json!({})).await;
    house.deposit("fay", "1").await;
    let quiet = house.admitted("fay", &chat("hi", &json!({}))).await;
    let spoken = house.admitted("fay", &chat("hi", &json!({"stream": true}))).await;
    house.engine.stream_opened(&spoken).await.unwrap();
    house.engine.checkpoint(vec![(spoken.clone(), 50)]).await.unwrap();
    house.engine.close();
    let engine = start(&house.folder, 2);
    let again = House { engine, ..house };
    assert_eq!(again.engine.recover_requests(again.scope).await.unwrap(), 2);
    assert_eq!(again.engine.recover_requests(again.scope).await.unwrap(), 0);
    let (balance, held) = again.balance("fay").await;
    let cost = amount("1") - balance;
    assert!(held.is_zero() && cost >= amount("0.00012") && cost < amount("0.00014"), "{cost}");
    let ids = (again.paywall.paywall.id, quiet.call.request());
    let story = again.engine.request_story(&again.scope, ids).unwrap();
    assert_eq!((story.status, story.error_code.as_deref()), (Status::Failed, Some("node_lost")));
    assert!(story.charge.is_none());
    again.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_rates_and_caps_pass_exactly_what_they_have_left() {
    let house = house(json!({"limits": {"maxRequests": 3}, "caps": {"userDay": "0.01"}})).await;
    house.deposit("gus", "10").await;
    let body = chat("hi", &json!({"max_tokens": 1_000}));
    for _ in 0..2 {
        let ticket = house.admitted("gus", &body).await;
        house.engine.settle(&ticket, used(10, 1_000)).await.unwrap();
    }
    let failing = house.admitted("gus", &body).await;
    let failed = Outcome::Failed { code: "provider_error", http_status: Some(500) };
    house.engine.settle(&failing, nothing(failed)).await.unwrap();
    let third = house.admitted("gus", &body).await;
    house.engine.settle(&third, used(10, 1_000)).await.unwrap();
    let before = house.told().len();
    for _ in 0..2 {
        let blocked = house.blocked("gus", &body).await;
        assert_eq!(blocked.reason, Reason::QuotaReached);
        assert!(blocked.reset_at.is_some());
    }
    let limited =
        house.told()[before..].iter().filter(|name| *name == "usage.rate.limited").count();
    assert_eq!(limited, 1, "told once a day");
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_grows_while_the_stream_is_told_is_freed_with_the_rest() {
    let house = house(json!({"limits": {"streamStepTokens": 100}})).await;
    house.deposit("hal", "10").await;
    let body = chat("hi", &json!({"stream": true}));
    for _ in 0..50 {
        let ticket = house.admitted("hal", &body).await;
        let (opened, grown) = tokio::join!(
            house.engine.stream_opened(&ticket),
            house.engine.extend(&ticket, ticket.hold)
        );
        opened.unwrap();
        assert!(grown.unwrap().is_ok());
        let story = ticket.story();
        assert!(story.deferred);
        assert_eq!(story.hold.unwrap().hold_ids.len(), 2);
        house.engine.settle(&ticket, used(10, 150)).await.unwrap();
    }
    assert!(house.balance("hal").await.1.is_zero());
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_frees_what_a_stream_had_grown_by() {
    let house = house(json!({"limits": {"streamStepTokens": 100}})).await;
    house.deposit("ida", "1").await;
    let ticket = house.admitted("ida", &chat("hi", &json!({"stream": true}))).await;
    assert!(house.engine.extend(&ticket, ticket.hold).await.unwrap().is_ok());
    house.engine.close();
    let engine = start(&house.folder, 2);
    let again = House { engine, ..house };
    assert_eq!(again.engine.recover_requests(again.scope).await.unwrap(), 1);
    assert_eq!(again.balance("ida").await, (amount("1"), Amount::ZERO));
    again.books_balance().await;
}
