//! What a server needs: memory when idle and under load, and time to start on nothing.

use crate::Plan;
use crate::ground::{Ground, USERS};
use crate::http::{median, one};
use crate::report::{self, Row, grouped};
use crate::server::Server;

const CONNECTIONS: u64 = 64;

pub async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let mut starts = Vec::new();
    let mut idle = 0;
    for _ in 0..plan.runs {
        let folder = tempfile::tempdir()?;
        let server = Server::start(folder.path()).await?;
        starts.push(server.ready_after.as_millis());
        idle = server.memory_kib("VmRSS")?;
    }
    let start = report::median(&mut starts).unwrap_or(0);
    let (folder, key) = Ground::new().await?.close();
    let server = Server::start(folder.path()).await?;
    let loaded = server.memory_kib("VmRSS")?;
    median(&server, plan, CONNECTIONS, one(&key, USERS)).await?;
    let peak = server.memory_kib("VmHWM")?;
    let mib = |kib: u64| format!("{} MiB", grouped(kib / 1_024));
    let rows = [
        Row::new("start to ready, empty folder", &[format!("{start} ms")]),
        Row::new("resident, empty and idle", &[mib(idle)]),
        Row::new("resident, 10 000 users, idle", &[mib(loaded)]),
        Row::new("resident at most, under 64 connections", &[mib(peak)]),
    ];
    report::table("Server process", &["what", "value"], &rows)
}
