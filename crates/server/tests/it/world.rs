//! One of everything, made over HTTP, and a good call of every route that is built.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use fakes::provider::{Provider, Settings};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{TestApp, document};

/// Calls that a provider answers.
pub const PROXIED: [&str; 4] =
    ["/v1/chat/completions", "/v1/embeddings", "/v1/messages", "/v1/messages/count_tokens"];

/// A call that succeeded.
pub struct Example {
    pub method: Method,
    pub path: String,
    pub key: String,
    pub body: Option<Value>,
}

pub struct World {
    pub app: TestApp,
    /// Answers chats.
    provider: Provider,
    pub paywall_key: String,
    /// Of a customer's session in the portal.
    pub token: String,
    pub examples: Vec<Example>,
    /// Calls that end something: made last, if at all.
    endings: Vec<String>,
}

impl World {
    /// Makes one of everything, and ends what can be ended.
    pub async fn whole() -> World {
        let mut world = World::alive().await;
        for call in std::mem::take(&mut world.endings) {
            world.call(&call, None).await;
        }
        world
    }

    /// Makes one of everything.
    pub async fn alive() -> World {
        let app = TestApp::start().await;
        let (examples, endings) = (Vec::new(), Vec::new());
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let provider = Provider::start(at, Settings::default()).await.unwrap();
        let (paywall_key, token) = (String::new(), String::new());
        let mut world = World { app, provider, paywall_key, token, examples, endings };
        world.tenant().await;
        let customer = world.customers().await;
        world.wallets(&customer).await;
        world.portal().await;
        let paywall = world.paywall().await;
        world.users(&paywall).await;
        world.portal_of_user().await;
        world.proxied(&paywall).await;
        world.endpoints().await;
        world.subscriptions(&paywall).await;
        world
    }

    /// Calls that were made, by method and declared path.
    pub fn made(&self) -> BTreeSet<(String, &'static str)> {
        let of = |example: &Example| {
            let method = example.method.as_str().to_lowercase();
            let template = document::template(&method, &example.path).unwrap();
            (method, template)
        };
        self.examples.iter().map(of).collect()
    }

    async fn call(&mut self, call: &str, body: Option<Value>) -> Value {
        let (method, path) = call.split_once(' ').unwrap();
        let of_paywall = path.starts_with("/v1/user/")
            || path.starts_with("/v1/charges/")
            || path.starts_with("/v1/models")
            || PROXIED.contains(&path)
            || path.starts_with("/v1/webhooks/subscriptions")
            || path.starts_with("/v1/webhooks/logs");
        let of_customer = path.starts_with("/v1/customer/portal");
        let key = match (of_paywall, of_customer) {
            (true, _) => &self.paywall_key,
            (_, true) => &self.token,
            _ => &self.app.key,
        };
        let key = key.clone();
        let method: Method = method.parse().unwrap();
        let bytes = body.as_ref().map(|body| serde_json::to_vec(body).unwrap());
        let (status, _, answer) = self.app.send(method.clone(), path, &key, &[], bytes).await;
        assert!((200..400).contains(&status), "{call} → {status} {answer:#}");
        self.examples.push(Example { method, path: path.to_owned(), key, body });
        answer
    }

    async fn get(&mut self, path: &str) -> Value {
        self.call(&format!("GET {path}"), None).await
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        self.call(&format!("POST {path}"), Some(body)).await
    }

    async fn put(&mut self, path: &str, body: Value) -> Value {
        self.call(&format!("PUT {path}"), Some(body)).await
    }

