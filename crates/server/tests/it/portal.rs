//! The portal: a token is one customer for one hour and nothing else, and its pages show what is
//! that customer's.

use reqwest::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, LOCATION, REFERRER_POLICY, SET_COOKIE,
};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use testkit::TestApp;

const HOSTILE: &str = "<script>window.hacked=1</script>\"'><img src=x onerror=alert(1)>";

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

/// A customer with a wallet of so many credits; both ids.
async fn customer(app: &TestApp, key: &str, name: &str) -> (String, String) {
    let body = json!({ "external_id": name, "name": name, "email": "a@b.de",
        "metadata": { "secret": "margin 40" } });
    let id = text(&app.post("/v1/customers", key, &body).await.2, "id");
    let body = json!({ "customer_id": id, "currency": "usd", "initial_credits_to_load": "50",
        "metadata": { "secret": "margin 40" } });
    let wallet = text(&app.post("/v1/wallets", key, &body).await.2, "id");
    (id, wallet)
}

async fn open(app: &TestApp, key: &str, name: &str) -> Value {
    let path = format!("/v1/customers/portal/{name}");
    let (status, headers, opened) = app.get(&path, key).await;
    assert_eq!(status, 200, "{opened}");
    assert_eq!(headers[CACHE_CONTROL], "no-store");
    opened
}

async fn token(app: &TestApp, name: &str) -> String {
    text(&open(app, &app.key, name).await, "token")
}

async fn set(app: &TestApp, value: Value) {
    let body = json!({ "value": value });
    let (status, _, set) = app.put("/v1/settings/customer_portal_config", &app.key, &body).await;
    assert_eq!(status, 200, "{set}");
}

#[tokio::test]
async fn a_token_is_one_customer_of_one_environment() {
    let app = TestApp::start().await;
    let (ann, wallet) = customer(&app, &app.key, "ann").await;
    let (_, foreign) = customer(&app, &app.key, "bob").await;
    let (_, distant) = customer(&app, &app.other_key, "ann").await;
    let opened = open(&app, &app.key, "ann").await;
    let ann_token = text(&opened, "token");
    assert!(ann_token.starts_with("fbx_test_ps_") && ann_token.len() == 50, "{ann_token}");
    assert_eq!(text(&opened, "url"), format!("{}/portal/open/{ann_token}", app.base));
    let (_, _, info) = app.get("/v1/customer/portal/info", &ann_token).await;
    assert_eq!((text(&info, "id"), info["metadata"].clone()), (ann, json!({})));
    let (_, _, all) = app.post("/v1/customer/portal/wallets", &ann_token, &json!({})).await;
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!((text(&all[0], "id"), &all[0]["metadata"]), (wallet.clone(), &json!({})));
    for (path, status) in [(&wallet, 200), (&foreign, 404), (&distant, 404)] {
        for tail in ["", "/transactions"] {
            let path = format!("/v1/customer/portal/wallets/{path}{tail}");
            assert_eq!(app.get(&path, &ann_token).await.0, status, "{path}");
        }
    }
    let (_, _, list) = app.get("/v1/customer/portal/transactions", &ann_token).await;
    assert_eq!(list["pagination"]["total"], 1, "{list}");
    assert!(!list.to_string().contains("margin 40"));
    let asked = "/v1/customer/portal/transactions?wallet_id=x&customer_id=y&expand=customer";
    assert_eq!(app.get(asked, &ann_token).await.0, 400, "nothing of others is expanded");
}

#[tokio::test]
async fn a_token_opens_nothing_of_the_operator_and_a_key_of_the_operator_no_portal() {
    let app = TestApp::start().await;
    let (id, wallet) = customer(&app, &app.key, "ann").await;
    let token = token(&app, "ann").await;
    let paywall = crate::paywall_key(&app).await;
    let operators = [
        format!("/v1/customers/{id}"),
        format!("/v1/wallets/{wallet}"),
        "/v1/customers/portal/ann".to_owned(),
        "/v1/settings/customer_portal_config".to_owned(),
        "/v1/user/balance?user=ann".to_owned(),
        "/v1/webhooks/events".to_owned(),
    ];
    let bearer = format!("Bearer {token}");
    let names = [("x-api-key", &token), ("authorization", &bearer), ("x-paywall-key", &token)];
    for path in &operators {
        for (name, value) in names {
            let request = Client::new().get(format!("{}{path}", app.base)).header(name, value);
            let status = request.send().await.unwrap().status();
            assert_eq!(status, 401, "{name} {path}");
        }
    }
    for key in [&app.key, &app.other_key, &paywall, &"any text".to_owned()] {
        for (name, value) in
            [("x-session-token", key.clone()), ("authorization", format!("Bearer {key}"))]
        {
            let url = format!("{}/v1/customer/portal/info", app.base);
            let answer = Client::new().get(url).header(name, value).send().await.unwrap();
            assert_eq!(answer.status(), 401, "{name}");
        }
    }
    let url = format!("{}/v1/customer/portal/info", app.base);
    let answer = Client::new().get(url).header("authorization", bearer).send().await.unwrap();
    assert_eq!(answer.status(), 200, "as a bearer it is good");
}

