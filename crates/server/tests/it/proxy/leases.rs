//! Lease mode over HTTP: answers come before their charges, batches pay for them, and whoever
//! needs the money, the owner, the user or the end of the process, calls it in.

use super::*;

/// A wall that settles in batches, when the test says so. `ann` has one dollar.
async fn leasing(extra: Value) -> Wall {
    let mut settings = json!({ "settlement": { "mode": "lease", "intervalMs": 1 } });
    settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let wall = Wall::with(&settings).await;
    wall.deposit("ann", "1").await;
    wall
}

/// An open stream, after its first words, with the id of its request.
async fn open(wall: &Wall, prompt: &str) -> (Response, String) {
    let extra = json!({ "stream": true, "max_tokens": 900 });
    let mut answer = wall.send(&chat(prompt, &extra)).await;
    assert_eq!(answer.status(), 200);
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let mut text = String::new();
    while text.matches("\"content\":\"").count() < 3 {
        text.push_str(&String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()));
    }
    (answer, id)
}

impl Wall {
    /// Every event of the paywall since the deposit, without `paywall.`.
    fn after_deposit(&self) -> Vec<String> {
        let names = self.app.events().into_iter().map(|(name, _)| name);
        let ours = names.filter_map(|name| name.strip_prefix("paywall.").map(str::to_owned));
        ours.skip_while(|name| name != "balance.deposit.created").skip(1).collect()
    }

    /// Settles what is left; then nothing is held and the books balance.
    async fn ended(&self) -> BTreeMap<String, usize> {
        assert!(self.app.server.tasks.end(Duration::from_secs(10)).await);
        self.app.engine.end_leases().await;
        let ends = self.settled().await;
        assert_eq!(self.balance("ann").await.1, 0);
        let deferred = self.told().iter().filter(|name| *name == "usage.charge.deferred").count();
        let charged = self.told().iter().filter(|name| *name == "usage.charge.created").count();
        assert!(deferred <= charged, "{:?}", self.told());
        let proof = self.app.engine.verify(self.app.scope).await.unwrap();
        assert!(proof.balanced, "{:#?}", proof.findings);
        ends
    }

