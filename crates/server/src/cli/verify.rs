//! `farebox verify`: the books' proof over the whole database. Exit 1 names the first bad entry.

use engine::verify::Summary;

use super::{Context, Failure, out};
use crate::node::open_database;

/// Prove that the books balance: exit 1 and the first bad entry when they do not
#[derive(clap::Args)]
#[command(after_help = "Example: farebox verify --data-dir ./farebox-data")]
pub struct Args {
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
    let database = open_database(config, false)?;
    let summaries = engine::verify::database(&database, &mut |rows| {
        out::say(&format!("{rows} rows read"));
    })?;
    if args.json {
        out::line(&serde_json::to_string(&summaries).unwrap_or_default())?;
    } else {
        for summary in &summaries {
            print(summary)?;
        }
    }
    judge(&summaries)
}

/// The first finding is the failure of the whole.
pub(super) fn judge(summaries: &[Summary]) -> Result<(), Failure> {
    match summaries.iter().flat_map(|summary| &summary.findings).next() {
        None => Ok(()),
        Some(first) => Err(Failure::Bad(format!("the books do not balance: {}", first.message))),
    }
}

fn print(summary: &Summary) -> Result<(), Failure> {
    out::line(&format!(
        "{}: {} entries, {} events, {} wallets, log ends at {}: {}",
        summary.environment_id,
        summary.entries,
        summary.events,
        summary.wallets,
        summary.last_position,
        if summary.balanced { "balanced" } else { "NOT BALANCED" },
    ))?;
    for (currency, totals) in &summary.totals {
        let parts: Vec<String> =
            totals.iter().map(|(account, amount)| format!("{account} {amount}")).collect();
        out::line(&format!("  {currency}: {}", parts.join(", ")))?;
    }
    for finding in &summary.findings {
        let id = finding.id.as_deref().unwrap_or("-");
        out::line(&format!("  {} {id} {}", finding.rule, finding.message))?;
    }
    Ok(())
}
