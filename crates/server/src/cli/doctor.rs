//! `farebox doctor`: looks at settings, files and server, and says what to do about each fault.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::client::Client;
use super::{Context, Failure, block_on, out};
use crate::config::Config;

/// Check settings, database and server; exit 1 when something is wrong
#[derive(clap::Args)]
#[command(after_help = "Example: farebox doctor")]
pub struct Args {
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

struct Check {
    name: &'static str,
    /// What is wrong, and what to do.
    problem: Option<String>,
    /// A problem stops something.
    fatal: bool,
}

fn passed(name: &'static str) -> Check {
    Check { name, problem: None, fatal: false }
}

fn wrong(name: &'static str, problem: impl Into<String>) -> Check {
    Check { name, problem: Some(problem.into()), fatal: true }
}

fn doubtful(name: &'static str, problem: impl Into<String>) -> Check {
    Check { name, problem: Some(problem.into()), fatal: false }
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let config = &context.config;
    let mut checks = vec![database(config), encryption_key(config), public_url(config)];
    checks.extend(context.texts.warnings.iter().map(|text| doubtful("variables", text)));
    checks.extend(block_on(async { Ok(server(context).await) })?);
    print(args.json, &checks)?;
    match checks.iter().filter(|check| check.fatal).count() {
        0 => Ok(()),
        count => Err(Failure::Bad(format!("{count} of {} checks failed", checks.len()))),
    }
}

fn print(json: bool, checks: &[Check]) -> Result<(), Failure> {
    let result = |check: &Check| match (&check.problem, check.fatal) {
        (None, _) => "ok",
        (Some(_), false) => "warning",
        (Some(_), true) => "failed",
    };
    if json {
        let list: Vec<Value> = checks
            .iter()
            .map(|one| json!({ "name": one.name, "result": result(one), "problem": one.problem }))
            .collect();
        return out::line(&json!({ "checks": list }).to_string());
    }
    for check in checks {
        let problem = check.problem.as_deref().unwrap_or_default();
        out::line(format!("{:<9}{:<16}{problem}", result(check), check.name).trim_end())?;
    }
    Ok(())
}

fn database(config: &Config) -> Check {
    if let Some(path) = config.database.path().filter(|path| !path.exists()) {
        let path = path.display();
        return doubtful("database", format!("{path} does not exist yet; the start makes it"));
    }
    match store::Database::migrations_of(&config.database) {
        Err(error) => wrong("database", error.to_string()),
        Ok(all) if all.iter().any(|(_, applied)| !applied) => doubtful(
            "database",
            "migrations are pending; the start of `farebox serve` applies them",
        ),
        Ok(_) => passed("database"),
    }
}

fn encryption_key(config: &Config) -> Check {
    let name = "encryption key";
    let make = "make one with `openssl rand -base64 32`";
    match &config.encryption_key {
        None => doubtful(name, format!("FAREBOX_ENCRYPTION_KEY is not set; {make}")),
        Some(text) if STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 32) => passed(name),
        Some(_) => wrong(name, format!("it is not 32 bytes in base64; {make}")),
    }
}

fn public_url(config: &Config) -> Check {
    let open = !config.listen.ip().is_loopback();
    let local = ["//127.", "//localhost", "//0.0.0.0", "//[::"]
        .iter()
        .any(|part| config.public_url.contains(part));
    if open && local {
        let problem = "links will name this machine only; set FAREBOX_PUBLIC_URL";
        return doubtful("public url", problem);
    }
    passed("public url")
}

async fn server(context: &Context) -> Vec<Check> {
    let client = match Client::new(context) {
        Ok(client) => client,
        Err(failure) => return vec![doubtful("server", failure.to_string())],
    };
    if let Err(failure) = client.get("/readyz").await {
        return vec![wrong("server", failure.to_string())];
    }
    let clock = client.get("/v1/test-clock").await;
    let key = match clock {
        Ok(_) => passed("api key"),
        Err(failure) => wrong("api key", failure.to_string()),
    };
    vec![passed("server"), key]
}
