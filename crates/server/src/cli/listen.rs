//! `farebox listen`: prints events as they happen, and forwards them to a developer's machine with
//! the headers and signatures of production. It changes nothing on the server.

mod forward;
mod frame;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::task::JoinSet;

use super::client::Client;
use super::{Context, Failure, block_on, out};
use crate::node::stop_signal;
use forward::{Forwarder, Lanes};
use frame::{Frame, Frames};

/// Waits before a broken stream is taken up again.
const RESUME_WAITS_S: [u64; 6] = [1, 2, 4, 8, 16, 30];
/// Events that may be under way; the stream waits behind them.
const UNDER_WAY_MAX: usize = 256;

/// Print events as they happen, and forward them to your machine
#[derive(clap::Args)]
#[command(after_help = "Example: farebox listen --forward-to http://127.0.0.1:3000/webhooks")]
pub struct Args {
    /// Where to; without it events are only printed
    #[arg(long, value_name = "URL")]
    forward_to: Option<String>,
    /// Headers and body of which kind of receiver
    #[arg(long = "as", value_name = "KIND", default_value = "endpoint")]
    #[arg(value_parser = ["endpoint", "subscription"])]
    kind: String,
    /// Event types, separated by commas; * stands for the rest of a name
    #[arg(long, value_name = "LIST")]
    types: Option<String>,
    /// Events of this paywall
    #[arg(long, value_name = "ID")]
    paywall: Option<String>,
    /// Events of this thing, as type:id
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Where to begin: now, start, a cursor or an event id
    #[arg(long, value_name = "PLACE", default_value = "now")]
    after: String,
    /// One more header, as 'Name: value'
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Repeat a failure after 5 s, 30 s and 2 min
    #[arg(long)]
    retry: bool,
    /// Needed for a production environment, whose customers are real
    #[arg(long)]
    live: bool,
    /// One JSON line for each event and its result
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    if args.kind == "subscription" && args.paywall.is_none() {
        return Err(Failure::Usage("--as subscription needs --paywall".to_owned()));
    }
    let client = Client::new(context)?;
    let forwarder = Forwarder::new(context, args)?.map(Arc::new);
    block_on(async {
        must_be_wanted(&client, args.live).await?;
        tokio::select! {
            ended = Box::pin(follow(&client, forwarder, args)) => ended,
            () = stop_signal() => Ok(()),
        }
    })
}

async fn must_be_wanted(client: &Client, live: bool) -> Result<(), Failure> {
    let clock = client.get("/v1/test-clock").await?;
    if clock.get("live") == Some(&Value::Bool(true)) && !live {
        let message = "this is a production environment: real customers' data would reach this \
            machine; give --live if that is meant";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(())
}

fn path(args: &Args) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("after", &args.after);
    let pairs = [("types", &args.types), ("paywall_id", &args.paywall), ("subject", &args.subject)];
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("/v1/webhooks/events/stream?{}", query.finish())
}

/// Follows the stream, and takes it up again where it broke, until the server refuses.
async fn follow(
    client: &Client,
    forwarder: Option<Arc<Forwarder>>,
    args: &Args,
) -> Result<(), Failure> {
    let path = path(args);
    let mut last: Option<String> = None;
    let mut lanes = Lanes::default();
    let mut failures = 0;
    loop {
        let begun = last.clone();
        let ended = read(client, (&path, &mut last), (&forwarder, &mut lanes), args.json).await;
        // What is under way must end before its events could come again.
        lanes.end().await;
        if let Err(failure) = ended
            && is_final(&failure)
        {
            return Err(failure);
        }
        failures = if last == begun { failures + 1 } else { 1 };
        let wait = RESUME_WAITS_S[(failures - 1).min(RESUME_WAITS_S.len() - 1)];
        out::say(&format!("the stream broke; taking it up again in {wait} s"));
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
}

/// Whether trying again cannot help: the output is gone, or the server said no for good.
fn is_final(failure: &Failure) -> bool {
    match failure {
        Failure::Closed | Failure::Usage(_) => true,
        Failure::Bad(text) => text.contains("refused with 4") && !text.contains("with 429"),
    }
}

async fn read(
    client: &Client,
    (path, last): (&str, &mut Option<String>),
    (forwarder, lanes): (&Option<Arc<Forwarder>>, &mut Lanes),
    json: bool,
) -> Result<(), Failure> {
    let answer = client.stream(path, last.as_deref()).await?;
    let mut chunks = answer.bytes_stream();
    let mut frames = Frames::default();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Failure::Bad(super::client::root(&error)))?;
        for frame in frames.feed(&chunk) {
            match frame.event.as_str() {
                "event" => take(&frame, forwarder.as_ref(), lanes, json).await?,
                "error" => return Err(refused(&frame)),
                _ => {}
            }
            if let Some(id) = frame.id {
                *last = Some(id);
            }
        }
    }
    Ok(())
}

fn refused(frame: &Frame) -> Failure {
    let error: Value = serde_json::from_str(&frame.data).unwrap_or(Value::Null);
    let word = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let status = error.get("http_status_code").and_then(Value::as_u64).unwrap_or(500);
    Failure::Bad(format!("the server refused with {status} {}: {}", word("code"), word("message")))
}

async fn take(
    frame: &Frame,
    forwarder: Option<&Arc<Forwarder>>,
    lanes: &mut Lanes,
    json: bool,
) -> Result<(), Failure> {
    let Some(event) = frame::Event::parse(&frame.data) else { return Ok(()) };
    match forwarder {
        None => out::line(&event.line(None, json)),
        Some(forwarder) => {
            while lanes.len() >= UNDER_WAY_MAX {
                lanes.one().await;
            }
            lanes.start(forwarder.clone(), event, json);
            Ok(())
        }
    }
}

/// Tasks of one run.
type Tasks = JoinSet<()>;
