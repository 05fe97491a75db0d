//! While results of webhooks cannot be written, no more requests go out than a crash may repeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::rusqlite::Connection;

use crate::listener::{Listener, Mood};
use crate::process::{KEY, post};
use crate::site::Site;

const ENDPOINTS: usize = 8;
const CUSTOMERS: usize = 200;
const IN_FLIGHT: usize = 16;
/// Of results that wait for their transaction, and again of those that are in it.
const BATCH: usize = 256;
/// The first requests take so long; meanwhile the others queue up.
const SLOW: Duration = Duration::from_secs(8);
const LOCKED_AFTER: Duration = Duration::from_millis(7_500);

#[tokio::test(flavor = "multi_thread")]
async fn while_results_cannot_be_written_few_requests_go_out() {
    let site = Site::on_a_file();
    let is_slow = Arc::new(AtomicBool::new(true));
    let slow = is_slow.clone();
    let listener = Listener::start(Box::new(move |_| {
        (Mood::Well, if slow.load(Ordering::Relaxed) { SLOW } else { Duration::ZERO })
    }));
    let listener = listener.await;
    let node = site.node();
    node.ready(&site.client).await;
    for number in 0..ENDPOINTS {
        let more = json!({ "ordering": "none", "max_in_flight": IN_FLIGHT });
        site.endpoint(&node.base, (&listener.base, number), more).await;
    }
    let began = Instant::now();
    for number in 0..CUSTOMERS {
        let body = json!({ "external_id": format!("customer-{number}"), "name": "Faults" });
        let url = format!("{}/v1/customers", node.base);
        post(&site.client, url, ("x-api-key", KEY), &body).await.unwrap();
    }
    is_slow.store(false, Ordering::Relaxed);
    let until_locked = LOCKED_AFTER.checked_sub(began.elapsed());
    assert!(until_locked.is_some(), "the machine is too slow for this");
    tokio::time::sleep(until_locked.unwrap()).await;
    let beside = Connection::open(site.file()).unwrap();
    beside.busy_timeout(Duration::from_secs(5)).unwrap();
    beside.execute_batch("BEGIN IMMEDIATE").unwrap();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let sent = listener.count();
    beside.execute_batch("ROLLBACK").unwrap();
    println!("{sent} of {} went out", CUSTOMERS * ENDPOINTS);
    assert!(sent <= ENDPOINTS * IN_FLIGHT + 2 * BATCH, "{sent} would come twice after a crash");
    while listener.count() < CUSTOMERS * ENDPOINTS || site.open() > 0 {
        assert!(began.elapsed() < Duration::from_mins(1), "they never came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(listener.count(), CUSTOMERS * ENDPOINTS, "each came once");
    node.kill();
    site.prove();
}
