//! `farebox config`: what is in force, where it comes from, and secrets masked.

use serde_json::json;

use super::{Context, Failure, out};

/// Print every setting, where it comes from, and secrets masked
#[derive(clap::Args)]
#[command(after_help = "Example: farebox config --json")]
pub struct Args {
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let settings = context.texts.in_force(&context.config);
    if args.json {
        let list: Vec<_> = settings
            .iter()
            .map(|(key, value, origin)| {
                json!({
                    "name": key.name,
                    "variable": key.variable,
                    "value": value,
                    "origin": origin.to_string(),
                })
            })
            .collect();
        return out::line(&json!({ "settings": list }).to_string());
    }
    for (key, value, origin) in settings {
        let shown = if value.is_empty() { "-" } else { value.as_str() };
        out::line(&format!("{:<24}{shown:<44}  {origin}", key.name))?;
    }
    Ok(())
}
