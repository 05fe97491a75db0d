//! Two nodes on one PostgreSQL: what each may promise, work on and move, the other respects.

use std::sync::Arc;
use std::time::Duration;

use domain::paywall::ExternalUser;
use engine::Engine;
use engine::charges::{ChargeAsk, Charged};
use engine::nodes::NODE_LEASE_MS;
use engine::proxy::Admission;
use engine::proxy::replay::Claimed;
use serde_json::json;
use testkit::postgres::Postgres;
use tokio::task::JoinHandle;

use super::house::*;

/// The first node made the paywall; both follow each other as the server has them do.
struct Pair {
    first: House,
    second: House,
    followers: Vec<JoinHandle<()>>,
    /// Ends after the nodes.
    postgres: Postgres,
}

impl Pair {
    async fn start() -> Pair {
        let postgres = Postgres::start();
        let location = store::Location::Server(postgres.url());
        let (one, other) = (start_on(&location, 11), start_on(&location, 22));
        let settlement = json!({"mode": "lease", "intervalMs": 60_000, "strict": true});
        let folder = || tempfile::tempdir().unwrap();
        let first = house_of(one, folder(), json!({ "settlement": settlement })).await;
        let (scope, paywall) = (first.scope, first.paywall.clone());
        let second = House { engine: other, scope, paywall, folder: folder() };
        let followers = vec![follow(first.engine.clone()), follow(second.engine.clone())];
        for house in [&first, &second] {
            house.engine.keep_node().await.unwrap();
        }
        Pair { first, second, followers, postgres }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.followers.iter().for_each(JoinHandle::abort);
        self.first.engine.close();
        self.second.engine.close();
    }
}

