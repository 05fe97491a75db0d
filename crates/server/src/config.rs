//! Settings, read once: flag, then environment variable, then `farebox.toml`, then the default.
//!
//! The only module that reads the environment. A mistake stops the start and names its key.

mod keys;
mod parse;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use store::Location;

pub use keys::{KEYS, Key};

const FILE_NAME: &str = "farebox.toml";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{key}: {text:?} cannot be read; give {right}")]
    Value { key: String, text: String, right: String },
    #[error("{file}: there is no setting {key:?}; `farebox config` lists them")]
    UnknownKey { file: String, key: String },
    #[error("{file}: {problem}")]
    File { file: String, problem: String },
    #[error("{0} and {0}_FILE are both set; keep one")]
    Both(String),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Variable(String),
    File(String),
    Default,
    /// `farebox dev` made it.
    Dev,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Flag => f.write_str("flag"),
            Origin::Variable(name) | Origin::File(name) => f.write_str(name),
            Origin::Default => f.write_str("default"),
            Origin::Dev => f.write_str("farebox dev"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Texts of the settings with their origins, before they are read as types.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    values: BTreeMap<&'static str, (String, Origin)>,
    /// What deserves a warning but stops nothing.
    pub warnings: Vec<String>,
}

/// What is in force.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub database: Location,
    /// A hot standby of it, for lists and reports.
    pub database_read: Option<String>,
    /// Base of the links that are handed out, without a slash at its end.
    pub public_url: String,
    pub api_key: Option<String>,
    pub encryption_key: Option<String>,
    pub allow_private_targets: Vec<IpNet>,
    pub webhook_deny_targets: Vec<IpNet>,
    pub webhook_proxy: Option<String>,
    pub webhook_max_in_flight: usize,
    pub webhook_retention_days: u32,
    /// Between the word to stop and the end, for balancers to look elsewhere.
    pub stop_delay: Duration,
    pub stripe_api_base: String,
    pub log: String,
    pub log_format: LogFormat,
    pub listen_secret: Option<String>,
    pub otlp_endpoint: Option<String>,
}

/// Reads the process's environment and the file, under the flags that were given.
pub fn load(flags: &[(&'static str, String)], file: Option<&Path>) -> Result<Texts, ConfigError> {
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let named = variables.get("FAREBOX_CONFIG").map(PathBuf::from);
    let file = file.map(Path::to_owned).or(named);
    gather(flags, &variables, file.as_deref())
}

/// A database that is named beside the settings, by the flag `name`.
pub fn location(name: &str, url: &str) -> Result<Location, ConfigError> {
    parse::database(name, Some(url), Path::new("."))
}

/// Whether the user asked for output without colours.
pub fn wants_no_colour() -> bool {
    std::env::vars_os().any(|(name, value)| name == "NO_COLOR" && !value.is_empty())
}

fn gather(
    flags: &[(&'static str, String)],
    variables: &BTreeMap<String, String>,
    file: Option<&Path>,
) -> Result<Texts, ConfigError> {
    let mut texts = Texts::default();
    for key in KEYS {
        if let Some(default) = key.default {
            texts.put(key, default.to_owned(), Origin::Default);
        }
    }
    for (key, text) in read_file(file)? {
        let name = file.unwrap_or(Path::new(FILE_NAME)).display().to_string();
        texts.put(key, text, Origin::File(name));
    }
    for key in KEYS {
        if let Some((text, name)) = read_variable(key, variables)? {
            texts.put(key, text, Origin::Variable(name));
        }
    }
    for (name, text) in flags {
        if let Some(key) = Key::named(name) {
            texts.put(key, text.clone(), Origin::Flag);
        }
    }
    texts.warnings = unknown_variables(variables);
    Ok(texts)
}

/// A secret's variable may be replaced by one that names a file.
fn read_variable(
    key: &Key,
    variables: &BTreeMap<String, String>,
) -> Result<Option<(String, String)>, ConfigError> {
    let direct = variables.get(key.variable).filter(|text| !text.is_empty());
    let twin = key.file_variable();
    let file = variables.get(&twin).filter(|_| key.secret);
    match (direct, file) {
        (Some(_), Some(_)) => Err(ConfigError::Both(key.variable.to_owned())),
        (Some(text), None) => Ok(Some((text.clone(), key.variable.to_owned()))),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File {
                file: path.clone(),
                problem: format!("cannot be read, but {twin} names it: {error}"),
            })?;
            Ok(Some((text.trim().to_owned(), twin)))
        }
        (None, None) => Ok(None),
    }
}

/// Names of ours that mean nothing: most likely a spelling mistake.
fn unknown_variables(variables: &BTreeMap<String, String>) -> Vec<String> {
    let known = |name: &str| {
        keys::OTHER_VARIABLES.contains(&name)
            || KEYS
                .iter()
                .any(|key| key.variable == name || (key.secret && key.file_variable() == name))
    };
    variables
        .keys()
        .filter(|name| name.starts_with("FAREBOX_") && !known(name))
        .map(|name| format!("{name} is no setting of Farebox; `farebox config` lists them"))
        .collect()
}

/// The file's settings. Without a name the file in this folder counts, if there is one.
fn read_file(file: Option<&Path>) -> Result<Vec<(&'static Key, String)>, ConfigError> {
    let path = file.unwrap_or(Path::new(FILE_NAME));
    let name = path.display().to_string();
    let problem = |problem: String| ConfigError::File { file: name.clone(), problem };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(problem(error.to_string())),
    };
    let table: toml::Table = toml::from_str(&text).map_err(|error| problem(error.to_string()))?;
    let setting = |(word, value): (String, toml::Value)| {
        let unknown = || ConfigError::UnknownKey { file: name.clone(), key: word.clone() };
        let key = Key::named(&word).ok_or_else(unknown)?;
        Ok((key, toml_text(&word, &value)?))
    };
    table.into_iter().map(setting).collect()
}

/// A list is the same as its parts with commas between.
fn toml_text(word: &str, value: &toml::Value) -> Result<String, ConfigError> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Array(parts) => {
            let parts: Result<Vec<String>, _> =
                parts.iter().map(|part| toml_text(word, part)).collect();
            Ok(parts?.join(","))
        }
        other => Err(parse::bad(word, &other.to_string(), "a text, a number or a list")),
    }
}

