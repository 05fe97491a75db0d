//! Bad input is refused whole: calls with one thing wrong, made from the OpenAPI document and a
//! seed. Nothing panics or hangs, each refusal has its documented shape and names its field, and
//! the books balance in the end.
#![expect(clippy::disallowed_methods, reason = "it is told a seed to repeat")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::id::splitmix;
use reqwest::Method;
use serde_json::{Map, Value};
use testkit::document;

use crate::world::{Example, PROXIED, World};

/// After one pass over all calls, more are made until this time is over.
const LASTS: Duration = Duration::from_secs(3);
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// Values that are tried for one field in one pass.
const VALUES_A_FIELD: usize = 2;
const LARGE_BYTES: usize = 10 << 20;

struct Fuzz {
    world: World,
    seed: u64,
    count: u64,
    /// What was answered wrongly, by call and field: told together at the end.
    wrong: BTreeMap<String, String>,
}

impl Fuzz {
    fn draw(&mut self, below: usize) -> usize {
        self.seed = splitmix(self.seed);
        usize::try_from(self.seed % below as u64).unwrap()
    }

    fn expect(&mut self, holds: bool, (call, field): (&str, &str), problem: impl Fn() -> String) {
        if !holds {
            self.wrong.entry(format!("{call} {field}")).or_insert_with(problem);
        }
    }

    /// Sends it. The harness holds the answer against the document.
    async fn send(&mut self, call: (&Method, &str, &str), body: Option<Vec<u8>>) -> (u16, Value) {
        let (method, path, key) = call;
        self.count += 1;
        let once = format!("fuzz-{}", self.count);
        let headers = [("idempotency-key", once.as_str())];
        let sent = self.world.app.send(method.clone(), path, key, &headers, body.clone());
        let answer = tokio::time::timeout(ANSWERS_WITHIN, sent).await;
        let shown = || {
            let text = String::from_utf8_lossy(body.as_deref().unwrap_or_default()).into_owned();
            format!("{method} {path} {}", text.chars().take(600).collect::<String>())
        };
        assert!(answer.is_ok(), "no answer to {}", shown());
        let (status, _, answer) = answer.unwrap();
        // A provider may fail, as long as it is the one that fails.
        let elsewhere = PROXIED.contains(&path) && [502, 503, 504].contains(&status);
        assert!(status < 500 || status == 501 || elsewhere, "{status} {answer} to {}", shown());
        (status, answer)
    }
}

/// Values by the kind of JSON that they are.
fn values() -> Vec<(&'static str, String)> {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    vec![
        ("null", "null".to_owned()),
        ("boolean", "true".to_owned()),
        ("integer", "-1".to_owned()),
        ("integer", "0".to_owned()),
        ("integer", "1234567890123456789012345678901234567890".to_owned()),
        ("number", "0.1".to_owned()),
        ("number", "-12345.000000000000000000000000000001".to_owned()),
        ("number", "1e400".to_owned()),
        ("string", quoted("")),
        ("string", quoted("x")),
        ("string", quoted(&"long ".repeat(20_000))),
        ("string", quoted("1234567890123456789012345678901234567890")),
        ("string", quoted("a\u{0}b\u{202e}\u{1f4a5}'\"; DROP TABLE entries; --")),
        ("string", quoted("9999-99-99T99:99:99Z")),
        ("array", "[]".to_owned()),
        ("array", "[1, \"a\", null, {}]".to_owned()),
        ("array", nested(100)),
        ("object", "{}".to_owned()),
        ("object", "{\"\": {\"a\": [null]}}".to_owned()),
    ]
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Whole bodies that are no object, or none that anyone can read.
fn bodies() -> Vec<Vec<u8>> {
    let texts =
        ["", "null", "[]", "\"x\"", "17", "not json", "{", "{\"a\":}", "{}{}", "{\"a\":1,\"a\":2}"];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.push(nested(100_000).into_bytes());
    all.push(vec![b'{', b'"', 0xFF, 0xFE, b'"', b':', b'1', b'}']);
    all.push(b"\xEF\xBB\xBF{}".to_vec());
    all
}

