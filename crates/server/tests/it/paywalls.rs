//! Paywalls over HTTP: what a charge, a deposit, a hold and a change of a paywall answer and tell.

use domain::time::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Reply, TestApp};

/// Later than the world's time: a clock only moves forward.
const NOON: i64 = 2_000_000_000_000;

/// A paywall of the first tenant.
struct Wall {
    app: TestApp,
    id: String,
    key: String,
}

impl Wall {
    async fn start() -> Wall {
        Wall::with(&json!({})).await
    }

    async fn with(extra: &Value) -> Wall {
        let app = TestApp::start().await;
        let mut body = json!({ "name": "Chat", "currency": "USD" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (status, _, made) = app.post("/v1/paywalls", &app.key, &body).await;
        assert_eq!(status, 201, "{made}");
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Wall { id: text("id"), key: text("apiKey"), app }
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.app.post(path, &self.key, &body).await
    }

    async fn manage(&self, path: &str, body: Value) -> Reply {
        let path = format!("/v1/paywalls/{}{path}", self.id);
        self.app.post(&path, &self.app.key, &body).await
    }

    async fn deposit(&self, user: &str, amount: &str) -> Value {
        let body = json!({ "user": user, "amount": amount });
        let (status, _, body) = self.post("/v1/user/balance/deposit", body).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn balance(&self, user: &str) -> Value {
        let (status, _, body) =
            self.app.get(&format!("/v1/user/balance?user={user}"), &self.key).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn raw(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.app.send(Method::POST, path, &self.key, headers, Some(body.into())).await
    }

    /// What was told since `seen` events.
    fn told(&self, seen: usize) -> Vec<(String, Value)> {
        self.app.events().split_off(seen)
    }

    fn names(&self, seen: usize) -> Vec<String> {
        self.told(seen).into_iter().map(|(name, _)| name).collect()
    }
}

fn header<'h>(reply: &'h Reply, name: &str) -> &'h str {
    reply.1.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_and_a_charge_tell_their_sequences() {
    let wall = Wall::start().await;
    let seen = wall.app.events().len();
    let deposited = wall.deposit("alice", "10").await;
    assert_eq!(
        (&deposited["balance"], &deposited["balanceFormatted"]),
        (&json!("10000000"), &json!("10.00"))
    );
    assert_eq!(
        wall.names(seen),
        [
            "customer.created",
            "wallet.created",
            "paywall.balance.deposit.created",
            "wallet.transaction.created"
        ]
    );
    let seen = wall.app.events().len();
    let asked = json!({ "user": "alice", "amount": "2.5", "metadata": { "note": "x" } });
    let reply = wall.post("/v1/user/charge", asked).await;
    let (status, _, paid) = &reply;
    assert_eq!((*status, header(&reply, "x-paywall-status")), (200, "ok"));
    assert_eq!(
        (&paid["success"], &paid["amount"], &paid["balance"], &paid["balanceFormatted"]),
        (&json!(true), &json!("2.5"), &json!("7500000"), &json!("7.50"))
    );
    let told = wall.told(seen);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "paywall.balance.charge.created",
            "paywall.balance.charge.completed",
            "wallet.transaction.created"
        ]
    );
    let (created, completed) = (&told[0].1, &told[1].1);
    assert_eq!(created["data"]["activityId"], paid["activityId"]);
    assert_eq!(created["data"]["amount"], json!(2.5));
    assert_eq!(created["data"]["amountDecimal"], "2.5");
    assert_eq!(created["metadata"], json!({ "note": "x" }));
    assert_eq!(created["trigger"]["actorType"], "paywall-key");
    assert_eq!(completed["data"]["settlementReference"], paid["settlementReference"]);
    assert_eq!(completed["data"]["activityId"], paid["activityId"]);
    let step = completed["sequence"].as_u64().unwrap() - created["sequence"].as_u64().unwrap();
    assert_eq!(step, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_money_is_told_in_order_and_both_styles_answer() {
    let wall = Wall::start().await;
    wall.deposit("bob", "1").await;
    let seen = wall.app.events().len();
    let asked = json!({ "user": "bob", "amount": "5" });
    let reply = wall.post("/v1/user/charge", asked.clone()).await;
    let body = &reply.2;
    assert_eq!((reply.0, &body["success"]), (200, &json!(false)));
    assert_eq!(body["errorCode"], "insufficient_funds");
    assert_eq!((&body["requiredAmount"], &body["available"]), (&json!("5"), &json!("1")));
    let url = body["actionUrl"].as_str().unwrap().to_owned();
    assert!(body["message"].as_str().unwrap().contains(&url) && url.starts_with("http://"));
    assert_eq!(header(&reply, "x-paywall-reason"), "insufficient_balance");
    assert_eq!(header(&reply, "x-paywall-action-url"), url);
    let told = wall.told(seen);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "paywall.balance.depleted",
            "paywall.balance.topup.link.created",
            "paywall.balance.charge.failed"
        ]
    );
    assert_eq!(told[0].1["data"]["requestedAmountDecimal"], "5");
    assert_eq!(told[0].1["data"]["availableBalance"], json!(1));
    assert_eq!(told[1].1["data"]["redirectUrl"], url);
    assert_eq!(told[2].1["data"]["errorCode"], "insufficient_funds");
    assert_eq!(told[2].1["data"]["activityId"], body["activityId"]);
    let seen = wall.app.events().len();
    let on_error = [("x-paywall-on-block", "error")];
    let reply = wall.raw("/v1/user/charge", &on_error, &asked.to_string()).await;
    assert_eq!((reply.0, &reply.2["error"]["code"]), (402, &json!("insufficient_balance")));
    assert_eq!(reply.2["error"]["type"], "insufficient_quota");
    assert_eq!(reply.2["paywall"]["actionUrl"], url);
    assert_eq!(reply.2["paywall"]["requestId"], header(&reply, "x-request-id"));
    assert_eq!(header(&reply, "x-paywall-status"), "blocked");
    assert_eq!(header(&reply, "x-should-retry"), "false");
    let names = wall.names(seen);
    assert_eq!(names, ["paywall.balance.depleted", "paywall.balance.charge.failed"]);
    let wrong = [("x-paywall-on-block", "maybe")];
    assert_eq!(wall.raw("/v1/user/charge", &wrong, &asked.to_string()).await.0, 400);
    assert_eq!(wall.balance("bob").await["topupUrl"], url);
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_and_suspended_block_and_replays_still_answer() {
    let wall = Wall::start().await;
    wall.deposit("cara", "5").await;
    let once = [("idempotency-key", "k1")];
    let asked = r#"{"user":"cara","amount":"1"}"#;
    let first = wall.raw("/v1/user/charge", &once, asked).await.2;
    let (status, _, body) = wall.manage("/users/cara/suspend", json!({ "reason": "abuse" })).await;
    assert_eq!((status, &body["state"]), (200, &json!("suspended")));
    assert_eq!(wall.manage("/users/nobody/suspend", json!({})).await.0, 404);
    let seen = wall.app.events().len();
    let reply = wall.raw("/v1/user/charge", &[], asked).await;
    assert_eq!((reply.0, &reply.2["error"]["code"]), (403, &json!("user_suspended")));
    assert_eq!(header(&reply, "x-paywall-reason"), "user_suspended");
    let told = wall.told(seen);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "paywall.request.blocked");
    assert_eq!(told[0].1["data"]["reason"], "user_suspended");
    assert_eq!(told[0].1["data"]["requestId"], header(&reply, "x-request-id"));
    let replay = wall.raw("/v1/user/charge", &once, asked).await;
    assert_eq!((replay.0, &replay.2), (200, &first));
    assert_eq!(header(&replay, "idempotent-replayed"), "true");
    wall.manage("/users/cara/resume", json!({})).await;
    assert_eq!(wall.raw("/v1/user/charge", &[], asked).await.2["success"], json!(true));
    let seen = wall.app.events().len();
    let (_, _, body) = wall.manage("/archive", json!({ "reason": "over" })).await;
    assert_eq!((&body["status"], &body["archiveReason"]), (&json!("archived"), &json!("over")));
    wall.manage("/archive", json!({ "reason": "again" })).await;
    for path in ["/v1/user/charge", "/v1/user/balance/deposit", "/v1/user/holds"] {
        let reply = wall.raw(path, &[], asked).await;
        assert_eq!(
            (reply.0, &reply.2["error"]["code"]),
            (403, &json!("paywall_archived")),
            "{path}"
        );
    }
    for path in ["/v1/user/connect", "/v1/user/balance/topup"] {
        assert_eq!(wall.app.get(&format!("{path}?user=cara"), &wall.key).await.0, 403);
    }
    let mut expected = vec!["paywall.archived"];
    expected.extend(["paywall.request.blocked"; 5]);
    assert_eq!(wall.names(seen), expected);
    assert_eq!(wall.balance("cara").await["balance"], "3000000");
    wall.manage("/unarchive", json!({})).await;
    assert_eq!(wall.raw("/v1/user/charge", &[], asked).await.0, 200);
    assert_eq!(wall.names(seen + 6)[0], "paywall.unarchived");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_parallel_charges_only_those_that_fit_are_paid() {
    let wall = Wall::start().await;
    wall.deposit("dora", "50").await;
    let asked = json!({ "user": "dora", "amount": "1" });
    let charges = (0..100).map(|_| wall.post("/v1/user/charge", asked.clone()));
    let replies = futures_util::future::join_all(charges).await;
    let paid = replies.iter().filter(|reply| reply.2["success"] == json!(true)).count();
    assert_eq!(paid, 50);
    assert_eq!(wall.balance("dora").await["balance"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_does_its_work_once() {
    let wall = Wall::start().await;
    wall.deposit("eve", "50").await;
    let once = [("idempotency-key", "order-7")];
    let asked = r#"{"user":"eve","amount":"1"}"#;
    let charges = (0..50).map(|_| wall.raw("/v1/user/charge", &once, asked));
    let replies = futures_util::future::join_all(charges).await;
    assert!(replies.iter().all(|reply| reply.0 == 200 && reply.2 == replies[0].2));
    let fresh = replies.iter().filter(|reply| header(reply, "idempotent-replayed").is_empty());
    assert_eq!(fresh.count(), 1);
    let other = wall.raw("/v1/user/charge", &once, r#"{"user":"eve","amount":"2"}"#).await;
    assert_eq!((other.0, &other.2["error"]["code"]), (422, &json!("idempotency_key_reused")));
    // The same body for another user asks for something else.
    let named = [("idempotency-key", "order-8"), ("x-paywall-user", "eve")];
    let renamed = [("idempotency-key", "order-8"), ("x-paywall-user", "fay")];
    assert_eq!(wall.raw("/v1/user/charge", &named, r#"{"amount":"1"}"#).await.0, 200);
    assert_eq!(wall.raw("/v1/user/charge", &renamed, r#"{"amount":"1"}"#).await.0, 422);
    // The same key on another route is another key, and a refusal keeps none.
    assert_eq!(wall.raw("/v1/user/balance/deposit", &once, asked).await.0, 200);
    let again = [("idempotency-key", "order-9")];
    let much = r#"{"user":"eve","amount":"500"}"#;
    assert_eq!(wall.raw("/v1/user/charge", &again, much).await.2["success"], json!(false));
    wall.deposit("eve", "500").await;
    assert_eq!(wall.raw("/v1/user/charge", &again, much).await.2["success"], json!(true));
    assert_eq!(wall.balance("eve").await["balance"], "49000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_are_judged_by_their_text() {
    let wall = Wall::start().await;
    wall.deposit("gil", "100").await;
    let seen = wall.app.events().len();
    let bad = [
        "null",
        "true",
        "0",
        "-1",
        "1e3",
        "1E3",
        "1.0000000000000001",
        "0.0000001",
        "1000000000000",
        r#""""#,
        r#"" 1""#,
        r#""1 ""#,
        r#""+1""#,
        r#""-1""#,
        r#""01""#,
        r#"".5""#,
        r#""1.""#,
        r#""1e3""#,
        r#""NaN""#,
        r#""0""#,
        r#""0.0000001""#,
        r#""1,5""#,
        "[1]",
        "{}",
    ];
    for amount in bad {
        for path in ["/v1/user/charge", "/v1/user/balance/deposit", "/v1/user/holds"] {
            let body = format!(r#"{{"user":"gil","amount":{amount}}}"#);
            let (status, _, reply) = wall.raw(path, &[], &body).await;
            assert_eq!(status, 400, "{amount} {reply}");
            assert_eq!(reply["error"]["code"], "invalid_amount", "{amount}");
            assert_eq!(reply["error"]["param"], "amount", "{amount}");
        }
    }
    assert_eq!(wall.raw("/v1/user/charge", &[], r#"{"user":"gil"}"#).await.0, 400);
    assert_eq!(wall.app.events().len(), seen);
    for amount in ["1", "0.25", r#""0.000001""#, r#""1.0000000000""#, "1.0000000000000000"] {
        let body = format!(r#"{{"user":"gil","amount":{amount}}}"#);
        let (status, _, reply) = wall.raw("/v1/user/charge", &[], &body).await;
        assert_eq!((status, &reply["success"]), (200, &json!(true)), "{amount} {reply}");
    }
    assert_eq!(wall.balance("gil").await["balance"], "96749999");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_named_by_body_then_header_then_path() {
    let wall = Wall::start().await;
    let named = [("x-paywall-user", "header")];
    let reply =
        wall.raw("/v1/path/user/balance/deposit", &named, r#"{"user":"body","amount":"1"}"#);
    let reply = reply.await;
    assert_eq!(reply.0, 200, "{}", reply.2);
    assert_eq!(header(&reply, "x-paywall-user-conflict"), "true");
    assert_eq!(header(&reply, "x-paywall-user-source"), "body");
    let reply = wall.raw("/v1/path/user/balance/deposit", &named, r#"{"amount":"2"}"#).await;
    assert_eq!(header(&reply, "x-paywall-user-source"), "header");
    let reply = wall.raw("/v1/p%C3%A4th/user/balance/deposit", &[], r#"{"amount":"3"}"#).await;
    assert_eq!((reply.0, header(&reply, "x-paywall-user-conflict")), (200, ""));
    assert_eq!(wall.balance("body").await["balance"], "1000000");
    assert_eq!(wall.balance("header").await["balance"], "2000000");
    assert_eq!(wall.balance("p%C3%A4th").await["balance"], "3000000");
    let (status, _, body) = wall.app.get("/v1/header/user/balance", &wall.key).await;
    assert_eq!((status, &body["balance"]), (200, &json!("2000000")));
    for reserved in ["customers", "paywalls", "user", "webhooks"] {
        let path = format!("/v1/{reserved}/user/balance");
        assert_eq!(wall.app.get(&path, &wall.key).await.0, 404, "{reserved}");
    }
    let (status, _, body) =
        wall.post("/v1/user/charge", json!({ "amount": "1", "user": "" })).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("user_required")));
    for bad in [" a", "a\n", "x\u{0}"] {
        let (status, _, body) =
            wall.post("/v1/user/charge", json!({"amount": "1", "user": bad})).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("invalid_user")), "{bad:?}");
    }
    let client = reqwest::Client::new();
    let broken = reqwest::header::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    let url = format!("{}/v1/user/balance", wall.app.base);
    let asked = client.get(url).bearer_auth(&wall.key).header("x-paywall-user", broken);
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "invalid_user");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_open_only_their_own_doors() {
    let wall = Wall::start().await;
    let app = &wall.app;
    wall.deposit("hal", "1").await;
    let euros = json!({ "name": "B", "currency": "EUR" });
    let other = app.post("/v1/paywalls", &app.other_key, &euros).await.2;
    let path = format!("/v1/paywalls/{}", wall.id);
    assert_eq!(app.get(&path, &app.key).await.0, 200);
    assert_eq!(app.get(&path, &app.other_key).await.0, 404);
    assert_eq!(app.patch(&path, &app.other_key, &json!({"name": "x"})).await.0, 404);
    assert_eq!(app.get(&path, &wall.key).await.0, 401);
    let foreign = other["apiKey"].as_str().unwrap();
    let (_, _, body) = app.get("/v1/user/balance?user=hal", foreign).await;
    assert_eq!((&body["balance"], &body["currency"]), (&json!("0"), &json!("EUR")));
    for wrong in ["nothing", app.key.as_str()] {
        let (status, _, body) = app.get("/v1/user/balance?user=hal", wrong).await;
        assert_eq!((status, &body["error"]["code"]), (401, &json!("invalid_api_key")));
    }
    let (status, _, body) = wall.post("/v1/responses", json!({})).await;
    assert_eq!((status, &body["error"]["code"]), (501, &json!("not_implemented")));
    let (status, _, body) = wall.post("/v1/messages/count_tokens", json!({})).await;
    assert_eq!(
        (status, &body["type"], &body["error"]["type"]),
        (400, &json!("error"), &json!("invalid_request_error"))
    );
    let (status, _, body) = app.post("/v1/messages", "wrong", &json!({})).await;
    assert_eq!((status, &body["error"]["type"]), (401, &json!("authentication_error")));
    assert_eq!(app.get(&format!("{path}/integrations"), &app.key).await.0, 501);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_good_for_its_grace_and_one_old_key_only() {
    let wall = Wall::start().await;
    let app = &wall.app;
    app.stand_at(Timestamp::from_millis(NOON));
    let seen = app.events().len();
    let ok = async |key: &str| app.get("/v1/user/balance?user=ida", key).await.0;
    let (status, _, body) = wall.manage("/secret/rotate", json!({ "graceSeconds": 60 })).await;
    assert_eq!(status, 200, "{body}");
    let second = body["apiKey"].as_str().unwrap().to_owned();
    let told = wall.told(seen);
    assert_eq!(told[0].0, "paywall.secret.rotated");
    let data = &told[0].1["data"];
    assert_eq!(data["secretLastFour"], second[second.len() - 4..]);
    assert_eq!((&data["actorType"], &data["keyId"]), (&json!("user"), &body["keyId"]));
    assert_eq!(data["previousSecretExpiresAt"], body["previousSecretExpiresAt"]);
    assert_eq!((ok(&wall.key).await, ok(&second).await), (200, 200));
    app.stand_at(Timestamp::from_millis(NOON + 59_999));
    assert_eq!(ok(&wall.key).await, 200);
    let (_, _, body) = wall.manage("/secret/rotate", json!({ "graceSeconds": 60 })).await;
    let third = body["apiKey"].as_str().unwrap().to_owned();
    assert_eq!((ok(&wall.key).await, ok(&second).await, ok(&third).await), (401, 200, 200));
    app.stand_at(Timestamp::from_millis(NOON + 119_999));
    assert_eq!((ok(&second).await, ok(&third).await), (401, 200));
    let supplied = format!("sk-paywalls-v1-{}", "aZ09".repeat(10));
    let (_, _, body) = wall.manage("/secret/rotate", json!({ "apiKey": supplied })).await;
    assert_eq!(body["apiKey"], supplied.as_str());
    assert_eq!((ok(&third).await, ok(&supplied).await), (401, 200));
    assert_eq!(wall.manage("/secret/rotate", json!({ "graceSeconds": 604_801 })).await.0, 400);
    let told = serde_json::to_string(&app.events()).unwrap();
    assert!([&wall.key, &second, &third, &supplied].iter().all(|key| !told.contains(key.as_str())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_tells_what_changed_and_a_repeat_tells_nothing() {
    let wall = Wall::start().await;
    let app = &wall.app;
    wall.deposit("jon", "1").await;
    let seen = app.events().len();
    let path = format!("/v1/paywalls/{}", wall.id);
    let patch = json!({ "name": "Talk", "block": { "style": "error" } });
    let (status, _, body) = app.patch(&path, &app.key, &patch).await;
    assert_eq!((status, &body["version"], &body["name"]), (200, &json!(2), &json!("Talk")));
    app.patch(&path, &app.key, &patch).await;
    let told = wall.told(seen);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "paywall.updated");
    let data = &told[0].1["data"];
    let fields = data["changedFields"].as_array().unwrap();
    assert!(
        fields.contains(&json!("name")) && fields.contains(&json!("block.style")),
        "{fields:?}"
    );
    assert_eq!(
        (&data["previous"]["name"], &data["next"]["name"]),
        (&json!("Chat"), &json!("Talk"))
    );
    assert_eq!(data["version"], 2);
    assert!(data["summarySections"].as_array().is_some_and(|lines| lines.len() >= 2));
    let charge = json!({ "user": "jon", "amount": "3" });
    assert_eq!(wall.post("/v1/user/charge", charge.clone()).await.0, 402);
    // A new overdraft reaches the wallets that exist.
    app.patch(&path, &app.key, &json!({ "overdraft": "2" })).await;
    let (status, _, body) = wall.post("/v1/user/charge", charge).await;
    assert_eq!((status, &body["balance"]), (200, &json!("-2000000")));
    let balance = wall.balance("jon").await;
    assert_eq!((&balance["available"], &balance["held"]), (&json!("-2000000"), &json!("0")));
    for (patch, status) in [
        (json!({ "mode": "shared" }), 409),
        (json!({ "currency": "EUR" }), 409),
        (json!({ "payment": { "minAmount": "20" } }), 501),
        (json!({ "colour": "red" }), 400),
    ] {
        assert_eq!(app.patch(&path, &app.key, &patch).await.0, status, "{patch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_captured_once_or_released_or_runs_out() {
    let wall = Wall::start().await;
    let app = &wall.app;
    app.stand_at(Timestamp::from_millis(NOON));
    wall.deposit("kim", "10").await;
    let seen = app.events().len();
    let asked = json!({ "user": "kim", "amount": "6", "metadata": { "n": 1 } });
    let (status, _, hold) = wall.post("/v1/user/holds", asked.clone()).await;
    assert_eq!((status, &hold["status"], &hold["amount"]), (201, &json!("held"), &json!("6")));
    assert_eq!(hold["expiresAt"], "2033-05-18T03:48:20.000Z");
    let balance = wall.balance("kim").await;
    assert_eq!(
        (&balance["balance"], &balance["available"], &balance["held"]),
        (&json!("10000000"), &json!("4000000"), &json!("6000000"))
    );
    let (status, _, short) = wall.post("/v1/user/holds", asked).await;
    assert_eq!((status, &short["paywall"]["available"]), (402, &json!("4")));
    let path = format!("/v1/user/holds/{}", hold["id"].as_str().unwrap());
    let capture = format!("{path}/capture");
    let (status, _, body) = wall.post(&capture, json!({ "amount": "6.5" })).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("capture_exceeds_hold")));
    assert_eq!(wall.post(&capture, json!({ "amount": "1", "user": "other" })).await.0, 404);
    let once = [("idempotency-key", "cap")];
    let first = wall.raw(&capture, &once, r#"{"amount":"2.5"}"#).await;
    assert_eq!((first.0, &first.2["status"]), (200, &json!("captured")), "{}", first.2);
    assert_eq!(first.2["capturedAmount"], "2.5");
    assert_eq!(wall.raw(&capture, &once, r#"{"amount":"2.5"}"#).await.2, first.2);
    let (status, _, body) = wall.post(&capture, json!({})).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("hold_closed")));
    assert_eq!(app.get(&path, &wall.key).await.2, first.2);
    assert_eq!(wall.balance("kim").await["available"], "7500000");
    assert_eq!(
        wall.names(seen),
        [
            "paywall.balance.hold.created",
            "paywall.balance.depleted",
            "paywall.balance.topup.link.created",
            "paywall.balance.charge.created",
            "paywall.balance.charge.completed",
            "wallet.transaction.created"
        ]
    );
    let seen = app.events().len();
    let asked = json!({ "user": "kim", "amount": "1", "expiresInSeconds": 10 });
    let one = wall.post("/v1/user/holds", asked.clone()).await.2;
    let two = wall.post("/v1/user/holds", asked).await.2;
    let at =
        |hold: &Value, end: &str| format!("/v1/user/holds/{}{end}", hold["id"].as_str().unwrap());
    let (status, _, body) = wall.post(&at(&one, "/release"), json!({})).await;
    assert_eq!((status, &body["status"]), (200, &json!("released")));
    app.stand_at(Timestamp::from_millis(NOON + 10_000));
    assert_eq!(wall.balance("kim").await["held"], "0");
    assert_eq!(app.get(&at(&two, ""), &wall.key).await.2["status"], "expired");
    let (status, _, body) = wall.post(&at(&two, "/capture"), json!({})).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("hold_expired")));
    let told = wall.told(seen);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    let (created, released) = ("paywall.balance.hold.created", "paywall.balance.hold.released");
    assert_eq!(names, [created, created, released, released]);
    assert_eq!(
        (&told[2].1["data"]["cause"], &told[3].1["data"]["cause"]),
        (&json!("released"), &json!("expired"))
    );
    for bad in [0, 86_401] {
        let asked = json!({ "user": "kim", "amount": "1", "expiresInSeconds": bad });
        assert_eq!(wall.post("/v1/user/holds", asked).await.0, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_for_each_item_in_order() {
    let wall = Wall::start().await;
    wall.deposit("lea", "3").await;
    wall.deposit("max", "1").await;
    wall.manage("/users/max/suspend", json!({})).await;
    let item = |user: &str, amount: &str| json!({ "user": user, "amount": amount });
    let keyed = json!({ "user": "lea", "amount": "1", "idempotency_key": "i1" });
    let charges = json!([keyed, item("lea", "5"), item("new", "1"), item("max", "1"), keyed]);
    let (status, _, body) = wall.post("/v1/charges/batch", json!({ "charges": charges })).await;
    assert_eq!(status, 200, "{body}");
    let results = body["results"].as_array().unwrap();
    let successes: Vec<&Value> = results.iter().map(|result| &result["success"]).collect();
    assert_eq!(successes, [&json!(true), &json!(false), &json!(false), &Value::Null, &json!(true)]);
    assert_eq!(results[0], results[4]);
    assert_eq!(results[0]["balance"], "2000000");
    assert!(results[1]["actionUrl"].is_string());
    assert_eq!(results[3]["error"]["code"], "user_suspended");
    let seen = wall.app.events().len();
    let charges = json!([item("lea", "1"), item("lea", "1"), item("lea", "1"), item("lea", "x")]);
    let (status, _, body) = wall.post("/v1/charges/batch", json!({ "charges": charges })).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("charges[3].amount")));
    assert_eq!(wall.post("/v1/charges/batch", json!({ "charges": [] })).await.0, 400);
    assert_eq!(wall.app.events().len(), seen);
    let once = [("idempotency-key", "batch")];
    let asked = r#"{"charges":[{"user":"lea","amount":"1"},{"user":"lea","amount":"9"}]}"#;
    let first = wall.raw("/v1/charges/batch", &once, asked).await;
    let again = wall.raw("/v1/charges/batch", &once, asked).await;
    assert_eq!((&first.2, header(&again, "idempotent-replayed")), (&again.2, "true"));
    assert_eq!(wall.balance("lea").await["balance"], "1000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_read_users_ledger_and_activities() {
    let wall = Wall::start().await;
    let app = &wall.app;
    let trial = json!({ "user": "nia", "amount": "1", "metadata": { "source": "trial" } });
    wall.deposit("nia", "5").await;
    wall.post("/v1/user/balance/deposit", trial).await;
    wall.deposit("oto", "2").await;
    let charge = json!({ "user": "nia", "amount": "2", "metadata": { "a": "=x" } });
    let paid = wall.post("/v1/user/charge", charge).await.2;
    let base = format!("/v1/paywalls/{}", wall.id);
    let (_, _, users) = app.get(&format!("{base}/users?limit=1"), &app.key).await;
    assert_eq!((&users["has_more"], users["data"].as_array().unwrap().len()), (&json!(true), 1));
    let next = users["next_cursor"].as_str().unwrap();
    let (_, _, rest) = app.get(&format!("{base}/users?limit=1&cursor={next}"), &app.key).await;
    assert_eq!((&rest["has_more"], &rest["next_cursor"]), (&json!(false), &Value::Null));
    assert_ne!(users["data"][0]["externalId"], rest["data"][0]["externalId"]);
    let (_, _, user) = app.get(&format!("{base}/users/nia"), &app.key).await;
    assert_eq!((&user["balance"], &user["state"]), (&json!("4000000"), &json!("active")));
    let totals = &user["totals"];
    assert_eq!(
        (&totals["deposits"], &totals["trials"], &totals["charges"]),
        (&json!("5"), &json!("1"), &json!("2"))
    );
    let activity = paid["activityId"].as_str().unwrap();
    let (status, _, row) = app.get(&format!("{base}/activities/{activity}"), &app.key).await;
    assert_eq!((status, &row["type"]), (200, &json!("charge")), "{row}");
    // Trial credit is spent first.
    assert_eq!(
        (&row["lots"][0]["type"], &row["lots"][0]["amount"]),
        (&json!("trial"), &json!("1"))
    );
    assert_eq!(row["events"][0]["type"], "paywall.balance.charge.created");
    assert_eq!(row["settlementReference"], paid["settlementReference"]);
    let (_, _, page) = app.get(&format!("{base}/ledger?type=deposit&limit=1"), &app.key).await;
    assert_eq!(page["data"][0]["externalUserId"], "oto");
    let next = page["next_cursor"].as_str().unwrap();
    let (_, _, page) = app.get(&format!("{base}/ledger?limit=5&cursor={next}"), &app.key).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!(page["data"][0]["externalUserId"], "nia");
    let (_, _, page) = app.get(&format!("{base}/ledger?user=nia"), &app.key).await;
    let types: Vec<&Value> =
        page["data"].as_array().unwrap().iter().map(|row| &row["type"]).collect();
    assert_eq!(types, [&json!("charge"), &json!("trial"), &json!("deposit")]);
    let url = format!("{}{base}/ledger?format=csv", app.base);
    let answer =
        reqwest::Client::new().get(url).header("x-api-key", &app.key).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.starts_with("id,createdAt,"));
    for bad in ["type=gift", "from=yesterday", "limit=0", "cursor=x", "format=xml"] {
        assert_eq!(app.get(&format!("{base}/ledger?{bad}"), &app.key).await.0, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_leads_to_the_page_or_to_the_owners_address() {
    let wall = Wall::start().await;
    let app = &wall.app;
    app.stand_at(Timestamp::from_millis(NOON));
    let seen = app.events().len();
    let reply = app.get("/v1/user/balance/topup?user=a%26b", &wall.key).await;
    assert_eq!((reply.0, header(&reply, "cache-control")), (200, "no-store"));
    let url = reply.2["url"].as_str().unwrap().to_owned();
    let again = app.get("/v1/user/balance/topup?user=a%26b", &wall.key).await.2;
    assert_eq!(again["url"], url);
    let links = |names: Vec<String>| names.iter().filter(|name| name.contains("link")).count();
    assert_eq!(links(wall.names(seen)), 1);
    let none = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().redirect(none).build().unwrap();
    let page = client.get(&url).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let custom = "https://pay.example/t?u={{ user }}&t={{ token }}";
    let patch = json!({ "payment": { "rail": "custom", "topupUrl": custom } });
    let path = format!("/v1/paywalls/{}", wall.id);
    assert_eq!(app.patch(&path, &app.key, &patch).await.0, 200);
    let answer = client.get(&url).send().await.unwrap();
    let token = url.rsplit('/').next().unwrap();
    assert_eq!(answer.status().as_u16(), 303);
    let to = answer.headers()["location"].to_str().unwrap();
    assert_eq!(to, format!("https://pay.example/t?u=a%26b&t={token}"));
    let unknown = format!("{}/v1/checkout/nothing", app.base);
    assert_eq!(client.get(unknown).send().await.unwrap().status().as_u16(), 404);
    // With less than an hour to go there is a new link; after a day the old one is gone.
    app.stand_at(Timestamp::from_millis(NOON + 23 * 3_600_000));
    let fresh = app.get("/v1/user/balance/topup?user=a%26b", &wall.key).await.2;
    assert_ne!(fresh["url"], url);
    app.stand_at(Timestamp::from_millis(NOON + 24 * 3_600_000));
    assert_eq!(client.get(&url).send().await.unwrap().status().as_u16(), 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_paywall_replays_with_its_key_and_fees_need_a_super_admin() {
    let app = TestApp::start().await;
    let body = json!({ "name": "Once", "currency": "USD", "fees": { "processingPercent": "10" } });
    let first = app.post_once("/v1/paywalls", &app.key, "mk", &body).await;
    let again = app.post_once("/v1/paywalls", &app.key, "mk", &body).await;
    assert_eq!((first.0, &first.2), (201, &again.2));
    assert_eq!(header(&again, "idempotent-replayed"), "true");
    let key = first.2["apiKey"].as_str().unwrap();
    let deposit = json!({ "user": "pam", "amount": "10" });
    assert_eq!(app.post("/v1/user/balance/deposit", key, &deposit).await.0, 200);
    let charge = json!({ "user": "pam", "amount": "2" });
    let (_, _, paid) = app.post("/v1/user/charge", key, &charge).await;
    assert_eq!(paid["fees"]["processingFeeAmount"], "0.2");
    assert_eq!(paid["balance"], "8000000");
    let plain = json!({ "name": "Plain" });
    for (body, param) in [(plain, "currency"), (json!({ "currency": "USD" }), "name")] {
        let (status, _, body) = app.post("/v1/paywalls", &app.key, &body).await;
        assert_eq!((status, &body["param"]), (400, &json!(param)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_read_is_a_first_sight_and_parallel_ones_make_one_user() {
    let wall = Wall::start().await;
    let seen = wall.app.events().len();
    let reads = (0..20).map(|_| wall.balance("quin"));
    let all = futures_util::future::join_all(reads).await;
    assert!(all.iter().all(|read| read["walletUserId"] == all[0]["walletUserId"]));
    assert_eq!((&all[0]["balance"], &all[0]["sequence"]), (&json!("0"), &json!(1)));
    assert_eq!(wall.names(seen), ["customer.created", "wallet.created"]);
    let (_, _, body) = wall.app.get("/v1/user/connect?user=quin", &wall.key).await;
    assert_eq!(body["connected"], json!(true));
    assert_eq!(body["connectedUser"]["paywallKeyId"], wall.id.as_str());
}
