//! Events of the past, sent again: all of them, in order, whatever ends in between.

use std::collections::{BTreeMap, BTreeSet};

use domain::webhook::catalogue::EventType;

use super::*;

/// Tells that `count` things changed `times` times each, round and round.
pub(super) async fn happen(engine: &Engine, scope: Scope, count: u32, times: u32) {
    let work = move |tx: &mut store::Tx<'_>| {
        for n in 0..count * times {
            let subject = format!("customer:c{}", n % count);
            let kind = EventType::CUSTOMER_UPDATED;
            tx.tell((subject.clone(), Channels::default()), kind, &Cause::schedule(), |telling| {
                domain::event::billing::render(telling, &subject, &json!({ "n": n }))
            })?;
        }
        Ok(())
    };
    engine.change(scope, work).await.unwrap();
}

fn from_start() -> Value {
    json!({ "from": "2020-01-01T00:00:00Z" })
}

/// What `sequence` each subject's requests had, in the order in which they came.
pub(super) fn sequences(sink: &Sink) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for one in sink.received() {
        let subject = one.header("webhook-subject").unwrap().to_owned();
        all.entry(subject)
            .or_default()
            .push(one.header("webhook-sequence").unwrap().parse().unwrap());
    }
    all
}

impl Stage {
    async fn replay(&self, endpoint: &Value, body: Value) -> Value {
        let path = format!("/v1/webhooks/endpoints/{}/replays", endpoint["id"].as_str().unwrap());
        let (status, _, replay) = self.post(&path, &body).await;
        assert_eq!(status, 202, "{replay}");
        replay
    }

    async fn replay_now(&self, replay: &Value) -> Value {
        self.get(&format!("/v1/webhooks/replays/{}", replay["id"].as_str().unwrap())).await
    }

    /// Runs rounds until nothing moves any more.
    async fn run_replays(&self) {
        for _ in 0..200 {
            let moved = self.app.engine.run_replays().await.unwrap();
            self.drain().await;
            if moved == 0 && self.app.engine.run_replays().await.unwrap() == 0 {
                return;
            }
        }
        unreachable!("the replay does not end");
    }
}

fn counts(replay: &Value) -> Vec<Value> {
    let names = ["matched", "sent", "delivered", "failed", "skipped"];
    names.iter().map(|name| replay[name].clone()).collect()
}

#[tokio::test]
async fn a_new_endpoint_gets_the_past_in_order_and_a_second_replay_finds_nothing() {
    let stage = stage().await;
    happen(&stage.app.engine, stage.app.scope, 3, 40).await;
    let endpoint = stage.endpoint("/ok", &["customer.updated"], json!({})).await;
    let told = stage.endpoint("/ok/told", &["webhook.replay.*"], json!({})).await;
    let replay = stage.replay(&endpoint, from_start()).await;
    assert_eq!((&replay["status"], &replay["matched"]), (&json!("running"), &json!(120)));
    let path = format!("/v1/webhooks/endpoints/{}/replays", endpoint["id"].as_str().unwrap());
    let (status, _, second) = stage.post(&path, &from_start()).await;
    assert_eq!((status, &second["code"]), (409, &json!("replay_in_progress")));
    stage.run_replays().await;
    let done = stage.replay_now(&replay).await;
    assert_eq!(done["status"], "done", "{done}");
    assert_eq!(counts(&done), [120, 120, 120, 0, 0]);
    let of_customers = sequences(&stage.sink);
    for n in 0..3 {
        let all = &of_customers[&format!("customer:c{n}")];
        assert_eq!(*all, (1..=40).collect::<Vec<_>>());
    }
    let delivery = stage.deliveries(&endpoint).await.remove(0);
    assert_eq!(delivery["replay_id"], replay["id"]);
    let (kinds, told) = (stage.deliveries(&told).await, told["id"].clone());
    assert_eq!(kinds[0]["event_type"], "webhook.replay.completed", "{told}");

    let again = stage.replay(&endpoint, from_start()).await;
    assert_eq!(again["matched"], 0);
    stage.run_replays().await;
    assert_eq!(stage.replay_now(&again).await["status"], "done");
    let all = json!({ "from": "2020-01-01T00:00:00Z", "only": "all",
        "subjects": ["customer:c1"] });
    let all = stage.replay(&endpoint, all).await;
    stage.run_replays().await;
    assert_eq!(counts(&stage.replay_now(&all).await), [40, 40, 40, 0, 0]);
    assert_eq!(stage.get(&path).await["data"].as_array().unwrap().len(), 3);
    // The customers of this test are told of, and not made.
    let proof = stage.app.engine.verify(stage.app.scope).await.unwrap();
    assert!(proof.findings.iter().all(|one| one.rule == "invented"), "{proof:?}");
}

