//! Channels: who hears of which customer, wallet and paywall, and who reads of them.

use std::collections::BTreeSet;

use super::*;

/// A customer with a wallet, and a paywall with a user: their channels.
struct Shop {
    ada: Person,
    bob: Person,
    paywall: String,
    paywall_key: String,
}

struct Person {
    customer: String,
    wallet: String,
    wallet_id: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Stage {
    async fn person(&self, name: &str) -> Person {
        let body = json!({ "external_id": name, "name": name });
        let customer = text(&self.post("/v1/customers", &body).await.2["id"]);
        let body = json!({ "external_customer_id": name, "currency": "usd" });
        let wallet_id = text(&self.post("/v1/wallets", &body).await.2["id"]);
        assert!(wallet_id.starts_with("wallet_"));
        let (customer, wallet) = (format!("customer:{customer}"), format!("wallet:{wallet_id}"));
        Person { customer, wallet, wallet_id }
    }

    async fn shop(&self) -> Shop {
        let (ada, bob) = (self.person("ada").await, self.person("bob").await);
        let (status, _, made) =
            self.post("/v1/paywalls", &json!({ "name": "Demo", "currency": "USD" })).await;
        assert_eq!(status, 201, "{made}");
        let paywall = format!("paywall:{}", text(&made["id"]));
        Shop { ada, bob, paywall, paywall_key: text(&made["apiKey"]) }
    }

    async fn top_up(&self, person: &Person) {
        let path = format!("/v1/wallets/{}/top-up", person.wallet_id);
        let body =
            json!({ "credits_to_add": "5", "transaction_reason": "PURCHASED_CREDIT_DIRECT" });
        let (status, _, answer) = self.post(&path, &body).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// A user of the paywall pays in and is charged.
    async fn buy(&self, shop: &Shop, user: &str) {
        for (path, amount) in [("/v1/user/balance/deposit", "3"), ("/v1/user/charge", "1")] {
            let body = json!({ "user": user, "amount": amount });
            assert_eq!(self.app.post(path, &shop.paywall_key, &body).await.0, 200);
        }
    }

    /// Every event, by the feed, page by page; `more` is added to the query.
    async fn feed(&self, key: &str, more: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), "start".to_owned());
        loop {
            let path = format!("/v1/webhooks/events?limit=3&after={after}{more}");
            let (status, _, page) = self.app.get(&path, key).await;
            assert_eq!(status, 200, "{page}");
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            after = text(&page["next_cursor"]);
            if page["has_more"] == false {
                let head = page["head_position"].as_u64().unwrap();
                assert!(after.ends_with(&format!("_{head}")), "it looked at all: {after}");
                return all;
            }
        }
    }

    async fn changed(&self, endpoint: &Value, change: Value) -> Value {
        self.change(endpoint, change).await;
        self.get(&format!("/v1/webhooks/endpoints/{}", text(&endpoint["id"]))).await
    }

    /// Ids of the events that an endpoint has deliveries of.
    async fn got(&self, endpoint: &Value) -> BTreeSet<String> {
        let all = self.deliveries(endpoint).await;
        all.iter().map(|one| text(&one["event_id"])).collect()
    }
}

fn touches(event: &Value, channel: &str) -> bool {
    event["channels"].as_array().unwrap().iter().any(|one| one == channel)
}

fn ids<'e>(events: impl Iterator<Item = &'e Value>) -> BTreeSet<String> {
    events.map(|event| text(&event["id"])).collect()
}