impl Texts {
    fn put(&mut self, key: &'static Key, text: String, origin: Origin) {
        self.values.insert(key.name, (text, origin));
    }

    /// Sets what nothing else has set; how `farebox dev` brings its own defaults.
    pub fn offer(&mut self, name: &str, text: &str) {
        let Some(key) = Key::named(name) else { return };
        if self.values.get(name).is_none_or(|(_, origin)| *origin == Origin::Default) {
            self.put(key, text.to_owned(), Origin::Dev);
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(text, _)| text.as_str())
    }

    /// Each setting with its value (secrets masked) and where it comes from.
    pub fn in_force(&self, config: &Config) -> Vec<(&'static Key, String, Origin)> {
        let shown = |key: &'static Key| match self.values.get(key.name) {
            Some((text, origin)) if key.secret => (key, domain::key::mask(text), origin.clone()),
            Some((text, origin)) => (key, text.clone(), origin.clone()),
            None => (key, config.derived(key.name), Origin::Default),
        };
        KEYS.iter().map(shown).collect()
    }

    /// Reads the texts as types.
    pub fn parse(&self) -> Result<Config, ConfigError> {
        let text = |name: &str| self.get(name).unwrap_or_default();
        let owned = |name: &str| self.get(name).map(str::to_owned);
        let networks = |name: &str| parse::networks(name, text(name));
        let listen = parse::address("listen", text("listen"))?;
        let data_dir = PathBuf::from(text("data_dir"));
        let public = self.get("public_url").map(|text| parse::base_url("public_url", text));
        let proxy = self.get("webhook_proxy").map(|text| parse::base_url("webhook_proxy", text));
        let terminal = std::io::stderr().is_terminal();
        Ok(Config {
            database: parse::database("database_url", self.get("database_url"), &data_dir)?,
            database_read: parse::replica("database_read_url", self.get("database_read_url"))?,
            public_url: public.transpose()?.unwrap_or_else(|| format!("http://{listen}")),
            listen,
            data_dir,
            api_key: owned("api_key"),
            encryption_key: owned("encryption_key"),
            allow_private_targets: networks("allow_private_targets")?,
            webhook_deny_targets: networks("webhook_deny_targets")?,
            webhook_proxy: proxy.transpose()?,
            webhook_max_in_flight: parse::in_flight(
                "webhook_max_in_flight",
                text("webhook_max_in_flight"),
            )?,
            stop_delay: parse::stop_delay("stop_delay_seconds", text("stop_delay_seconds"))?,
            webhook_retention_days: parse::days(
                "webhook_retention_days",
                text("webhook_retention_days"),
            )?,
            stripe_api_base: parse::base_url("stripe_api_base", text("stripe_api_base"))?,
            log: text("log").to_owned(),
            log_format: parse::log_format("log_format", self.get("log_format"), terminal)?,
            listen_secret: owned("listen_secret"),
            otlp_endpoint: owned("otlp_endpoint"),
        })
    }
}

