//! Every route that is declared: it says who may call it, and nobody else may.

use domain::key::KeyKind;
use domain::role::{Needs, Role};
use domain::scope::Cause;
use engine::keys::{KeyPlan, insert};
use reqwest::Method;
use server::http::route::{Access, Route};
use testkit::TestApp;

/// A key that may read events and nothing else.
async fn reader_key(app: &TestApp) -> String {
    let plan = KeyPlan {
        scope: app.scope,
        kind: KeyKind::Sk,
        paywall: None,
        name: "reader".to_owned(),
        grants: vec![Role::EventReader.as_str().to_owned()],
        expires_at: None,
        supplied: None,
    };
    let text = app.engine.key_text(&plan);
    let made = text.clone();
    let work = move |tx: &mut store::Tx<'_>| insert(tx, &Cause::schedule(), &plan, &made).map(drop);
    app.engine.change(app.scope, work).await.unwrap();
    text
}

/// The route's path with something in the place of each name.
fn path(route: &Route) -> String {
    let part = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
    route.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn needs(route: &Route) -> Option<Needs> {
    match route.access {
        Access::Key(needs) | Access::Either(needs) => Some(needs),
        Access::Paywall | Access::Customer | Access::Public => None,
    }
}

/// Sends the route's method without any key.
async fn status_without_key(app: &TestApp, route: &Route) -> u16 {
    let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
    let request = reqwest::Client::new().request(method, format!("{}{}", app.base, path(route)));
    request.send().await.unwrap().status().as_u16()
}

async fn status_with(app: &TestApp, route: &Route, key: &str) -> (u16, serde_json::Value) {
    let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
    let (status, _, body) = app.send(method, &path(route), key, &[], None).await;
    (status, body)
}

/// What anyone may call; a new name here is a decision.
const PUBLIC: &[&str] =
    &["/livez", "/readyz", "/health", "/metrics", "/openapi.json", "/docs", "/docs/style.css"];

fn is_public(path: &str) -> bool {
    let by_token = ["/v1/checkout/", "/checkout/", "/portal/", "/connect/"];
    PUBLIC.contains(&path) || by_token.iter().any(|start| path.starts_with(start))
}

#[tokio::test]
async fn without_a_key_every_route_that_holds_data_answers_401() {
    let app = TestApp::start().await;
    for route in &server::http::routes().all {
        if route.access == Access::Public {
            assert!(is_public(route.path), "{} {} is open to anyone", route.method, route.path);
            continue;
        }
        let status = status_without_key(&app, route).await;
        assert_eq!(status, 401, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn a_key_opens_what_its_role_permits_and_nothing_else() {
    let app = TestApp::start().await;
    let reader = reader_key(&app).await;
    for route in &server::http::routes().all {
        let name = format!("{} {}", route.method, route.path);
        let Some(needs) = needs(route) else {
            if route.access == Access::Paywall {
                let (status, _) = status_with(&app, route, &reader).await;
                assert_eq!(status, 401, "{name} takes a paywall key only");
            }
            if route.access == Access::Customer {
                for key in [&reader, &app.key] {
                    let (status, _) = status_with(&app, route, key).await;
                    assert_eq!(status, 401, "{name} takes a customer's token only");
                }
            }
            continue;
        };
        if Role::EventReader.permits(needs) {
            continue;
        }
        let (status, body) = status_with(&app, route, &reader).await;
        assert_eq!((status, &body["code"]), (403, &"permission_denied".into()), "{name}");
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let document = server::http::spec::document(&server::http::routes());
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
            assert!(names.insert(name), "{name} is the name of two calls, one is {method} {path}");
        }
    }
}
