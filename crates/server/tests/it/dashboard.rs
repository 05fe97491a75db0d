//! The dashboard's door and its walls: who is let in, what a form must prove, whose pages are
//! shown.

use reqwest::header::{CONTENT_SECURITY_POLICY, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use testkit::TestApp;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "a sentence is a good password";
pub const HOSTILE: &str = "<script>window.hacked=1</script>\"'><img src=x onerror=alert(1)>";

/// A browser without a screen: it keeps the session and nothing else.
pub struct Person {
    client: Client,
    base: String,
    session: String,
}

fn client() -> Client {
    let policy = reqwest::redirect::Policy::none();
    Client::builder().redirect(policy).no_proxy().build().unwrap()
}

fn session_of(answer: &Response) -> Option<String> {
    let cookies = answer.headers().get_all(SET_COOKIE).iter();
    let mut sessions = cookies.filter_map(|value| {
        let text = value.to_str().ok()?.strip_prefix("farebox_session=")?;
        Some(text.split(';').next()?.to_owned())
    });
    sessions.next().filter(|session| !session.is_empty())
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

async fn sign_in(app: &TestApp, email: &str, password: &str) -> Response {
    let body = form(&[("email", email), ("password", password)]);
    client().post(format!("{}/sign-in", app.base)).body(body).send().await.unwrap()
}

impl Person {
    /// The first person of the first tenant.
    pub async fn first(app: &TestApp) -> Person {
        let login = (EMAIL, PASSWORD.to_owned());
        app.engine.ensure_login(app.scope, login).await.unwrap();
        Person::enter(app, EMAIL).await
    }

    async fn enter(app: &TestApp, email: &str) -> Person {
        let answer = sign_in(app, email, PASSWORD).await;
        let session = session_of(&answer).unwrap();
        Person { client: client(), base: app.base.clone(), session }
    }

    /// Someone who may look at everything and change nothing.
    pub async fn reader(app: &TestApp) -> Person {
        Person::with_role(app, "all_reader").await
    }

    pub async fn with_role(app: &TestApp, role: &str) -> Person {
        let profile = store::members::Profile {
            name: "Rita".to_owned(),
            email: "rita@example.com".to_owned(),
            roles: vec![role.to_owned()],
            ..Default::default()
        };
        let held = vec!["super_admin".parse().unwrap()];
        let cause = domain::scope::Cause::schedule();
        let (_, link) = app.engine.invite(app.scope, cause, (profile, held)).await.unwrap();
        let body = form(&[("email", "rita@example.com"), ("password", PASSWORD)]);
        let link = format!("{}{link}", app.base);
        let accepted = client().post(&link).body(body.clone()).send().await.unwrap();
        assert_eq!(accepted.status(), 303);
        let again = client().post(&link).body(body).send().await.unwrap();
        assert_eq!(again.status(), 400, "the link lets in once");
        Person::enter(app, "rita@example.com").await
    }

    fn cookie(&self) -> String {
        format!("farebox_session={}", self.session)
    }

    pub async fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.base);
        self.client.get(url).header(COOKIE, self.cookie()).send().await.unwrap()
    }

    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    pub fn csrf(&self) -> String {
        server::web::form_proof(&self.session)
    }

    pub async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        let csrf = self.csrf();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(pairs);
        self.send(path, &all).await
    }

    async fn send(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        let url = format!("{}{path}", self.base);
        let body = form(pairs);
        self.client.post(url).header(COOKIE, self.cookie()).body(body).send().await.unwrap()
    }
}

pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

/// A customer with a wallet of so many credits; both ids.
pub async fn wallet(app: &TestApp, key: &str, name: &str) -> (String, String) {
    let body = json!({ "external_id": name, "name": name, "metadata": { "x": HOSTILE } });
    let customer = app.post("/v1/customers", key, &body).await;
    let id = text(&customer.2, "id");
    let body = json!({ "customer_id": id, "currency": "usd", "initial_credits_to_load": "50" });
    let made = app.post("/v1/wallets", key, &body).await;
    (id, text(&made.2, "id"))
}

#[tokio::test]
async fn without_a_session_every_page_leads_to_the_door() {
    let app = TestApp::start().await;
    for (method, path) in server::web::declared() {
        if ["/sign-in", "/welcome/{token}", "/assets/{name}"].contains(&path.as_str()) {
            continue;
        }
        let url = format!("{}{}", app.base, path.replace(['{', '}'], "x"));
        for cookie in ["", "farebox_session=nonsense"] {
            let answer = client().request(method.clone(), &url).header(COOKIE, cookie);
            let answer = answer.send().await.unwrap();
            assert_eq!(answer.status(), 303, "{method} {path}");
            let to = answer.headers()[LOCATION].to_str().unwrap();
            assert!(to.starts_with("/sign-in"), "{method} {path} → {to}");
        }
    }
}