impl Config {
    /// What follows from other settings where nothing was set.
    fn derived(&self, name: &str) -> String {
        match name {
            "database_url" => match &self.database {
                Location::File(path) => format!("sqlite://{}", path.display()),
                server @ Location::Server(_) => server.to_string(),
            },
            "public_url" => self.public_url.clone(),
            "log_format" => match self.log_format {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
        let file = file("listen = \"127.0.0.1:1\"\nlog = \"warn\"\ndata_dir = \"/f\"\n");
        let variables = variables(&[("FAREBOX_LISTEN", "127.0.0.1:2"), ("FAREBOX_LOG", "debug")]);
        let flags = [("listen", "127.0.0.1:3".to_owned())];
        let texts = gather(&flags, &variables, Some(file.path())).unwrap();
        let config = texts.parse().unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.log, "debug");
        assert_eq!(config.data_dir, Path::new("/f"));
        assert_eq!(config.webhook_max_in_flight, 512);
        assert_eq!(config.database, Location::file("/f/farebox.db"));
        assert_eq!(config.public_url, "http://127.0.0.1:3");
    }

    #[test]
    fn mistakes_stop_the_start_and_name_the_key() {
        let table = [
            ("listn = \"x\"", "listn"),
            ("listen = \"here\"", "listen"),
            ("log_format = \"xml\"", "log_format"),
            ("webhook_max_in_flight = 0", "webhook_max_in_flight"),
            ("webhook_retention_days = 0", "webhook_retention_days"),
            ("stop_delay_seconds = -1", "stop_delay_seconds"),
            ("allow_private_targets = [\"10.0.0.0/8\", \"x\"]", "allow_private_targets"),
            ("database_url = \"mysql://h/d\"", "database_url"),
            ("public_url = \"billing\"", "public_url"),
            ("log = true", "log"),
        ];
        for (text, key) in table {
            let file = file(text);
            let gathered = gather(&[], &variables(&[]), Some(file.path()));
            let error = gathered.and_then(|texts| texts.parse()).unwrap_err();
            assert!(error.to_string().contains(key), "{text}: {error}");
        }
        assert!(gather(&[], &variables(&[]), Some(Path::new("/no/such/file"))).is_err());
    }

    #[test]
    fn a_secret_may_stand_in_a_file_but_not_twice() {
        let file = file("fbx_a_secret_of_the_operator_1234\n");
        let path = file.path().to_str().unwrap().to_owned();
        let from_file = variables(&[("FAREBOX_API_KEY_FILE", path.as_str())]);
        let texts = gather(&[], &from_file, None).unwrap();
        let config = texts.parse().unwrap();
        assert_eq!(config.api_key.as_deref(), Some("fbx_a_secret_of_the_operator_1234"));
        let shown = texts.in_force(&config);
        let (_, text, origin) = shown.iter().find(|(key, ..)| key.name == "api_key").unwrap();
        assert_eq!(text, "fbx_a_secret…1234");
        assert_eq!(origin.to_string(), "FAREBOX_API_KEY_FILE");
        let both = variables(&[("FAREBOX_API_KEY_FILE", path.as_str()), ("FAREBOX_API_KEY", "x")]);
        assert!(matches!(gather(&[], &both, None), Err(ConfigError::Both(_))));
    }

    #[test]
    fn an_unknown_variable_is_a_warning() {
        let texts = gather(&[], &variables(&[("FAREBOX_LISTN", "x"), ("HOME", "/")]), None);
        let texts = texts.unwrap();
        assert_eq!(texts.warnings.len(), 1);
        assert!(texts.warnings[0].contains("FAREBOX_LISTN"));
    }
}
