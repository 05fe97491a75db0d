//! `farebox migrate`: brings the database to this release's schema, or says what is pending.

use serde_json::json;

use super::{Context, Failure, out};
use crate::node::{make_folder, open_database, take_lock};

/// Apply pending migrations
#[derive(clap::Args)]
#[command(after_help = "Example: farebox migrate --status")]
pub struct Args {
    /// List the migrations and change nothing
    #[arg(long)]
    status: bool,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    make_folder(&context.config.data_dir)?;
    let all = if args.status {
        store::Database::migrations_of(&context.config.database)?
    } else {
        migrated(context)?
    };
    if args.json {
        let list: Vec<_> =
            all.iter().map(|(name, applied)| json!({ "name": name, "applied": applied })).collect();
        return out::line(&json!({ "migrations": list }).to_string());
    }
    for (name, applied) in all {
        out::line(&format!("{name}  {}", if applied { "applied" } else { "pending" }))?;
    }
    Ok(())
}

/// The lock is taken where something is to be changed: one process at a time does it.
fn migrated(context: &Context) -> Result<Vec<(&'static str, bool)>, Failure> {
    let config = &context.config;
    let waits = store::Database::migrations_of(&config.database)?.iter().any(|(_, done)| !done);
    let _lock = waits.then(|| take_lock(config)).transpose()?.flatten();
    Ok(open_database(config, true)?.migrations()?)
}
