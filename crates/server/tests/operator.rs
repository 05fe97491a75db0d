//! What an operator does with the real binary: restore, migrate, and a server that waits.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fakes::sink::{Settings, Sink};
use serde_json::{Value, json};

const KEY: &str = "first-key-of-the-operator-test";
const WITHIN: Duration = Duration::from_secs(20);

fn farebox(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farebox"));
    command.args(arguments).env("FAREBOX_DATA_DIR", folder).env("FAREBOX_LOG", "error");
    command.stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    farebox(folder, arguments).output().unwrap()
}

struct Server {
    child: Child,
    base: String,
    client: reqwest::Client,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Server::start_on(port, folder, arguments)
    }

    fn start_on(port: u16, folder: &Path, arguments: &[&str]) -> Server {
        let child = farebox(folder, arguments)
            .env("FAREBOX_LISTEN", format!("127.0.0.1:{port}"))
            .env("FAREBOX_API_KEY", KEY)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = testkit::http_client();
        Server { child, base: format!("http://127.0.0.1:{port}"), client }
    }

    async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let request = self.client.get(format!("{}{path}", self.base)).header("x-api-key", KEY);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// Waits until readiness answers with this status.
    async fn until(&self, expected: u16) -> Value {
        let began = Instant::now();
        loop {
            if let Some((status, body)) = self.get("/readyz").await
                && status == expected
            {
                return body;
            }
            assert!(began.elapsed() < WITHIN, "readiness never answered {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn customer(&self, name: &str) {
        let body = json!({ "external_id": name, "name": name });
        let url = format!("{}/v1/customers", self.base);
        let request = self.client.post(url).header("x-api-key", KEY).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 201);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_restore_waits_for_the_server_and_ends_the_cursors_of_the_old_history() {
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup.db");
    let (data, file) = (folder.path().join("data"), backup.to_str().unwrap());
    let server = Server::start(&data, &["serve"]);
    server.until(200).await;
    server.customer("kept").await;
    assert!(run(&data, &["backup", file]).status.success());
    let bytes = std::fs::read(&backup).unwrap();
    server.customer("lost").await;
    let (_, feed) = server.get("/v1/webhooks/events?after=start").await.unwrap();
    let cursor = feed["next_cursor"].as_str().unwrap().to_owned();
    let refused = run(&data, &["restore", file, "--yes"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), said.contains("stop it")), (Some(1), true), "{said}");
    let second = run(&data, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1), "a second server takes no file that has one");
    assert_eq!(server.get("/v1/customers/external/lost").await.unwrap().0, 200);
    drop(server);
    assert!(run(&data, &["restore", file, "--yes"]).status.success());
    assert!(std::fs::read(&backup).unwrap() == bytes, "the backup itself is as it was");
    let server = Server::start(&data, &["serve"]);
    server.until(200).await;
    assert_eq!(server.get("/v1/customers/external/kept").await.unwrap().0, 200);
    assert_eq!(server.get("/v1/customers/external/lost").await.unwrap().0, 404);
    let (status, body) = server.get(&format!("/v1/webhooks/events?after={cursor}")).await.unwrap();
    assert_eq!((status, &body["code"]), (410, &json!("cursor_expired")), "{body}");
    assert_eq!(body["details"]["reason"], "restored");
    let nothing = folder.path().join("nothing.db");
    std::fs::write(&nothing, "no database").unwrap();
    drop(server);
    assert!(!run(&data, &["restore", nothing.to_str().unwrap(), "--yes"]).status.success());
    assert!(run(&data, &["verify"]).status.success(), "what does not open replaces nothing");
}

#[tokio::test]
async fn without_migrations_a_server_lives_and_is_ready_once_they_are_applied() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["serve", "--no-migrate"]);
    let body = server.until(503).await;
    assert_eq!(body["failed"], json!(["migrations"]));
    assert_eq!(server.get("/livez").await.unwrap().0, 200);
    let (status, body) = server.get("/v1/customers").await.unwrap();
    assert_eq!((status, &body["code"]), (503, &json!("service_unavailable")), "{body}");
    assert!(run(folder.path(), &["migrate"]).status.success());
    server.until(200).await;
    assert_eq!(server.get("/v1/customers").await.unwrap().0, 200);
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn received(sink: &Sink, count: usize) -> Vec<String> {
    let began = Instant::now();
    loop {
        let bodies = sink.received();
        let body = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
        let names = bodies.iter().map(|one| body(&one.body)["customer"]["name"].to_string());
        let names: Vec<String> = names.collect();
        if names.len() >= count {
            return names;
        }
        assert!(began.elapsed() < WITHIN, "only {names:?} came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_goes_on_where_it_was_when_the_server_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start("127.0.0.1:0".parse().unwrap(), Settings::default()).await.unwrap();
    let server = Server::start(folder.path(), &["serve"]);
    server.until(200).await;
    let (base, target) = (server.base.clone(), sink.url("/ok"));
    let arguments =
        ["listen", "--forward-to", &target, "--types", "customer.*", "--after", "start"];
    let listener = farebox(folder.path(), &arguments)
        .env("FAREBOX_PUBLIC_URL", &base)
        .env("FAREBOX_API_KEY", KEY)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _listener = Running(listener);
    server.customer("one").await;
    assert_eq!(received(&sink, 1).await, ["\"one\""]);
    drop(server);
    let port = base.rsplit(':').next().unwrap().parse().unwrap();
    let server = Server::start_on(port, folder.path(), &["serve"]);
    server.until(200).await;
    server.customer("two").await;
    assert_eq!(received(&sink, 2).await, ["\"one\"", "\"two\""], "each came once, in order");
}