    async fn tenant(&mut self) {
        for path in ["/docs", "/docs/style.css", "/livez", "/readyz", "/health", "/metrics"] {
            self.get(path).await;
        }
        self.get("/openapi.json").await;
        self.call("POST /health", None).await;
        let tenant = format!("/v1/tenants/{}", self.app.scope.tenant);
        self.get(&tenant).await;
        self.put("/v1/tenants/update", json!({ "name": "Acme" })).await;
        let made = json!({ "name": "Staging", "type": "development" });
        let environment = self.post("/v1/environments", made).await;
        let path = format!("/v1/environments/{}", text(&environment["id"]));
        self.get(&path).await;
        self.put(&path, json!({ "name": "Second" })).await;
        self.get("/v1/environments").await;
        self.keys_and_members().await;
        let setting = "/v1/settings/alert_settings";
        let name = self.setting_name().await;
        let path = name.map_or(setting.to_owned(), |name| format!("/v1/settings/{name}"));
        let value = self.get(&path).await["value"].clone();
        self.put(&path, json!({ "value": value })).await;
        self.endings.push(format!("DELETE {path}"));
        let log = self.post("/v1/activity", json!({ "limit": 1 })).await;
        self.get(&format!("/v1/activity/{}", text(&log["data"][0]["id"]))).await;
        self.get("/v1/test-clock").await;
        self.post("/v1/test-clock", json!({ "frozen": false })).await;
        self.post("/v1/test-clock/advance", json!({ "by": "1m" })).await;
        self.endings.push("DELETE /v1/test-clock".to_owned());
        self.get("/v1/verify").await;
    }

