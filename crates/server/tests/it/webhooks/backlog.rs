//! A backlog that is more than one transaction moves: order and choice hold between the pieces.

use super::replay::{happen, sequences};
use super::*;

const SUBJECTS: u32 = 4;
/// Of each subject: more than a piece together.
const EACH: u32 = 300;

async fn paused_with_backlog() -> (Stage, Value, String) {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["customer.updated"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
    stage.act(&path, "pause", json!({})).await;
    happen(&stage.app.engine, stage.app.scope, SUBJECTS, EACH).await;
    (stage, endpoint, path)
}

impl Stage {
    async fn act(&self, path: &str, action: &str, body: Value) -> Value {
        let (status, _, answer) = self.post(&format!("{path}/{action}"), &body).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    async fn standing(&self, path: &str) -> (u64, u64) {
        let stats = self.get(&format!("{path}/stats")).await;
        (stats["pending"].as_u64().unwrap(), stats["parked"].as_u64().unwrap())
    }

    async fn move_all(&self) {
        while self.app.engine.move_backlogs().await.unwrap() > 0 {}
        self.drain().await;
    }

    fn all_came_in_order(&self, upto: u32) {
        let all = sequences(&self.sink);
        assert_eq!(all.len(), SUBJECTS as usize);
        for (subject, came) in all {
            assert_eq!(came, (1..=u64::from(upto)).collect::<Vec<_>>(), "{subject}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_a_backlog_comes_back_stays_behind_it() {
    let (stage, _, path) = paused_with_backlog().await;
    stage.act(&path, "resume", json!({})).await;
    stage.drain().await;
    let (_, parked) = stage.standing(&path).await;
    assert_eq!(parked, u64::from(SUBJECTS * EACH) - 1_000, "one piece came back with the answer");
    happen(&stage.app.engine, stage.app.scope, SUBJECTS, 2).await;
    stage.drain().await;
    assert_eq!(stage.standing(&path).await, (0, parked + 2 * u64::from(SUBJECTS)));
    stage.move_all().await;
    assert_eq!(stage.standing(&path).await, (0, 0));
    happen(&stage.app.engine, stage.app.scope, SUBJECTS, 1).await;
    stage.drain().await;
    stage.all_came_in_order(EACH + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_amid_the_way_back_keeps_the_order_too() {
    let (stage, _, path) = paused_with_backlog().await;
    stage.act(&path, "resume", json!({})).await;
    stage.act(&path, "pause", json!({})).await;
    let came = stage.sink.received().len();
    stage.drain().await;
    assert!(stage.sink.received().len() <= came + 8, "only what was on the wire");
    stage.act(&path, "resume", json!({})).await;
    stage.act(&path, "disable", json!({})).await;
    while stage.app.engine.move_backlogs().await.unwrap() > 0 {}
    assert_eq!(stage.standing(&path).await.0, 0, "all are parked");
    stage.act(&path, "enable", json!({})).await;
    stage.move_all().await;
    // Whatever was on the wire at a pause came twice.
    let mut all = sequences(&stage.sink);
    for came in all.values_mut() {
        let mut seen = std::collections::BTreeSet::new();
        came.retain(|sequence| seen.insert(*sequence));
        assert_eq!(*came, (1..=u64::from(EACH)).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_stays_so_whatever_its_receiver_does_meanwhile() {
    let (stage, _, path) = paused_with_backlog().await;
    stage.act(&path, "resume", json!({ "parked": "discard" })).await;
    assert_eq!(stage.standing(&path).await, (0, u64::from(SUBJECTS * EACH) - 1_000));
    happen(&stage.app.engine, stage.app.scope, SUBJECTS, 1).await;
    stage.drain().await;
    stage.act(&path, "pause", json!({})).await;
    assert_eq!(stage.standing(&path).await, (0, 0), "what was given up does not come back");
    stage.act(&path, "resume", json!({})).await;
    stage.move_all().await;
    for (subject, came) in sequences(&stage.sink) {
        assert_eq!(came, [u64::from(EACH) + 1], "{subject}");
    }
}
