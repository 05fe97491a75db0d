//! Every setting there is: its word, its variable, whether it is a secret, and its default.

/// One setting. The flag is the word in kebab case, the key of `farebox.toml` the word itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    pub variable: &'static str,
    /// Shown masked, never a flag, and with a twin variable that names a file.
    pub secret: bool,
    pub default: Option<&'static str>,
}

const fn plain(name: &'static str, variable: &'static str, default: Option<&'static str>) -> Key {
    Key { name, variable, secret: false, default }
}

const fn secret(name: &'static str, variable: &'static str) -> Key {
    Key { name, variable, secret: true, default: None }
}

/// In the order in which `farebox config` prints them.
pub const KEYS: &[Key] = &[
    plain("listen", "FAREBOX_LISTEN", Some("127.0.0.1:7070")),
    plain("data_dir", "FAREBOX_DATA_DIR", Some("./farebox-data")),
    plain("database_url", "FAREBOX_DATABASE_URL", None),
    plain("database_read_url", "FAREBOX_DATABASE_READ_URL", None),
    plain("public_url", "FAREBOX_PUBLIC_URL", None),
    secret("api_key", "FAREBOX_API_KEY"),
    secret("encryption_key", "FAREBOX_ENCRYPTION_KEY"),
    plain("allow_private_targets", "FAREBOX_ALLOW_PRIVATE_TARGETS", Some("")),
    plain("webhook_deny_targets", "FAREBOX_WEBHOOK_DENY_TARGETS", Some("")),
    plain("webhook_proxy", "FAREBOX_WEBHOOK_PROXY", None),
    plain("webhook_max_in_flight", "FAREBOX_WEBHOOK_MAX_IN_FLIGHT", Some("512")),
    plain("stop_delay_seconds", "FAREBOX_STOP_DELAY_SECONDS", Some("0")),
    plain("webhook_retention_days", "FAREBOX_WEBHOOK_RETENTION_DAYS", Some("90")),
    plain("stripe_api_base", "FAREBOX_STRIPE_API_BASE", Some("https://api.stripe.com")),
    plain("log", "FAREBOX_LOG", Some("info")),
    plain("log_format", "FAREBOX_LOG_FORMAT", None),
    secret("listen_secret", "FAREBOX_LISTEN_SECRET"),
    plain("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", None),
];

/// Variables of ours that are no setting.
pub const OTHER_VARIABLES: &[&str] = &["FAREBOX_CONFIG", "FAREBOX_BINARY"];

impl Key {
    pub fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The variable that names a file with the secret.
    pub fn file_variable(&self) -> String {
        format!("{}_FILE", self.variable)
    }

    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}
