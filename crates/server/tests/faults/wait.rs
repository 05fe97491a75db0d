//! A database that does not answer for a while: another program holds its lock, the disk is slow or
//! hangs, or the whole process stands still.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use testkit::rusqlite::Connection;

use crate::load::{House, Told, refused_well};
use crate::process::{Server, prove};
use crate::shim::Shim;
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

#[tokio::test(flavor = "multi_thread")]
async fn on_a_slow_disk_charges_wait_and_on_one_that_hangs_new_ones_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = Shim::build(folder.path()) else { return };
    let data = folder.path().join("data");
    let server = shim.server(&data);
    let house = House::open(&server).await;
    let load = house.load(&server.base, "slow");
    load.goes_on(100).await;
    shim.set_sync(200);
    load.goes_on(20).await;
    assert_eq!(load.refusals(), 0, "slow is not broken");
    shim.set_sync(3_600_000);
    let before = load.count();
    let late = Mutex::<Told>::default();
    let began = Instant::now();
    for number in 0.. {
        // Each of them waits at most as long as it takes to see that the disk hangs.
        let key = format!("late-{number}");
        let asked = house.charge(&server.base, &key, &late);
        let answered = tokio::time::timeout(Duration::from_millis(500), asked).await;
        if answered.is_err() {
            late.lock().unknown.insert(key);
        } else if !late.lock().refused.is_empty() {
            break;
        }
        assert!(began.elapsed() < ANSWERED_WITHIN, "a disk that hangs keeps everyone waiting");
    }
    assert!(load.count() <= before + crate::load::CLIENTS * 2, "told before it was on disk");
    shim.set_sync(0);
    load.goes_on(100).await;
    let mut told = load.end().await;
    let late = late.into_inner();
    refused_well(&late);
    told.refused.extend(late.refused);
    told.unknown.extend(late.unknown);
    house.settle_up(&server.base, &told).await;
    server.kill();
    prove(&data);
}
