//! Holds every answer that a test receives against the OpenAPI document: its status must be
//! declared, and its body must be what is declared, with no field more.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

static DOCUMENT: LazyLock<Document> = LazyLock::new(Document::load);

/// Ends the test when the document does not know the answer. `path` may have a query.
pub fn check(method: &str, path: &str, status: u16, (kind, body): (&str, &Value)) {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if let Err(problem) = DOCUMENT.judge(method, path, status, (kind, body)) {
        panic!(
            "{method} {path} → {status} is not what openapi.json says: {problem}\n{body:#}\nThe \
             document is made of server/src/http/spec/shapes: is the answer wrong, or the shape?"
        );
    }
}

/// The path as the document writes it: `/v1/wallets/{id}`.
pub fn template(method: &str, path: &str) -> Option<&'static str> {
    DOCUMENT.template(&method.to_lowercase(), path.split(['?', '#']).next().unwrap_or_default())
}

/// What the document says about a call; `method` in lower case.
pub fn operation(method: &str, template: &str) -> &'static Value {
    &DOCUMENT.value["paths"][template][method]
}

/// A schema with its reference followed.
pub fn resolved(schema: &'static Value) -> &'static Value {
    let Some(name) = schema["$ref"].as_str() else { return schema };
    DOCUMENT.value.pointer(name.trim_start_matches('#')).unwrap_or(schema)
}

/// Every call of the document: method in lower case, path, and what is said of it.
pub fn operations() -> Vec<(&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT.value["paths"].as_object().unwrap();
    let calls = |(path, item): (&'static String, &'static Value)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(|(method, call)| (method.as_str(), path.as_str(), call)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(calls).collect()
}

struct Document {
    value: Value,
    /// By pointer to the schema; made when first needed, because there are many.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Document {
    fn load() -> Document {
        let mut value = server::http::spec::document(&server::http::routes());
        close(&mut value);
        Document { value, validators: Mutex::default() }
    }

    /// The declared path that this one is, the most literal first.
    fn template(&self, method: &str, path: &str) -> Option<&str> {
        // The one name that may have slashes in it.
        let path = &match path.strip_prefix("/v1/models/") {
            Some(model) => format!("/v1/models/{}", model.replace('/', "%2F")),
            None => path.to_owned(),
        };
        let paths = self.value["paths"].as_object()?;
        let of_method = paths.iter().filter(|(_, item)| item.get(method).is_some());
        let literal = |template: &str| -> Option<Vec<bool>> {
            let (left, right): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            let fits = |(part, given): (&&str, &&str)| part.starts_with('{') || part == given;
            let same = left.len() == right.len() && left.iter().zip(&right).all(fits);
            same.then(|| left.iter().map(|part| !part.starts_with('{')).collect())
        };
        let fitting = of_method.filter_map(|(name, _)| Some((literal(name)?, name.as_str())));
        fitting.max().map(|(_, name)| name)
    }

    fn judge(
        &self,
        method: &str,
        path: &str,
        status: u16,
        (kind, body): (&str, &Value),
    ) -> Result<(), String> {
        let method = method.to_lowercase();
        let Some(template) = self.template(&method, path) else {
            return if status == 404 { Ok(()) } else { Err("no such route".to_owned()) };
        };
        let responses = &self.value["paths"][template][&method]["responses"];
        let response = responses.get(status.to_string()).ok_or("the status is not declared")?;
        let Some(content) = response.get("content") else {
            return if body.is_null() { Ok(()) } else { Err("no body is declared".to_owned()) };
        };
        let kind = kind.split(';').next().unwrap_or_default();
        if content.get(kind).is_none() {
            return Err(format!("the content type {kind} is not declared"));
        }
        if kind != "application/json" {
            return Ok(());
        }
        let pointer = format!(
            "/paths/{}/{method}/responses/{status}/content/application~1json/schema",
            template.replace('~', "~0").replace('/', "~1")
        );
        let problems: Vec<String> = self
            .validator(&pointer)
            .iter_errors(body)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    fn validator(&self, pointer: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap();
        let made = validators.entry(pointer.to_owned()).or_insert_with(|| {
            let mut schema = self.value.pointer(pointer).unwrap().clone();
            if let Some(map) = schema.as_object_mut() {
                map.insert("components".to_owned(), self.value["components"].clone());
            }
            let options = jsonschema::draft202012::options().should_validate_formats(true);
            Arc::new(options.build(&schema).unwrap())
        });
        made.clone()
    }
}

/// An object whose fields are declared has no others: what is not declared is not documented.
fn close(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(close),
        Value::Object(map) => {
            map.values_mut().for_each(close);
            close_object(map);
        }
        _ => {}
    }
}

fn close_object(map: &mut Map<String, Value>) {
    let declared = map.get("properties").is_some_and(Value::is_object) && map.contains_key("type");
    if declared && !map.contains_key("additionalProperties") {
        map.insert("additionalProperties".to_owned(), json!(false));
    }
}
