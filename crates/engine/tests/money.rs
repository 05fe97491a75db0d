//! Money through the real engine on a real file: what a charge leaves behind, and what it never
//! does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use domain::amount::Amount;
use domain::id::Ulid;
use domain::ledger::entry::KeyUse;
use domain::ledger::replay::Replay;
use domain::paywall::ExternalUser;
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};
use engine::charges::{ChargeAsk, Charged, Moved};
use engine::clock::TestClock;
use engine::deposits::{DepositAsk, Origin};
use engine::random::Random;
use engine::seal::Seal;
use engine::{Engine, Error, Settings};
use serde_json::{Value, json};
use store::paywalls::Stored as StoredPaywall;

struct House {
    engine: Arc<Engine>,
    scope: Scope,
    paywall: Arc<StoredPaywall>,
    folder: tempfile::TempDir,
}

fn cause() -> Cause {
    let actor = Actor { source: Source::Api, kind: ActorKind::PaywallKey, id: "pw_test".into() };
    Cause { actor, request: None, idempotency_key: None }
}

fn start(path: &std::path::Path, seed: u64) -> Arc<Engine> {
    let database = store::Database::open(&testkit::ground::location(path), true).unwrap();
    let settings = Settings {
        seal: Seal::none(),
        random: Random::seeded(seed),
        public_url: "http://127.0.0.1:7070".into(),
    };
    Engine::start(database, settings).unwrap()
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder.path().join("farebox.db"), 1);
    let scope = engine.ensure_tenant("Test").await.unwrap();
    let body = json!({ "name": "Demo", "currency": "USD" });
    let created = engine.create_paywall(scope, cause(), body).await.unwrap();
    let id = created.paywall.id;
    let stored = engine.read_now(|read| Ok(store::paywalls::find(read, &scope, id)?)).unwrap();
    House { engine, scope, paywall: Arc::new(stored.unwrap()), folder }
}

fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

impl House {
    async fn deposit(&self, user: &str, text: &str) -> Moved {
        let ask = DepositAsk {
            paywall: self.paywall.clone(),
            user: ExternalUser::parse(user).unwrap(),
            amount: amount(text),
            origin: Origin::Deposit,
            expires_at: None,
            metadata: None,
            key: None,
            cause: cause(),
        };
        self.engine.deposit(self.scope, ask).await.unwrap()
    }

    async fn charge(&self, user: &str, text: &str, key: Option<KeyUse>) -> Result<Charged, Error> {
        let ask = ChargeAsk {
            paywall: self.paywall.clone(),
            user: ExternalUser::parse(user).unwrap(),
            amount: amount(text),
            metadata: None,
            key,
            cause: cause(),
        };
        self.engine.charge(self.scope, ask).await
    }

    fn feed(&self) -> Vec<(String, u64, Value)> {
        let scope = self.scope;
        let (events, _) =
            self.engine.read_now(|read| Ok(store::events::page(read, &scope, 0, 10_000)?)).unwrap();
        let positions: Vec<u64> =
            events.iter().map(|recorded| recorded.event.place.position()).collect();
        let expected: Vec<u64> = (1..=positions.len() as u64).collect();
        assert_eq!(positions, expected, "positions rise by one");
        let told = events.into_iter().map(|recorded| recorded.event);
        told.map(|event| {
            let body = serde_json::from_slice(&event.body).unwrap();
            (event.kind.name().to_owned(), event.sequence, body)
        })
        .collect()
    }

    /// Replays every wallet from its first entry.
    fn prove(&self) {
        let scope = self.scope;
        self.engine
            .read_now(|read| {
                for no in store::wallets::open_numbers(read, &scope)? {
                    let account = store::accounts::load(read, no)?.unwrap();
                    let mut entries = Vec::new();
                    store::entries::walk(read, account.last, |entry| {
                        entries.push(entry);
                        Some(())
                    })?;
                    let mut replay = Replay::of(&account);
                    for entry in entries.iter().rev() {
                        replay.apply(entry, &[]).unwrap();
                    }
                    replay.compare(&account).unwrap();
                }
                Ok(())
            })
            .unwrap();
    }
}