#[tokio::test]
async fn a_session_is_out_of_reach_of_scripts_and_ends_with_signing_out() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let answer = sign_in(&app, EMAIL, PASSWORD).await;
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    assert_eq!(person.get("/").await.status(), 200);
    assert_eq!(person.post("/sign-out", &[]).await.status(), 303);
    assert_eq!(person.get("/").await.status(), 303);
}

#[tokio::test]
async fn wrong_passwords_shut_the_door_and_say_for_how_long() {
    let app = TestApp::start().await;
    Person::first(&app).await;
    for email in [EMAIL, "nobody@example.com"] {
        let answer = sign_in(&app, email, "wrong").await;
        assert_eq!(answer.status(), 401);
        assert!(answer.text().await.unwrap().contains("is wrong"));
    }
    for _ in 0..4 {
        assert_eq!(sign_in(&app, EMAIL, "wrong").await.status(), 401);
    }
    let answer = sign_in(&app, EMAIL, PASSWORD).await;
    assert_eq!(answer.status(), 429);
    assert!(answer.text().await.unwrap().contains("try again in"));
}

#[tokio::test]
async fn a_form_without_its_proof_does_nothing() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let (_, wallet) = wallet(&app, &app.key, "ann").await;
    let path = format!("/wallets/{wallet}/do/debit");
    let asked = [("credits", "10"), ("reason", "because"), ("step", "confirm"), ("once", "a")];
    for proof in [None, Some("nonsense")] {
        let mut pairs: Vec<(&str, &str)> = proof.map(|proof| ("csrf", proof)).into_iter().collect();
        pairs.extend(asked);
        assert_eq!(person.send(&path, &pairs).await.status(), 403);
    }
    let from_elsewhere = person
        .client
        .post(format!("{}{path}", app.base))
        .header(COOKIE, person.cookie())
        .header("x-csrf", person.csrf())
        .header("origin", "https://evil.example")
        .body(form(&asked));
    assert_eq!(from_elsewhere.send().await.unwrap().status(), 403);
    let (_, _, now) = app.get(&format!("/v1/wallets/{wallet}"), &app.key).await;
    assert_eq!(now["credit_balance"], "50");
}

#[tokio::test]
async fn a_preview_changes_nothing_and_the_deed_is_done_once_with_its_reason() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let (_, wallet) = wallet(&app, &app.key, "ann").await;
    let path = format!("/wallets/{wallet}/do/debit");
    let balance = async || {
        let (_, _, now) = app.get(&format!("/v1/wallets/{wallet}"), &app.key).await;
        text(&now, "credit_balance")
    };
    let asked = [("credits", "12.5"), ("reason", "goodwill taken back"), ("once", "a")];
    let events = app.events().len();
    let shown = person.post(&path, &asked).await.text().await.unwrap();
    assert!(shown.contains("37.50") && shown.contains("nothing has happened yet"), "{shown}");
    assert_eq!((balance().await.as_str(), app.events().len()), ("50", events));
    let confirmed = [&asked[..], &[("step", "confirm")]].concat();
    for _ in 0..2 {
        assert_eq!(person.post(&path, &confirmed).await.status(), 303);
        assert_eq!(balance().await, "37.5");
    }
    let search = json!({ "entity_id": wallet, "action": "wallet.debited" });
    let (_, _, log) = app.post("/v1/activity", &app.key, &search).await;
    let rows = log["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{log:#}");
    assert!(rows[0].to_string().contains("goodwill taken back"));
    assert!(rows[0].to_string().contains("dashboard"));
    let refused = [("credits", "1"), ("reason", ""), ("once", "b"), ("step", "confirm")];
    let answer = person.post(&path, &refused).await.text().await.unwrap();
    assert!(answer.contains("Say in a few words why"));
    assert_eq!(balance().await, "37.5");
}

