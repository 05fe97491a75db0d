//! `farebox clock`: reads or moves the test clock of a development environment.

use domain::time::{Timestamp, parse_distance_ms};
use serde_json::{Value, json};

use super::client::Client;
use super::{Context, Failure, block_on, out};

/// Show or move the test clock of a development environment; only forward
#[derive(clap::Args)]
#[command(after_help = "Example: farebox clock advance 1d")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// One JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Show how the clock stands
    Show,
    /// Attach a test clock
    Start {
        /// Where it begins; now when left out
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// It stands still until it is moved
        #[arg(long)]
        frozen: bool,
    },
    /// Move it by a distance such as 1d, 2h or 90s
    Advance { by: String },
    /// Move it to a time such as 2026-03-01T00:00:00Z
    Set { to: String },
    /// Return to the world's clock
    Remove,
}

const PATH: &str = "/v1/test-clock";
const ADVANCE: &str = "/v1/test-clock/advance";

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let (path, body) = match &args.action {
        None | Some(Action::Show) => (PATH, None),
        Some(Action::Start { at, frozen }) => {
            at.as_deref().map(time).transpose()?;
            (PATH, Some(json!({ "at": at, "frozen": frozen })))
        }
        Some(Action::Advance { by }) => {
            parse_distance_ms(by).map_err(|error| Failure::Usage(format!("{by:?} {error}")))?;
            (ADVANCE, Some(json!({ "by": by })))
        }
        Some(Action::Set { to }) => (ADVANCE, Some(json!({ "to": time(to)? }))),
        Some(Action::Remove) => {
            block_on(async { Client::new(context)?.delete(PATH).await })?;
            (PATH, None)
        }
    };
    let standing = block_on(async {
        let client = Client::new(context)?;
        match body {
            Some(body) => client.post(path, body).await,
            None => client.get(path).await,
        }
    })?;
    print(args.json, &standing)
}

fn time(text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text).map_err(|error| Failure::Usage(format!("{text:?} {error}")))
}

fn print(json: bool, standing: &Value) -> Result<(), Failure> {
    if json {
        return out::line(&standing.to_string());
    }
    let word = |name: &str| standing.get(name).and_then(Value::as_str).unwrap_or("-");
    out::line(&format!("{}  {}  next due {}", word("now"), word("mode"), word("next_due_at")))
}
