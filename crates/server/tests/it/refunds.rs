//! Refunds over HTTP: what goes back, to which credits, how often, and what it tells.

use domain::id::RequestId;
use domain::place::Placed;
use domain::time::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Reply, TestApp};

const REFUND: &str = "/v1/user/refund";
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
        Wall::with(json!({})).await
    }

    async fn with(extra: Value) -> Wall {
        let app = TestApp::start().await;
        let (id, key) = paywall(&app, &app.key, extra).await;
        Wall { app, id, key }
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.app.post(path, &self.key, &body).await
    }

    async fn deposit(&self, user: &str, amount: &str, metadata: Value) -> String {
        let body = json!({ "user": user, "amount": amount, "metadata": metadata });
        let (status, _, answer) = self.post("/v1/user/balance/deposit", body).await;
        assert_eq!(status, 200, "{answer}");
        text(&answer["activityId"])
    }

    async fn charge(&self, user: &str, amount: &str) -> String {
        let body = json!({ "user": user, "amount": amount });
        let (status, _, answer) = self.post("/v1/user/charge", body).await;
        assert_eq!(status, 200, "{answer}");
        text(&answer["activityId"])
    }

    async fn refund(&self, body: Value) -> Value {
        let (status, _, answer) = self.post(REFUND, body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Status, code and parameter of a refusal.
    async fn refused(&self, body: Value) -> (u16, String, String) {
        let (status, headers, answer) = self.post(REFUND, body).await;
        assert!(status >= 400, "{answer}");
        assert_eq!(headers["x-should-retry"], "false");
        (status, text(&answer["error"]["code"]), text(&answer["error"]["param"]))
    }

    async fn manage(&self, path: &str) -> Value {
        let path = format!("/v1/paywalls/{}{path}", self.id);
        let (status, _, answer) = self.app.get(&path, &self.app.key).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn act(&self, path: &str) {
        let path = format!("/v1/paywalls/{}{path}", self.id);
        let (status, _, answer) = self.app.post(&path, &self.app.key, &json!({})).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn balance(&self, user: &str) -> String {
        let path = format!("/v1/user/balance?user={user}");
        text(&self.app.get(&path, &self.key).await.2["balanceFormatted"])
    }

    async fn proof(&self) -> Value {
        self.app.get("/v1/verify", &self.app.key).await.2
    }
}

async fn paywall(app: &TestApp, owner: &str, extra: Value) -> (String, String) {
    let mut body = json!({ "name": "Chat", "currency": "USD" });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let (status, _, made) = app.post("/v1/paywalls", owner, &body).await;
    assert_eq!(status, 201, "{made}");
    (text(&made["id"]), text(&made["apiKey"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_gives_back_a_part_then_the_rest_and_tells_each_once() {
    let wall = Wall::start().await;
    wall.deposit("ann", "10", json!({})).await;
    let charge = wall.charge("ann", "4").await;
    let seen = wall.app.events().len();
    let body = json!({ "activityId": charge, "amount": "1.5", "reason": "late",
        "metadata": { "ticket": 7 } });
    let first = wall.refund(body).await;
    let shown = json!({ "success": true, "message": "Refunded 1.50 USD.",
        "activityId": first["activityId"], "refundedAmount": "1.5", "remainingRefundable": "2.5",
        "currency": "USD", "balance": "7500000", "balanceFormatted": "7.50" });
    assert_eq!(first, shown);
    let told = wall.app.events().split_off(seen);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["paywall.balance.refund.created", "wallet.transaction.created"]);
    let (event, data) = (&told[0].1, &told[0].1["data"]);
    assert_eq!(
        (&data["activityId"], &data["chargeActivityId"]),
        (&first["activityId"], &json!(charge))
    );
    assert_eq!((&data["amount"], &data["amountDecimal"]), (&json!(1.5), &json!("1.5")));
    assert_eq!((&data["reason"], &event["metadata"]), (&json!("late"), &json!({ "ticket": 7 })));
    let row = &told[1].1["transaction"];
    assert_eq!(
        (&row["type"], &row["transaction_reason"]),
        (&json!("credit"), &json!("CREDIT_ADJUSTMENT"))
    );
    assert_eq!(
        (&row["parent_transaction_id"], &row["description"]),
        (&json!(charge), &json!("late"))
    );
    let rest = wall.refund(json!({ "activityId": charge })).await;
    assert_eq!(
        (&rest["refundedAmount"], &rest["remainingRefundable"]),
        (&json!("2.5"), &json!("0"))
    );
    assert_eq!(wall.balance("ann").await, "10.00");
    let again = wall.refused(json!({ "activityId": charge })).await;
    assert_eq!(again, (409, "already_refunded".into(), String::new()));
    assert_eq!(wall.proof().await["balanced"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_refunded_is_refused_and_writes_nothing() {
    let wall = Wall::start().await;
    let deposit = wall.deposit("ann", "10", json!({})).await;
    let charge = wall.charge("ann", "4").await;
    let failed = wall.charge("ann", "99").await;
    let (_, other) = paywall(&wall.app, &wall.app.key, json!({})).await;
    let (_, foreign) = paywall(&wall.app, &wall.app.other_key, json!({})).await;
    let seen = wall.app.events().len();
    let nobody = charge.replace("wtxn_0", "wtxn_1");
    let long = "x".repeat(513);
    let table = [
        (json!({}), (400, "invalid_request", "activityId")),
        (
            json!({ "activityId": charge, "requestId": "req_1" }),
            (400, "invalid_request", "requestId"),
        ),
        (
            json!({ "activityId": charge, "amount": "4.000001" }),
            (400, "refund_exceeds_charge", "amount"),
        ),
        (json!({ "activityId": charge, "amount": "0.0000001" }), (400, "invalid_amount", "amount")),
        (json!({ "activityId": charge, "amount": "0" }), (400, "invalid_amount", "amount")),
        (json!({ "activityId": charge, "reason": long }), (400, "invalid_request", "reason")),
        (json!({ "activityId": charge, "metadata": [] }), (400, "invalid_request", "metadata")),
        (json!({ "activityId": 7 }), (400, "invalid_request", "activityId")),
        (json!({ "activityId": deposit }), (400, "invalid_request", "activityId")),
        (json!({ "activityId": failed }), (400, "invalid_request", "activityId")),
        (json!({ "activityId": charge, "user": "bob" }), (404, "not_found", "")),
        (json!({ "activityId": nobody }), (404, "not_found", "")),
        (json!({ "activityId": "wtxn_x" }), (404, "not_found", "")),
        (json!({ "requestId": RequestId::default() }), (404, "not_found", "")),
    ];
    for (body, (status, code, param)) in table {
        let refused = wall.refused(body.clone()).await;
        assert_eq!(refused, (status, code.to_owned(), param.to_owned()), "{body}");
    }
    for key in [&other, &foreign] {
        let reply = wall.app.post(REFUND, key, &json!({ "activityId": charge })).await;
        assert_eq!((reply.0, &reply.2["error"]["code"]), (404, &json!("not_found")));
    }
    assert_eq!(wall.app.events().len(), seen);
    assert_eq!(wall.balance("ann").await, "6.00");
    let named = json!({ "activityId": charge, "user": "ann", "amount": "4.000000" });
    assert_eq!(wall.post("/v1/ann/user/refund", named).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_refund_counts_once_and_a_refused_one_may_be_tried_again() {
    let wall = Wall::start().await;
    wall.deposit("ann", "10", json!({})).await;
    let charge = wall.charge("ann", "4").await;
    let once = |body: Value| {
        let (app, key) = (&wall.app, &wall.key);
        async move { app.post_once(REFUND, key, "refund-1", &body).await }
    };
    let much = json!({ "activityId": charge, "amount": "5" });
    assert_eq!(once(much).await.0, 400);
    let body = json!({ "activityId": charge, "amount": "1" });
    let (first, again) = (once(body.clone()).await, once(body).await);
    assert_eq!((first.0, &first.2), (200, &again.2));
    assert_eq!(again.1["idempotent-replayed"], "true");
    assert_eq!(once(json!({ "activityId": charge, "amount": "2" })).await.0, 422);
    assert_eq!(wall.balance("ann").await, "7.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_at_once_never_exceed_the_charge() {
    let wall = std::sync::Arc::new(Wall::start().await);
    wall.deposit("ann", "10", json!({})).await;
    let charge = wall.charge("ann", "10").await;
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let (wall, body) = (wall.clone(), json!({ "activityId": charge, "amount": "1" }));
            tokio::spawn(async move { wall.post(REFUND, body).await.0 })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[..10], [200; 10]);
    assert_eq!(statuses[10..], [409; 14]);
    assert_eq!(wall.balance("ann").await, "10.00");
    assert_eq!(wall.proof().await["balanced"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_paywalls_suspended_users_and_captured_holds_are_refunded() {
    let wall = Wall::start().await;
    wall.deposit("ann", "10", json!({})).await;
    let charge = wall.charge("ann", "2").await;
    let hold = wall.post("/v1/user/holds", json!({ "user": "ann", "amount": "5" })).await.2;
    let path = format!("/v1/user/holds/{}/capture", text(&hold["id"]));
    let captured = wall.post(&path, json!({ "amount": "3" })).await.2;
    wall.act("/users/ann/suspend").await;
    wall.refund(json!({ "activityId": charge })).await;
    wall.act("/archive").await;
    let all = wall.refund(json!({ "activityId": captured["activityId"] })).await;
    assert_eq!((&all["refundedAmount"], &all["balanceFormatted"]), (&json!("3"), &json!("10.00")));
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_go_back_to_their_lots_and_expired_ones_do_not_expire_again() {
    let wall = Wall::start().await;
    wall.app.stand_at(Timestamp::from_millis(NOON));
    let expiry = Timestamp::from_millis(NOON + 60_000).to_string();
    let trial = json!({ "source": "trial", "expiresAt": expiry });
    let trial = wall.deposit("ann", "2", trial).await;
    let promo = wall.deposit("ann", "2", json!({ "source": "promo", "expiresAt": expiry })).await;
    let paid = wall.deposit("ann", "5", json!({})).await;
    let charge = wall.charge("ann", "6").await;
    let back = wall.refund(json!({ "activityId": charge, "amount": "3" })).await;
    let lots = wall.manage(&format!("/activities/{}", text(&back["activityId"]))).await;
    let shown: Vec<_> =
        lots["lots"].as_array().unwrap().iter().map(|lot| text(&lot["activityId"])).collect();
    assert_eq!(shown, [promo.clone(), paid], "the last that was taken comes back first");
    wall.app.stand_at(Timestamp::from_millis(NOON + 60_000));
    assert_eq!(wall.balance("ann").await, "5.00", "the promotion's 1 expired with its lot");
    let rest = wall.refund(json!({ "activityId": charge })).await;
    assert_eq!((&rest["refundedAmount"], &rest["balanceFormatted"]), (&json!("3"), &json!("8.00")));
    let rows = wall.manage("/ledger?type=refund").await;
    let rows = rows["data"].as_array().unwrap();
    let amounts: Vec<_> = rows.iter().map(|row| text(&row["amount"])).collect();
    assert_eq!(amounts, ["1", "2", "3"], "a row for each source that had to be made anew");
    let made = wall.manage(&format!("/activities/{}", text(&rows[1]["id"]))).await;
    let lot = &made["lots"][0];
    assert_eq!((&lot["activityId"], &lot["amount"]), (&rows[1]["id"], &json!("2")));
    assert_eq!((&lot["priority"], &lot["expiresAt"]), (&json!(10), &Value::Null));
    wall.app.stand_at(Timestamp::from_millis(NOON + 1_000_000_000));
    assert_eq!(wall.balance("ann").await, "8.00");
    let spent = wall.charge("ann", "2").await;
    let spent = wall.manage(&format!("/activities/{spent}")).await;
    assert_eq!(spent["lots"][0]["activityId"], rows[1]["id"], "a trial is spent first, as before");
    assert!(trial.starts_with("wtxn_"));
    let proof = wall.proof().await;
    assert_eq!(proof["balanced"], true, "{proof:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdraft_that_is_refunded_makes_no_money() {
    let wall = Wall::with(json!({ "overdraft": "5" })).await;
    wall.deposit("ann", "1", json!({})).await;
    let charge = wall.charge("ann", "4").await;
    assert_eq!(wall.balance("ann").await, "-3.00");
    let body = json!({ "activityId": charge, "amount": "2" });
    assert_eq!(wall.refund(body).await["balanceFormatted"], "-1.00");
    wall.deposit("ann", "3", json!({})).await;
    assert_eq!(wall.refund(json!({ "activityId": charge })).await["balanceFormatted"], "4.00");
    assert_eq!(wall.proof().await["balanced"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_surface_shows_a_refund_for_what_it_is() {
    let wall = Wall::with(json!({ "fees": { "processingPercent": "10" } })).await;
    wall.deposit("ann", "10", json!({})).await;
    let charge = wall.charge("ann", "4").await;
    let refund = wall.refund(json!({ "activityId": charge, "amount": "3" })).await;
    let id = text(&refund["activityId"]);
    let rows = wall.manage("/ledger?type=refund").await;
    let row = &rows["data"][0];
    assert_eq!(rows["data"].as_array().unwrap().len(), 1);
    assert_eq!((&row["id"], &row["refundOf"]), (&json!(id), &json!(charge)));
    assert_eq!(
        (&row["direction"], &row["reason"]),
        (&json!("credit"), &json!("CREDIT_ADJUSTMENT"))
    );
    assert_eq!((&row["platformFees"], &row["balanceAfter"]), (&json!("0"), &json!("9")));
    for format in ["csv", "jsonl"] {
        let path =
            format!("{}/v1/paywalls/{}/ledger?type=refund&format={format}", wall.app.base, wall.id);
        let client = testkit::http_client();
        let answer = client.request(Method::GET, path).header("x-api-key", &wall.app.key);
        let lines = answer.send().await.unwrap().text().await.unwrap();
        let last = lines.lines().last().unwrap();
        assert!(last.contains(&id) && last.contains("refund"), "{lines}");
    }
    let explained = wall.manage(&format!("/activities/{charge}")).await;
    assert_eq!(explained["refundedAmount"], "3");
    assert_eq!(
        (&explained["refunds"][0]["activityId"], &explained["refunds"][0]["amount"]),
        (&json!(id), &json!("3"))
    );
    let explained = wall.manage(&format!("/activities/{id}")).await;
    assert_eq!((&explained["from"], &explained["to"]), (&json!("revenue"), &json!("available")));
    let events: Vec<_> =
        explained["events"].as_array().unwrap().iter().map(|event| text(&event["type"])).collect();
    assert_eq!(events, ["paywall.balance.refund.created", "wallet.transaction.created"]);
    let user = wall.manage("/users/ann").await;
    assert_eq!(
        (&user["totals"]["charges"], &user["totals"]["refunds"]),
        (&json!("4"), &json!("3"))
    );
    assert_eq!(user["balance"], "9000000");
    billing_shows(&wall, (&text(&user["walletId"]), &charge, &id)).await;
    let totals = wall.proof().await["totals"]["USD"].clone();
    let expected = json!({ "available": "9", "funding": "-10", "fees": "0.4", "revenue": "0.6" });
    assert_eq!(totals, expected, "the operator keeps its fee");
}

/// The billing API's own lists.
async fn billing_shows(wall: &Wall, (wallet, charge, id): (&str, &str, &str)) {
    let query = format!("transaction_reason=CREDIT_ADJUSTMENT&parent_transaction_id={charge}");
    let path = format!("/v1/wallets/{wallet}/transactions?{query}");
    let (_, _, list) = wall.app.get(&path, &wall.app.key).await;
    let row = &list["items"][0];
    assert_eq!((&row["id"], &row["type"]), (&json!(id), &json!("credit")), "{list}");
    assert_eq!((&row["credit_amount"], &row["credits_available"]), (&json!("3"), &json!("0")));
    let returned = text(&row["metadata"]["returned_credit_tx_ids"]);
    let path = format!("/v1/wallets/{wallet}/transactions?id={returned}");
    let (_, _, list) = wall.app.get(&path, &wall.app.key).await;
    assert_eq!(list["items"][0]["credits_available"], "9", "all of it is in the deposit again");
    let path = format!("/v1/wallets/{wallet}");
    let (_, _, shown) = wall.app.get(&path, &wall.app.key).await;
    assert_eq!((&shown["credit_balance"], &shown["balance"]), (&json!("9"), &json!("9")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_finds_a_sum_that_the_entries_do_not_bear_out() {
    let wall = Wall::start().await;
    wall.deposit("ann", "10", json!({})).await;
    let charge = wall.charge("ann", "4").await;
    wall.refund(json!({ "activityId": charge, "amount": "1" })).await;
    let id: domain::id::TransactionId = charge.parse().unwrap();
    let scope = wall.app.scope;
    let forge = move |tx: &mut store::Tx<'_>| {
        let credits = domain::amount::Amount::units(1);
        let entry = id.place().offset(7);
        let row = store::refunds::Refund { charge: id.place(), entry, request: None, credits };
        Ok(store::refunds::insert(tx.write()?, &scope, &row)?)
    };
    wall.app.engine.change(scope, forge).await.unwrap();
    let proof = wall.proof().await;
    assert_eq!(
        (&proof["balanced"], &proof["findings"][0]["rule"]),
        (&json!(false), &json!("refund"))
    );
}