#[tokio::test]
async fn a_replay_takes_what_it_is_asked_for() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["customer.updated"], json!({})).await;
    happen(&stage.app.engine, stage.app.scope, 1, 1).await;
    stage.drain().await;
    let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
    // One that fails until its schedule is used up, one that is given up, one that nobody took.
    let fail = json!({ "url": stage.sink.url("/fail/500"), "retry_schedule": [1] });
    assert_eq!(stage.app.patch(&path, &stage.app.key, &fail).await.0, 200);
    happen(&stage.app.engine, stage.app.scope, 1, 1).await;
    stage.drain().await;
    stage.move_by(5_000).await;
    happen(&stage.app.engine, stage.app.scope, 1, 1).await;
    let third = stage.deliveries(&endpoint).await.pop().unwrap();
    let cancel = format!("/v1/webhooks/deliveries/{}/cancel", third["id"].as_str().unwrap());
    assert_eq!(stage.post(&cancel, &json!({})).await.0, 200);
    stage.drain().await;
    assert_eq!(stage.post(&format!("{path}/disable"), &json!({})).await.0, 200);
    happen(&stage.app.engine, stage.app.scope, 1, 1).await;
    let refused = stage.post(&format!("{path}/replays"), &from_start()).await;
    assert_eq!((refused.0, &refused.2["code"]), (409, &json!("endpoint_disabled")));
    assert_eq!(stage.post(&format!("{path}/enable"), &json!({})).await.0, 200);
    let states: Vec<_> = stage.deliveries(&endpoint).await;
    let states: Vec<_> = states.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(states, ["delivered", "exhausted", "discarded"]);

    let url = json!({ "url": stage.sink.url("/ok") });
    assert_eq!(stage.app.patch(&path, &stage.app.key, &url).await.0, 200);
    for (only, sequences_sent) in [
        ("failed", vec![2]),
        ("undelivered", vec![3, 4]),
        ("undelivered", vec![]),
        ("failed", vec![]),
        ("all", vec![1, 2, 3, 4]),
    ] {
        let before = stage.sink.received().len();
        let body = json!({ "from": "2020-01-01T00:00:00Z", "only": only });
        let replay = stage.replay(&endpoint, body).await;
        stage.run_replays().await;
        let done = stage.replay_now(&replay).await;
        assert_eq!((&done["status"], &done["sent"]), (&json!("done"), &done["matched"]), "{done}");
        let sent: Vec<u64> = stage.sink.received()[before..]
            .iter()
            .map(|one| one.header("webhook-sequence").unwrap().parse().unwrap())
            .collect();
        assert_eq!(sent, sequences_sent, "{only}");
    }
    let event = stage.deliveries(&endpoint).await[1]["event_id"].clone();
    let one = json!({ "from": "2020-01-01T00:00:00Z", "only": "all", "event_ids": [event] });
    assert_eq!(stage.replay(&endpoint, one).await["matched"], 1);
}

