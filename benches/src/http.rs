//! Charges over HTTP against a server process, beside the same work done naively in PostgreSQL.

use std::sync::Arc;

use crate::Plan;
use crate::ground::{Ground, USERS, unique};
use crate::load::{self, Ask, Counted};
use crate::postgres::Postgres;
use crate::report::{self, Row, grouped, millis, ratio};
use crate::server::Server;

pub const CONNECTIONS: u64 = 64;
pub const BATCH: u64 = 100;
const BATCH_CONNECTIONS: u64 = 16;

type MakeAsk = Arc<dyn Fn(u64) -> Ask + Send + Sync>;

pub async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let ours = {
        let (folder, key) = Ground::new().await?.close();
        let server = Server::start(folder.path()).await?;
        let spread = median(&server, plan, CONNECTIONS, one(&key, USERS)).await?;
        let hot = median(&server, plan, CONNECTIONS, one(&key, 1)).await?;
        [spread, hot]
    };
    let theirs = {
        let postgres = Postgres::start(USERS)?;
        [postgres.charges(plan, USERS)?, postgres.charges(plan, 1)?]
    };
    let names = ["10 000 users", "one hot user"];
    let rows: Vec<Row> = names
        .iter()
        .zip(ours.iter().zip(theirs))
        .map(|(name, (ours, theirs))| {
            let cells = [
                grouped(ours.rate),
                millis(ours.p50_us),
                millis(ours.p99_us),
                grouped(theirs),
                ratio(ours.rate, theirs),
            ];
            Row::new(*name, &cells)
        })
        .collect();
    let head = [
        "charges/s",
        "Farebox, 64 connections",
        "median",
        "99th percentile",
        "PostgreSQL 15, 32 clients",
        "ratio",
    ];
    report::table("HTTP: POST /v1/user/charge beside pgbench, fsync on", &head, &rows)
}

pub async fn measure_batches(plan: &Plan) -> anyhow::Result<()> {
    let (folder, key) = Ground::new().await?.close();
    let server = Server::start(folder.path()).await?;
    let counted = median(&server, plan, BATCH_CONNECTIONS, many(&key)).await?;
    let cells = [
        grouped(counted.rate * BATCH),
        grouped(counted.rate),
        millis(counted.p50_us),
        millis(counted.p99_us),
    ];
    let rows = [Row::new("16 connections, 10 000 users", &cells)];
    let head = ["load", "charges/s", "calls/s", "median of a call", "99th percentile"];
    report::table("HTTP: POST /v1/charges/batch, 100 charges a call", &head, &rows)
}

/// The run with the median rate.
pub async fn median(
    server: &Server,
    plan: &Plan,
    connections: u64,
    ask: impl Fn(u64) -> MakeAsk,
) -> anyhow::Result<Counted> {
    load::run(server.address, connections, plan.warm, ask(0)).await?;
    let mut all = Vec::new();
    for run in 1..=plan.runs {
        let make = ask(u64::try_from(run)?);
        all.push(load::run(server.address, connections, plan.run, make).await?);
    }
    all.sort_by_key(|counted| counted.rate);
    Ok(all.swap_remove(all.len() / 2))
}

/// One charge a call.
pub fn one(key: &str, users: u64) -> impl Fn(u64) -> MakeAsk {
    let key = key.to_owned();
    move |seed| {
        let (key, seed) = (key.clone(), seed ^ (users << 32));
        Arc::new(move |number| Ask {
            path: "/v1/user/charge",
            key: key.clone(),
            once: unique(seed, number),
            body: format!("{{\"user\":\"{}\",\"amount\":\"0.01\"}}", name(number, users)),
        })
    }
}

/// A hundred charges a call.
pub fn many(key: &str) -> impl Fn(u64) -> MakeAsk {
    let key = key.to_owned();
    move |seed| {
        let key = key.clone();
        Arc::new(move |number| {
            let charge = |part: u64| {
                let number = number * BATCH + part;
                format!(
                    "{{\"user\":\"{}\",\"amount\":\"0.01\",\"idempotency_key\":\"{}\"}}",
                    name(number, USERS),
                    unique(seed, number)
                )
            };
            let charges: Vec<String> = (0..BATCH).map(charge).collect();
            Ask {
                path: "/v1/charges/batch",
                key: key.clone(),
                once: format!("batch-{}", unique(seed, number)),
                body: format!("{{\"charges\":[{}]}}", charges.join(",")),
            }
        })
    }
}

fn name(number: u64, users: u64) -> String {
    format!("user-{}", domain::id::splitmix(number) % users)
}
