//! The proxy beside nginx: the same calls to the same provider, once straight, once through nginx
//! as a plain reverse proxy, once through a paywall. What is measured has core 0 for itself; the
//! provider and the load share core 1. Runs of all sides alternate, and medians are told.

mod client;
mod cores;
mod farebox;
mod fine_waits;
mod litellm;
mod nginx;
mod side;
mod tables;

use std::sync::Arc;

use fakes::provider::{Provider, Settings};

use self::farebox::Farebox;
use self::fine_waits::FineWaits;
use self::litellm::LiteLlm;
use self::nginx::Nginx;
use self::side::Side;
use crate::{Plan, server};

/// What is measured beside the provider itself and nginx.
#[derive(Clone)]
pub struct Asked {
    pub farebox: bool,
    pub litellm: bool,
    /// None: all of them.
    pub tables: Vec<Table>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    Rates,
    Times,
    Memory,
}

impl Asked {
    fn asks(&self, table: Table) -> bool {
        self.tables.is_empty() || self.tables.contains(&table)
    }
}

/// Measures on a thread that stays on its core, with everything that it starts.
pub async fn measure(plan: Plan, asked: Asked) -> anyhow::Result<()> {
    if asked.farebox {
        server::binary()?;
    }
    let thread = std::thread::spawn(move || {
        cores::pin_this_thread(cores::LOAD)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(compare(plan, asked))
    });
    let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
    joined.map_err(|_| anyhow::anyhow!("the measuring thread panicked"))?
}

async fn compare(plan: Plan, asked: Asked) -> anyhow::Result<()> {
    let waits = Arc::new(FineWaits::start());
    let settings = Settings { records_max: 0, waits: waits.clone(), ..Settings::default() };
    let provider = Provider::start("127.0.0.1:0".parse()?, settings).await?;
    let nginx = Nginx::start(provider.addr())?;
    let mut farebox = None;
    if asked.farebox {
        farebox = Some(Farebox::start(provider.addr()).await?);
    }
    let mut sides = vec![Side::direct(provider.addr()), Side::nginx(&nginx)];
    if let Some(farebox) = &farebox {
        sides.extend(Side::farebox(farebox));
    }
    tables::check(&sides).await?;
    if asked.asks(Table::Rates) {
        tables::rates(&plan, &sides).await?;
    }
    if asked.asks(Table::Times) {
        tables::times(&plan, &sides, &waits).await?;
    }
    if asked.asks(Table::Memory) {
        tables::memory(&plan, &sides).await?;
    }
    if asked.litellm {
        let litellm = LiteLlm::start(provider.addr(), side::MODEL).await?;
        sides.push(Side::litellm(&litellm));
        tables::litellm(&plan, &sides).await?;
    }
    Ok(())
}