#[tokio::test]
async fn an_endpoint_with_channels_gets_what_touches_one_of_them_and_nothing_else() {
    let stage = stage().await;
    let shop = stage.shop().await;
    let types = ["*", "paywall.*", "webhook.*"];
    let lists = [
        vec![&shop.ada.customer],
        vec![&shop.bob.wallet],
        vec![&shop.paywall],
        vec![&shop.paywall, &shop.ada.wallet],
    ];
    let mut made = Vec::new();
    for list in &lists {
        let endpoint = stage.endpoint("/ok", &types, json!({ "channels": list })).await;
        assert_eq!(endpoint["channels"], json!(list));
        made.push(endpoint);
    }
    let all = stage.endpoint("/ok", &types, json!({ "channels": [] })).await;
    let after = stage.feed(&stage.app.key, "").await.len();
    stage.top_up(&shop.ada).await;
    stage.top_up(&shop.bob).await;
    stage.buy(&shop, "eve").await;
    let path = format!("/v1/customers/{}", shop.ada.customer.trim_start_matches("customer:"));
    let renamed = stage.app.put(&path, &stage.app.key, &json!({ "name": "Countess" })).await;
    assert_eq!(renamed.0, 200, "{}", renamed.2);

    let events = stage.feed(&stage.app.key, "").await.split_off(after);
    assert_eq!(stage.got(&all).await, ids(events.iter()), "without channels, everything");
    for (list, endpoint) in lists.iter().zip(&made) {
        let wanted = |event: &&Value| list.iter().any(|channel| touches(event, channel));
        let wanted = ids(events.iter().filter(wanted));
        assert!(!wanted.is_empty(), "{list:?}");
        assert_eq!(stage.got(endpoint).await, wanted, "{list:?}");
    }
    // What an event touches is what it is about, and whose that is.
    let of = |name: &str| {
        let channels = |one: &Value| one["channels"].clone();
        let named = events.iter().filter(|event| event["type"] == name);
        named.map(channels).collect::<Vec<_>>()
    };
    assert_eq!(of("customer.updated"), [json!([shop.ada.customer])]);
    let credits = of("wallet.transaction.created");
    assert_eq!(credits[0], json!([shop.ada.customer, shop.ada.wallet]));
    assert_eq!(credits[1], json!([shop.bob.customer, shop.bob.wallet]));
    let eve = &of("paywall.balance.deposit.created")[0];
    assert_eq!((eve.as_array().unwrap().len(), &eve[2]), (3, &json!(shop.paywall)));
    assert_eq!(of("paywall.balance.charge.completed"), std::slice::from_ref(eve));
    assert_eq!(of("wallet.created"), std::slice::from_ref(eve), "the wallet of a paywall's user");
    let first = stage.feed(&stage.app.key, "&types=webhook.*,paywall.created").await;
    let touched: Vec<_> = first.iter().map(|event| event["channels"].clone()).collect();
    assert_eq!(touched[0], json!([shop.paywall]));
    assert!(touched[1..].iter().all(|channels| *channels == json!([])), "{touched:?}");
    let proof = stage.app.engine.verify(stage.app.scope).await.unwrap();
    assert!(proof.findings.is_empty(), "{proof:?}");
}

#[tokio::test]
async fn a_change_of_channels_holds_for_events_after_it() {
    let stage = stage().await;
    let shop = stage.shop().await;
    let watch = stage.endpoint("/ok/watch", &["webhook.endpoint.updated"], json!({})).await;
    let more = json!({ "channels": [shop.ada.wallet] });
    let endpoint = stage.endpoint("/ok", &["wallet.transaction.created"], more).await;
    let id = text(&endpoint["id"]);
    assert_eq!(stage.post(&format!("/v1/webhooks/endpoints/{id}/pause"), &json!({})).await.0, 200);
    stage.top_up(&shop.ada).await;
    stage.top_up(&shop.bob).await;
    let changed = stage.changed(&endpoint, json!({ "channels": [shop.bob.wallet] })).await;
    assert_eq!(changed["channels"], json!([shop.bob.wallet]));
    stage.top_up(&shop.ada).await;
    stage.top_up(&shop.bob).await;
    assert_eq!(stage.post(&format!("/v1/webhooks/endpoints/{id}/resume"), &json!({})).await.0, 200);
    stage.drain().await;
    let subjects = || -> Vec<String> {
        let billing = stage.bodies().into_iter().filter(|body| body["wallet"].is_object());
        billing.map(|body| format!("wallet:{}", text(&body["wallet"]["id"]))).collect()
    };
    let sent = [shop.ada.wallet.clone(), shop.bob.wallet.clone()];
    assert_eq!(subjects(), sent, "what was matched before is still sent");
    let told = stage.bodies().into_iter().find(|body| body["previous_attributes"].is_object());
    let told = told.unwrap();
    assert_eq!(told["previous_attributes"], json!({ "channels": [shop.ada.wallet] }));
    assert_eq!(stage.deliveries(&watch).await.len(), 1);

    // Another field leaves them; an empty list takes them away.
    let kept = stage.changed(&endpoint, json!({ "description": "x", "channels": null })).await;
    assert_eq!(kept["channels"], json!([shop.bob.wallet]));
    stage.change(&endpoint, json!({ "channels": [] })).await;
    stage.top_up(&shop.ada).await;
    stage.top_up(&shop.bob).await;
    stage.drain().await;
    assert_eq!(subjects().len(), 4);
}

