//! Requests that are charged one by one.

use std::sync::Arc;

use domain::amount::Amount;
use domain::proxy::reason::Reason;
use engine::feed::{Query, page};
use engine::proxy::{Admission, Outcome, Settled, Status};
use serde_json::json;
use store::events::Recorded;

use super::house::*;

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
    house.engine.settle(&ticket, nothing(left())).await.unwrap();
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
    let last = house.told().split_off(house.told().len() - 2);
    assert_eq!(last, ["balance.depleted", "usage.charge.created"]);
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
    assert_eq!(again.engine.recover_requests(again.scope, None).await.unwrap(), 2);
    assert_eq!(again.engine.recover_requests(again.scope, None).await.unwrap(), 0);
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
    assert_eq!(again.engine.recover_requests(again.scope, None).await.unwrap(), 1);
    assert_eq!(again.balance("ida").await, (amount("1"), Amount::ZERO));
    again.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_loses_nothing_behind_many_holds_that_tell_nothing() {
    let house = house(json!({})).await;
    house.deposit("gil", "100").await;
    let body = chat("hi", &json!({"max_tokens": 1}));
    // More than the feed looks at in one piece.
    let mut tickets = Vec::new();
    for _ in 0..600 {
        tickets.push(house.admitted("gil", &body).await);
    }
    house.deposit("hal", "1").await;
    for ticket in &tickets {
        house.engine.settle(ticket, used(1, 1)).await.unwrap();
    }
    let scope = house.scope;
    let all = |read: store::Read<'_>| Ok(store::events::page(read, &scope, 0, 100_000)?.0);
    let all: Vec<_> = house.engine.read_now(all).unwrap();
    let mut query = Query { limit: 100, ..Query::default() };
    let mut read_on = Vec::new();
    loop {
        let page = house.engine.read_now(|read| page(read, &scope, &query)).unwrap();
        assert!(page.next > query.after || page.next == page.head, "it goes on");
        query.after = page.next;
        read_on.extend(page.events);
        if page.next == page.head {
            break;
        }
    }
    let places = |events: &[Recorded]| -> Vec<_> {
        events.iter().map(|recorded| recorded.event.place.position()).collect()
    };
    assert_eq!(places(&read_on), places(&all));
    assert!(all.len() > 1_200, "{}", all.len());
}
