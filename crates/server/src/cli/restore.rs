//! `farebox restore`: puts a backup in the place of the embedded database. A server that runs has
//! its lock, and then nothing happens.

use std::path::{Path, PathBuf};

use store::Database;

use super::{Context, Failure, out};
use crate::node::{make_folder, take_lock};

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
    let Some(target) = context.config.database.path() else {
        let message = "a server's database is restored with its own tools, such as pg_restore";
        return Err(Failure::Usage(message.into()));
    };
    if !args.file.is_file() {
        return Err(Failure::Usage(format!("there is no file {}", args.file.display())));
    }
    make_folder(&context.config.data_dir)?;
    let _lock = take_lock(&context.config)?;
    if target.exists() && !args.yes {
        let question = format!("Replace {}? What is in it is lost.", target.display());
        if !out::confirm(&question)? {
            return Err(Failure::Usage(format!(
                "{} exists; give --yes to replace it",
                target.display()
            )));
        }
    }
    // The new file is whole before it takes the old one's name. The backup stays as it is.
    let fresh = beside(target, ".restoring");
    std::fs::copy(&args.file, &fresh)?;
    let ready = Database::ready_to_restore(&fresh);
    for tail in ["-wal", "-shm"] {
        drop(std::fs::remove_file(beside(&fresh, tail)));
    }
    if let Err(error) = ready {
        drop(std::fs::remove_file(&fresh));
        return Err(error.into());
    }
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
