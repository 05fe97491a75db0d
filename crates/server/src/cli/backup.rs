//! `farebox backup`: a copy of the embedded database, while it runs.

use std::path::PathBuf;

use serde_json::json;

use super::{Context, Failure, out};
use crate::node::open_database;

/// Copy the embedded database into a file, while the server runs
#[derive(clap::Args)]
#[command(after_help = "Example: farebox backup farebox-backup.db")]
pub struct Args {
    /// Where to; must not exist yet
    file: PathBuf,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let config = &context.config;
    if let Some(path) = config.database.path().filter(|path| !path.exists()) {
        let path = path.display();
        return Err(Failure::Usage(format!("there is no database at {path}; see --data-dir")));
    }
    open_database(config, false)?.backup(&args.file)?;
    let bytes = std::fs::metadata(&args.file)?.len();
    let file = args.file.display().to_string();
    if args.json {
        return out::line(&json!({ "file": file, "bytes": bytes }).to_string());
    }
    out::line(&format!("{file}: {bytes} bytes"))
}
