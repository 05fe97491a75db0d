//! Settings as flags: the same words as in `farebox.toml`. Secrets are never flags.

use std::path::PathBuf;

#[derive(clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Read settings from this file instead of ./farebox.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Folder of the embedded database
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Database, as sqlite://PATH or postgres://…
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Hot standby of the database, for lists and reports
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    database_read_url: Option<String>,
    /// Base of the links that are handed out; where client verbs find the server
    #[arg(long, visible_alias = "url", global = true, value_name = "URL")]
    public_url: Option<String>,
    /// Private networks that webhooks may reach
    #[arg(long, global = true, value_name = "NETWORKS")]
    allow_private_targets: Option<String>,
    /// Networks that webhooks may never reach
    #[arg(long, global = true, value_name = "NETWORKS", hide_short_help = true)]
    webhook_deny_targets: Option<String>,
    /// Proxy for webhooks
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    webhook_proxy: Option<String>,
    /// Webhooks in flight at a time
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    webhook_max_in_flight: Option<String>,
    /// How long a server that is told to stop says so, at /readyz, before it does
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true)]
    stop_delay_seconds: Option<String>,
    /// Days for which events and deliveries are kept
    #[arg(long, global = true, value_name = "DAYS", hide_short_help = true)]
    webhook_retention_days: Option<String>,
    /// Base URL of Stripe
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    stripe_api_base: Option<String>,
    /// What is logged: a level, or target=level pairs
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Flags {
    /// The flags that were given, by the words of the settings.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("listen", &self.listen),
            ("data_dir", &self.data_dir),
            ("database_url", &self.database_url),
            ("database_read_url", &self.database_read_url),
            ("public_url", &self.public_url),
            ("allow_private_targets", &self.allow_private_targets),
            ("webhook_deny_targets", &self.webhook_deny_targets),
            ("webhook_proxy", &self.webhook_proxy),
            ("webhook_max_in_flight", &self.webhook_max_in_flight),
            ("stop_delay_seconds", &self.stop_delay_seconds),
            ("webhook_retention_days", &self.webhook_retention_days),
            ("stripe_api_base", &self.stripe_api_base),
            ("log", &self.log),
            ("log_format", &self.log_format),
        ];
        all.into_iter().filter_map(|(name, flag)| Some((name, flag.clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use crate::config::KEYS;

    #[test]
    fn every_setting_that_is_no_secret_is_a_flag_in_kebab_case() {
        let command = super::super::Cli::command();
        for key in KEYS.iter().filter(|key| !key.secret && key.variable.starts_with("FAREBOX_")) {
            let flag = key.flag();
            let found = command
                .get_arguments()
                .any(|arg| arg.get_long().is_some_and(|long| flag.trim_start_matches('-') == long));
            assert!(found, "{flag}");
        }
    }
}
