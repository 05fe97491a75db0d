//! The machine's clock jumps by hours, forward and back, under a running server and between two
//! runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::House;
use crate::process::prove;
use crate::shim::Shim;

const HOUR_S: i64 = 3_600;
/// Shortest hold that there is.
const HOLD_S: u64 = 1;
/// Late by its own time at most, and by a look of the timers.
const FREED_WITHIN: Duration = Duration::from_millis(HOLD_S * 2_000 + 1_500);

/// The milliseconds of an id, as its characters order them.
fn order(id: &str) -> String {
    id.rsplit('_').next().unwrap().to_owned()
}

/// Charges, and a hold that runs out: its ids come after all before, and it is freed in time and
/// not early.
async fn an_hour_in_a_second(house: &House, base: &str, ids: &mut Vec<String>) {
    let body = json!({ "user": "user-0", "amount": "1" });
    for _ in 0..3 {
        let charged = house.call(base, "/v1/user/charge", &body).await.unwrap();
        ids.push(order(charged["activityId"].as_str().unwrap()));
    }
    let body = json!({ "user": "user-0", "amount": "5", "expiresInSeconds": HOLD_S });
    let began = Instant::now();
    let held = house.call(base, "/v1/user/holds", &body).await.unwrap();
    ids.push(order(held["id"].as_str().unwrap()));
    while held_now(house, base).await > 0 {
        assert!(began.elapsed() < FREED_WITHIN, "a hold is not freed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lived = began.elapsed();
    assert!(lived >= Duration::from_secs(HOLD_S), "a hold is freed after {lived:?}");
    assert!(ids.is_sorted_by(|one, next| one < next), "ids go back: {ids:?}");
}

async fn held_now(house: &House, base: &str) -> i64 {
    let url = format!("{base}/v1/user/balance?user=user-0");
    let answer = house.client.get(url).bearer_auth(&house.key).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    body["held"].as_str().unwrap().parse().unwrap()
}

async fn nothing_is_negative(house: &House, base: &str) {
    let text = house.client.get(format!("{base}/metrics")).send().await.unwrap();
    let text = text.text().await.unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(!value.starts_with('-'), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_moves_no_id_back_and_frees_no_hold_early_or_late() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clock) = Shim::build(folder.path()) else { return };
    let data = folder.path().join("data");
    let server = clock.server(&data);
    let house = House::open(&server).await;
    let mut ids = Vec::new();
    clock.set_clock(HOUR_S);
    let before = asked_at(&house, &server.base).await;
    clock.set_clock(2 * HOUR_S);
    let ahead_s = asked_at(&house, &server.base).await - before;
    assert!(ahead_s >= HOUR_S, "the server does not run on this clock: {ahead_s}");
    for offset_h in [2, -3, 5, 0] {
        clock.set_clock(offset_h * HOUR_S);
        an_hour_in_a_second(&house, &server.base, &mut ids).await;
        nothing_is_negative(&house, &server.base).await;
    }
    server.kill();
    prove(&data);
    clock.set_clock(-2 * HOUR_S);
    let server = clock.server(&data);
    server.ready(&house.client).await;
    an_hour_in_a_second(&house, &server.base, &mut ids).await;
    nothing_is_negative(&house, &server.base).await;
    server.kill();
    prove(&data);
}

/// The server's time in seconds, as an answer tells it.
async fn asked_at(house: &House, base: &str) -> i64 {
    let url = format!("{base}/v1/user/balance?user=user-0");
    let answer = house.client.get(url).bearer_auth(&house.key).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    let at = body["asOf"].as_str().unwrap();
    domain::time::Timestamp::parse(at).unwrap().seconds()
}