#[tokio::test]
async fn only_who_may_write_lets_in_and_only_its_own_customers() {
    let app = TestApp::start().await;
    customer(&app, &app.key, "ann").await;
    let path = "/v1/customers/portal/ann";
    assert_eq!(app.get(path, &app.other_key).await.0, 404);
    assert_eq!(app.delete(path, &app.other_key).await.0, 404);
    assert_eq!(app.get("/v1/customers/portal/nobody", &app.key).await.0, 404);
    let body = json!({ "name": "r", "type": "private_key", "roles": ["all_reader"] });
    let made = app.post("/v1/secrets/api/keys", &app.key, &body).await.2;
    let reader = text(&made, "api_key");
    let (status, _, refused) = app.get(path, &reader).await;
    assert_eq!((status, &refused["code"]), (403, &json!("permission_denied")));
    token(&app, "ann").await;
    let search = json!({ "action": "portal_session.created" });
    let (_, _, log) = app.post("/v1/activity", &app.key, &search).await;
    assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log:#}");
    assert!(!log.to_string().contains("fbx_test_ps_") || log.to_string().contains('…'), "masked");
}

#[tokio::test]
async fn a_session_ends_after_an_hour_of_the_environments_clock_or_when_the_operator_says() {
    let app = TestApp::start().await;
    customer(&app, &app.key, "ann").await;
    app.post("/v1/test-clock", &app.key, &json!({ "frozen": true })).await;
    let first = token(&app, "ann").await;
    let status = async |token: &str| app.get("/v1/customer/portal/info", token).await.0;
    app.post("/v1/test-clock/advance", &app.key, &json!({ "by": "59m" })).await;
    assert_eq!(status(&first).await, 200);
    let second = token(&app, "ann").await;
    app.post("/v1/test-clock/advance", &app.key, &json!({ "by": "2m" })).await;
    assert_eq!((status(&first).await, status(&second).await), (401, 200));
    let (_, _, refused) = app.get("/v1/customer/portal/info", &first).await;
    assert!(text(&refused, "message").contains("has ended"), "{refused}");
    assert_eq!(app.delete("/v1/customers/portal/ann", &app.key).await.0, 204);
    assert_eq!(status(&second).await, 401);
    let mut garbled = token(&app, "ann").await;
    let last = if garbled.ends_with('0') { '1' } else { '0' };
    garbled.pop();
    garbled.push(last);
    for wrong in [garbled.as_str(), "fbx_test_ps_", "x", ""] {
        assert_eq!(status(wrong).await, 401, "{wrong}");
    }
}

#[tokio::test]
async fn a_deleted_or_erased_customer_has_no_session() {
    let app = TestApp::start().await;
    let body = json!({ "external_id": "ann", "name": "Ann" });
    let id = text(&app.post("/v1/customers", &app.key, &body).await.2, "id");
    let token = token(&app, "ann").await;
    let erase = format!("/v1/customers/{id}/erase");
    assert_eq!(app.post(&erase, &app.key, &json!({})).await.0, 200);
    assert_eq!(app.get("/v1/customer/portal/info", &token).await.0, 401);
    let token = open(&app, &app.key, "ann").await["token"].as_str().unwrap().to_owned();
    assert_eq!(app.delete(&format!("/v1/customers/{id}"), &app.key).await.0, 204);
    assert_eq!(app.get("/v1/customer/portal/info", &token).await.0, 401);
}

