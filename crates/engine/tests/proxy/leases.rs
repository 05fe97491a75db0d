//! Lease mode: money that this process promises from memory is never promised twice, batches pay to
//! the last digit, and a crash takes nothing from anyone.

use std::sync::Arc;

use domain::amount::Amount;
use domain::paywall::ExternalUser;
use engine::charges::{ChargeAsk, Charged};
use engine::proxy::{Admission, Outcome, Status};
use serde_json::{Value, json};

use super::house::*;

/// Batches are settled when the test says so.
async fn leasing(more: Value) -> House {
    let mut settlement = json!({"mode": "lease", "intervalMs": 1, "strict": true});
    settlement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    house(json!({ "settlement": settlement })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_pays_what_its_requests_cost_one_by_one() {
    for strict in [true, false] {
        let house = leasing(json!({ "strict": strict })).await;
        house.deposit("ann", "10").await;
        let before = house.told().len();
        let body = chat("hi", &json!({"max_tokens": 100}));
        let mut tickets = Vec::new();
        for _ in 0..3 {
            let ticket = house.admitted("ann", &body).await;
            assert!(ticket.is_deferred());
            // (10 × 1 + 7 × 2) / 1,000,000 × 1.2 = 0.0000288, rounded up at 6 places.
            let settled = house.engine.settle(&ticket, used(10, 7)).await.unwrap();
            assert_eq!((settled.amount, settled.activity), (amount("0.000029"), None));
            let again = house.engine.settle(&ticket, used(99, 99)).await.unwrap();
            assert_eq!(again, settled, "a request ends once");
            tickets.push(ticket);
        }
        let (balance, held) = house.balance("ann").await;
        assert_eq!((balance, held), (amount("10"), amount("0.5")), "a twentieth is leased");
        let each = ["proxy.request.started", "usage.charge.deferred", "proxy.request.completed"];
        let told = if strict { each.repeat(3) } else { Vec::new() };
        assert_eq!(house.told()[before..], told, "usage is on disk before it is paid");
        house.engine.end_leases().await;
        assert_eq!(house.balance("ann").await, (amount("9.999913"), Amount::ZERO));
        let mut expected = each.repeat(3);
        expected.extend(["usage.charge.created"; 3]);
        expected.push("balance.charge.completed");
        assert_eq!(house.told()[before..], expected);
        let paywall = house.paywall.paywall.id;
        let batches = house.engine.settlements(&house.scope, paywall, (None, 10)).unwrap();
        let [batch] = &batches[..] else { panic!("{batches:?}") };
        assert_eq!((batch.amount, batch.requests.len()), (amount("0.000087"), 3));
        for ticket in tickets {
            let ids = (paywall, ticket.call.request());
            let story = house.engine.request_story(&house.scope, ids).unwrap();
            let charge = story.charge.unwrap();
            assert_eq!(charge.amount, amount("0.000029"));
            assert_eq!(charge.settlement_reference, batch.reference);
            assert_eq!((story.due, story.events.len()), (None, 4), "{:?}", story.events);
        }
        let summary = house.books_balance().await;
        let totals = &summary.totals["USD"];
        let figures = ["available", "held", "revenue"].map(|account| totals[account]);
        assert_eq!(figures, [amount("9.999913"), Amount::ZERO, amount("0.000087")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_renews_itself_while_requests_go_on() {
    let house = leasing(json!({ "strict": false })).await;
    house.deposit("bob", "1").await;
    let body = chat("hi", &json!({"max_tokens": 1_000}));
    let running = house.admitted("bob", &body).await;
    for _ in 0..5 {
        let ticket = house.admitted("bob", &body).await;
        house.engine.settle(&ticket, used(10, 1_000)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        house.engine.settle_leases().await;
    }
    let (balance, held) = house.balance("bob").await;
    // 5 × (10 × 1 + 1,000 × 2) / 1,000,000 × 1.2 = 5 × 0.002412
    assert_eq!(balance, amount("0.98794"));
    assert!(held >= running.hold.amount && held <= amount("0.05"), "{held}");
    house.engine.settle(&running, nothing(left())).await.unwrap();
    house.engine.end_leases().await;
    assert_eq!(house.balance("bob").await, (amount("0.98794"), Amount::ZERO));
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_of_many_at_once_are_never_more_than_there_is() {
    let house = Arc::new(leasing(json!({})).await);
    // Each may cost 0.0024 and its prompt; five of them fit.
    house.deposit("cat", "0.0125").await;
    let body = chat("hi", &json!({"max_tokens": 1_000, "n": 1}));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (house, body) = (house.clone(), body.clone());
        tasks.spawn(async move { house.admit("cat", &body).await });
    }
    let mut promised = Amount::ZERO;
    let mut tickets = Vec::new();
    for admission in tasks.join_all().await {
        if let Admission::Admitted(ticket) = admission {
            promised += ticket.hold.amount;
            tickets.push(ticket);
        }
    }
    assert!(promised <= amount("0.0125"), "{promised}");
    assert!(tickets.len() >= 4, "{}", tickets.len());
    for ticket in &tickets {
        house.engine.settle(ticket, used(3, 900)).await.unwrap();
    }
    house.engine.end_leases().await;
    let (balance, held) = house.balance("cat").await;
    assert!(!balance.is_negative() && held.is_zero(), "{balance} {held}");
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_beyond_its_hold_is_taken_as_far_as_the_money_goes() {
    let house = leasing(json!({})).await;
    house.deposit("dan", "0.01").await;
    let before = house.told().len();
    let ticket = house.admitted("dan", &chat("hi", &json!({"max_tokens": 100}))).await;
    house.engine.settle(&ticket, used(10, 1_000_000)).await.unwrap();
    house.engine.end_leases().await;
    assert_eq!(house.balance("dan").await, (Amount::ZERO, Amount::ZERO));
    let expected = [
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.completed",
        "balance.depleted",
        "usage.charge.created",
        "balance.charge.completed",
    ];
    assert_eq!(house.told()[before..], expected);
    let ids = (house.paywall.paywall.id, ticket.call.request());
    let charge = house.engine.request_story(&house.scope, ids).unwrap().charge.unwrap();
    assert_eq!(charge.amount - charge.uncollected, amount("0.01"));
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_before_any_output_is_told_and_costs_nothing() {
    let house = leasing(json!({})).await;
    house.deposit("eve", "1").await;
    let before = house.told().len();
    let ticket = house.admitted("eve", &chat("hi", &json!({}))).await;
    let failed = Outcome::Failed { code: "provider_error", http_status: Some(500) };
    house.engine.settle(&ticket, nothing(failed)).await.unwrap();
    house.engine.end_leases().await;
    assert_eq!(house.told()[before..], ["proxy.request.started", "proxy.request.failed"]);
    assert_eq!(house.balance("eve").await, (amount("1"), Amount::ZERO));
    house.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_settles_what_was_written_and_frees_the_rest() {
    let house = leasing(json!({})).await;
    house.deposit("fay", "1").await;
    let body = chat("hi", &json!({"max_tokens": 100}));
    let done = house.admitted("fay", &body).await;
    house.engine.settle(&done, used(10, 7)).await.unwrap();
    let spoken = house.admitted("fay", &chat("hi", &json!({"stream": true}))).await;
    house.engine.checkpoint(vec![(spoken.clone(), 50)]).await.unwrap();
    house.admitted("fay", &body).await;
    house.engine.close();
    let engine = start(&house.folder, 2);
    let again = House { engine, ..house };
    assert_eq!(again.engine.recover_requests(again.scope, None).await.unwrap(), 2);
    assert_eq!(again.engine.recover_requests(again.scope, None).await.unwrap(), 0);
    let (balance, held) = again.balance("fay").await;
    let cost = amount("1") - balance;
    assert!(held.is_zero(), "{held}");
    assert!(cost >= amount("0.000149") && cost < amount("0.00017"), "{cost}");
    let ids = (again.paywall.paywall.id, spoken.call.request());
    let story = again.engine.request_story(&again.scope, ids).unwrap();
    assert_eq!((story.status, story.error_code.as_deref()), (Status::Failed, Some("node_lost")));
    let told = again.told();
    let count = |name: &str| told.iter().filter(|told| *told == name).count();
    assert_eq!(count("usage.charge.deferred"), count("usage.charge.created"));
    assert_eq!(count("proxy.request.started"), 2, "what was not written did not happen");
    again.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_leased_comes_back_when_a_charge_needs_it() {
    let house = leasing(json!({})).await;
    house.deposit("gus", "1").await;
    let ticket = house.admitted("gus", &chat("hi", &json!({"max_tokens": 100}))).await;
    house.engine.settle(&ticket, used(10, 7)).await.unwrap();
    assert!(house.balance("gus").await.1.is_positive());
    let ask = ChargeAsk {
        paywall: house.paywall.clone(),
        user: ExternalUser::parse("gus").unwrap(),
        amount: amount("0.999971"),
        metadata: None,
        key: None,
        cause: cause(&house.engine),
    };
    let charged = house.engine.charge(house.scope, ask).await.unwrap();
    assert!(matches!(charged, Charged::Paid(_)), "{charged:?}");
    assert_eq!(house.balance("gus").await, (Amount::ZERO, Amount::ZERO));
    house.books_balance().await;
}
