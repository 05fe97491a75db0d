//! A database with a paywall and users that have money, for every measurement alike.

use std::sync::Arc;

use domain::amount::Amount;
use domain::paywall::ExternalUser;
use domain::scope::{Cause, Scope};
use engine::deposits::{DepositAsk, Origin};
use engine::random::Random;
use engine::seal::Seal;
use engine::{Engine, Settings};
use serde_json::json;
use store::Location;
use store::paywalls::Stored;
use tempfile::TempDir;

/// Users, each with a wallet.
pub const USERS: u64 = 10_000;
/// Credits of each user; no run can spend them.
const CREDITS: i64 = 1_000_000_000;
const DEPOSITS_IN_FLIGHT: u64 = 256;
const FILE: &str = "farebox.db";

pub struct Ground {
    pub engine: Arc<Engine>,
    pub scope: Scope,
    pub paywall: Arc<Stored>,
    pub api_key: String,
    pub folder: TempDir,
}

impl Ground {
    /// A new database in a temporary folder, with users that have money.
    pub async fn new() -> anyhow::Result<Ground> {
        let folder = tempfile::tempdir()?;
        let location = Location::file(folder.path().join(FILE));
        Ground::at(folder, &location).await
    }

    /// The same on a server.
    pub async fn on(url: &str) -> anyhow::Result<Ground> {
        Ground::at(tempfile::tempdir()?, &Location::Server(url.to_owned())).await
    }

    /// Another node on the same database.
    pub fn beside(&self, url: &str) -> anyhow::Result<Ground> {
        Ok(Ground {
            engine: open(&Location::Server(url.to_owned()))?,
            scope: self.scope,
            paywall: self.paywall.clone(),
            api_key: self.api_key.clone(),
            folder: tempfile::tempdir()?,
        })
    }

    async fn at(folder: TempDir, location: &Location) -> anyhow::Result<Ground> {
        let engine = open(location)?;
        let scope = engine.ensure_tenant("Benchmark").await?;
        Ground::of_tenant(engine, scope, (folder, USERS)).await
    }

    /// Another tenant with so many users and an API key of its own; its paywall's key.
    pub async fn neighbour(&self, key: &str, users: u64) -> anyhow::Result<String> {
        let engine = self.engine.clone();
        let scope = engine.create_tenant("Neighbour", "development", false).await?;
        engine.ensure_key(scope, key).await?;
        let ground = Ground::of_tenant(engine, scope, (tempfile::tempdir()?, users)).await?;
        Ok(ground.api_key)
    }

    async fn of_tenant(
        engine: Arc<Engine>,
        scope: Scope,
        (folder, users): (TempDir, u64),
    ) -> anyhow::Result<Ground> {
        let body = json!({ "name": "Benchmark", "currency": "USD" });
        let made = engine.create_paywall(scope, Cause::schedule(), body).await?;
        let key = engine.authenticate(&made.api_key)?;
        let paywall = engine.paywall(&scope, key.paywall.unwrap_or_default())?;
        let ground = Ground { engine, scope, paywall, api_key: made.api_key, folder };
        ground.fund(users).await?;
        Ok(ground)
    }

    async fn fund(&self, users: u64) -> anyhow::Result<()> {
        let mut tasks = tokio::task::JoinSet::new();
        for first in 0..DEPOSITS_IN_FLIGHT {
            let (engine, scope, paywall) = (self.engine.clone(), self.scope, self.paywall.clone());
            tasks.spawn(async move {
                for user in (first..users).step_by(256) {
                    engine.deposit(scope, deposit(&paywall, user)?).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Closes the database and keeps the folder, for a server process.
    pub fn close(self) -> (TempDir, String) {
        self.engine.close();
        (self.folder, self.api_key)
    }
}

fn open(location: &Location) -> anyhow::Result<Arc<Engine>> {
    let database = store::Database::open(location, true)?;
    let settings = Settings {
        seal: Seal::none(),
        random: Random::System,
        public_url: "http://127.0.0.1".to_owned(),
    };
    Ok(Engine::start(database, settings)?)
}

fn deposit(paywall: &Arc<Stored>, number: u64) -> anyhow::Result<DepositAsk> {
    Ok(DepositAsk {
        paywall: paywall.clone(),
        user: user(number)?,
        amount: Amount::units(CREDITS),
        origin: Origin::Deposit,
        expires_at: None,
        metadata: None,
        key: None,
        cause: Cause::schedule(),
    })
}

/// The external id of a user.
pub fn user(number: u64) -> anyhow::Result<ExternalUser> {
    ExternalUser::parse(&format!("user-{number}")).map_err(|error| anyhow::anyhow!("{error}"))
}

/// A key that no other call has, without order.
pub fn unique(seed: u64, number: u64) -> String {
    let one = domain::id::splitmix(seed ^ domain::id::splitmix(number));
    format!("{one:016x}{number:012x}")
}
