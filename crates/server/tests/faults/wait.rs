//! A database that does not answer for a while: another program holds its lock, or the whole
//! process stands still.

use std::time::Duration;

use testkit::rusqlite::Connection;

use crate::load::{House, refused_well};
use crate::process::{Server, prove};
use crate::stop::signal;

/// The writer waits for a lock for 5 seconds.
const HELD: Duration = Duration::from_millis(6_500);
const ANSWERED_WITHIN: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn while_others_hold_the_database_charges_wait_or_are_refused_and_none_is_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let house = House::open(&server).await;
    let load = house.load(&server.base, "held");
    load.goes_on(100).await;
    for held in [Duration::from_secs(1), HELD] {
        let beside = Connection::open(folder.path().join("farebox.db")).unwrap();
        beside.busy_timeout(Duration::from_secs(5)).unwrap();
        beside.execute_batch("BEGIN IMMEDIATE").unwrap();
        let refused = load.refusals();
        tokio::time::sleep(held).await;
        assert!(house.balance(&server.base, 0).await.is_some(), "reads go on");
        beside.execute_batch("ROLLBACK").unwrap();
        load.goes_on(100).await;
        assert_eq!(load.refusals() > refused, held == HELD, "short ones wait, long ones do not");
    }
    let told = load.end().await;
    refused_well(&told);
    assert!(told.unknown.is_empty() && told.slowest < ANSWERED_WITHIN, "{:?}", told.slowest);
    house.settle_up(&server.base, &told).await;
    server.kill();
    prove(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let house = House::open(&server).await;
    let load = house.load(&server.base, "still");
    for _ in 0..2 {
        load.goes_on(100).await;
        signal(&server, "STOP");
        tokio::time::sleep(Duration::from_secs(1)).await;
        signal(&server, "CONT");
    }
    load.goes_on(100).await;
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unknown.is_empty());
    house.settle_up(&server.base, &told).await;
    server.kill();
    prove(folder.path());
}
