//! `farebox completion`: words for the shell.

use clap::CommandFactory as _;

use super::{Cli, Failure, out};

/// Print the completion script of a shell
#[derive(clap::Args)]
#[command(after_help = "Example: farebox completion bash > farebox.bash")]
pub struct Args {
    shell: clap_complete::Shell,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "farebox", &mut script);
    out::line(String::from_utf8_lossy(&script).trim_end())
}
