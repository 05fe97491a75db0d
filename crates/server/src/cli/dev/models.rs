//! The provider of models of `farebox dev`: it invents its answers, and asks nobody outside.

use std::net::{Ipv4Addr, SocketAddr};

use domain::scope::{Cause, Scope};
use engine::Engine;
use fakes::provider::{Provider, Settings};
use serde_json::json;

use super::super::Failure;
use super::state::State;

const NAME: &str = "fake";

/// At its last address, or at a free one where that is taken.
pub async fn start(state: &mut State) -> Result<Provider, Failure> {
    // Nobody looks at what it received.
    let settings = || Settings { records_max: 0, ..Settings::default() };
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let provider = match Provider::start(at(state.provider_port), settings()).await {
        Ok(provider) => provider,
        Err(_) => Provider::start(at(0), settings()).await?,
    };
    state.provider_port = provider.addr().port();
    Ok(provider)
}

/// The demo paywall asks it from now on.
pub async fn connect(
    engine: &Engine,
    scope: Scope,
    state: &State,
    provider: &Provider,
) -> Result<(), Failure> {
    let Some(key) = &state.paywall_key else { return Ok(()) };
    let Some(no) = engine.authenticate(key)?.paywall else { return Ok(()) };
    let id = engine.paywall(&scope, no)?.paywall.id;
    let url = provider.base_url();
    let known = engine.providers(&scope, id)?;
    if known.iter().any(|known| known.provider.name == NAME && known.provider.base_url == url) {
        return Ok(());
    }
    let body = json!({ "kind": "fake", "baseUrl": url, "key": "sk-fake" });
    engine.set_provider(scope, Cause::schedule(), id, (NAME.to_owned(), body)).await?;
    Ok(())
}
