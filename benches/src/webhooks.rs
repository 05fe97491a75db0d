//! Webhooks end to end: a committed charge, its signed POST, the recorded attempt. The receivers
//! are in this process, so what a delivery costs is counted in the server's alone.

mod receiver;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Plan;
use crate::ground::{Ground, USERS};
use crate::http::{self, BATCH, CONNECTIONS};
use crate::load::Connection;
use crate::postgres::Postgres;
use crate::report::{self, Row, fraction, grouped, millis};
use crate::server::{self, API_KEY, Server};

use receiver::Receiver;

/// Of a second tenant: an environment has at most 50 endpoints.
const NEIGHBOUR_KEY: &str = "fbx_neighbour";
const NEIGHBOURS: u64 = 100;
/// 32 bytes in base64.
const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// One event of each charge.
const TYPE: &str = "wallet.transaction.created";
const RECEIVERS: u64 = 8;
/// Charges of a run; each has a delivery for each receiver.
const CHARGES: u64 = 4_000;
const QUIET_CHANGES: u32 = 200;
const SLOW_CHANGES: u32 = 20;
/// Good receivers of the two tenants: each change reaches half of the 99.
const GOOD: [u64; 2] = [49, 50];
const PENDING: [u64; 2] = [10_000, 1_000_000];
/// A run that takes longer is broken.
const DONE_WITHIN: Duration = Duration::from_mins(2);

struct Stage {
    server: Server,
    api: Connection,
    /// Charges at both tenants' paywalls.
    key: String,
    neighbours_key: String,
    _folder: TempDir,
}

/// What one run of the command measures of webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// As many as it can.
    Flood,
    /// From a change to its arrival, and beside a dead receiver.
    Arrivals,
    /// A receiver that was away for long.
    Pending,
    /// What a receiver costs those who charge.
    Charges,
}

pub async fn measure(plan: &Plan, parts: &[Part]) -> anyhow::Result<()> {
    let asks = |part| parts.is_empty() || parts.contains(&part);
    if asks(Part::Flood) {
        floods(plan).await?;
    }
    if asks(Part::Arrivals) {
        let mut rows = Vec::new();
        for on_server in [false, true] {
            rows.push(pace(plan, on_server).await?);
            rows.push(good_beside_dead(plan, on_server).await?);
        }
        let title = "Webhooks: from a change to its arrival";
        report::table(title, &["load", "deliveries", "median", "99th percentile"], &rows)?;
    }
    if asks(Part::Pending) {
        pending(plan).await?;
    }
    if asks(Part::Charges) {
        charges(plan).await?;
    }
    Ok(())
}

async fn floods(plan: &Plan) -> anyhow::Result<()> {
    let title = "Webhooks: committed charge to recorded attempt, 8 receivers that answer at once";
    for on_server in [false, true] {
        let (postgres, name) = database(on_server)?;
        let url = postgres.as_ref().map(Postgres::url);
        let row = flood(&mut Stage::start(url.as_deref()).await?, plan, name).await?;
        report::table(title, &["database", "deliveries/s", "CPU a delivery", "body"], &[row])?;
    }
    Ok(())
}

impl Stage {
    async fn start(url: Option<&str>) -> anyhow::Result<Stage> {
        let ground = match url {
            Some(url) => Ground::on(url).await?,
            None => Ground::new().await?,
        };
        let neighbours_key = ground.neighbour(NEIGHBOUR_KEY, NEIGHBOURS).await?;
        let (folder, key) = ground.close();
        let mut command = Command::new(server::binary()?);
        command.envs(url.map(|url| ("FAREBOX_DATABASE_URL", url)));
        command.env("FAREBOX_ALLOW_PRIVATE_TARGETS", "127.0.0.0/8");
        command.env("FAREBOX_ENCRYPTION_KEY", SEAL_KEY);
        let server = Server::start_with(folder.path(), command).await?;
        let api = Connection::open(server.address).await?;
        Ok(Stage { server, api, key, neighbours_key, _folder: folder })
    }

