//! What is asked of each side, and the tables that come of it.

use std::sync::Arc;
use std::time::Duration;

use super::client::Load;
use super::cores::Awake;
use super::fine_waits::FineWaits;
use super::side::{Asked, Run, Side, added, alternate, middles};
use crate::report::{self, Row, fraction, grouped};
use crate::{Plan, server};

const JSON: Asked =
    Asked { prompt: "Hello [words 20]", stream: false, connections: 32, waits: false };
/// With the role, the end and `[DONE]` a stream of 49 pieces has 52 events.
const BURST: Asked = Asked { prompt: "Hello [chunks 49]", stream: true, ..JSON };
const EVENTS: Asked = Asked { prompt: "Hello [chunks 49] [burst 1]", ..BURST };
const WAITING: Asked = Asked { waits: true, ..JSON };
const MANY: Asked = Asked { connections: 128, ..JSON };
const OPEN: Asked = Asked { prompt: "Hello [chunks 49] [gap 20]", connections: 128, ..BURST };
const SAMPLES: u32 = 8;

pub async fn rates(plan: &Plan, sides: &[Side]) -> anyhow::Result<()> {
    let loads = [
        ("JSON calls/s, 32 connections", JSON),
        ("streams/s of 52 events in one write, 32 connections", BURST),
        ("streams/s of 52 events, each a write (the load is the limit: compare CPU)", EVENTS),
        ("JSON calls/s, 128 connections", MANY),
    ];
    for (title, asked) in loads {
        let runs = middles(plan, sides, asked).await?;
        let rows: Vec<Row> =
            sides.iter().zip(&runs).map(|(side, run)| row(side, run, &runs)).collect();
        let head = [
            "side",
            "a second",
            "to nginx",
            "CPU a call",
            "to nginx",
            "median",
            "its core",
            "core of the load",
            "stolen",
        ];
        report::table(title, &head, &rows)?;
    }
    Ok(())
}

/// A side that answers something else must not be measured.
pub async fn check(sides: &[Side]) -> anyhow::Result<()> {
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
        if costs { busy(run.busy) } else { "–".to_owned() },
        busy(run.load_busy),
        format!("{} %", run.stolen),
    ];
    Row::new(side.name, &cells)
}

fn busy(percent: u64) -> String {
    format!("{percent} % busy")
}

/// What each side adds to a call that takes 20 ms, with cores that may halt and with cores that are
/// kept awake.
pub async fn times(plan: &Plan, sides: &[Side], waits: &Arc<FineWaits>) -> anyhow::Result<()> {
    let title = "Beyond the time of a provider that takes 18 to 22 ms, 32 connections out of step";
    added_times(plan, (sides, waits), &format!("{title}; cores may halt")).await?;
    let _awake = Awake::start()?;
    added_times(plan, (sides, waits), &format!("{title}; cores kept awake")).await
}

/// Medians of the runs' percentiles.
async fn added_times(
    plan: &Plan,
    (sides, waits): (&[Side], &Arc<FineWaits>),
    title: &str,
) -> anyhow::Result<()> {
    let loads: Vec<Load> = sides.iter().map(|side| side.paced(WAITING, waits)).collect();
    let all = alternate(plan, sides, &loads).await?;
    let of = |runs: &[Run], value: fn(&Run) -> u32| {
        let mut values: Vec<u32> = runs.iter().map(value).collect();
        report::median(&mut values).unwrap_or(0)
    };
    let both =
        |runs: &[Run]| (of(runs, |run| run.counted.p50_us), of(runs, |run| run.counted.p99_us));
    let direct = all.first().map_or((0, 0), |runs| both(runs));
    let cells = |runs: &[Run]| {
        let (p50, p99) = both(runs);
        let p99s: Vec<String> =
            runs.iter().map(|run| report::fine_millis(run.counted.p99_us)).collect();
        [
            report::fine_millis(p50),
            report::fine_millis(p99),
            added(p50, direct.0),
            added(p99, direct.1),
            p99s.join(", "),
            busy(runs.iter().map(|run| run.busy).max().unwrap_or(0)),
            busy(runs.iter().map(|run| run.load_busy).max().unwrap_or(0)),
            format!("{} %", runs.iter().map(|run| run.stolen).max().unwrap_or(0)),
        ]
    };
    let rows: Vec<Row> =
        sides.iter().zip(&all).map(|(side, runs)| Row::new(side.name, &cells(runs))).collect();
    let head = [
        "side",
        "median",
        "99th percentile",
        "median added",
        "99th added",
        "99th of each run",
        "its core",
        "core of the load",
        "stolen",
    ];
    report::table(title, &head, &rows)
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
    let runs = middles(plan, sides, JSON).await?;
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
