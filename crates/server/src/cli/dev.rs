//! `farebox dev`: everything on loopback, nothing to configure.
//!
//! It makes keys, a paywall with a provider of models, a wallet with alerts, a receiver and a
//! movable clock, prints them with four commands to paste, and shows each webhook as it arrives
//! with its signature checked.

mod models;
pub mod state;
mod tour;

use std::net::{Ipv4Addr, SocketAddr};

use domain::scope::{Cause, Scope};
use engine::Engine;
use fakes::provider::Provider;
use fakes::sink::{Received, Settings, Signature, Sink};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::client::Client;
use super::{Context, Failure, block_on, out};
use crate::config::Config;
use crate::logs;
use crate::node::{Node, make_folder, stop_signal};
use state::State;

const LOOPBACK: &str = "127.0.0.0/8,::1/128";

/// Run everything on loopback, with keys, a paywall and a webhook sink made for you
#[derive(clap::Args)]
#[command(after_help = "Example: farebox dev")]
pub struct Args {
    /// One JSON line for each webhook instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let folder = context.config.data_dir.clone();
    make_folder(&folder)?;
    let mut state = State::find(&folder).unwrap_or_else(State::new);
    let config = settings(context, &state)?;
    state.url.clone_from(&config.public_url);
    logs::start(&config.log, config.log_format, out::colour())?;
    block_on(async {
        let House { node, sink, _provider } = open(&config, &mut state).await?;
        Box::pin(show(node, &sink, (&config, state), args.json)).await
    })
}

/// What was not set gets the values of a development server.
fn settings(context: &Context, state: &State) -> Result<Config, Failure> {
    let mut texts = context.texts.clone();
    texts.offer("api_key", &state.api_key);
    texts.offer("encryption_key", &state.encryption_key);
    texts.offer("allow_private_targets", LOOPBACK);
    texts.offer("log", "warn");
    let config = texts.parse()?;
    if !config.listen.ip().is_loopback() {
        let message = "farebox dev listens on loopback only; use farebox serve for anything else";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(config)
}

/// What runs until the user stops it.
struct House {
    node: Node,
    sink: Sink,
    _provider: Provider,
}

async fn open(config: &Config, state: &mut State) -> Result<House, Failure> {
    let node = Node::open(config, true).await?;
    if let Some(key) = &config.api_key {
        state.api_key.clone_from(key);
    }
    node.ensure_first_key(Some(&state.api_key)).await?;
    let scope = equip(&node.app.engine, state).await?;
    let login = (state::EMAIL, state.password.clone());
    node.app.engine.ensure_login(scope, login).await?;
    let sink = start_sink(state).await?;
    state.sink_port = sink.addr().port();
    let provider = models::start(state).await?;
    models::connect(&node.app.engine, scope, state, &provider).await?;
    state.keep(&config.data_dir)?;
    Ok(House { node, sink, _provider: provider })
}

/// A paywall, and a clock that can be moved.
async fn equip(engine: &Engine, state: &mut State) -> Result<Scope, Failure> {
    let scope = engine.ensure_tenant("Development").await?;
    if engine.clocks.get(scope.env).is_none() {
        engine.attach_clock(scope, Cause::schedule(), (None, false)).await?;
    }
    if state.paywall_key.is_none() {
        let body = json!({ "name": "Demo paywall", "currency": "USD" });
        let made = engine.create_paywall(scope, Cause::schedule(), body).await?;
        state.paywall_key = Some(made.api_key);
    }
    Ok(scope)
}

/// At its last address, or at a free one where that is taken.
async fn start_sink(state: &State) -> Result<Sink, Failure> {
    let settings = || Settings {
        secret: Some(state.webhook_secret.clone()),
        now_seconds: Some(|| engine::clock::real_now().seconds()),
        seed: 0,
    };
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match Sink::start(at(state.sink_port), settings()).await {
        Ok(sink) => Ok(sink),
        Err(_) => Ok(Sink::start(at(0), settings()).await?),
    }
}

/// Serves, greets, and shows webhooks until the user stops it.
async fn show(
    node: Node,
    sink: &Sink,
    (config, mut state): (&Config, State),
    json: bool,
) -> Result<(), Failure> {
    let mut arriving = sink.subscribe();
    let mut serving = tokio::spawn(node.serve(stop_signal()));
    let client = Client::with(&state.url, &state.api_key)?;
    let base = sink.url("");
    if let Err(failure) = tour::prepare(&client, &mut state, &base).await {
        out::say(&format!("farebox: the tour is not complete: {failure}"));
    }
    state.keep(&config.data_dir)?;
    out::say(&tour::welcome(&state, &base));
    loop {
        tokio::select! {
            ended = &mut serving => return match ended {
                Ok(served) => Ok(served?),
                Err(error) => Err(Failure::Bad(error.to_string())),
            },
            received = arriving.recv() => match received {
                Ok(received) => out::line(&line(&received, json))?,
                Err(RecvError::Lagged(missed)) => out::say(&format!("… {missed} more")),
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

fn line(received: &Received, as_json: bool) -> String {
    let body: Value = serde_json::from_slice(&received.body).unwrap_or(Value::Null);
    let word = |name: &str| body.get(name).and_then(Value::as_str);
    let kind = word("event_type").or(word("type")).unwrap_or("-");
    let id = received.header("webhook-id").unwrap_or("-");
    let signature = match received.signature {
        Signature::Valid => "signature valid".to_owned(),
        Signature::Missing => "signature MISSING".to_owned(),
        Signature::Unchecked => "signature not checked".to_owned(),
        Signature::Invalid(error) => format!("signature INVALID: {error}"),
    };
    let place = received.path.trim_start_matches('/');
    if as_json {
        let valid = received.signature == Signature::Valid;
        let line = json!({
            "id": id, "type": kind, "receiver": place, "signature_valid": valid, "body": body,
        });
        return line.to_string();
    }
    let now = engine::clock::real_now().to_string();
    let time = now.get(11..19).unwrap_or_default();
    format!("{time}  {place:<12}  {kind:<34}  {id}  {signature}")
}
