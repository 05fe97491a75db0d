//! The writer on a PostgreSQL server, beside pgbench's naive charge on the same server.

use std::process::Command;

use crate::Plan;
use crate::ground::{Ground, USERS};
use crate::http;
use crate::postgres::Postgres;
use crate::report::{self, Row, grouped, millis, ratio};
use crate::server::{self, Server};
use crate::writer::{Load, charges};

/// In turn, not at once: who measures the one leaves the server to it.
pub async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let postgres = Postgres::start(USERS)?;
    let naive = [postgres.charges(plan, USERS)?, postgres.charges(plan, 1)?];
    let first = Ground::on(&postgres.url()).await?;
    let mut rows = Vec::new();
    for (users, in_flight) in [(USERS, 64), (USERS, 1_024), (1, 64), (1, 1_024)] {
        let ours = charges(&first, plan, Load { in_flight, users }).await?;
        let (spread, theirs) =
            if users == 1 { ("one hot wallet", naive[1]) } else { ("10 000 wallets", naive[0]) };
        let name = format!("{spread}, {} in flight", grouped(in_flight));
        rows.push(Row::new(name, &[grouped(ours), grouped(theirs), ratio(ours, theirs)]));
    }
    let load = Load { in_flight: 512, users: 1 };
    let alone = charges(&first, plan, Load { in_flight: 1_024, users: 1 }).await?;
    let second = first.beside(&postgres.url())?;
    let (one, two) = tokio::join!(charges(&first, plan, load), charges(&second, plan, load));
    let both = one? + two?;
    let name = "one hot wallet, two nodes, 512 in flight each";
    rows.push(Row::new(name, &[grouped(both), grouped(alone), ratio(both, alone)]));
    let title =
        "Writer on PostgreSQL, fsync on, beside pgbench with 32 clients (last row: one node)";
    report::table(title, &["load", "charges/s", "beside", "ratio"], &rows)?;
    second.engine.close();
    first.engine.close();
    drop(postgres);
    measure_http(plan).await
}

/// The same server process on either database, in turn.
async fn measure_http(plan: &Plan) -> anyhow::Result<()> {
    let postgres = Postgres::start(1)?;
    let of_server = Ground::on(&postgres.url()).await?.close();
    let of_file = Ground::new().await?.close();
    let mut all = Vec::new();
    for ((folder, key), url) in [(of_server, Some(postgres.url())), (of_file, None)] {
        let mut command = Command::new(server::binary()?);
        command.envs(url.map(|url| ("FAREBOX_DATABASE_URL", url)));
        let server = Server::start_with(folder.path(), command).await?;
        let spread = http::median(&server, plan, http::CONNECTIONS, http::one(&key, USERS)).await?;
        let hot = http::median(&server, plan, http::CONNECTIONS, http::one(&key, 1)).await?;
        all.push([spread, hot]);
    }
    let [theirs, ours] = [&all[0], &all[1]];
    let rows: Vec<Row> = ["10 000 users", "one hot user"]
        .iter()
        .zip(theirs.iter().zip(ours))
        .map(|(name, (server, file))| {
            let cells = [
                grouped(server.rate),
                millis(server.p50_us),
                millis(server.p99_us),
                grouped(file.rate),
                ratio(server.rate, file.rate),
            ];
            Row::new(*name, &cells)
        })
        .collect();
    let head =
        ["charges/s", "PostgreSQL", "median", "99th percentile", "SQLite, the same load", "ratio"];
    report::table("HTTP: POST /v1/user/charge, 64 connections, on either database", &head, &rows)
}