    /// Makes `count` endpoints at `path`; their ids.
    async fn endpoints(
        &mut self,
        receiver: &Receiver,
        key: &str,
        (path, count): (&str, u64),
    ) -> anyhow::Result<Vec<String>> {
        let url = format!("http://{}/{path}", receiver.address);
        let body = json!({ "url": url, "types": [TYPE] }).to_string();
        let mut ids = Vec::new();
        for _ in 0..count {
            let route = ("POST", "/v1/webhooks/endpoints");
            let made = self.api.call(route, key, body.clone()).await?;
            let made: Value = serde_json::from_slice(&made)?;
            ids.push(made["id"].as_str().unwrap_or_default().to_owned());
        }
        Ok(ids)
    }

    async fn tell(&mut self, endpoint: &str, word: &str) -> anyhow::Result<()> {
        let path = format!("/v1/webhooks/endpoints/{endpoint}/{word}");
        self.api.call(("POST", &path), API_KEY, "{}".to_owned()).await.map(drop)
    }

    /// Attempts that were recorded as delivered since the server began.
    async fn recorded(&mut self) -> anyhow::Result<u64> {
        let text = self.api.call(("GET", "/metrics"), API_KEY, String::new()).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find_map(|line| {
            line.strip_prefix("farebox_webhook_attempts_total{result=\"delivered\"} ")
        });
        Ok(line.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
    }

    /// Makes `count` charges, a hundred a call.
    async fn charge(&mut self, seed: u64, count: u64) -> anyhow::Result<()> {
        let many = http::many(&self.key)(seed);
        for number in 0..count.div_ceil(BATCH) {
            let (status, body) = self.api.post(many(number)).await?;
            anyhow::ensure!(status < 300, "{status} {body:?}");
        }
        Ok(())
    }

    /// Waits for the last attempt's record. The server's figures are read only when all came:
    /// they count what is open, which would be part of what is measured.
    async fn until(&mut self, receiver: &Receiver, recorded: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        while receiver.count() < recorded || self.recorded().await? < recorded {
            anyhow::ensure!(began.elapsed() < DONE_WITHIN, "the deliveries do not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// As many as it can: charges as fast as they are taken, until every attempt is recorded.
async fn flood(stage: &mut Stage, plan: &Plan, name: &str) -> anyhow::Result<Row> {
    let receiver = Receiver::start().await?;
    stage.endpoints(&receiver, API_KEY, ("ok", RECEIVERS)).await?;
    stage.charge(0, 500).await?;
    stage.until(&receiver, 500 * RECEIVERS).await?;
    let mut all = Vec::new();
    for run in 1..=plan.runs {
        let (before, cpu_ms) = (stage.recorded().await?, stage.server.cpu_ms()?);
        let began = Instant::now();
        stage.charge(u64::try_from(run)?, CHARGES).await?;
        let deliveries = CHARGES * RECEIVERS;
        stage.until(&receiver, before + deliveries).await?;
        let rate = report::rate(deliveries, began.elapsed());
        all.push((rate, (stage.server.cpu_ms()? - cpu_ms) * 1_000 / deliveries));
    }
    let (rate, cpu_us) = report::median(&mut all).unwrap_or_default();
    let bytes = receiver.body_bytes();
    Ok(Row::new(name, &[grouped(rate), format!("{cpu_us} µs"), format!("{bytes} bytes")]))
}

/// Few changes: how soon each arrives.
async fn pace(plan: &Plan, on_server: bool) -> anyhow::Result<Row> {
    let (postgres, name) = database(on_server)?;
    let mut stage = Stage::start(postgres.as_ref().map(Postgres::url).as_deref()).await?;
    let receiver = Receiver::start().await?;
    stage.endpoints(&receiver, API_KEY, ("ok", 1)).await?;
    let keys = [stage.key.clone()];
    paced(&mut stage, &keys, (QUIET_CHANGES, plan.run), 1).await?;
    Ok(arrivals(&receiver, &format!("{name}, 200 changes/s, one receiver")))
}

/// Ninety-nine good receivers, and beside them one that never answers.
async fn good_beside_dead(plan: &Plan, on_server: bool) -> anyhow::Result<Row> {
    let (postgres, name) = database(on_server)?;
    let mut stage = Stage::start(postgres.as_ref().map(Postgres::url).as_deref()).await?;
    let receiver = Receiver::start().await?;
    stage.endpoints(&receiver, API_KEY, ("ok", GOOD[0])).await?;
    stage.endpoints(&receiver, NEIGHBOUR_KEY, ("ok", GOOD[1])).await?;
    let keys = [stage.key.clone(), stage.neighbours_key.clone()];
    // Receivers that never had a success are let in slowly.
    paced(&mut stage, &keys, (SLOW_CHANGES, plan.run), 2).await?;
    receiver.take_late_ms();
    paced(&mut stage, &keys, (SLOW_CHANGES, plan.run), 3).await?;
    let alone = arrivals(&receiver, "");
    stage.endpoints(&receiver, API_KEY, ("hang", 1)).await?;
    paced(&mut stage, &keys, (SLOW_CHANGES, plan.run), 4).await?;
    let mut beside = arrivals(&receiver, &format!("{name}, 20 changes/s to 49 or 50, one dead"));
    beside.cells[2] = format!("{} (all well: {})", beside.cells[2], alone.cells[2]);
    Ok(beside)
}

fn database(on_server: bool) -> anyhow::Result<(Option<Postgres>, &'static str)> {
    Ok(if on_server { (Some(Postgres::start(1)?), "PostgreSQL") } else { (None, "SQLite") })
}

/// So many charges a second, for so long, at each paywall in turn.
async fn paced(
    stage: &mut Stage,
    keys: &[String],
    (a_second, length): (u32, Duration),
    seed: u64,
) -> anyhow::Result<()> {
    let ones: Vec<_> = keys.iter().map(|key| http::one(key, NEIGHBOURS)(seed)).collect();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / a_second);
    let began = Instant::now();
    let mut turns = (0..).zip(ones.iter().cycle());
    while began.elapsed() < length {
        ticks.tick().await;
        let Some((number, one)) = turns.next() else { break };
        let (status, body) = stage.api.post(one(number)).await?;
        anyhow::ensure!(status < 300, "{status} {body:?}");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

fn arrivals(receiver: &Receiver, name: &str) -> Row {
    let late = receiver.take_late_ms();
    let cells = [
        grouped(u64::try_from(late.len()).unwrap_or(0)),
        format!("{} ms", report::percentile(&late, 500)),
        format!("{} ms", report::percentile(&late, 990)),
    ];
    Row::new(name, &cells)
}

/// A receiver that was paused for long: memory, and how fast it gets what waited.
async fn pending(plan: &Plan) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for count in PENDING {
        let mut stage = Stage::start(None).await?;
        let receiver = Receiver::start().await?;
        let ids = stage.endpoints(&receiver, API_KEY, ("ok", 1)).await?;
        let id = ids.first().cloned().unwrap_or_default();
        stage.tell(&id, "pause").await?;
        stage.charge(1, count).await?;
        let began = Instant::now();
        stage.tell(&id, "resume").await?;
        let resumed = began.elapsed();
        let began = Instant::now();
        while began.elapsed() < plan.run && receiver.count() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let rate = report::rate(receiver.count(), began.elapsed());
        let mib = stage.server.memory_kib("VmHWM")? / 1_024;
        let cells =
            [grouped(rate), format!("{} MiB", grouped(mib)), format!("{} ms", resumed.as_millis())];
        rows.push(Row::new(grouped(count), &cells));
    }
    let head = ["pending", "deliveries/s to one receiver", "peak memory", "answer to resume"];
    report::table("Webhooks: a backlog, SQLite", &head, &rows)
}

/// What a receiver costs those who charge.
async fn charges(plan: &Plan) -> anyhow::Result<()> {
    let mut stage = Stage::start(None).await?;
    let key = stage.key.clone();
    let load = || http::one(&key, USERS);
    let without = http::median(&stage.server, plan, CONNECTIONS, load()).await?;
    let receiver = Arc::new(Receiver::start().await?);
    stage.endpoints(&receiver, API_KEY, ("ok", 1)).await?;
    let with = http::median(&stage.server, plan, CONNECTIONS, |seed| load()(seed + 10)).await?;
    let cells = [
        grouped(without.rate),
        grouped(with.rate),
        fraction(with.rate, without.rate),
        millis(with.p99_us),
    ];
    let rows = [Row::new("HTTP, 64 connections", &cells)];
    let head = ["charges/s", "no receiver", "one that matches", "kept", "99th percentile with it"];
    report::table("Webhooks: what a matching receiver costs", &head, &rows)
}
