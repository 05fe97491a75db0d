//! One way to the provider, and the loads that go along it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Counted, Load, Pace, Wire};
use super::cores;
use super::farebox::{Farebox, USERS, user};
use super::fine_waits::FineWaits;
use super::litellm::LiteLlm;
use super::nginx::Nginx;
use crate::{Plan, report};

pub const MODEL: &str = "gpt-4o-mini";
/// Tokens that an answer may have: more than any of ours has.
const CAP: u64 = 256;
/// The provider's time where it takes any: 20 ms and a tenth more or less, in no order.
const WAIT: Duration = Duration::from_millis(20);
const WAIT_MIN_US: u64 = 18_000;
const WAIT_SPREAD_US: u64 = 4_001;

/// What every call of a load asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub prompt: &'static str,
    pub stream: bool,
    pub connections: usize,
    /// Whether the provider takes its time.
    pub waits: bool,
}

pub struct Side {
    pub name: &'static str,
    plain: SocketAddr,
    streaming: SocketAddr,
    key: String,
    /// The proxy's, where there is one.
    pub process: Option<u32>,
}

/// A run, with what it cost the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub counted: Counted,
    /// Of the proxy, for each call, in nanoseconds.
    pub used_ns: u64,
    /// Of the proxy's core and of the load's, in percent.
    pub busy: u64,
    pub load_busy: u64,
    /// What the host kept of both, in percent of one.
    pub stolen: u64,
}

impl Side {
    fn new(name: &'static str, address: SocketAddr) -> Side {
        let key = "sk-fake".to_owned();
        Side { name, plain: address, streaming: address, key, process: None }
    }

    pub fn direct(provider: SocketAddr) -> Side {
        Side::new("no proxy", provider)
    }

    pub fn nginx(nginx: &Nginx) -> Side {
        let process = Some(nginx.process());
        Side { streaming: nginx.streaming, process, ..Side::new("nginx", nginx.plain) }
    }

    /// The same server with three paywalls, by when they write what is charged.
    pub fn farebox(farebox: &Farebox) -> [Side; 3] {
        let process = Some(farebox.server.process());
        let side = |name, key: &str| {
            let key = key.to_owned();
            Side { key, process, ..Side::new(name, farebox.server.address) }
        };
        [
            side("Farebox, lease", &farebox.batch),
            side("Farebox, lease, usage on disk", &farebox.lease),
            side("Farebox, strict", &farebox.strict),
        ]
    }

    pub fn litellm(litellm: &LiteLlm) -> Side {
        Side::new("LiteLLM", litellm.address)
    }

    pub fn load(&self, asked: Asked) -> Load {
        let address = if asked.stream { self.streaming } else { self.plain };
        // One list for all lanes; each lane starts at a user of its own.
        let requests = (0..USERS).map(|number| self.request(address, asked, number)).collect();
        Load { address, connections: asked.connections, requests: Arc::new(requests), pace: None }
    }

    /// As `load`, for a provider that takes its time.
    pub fn paced(&self, asked: Asked, waits: &Arc<FineWaits>) -> Load {
        let each = (0..USERS).map(wait_of).collect();
        let pace = Pace { waits: waits.clone(), each: Arc::new(each), middle: WAIT };
        Load { pace: Some(pace), ..self.load(asked) }
    }

    fn request(&self, address: SocketAddr, asked: Asked, number: usize) -> Vec<u8> {
        let prompt = if asked.waits {
            format!("{} [slow-us {}]", asked.prompt, wait_of(number).as_micros())
        } else {
            asked.prompt.to_owned()
        };
        let body = json!({
            "model": MODEL, "max_tokens": CAP, "stream": asked.stream,
            "messages": [
                { "role": "system", "content": "You are a polite assistant." },
                { "role": "user", "content": prompt },
            ],
        });
        let (body, key, user) = (body.to_string(), &self.key, user(number));
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\n\
             authorization: Bearer {key}\r\nx-paywall-user: {user}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// What one whole answer says, to see that a side does what is measured.
    pub async fn sample(&self, asked: Asked) -> anyhow::Result<String> {
        let load = self.load(asked);
        let mut wire = Wire::open(load.address).await?;
        let answer = wire.call(&load.requests[0]).await?;
        Ok(String::from_utf8_lossy(answer).into_owned())
    }

    async fn run(&self, load: &Load, length: Duration) -> anyhow::Result<Run> {
        let used = || self.process.map_or(Ok(0), cores::used_us);
        let ours = std::process::id();
        let (before, load_before) = (used()?, cores::used_us(ours)?);
        let stolen_before = cores::stolen_us()?;
        let began = Instant::now();
        let counted = load.run(length).await?;
        let wall_us = u64::try_from(began.elapsed().as_micros())?.max(1);
        let (used_us, load_us) = (used()? - before, cores::used_us(ours)? - load_before);
        Ok(Run {
            counted,
            used_ns: used_us * 1_000 / counted.calls.max(1),
            busy: used_us * 100 / wall_us,
            load_busy: load_us * 100 / wall_us,
            stolen: (cores::stolen_us()? - stolen_before) * 100 / wall_us,
        })
    }
}

/// What the provider takes for a request; the same for every side.
fn wait_of(number: usize) -> Duration {
    let chance = domain::id::splitmix(u64::try_from(number).unwrap_or_default());
    Duration::from_micros(WAIT_MIN_US + chance % WAIT_SPREAD_US)
}

/// Runs of all sides, in turn; for each side all its runs.
pub async fn alternate(
    plan: &Plan,
    sides: &[Side],
    loads: &[Load],
) -> anyhow::Result<Vec<Vec<Run>>> {
    let mut all = vec![Vec::new(); sides.len()];
    for round in 0..=plan.runs {
        for (at, (side, load)) in sides.iter().zip(loads).enumerate() {
            let length = if round == 0 { plan.warm } else { plan.run };
            let run = side.run(load, length).await?;
            if round > 0 {
                all[at].push(run);
            }
        }
    }
    Ok(all)
}

/// The run with the median rate of each side.
pub async fn middles(plan: &Plan, sides: &[Side], asked: Asked) -> anyhow::Result<Vec<Run>> {
    let loads: Vec<Load> = sides.iter().map(|side| side.load(asked)).collect();
    let all = alternate(plan, sides, &loads).await?;
    Ok(all.into_iter().filter_map(middle).collect())
}

fn middle(mut runs: Vec<Run>) -> Option<Run> {
    runs.sort_by_key(|run| run.counted.rate);
    runs.get(runs.len() / 2).copied()
}

/// The time that a side adds to another's, at a percentile.
pub fn added(side: u32, direct: u32) -> String {
    report::fine_millis(side.saturating_sub(direct))
}
