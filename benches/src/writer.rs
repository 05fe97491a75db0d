//! Durable charges through the writer, without HTTP: what the ledger alone can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use domain::amount::Amount;
use domain::scope::Cause;
use engine::charges::{ChargeAsk, Charged};

use crate::Plan;
use crate::ground::{Ground, USERS, unique, user};
use crate::report::{self, Row, grouped};

/// One load on the writer.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub in_flight: u64,
    /// Users that are charged; 1 is one hot wallet.
    pub users: u64,
}

pub async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let loads = [
        Load { in_flight: 64, users: USERS },
        Load { in_flight: 1_024, users: USERS },
        Load { in_flight: 64, users: 1 },
        Load { in_flight: 1_024, users: 1 },
    ];
    let mut rows = Vec::new();
    for load in loads {
        let rate = charges(&ground, plan, load).await?;
        let spread = if load.users == 1 { "one hot wallet" } else { "10 000 wallets" };
        let name = format!("{spread}, {} in flight", grouped(load.in_flight));
        rows.push(Row::new(name, &[grouped(rate)]));
    }
    let title = "Writer in this process: charges with lots, journal, chain and events, on disk";
    report::table(title, &["load", "charges/s"], &rows)?;
    ground.engine.close();
    Ok(())
}

/// Charges a second under a load: the median of the runs.
pub async fn charges(ground: &Ground, plan: &Plan, load: Load) -> anyhow::Result<u64> {
    run(ground, load, plan.warm).await?;
    let mut rates = Vec::new();
    for _ in 0..plan.runs {
        rates.push(run(ground, load, plan.run).await?);
    }
    Ok(report::median(&mut rates).unwrap_or(0))
}

async fn run(ground: &Ground, load: Load, length: std::time::Duration) -> anyhow::Result<u64> {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let seed = u64::from_be_bytes(ground.engine.random.bytes());
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..load.in_flight {
        let (engine, scope, paywall) =
            (ground.engine.clone(), ground.scope, ground.paywall.clone());
        let (stop, done) = (stop.clone(), done.clone());
        tasks.spawn(async move {
            let mut number = lane;
            while !stop.load(Ordering::Relaxed) {
                let ask = ask(&paywall, (seed, number), load.users)?;
                match engine.charge(scope, ask).await? {
                    Charged::Paid(_) => done.fetch_add(1, Ordering::Relaxed),
                    Charged::TooLittle(_) => anyhow::bail!("a wallet ran dry"),
                };
                number += load.in_flight;
            }
            anyhow::Ok(())
        });
    }
    let started = Instant::now();
    tokio::time::sleep(length).await;
    let rate = report::rate(done.load(Ordering::Relaxed), started.elapsed());
    stop.store(true, Ordering::Relaxed);
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(rate)
}

fn ask(
    paywall: &Arc<store::paywalls::Stored>,
    (seed, number): (u64, u64),
    users: u64,
) -> anyhow::Result<ChargeAsk> {
    let text = unique(seed, number);
    let key = engine::idempotency::key_use("POST /v1/user/charge", &text, text.as_bytes());
    Ok(ChargeAsk {
        paywall: paywall.clone(),
        user: user(domain::id::splitmix(number) % users)?,
        amount: Amount::from_nanos(10_000_000),
        metadata: None,
        key: Some(key),
        cause: Cause::schedule(),
    })
}
