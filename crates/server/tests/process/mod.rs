//! The real binary as a process that a test may kill: started on a folder, asked when it is ready,
//! and proven afterwards by the verb that users run.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// super_admin of the first tenant.
pub const KEY: &str = "first-key-of-the-crash-test";
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What is tried: this build, or the one that `BINARY` names.
pub fn binary() -> PathBuf {
    let own = || env!("CARGO_BIN_EXE_farebox").into();
    std::env::var_os("BINARY").map_or_else(own, PathBuf::from)
}

/// A running server; killed when dropped.
pub struct Server {
    pub child: Child,
    pub base: String,
}

impl Server {
    pub fn start(folder: &Path) -> Server {
        Server::start_with(folder, &[])
    }

    pub fn start_with(folder: &Path, variables: &[(&str, &str)]) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary())
            .arg("serve")
            .env("FAREBOX_LISTEN", format!("127.0.0.1:{port}"))
            .env("FAREBOX_DATA_DIR", folder)
            .env("FAREBOX_API_KEY", KEY)
            .env("FAREBOX_LOG", "error")
            .env("FAREBOX_ENCRYPTION_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
            .env("FAREBOX_ALLOW_PRIVATE_TARGETS", "127.0.0.0/8")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Server { child, base: format!("http://127.0.0.1:{port}") }
    }

    pub async fn ready(&self, client: &reqwest::Client) {
        let began = Instant::now();
        while client.get(format!("{}/readyz", self.base)).send().await.is_err() {
            assert!(began.elapsed() < READY_WITHIN, "the server did not come back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// kill -9: no destructor, no flush.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of an answer that is a success; nothing where the server was gone.
pub async fn post(
    client: &reqwest::Client,
    url: String,
    key: (&str, &str),
    body: &Value,
) -> Option<Value> {
    let request = client.post(url).header(key.0, key.1).json(body);
    let answer = request.send().await.ok()?;
    let ok = answer.status().is_success();
    let body: Value = answer.json().await.ok()?;
    ok.then_some(body)
}

/// The books balance, says the verb that users run.
pub fn prove(folder: &Path) {
    let verified =
        Command::new(binary()).arg("verify").env("FAREBOX_DATA_DIR", folder).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{said}{}", String::from_utf8_lossy(&verified.stderr));
}
