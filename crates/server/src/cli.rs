//! The command line. stdout is data, stderr is talk; 0 done, 1 the answer is bad, 2 wrong usage.
//!
//! One file a verb. There is no verb for what one API call does.

mod backup;
mod client;
mod clock;
mod completion;
mod config;
mod copy;
mod dev;
mod doctor;
mod flags;
mod listen;
mod migrate;
mod openapi;
mod out;
mod progress;
mod restore;
mod serve;
mod trigger;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::config::{Config, Texts};
use crate::node::NodeError;
use flags::Flags;

/// Billing and metering for software that sells by use.
#[derive(Parser)]
#[command(name = "farebox", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Dev(dev::Args),
    Serve(serve::Args),
    Listen(listen::Args),
    Trigger(trigger::Args),
    Clock(clock::Args),
    Verify(verify::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Copy(copy::Args),
    Migrate(migrate::Args),
    Config(config::Args),
    Openapi(openapi::Args),
    Completion(completion::Args),
    Doctor(doctor::Args),
}

/// Why a verb did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It ran, and the answer is bad.
    #[error("{0}")]
    Bad(String),
    /// Wrong usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// Whoever reads our output went away; nothing is wrong.
    #[error("the output was closed")]
    Closed,
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Failure {
        Failure::Bad(error.to_string())
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Failure {
        Failure::Bad(error.to_string())
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        Failure::Bad(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Bad(error.to_string()),
        }
    }
}

/// What every verb gets: the settings, as texts and as types.
pub struct Context {
    pub texts: Texts,
    pub config: Config,
}

/// Runs the verb that the process was started with.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            out::say(&format!("farebox: {failure}"));
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let texts = crate::config::load(&cli.flags.given(), cli.flags.config.as_deref())?;
    for warning in &texts.warnings {
        out::say(&format!("farebox: {warning}"));
    }
    let config = texts.parse()?;
    let context = Context { texts, config };
    match cli.verb {
        Verb::Dev(args) => dev::run(&context, &args),
        Verb::Serve(args) => serve::run(&context, &args),
        Verb::Listen(args) => listen::run(&context, &args),
        Verb::Trigger(args) => trigger::run(&context, &args),
        Verb::Clock(args) => clock::run(&context, &args),
        Verb::Doctor(args) => doctor::run(&context, &args),
        Verb::Verify(args) => verify::run(&context, &args),
        Verb::Backup(args) => backup::run(&context, &args),
        Verb::Restore(args) => restore::run(&context, &args),
        Verb::Copy(args) => copy::run(&context, &args),
        Verb::Migrate(args) => migrate::run(&context, &args),
        Verb::Config(args) => config::run(&context, &args),
        Verb::Openapi(args) => openapi::run(&args),
        Verb::Completion(args) => completion::run(&args),
    }
}

/// Runs asynchronous work to its end on a runtime of its own.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // Threads that share one core only wake each other.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut runtime = if cores == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    runtime.enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_verb_has_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.starts_with("Example:"), "{} has no example", verb.get_name());
            assert!(verb.get_about().is_some(), "{} does not say what it does", verb.get_name());
        }
    }
}
