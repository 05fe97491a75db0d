//! Where words go: data to stdout, talk to stderr. The only place that writes to either.

use std::io::{self, IsTerminal as _, Write as _};

use super::Failure;

/// A line of data.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// A line of talk. Whether anyone reads it changes nothing.
pub fn say(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Asks on the terminal; without one the answer is no.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut talk = io::stderr().lock();
    write!(talk, "{question} [y/N] ")?;
    talk.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whether stderr may be coloured.
pub fn colour() -> bool {
    io::stderr().is_terminal() && !crate::config::wants_no_colour()
}