#[tokio::test]
async fn a_customer_changes_name_and_address_and_nothing_else() {
    let app = TestApp::start().await;
    let (id, _) = customer(&app, &app.key, "ann").await;
    let token = token(&app, "ann").await;
    let path = "/v1/customer/portal/info";
    let body = json!({ "name": "Ann & Co", "address_city": "Paris", "address_country": "fr" });
    let (status, _, changed) = app.put(path, &token, &body).await;
    assert_eq!((status, text(&changed, "address_country")), (200, "FR".to_owned()));
    for field in ["external_id", "email", "timezone", "metadata", "contact"] {
        let (status, _, refused) = app.put(path, &token, &json!({ field: "x" })).await;
        assert_eq!((status, &refused["param"]), (400, &json!(field)), "{refused}");
    }
    assert_eq!(app.put(path, &token, &json!({ "name": "" })).await.0, 400);
    let (_, _, now) = app.get(&format!("/v1/customers/{id}"), &app.key).await;
    assert_eq!((text(&now, "name"), text(&now, "email")), ("Ann & Co".into(), "a@b.de".into()));
    assert_eq!(text(&now, "updated_by"), id, "the customer did it");
    let (_, _, log) = app.post("/v1/activity", &app.key, &json!({ "entity_id": id })).await;
    assert!(log["data"][0].to_string().contains("portal"), "{log:#}");
}

#[tokio::test]
async fn what_the_operator_switched_off_is_neither_shown_nor_answered() {
    let app = TestApp::start().await;
    let (_, wallet) = customer(&app, &app.key, "ann").await;
    let ann = Browser::enter(&app, "ann").await;
    let token = ann.token.clone();
    set(
        &app,
        json!({ "overview": { "wallet_balance": false }, "allow_edit_details": false,
            "credits": { "enabled": false } }),
    )
    .await;
    let base = "/v1/customer/portal";
    assert_eq!(app.post(&format!("{base}/wallets"), &token, &json!({})).await.0, 403);
    for path in [format!("{base}/wallets/{wallet}"), format!("{base}/transactions")] {
        assert_eq!(app.get(&path, &token).await.0, 403, "{path}");
    }
    assert_eq!(app.put(&format!("{base}/info"), &token, &json!({ "name": "x" })).await.0, 403);
    let page = ann.page("/portal").await;
    assert!(!page.contains("50.00") && !page.contains("/portal/transactions"), "{page}");
    assert!(
        !ann.page("/portal/details")
            .await
            .contains("<form method=\"post\" action=\"/portal/details")
    );
    assert_eq!(ann.get("/portal/transactions").await.status(), 403);
    assert_eq!(ann.post("/portal/details", &[("name", "x")]).await.status(), 200);
    let (_, _, info) = app.get(&format!("{base}/info"), &token).await;
    assert_eq!(text(&info, "name"), "ann");
}

fn client() -> Client {
    let policy = reqwest::redirect::Policy::none();
    Client::builder().redirect(policy).no_proxy().build().unwrap()
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A customer's browser: it keeps the cookie and nothing else.
struct Browser {
    client: Client,
    base: String,
    token: String,
}

impl Browser {
    /// Follows a link of the operator's.
    async fn enter(app: &TestApp, name: &str) -> Browser {
        let opened = open(app, &app.key, name).await;
        let answer = client().get(text(&opened, "url")).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[LOCATION]),
            (303, &"/portal".parse().unwrap())
        );
        assert_eq!(answer.headers()[REFERRER_POLICY], "no-referrer");
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Lax", "Path=/portal;", "Max-Age=3600"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let token = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        Browser { client: client(), base: app.base.clone(), token }
    }

    fn cookie(&self) -> String {
        format!("farebox_portal={}", self.token)
    }

    async fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.base);
        self.client.get(url).header(COOKIE, self.cookie()).send().await.unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(!policy.contains("script") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()[REFERRER_POLICY], "no-referrer");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        answer.text().await.unwrap()
    }

    async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        let proof = server::web::form_proof(&self.token);
        let mut all = vec![("csrf", proof.as_str())];
        all.extend(pairs);
        self.send(path, &all).await
    }

    async fn send(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        let url = format!("{}{path}", self.base);
        let request = self.client.post(url).header(COOKIE, self.cookie()).header("origin", "null");
        request.body(form(pairs)).send().await.unwrap()
    }
}

