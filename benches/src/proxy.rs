//! The proxy beside nginx: the same calls to the same provider, once straight, once through nginx
//! as a plain reverse proxy, once through a paywall. What is measured has core 0 for itself; the
//! provider and the load share core 1. Runs of all sides alternate, and medians are told.

mod client;
mod cores;
mod farebox;
mod litellm;
mod nginx;
mod side;
mod tables;

use fakes::provider::{Provider, Settings};

use self::farebox::Farebox;
use self::litellm::LiteLlm;
use self::nginx::Nginx;
use self::side::Side;
use crate::{Plan, server};

/// What is measured beside the provider itself and nginx.
#[derive(Clone, Copy)]
pub struct Sides {
    pub farebox: bool,
    pub litellm: bool,
}

/// Measures on a thread that stays on its core, with everything that it starts.
pub async fn measure(plan: Plan, sides: Sides) -> anyhow::Result<()> {
    if sides.farebox {
        server::binary()?;
    }
    let thread = std::thread::spawn(move || {
        cores::pin_this_thread(cores::LOAD)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(compare(plan, sides))
    });
    let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
    joined.map_err(|_| anyhow::anyhow!("the measuring thread panicked"))?
}

async fn compare(plan: Plan, asked: Sides) -> anyhow::Result<()> {
    let settings = Settings { records_max: 0, ..Settings::default() };
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
    tables::rates(&plan, &sides).await?;
    tables::times(&plan, &sides).await?;
    tables::memory(&plan, &sides).await?;
    if asked.litellm {
        let litellm = LiteLlm::start(provider.addr(), side::MODEL).await?;
        sides.push(Side::litellm(&litellm));
        tables::litellm(&plan, &sides).await?;
    }
    Ok(())
}