#[tokio::test]
async fn what_a_canceled_replay_did_not_send_stands_as_before() {
    // Nobody sends here: what is opened stays so.
    let app = TestApp::start().await;
    let body = json!({ "url": "http://127.0.0.1:9/x", "types": ["customer.updated"] });
    let (_, _, endpoint) = app.post("/v1/webhooks/endpoints", &app.key, &body).await;
    let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
    happen(&app.engine, app.scope, 2, 3).await;
    let list = format!("/v1/webhooks/deliveries?endpoint_id={}", endpoint["id"].as_str().unwrap());
    let deliveries = async || app.get(&list, &app.key).await.2["data"].clone();
    for one in deliveries().await.as_array().unwrap() {
        let cancel = format!("/v1/webhooks/deliveries/{}/cancel", one["id"].as_str().unwrap());
        assert_eq!(app.post(&cancel, &app.key, &json!({})).await.0, 200);
    }
    app.post(&format!("{path}/disable"), &app.key, &json!({})).await;
    happen(&app.engine, app.scope, 2, 2).await;
    app.post(&format!("{path}/enable"), &app.key, &json!({})).await;
    let before: Vec<_> = states(&deliveries().await);
    assert_eq!(before.len(), 6);

    let started = app.post(&format!("{path}/replays"), &app.key, &from_start()).await;
    assert_eq!(started.0, 202, "{}", started.2);
    while app.engine.run_replays().await.unwrap() > 0 {}
    let opened = deliveries().await;
    let waiting = opened.as_array().unwrap().iter().filter(|one| one["waiting_for"] == "order");
    let blocked: Vec<_> = waiting.map(|one| one["blocked_by"].clone()).collect();
    assert_eq!((opened.as_array().unwrap().len(), blocked.len()), (10, 8), "one a subject goes");
    assert!(blocked.iter().all(|id| !id.is_null()));
    let replay = format!("/v1/webhooks/replays/{}", started.2["id"].as_str().unwrap());
    for path in ["", "/cancel"] {
        let path = format!("{replay}{path}");
        let asked = if path.ends_with("cancel") {
            app.post(&path, &app.other_key, &json!({})).await
        } else {
            app.get(&path, &app.other_key).await
        };
        assert_eq!(asked.0, 404, "{path}");
    }
    let canceled = app.post(&format!("{replay}/cancel"), &app.key, &json!({})).await;
    assert_eq!((canceled.0, &canceled.2["status"]), (200, &json!("canceled")), "{}", canceled.2);
    assert_eq!(states(&deliveries().await), before);
    let again = app.post(&format!("{replay}/cancel"), &app.key, &json!({})).await;
    assert_eq!(again.2, canceled.2, "it is over");
    assert_eq!(app.engine.run_replays().await.unwrap(), 0);
}

fn states(list: &Value) -> Vec<(Value, Value)> {
    let all = list.as_array().unwrap().iter();
    all.map(|one| (one["id"].clone(), one["status"].clone())).collect()
}

