//! `farebox restore`: puts a backup in the place of the embedded database. The server must not run.

use std::path::{Path, PathBuf};

use store::Database;

use super::{Context, Failure, out};
use crate::node::make_folder;

/// Put a backup in the place of the database; stop the server first
#[derive(clap::Args)]
#[command(after_help = "Example: farebox restore farebox-backup.db --yes")]
pub struct Args {
    /// A file that `farebox backup` made
    file: PathBuf,
    /// Replace an existing database without asking
    #[arg(long)]
    yes: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let target = &context.config.database;
    if !args.file.is_file() {
        return Err(Failure::Usage(format!("there is no file {}", args.file.display())));
    }
    // A backup that does not open must not replace anything.
    Database::open(&args.file, false)?;
    drop(std::fs::remove_file(beside(&args.file, "-wal")));
    drop(std::fs::remove_file(beside(&args.file, "-shm")));
    if target.exists() && !args.yes {
        let question = format!("Replace {}? What is in it is lost.", target.display());
        if !out::confirm(&question)? {
            return Err(Failure::Usage(format!(
                "{} exists; give --yes to replace it",
                target.display()
            )));
        }
    }
    make_folder(&context.config.data_dir)?;
    // The new file is whole before it takes the old one's name.
    let fresh = beside(target, ".restoring");
    std::fs::copy(&args.file, &fresh)?;
    std::fs::File::open(&fresh)?.sync_all()?;
    for tail in ["-wal", "-shm"] {
        drop(std::fs::remove_file(beside(target, tail)));
    }
    std::fs::rename(&fresh, target)?;
    out::line(&format!("{}: restored", target.display()))
}

fn beside(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(tail);
    PathBuf::from(name)
}
