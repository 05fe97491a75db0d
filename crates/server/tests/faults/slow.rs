//! A PostgreSQL server that is slow, or says nothing for a while, though its connections stay.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::postgres::Postgres;

use crate::line::Line;
use crate::load::{House, refused_well};
use crate::process::{KEY, Server};

/// Work that waits makes the writer stuck after 5 looks, one a second.
const REFUSED_WITHIN: Duration = Duration::from_secs(12);
/// Whoever reads waits 30 s for an answer.
const READ_WITHIN: Duration = Duration::from_secs(45);

async fn node(line: &Line) -> (tempfile::TempDir, Server, House) {
    let folder = tempfile::tempdir().unwrap();
    let url = line.url();
    let server = Server::start_with(folder.path(), &[("FAREBOX_DATABASE_URL", &url)]);
    let house = House::open(&server).await;
    (folder, server, house)
}

/// A list of the API, which must not hang: status, whether it says when to come again, its time.
async fn customers(house: &House, server: &Server) -> (u16, bool, Duration) {
    let began = Instant::now();
    let url = format!("{}/v1/customers", server.base);
    let asked = house.client.get(url).header("x-api-key", KEY).timeout(READ_WITHIN);
    let answer = asked.send().await.unwrap();
    let again = answer.headers().contains_key("retry-after");
    (answer.status().as_u16(), again, began.elapsed())
}

async fn balanced(house: &House, server: &Server) {
    let url = format!("{}/v1/verify", server.base);
    let proof = house.client.get(url).header("x-api-key", KEY).send().await.unwrap();
    let proof: Value = proof.json().await.unwrap();
    assert_eq!(proof["balanced"], true, "{proof:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_slow_database_charges_and_lists_take_longer_and_are_right() {
    let postgres = Postgres::start();
    let line = Line::to(&postgres).await;
    let (_folder, server, house) = node(&line).await;
    let load = house.load(&server.base, "slow");
    load.goes_on(100).await;
    for (delay_ms, more) in [(50, 60), (200, 30)] {
        line.set_delay(Duration::from_millis(delay_ms));
        load.goes_on(more).await;
        let (status, _, took) = customers(&house, &server).await;
        assert_eq!(status, 200);
        println!("{delay_ms} ms a round trip: a list takes {took:?}");
    }
    line.set_delay(Duration::ZERO);
    load.goes_on(100).await;
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unknown.is_empty(), "slow is not broken");
    house.settle_up(&server.base, &told).await;
    balanced(&house, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_silent_charges_are_refused_lists_end_and_none_is_doubled() {
    let postgres = Postgres::start();
    let line = Line::to(&postgres).await;
    let (_folder, server, house) = node(&line).await;
    let load = house.load(&server.base, "silent");
    load.goes_on(100).await;
    line.set_silent(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    line.set_silent(false);
    load.goes_on(100).await;
    assert_eq!(load.refusals(), 0, "a short silence is waited for");
    line.set_silent(true);
    let late = house.until_refused(&server.base, "late", REFUSED_WITHIN).await;
    let (status, again, took) = customers(&house, &server).await;
    println!("a list in the silence: {status} after {took:?}");
    assert_eq!((status, again), (503, true), "nothing can be read");
    line.set_silent(false);
    load.goes_on(100).await;
    assert_eq!(customers(&house, &server).await.0, 200);
    let mut told = load.end().await;
    told.add(late);
    refused_well(&told);
    house.settle_up(&server.base, &told).await;
    balanced(&house, &server).await;
}