#[tokio::test]
async fn a_pause_holds_a_replay_and_it_goes_on_in_order() {
    let stage = stage().await;
    happen(&stage.app.engine, stage.app.scope, 2, 100).await;
    let endpoint = stage.endpoint("/ok", &["customer.updated"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
    let replay = stage.replay(&endpoint, from_start()).await;
    stage.app.engine.run_replays().await.unwrap();
    assert_eq!(stage.post(&format!("{path}/pause"), &json!({})).await.0, 200);
    stage.drain().await;
    assert_eq!(stage.app.engine.run_replays().await.unwrap(), 0, "nothing is opened meanwhile");
    assert_eq!(stage.replay_now(&replay).await["status"], "running");
    assert_eq!(stage.post(&format!("{path}/resume"), &json!({})).await.0, 200);
    stage.run_replays().await;
    let done = stage.replay_now(&replay).await;
    assert_eq!((&done["status"], &done["sent"]), (&json!("done"), &json!(200)), "{done}");
    for (_, mut all) in sequences(&stage.sink) {
        all.dedup();
        assert_eq!(all, (1..=100).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_pace_bounds_what_is_opened() {
    let app = TestApp::start().await;
    happen(&app.engine, app.scope, 50, 1).await;
    let body = json!({ "url": "http://127.0.0.1:9/x", "types": ["customer.updated"] });
    let (_, _, endpoint) = app.post("/v1/webhooks/endpoints", &app.key, &body).await;
    let path = format!("/v1/webhooks/endpoints/{}/replays", endpoint["id"].as_str().unwrap());
    let body = json!({ "from": "2020-01-01T00:00:00Z", "max_rps": 20 });
    assert_eq!(app.post(&path, &app.key, &body).await.0, 202);
    tokio::time::sleep(Duration::from_millis(400)).await;
    for _ in 0..5 {
        app.engine.run_replays().await.unwrap();
    }
    let (_, _, opened) = app.get("/v1/webhooks/deliveries?limit=100", &app.key).await;
    assert_eq!(opened["data"].as_array().unwrap().len(), 2, "a tenth of a second's worth");
}

#[tokio::test]
async fn a_subscription_is_replayed_in_its_own_words() {
    let stage = stage().await;
    let key = paywall_key(&stage.app).await;
    for user in ["ada", "bob"] {
        let body = json!({ "user": user, "amount": "1" });
        assert_eq!(stage.app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
    }
    let path = "/v1/webhooks/subscriptions";
    let body = json!({ "url": stage.sink.url("/ok"), "events": ["balance.deposit.created"] });
    let (_, _, made) = stage.app.post(path, &key, &body).await;
    let path = format!("{path}/{}", made["subscription"]["id"].as_str().unwrap());
    let replay = format!("{path}/replay");
    let (status, _, started) = stage.app.post(&replay, &key, &from_start()).await;
    assert_eq!((status, &started["matched"]), (202, &json!(2)), "{started}");
    assert!(started["replayId"].as_str().unwrap().starts_with("replay_"));
    stage.run_replays().await;
    assert_eq!(stage.sink.received().len(), 2);
    assert_eq!(stage.app.delete(&path, &key).await.0, 200);
    let (status, _, refused) = stage.app.post(&replay, &key, &from_start()).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("subscription_inactive")),
        "{refused}"
    );
}

#[tokio::test]
async fn wrong_replays_are_refused_by_field() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["customer.updated"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}/replays", endpoint["id"].as_str().unwrap());
    let from = "2020-01-01T00:00:00Z";
    for (body, param) in [
        (json!({}), "from"),
        (json!({ "from": "yesterday" }), "from"),
        (json!({ "from": from, "to": from }), "to"),
        (json!({ "from": "2999-01-01T00:00:00Z" }), "to"),
        (json!({ "from": from, "types": ["no.such"] }), "types"),
        (json!({ "from": from, "types": [] }), "types"),
        (json!({ "from": from, "subjects": vec!["wallet:w"; 101] }), "subjects"),
        (json!({ "from": from, "event_ids": ["x"] }), "event_ids"),
        (json!({ "from": from, "only": "some" }), "only"),
        (json!({ "from": from, "max_rps": 0 }), "max_rps"),
    ] {
        let (status, _, refused) = stage.post(&path, &body).await;
        assert_eq!((status, &refused["param"]), (400, &json!(param)), "{body}: {refused}");
    }
    let (status, _, _) = stage.app.post(&path, &stage.app.other_key, &from_start()).await;
    assert_eq!(status, 404);
    assert_eq!(stage.app.get(&path, &stage.app.other_key).await.0, 404);
    assert_eq!(stage.get(&path).await["data"], json!([]));
}

#[tokio::test]
async fn a_replay_of_thousands_goes_on_after_a_crash_and_sends_each_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("farebox.db");
    let at = "127.0.0.1:0".parse().unwrap();
    let sink = Sink::start(at, SinkSettings::default()).await.unwrap();
    let first = open_node(&path);
    // On a server the next node waits until this one's lease has ended.
    first.keep_node().await.unwrap();
    let scope = first.ensure_tenant("Crash").await.unwrap();
    happen(&first, scope, 30, 100).await;
    let body = json!({ "types": ["customer.updated"] });
    let mut edit = engine::endpoints::read(&body).unwrap();
    edit.url = Some(sink.url("/ok"));
    let made = first.create_endpoint(scope, (edit, Cause::schedule()), None, |made| {
        let body = made.stored.id.to_string().into_bytes();
        engine::idempotency::Reply { status: 201, body }
    });
    let id = String::from_utf8(made.await.unwrap().reply.body).unwrap().parse().unwrap();
    let of = ((domain::webhook::receiver::ReceiverKind::Endpoint, None), id);
    let asked = engine::replays::read(&from_start(), first.now(&scope)).unwrap();
    let render =
        |_: &engine::replays::Shown| engine::idempotency::Reply { status: 202, body: Vec::new() };
    let change = (asked, Cause::schedule());
    first.start_replay(scope, of, change, None, render).await.unwrap();

    let client = Arc::new(GuardedClient::new(loopback()));
    let crashing = Deliverer::start(first.clone(), client.clone());
    while sink.received().len() < 1_000 {
        first.run_replays().await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    crashing.abort();
    first.close();
    drop(first);

    let second = open_node(&path);
    let deliverer = Deliverer::start(second.clone(), client);
    let state = || second.replays(&scope, of, (None, 1)).unwrap().remove(0).0;
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while state().finished_at.is_none() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", state());
        second.keep_node().await.unwrap();
        second.run_replays().await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let done = state();
    assert_eq!((done.matched(), done.sent, done.delivered), (Some(3_000), 3_000, 3_000));
    for (subject, mut all) in sequences(&sink) {
        // What was in flight comes twice.
        let ids: BTreeSet<u64> = all.iter().copied().collect();
        assert_eq!(ids.len(), 100, "{subject}");
        all.dedup();
        assert_eq!(all, (1..=100).collect::<Vec<_>>(), "{subject}");
    }
    deliverer.stop().await;
    second.close();
}

#[tokio::test]
async fn what_was_parked_is_sent_given_up_or_replayed_with_what_passed_by() {
    for (parked, sent) in [
        (json!({}), vec![1, 2]),
        (json!({ "parked": "send" }), vec![1, 2]),
        (json!({ "parked": "discard" }), vec![]),
        (json!({ "parked": "replay", "from": "2020-01-01T00:00:00Z" }), vec![1, 2, 3, 4]),
    ] {
        let stage = stage().await;
        let endpoint = stage.endpoint("/ok", &["customer.updated"], json!({})).await;
        let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
        assert_eq!(stage.post(&format!("{path}/pause"), &json!({})).await.0, 200);
        happen(&stage.app.engine, stage.app.scope, 1, 2).await;
        assert_eq!(stage.post(&format!("{path}/disable"), &json!({})).await.0, 200);
        happen(&stage.app.engine, stage.app.scope, 1, 2).await;
        let (status, _, enabled) = stage.post(&format!("{path}/enable"), &parked).await;
        assert_eq!((status, &enabled["state"]), (200, &json!("enabled")), "{parked}: {enabled}");
        stage.run_replays().await;
        let of: Vec<u64> = sequences(&stage.sink).into_values().flatten().collect();
        assert_eq!(of, sent, "{parked}");
        let open = stage.get("/v1/webhooks/deliveries?status=parked").await;
        assert_eq!(open["data"], json!([]), "{parked}");
    }
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["customer.updated"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", endpoint["id"].as_str().unwrap());
    for (action, body, param) in [
        ("enable", json!({ "parked": "keep" }), "parked"),
        ("resume", json!({ "parked": "replay" }), "from"),
        ("enable", json!({ "parked": "replay", "from": "now" }), "from"),
        ("pause", json!({ "parked": "discard" }), "parked"),
    ] {
        let (status, _, refused) = stage.post(&format!("{path}/{action}"), &body).await;
        assert_eq!((status, &refused["param"]), (400, &json!(param)), "{action} {body}");
    }
}