/// Names in a path, or values of a parameter, percent-encoded.
fn words() -> Vec<String> {
    let mut all: Vec<String> = ["x", "-1", "0", "1.5", "%00", "%F0%9F%92%A5", "%FF", "..%2F..%2F"]
        .map(str::to_owned)
        .to_vec();
    all.push("1234567890123456789012345678901234567890".to_owned());
    all.push("wallet_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned());
    all.push("a".repeat(5_000));
    all
}

/// The body with one member as written, or without it.
fn with_member(body: &Map<String, Value>, name: &str, raw: Option<&str>) -> Vec<u8> {
    let rest = body.iter().filter(|(other, _)| *other != name && *other != "idempotency_key");
    let member =
        |(name, value): (&String, &Value)| format!("{}:{value}", Value::from(name.clone()));
    let mut members: Vec<String> = rest.map(member).collect();
    members.extend(raw.map(|raw| format!("{}:{raw}", Value::from(name))));
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// Whether the schema says that a value of this kind cannot be right.
fn is_of_wrong_kind(schema: &'static Value, kind: &str) -> bool {
    let schema = document::resolved(schema);
    if let Some(all) = schema["anyOf"].as_array() {
        return all.iter().all(|one| is_of_wrong_kind(one, kind));
    }
    let fits = |known: &Value| known == kind || (known == "number" && kind == "integer");
    match &schema["type"] {
        Value::Null => false,
        Value::Array(kinds) => !kinds.iter().any(fits),
        one => !fits(one),
    }
}

/// A search takes an empty text as no question; a paywall, an empty object as nothing said.
fn says_nothing(template: &str, raw: &str) -> bool {
    match raw {
        "\"\"" => template.ends_with("/search"),
        "{}" => ["/v1/paywalls", "/v1/paywalls/{id}"].contains(&template),
        _ => false,
    }
}

/// The parameter that a refusal names, on either surface.
fn named(answer: &Value) -> &str {
    answer["param"].as_str().or(answer["error"]["param"].as_str()).unwrap_or_default()
}

impl Fuzz {
    async fn body_of(&mut self, example: &Example) {
        let template = document::template(example.method.as_str(), &example.path).unwrap();
        let method = example.method.as_str().to_lowercase();
        let call = document::operation(&method, template);
        let Some(Value::Object(good)) = &example.body else { return };
        let schema = &call["requestBody"]["content"]["application/json"]["schema"];
        let schema = document::resolved(schema);
        let target = (&example.method, example.path.as_str(), example.key.as_str());
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            let (status, answer) = self.send(target, Some(with_member(good, name, None))).await;
            self.expect([400, 501].contains(&status), (template, name), || {
                format!("without it: {answer}")
            });
        }
        for (name, of) in schema["properties"].as_object().into_iter().flatten() {
            for _ in 0..VALUES_A_FIELD {
                let (kind, raw) = values().swap_remove(self.draw(values().len()));
                let body = with_member(good, name, Some(&raw));
                let (status, answer) = self.send(target, Some(body)).await;
                let nothing_said = says_nothing(template, &raw);
                // So is an empty list for an empty object, which some clients write.
                let nothing_said =
                    nothing_said || raw == "[]" && template.starts_with("/v1/paywalls/{id}/");
                let strict = is_of_wrong_kind(of, kind) && kind != "null" && !nothing_said;
                let raw: String = raw.chars().take(80).collect();
                let what = format!("{raw}: {status} {answer}");
                let at = (template, name.as_str());
                let refused = status == 400 || status == 501;
                self.expect(!strict || refused, at, || format!("not refused: {what}"));
                let named = named(&answer);
                let path = named.strip_prefix(name.as_str());
                let names_it =
                    path.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
                // The Messages protocol has no place for the name.
                let can_name = answer["type"] != "error";
                let other = status == 400 && strict && can_name && !names_it;
                self.expect(!other, at, || format!("another field is named: {what}"));
                let nothing = answer["code"] == "validation_error" && named.is_empty();
                self.expect(!nothing, at, || format!("no field is named: {what}"));
            }
        }
        let whole = bodies().swap_remove(self.draw(bodies().len()));
        self.send(target, Some(whole)).await;
    }

    async fn parameters_of(&mut self, example: &Example) {
        let template = document::template(example.method.as_str(), &example.path).unwrap();
        let method = example.method.as_str().to_lowercase();
        let call = document::operation(&method, template);
        let body = example.body.as_ref().map(|body| body.to_string().into_bytes());
        let bare = example.path.split('?').next().unwrap();
        let parts: Vec<&str> = template.split('/').collect();
        for (index, _) in parts.iter().enumerate().filter(|(_, part)| part.starts_with('{')) {
            let word = words().swap_remove(self.draw(words().len()));
            let mut path: Vec<&str> = bare.split('/').collect();
            path[index] = &word;
            self.send((&example.method, &path.join("/"), &example.key), body.clone()).await;
        }
        let asked = call["parameters"].as_array().into_iter().flatten();
        for parameter in asked.filter(|parameter| parameter["in"] == "query") {
            let word = words().swap_remove(self.draw(words().len()));
            let path = format!("{bare}?{}={word}", parameter["name"].as_str().unwrap());
            let target = (&example.method, path.as_str(), example.key.as_str());
            let (status, answer) = self.send(target, body.clone()).await;
            let nothing = status == 400 && named(&answer).is_empty();
            let name = parameter["name"].as_str().unwrap();
            self.expect(!nothing, (template, name), || format!("{path}: {answer}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_whole_and_by_name() {
    let seed = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("FUZZ_SEED={seed}");
    let world = World::alive().await;
    let mut fuzz = Fuzz { world, seed, count: 0, wrong: BTreeMap::new() };
    let began = Instant::now();
    let examples = std::mem::take(&mut fuzz.world.examples);
    let mut passes = 0;
    while passes == 0 || began.elapsed() < LASTS {
        passes += 1;
        for example in &examples {
            fuzz.body_of(example).await;
            fuzz.parameters_of(example).await;
        }
    }
    let (key, app) = (fuzz.world.app.key.clone(), "/v1/customers");
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(LARGE_BYTES)).into_bytes();
    let (status, _) = fuzz.send((&Method::POST, app, &key), Some(large)).await;
    assert_eq!(status, 413);
    println!("{} calls, {passes} passes, {:?}", fuzz.count, began.elapsed());
    assert!(fuzz.wrong.is_empty(), "{:#?}", fuzz.wrong);
    let app = &fuzz.world.app;
    let proof = app.engine.verify(app.scope).await.unwrap();
    assert!(proof.balanced, "{:#?}", proof.findings);
    assert_eq!(app.get("/health", "").await.2["status"], "ok");
}
