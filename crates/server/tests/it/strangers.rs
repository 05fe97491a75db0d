//! Nobody reads or changes another tenant: every call that is built, with the ids of one tenant and
//! the key of another.

use std::collections::BTreeSet;

use domain::scope::Cause;
use serde_json::{Value, json};
use testkit::{TestApp, document};

use crate::world::{Example, World};

/// `<prefix>_<ULID>` wherever it stands.
fn ids(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_id = |word: &&str| {
        word.rsplit_once('_').is_some_and(|(prefix, rest)| {
            let ulid = rest.len() == 26
                && rest.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
            ulid && !prefix.is_empty() && prefix != "req"
        })
    };
    text.split(|c| !is_part(c)).filter(is_id).map(str::to_owned).collect()
}

/// A paywall of the other tenant, so that its key is a good one.
async fn other_paywall(app: &TestApp) -> String {
    let body = json!({ "name": "Other", "currency": "USD" });
    let scope = app.other_scope;
    app.engine.create_paywall(scope, Cause::schedule(), body).await.unwrap().api_key
}

/// The token of a customer of the other tenant.
async fn other_customer(app: &TestApp) -> String {
    let body = json!({ "external_id": "stranger", "name": "Stranger" });
    assert_eq!(app.post("/v1/customers", &app.other_key, &body).await.0, 201);
    let opened = app.get("/v1/customers/portal/stranger", &app.other_key).await.2;
    opened["token"].as_str().unwrap().to_owned()
}

/// Everything that a tenant's log and audit log tell, by their ends.
async fn marks(app: &TestApp) -> (u64, Value) {
    let scope = app.scope;
    let head = app.engine.read_now(|read| Ok(store::events::head(read, &scope)?)).unwrap();
    let newest = app.post("/v1/activity", &app.key, &json!({ "limit": 1 })).await.2;
    (head, newest["data"][0]["id"].clone())
}

/// What a stranger must not be told: ids of the first tenant, but those that the stranger sent.
fn told(example: &Example, theirs: &BTreeSet<String>, answer: &Value) -> Vec<String> {
    let sent = format!("{} {}", example.path, example.body.clone().unwrap_or_default());
    let sent = ids(&sent);
    let told = ids(&answer.to_string());
    told.into_iter().filter(|id| theirs.contains(id) && !sent.contains(id)).collect()
}

/// Ids of everything that the first tenant's own calls show.
async fn ids_of(world: &World) -> BTreeSet<String> {
    let mut found = ids(&format!("{} {}", world.app.scope.tenant, world.app.scope.environment));
    // The samples of the catalogue are everyone's.
    let is_read = |example: &&Example| {
        example.method == "GET" && !example.path.starts_with("/v1/webhooks/types")
    };
    for example in world.examples.iter().filter(is_read) {
        let answer = world.app.get(&example.path, &example.key).await.2;
        found.extend(ids(&answer.to_string()));
        found.extend(ids(&example.path));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_key_of_another_tenant_every_call_tells_nothing_and_changes_nothing() {
    let world = World::alive().await;
    let app = &world.app;
    let (paywall, theirs) = (other_paywall(app).await, ids_of(&world).await);
    assert!(theirs.len() > 30, "{theirs:?}");
    let customer = other_customer(app).await;
    let before = marks(app).await;
    let (mut wrong, mut tried) = (Vec::new(), 0);
    // What the stranger wrote down of itself, such as the channels of an endpoint.
    let mut kept = BTreeSet::new();
    for example in &world.examples {
        let key = match &example.key {
            key if *key == app.key => &app.other_key,
            key if key.contains("_ps_") => &customer,
            _ => &paywall,
        };
        let body = example.body.as_ref().map(|body| serde_json::to_vec(body).unwrap());
        let sent = app.send(example.method.clone(), &example.path, key, &[], body);
        let (status, _, answer) = sent.await;
        let name = format!("{} {}", example.method, example.path);
        let mut leaked = told(example, &theirs, &answer);
        leaked.retain(|id| !kept.contains(id));
        if status < 300 {
            kept.extend(ids(&example.body.clone().unwrap_or_default().to_string()));
        }
        if !leaked.is_empty() {
            wrong.push(format!("{name} tells {leaked:?}"));
        }
        let method = example.method.as_str().to_lowercase();
        let template = document::template(&method, &example.path).unwrap_or_default();
        let names_theirs = !ids(&example.path).is_empty() && template.contains('{');
        let is_open = template.starts_with("/checkout/") || template.starts_with("/v1/checkout/");
        if names_theirs && !is_open {
            tried += 1;
            if status != 404 {
                wrong.push(format!("{name} answers {status}: {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(tried > 50, "only {tried} calls name something");
    assert_eq!(marks(app).await, before, "something of the first tenant was changed");
    assert!(app.engine.verify(app.scope).await.unwrap().balanced);
}