#[tokio::test]
async fn events_of_one_subject_stay_in_order_behind_channels() {
    let stage = stage().await;
    let shop = stage.shop().await;
    let more = json!({ "channels": [shop.ada.customer, shop.bob.wallet] });
    let endpoint = stage.endpoint("/fail/500", &["wallet.transaction.created"], more).await;
    for _ in 0..3 {
        stage.top_up(&shop.ada).await;
        stage.top_up(&shop.bob).await;
    }
    stage.drain().await;
    assert_eq!(stage.sink.received().len(), 2, "the head of each wallet");
    stage.change(&endpoint, json!({ "url": stage.sink.url("/ok") })).await;
    stage.move_by(6_000).await;
    for person in [&shop.ada, &shop.bob] {
        let sent = stage.bodies().into_iter().skip(2);
        let of = sent.filter(|body| body["subject"]["id"] == person.wallet_id);
        let sequences: Vec<_> = of.map(|body| body["sequence"].as_u64().unwrap()).collect();
        assert_eq!(sequences, [2, 3, 4]);
    }
}

#[tokio::test]
async fn a_narrowed_reader_loses_nothing() {
    use futures_util::StreamExt as _;
    let stage = stage().await;
    let shop = stage.shop().await;
    for round in 0..6 {
        stage.top_up(&shop.ada).await;
        stage.buy(&shop, if round % 2 == 0 { "eve" } else { "dan" }).await;
        stage.top_up(&shop.bob).await;
    }
    let all = stage.feed(&stage.app.key, "").await;
    let eve = all.iter().find(|event| event["type"] == "paywall.balance.deposit.created");
    let eve = text(&eve.unwrap()["channels"][0]);
    for channel in [&shop.ada.customer, &shop.bob.wallet, &shop.paywall, &eve] {
        let found = stage.feed(&stage.app.key, &format!("&channel={channel}")).await;
        let wanted: Vec<_> = all.iter().filter(|event| touches(event, channel)).cloned().collect();
        assert!(wanted.len() > 3 && wanted.len() < all.len(), "{channel}");
        assert_eq!(found, wanted, "{channel}");
    }
    let more = format!("&channel={}&types=wallet.created", shop.ada.customer);
    let found = stage.feed(&stage.app.key, &more).await;
    assert_eq!(ids(found.iter()).len(), 1, "filters narrow each other");

    let channel = &shop.ada.wallet;
    let wanted = all.iter().filter(|event| touches(event, channel)).count();
    let url = format!("{}/v1/webhooks/events/stream?after=start&channel={channel}", stage.app.base);
    let answer = reqwest::Client::new().get(url).header("x-api-key", &stage.app.key).send().await;
    let (mut chunks, mut streamed) = (answer.unwrap().bytes_stream(), String::new());
    while streamed.matches("event: event").count() < wanted {
        let chunk = tokio::time::timeout(Duration::from_secs(5), chunks.next()).await.unwrap();
        streamed.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    let wallet = &shop.ada.wallet_id;
    let data = streamed.lines().filter(|line| line.starts_with("data: {\"id\""));
    assert!(data.clone().all(|line| line.contains(wallet)), "{streamed}");
    assert_eq!(data.count(), wanted);

    // A paywall's key reads its paywall's own events, narrowed or not.
    let headers = [("x-paywall-key", shop.paywall_key.as_str())];
    for (channel, count) in [(&eve, 6), (&shop.ada.customer, 0)] {
        let path = format!("/v1/webhooks/events?limit=100&channel={channel}");
        let page = stage.app.send(reqwest::Method::GET, &path, "", &headers, None).await;
        let events = page.2["events"].as_array().unwrap().clone();
        let deposits = events.iter().filter(|one| one["type"] == "paywall.balance.deposit.created");
        assert_eq!(deposits.count(), count / 2, "{}", page.2);
    }
}

#[tokio::test]
async fn a_replay_and_a_retry_take_what_the_endpoint_takes_now() {
    let stage = stage().await;
    let shop = stage.shop().await;
    for _ in 0..4 {
        stage.top_up(&shop.ada).await;
        stage.top_up(&shop.bob).await;
        stage.buy(&shop, "eve").await;
    }
    let more = json!({ "channels": [shop.ada.wallet, shop.paywall], "extensions": true });
    let endpoint = stage.endpoint("/ok", &["*", "paywall.*"], more).await;
    let all = stage.feed(&stage.app.key, "").await;
    let takes = |event: &&Value| touches(event, &shop.ada.wallet) || touches(event, &shop.paywall);
    let wanted = ids(all.iter().filter(takes));
    let path = format!("/v1/webhooks/endpoints/{}/replays", text(&endpoint["id"]));
    let (status, _, replay) = stage.post(&path, &json!({ "from": "2020-01-01T00:00:00Z" })).await;
    assert_eq!((status, &replay["matched"]), (202, &json!(wanted.len())), "{replay}");
    while stage.app.engine.run_replays().await.unwrap() > 0 {
        stage.drain().await;
    }
    assert_eq!(stage.got(&endpoint).await, wanted);

    let bobs = all.iter().filter(|event| touches(event, &shop.bob.wallet));
    let bobs: Vec<_> = bobs.map(|event| text(&event["id"])).collect();
    let mine = wanted.first().unwrap();
    let asked: Vec<_> = bobs.iter().chain([mine]).collect();
    let (_, _, retried) = stage.post("/v1/webhooks/retry", &json!({ "ids": asked })).await;
    assert_eq!(retried, json!({ "queued": 1, "skipped": bobs.len() }));
    assert_eq!(stage.got(&endpoint).await, wanted, "nothing of another customer's");
}

#[tokio::test]
async fn wrong_channels_are_refused_by_field_and_change_nothing() {
    let stage = stage().await;
    let shop = stage.shop().await;
    let more = json!({ "channels": [shop.ada.wallet] });
    let endpoint = stage.endpoint("/ok", &["*"], more).await;
    let (good, id) = (&shop.ada.customer, &shop.ada.wallet_id);
    let eleven = vec![good; 11];
    let table = [
        (json!("all"), "channels"),
        (json!([7]), "channels"),
        (json!({}), "channels"),
        (json!(eleven), "channels must have at most 10 entries"),
        (json!([id]), "entry 0 \"wallet_"),
        (json!([good, "user:x"]), "entry 1 \"user:x\" must be customer:<id>, wallet:<id> or"),
        (json!([good, "wallet:x"]), "entry 1 \"wallet:x\" needs a wallet_ id after the colon"),
        (json!([format!("paywall:{id}")]), "needs a pw_ id after the colon"),
        (json!([""]), "entry 0 \"\" must be customer:<id>"),
    ];
    let path = format!("/v1/webhooks/endpoints/{}", text(&endpoint["id"]));
    for (channels, message) in table {
        let body = json!({ "url": stage.sink.url("/ok"), "types": ["*"], "channels": channels });
        let made = stage.post("/v1/webhooks/endpoints", &body).await;
        let changed = stage.app.patch(&path, &stage.app.key, &body).await;
        for (status, _, refused) in [made, changed] {
            assert_eq!((status, &refused["param"]), (400, &json!("channels")), "{channels}");
            let said = refused["error"].as_str().or(refused["message"].as_str()).unwrap();
            assert!(said.contains(message), "{said}");
        }
    }
    let list = stage.get("/v1/webhooks/endpoints").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["data"][0]["channels"], json!([shop.ada.wallet]));
    assert_eq!(list["data"][0]["version"], 1);
    for wrong in ["", "all", "wallet:", "customer:wallet_1", "cust_1", "paywall:pw_1,paywall:pw_2"]
    {
        for path in ["/v1/webhooks/events", "/v1/webhooks/events/stream"] {
            let path = format!("{path}?channel={wrong}");
            let (status, _, refused) = stage.app.get(&path, &stage.app.key).await;
            assert_eq!((status, &refused["param"]), (400, &json!("channel")), "{path}: {refused}");
        }
    }
}

