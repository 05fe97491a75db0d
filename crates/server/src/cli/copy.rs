//! `farebox copy`: a whole database into a fresh one, to move from the embedded database to a
//! server or back. It may be killed at any time: the same command goes on.

use std::path::Path;

use serde_json::json;
use store::Location;
use store::copying::{Compared, Copying};

use super::progress::Meter;
use super::{Context, Failure, out, verify};
use crate::config;
use crate::lock::Lock;
use crate::node::{NodeError, lock_of, make_folder};

const PROVEN_TOLD_EVERY: u64 = 1_000_000;

/// Copy a whole database into a fresh one, and prove the copy; stop the server first
#[derive(clap::Args)]
#[command(after_help = "Example: farebox copy --from sqlite://farebox-data/farebox.db \
                        --to postgres://farebox@db.internal/farebox")]
pub struct Args {
    /// The database to copy; without it the one of the settings
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// A fresh database, or an unfinished copy of the same source: then it goes on
    #[arg(long, value_name = "URL")]
    to: String,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let (from, to) = ends(context, args)?;
    let _from = from.path().map(locked).transpose()?;
    let _to = to.path().map(locked).transpose()?;
    let copying = Copying::open(&from, &to, engine::clock::real_now())?;
    if copying.is_resumed() {
        out::say("an earlier copy stopped on its way; it goes on");
    }
    let mut meter = Meter::begin();
    let copied = copying.copy(&mut |at| meter.tell(at))?;
    let speed = meter.end(copied);
    let mut meter = Meter::begin();
    let tables = copying.compare(&mut |at| meter.tell(at))?;
    meter.end(tables.iter().map(|table| table.rows).sum());
    let summaries = engine::verify::database(copying.target(), &mut |rows| {
        if rows.is_multiple_of(PROVEN_TOLD_EVERY) {
            out::say(&format!("{rows} rows proven"));
        }
    })?;
    verify::judge(&summaries)?;
    copying.finish()?;
    if args.json {
        let told = json!({
            "to": to.to_string(), "rows_copied": copied, "rows_per_second": speed,
            "tables": tables.iter().map(shown).collect::<Vec<_>>(), "environments": summaries,
        });
        return out::line(&told.to_string());
    }
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    out::line(&format!(
        "{to}: {rows} rows in {} tables, {copied} of them copied now ({speed} a second); all are \
         the same on both sides, and the books balance",
        tables.len()
    ))
}

/// Where from and where to. They differ, and a file that is copied is there.
fn ends(context: &Context, args: &Args) -> Result<(Location, Location), Failure> {
    let from = match &args.from {
        Some(url) => config::location("--from", url)?,
        None => context.config.database.clone(),
    };
    let to = config::location("--to", &args.to)?;
    if from == to {
        return Err(Failure::Usage("--from and --to are the same database".into()));
    }
    if let Some(path) = from.path().filter(|path| !path.exists()) {
        return Err(Failure::Usage(format!("there is no database at {}", path.display())));
    }
    Ok((from, to))
}

/// A file is nobody else's while it is copied.
fn locked(path: &Path) -> Result<Lock, NodeError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    lock_of(path)
}

fn shown(one: &Compared) -> serde_json::Value {
    json!({ "table": one.table, "rows": one.rows, "checksum": one.checksum })
}
