//! Whether the ledger slows down as it grows: charges after many entries against after few.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use domain::amount::Amount;
use domain::ledger::entry::Details;
use domain::ledger::spend::{self, Charge};
use domain::scope::Cause;
use store::Tx;
use store::idempotency::Worked;

use crate::Plan;
use crate::ground::{Ground, USERS, unique};
use crate::postgres::Postgres;
use crate::report::{self, Row, grouped};
use crate::writer::{Load, charges};

const FEW: u64 = 50_000;
/// Charges of one job while the ledger is filled.
const JOB: u64 = 5_000;
const LOADS: [u64; 2] = [64, 1_024];

pub async fn measure(plan: &Plan) -> anyhow::Result<()> {
    on(Ground::new().await?, plan, "SQLite").await
}

pub async fn measure_on_server(plan: &Plan) -> anyhow::Result<()> {
    let postgres = Postgres::start(1)?;
    on(Ground::on(&postgres.url()).await?, plan, "PostgreSQL").await
}

async fn on(ground: Ground, plan: &Plan, database: &str) -> anyhow::Result<()> {
    let wallets = Arc::new(wallets(&ground)?);
    fill(&ground, &wallets, FEW).await?;
    let before = rates(&ground, plan).await?;
    let at_first = entries(&ground)?;
    let started = Instant::now();
    let missing = plan.entries.saturating_sub(at_first);
    fill(&ground, &wallets, missing).await?;
    let took = started.elapsed();
    let after = rates(&ground, plan).await?;
    let mut text = format!(
        "\nfilled with {} more entries in {} s ({} a second)",
        grouped(missing),
        took.as_secs(),
        grouped(report::rate(missing, took)),
    );
    if let Some(path) = ground.engine.database().path() {
        write!(text, "; the file has {} MiB", grouped(std::fs::metadata(path)?.len() >> 20))?;
    }
    report::line(&text)?;
    // The runs themselves add to what they start from.
    let few = format!("from {} on", grouped(FEW));
    let many = format!("from {} on", grouped(plan.entries));
    let rows: Vec<Row> = LOADS
        .iter()
        .zip(before.iter().zip(&after))
        .map(|(load, (&before, &after))| {
            let part = after.saturating_mul(100) / before.max(1);
            let cells = [grouped(before), grouped(after), format!("{part} %")];
            Row::new(format!("{} in flight", grouped(*load)), &cells)
        })
        .collect();
    let title = format!(
        "Growth on {database}: charges/s in this process, 10 000 wallets, random idempotency keys"
    );
    report::table(&title, &["load", &few, &many, "kept"], &rows)?;
    ground.engine.close();
    Ok(())
}

async fn rates(ground: &Ground, plan: &Plan) -> anyhow::Result<Vec<u64>> {
    let mut rates = Vec::new();
    for in_flight in LOADS {
        rates.push(charges(ground, plan, Load { in_flight, users: USERS }).await?);
    }
    Ok(rates)
}

fn wallets(ground: &Ground) -> anyhow::Result<Vec<i64>> {
    let scope = ground.scope;
    Ok(ground.engine.read_now(|read| Ok(store::wallets::open_numbers(read, &scope)?))?)
}

fn entries(ground: &Ground) -> anyhow::Result<u64> {
    let scope = ground.scope;
    let last = ground.engine.read_now(|read| Ok(store::events::head(read, &scope)?))?;
    Ok(last)
}

/// Posts `count` charges with keys through the writer, many to a job.
async fn fill(ground: &Ground, wallets: &Arc<Vec<i64>>, count: u64) -> anyhow::Result<()> {
    let seed = u64::from_be_bytes(ground.engine.random.bytes());
    for first in (0..count).step_by(5_000) {
        let (wallets, last) = (wallets.clone(), count.min(first + JOB));
        let work = move |tx: &mut Tx<'_>| {
            for number in first..last {
                post(tx, &wallets, (seed, number))?;
            }
            Ok::<_, engine::Error>(())
        };
        ground.engine.movement(ground.scope, work).await?;
    }
    Ok(())
}

fn post(tx: &mut Tx<'_>, wallets: &[i64], (seed, number): (u64, u64)) -> Result<(), engine::Error> {
    let text = unique(seed, number);
    let key = engine::idempotency::key_use("POST /v1/user/charge", &text, text.as_bytes());
    let charge = Charge {
        credits: Amount::from_nanos(10_000_000),
        fee: Amount::ZERO,
        details: Details::default(),
        key: Some(key),
    };
    let at = usize::try_from(domain::id::splitmix(number)).unwrap_or(0) % wallets.len().max(1);
    let Some(&wallet) = wallets.get(at) else { return Ok(()) };
    let cause = Cause::schedule();
    let posted = tx.account(wallet, |account, log| spend::charge(account, log, &cause, charge))?;
    if let Some(place) = posted.transpose()? {
        tx.remember("POST /v1/user/charge", &text, Worked::Entry(place));
    }
    Ok(())
}
