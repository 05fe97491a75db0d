//! `TestApp`: one server in this process, on a random port of loopback, with two tenants.

use std::sync::Arc;

use axum::ServiceExt as _;
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::address::AllowList;
use engine::clock::TestClock;
use engine::random::Random;
use engine::seal::Seal;
use engine::{Engine, Settings};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use server::app::App;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::document;

const FIRST_KEY: &str = "test-key-of-the-first-tenant";
const OTHER_KEY: &str = "test-key-of-the-other-tenant";
/// 32 bytes in base64, for secrets at rest.
const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// More events than any test makes.
const EVENTS_MAX: u32 = 100_000;

/// A running server. Ends with the value.
pub struct TestApp {
    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub base: String,
    /// super_admin of the first tenant.
    pub key: String,
    /// super_admin of another tenant of the same server.
    pub other_key: String,
    pub scope: Scope,
    pub other_scope: Scope,
    pub engine: Arc<Engine>,
    /// What the handlers share.
    pub server: App,
    client: reqwest::Client,
    serving: JoinHandle<()>,
    folder: TempDir,
}

/// Status, headers and body of an answer. An empty or unreadable body is null.
pub type Reply = (u16, HeaderMap, Value);

/// What ends with the process.
struct Process {
    base: String,
    engine: Arc<Engine>,
    server: App,
    serving: JoinHandle<()>,
}

impl Process {
    async fn start(folder: &TempDir) -> Process {
        let location = crate::ground::location(&folder.path().join("farebox.db"));
        let database = store::Database::open(&location, true).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings {
            seal: Seal::parse(SEAL_KEY).unwrap(),
            random: Random::System,
            public_url: base.clone(),
        };
        let engine = Engine::start(database, settings).unwrap();
        // Receivers of tests listen on loopback.
        let allow = vec!["127.0.0.0/8".parse().unwrap()];
        let list = AllowList { allow, ..AllowList::default() };
        let server = App::new(engine.clone()).with_targets(list);
        let entrance = server::http::entrance(server.clone()).into_make_service();
        let serving = tokio::spawn(async move { axum::serve(listener, entrance).await.unwrap() });
        Process { base, engine, server, serving }
    }
}

impl TestApp {
    /// Starts a server on an empty database.
    pub async fn start() -> TestApp {
        // A second test of the same process finds it installed.
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let Process { base, engine, server, serving } = Process::start(&folder).await;
        let scope = engine.create_tenant("First", "development", false).await.unwrap();
        let other_scope = engine.create_tenant("Other", "development", false).await.unwrap();
        engine.ensure_key(scope, FIRST_KEY).await.unwrap();
        engine.ensure_key(other_scope, OTHER_KEY).await.unwrap();
        TestApp {
            base,
            key: FIRST_KEY.to_owned(),
            other_key: OTHER_KEY.to_owned(),
            scope,
            other_scope,
            engine,
            server,
            client: client(),
            serving,
            folder,
        }
    }

    /// Ends the process, and starts another one on the same file and another port.
    pub async fn restart(&mut self) {
        self.serving.abort();
        self.engine.close();
        let Process { base, engine, server, serving } = Process::start(&self.folder).await;
        (self.base, self.engine, self.server, self.serving) = (base, engine, server, serving);
    }

    /// Sends a request; `headers` besides the key and the content type.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Reply {
        let (name, url) = (method.as_str().to_owned(), format!("{}{path}", self.base));
        let mut request = self.client.request(method, url);
        // A customer's token goes by its own name.
        let kind = if key.contains("_ps_") { "x-session-token" } else { "x-api-key" };
        request = request.header(kind, key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
        document::check(&name, path, status, (kind.unwrap_or_default(), &body));
        (status, headers, body)
    }

    pub async fn get(&self, path: &str, key: &str) -> Reply {
        self.send(Method::GET, path, key, &[], None).await
    }

    pub async fn delete(&self, path: &str, key: &str) -> Reply {
        self.send(Method::DELETE, path, key, &[], None).await
    }

    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, key, &[], Some(text(body))).await
    }

    /// As `post`, with an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, once: &str, body: &Value) -> Reply {
        let headers = [("idempotency-key", once)];
        self.send(Method::POST, path, key, &headers, Some(text(body))).await
    }

    pub async fn put(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path, key, &[], Some(text(body))).await
    }

    pub async fn patch(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.send(Method::PATCH, path, key, &[], Some(text(body))).await
    }

    /// Runs a statement in the database beside the server, as nobody should. It finds something.
    pub fn tamper(&self, sql: &str) {
        let changed = crate::ground::tamper(&self.folder.path().join("farebox.db"), sql);
        assert!(changed > 0, "{sql}");
    }

    /// Puts the clock of the first tenant's environment at `at`, where it stands still.
    pub fn stand_at(&self, at: Timestamp) {
        let clock = TestClock::Frozen { at_ms: at.millis() };
        // First here: what is written next is written at that time.
        self.engine.clocks.set(self.scope.env, Some(clock));
        let (engine, scope) = (self.engine.clone(), self.scope);
        let text = serde_json::to_string(&clock).unwrap();
        let keep = async move {
            let keep = move |tx: &mut store::Tx<'_>| {
                Ok(store::tenants::set_clock(tx.write()?, &scope, Some(&text))?)
            };
            engine.change(scope, keep).await.unwrap();
        };
        // On a thread of its own, since the test has a runtime already.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        std::thread::spawn(move || runtime.block_on(keep)).join().unwrap();
    }

    /// Every event of the first tenant so far, oldest first: its type and its body.
    pub fn events(&self) -> Vec<(String, Value)> {
        let scope = self.scope;
        let (told, _) = self
            .engine
            .read_now(|read| Ok(store::events::page(read, &scope, 0, EVENTS_MAX)?))
            .unwrap();
        let parse = |event: domain::event::Event| {
            (event.kind.name().to_owned(), serde_json::from_slice(&event.body).unwrap())
        };
        told.into_iter().map(|recorded| parse(recorded.event)).collect()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.serving.abort();
        self.engine.close();
    }
}

/// Answers are looked at as they are: nothing is followed.
fn client() -> reqwest::Client {
    let policy = reqwest::redirect::Policy::none();
    reqwest::Client::builder().redirect(policy).no_proxy().build().unwrap()
}

fn text(body: &Value) -> Vec<u8> {
    serde_json::to_vec(body).unwrap()
}