fn paid(charged: Result<Charged, Error>) -> Moved {
    match charged.unwrap() {
        Charged::Paid(moved) => *moved,
        Charged::TooLittle(short) => panic!("too little: {short:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_moves_the_balance_and_tells_both_families() {
    let house = house().await;
    let deposited = house.deposit("alice", "10").await;
    assert_eq!(deposited.entry.after, amount("10"));
    let moved = paid(house.charge("alice", "2.5", None).await);
    assert_eq!(moved.entry.after, amount("7.5"));
    let names: Vec<String> = house.feed().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(
        names,
        [
            "paywall.created",
            "customer.created",
            "wallet.created",
            "paywall.balance.deposit.created",
            "wallet.transaction.created",
            "paywall.balance.charge.created",
            "paywall.balance.charge.completed",
            "wallet.transaction.created",
        ]
    );
    let feed = house.feed();
    let completed = &feed[6].2;
    assert_eq!(completed["type"], "paywall.balance.charge.completed");
    assert_eq!(completed["data"]["activityId"], moved.entry.id().to_string());
    assert_eq!(completed["data"]["amountDecimal"], "2.5");
    assert_eq!(completed["sequence"], 4);
    let transaction = &feed[7].2;
    assert_eq!(transaction["wallet"]["balance"], "7.5");
    assert_eq!(transaction["transaction"]["credit_balance_before"], "10");
    assert_eq!(transaction["sequence"], 3);
    house.prove();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_charges_that_only_half_fit_take_exactly_the_balance() {
    let house = Arc::new(house().await);
    house.deposit("bob", "50").await;
    let charges = (0..100).map(|_| {
        let house = house.clone();
        tokio::spawn(async move { house.charge("bob", "1", None).await.unwrap() })
    });
    let mut fitted = 0;
    for charge in charges.collect::<Vec<_>>() {
        fitted += u32::from(matches!(charge.await.unwrap(), Charged::Paid(_)));
    }
    assert_eq!(fitted, 50);
    let feed = house.feed();
    let count = |name: &str| feed.iter().filter(|(kind, ..)| kind == name).count();
    assert_eq!(count("paywall.balance.charge.completed"), 50);
    assert_eq!(count("paywall.balance.charge.failed"), 50);
    assert_eq!(count("paywall.balance.depleted"), 50);
    assert_eq!(count("paywall.balance.topup.link.created"), 1);
    house.prove();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_does_its_work_once_and_another_body_is_refused() {
    let house = Arc::new(house().await);
    house.deposit("carol", "50").await;
    let key = engine::idempotency::key_use("POST /v1/user/charge", "order-1", b"{1}");
    let charges = (0..50).map(|_| {
        let (house, key) = (house.clone(), key.clone());
        tokio::spawn(async move { paid(house.charge("carol", "1", Some(key)).await) })
    });
    let mut ids = Vec::new();
    let mut worked = 0;
    for charge in charges.collect::<Vec<_>>() {
        let moved = charge.await.unwrap();
        worked += u32::from(!moved.replayed);
        ids.push(moved.entry.id());
    }
    ids.dedup();
    assert_eq!((worked, ids.len()), (1, 1));
    let other = engine::idempotency::key_use("POST /v1/user/charge", "order-1", b"{2}");
    let refused = house.charge("carol", "1", Some(other)).await;
    assert!(matches!(refused, Err(Error::Fault(fault)) if fault.code == "idempotency_key_reused"));
    house.prove();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_balance_numbers_and_keys() {
    let house = house().await;
    house.deposit("dan", "5").await;
    let key = engine::idempotency::key_use("POST /v1/user/charge", "k", b"x");
    let first = paid(house.charge("dan", "1", Some(key.clone())).await);
    house.engine.close();
    let path = house.folder.path().join("farebox.db");
    let again = House { engine: start(&path, 2), ..house };
    let replayed = paid(again.charge("dan", "1", Some(key)).await);
    assert!(replayed.replayed);
    assert_eq!(replayed.entry, first.entry);
    let second = paid(again.charge("dan", "1", None).await);
    assert_eq!(second.entry.after, amount("3"));
    assert_eq!(second.entry.previous, Some(first.entry.place));
    again.feed();
    again.prove();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_on_a_test_clock_gives_the_same_bytes() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let engine = start(&folder.path().join("farebox.db"), 7);
        let scope = Scope { tenant: domain::id::TenantId(Ulid(1)), ..first_scope(&engine).await };
        let frozen = TestClock::Frozen { at_ms: 1_770_000_000_000 };
        engine.clocks.set(scope.env, Some(frozen));
        let body = json!({ "name": "Demo", "currency": "USD" });
        let created = engine.create_paywall(scope, cause(), body).await.unwrap();
        let id = created.paywall.id;
        let stored = engine.read_now(|read| Ok(store::paywalls::find(read, &scope, id)?)).unwrap();
        let house = House { engine, scope, paywall: Arc::new(stored.unwrap()), folder };
        house.deposit("alice", "10").await;
        house.charge("alice", "3", None).await.unwrap();
        house.charge("alice", "30", None).await.unwrap();
        let feed = house.feed();
        let bodies = feed.into_iter().map(|(.., body)| without_home(body));
        runs.push(bodies.collect::<Vec<Value>>());
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].len() > 8);
}

/// The tenant is made in the world's time, so its ids differ from run to run.
fn without_home(mut body: Value) -> Value {
    let text = body.to_string();
    let mut homeless = text.clone();
    for key in ["tenant_id", "environment_id", "ownerUserId"] {
        for holder in [Some(&mut body), None].into_iter().flatten() {
            if let Some(id) = find(holder, key) {
                homeless = homeless.replace(&id, "home");
            }
        }
    }
    serde_json::from_str(&homeless).unwrap()
}

fn find(value: &Value, key: &str) -> Option<String> {
    match value {
        Value::Object(map) => map
            .get(key)
            .and_then(|found| found.as_str().map(str::to_owned))
            .or_else(|| map.values().find_map(|inner| find(inner, key))),
        _ => None,
    }
}

async fn first_scope(engine: &Arc<Engine>) -> Scope {
    engine.ensure_tenant("Test").await.unwrap()
}

fn stored(engine: &Engine, wallet: i64) -> Amount {
    engine.read_now(|read| Ok(store::accounts::load(read, wallet)?)).unwrap().unwrap().credits
}

/// Wallets' rows follow the log of accounts; nobody may notice by how much.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_reads_the_balances_of_its_moment_while_others_move_on() {
    let house = house().await;
    let wallet = house.deposit("alice", "100").await.entry.wallet_no;
    let (begun, wait) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
    let (engine, scope) = (house.engine.clone(), house.scope);
    let reader = std::thread::spawn(move || {
        engine.read_now(|read| {
            // The first statement takes the snapshot.
            store::wallets::open_numbers(read, &scope)?;
            begun.0.send(()).unwrap();
            wait.1.recv().unwrap();
            Ok(store::accounts::load(read, wallet)?)
        })
    });
    begun.1.recv().unwrap();
    for _ in 0..5 {
        paid(house.charge("alice", "1", None).await);
    }
    house.engine.bring_balances_up(house.scope).await.unwrap();
    paid(house.charge("alice", "1", None).await);
    wait.0.send(()).unwrap();
    let seen = reader.join().unwrap().unwrap().unwrap();
    assert_eq!(seen.credits, amount("100"), "the snapshot is from before the charges");
    assert_eq!(stored(&house.engine, wallet), amount("94"));
    house.prove();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_log_holds_survives_a_restart_and_is_seen_by_another_process() {
    let house = house().await;
    let wallet = house.deposit("alice", "100").await.entry.wallet_no;
    paid(house.charge("alice", "1", None).await);
    let path = house.folder.path().join("farebox.db");
    let beside = store::Database::open(&testkit::ground::location(&path), false).unwrap();
    let read = |read: store::Read<'_>| store::accounts::load(read, wallet);
    assert_eq!(beside.read(read).unwrap().unwrap().credits, amount("99"));
    paid(house.charge("alice", "1", None).await);
    assert_eq!(beside.read(read).unwrap().unwrap().credits, amount("98"));
    house.engine.close();
    let engine = start(&path, 2);
    assert_eq!(stored(&engine, wallet), amount("98"));
    assert_eq!(beside.read(read).unwrap().unwrap().credits, amount("98"));
}
