//! From a host to its addresses, once for each connection. It judges none of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::webhook::schedule::Outcome;
use domain::webhook::target::TargetHost;
use tokio::time::timeout;

use super::failure::Failed;

const RESOLVE_MAX: Duration = Duration::from_secs(2);
/// More are neither checked nor used: a name with more is refused as a failed look-up.
const ADDRESSES_MAX: usize = 64;

/// Where addresses come from.
#[derive(Clone)]
pub enum Names {
    /// The machine's resolver.
    System,
    /// These names and no others.
    Fixed(Arc<HashMap<String, Vec<IpAddr>>>),
}

impl Names {
    pub(in crate::ports) async fn resolve(&self, host: &TargetHost) -> Result<Vec<IpAddr>, Failed> {
        let name = match host {
            TargetHost::Address(address) => return Ok(vec![*address]),
            TargetHost::Name(name) => name,
        };
        let found = match self {
            Names::System => look_up(name).await?,
            Names::Fixed(names) => names.get(name).cloned().unwrap_or_default(),
        };
        match found.len() {
            0 => Err(failed("the name has no address")),
            1..=ADDRESSES_MAX => Ok(found),
            _ => Err(failed("the name has too many addresses")),
        }
    }
}

async fn look_up(name: &str) -> Result<Vec<IpAddr>, Failed> {
    let found = timeout(RESOLVE_MAX, tokio::net::lookup_host((name, 0))).await;
    let found = found.map_err(|_| failed("the name was not resolved within 2 s"))?;
    let found = found.map_err(|_| failed("the name does not resolve"))?;
    Ok(found.map(|address| address.ip()).take(ADDRESSES_MAX + 1).collect())
}

fn failed(what: &str) -> Failed {
    Failed::new(Outcome::DnsFailed, what)
}
