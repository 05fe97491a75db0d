//! What is asked of each side, and the tables that come of it.

use std::time::Duration;

use super::side::{Asked, Run, Side, added, alternate};
use crate::report::{self, Row, fraction, grouped};
use crate::{Plan, server};

const JSON: Asked = Asked { prompt: "Hello [words 20]", stream: false, connections: 32 };
/// With the role, the end and `[DONE]` a stream of 49 pieces has 52 events.
const BURST: Asked = Asked { prompt: "Hello [chunks 49]", stream: true, connections: 32 };
const EVENTS: Asked =
    Asked { prompt: "Hello [chunks 49] [burst 1]", stream: true, connections: 32 };
const WAITING: Asked =
    Asked { prompt: "Hello [slow 20] [words 20]", stream: false, connections: 32 };
const MANY: Asked = Asked { connections: 128, ..JSON };
const OPEN: Asked = Asked { prompt: "Hello [chunks 49] [gap 20]", stream: true, connections: 128 };
const SAMPLES: u32 = 8;

pub async fn rates(plan: &Plan, sides: &[Side]) -> anyhow::Result<()> {
    check(sides).await?;
    let loads = [
        ("JSON calls/s, 32 connections", JSON),
        ("streams/s of 52 events in one write, 32 connections", BURST),
        ("streams/s of 52 events, each a write (the load is the limit: compare CPU)", EVENTS),
        ("JSON calls/s, 128 connections", MANY),
    ];
    let all: Vec<&Side> = sides.iter().collect();
    for (title, asked) in loads {
        let runs = alternate(plan, &all, asked).await?;
        let rows: Vec<Row> =
            sides.iter().zip(&runs).map(|(side, run)| row(side, run, &runs)).collect();
        let head = [
            "side",
            "a second",
            "to nginx",
            "CPU a call",
            "to nginx",
            "median",
            "core of the load",
        ];
        report::table(title, &head, &rows)?;
    }
    Ok(())
}

/// A side that answers something else must not be measured.
async fn check(sides: &[Side]) -> anyhow::Result<()> {
    for side in sides {
        let answer = side.sample(JSON).await?;
        anyhow::ensure!(answer.contains("\"completion_tokens\":20"), "{}: {answer}", side.name);
        let answer = side.sample(BURST).await?;
        let events = answer.matches("data: ").count();
        anyhow::ensure!(events == 52, "{}: {events} events: {answer}", side.name);
    }
    Ok(())
}

fn row(side: &Side, run: &Run, runs: &[Run]) -> Row {
    // nginx is the second side.
    let nginx = runs.get(1).unwrap_or(run);
    let used = |ns: u64| format!("{}.{} µs", ns / 1_000, ns % 1_000 / 100);
    let costs = side.process.is_some();
    let cells = [
        grouped(run.counted.rate),
        fraction(run.counted.rate, nginx.counted.rate),
        if costs { used(run.used_ns) } else { "–".to_owned() },
        if costs { fraction(run.used_ns, nginx.used_ns) } else { "–".to_owned() },
        report::fine_millis(run.counted.p50_us),
        format!("{} % busy", run.load_busy),
    ];
    Row::new(side.name, &cells)
}

/// What each side adds to a call that takes 20 ms.
pub async fn times(plan: &Plan, sides: &[Side]) -> anyhow::Result<()> {
    let all: Vec<&Side> = sides.iter().collect();
    let runs = alternate(plan, &all, WAITING).await?;
    let direct = runs.first().map_or((0, 0), |run| (run.counted.p50_us, run.counted.p99_us));
    let cells = |run: &Run| {
        let (p50, p99) = (run.counted.p50_us, run.counted.p99_us);
        [
            report::fine_millis(p50),
            report::fine_millis(p99),
            added(p50, direct.0),
            added(p99, direct.1),
        ]
    };
    let rows: Vec<Row> =
        sides.iter().zip(&runs).map(|(side, run)| Row::new(side.name, &cells(run))).collect();
    let title = "A provider that takes 20 ms, 32 connections";
    report::table(title, &["side", "median", "99th percentile", "added", "added"], &rows)
}

/// The largest resident memory seen while 128 streams are open.
pub async fn memory(plan: &Plan, sides: &[Side]) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for side in sides {
        let Some(process) = side.process else { continue };
        let load = side.load(OPEN);
        let length = plan.run.max(Duration::from_secs(2));
        let running = tokio::spawn(async move { load.run(length).await });
        let mut most = 0;
        for _ in 0..SAMPLES {
            tokio::time::sleep(length / (SAMPLES + 1)).await;
            most = most.max(server::memory_kib(process, "VmRSS")?);
        }
        running.await??;
        rows.push(Row::new(side.name, &[format!("{} MiB", grouped(most / 1_024))]));
    }
    report::table("Resident memory at 128 open streams", &["side", "memory"], &rows)
}

/// LiteLLM is the last side.
pub async fn litellm(plan: &Plan, sides: &[Side]) -> anyhow::Result<()> {
    let all: Vec<&Side> = sides.iter().collect();
    let runs = alternate(plan, &all, JSON).await?;
    let slowest = runs.last().map_or(0, |run| run.counted.rate);
    let cells = |run: &Run| {
        let rate = run.counted.rate;
        [grouped(rate), report::ratio(rate, slowest)]
    };
    let rows: Vec<Row> =
        sides.iter().zip(&runs).map(|(side, run)| Row::new(side.name, &cells(run))).collect();
    let title = "LiteLLM's proxy, one worker: JSON calls/s, 32 connections";
    report::table(title, &["side", "calls/s", "to LiteLLM"], &rows)
}