    /// A setting that this version knows.
    async fn setting_name(&mut self) -> Option<&'static str> {
        for name in ["wallet_balance_alert_config", "subscription_config"] {
            let path = format!("/v1/settings/{name}");
            if self.app.get(&path, &self.app.key).await.0 == 200 {
                return Some(name);
            }
        }
        None
    }

    async fn keys_and_members(&mut self) {
        let bot = json!({ "type": "service_account", "name": "bot", "roles": ["all_reader"] });
        let bot = self.post("/v1/users", bot).await;
        let path = format!("/v1/users/{}", text(&bot["id"]));
        self.put(&path, json!({ "name": "robot" })).await;
        self.put(&format!("{path}/roles"), json!({ "roles": ["event_reader"] })).await;
        self.post("/v1/users/search", json!({ "limit": 5 })).await;
        self.endings.push(format!("DELETE {path}"));
        self.get("/v1/users/me").await;
        self.put("/v1/users/me", json!({ "name": "Ada", "metadata": { "a": "b" } })).await;
        self.get("/v1/rbac/roles").await;
        self.get("/v1/rbac/roles/all_reader").await;
        let body = json!({ "name": "k", "type": "private_key", "roles": ["all_reader"] });
        let made = self.post("/v1/secrets/api/keys", body).await;
        let path = format!("/v1/secrets/api/keys/{}", text(&made["secret"]["id"]));
        let rotated = self.post(&format!("{path}/rotate"), json!({ "overlap_seconds": 0 })).await;
        self.get("/v1/secrets/api/keys").await;
        let path = format!("/v1/secrets/api/keys/{}", text(&rotated["secret"]["id"]));
        self.endings.push(format!("DELETE {path}"));
    }

    async fn customers(&mut self) -> String {
        let body = json!({ "external_id": "ann", "name": "Ann", "metadata": { "tier": "1" } });
        let customer = self.post("/v1/customers", body).await;
        let id = text(&customer["id"]);
        for path in ["/v1/customers", "/v1/customers/external/ann", "/v1/customers/lookup/ann"] {
            self.get(path).await;
        }
        let filter = json!({ "field": "name", "operator": "eq", "value": { "string": "Ann" } });
        let search = json!({ "filters": [filter], "sort": [{ "field": "name" }], "limit": 5 });
        self.post("/v1/customers/search", search).await;
        self.get(&format!("/v1/customers/{id}")).await;
        self.put(&format!("/v1/customers/{id}"), json!({ "name": "Anna" })).await;
        self.put("/v1/customers?external_customer_id=ann", json!({ "email": "a@b.de" })).await;
        let made = json!({ "external_id": "gone", "name": "Gone" });
        let gone = self.post("/v1/customers", made).await;
        self.endings.push(format!("DELETE /v1/customers/{}", text(&gone["id"])));
        self.endings.push(format!("POST /v1/customers/{id}/erase"));
        id
    }

    async fn wallets(&mut self, customer: &str) {
        let alerts = json!({ "alert_enabled": true,
            "critical": { "threshold": "1", "condition": "below" } });
        let plan = json!({ "enabled": true, "threshold": "1", "amount": "5", "invoicing": false,
            "cooldown": { "value": 1, "unit": "hour" }, "max_amount_per_day": "50" });
        let body = json!({ "customer_id": customer, "currency": "usd", "name": "Main",
            "alert_settings": alerts, "auto_topup": plan });
        let wallet = self.post("/v1/wallets", body).await;
        let path = format!("/v1/wallets/{}", text(&wallet["id"]));
        let credits = json!({ "credits_to_add": "10", "priority": 1,
            "transaction_reason": "PURCHASED_CREDIT_DIRECT" });
        self.post(&format!("{path}/top-up"), credits).await;
        let debit = json!({ "credits": "9.5", "transaction_reason": "MANUAL_BALANCE_DEBIT",
            "idempotency_key": "d1" });
        self.post(&format!("{path}/debit"), debit).await;
        self.get(&format!("{path}/balance/real-time")).await;
        self.get(&format!("{path}/balance/real-time-cached")).await;
        self.get(&format!("{path}?expand=customer")).await;
        self.put(&path, json!({ "description": "changed", "metadata": { "a": "b" } })).await;
        self.get(&format!("{path}/transactions?expand=customer,wallet")).await;
        self.get("/v1/wallets").await;
        self.post("/v1/wallets/search", json!({ "limit": 1 })).await;
        self.post("/v1/wallets/transactions/search", json!({ "limit": 5 })).await;
        self.post("/v1/alerts/search", json!({ "expand": "wallet,customer" })).await;
        self.post("/v1/alerts/setting/search", json!({})).await;
        self.get(&format!("/v1/customers/{customer}/wallets")).await;
        self.get(&format!("/v1/customers/wallets?id={customer}")).await;
        self.post(&format!("{path}/freeze"), json!({})).await;
        self.post(&format!("{path}/unfreeze"), json!({})).await;
        self.post(&format!("{path}/recheck"), json!({})).await;
        let wallet = json!({ "customer_id": customer, "currency": "eur" });
        let wallet = self.post("/v1/wallets", wallet).await;
        let path = format!("/v1/wallets/{}", text(&wallet["id"]));
        let body = json!({ "modification_type": "prepaid_to_postpaid" });
        let wallet = self.post(&format!("{path}/modify"), body).await;
        let path = format!("/v1/wallets/{}", text(&wallet["id"]));
        self.post(&format!("{path}/terminate"), json!({})).await;
    }

    /// With the token of the customer that has wallets.
    async fn portal(&mut self) {
        let opened = self.get("/v1/customers/portal/ann").await;
        self.token = text(&opened["token"]);
        let base = "/v1/customer/portal";
        self.get(&format!("{base}/info")).await;
        self.put(&format!("{base}/info"), json!({ "address_city": "Paris" })).await;
        self.get(&format!("{base}/config")).await;
        let wallets = self.post(&format!("{base}/wallets"), json!({})).await;
        let wallet = format!("{base}/wallets/{}", text(&wallets[0]["id"]));
        self.get(&wallet).await;
        self.get(&format!("{wallet}/transactions")).await;
        self.get(&format!("{base}/transactions?limit=2")).await;
        self.endings.push("DELETE /v1/customers/portal/ann".to_owned());
    }

    /// As a paywall's user, who is allowed everything.
    async fn portal_of_user(&mut self) {
        let config = json!({ "value": { "allow_top_up": true, "allow_webhooks": true } });
        self.put("/v1/settings/customer_portal_config", config).await;
        let balance = self.get("/v1/user/balance?user=bob").await;
        let path = format!("/v1/customers/{}", text(&balance["walletUserId"]));
        let name = text(&self.get(&path).await["external_id"]);
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let opened = self.get(&format!("/v1/customers/portal/{name}")).await;
        self.token = text(&opened["token"]);
        let wallets = self.post("/v1/customer/portal/wallets", json!({})).await;
        let wallet = text(&wallets[0]["id"]);
        let path = format!("/v1/customer/portal/wallets/{wallet}/top-up-link");
        self.call(&format!("POST {path}"), None).await;
        let channel = format!("customer:{}", text(&balance["walletUserId"]));
        self.portal_webhooks(&channel).await;
    }

    async fn portal_webhooks(&mut self, channel: &str) {
        let body = json!({ "url": "http://127.0.0.1:9/own", "types": ["paywall.*"],
            "channels": [channel] });
        let made = self.post("/v1/webhooks/endpoints", body).await;
        let id = text(&made["id"]);
        self.post("/v1/user/balance/deposit", json!({ "user": "bob", "amount": "1" })).await;
        let base = "/v1/customer/portal/webhooks";
        self.get(&format!("{base}/endpoints")).await;
        let list = self.get(&format!("{base}/endpoints/{id}/deliveries")).await;
        let delivery = format!("{base}/deliveries/{}", text(&list["data"][0]["id"]));
        self.get(&delivery).await;
        self.call(&format!("POST {delivery}/redeliver"), None).await;
        self.endings.push(format!("DELETE /v1/webhooks/endpoints/{id}"));
    }

    async fn paywall(&mut self) -> String {
        let body = json!({ "name": "Chat", "currency": "USD", "overdraft": "1",
            "fees": { "processingPercent": "1", "processingFixed": "0" } });
        let made = self.post("/v1/paywalls", body).await;
        let path = format!("/v1/paywalls/{}", text(&made["id"]));
        self.paywall_key = text(&made["apiKey"]);
        self.get("/v1/paywalls").await;
        self.get(&path).await;
        self.call(&format!("PATCH {path}"), Some(json!({ "metadata": { "a": 1 } }))).await;
        for part in ["pricing", "limits", "templates"] {
            let now = self.get(&format!("{path}/{part}")).await;
            self.put(&format!("{path}/{part}"), now).await;
        }
        self.market(&path).await;
        // What stops money or a key is done to another one.
        let spare = json!({ "name": "Spare", "currency": "EUR" });
        let spare = self.post("/v1/paywalls", spare).await;
        let spare = format!("/v1/paywalls/{}", text(&spare["id"]));
        self.post(&format!("{spare}/archive"), json!({ "reason": "holidays" })).await;
        self.call(&format!("POST {spare}/unarchive"), None).await;
        self.post(&format!("{spare}/secret/rotate"), json!({})).await;
        path
    }

    /// A provider, a price of its own, and the models that they make.
    async fn market(&mut self, paywall: &str) {
        let provider = json!({ "kind": "fake", "baseUrl": "http://127.0.0.1:9/v1", "key": "k-1",
            "headers": { "x-team": "a" }, "modelMap": { "small": "gpt-test" },
            "timeouts": { "connectMs": 1000 } });
        self.put(&format!("{paywall}/providers/fake"), provider).await;
        self.get(&format!("{paywall}/providers")).await;
        let row = json!({ "model": "gpt-test", "provider": "fake", "source": "ours",
            "prices": { "input": "1", "output": "2" }, "maxOutputTokens": 100 });
        let row = self.post(&format!("{paywall}/prices"), row).await;
        self.get(&format!("{paywall}/prices")).await;
        self.get(&format!("{paywall}/prices/{}", text(&row["id"]))).await;
        self.get("/v1/models").await;
        self.get("/v1/models/gpt-test").await;
        self.endings.push(format!("DELETE {paywall}/providers/fake"));
    }

    async fn users(&mut self, paywall: &str) {
        let deposit = json!({ "user": "bob", "amount": "20", "metadata": { "source": "api" } });
        self.post("/v1/user/balance/deposit", deposit).await;
        let charge = json!({ "user": "bob", "amount": "1.5", "metadata": { "job": 7 } });
        let charged = self.post("/v1/user/charge", charge.clone()).await;
        let refund = json!({ "activityId": charged["activityId"], "amount": "0.5",
            "user": "bob", "reason": "late", "metadata": { "ticket": 7 } });
        self.post("/v1/user/refund", refund).await;
        let batch = json!({ "charges": [charge, { "user": "bob", "amount": "999" }] });
        self.post("/v1/charges/batch", batch).await;
        self.get("/v1/user/balance?user=bob").await;
        let link = self.get("/v1/user/balance/topup?user=bob").await;
        let path = text(&link["url"]).replace(&self.app.base, "");
        self.get(&path).await;
        self.get("/v1/user/connect?user=bob").await;
        let body = json!({ "user": "bob", "amount": "2", "expiresInSeconds": 600 });
        let hold = self.post("/v1/user/holds", body.clone()).await;
        let path = format!("/v1/user/holds/{}", text(&hold["id"]));
        self.get(&path).await;
        self.post(&format!("{path}/capture"), json!({ "amount": "1" })).await;
        let hold = self.post("/v1/user/holds", body).await;
        self.post(&format!("/v1/user/holds/{}/release", text(&hold["id"])), json!({})).await;
        self.get(&format!("{paywall}/users")).await;
        self.get(&format!("{paywall}/users/bob")).await;
        self.post(&format!("{paywall}/users/bob/suspend"), json!({ "reason": "abuse" })).await;
        self.call(&format!("POST {paywall}/users/bob/resume"), None).await;
        for query in ["?limit=2", "?format=csv", "?format=jsonl"] {
            self.get(&format!("{paywall}/ledger{query}")).await;
        }
        self.get(&format!("{paywall}/activities/{}", text(&charged["activityId"]))).await;
    }

    /// Through a connection that nobody else changes.
    async fn proxied(&mut self, paywall: &str) {
        let body = json!({ "kind": "fake", "baseUrl": self.provider.base_url(), "key": "sk-fake" });
        let path = format!("{paywall}/providers/real");
        assert_eq!(self.app.put(&path, &self.app.key, &body).await.0, 200);
        let said = json!([{ "role": "user", "content": "Hello" }]);
        let chat = json!({ "model": "real/gpt-test", "messages": said, "user": "bob", "stream": false,
            "n": 1, "max_tokens": 9 });
        self.post(PROXIED[0], chat.clone()).await;
        let input = json!({ "model": "real/text-embedding-3-small", "input": "Hello",
            "user": "bob" });
        self.post(PROXIED[1], input).await;
        let message = json!({ "model": "real/claude-haiku-4-5", "messages": said, "max_tokens": 9,
            "metadata": { "user_id": "bob" } });
        self.post(PROXIED[2], message).await;
        let question = json!({ "model": "real/claude-haiku-4-5", "messages": said });
        self.post(PROXIED[3], question).await;
        let list = self.get(&format!("{paywall}/requests")).await;
        let request = list["data"][0].as_object().unwrap();
        let id = request.get("requestId").or(request.get("id")).unwrap();
        self.get(&format!("{paywall}/requests/{}", text(id))).await;
        let lease = json!({ "settlement": { "mode": "lease" } });
        self.call(&format!("PATCH {paywall}"), Some(lease)).await;
        self.post(PROXIED[0], chat).await;
        self.app.engine.end_leases().await;
        let list = self.get(&format!("{paywall}/settlements")).await;
        let reference = text(&list["data"][0]["settlementReference"]);
        self.get(&format!("{paywall}/settlements/{reference}")).await;
    }

    async fn endpoints(&mut self) {
        let body = json!({ "url": "http://127.0.0.1:9/hook", "types": ["*"],
            "custom_headers": { "X-Team": "a" }, "metadata": { "a": "b" } });
        let made = self.post("/v1/webhooks/endpoints", body).await;
        let path = format!("/v1/webhooks/endpoints/{}", text(&made["id"]));
        self.get("/v1/webhooks/endpoints").await;
        self.get(&path).await;
        self.call(&format!("PATCH {path}"), Some(json!({ "timeout_seconds": 5 }))).await;
        for action in ["pause", "resume", "disable", "enable"] {
            self.post(&format!("{path}/{action}"), json!({})).await;
        }
        let rotated = self.post(&format!("{path}/rotate"), json!({ "overlap_seconds": 60 })).await;
        let secrets = rotated["secrets"].as_array().unwrap().iter();
        let old = secrets.clone().find(|one| !one["expires_at"].is_null()).unwrap();
        self.get("/v1/webhooks/keys").await;
        self.get(&format!("{path}/stats")).await;
        self.get("/v1/webhooks/stats?window=1h").await;
        self.endings.push(format!("DELETE {path}/secrets/{}", text(&old["id"])));
        let replays = format!("{path}/replays");
        let replay = self.post(&replays, json!({ "from": "2020-01-01T00:00:00Z" })).await;
        self.get(&replays).await;
        let replay = format!("/v1/webhooks/replays/{}", text(&replay["id"]));
        self.get(&replay).await;
        self.call(&format!("POST {replay}/cancel"), None).await;
        let body = json!({ "external_id": "told", "name": "Told" });
        self.post("/v1/customers", body).await;
        let list = self.get("/v1/webhooks/deliveries?type=customer.created").await;
        let one = list["data"].as_array().unwrap().last().unwrap().clone();
        let delivery = format!("/v1/webhooks/deliveries/{}", text(&one["id"]));
        self.get(&format!("{delivery}?expand=event,attempts")).await;
        self.get(&format!("{delivery}/attempts")).await;
        self.call(&format!("POST {delivery}/redeliver"), None).await;
        self.call(&format!("POST {delivery}/cancel"), None).await;
        self.post("/v1/webhooks/retry", json!({ "ids": [one["event_id"]] })).await;
        let test = json!({ "type": "wallet.created" });
        self.post(&format!("{path}/test"), test).await;
        self.call("POST /v1/webhook-events/customer.created", None).await;
        self.get("/v1/webhooks/dashboard").await;
        let feed = self.get("/v1/webhooks/events?limit=2").await;
        self.get(&format!("/v1/webhooks/events/{}", text(&feed["data"][0]["id"]))).await;
        self.get("/v1/webhooks/types").await;
        self.get("/v1/webhooks/types/wallet.created").await;
        self.endings.push(format!("DELETE {path}"));
    }

    /// With the paywall's key, and the same under the paywall's own path.
    async fn subscriptions(&mut self, paywall: &str) {
        for base in ["/v1", paywall] {
            let all = format!("{base}/webhooks/subscriptions");
            let body = json!({ "url": "http://127.0.0.1:9/p", "events": ["balance.*"] });
            let made = self.post(&all, body).await;
            let path = format!("{all}/{}", text(&made["subscription"]["id"]));
            self.get(&all).await;
            self.get(&path).await;
            let change = json!({ "description": "changed" });
            self.call(&format!("PATCH {path}"), Some(change)).await;
            let body = json!({ "overlapSeconds": 0 });
            self.post(&format!("{path}/rotate-secret"), body).await;
            let span = json!({ "from": "2020-01-01T00:00:00Z" });
            self.post(&format!("{path}/replay"), span).await;
            let deposit = json!({ "user": "bob", "amount": "1" });
            self.post("/v1/user/balance/deposit", deposit).await;
            let logs = self.get(&format!("{base}/webhooks/logs")).await;
            self.post(&format!("{path}/test"), json!({})).await;
            let sent = text(&logs["logs"][0]["id"]);
            if base != "/v1" {
                let path = format!("{base}/webhooks/deliveries/{sent}/redeliver");
                self.call(&format!("POST {path}"), None).await;
                let feed = self.get(&format!("{base}/webhooks/events?limit=2")).await;
                let event = text(&feed["events"][0]["id"]);
                self.get(&format!("{base}/webhooks/events/{event}")).await;
            }
            self.endings.push(format!("DELETE {path}"));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