#[tokio::test]
async fn pages_of_another_tenant_are_not_there() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let other = app.other_key.clone();
    let (customer, wallet) = wallet(&app, &other, "zzyzx").await;
    let (_, _, rows) = app.get(&format!("/v1/wallets/{wallet}/transactions"), &other).await;
    let entry = text(&rows["items"][0], "id");
    let paywall = json!({ "name": "zzyzx", "currency": "USD" });
    let paywall = text(&app.post("/v1/paywalls", &other, &paywall).await.2, "id");
    let (_, _, log) = app.post("/v1/activity", &other, &json!({ "limit": 1 })).await;
    let audit = text(&log["data"][0], "id");
    let (_, _, feed) = app.get("/v1/webhooks/events?limit=1", &other).await;
    let event = text(&feed["data"][0], "id");
    let foreign = [
        format!("/paywalls/{paywall}"),
        format!("/paywalls/{paywall}/requests"),
        format!("/paywalls/{paywall}/users"),
        format!("/paywalls/{paywall}/prices"),
        format!("/paywalls/{paywall}/settings"),
        format!("/paywalls/{paywall}/playground"),
        format!("/events/{event}"),
        format!("/audit/{audit}"),
    ];
    for path in &foreign {
        assert_eq!(person.get(path).await.status(), 404, "{path}");
    }
    let deeds = ["rotate", "archive", "provider", "prices", "playground"];
    for deed in deeds {
        let asked = [("kind", "openai"), ("model", "m"), ("once", "x"), ("user", "u")];
        let path = format!("/paywalls/{paywall}/{deed}");
        let answer = person.post(&path, &asked).await;
        let refused = answer.status() == 404 || answer.headers().contains_key(SET_COOKIE);
        assert!(refused, "{path} {}", answer.status());
    }
    let (_, _, after) = app.get(&format!("/v1/paywalls/{paywall}"), &other).await;
    assert_eq!((after["status"].as_str(), after["version"].as_u64()), (Some("active"), Some(1)));
    let paths = [
        format!("/customers/{customer}"),
        format!("/customers/{customer}/edit"),
        format!("/wallets/{wallet}"),
        format!("/wallets/{wallet}/entries/{entry}"),
        format!("/wallets/{wallet}/do/top-up"),
        format!("/wallets/{wallet}/do/terminate"),
    ];
    for path in &paths {
        assert_eq!(person.get(path).await.status(), 404, "{path}");
    }
    let asked = [("credits_to_add", "5"), ("reason", "mine"), ("step", "confirm")];
    for path in &paths[4..] {
        assert_eq!(person.post(path, &asked).await.status(), 404, "{path}");
    }
    assert!(!person.page("/customers?q=zzyzx").await.contains("/customers/cust_"));
    for path in ["/", "/paywalls", "/events", "/audit", "/webhooks", "/developers", "/settings"] {
        assert!(!person.page(path).await.contains("zzyzx"), "{path}");
    }
    let foreign = app.other_scope.environment.to_string();
    let moved = person.post("/environment", &[("environment", &foreign)]).await;
    assert_eq!(moved.status(), 404);
}

#[tokio::test]
async fn a_role_limits_pages_and_buttons() {
    let app = TestApp::start().await;
    let first = Person::first(&app).await;
    let (customer, wallet) = wallet(&app, &app.key, "ann").await;
    let rita = Person::reader(&app).await;
    let page = rita.page(&format!("/wallets/{wallet}")).await;
    assert!(!page.contains("/do/top-up"));
    assert!(first.page(&format!("/wallets/{wallet}")).await.contains("/do/top-up"));
    for path in [format!("/wallets/{wallet}/do/top-up"), format!("/customers/{customer}/edit")] {
        assert_eq!(rita.get(&path).await.status(), 403, "{path}");
        assert_eq!(rita.post(&path, &[("reason", "try")]).await.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn what_customers_are_called_is_never_markup_and_the_policy_forbids_the_rest() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let (customer, wallet) = wallet(&app, &app.key, HOSTILE).await;
    for path in
        ["/", "/customers", &format!("/customers/{customer}"), &format!("/wallets/{wallet}")]
    {
        let answer = person.get(path).await;
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("&lt;script&gt;window.hacked"), "{path}");
        assert!(!page.contains("<script>window") && !page.contains("<img src=x"), "{path}");
        assert!(!page.contains(" style=\"") && !page.contains(" onclick="), "{path}");
    }
}

#[tokio::test]
async fn the_home_page_adds_up_what_happened_and_counts_nothing_twice() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let (_, wallet) = wallet(&app, &app.key, "ann").await;
    let body = json!({ "credits_to_add": "25", "transaction_reason": "PURCHASED_CREDIT_DIRECT" });
    app.post(&format!("/v1/wallets/{wallet}/top-up"), &app.key, &body).await;
    for _ in 0..3 {
        let page = person.page("/").await;
        assert!(page.contains("25.00") && page.contains("75.00"), "in and outstanding");
    }
    let totals = app
        .engine
        .read_now(|read| Ok::<_, engine::Error>(store::tallies::totals(read, &app.scope)?))
        .unwrap();
    let counted: i64 =
        totals.iter().filter(|row| row.name == "moved").map(|row| row.sum.count).sum();
    assert_eq!(counted, 2);
}
