//! The OpenAPI 3.1 document, made of the declarations: what is not declared is not served.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::role::Needs;
use serde_json::{Map, Value, json};

use super::super::route::{Access, Route, Routes};
use super::schema;
use super::shapes::{self, Shape};

/// The document as it is served and checked in.
pub fn document_text(routes: &Routes) -> String {
    serde_json::to_string_pretty(&document(routes)).unwrap_or_default()
}

pub fn document(routes: &Routes) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for route in &routes.all {
        let method = route.method.as_str().to_lowercase();
        let mut operation = operation(route);
        // What a paywall's key does on a short path its owner does under the paywall's own.
        let mut name = route.doc.operation.to_owned();
        if !names.insert(name.clone()) {
            name.push_str("OfPaywall");
            operation["operationId"] = json!(name);
            names.insert(name);
        }
        // A name that takes slashes too is written as any other.
        let item = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        item[method] = operation;
    }
    let components = shapes::components().into_iter();
    let schemas: Map<String, Value> =
        components.map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Farebox",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Billing, wallets, paywalls and webhooks.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags(routes),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "paywallKey": { "type": "apiKey", "in": "header", "name": "X-Paywall-Key" },
                "paywallBearer": { "type": "http", "scheme": "bearer" },
                "portalSession": { "type": "apiKey", "in": "header", "name": "X-Session-Token" },
                "portalBearer": { "type": "http", "scheme": "bearer" },
            },
            "schemas": schemas,
        },
    })
}

fn tags(routes: &Routes) -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    for route in &routes.all {
        if !names.contains(&route.doc.tag) {
            names.push(route.doc.tag);
        }
    }
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

fn operation(route: &Route) -> Value {
    let shape = shapes::of(route.doc.operation);
    let mut operation = json!({
        "operationId": route.doc.operation,
        "tags": [route.doc.tag],
        "summary": route.doc.summary,
        "security": security(route.access),
        "responses": responses(route, shape.as_ref()),
    });
    let mut parameters = parameters(route);
    parameters.extend(shapes::query(route.doc.operation));
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(needs) = needs(route.access) {
        operation["x-needs"] = json!(format!("{}:{}", needs.entity, needs.action));
    }
    if let Some(body) = body(route, shape.as_ref()) {
        let content = json!({ "application/json": { "schema": body } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

fn body(route: &Route, shape: Option<&Shape>) -> Option<Value> {
    let takes = [Method::POST, Method::PUT, Method::PATCH].contains(&route.method);
    match shape {
        Some(shape) => shape.body.clone(),
        // A call that is not built takes anything and refuses it.
        None => takes.then(schema::any_object),
    }
}

fn needs(access: Access) -> Option<Needs> {
    match access {
        Access::Key(needs) | Access::Either(needs) => Some(needs),
        Access::Public | Access::Paywall | Access::Customer => None,
    }
}

fn security(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Key(_) => json!([{ "apiKey": [] }]),
        Access::Paywall => json!([{ "paywallKey": [] }, { "paywallBearer": [] }]),
        Access::Customer => json!([{ "portalSession": [] }, { "portalBearer": [] }]),
        Access::Either(_) => {
            json!([{ "apiKey": [] }, { "paywallKey": [] }, { "paywallBearer": [] }])
        }
    }
}

/// Names in the path, and the idempotency key of what changes something.
fn parameters(route: &Route) -> Vec<Value> {
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = names
        .map(|name| {
            let name = name.trim_start_matches('*');
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    if route.method == Method::POST && route.access != Access::Public {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": { "type": "string", "maxLength": 255 },
        }));
    }
    parameters
}

fn responses(route: &Route, shape: Option<&Shape>) -> Value {
    let mut responses = Map::new();
    if let Some(shape) = shape {
        let mut success = json!({ "description": route.doc.summary });
        if let Some(content) = &shape.answer {
            success["content"] = content.clone();
        }
        responses.insert(shape.status.to_string(), success);
    }
    let content = json!({ "application/json": { "schema": refusal(route) } });
    for status in refusals(route, shape.is_some()) {
        let refused = json!({ "description": meaning(status), "content": content });
        responses.insert(status.to_owned(), refused);
    }
    for (status, media) in pages(route.doc.operation) {
        let content = if media.is_empty() { json!({}) } else { schema::answer(media) };
        let page = json!({ "description": meaning(status), "content": content });
        responses.insert((*status).to_owned(), page);
    }
    Value::Object(responses)
}

/// The shape of every refusal: which surface the route speaks, or whichever the credential speaks.
fn refusal(route: &Route) -> Value {
    match route.access {
        Access::Paywall if shapes::is_proxied(route.doc.operation) => {
            let own =
                if route.path.contains("/messages") { "MessagesError" } else { "PaywallError" };
            json!({ "anyOf": [schema::named(own), schema::any_object()] })
        }
        Access::Paywall if route.path.contains("/messages") => schema::named("MessagesError"),
        Access::Paywall => schema::named("PaywallError"),
        Access::Either(_) => {
            let both = ["Error", "PaywallError"].map(schema::named);
            json!({ "anyOf": both })
        }
        Access::Key(_) | Access::Public | Access::Customer => schema::named("Error"),
    }
}

fn refusals(route: &Route, built: bool) -> Vec<&'static str> {
    let mut all = vec!["503"];
    if route.access != Access::Public {
        all.extend(["400", "401", "403", "404", "413"]);
        if route.method != Method::GET {
            all.extend(["409", "422"]);
        }
    } else if route.path.contains('{') {
        all.push("400");
    }
    if !built {
        all.push("501");
    }
    all.extend(shapes::refusals(route.doc.operation));
    all.sort_unstable();
    all
}

/// Answers that are no refusals in JSON, although not the success either.
fn pages(operation: &str) -> &'static [(&'static str, &'static str)] {
    match operation {
        "openCheckout" => &[("303", ""), ("404", "text/html"), ("410", "text/html")],
        "readyz" => &[("503", "NotReady")],
        _ => &[],
    }
}

fn meaning(status: &str) -> &'static str {
    match status {
        "303" => "Where the money is paid in",
        "400" => "The request is wrong; the field is named",
        "401" => "The key is missing or unknown",
        "402" => "There is not enough money",
        "403" => "The key may not do this",
        "404" => "There is no such thing here",
        "409" => "The state of the thing does not allow it",
        "410" => "It was there, and is not any more",
        "413" => "The body is too large",
        "422" => "The idempotency key was used with another body",
        "429" => "Too much at a time; retry-after says when to come again",
        "501" => "Not built in this version; nothing was changed",
        "502" => "The provider failed; nothing was charged",
        "504" => "The provider was too slow; nothing was charged",
        _ => "The process cannot take work now; nothing was written",
    }
}
