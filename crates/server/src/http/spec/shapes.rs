//! Bodies and answers of the calls, by the name of the call; and the schemas that they name.

mod answers;
mod bodies;
mod calls;
mod queries;

use serde_json::{Value, json};

use super::schema::{answer, named, parameters, words};

/// What a call takes and gives.
pub struct Shape {
    pub status: u16,
    pub body: Option<Value>,
    /// By media type.
    pub answer: Option<Value>,
}

pub fn of(operation: &str) -> Option<Shape> {
    let call = calls::ALL.iter().find(|call| call.0 == bare(operation))?;
    let (_, status, body, given) = *call;
    let body = (!body.is_empty()).then(|| match body {
        "object" => super::schema::any_object(),
        name => named(name),
    });
    Some(Shape { status, body, answer: (!given.is_empty()).then(|| answer(given)) })
}

/// The parameters that a call reads from its query.
pub fn query(operation: &str) -> Vec<Value> {
    let found = queries::ALL.iter().find(|(name, _)| *name == bare(operation));
    found.map(|(_, text)| parameters(text)).unwrap_or_default()
}

/// Statuses that only some calls have.
pub fn refusals(operation: &str) -> Vec<&'static str> {
    let found = calls::REFUSALS.iter().filter(|(_, calls)| calls.contains(&bare(operation)));
    found.map(|(status, _)| *status).collect()
}

/// Whether a provider's own refusals are passed on, in whatever shape they have.
pub fn is_proxied(operation: &str) -> bool {
    calls::PROXIED.contains(&bare(operation))
}

/// A call that names the user in the path is the call without.
fn bare(operation: &str) -> &str {
    operation.strip_suffix("OfUser").unwrap_or(operation)
}

/// Schemas that shapes refer to by name.
pub fn components() -> Vec<(&'static str, Value)> {
    let all = answers::ALL.iter().chain(bodies::ALL);
    let mut all: Vec<(&str, Value)> = all.map(|(name, text)| (*name, words(text))).collect();
    let results = ["Charged", "Blocked", "PaywallError"].map(named);
    all.push(("BatchResult", json!({ "anyOf": results })));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_a_shape_when_it_is_built_and_none_when_it_is_not() {
        for route in &crate::http::routes().all {
            let says = route.doc.summary.to_lowercase();
            let later = says.contains("not built") || says.contains("(later)");
            let shape = of(route.doc.operation);
            assert_eq!(shape.is_none(), later, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn every_line_of_the_tables_is_of_a_call_that_exists() {
        let routes = crate::http::routes();
        let is_there = |name: &str| routes.all.iter().any(|route| route.doc.operation == name);
        let lines = calls::ALL.iter().map(|line| line.0);
        let refused = calls::REFUSALS.iter().flat_map(|(_, calls)| calls.iter().copied());
        let asked = queries::ALL.iter().map(|line| line.0);
        for name in lines.chain(refused).chain(asked) {
            assert!(is_there(name), "{name}");
        }
    }
}