fn follow(engine: Arc<Engine>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            drop(engine.follow_nodes().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_nodes_promise_together_is_never_more_than_there_is() {
    let pair = Pair::start().await;
    // Each request may cost 0.0024 and its prompt; about twenty of them fit.
    pair.first.deposit("ann", "0.05").await;
    let body = chat("hi", &json!({"max_tokens": 1_000}));
    let mut promised = amount("0");
    for house in [&pair.first, &pair.second].into_iter().cycle().take(60) {
        if let Admission::Admitted(ticket) = house.admit("ann", &body).await {
            promised += ticket.hold.amount;
            house.engine.settle(&ticket, used(10, 1_000)).await.unwrap();
        }
    }
    assert!(promised > amount("0.045") && promised <= amount("0.05"), "{promised}");
    pair.first.engine.end_leases().await;
    pair.second.engine.end_leases().await;
    let (balance, held) = pair.first.balance("ann").await;
    assert!(!balance.is_negative() && held.is_zero(), "{balance} {held}");
    pair.second.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_another_node_has_leased_comes_back_when_it_is_needed() {
    let pair = Pair::start().await;
    pair.first.deposit("bob", "1").await;
    let body = chat("hi", &json!({"max_tokens": 100}));
    let ticket = pair.first.admitted("bob", &body).await;
    pair.first.engine.settle(&ticket, used(10, 7)).await.unwrap();
    let (_, held) = pair.first.balance("bob").await;
    assert_eq!(held, amount("0.05"), "a twentieth is leased");
    let ask = ChargeAsk {
        paywall: pair.second.paywall.clone(),
        user: ExternalUser::parse("bob").unwrap(),
        amount: amount("0.999971"),
        metadata: None,
        key: None,
        cause: cause(&pair.second.engine),
    };
    pair.second.engine.charge(pair.second.scope, ask).await.unwrap();
    let (balance, held) = pair.second.balance("bob").await;
    assert_eq!((balance, held), (amount("0"), amount("0")), "all of it was paid out");
    pair.first.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_paywall_gets_nothing_more_on_any_node() {
    let pair = Pair::start().await;
    pair.first.deposit("cat", "1").await;
    let body = chat("hi", &json!({"max_tokens": 100}));
    let ticket = pair.first.admitted("cat", &body).await;
    pair.first.engine.settle(&ticket, used(10, 7)).await.unwrap();
    let id = pair.second.paywall.paywall.id;
    let render = |_: &_| engine::idempotency::Reply { status: 200, body: Vec::new() };
    let ask = (id, None, None);
    let (engine, scope) = (&pair.second.engine, pair.second.scope);
    engine.archive_paywall(scope, cause(engine), ask, render).await.unwrap();
    let mut held = amount("1");
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        held = pair.second.balance("cat").await.1;
        if held.is_zero() {
            break;
        }
    }
    assert!(held.is_zero(), "the other node gave back its lease within a second: {held}");
    pair.first.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_over_the_leases_of_one_that_is_gone_and_no_others() {
    let pair = Pair::start().await;
    pair.first.deposit("dan", "1").await;
    let body = chat("hi", &json!({"max_tokens": 100}));
    for house in [&pair.first, &pair.second] {
        let ticket = house.admitted("dan", &body).await;
        house.engine.settle(&ticket, used(10, 7)).await.unwrap();
    }
    let (_, both) = pair.second.balance("dan").await;
    pair.followers[0].abort();
    pair.first.engine.close();
    let silent = Duration::from_millis(NODE_LEASE_MS.unsigned_abs() + 200);
    tokio::time::sleep(silent).await;
    assert_eq!(pair.second.engine.keep_node().await.unwrap(), 1);
    let (balance, held) = pair.second.balance("dan").await;
    assert_eq!(balance, amount("0.999971"), "what the other wrote down is paid, once");
    assert!(held.is_positive() && held < both, "its own lease stays: {held} of {both}");
    pair.second.engine.end_leases().await;
    assert_eq!(pair.second.balance("dan").await, (amount("0.999942"), amount("0")));
    pair.second.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_at_a_time_works_on_a_key() {
    let pair = Pair::start().await;
    let (scope, first, second) = (pair.first.scope, &pair.first.engine, &pair.second.engine);
    let key = |body: &[u8]| engine::idempotency::key_use("POST /v1/chat/completions", "k", body);
    let Claimed::Now(claim) = first.claim(scope, key(b"a")).await.unwrap() else {
        panic!("nobody worked on it before");
    };
    for (body, says) in [(&b"a"[..], "at work"), (&b"b"[..], "another")] {
        let refused = second.claim(scope, key(body)).await;
        let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(says), "{says}: {error}");
    }
    claim.release();
    let mut taken = None;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        taken = second.claim(scope, key(b"b")).await.ok();
        if taken.is_some() {
            break;
        }
    }
    assert!(matches!(taken, Some(Claimed::Now(_))), "what is free is for everyone");
    assert!(first.claim(scope, key(b"b")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_move_one_test_clock_leave_it_at_the_later_time() {
    let pair = Pair::start().await;
    let (scope, first, second) = (pair.first.scope, &pair.first.engine, &pair.second.engine);
    let before = first.now(&scope);
    first.attach_clock(scope, cause(first), (None, true)).await.unwrap();
    let again = second.attach_clock(scope, cause(second), (None, true)).await;
    assert!(again.is_err(), "there is one clock");
    second.follow_nodes().await.unwrap();
    for day in 1..=5 {
        let at = |days: i64| before.plus_ms(days * domain::time::DAY_MS);
        let (one, other) = (at(day * 10), at(day * 10 + 5));
        let moved = tokio::join!(
            first.set_clock(scope, cause(first), one),
            second.set_clock(scope, cause(second), other),
        );
        assert!(moved.1.is_ok(), "{:?}", moved.1);
        if let Err(error) = moved.0 {
            assert!(error.to_string().contains("only moves forward"), "{error}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!((first.now(&scope), second.now(&scope)), (other, other));
    }
    pair.first.books_balance().await;
}

/// Charges a unit under a key; the activity, and whether it had been made before.
async fn charge(house: &House, user: &str, key: &str) -> (String, bool) {
    let key = engine::idempotency::key_use("POST /v1/user/charge", key, key.as_bytes());
    let ask = ChargeAsk {
        paywall: house.paywall.clone(),
        user: ExternalUser::parse(user).unwrap(),
        amount: amount("0.000001"),
        metadata: None,
        key: Some(key),
        cause: cause(&house.engine),
    };
    let charged = house.engine.charge(house.scope, ask).await.unwrap();
    let Charged::Paid(moved) = charged else { panic!("there is money: {charged:?}") };
    (moved.entry.id().to_string(), moved.replayed)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_one_node_sealed_are_known_at_every_node_and_after_a_start() {
    let pair = Pair::start().await;
    pair.first.deposit("eve", "1").await;
    let (before, _) = charge(&pair.first, "eve", "before").await;
    for part in 0..11_u64 {
        let fill = move |tx: &mut store::Tx<'_>| {
            for number in 0..100_000_u64 {
                let place = domain::place::Place::from_raw(tx.scope().env.place(1).raw());
                let key = format!("{part}-{number}");
                tx.remember("filled", &key, store::idempotency::Worked::Entry(place));
            }
            Ok::<_, engine::Error>(())
        };
        pair.first.engine.movement(pair.first.scope, fill).await.unwrap();
    }
    let mut meanwhile = Vec::new();
    for number in 0..150 {
        let house = if number % 3 == 0 { &pair.second } else { &pair.first };
        meanwhile.push(charge(house, "eve", &format!("meanwhile {number}")).await.0);
    }
    pair.postgres.run(
        "DO $$ BEGIN ASSERT (SELECT COUNT(*) FROM idempotency_filters) = 1, 'nobody sealed';
         ASSERT (SELECT COUNT(*) FROM idempotency_runs) > 1000000, 'not all of it'; END $$",
    );
    let third = start_on(&store::Location::Server(pair.postgres.url()), 33);
    let (scope, paywall) = (pair.first.scope, pair.first.paywall.clone());
    let third = House { engine: third, scope, paywall, folder: tempfile::tempdir().unwrap() };
    for house in [&pair.first, &pair.second, &third] {
        assert_eq!(charge(house, "eve", "before").await, (before.clone(), true));
        for (number, made) in meanwhile.iter().enumerate().step_by(50) {
            let again = charge(house, "eve", &format!("meanwhile {number}")).await;
            assert_eq!(again, (made.clone(), true), "{number}");
        }
        assert!(!charge(house, "eve", &format!("new {house:p}")).await.1);
    }
    third.engine.close();
    pair.first.books_balance().await;
}