#[tokio::test]
async fn without_a_session_every_page_is_closed() {
    let app = TestApp::start().await;
    customer(&app, &app.key, "ann").await;
    for (method, path) in server::web::portal::declared() {
        let path = path.replace(['{', '}'], "x");
        for cookie in ["", "farebox_portal=nonsense", "farebox_session=nonsense"] {
            let request = client().request(method.clone(), format!("{}{path}", app.base));
            let answer = request.header(COOKIE, cookie).send().await.unwrap();
            assert_eq!(answer.status(), 401, "{method} {path}");
            assert_eq!(answer.headers()[REFERRER_POLICY], "no-referrer");
            assert!(answer.text().await.unwrap().contains("ask for a"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_pages_show_the_customers_own_money_and_leaving_ends_the_session() {
    let app = TestApp::start().await;
    let (_, wallet) = customer(&app, &app.key, "ann").await;
    customer(&app, &app.key, "zzyzx").await;
    let body = json!({ "credits": "12.5", "transaction_reason": "MANUAL_BALANCE_DEBIT",
        "description": "Usage of a day", "idempotency_key": "d1" });
    app.post(&format!("/v1/wallets/{wallet}/debit"), &app.key, &body).await;
    let ann = Browser::enter(&app, "ann").await;
    let page = ann.page("/portal").await;
    assert!(
        page.contains("37.50") && page.contains("Usage of a day") && page.contains("12.50"),
        "{page}"
    );
    let page = ann.page("/portal/transactions").await;
    assert!(page.contains('+') && page.contains("50.00") && !page.contains("zzyzx"));
    let own = format!("/portal/transactions?wallet={wallet}");
    assert!(ann.page(&own).await.contains("Usage of a day"));
    let foreign = format!("{}7", &own[..own.len() - 1]);
    assert_eq!(ann.get(&foreign).await.status(), 404);
    assert_eq!(ann.post("/portal/leave", &[]).await.status(), 200);
    assert_eq!(ann.get("/portal").await.status(), 401);
    assert_eq!(app.get("/v1/customer/portal/info", &ann.token).await.0, 401);
}

#[tokio::test]
async fn a_form_that_does_not_prove_its_page_changes_nothing() {
    let app = TestApp::start().await;
    customer(&app, &app.key, "ann").await;
    let ann = Browser::enter(&app, "ann").await;
    let bob = {
        customer(&app, &app.key, "bob").await;
        Browser::enter(&app, "bob").await
    };
    let others = server::web::form_proof(&bob.token);
    for proof in ["", "nonsense", &others] {
        let sent = ann.send("/portal/details", &[("csrf", proof), ("name", "Mallory")]).await;
        assert_eq!(sent.status(), 403, "{proof}");
    }
    let elsewhere = client()
        .request(Method::POST, format!("{}/portal/details", app.base))
        .header(COOKIE, ann.cookie())
        .header("x-csrf", server::web::form_proof(&ann.token))
        .header("origin", "https://evil.example")
        .body(form(&[("name", "Mallory")]));
    assert_eq!(elsewhere.send().await.unwrap().status(), 403);
    let (_, _, info) = app.get("/v1/customer/portal/info", &ann.token).await;
    assert_eq!(text(&info, "name"), "ann");
    let saved =
        ann.post("/portal/details", &[("name", "Ann & Co"), ("address_city", "Paris")]).await;
    assert_eq!(saved.status(), 303);
    assert!(ann.page("/portal/details").await.contains("Ann &amp; Co"));
    let refused = ann.post("/portal/details", &[("name", ""), ("address_city", "Rome")]).await;
    let page = refused.text().await.unwrap();
    assert!(page.contains("role=\"alert\"") && page.contains("Rome"), "what was typed stays");
}

#[tokio::test]
async fn what_anyone_is_called_is_never_markup() {
    let app = TestApp::start().await;
    app.put("/v1/tenants/update", &app.key, &json!({ "name": HOSTILE })).await;
    let (id, wallet) = customer(&app, &app.key, "ann").await;
    let body = json!({ "name": HOSTILE, "address_line1": HOSTILE });
    app.put(&format!("/v1/customers/{id}"), &app.key, &body).await;
    app.put(&format!("/v1/wallets/{wallet}"), &app.key, &json!({ "name": HOSTILE })).await;
    let debit = json!({ "credits": "1", "transaction_reason": "MANUAL_BALANCE_DEBIT",
        "description": HOSTILE, "idempotency_key": "d1" });
    app.post(&format!("/v1/wallets/{wallet}/debit"), &app.key, &debit).await;
    let ann = Browser::enter(&app, "ann").await;
    for path in ["/portal", "/portal/transactions", "/portal/details"] {
        let page = ann.page(path).await;
        assert!(page.contains("&lt;script&gt;window.hacked"), "{path}");
        assert!(!page.contains("<script") && !page.contains("<img src=x"), "{path}");
        assert!(!page.contains(" style=\"") && !page.contains(" onclick="), "{path}");
    }
}

/// An endpoint of so many channels; its id.
async fn endpoint(app: &TestApp, channels: &[String]) -> String {
    let body = json!({ "url": "http://127.0.0.1:9/hook", "types": ["*"], "description": HOSTILE,
        "channels": channels, "metadata": { "secret": "margin 40" } });
    let (status, _, made) = app.post("/v1/webhooks/endpoints", &app.key, &body).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id")
}

async fn top_up(app: &TestApp, wallet: &str) {
    let body = json!({ "credits_to_add": "5", "transaction_reason": "PURCHASED_CREDIT_DIRECT" });
    let path = format!("/v1/wallets/{wallet}/top-up");
    assert_eq!(app.post(&path, &app.key, &body).await.0, 200);
}

/// Ids of the deliveries of an endpoint.
async fn sent(app: &TestApp, endpoint: &str) -> Vec<String> {
    let path = format!("/v1/webhooks/deliveries?endpoint_id={endpoint}");
    let list = app.get(&path, &app.key).await.2;
    list["data"].as_array().unwrap().iter().map(|one| text(one, "id")).collect()
}

#[tokio::test]
async fn a_customer_sees_the_endpoints_that_hear_of_nobody_else() {
    let app = TestApp::start().await;
    let (ann, wallet) = customer(&app, &app.key, "ann").await;
    let (bob, bobs) = customer(&app, &app.key, "bob").await;
    set(&app, json!({ "allow_webhooks": true })).await;
    let (ann_is, bob_is) = (format!("customer:{ann}"), format!("customer:{bob}"));
    let own = endpoint(&app, std::slice::from_ref(&ann_is)).await;
    let of_wallet = endpoint(&app, &[format!("wallet:{wallet}")]).await;
    let mut foreign = Vec::new();
    for channels in
        [vec![], vec![bob_is.clone()], vec![ann_is, bob_is], vec![format!("wallet:{bobs}")]]
    {
        foreign.push(endpoint(&app, &channels).await);
    }
    top_up(&app, &wallet).await;
    top_up(&app, &bobs).await;
    let token = token(&app, "ann").await;
    let base = "/v1/customer/portal/webhooks";
    let (_, _, list) = app.get(&format!("{base}/endpoints"), &token).await;
    let ids: Vec<String> =
        list["data"].as_array().unwrap().iter().map(|one| text(one, "id")).collect();
    assert_eq!(ids, [of_wallet, own.clone()]);
    assert!(!list.to_string().contains("margin 40") && !list.to_string().contains("secret"));
    for id in &foreign {
        let path = format!("{base}/endpoints/{id}/deliveries");
        assert_eq!(app.get(&path, &token).await.0, 404, "{id}");
        for delivery in sent(&app, id).await {
            let path = format!("{base}/deliveries/{delivery}");
            assert_eq!(app.get(&path, &token).await.0, 404, "{delivery}");
            let path = format!("{path}/redeliver");
            assert_eq!(app.post(&path, &token, &json!({})).await.0, 404, "{delivery}");
        }
    }
    let own_sent = sent(&app, &own).await;
    assert!(!own_sent.is_empty());
    let path = format!("{base}/deliveries/{}/redeliver", own_sent[0]);
    let (status, _, again) = app.post(&path, &token, &json!({})).await;
    assert_eq!(status, 202, "{again}");
    let (_, _, log) = app.post("/v1/activity", &app.key, &json!({ "limit": 1 })).await;
    assert!(log["data"][0].to_string().contains("portal"), "{log:#}");
    set(&app, json!({})).await;
    assert_eq!(app.get(&format!("{base}/endpoints"), &token).await.0, 403, "off where nobody says");
}

#[tokio::test]
async fn what_an_endpoint_heard_of_others_before_it_was_the_customers_alone_is_not_shown() {
    let app = TestApp::start().await;
    let (ann, wallet) = customer(&app, &app.key, "ann").await;
    let (_, bobs) = customer(&app, &app.key, "bob").await;
    set(&app, json!({ "allow_webhooks": true })).await;
    let once_all = endpoint(&app, &[]).await;
    top_up(&app, &bobs).await;
    let others = sent(&app, &once_all).await;
    assert!(!others.is_empty());
    let path = format!("/v1/webhooks/endpoints/{once_all}");
    let body = json!({ "channels": [format!("customer:{ann}")] });
    assert_eq!(app.patch(&path, &app.key, &body).await.0, 200);
    top_up(&app, &wallet).await;
    let token = token(&app, "ann").await;
    let base = "/v1/customer/portal/webhooks";
    let path = format!("{base}/endpoints/{once_all}/deliveries");
    let (_, _, list) = app.get(&path, &token).await;
    let shown = list["data"].as_array().unwrap();
    assert!(!shown.is_empty() && shown.iter().all(|one| !others.contains(&text(one, "id"))));
    for id in &others {
        assert_eq!(app.get(&format!("{base}/deliveries/{id}"), &token).await.0, 404);
    }
}

#[tokio::test]
async fn the_pages_of_webhooks_show_each_attempt_and_send_again() {
    let app = TestApp::start().await;
    let (ann, wallet) = customer(&app, &app.key, "ann").await;
    let browser = Browser::enter(&app, "ann").await;
    assert_eq!(browser.get("/portal/webhooks").await.status(), 403);
    set(&app, json!({ "allow_webhooks": true })).await;
    assert!(browser.page("/portal/webhooks").await.contains("No endpoint of yours"));
    let id = endpoint(&app, &[format!("customer:{ann}")]).await;
    top_up(&app, &wallet).await;
    let page = browser.page("/portal/webhooks").await;
    assert!(page.contains(&id) && page.contains("&lt;script&gt;") && !page.contains("<script"));
    let page = browser.page(&format!("/portal/webhooks/{id}")).await;
    let delivery = sent(&app, &id).await.remove(0);
    assert!(page.contains(&delivery), "{page}");
    let path = format!("/portal/webhooks/deliveries/{delivery}");
    assert!(browser.page(&path).await.contains("Send again"));
    let again = format!("{path}/redeliver");
    assert_eq!(browser.send(&again, &[("once", "a")]).await.status(), 403, "without proof");
    assert_eq!(browser.post(&again, &[("once", "a")]).await.status(), 303);
    assert_eq!(browser.get(&format!("{path}7")).await.status(), 404);
}

#[tokio::test]
async fn a_wallet_of_a_paywall_is_topped_up_through_its_link_where_that_is_allowed() {
    let app = TestApp::start().await;
    let key = crate::paywall_key(&app).await;
    let deposit = json!({ "user": "ann", "amount": "3" });
    assert_eq!(app.post("/v1/user/balance/deposit", &key, &deposit).await.0, 200);
    let (_, _, balance) = app.get("/v1/user/balance?user=ann", &key).await;
    let path = format!("/v1/customers/{}", text(&balance, "walletUserId"));
    let name = text(&app.get(&path, &app.key).await.2, "external_id");
    let browser = Browser::enter(&app, &name).await;
    assert!(!browser.page("/portal").await.contains("Top up"));
    let (_, _, wallets) = app.post("/v1/customer/portal/wallets", &browser.token, &json!({})).await;
    let wallet = text(&wallets[0], "id");
    let asked = [("wallet", wallet.as_str())];
    assert_eq!(browser.post("/portal/top-up", &asked).await.status(), 403);
    set(&app, json!({ "allow_top_up": true })).await;
    assert!(browser.page("/portal").await.contains("Top up"));
    let answer = browser.post("/portal/top-up", &asked).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("/v1/checkout/"));
    let (_, other) = customer(&app, &app.key, "bob").await;
    assert_eq!(browser.post("/portal/top-up", &[("wallet", &other)]).await.status(), 404);
}

#[tokio::test]
async fn the_dashboard_opens_the_portal_for_whoever_may() {
    let app = TestApp::start().await;
    let (id, _) = customer(&app, &app.key, "ann").await;
    let person = crate::dashboard::Person::first(&app).await;
    let path = format!("/customers/{id}");
    assert!(person.page(&path).await.contains("/portal\" target"));
    let answer = person.post(&format!("{path}/portal"), &[]).await;
    let to = answer.headers()[LOCATION].to_str().unwrap().to_owned();
    assert!(to.starts_with("/portal/open/fbx_test_ps_"), "{to}");
    let (_, _, log) = app.post("/v1/activity", &app.key, &json!({ "entity_id": id })).await;
    let row = log["data"][0].to_string();
    assert!(row.contains("portal_session.created") && row.contains("dashboard"), "{row}");
    assert!(!row.contains(to.trim_start_matches("/portal/open/")), "the token is masked");
}