    async fn patch(&self, body: Value) {
        let path = format!("/v1/paywalls/{}", self.id);
        let (status, _, answer) = self.app.patch(&path, &self.app.key, &body).await;
        assert_eq!(status, 200, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_before_their_charges_and_a_batch_pays_for_them() {
    let wall = leasing(json!({})).await;
    let prompt = "[prompt-tokens 1001] [completion-tokens 333] Hello";
    let plain = wall.chat(prompt, &json!({})).await;
    assert_eq!(plain.header("x-paywall-settlement"), "deferred");
    assert_eq!(plain.header("x-paywall-cost"), "0.001834");
    assert_eq!(plain.header("x-paywall-balance"), "0.998166");
    assert!(!plain.headers.contains_key("x-paywall-activity"));
    let stream = wall.chat(prompt, &json!({ "stream": true })).await;
    assert_eq!(stream.header("x-paywall-settlement"), "deferred");
    let comment = stream.comment();
    assert!(stream.is_done(), "{}", stream.text);
    let told = (&comment["status"], &comment["cost"], &comment["balance"]);
    assert_eq!(told, (&json!("ok"), &json!("0.001834"), &json!("0.996332")));
    assert_eq!(comment["activityId"], Value::Null);
    let each = ["proxy.request.started", "usage.charge.deferred", "proxy.request.completed"];
    assert_eq!(wall.after_deposit(), each.repeat(2), "usage is told before it is paid");
    assert_eq!(wall.balance("ann").await.0, 1_000_000);
    wall.app.engine.end_leases().await;
    let mut order = each.repeat(2);
    order.extend(["usage.charge.created"; 2]);
    order.push("balance.charge.completed");
    assert_eq!(wall.after_deposit(), order);
    assert_eq!(wall.balance("ann").await, (1_000_000 - 2 * 1_834, 0));
    let path = format!("/v1/paywalls/{}/settlements", wall.id);
    let (status, _, list) = wall.app.get(&path, &wall.app.key).await;
    assert_eq!((status, list["data"].as_array().map(Vec::len)), (200, Some(1)), "{list}");
    let batch = &list["data"][0];
    assert_eq!((&batch["amount"], &batch["requestCount"]), (&json!("0.003668"), &json!(2)));
    let ids = [plain.header("x-request-id"), stream.header("x-request-id")];
    assert_eq!(batch["requestIds"], json!(ids));
    let event = wall.event("paywall.balance.charge.completed");
    for name in ["settlementReference", "activityId", "requestCount"] {
        assert_eq!(event[name], batch[name], "{name}");
    }
    let reference = batch["settlementReference"].as_str().unwrap();
    let (status, _, one) = wall.app.get(&format!("{path}/{reference}"), &wall.app.key).await;
    assert_eq!((status, &one), (200, batch));
    assert_eq!(wall.ended().await, [("completed".to_owned(), 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_needs_leased_money_calls_it_in() {
    let wall = leasing(json!({})).await;
    let prompt = "[prompt-tokens 1001] [completion-tokens 333] Hello";
    let got = wall.chat(prompt, &json!({})).await;
    assert_eq!(got.header("x-paywall-balance"), "0.998166");
    assert!(wall.balance("ann").await.1 > 0, "some is leased");
    let body = json!({ "user": "ann", "amount": "0.998166" });
    let (status, _, answer) = wall.app.post("/v1/user/charge", &wall.key, &body).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    assert_eq!(wall.balance("ann").await, (0, 0));
    let order = [
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.completed",
        "usage.charge.created",
        "balance.charge.completed",
        "balance.charge.created",
        "balance.charge.completed",
    ];
    assert_eq!(wall.after_deposit(), order);
    wall.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paywall_may_stop_leasing_while_streams_are_open() {
    let wall = leasing(json!({})).await;
    let (stream, id) = open(&wall, "[words 30] [gap 20]").await;
    wall.patch(json!({ "settlement": { "mode": "immediate" } })).await;
    let got = wall.chat("Hello", &json!({})).await;
    assert_eq!(got.header("x-paywall-settlement"), "immediate");
    assert!(got.headers.contains_key("x-paywall-activity"));
    let stream = Got::of(stream).await;
    assert!(stream.is_done(), "{}", stream.text);
    assert_eq!(wall.ended().await, [("completed".to_owned(), 2)].into());
    let path = format!("/v1/paywalls/{}/requests/{id}", wall.id);
    let (_, _, story) = wall.app.get(&path, &wall.app.key).await;
    assert_eq!(story["charge"]["amount"], stream.comment()["cost"], "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_paywall_lets_its_open_stream_end_and_be_paid() {
    let wall = leasing(json!({})).await;
    wall.chat("Hello", &json!({})).await;
    let (stream, _) = open(&wall, "[words 30] [gap 20]").await;
    let path = format!("/v1/paywalls/{}/archive", wall.id);
    let (status, _, answer) = wall.app.post(&path, &wall.app.key, &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let charged = wall.told().iter().filter(|name| *name == "usage.charge.created").count();
    assert_eq!(charged, 1, "the archive calls the lease in");
    let got = wall.chat("Hello", &json!({})).await;
    assert_eq!((got.status, got.error().as_str()), (403, "paywall_archived"), "{}", got.text);
    let stream = Got::of(stream).await;
    assert!(stream.is_done(), "{}", stream.text);
    let ends = [("blocked".to_owned(), 1), ("completed".to_owned(), 2)];
    assert_eq!(wall.ended().await, ends.into());
    assert!(wall.balance("ann").await.0 < 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_user_pays_for_the_stream_that_was_open() {
    let wall = leasing(json!({})).await;
    let (stream, _) = open(&wall, "[words 30] [gap 20]").await;
    let path = format!("/v1/paywalls/{}/users/ann/suspend", wall.id);
    let (status, _, answer) = wall.app.post(&path, &wall.app.key, &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let got = wall.chat("Hello", &json!({})).await;
    assert_eq!(got.header("x-paywall-reason"), "user_suspended", "{} {}", got.status, got.text);
    let stream = Got::of(stream).await;
    assert!(stream.is_done(), "{}", stream.text);
    let ends = [("blocked".to_owned(), 1), ("completed".to_owned(), 1)];
    assert_eq!(wall.ended().await, ends.into());
    let cost: f64 = stream.comment()["cost"].as_str().unwrap().parse().unwrap();
    let left = 1.0 - cost;
    let (balance, _) = wall.balance("ann").await;
    assert_eq!(format!("{left:.6}"), format!("0.{balance:06}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_settles_its_leases() {
    let mut wall = leasing(json!({})).await;
    wall.chat("Hello", &json!({})).await;
    let (stream, _) = open(&wall, "[words 800] [gap 50]").await;
    wall.app.server.stop();
    let stream = Got::of(stream).await;
    assert!(!stream.is_done(), "{}", stream.text);
    let ends = [("canceled".to_owned(), 1), ("completed".to_owned(), 1)];
    assert_eq!(wall.ended().await, ends.into());
    assert_eq!(wall.event("paywall.proxy.request.canceled")["canceledBy"], "shutdown");
    let (told, balance) = (wall.after_deposit(), wall.balance("ann").await);
    wall.app.restart().await;
    assert_eq!(wall.app.engine.recover_requests(wall.app.scope, None).await.unwrap(), 0);
    assert_eq!((wall.after_deposit(), wall.balance("ann").await), (told, balance));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_stream_pays_what_was_made_in_the_batch() {
    let wall = leasing(json!({ "limits": { "drainSeconds": 0 } })).await;
    let (stream, _) = open(&wall, "[words 800] [gap 10]").await;
    drop(stream);
    assert_eq!(wall.ended().await, [("canceled".to_owned(), 1)].into());
    let order = [
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.canceled",
        "usage.charge.created",
        "balance.charge.completed",
    ];
    assert_eq!(wall.after_deposit(), order);
    assert_eq!(wall.event("paywall.proxy.request.canceled")["canceledBy"], "client");
    assert!(wall.balance("ann").await.0 < 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leased_stream_is_cut_where_the_money_ends() {
    let settings = json!({ "limits": { "streamStepTokens": 16 },
        "payment": { "rail": "custom", "topupUrl": "https://pay.example/{{ user }}" } });
    let wall = leasing(settings).await;
    let body = json!({ "user": "ann", "amount": "0.9995" });
    assert_eq!(wall.app.post("/v1/user/charge", &wall.key, &body).await.2["success"], true);
    let before = wall.after_deposit().len();
    let got = wall.chat("[words 3000] [burst 5]", &json!({ "stream": true })).await;
    assert!(got.is_done(), "{}", got.text);
    assert_eq!(got.comment()["status"], "cut");
    let last = got.chunks().pop().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!(wall.ended().await, [("completed".to_owned(), 1)].into());
    let order = [
        "proxy.request.started",
        "usage.charge.deferred",
        "balance.depleted",
        "balance.topup.link.created",
        "proxy.request.completed",
        "usage.charge.created",
        "balance.charge.completed",
    ];
    assert_eq!(wall.after_deposit()[before..], order);
    assert_eq!(wall.event("paywall.proxy.request.completed")["cut"], true);
    let (balance, _) = wall.balance("ann").await;
    assert!((0..500).contains(&balance), "{balance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_of_a_batch_is_refunded_by_its_id() {
    let wall = leasing(json!({})).await;
    let prompt = "[prompt-tokens 1001] [completion-tokens 333] Hello";
    let mut ids = Vec::new();
    for _ in 0..3 {
        let got = wall.chat(prompt, &json!({})).await;
        ids.push(got.header("x-request-id").to_owned());
    }
    wall.app.engine.end_leases().await;
    assert_eq!(wall.balance("ann").await, (1_000_000 - 3 * 1_834, 0));
    let body = json!({ "requestId": ids[1] });
    let (status, _, answer) = wall.app.post("/v1/user/refund", &wall.key, &body).await;
    assert_eq!((status, &answer["refundedAmount"]), (200, &json!("0.001834")), "{answer}");
    let (status, _, answer) = wall.app.post("/v1/user/refund", &wall.key, &body).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("already_refunded")));
    assert_eq!(wall.event("paywall.balance.refund.created")["chargeRequestId"], json!(ids[1]));
    assert_eq!(wall.balance("ann").await, (1_000_000 - 2 * 1_834, 0));
    wall.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_fail_cost_nothing_in_a_lease() {
    let wall = leasing(json!({})).await;
    let mut order = Vec::new();
    for prompt in ["[status 500]", "[cut-before]", "[quota]"] {
        for stream in [false, true] {
            let got = wall.chat(prompt, &json!({ "stream": stream, "max_tokens": 50 })).await;
            assert_eq!(got.status, 502, "{prompt} {stream}: {}", got.text);
            order.extend(["proxy.request.started", "proxy.request.failed"]);
        }
    }
    assert_eq!(wall.ended().await, [("failed".to_owned(), 6)].into());
    assert_eq!(wall.after_deposit(), order);
    assert_eq!(wall.balance("ann").await, (1_000_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_dies_midway_is_paid_for_what_was_delivered() {
    let wall = leasing(json!({})).await;
    let got = wall.chat("[cut 4]", &json!({ "stream": true, "max_tokens": 100 })).await;
    assert!(!got.is_done(), "{}", got.text);
    assert_eq!(wall.ended().await, [("failed".to_owned(), 1)].into());
    let order = [
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.failed",
        "usage.charge.created",
        "balance.charge.completed",
    ];
    assert_eq!(wall.after_deposit(), order);
    assert!(wall.balance("ann").await.0 < 1_000_000);
}