#[tokio::test]
async fn channels_of_another_tenants_things_match_nothing_and_tell_nothing() {
    let stage = stage().await;
    let shop = stage.shop().await;
    let other = &stage.app.other_key;
    let theirs = [&shop.ada.customer, &shop.ada.wallet, &shop.paywall];
    let nobodys = ["customer:cust_", "wallet:wallet_", "paywall:pw_"];
    let nobodys = nobodys.map(|kind| format!("{kind}01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    let mut made = Vec::new();
    for list in [theirs.map(String::as_str), nobodys.each_ref().map(String::as_str)] {
        let types = ["*", "paywall.*"];
        let body = json!({ "url": stage.sink.url("/ok/theirs"), "types": types, "channels": list });
        let (status, _, endpoint) = stage.app.post("/v1/webhooks/endpoints", other, &body).await;
        assert_eq!((status, &endpoint["channels"]), (201, &json!(list)), "as if it were there");
        made.push(text(&endpoint["id"]));
    }
    stage.top_up(&shop.ada).await;
    stage.buy(&shop, "eve").await;
    let body = json!({ "external_id": "zoe", "name": "Zoe" });
    assert_eq!(stage.app.post("/v1/customers", other, &body).await.0, 201);
    for id in &made {
        let path = format!("/v1/webhooks/deliveries?endpoint_id={id}");
        let (_, _, list) = stage.app.get(&path, other).await;
        assert_eq!(list["data"], json!([]));
        let path = format!("/v1/webhooks/endpoints/{id}/replays");
        let asked = json!({ "from": "2020-01-01T00:00:00Z" });
        let (status, _, replay) = stage.app.post(&path, other, &asked).await;
        assert_eq!((status, &replay["matched"]), (202, &json!(0)));
    }
    for channel in theirs.into_iter().chain(&nobodys) {
        let found = stage.feed(other, &format!("&channel={channel}")).await;
        assert_eq!(found, Vec::<Value>::new(), "{channel}");
    }
    stage.drain().await;
    assert!(stage.sink.received().is_empty());
}

#[tokio::test]
async fn what_befalls_a_subscription_touches_its_paywall() {
    let stage = stage().await;
    let shop = stage.shop().await;
    let types = ["webhook.delivery.exhausted"];
    let mine = stage.endpoint("/ok", &types, json!({ "channels": [shop.paywall] })).await;
    let other = stage.endpoint("/ok", &types, json!({ "channels": [shop.ada.customer] })).await;
    let body = json!({ "url": stage.sink.url("/fail/500"), "events": ["balance.deposit.created"],
        "retryMode": "parity", "maxAttempts": 1 });
    let (status, _, made) =
        stage.app.post("/v1/webhooks/subscriptions", &shop.paywall_key, &body).await;
    assert_eq!(status, 201, "{made}");
    stage.buy(&shop, "eve").await;
    stage.drain().await;
    stage.drain().await;
    assert_eq!((stage.got(&mine).await.len(), stage.got(&other).await.len()), (1, 0));
}
