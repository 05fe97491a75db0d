//! LiteLLM's proxy with one worker on a core of its own, in a Python environment of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use super::client::Wire;
use super::cores;

const PACKAGE: &str = "litellm[proxy]==1.106.2";
const READY_TIME_MAX: Duration = Duration::from_mins(2);

pub struct LiteLlm {
    child: Child,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl LiteLlm {
    /// Installs and starts it; the first takes minutes.
    pub async fn start(provider: SocketAddr, model: &str) -> anyhow::Result<LiteLlm> {
        let folder = tempfile::tempdir()?;
        install(folder.path())?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = folder.path().join("config.yaml");
        let settings = format!(
            "model_list:\n  - model_name: {model}\n    litellm_params:\n      \
             model: openai/{model}\n      api_base: http://{provider}/v1\n      api_key: sk-fake\n"
        );
        std::fs::write(&file, settings)?;
        let child = cores::command(cores::PROXY, folder.path().join("venv/bin/litellm"))
            .args(["--num_workers", "1", "--host", "127.0.0.1", "--port"])
            .arg(address.port().to_string())
            .arg("--config")
            .arg(&file)
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("LITELLM_TELEMETRY", "False")
            // It asks for a key of its own otherwise, and this one serves loopback alone.
            .env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut litellm = LiteLlm { child, address, _folder: folder };
        litellm.wait().await?;
        Ok(litellm)
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_ready(self.address).await {
            let ended = self.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "litellm ended at its start: {ended:?}");
            anyhow::ensure!(began.elapsed() < READY_TIME_MAX, "litellm did not become ready");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }
}

impl Drop for LiteLlm {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut wire) = Wire::open(address).await else { return false };
    wire.call(b"GET /health/liveliness HTTP/1.1\r\nhost: litellm\r\n\r\n").await.is_ok()
}

fn install(folder: &Path) -> anyhow::Result<()> {
    let venv = folder.join("venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = venv.join("bin/pip");
    run(Command::new(pip).args(["install", "--quiet", "--progress-bar", "off", PACKAGE]))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().context("python3 is missing")?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {error}");
    Ok(())
}
