//! nginx as a plain reverse proxy on a core of its own: keep-alive on both sides, nothing logged.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use super::cores;

const CHECKS_MAX: u32 = 200;
const TEMPORARY: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

pub struct Nginx {
    child: Child,
    /// Buffers answers, as it is delivered.
    pub plain: SocketAddr,
    /// Hands each read on at once, as streams need it.
    pub streaming: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    pub fn start(provider: SocketAddr) -> anyhow::Result<Nginx> {
        let folder = tempfile::tempdir()?;
        let (plain, streaming) = (free_address()?, free_address()?);
        let path = folder.path().display().to_string();
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings(&path, provider, (plain, streaming))?)?;
        let child = cores::command(cores::PROXY, "nginx")
            .args(["-p", &path, "-e", "stderr", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .context("taskset is missing: apt-get install util-linux")?;
        let mut nginx = Nginx { child, plain, streaming, _folder: folder };
        nginx.wait()?;
        Ok(nginx)
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        for _ in 0..CHECKS_MAX {
            let ended = self.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "nginx is missing: apt-get install nginx");
            if std::net::TcpStream::connect(self.streaming).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        anyhow::bail!("nginx did not start")
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn settings(
    folder: &str,
    provider: SocketAddr,
    (plain, streaming): (SocketAddr, SocketAddr),
) -> anyhow::Result<String> {
    let mut text = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/pid;\n\
         error_log stderr crit;\nevents {{ worker_connections 2048; }}\nhttp {{\n\
         access_log off;\ntcp_nodelay on;\nkeepalive_requests 100000000;\n"
    );
    for name in TEMPORARY {
        writeln!(text, "{name}_temp_path {folder}/{name};")?;
    }
    writeln!(
        text,
        "upstream provider {{ server {provider}; keepalive 512; keepalive_requests 100000000; }}"
    )?;
    for (address, buffering) in [(plain, "on"), (streaming, "off")] {
        writeln!(
            text,
            "server {{ listen {address}; location / {{ proxy_pass http://provider;\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             proxy_buffering {buffering}; }} }}"
        )?;
    }
    text.push_str("}\n");
    Ok(text)
}
