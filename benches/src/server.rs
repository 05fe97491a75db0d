//! A `farebox serve` process on a folder: started, watched and ended here.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load::Connection;

const READY_TIME_MAX: Duration = Duration::from_secs(30);
/// The key that may do everything on a server of this module.
pub const API_KEY: &str = "fbx_benchmark";

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// From the start of the process until it took work.
    pub ready_after: Duration,
}

impl Server {
    /// Starts the release binary on `folder` and waits until it is ready.
    pub async fn start(folder: &Path) -> anyhow::Result<Server> {
        Server::start_with(folder, Command::new(binary()?)).await
    }

    /// As `start`, with a command that runs the binary in a way of its own.
    pub async fn start_with(folder: &Path, mut command: Command) -> anyhow::Result<Server> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let began = Instant::now();
        let child = command
            .arg("serve")
            .env("FAREBOX_LISTEN", address.to_string())
            .env("FAREBOX_DATA_DIR", folder)
            .env("FAREBOX_API_KEY", API_KEY)
            .env("FAREBOX_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut server = Server { child, address, ready_after: Duration::ZERO };
        while !is_ready(address).await {
            let ended = server.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "the server ended at its start: {ended:?}");
            anyhow::ensure!(began.elapsed() < READY_TIME_MAX, "the server did not become ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_after = began.elapsed();
        Ok(server)
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Time that the process spent on a core so far, in milliseconds.
    pub fn cpu_ms(&self) -> anyhow::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process()))?;
        let (_, after) = stat.rsplit_once(") ").context("no such field")?;
        let ticks = |at: usize| after.split(' ').nth(at).and_then(|text| text.parse::<u64>().ok());
        let both = ticks(11).zip(ticks(12)).context("no number")?;
        // A tick is a hundredth of a second, on every machine that Debian runs on.
        Ok((both.0 + both.1) * 10)
    }

    /// A line of the process's status in KiB, such as `VmRSS`.
    pub fn memory_kib(&self, field: &str) -> anyhow::Result<u64> {
        memory_kib(self.child.id(), field)
    }
}

/// A line of any process's status in KiB.
pub fn memory_kib(process: u32, field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).context("no such field")?;
    let number = line.split_whitespace().nth(1).context("no number")?;
    Ok(number.parse()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    connection.get("/readyz").await.is_ok_and(|status| status == 200)
}

/// The release binary beside this one; built when it is missing or old. Both are named, so that
/// cargo finds the crates that it has compiled for this one.
pub fn binary() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "-p", "farebox", "-p", "farebox-benches"])
        .current_dir(root)
        .status()?;
    anyhow::ensure!(built.success(), "the server was not built");
    let here = std::env::current_exe()?;
    let folder = here.parent().context("this program stands in no folder")?;
    Ok(folder.join("farebox"))
}
