//! Texts of settings as types. Whatever cannot be read names its key and what would be right.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use store::Location;
use url::Url;

use super::{ConfigError, LogFormat};

pub fn bad(key: &str, text: &str, right: &str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), text: text.to_owned(), right: right.to_owned() }
}

pub fn address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| bad(key, text, "an address and a port such as 127.0.0.1:7070"))
}

/// Networks, separated by commas; a single address is a network of one.
pub fn networks(key: &str, text: &str) -> Result<Vec<IpNet>, ConfigError> {
    let right = "networks such as 10.0.0.0/8,127.0.0.1, separated by commas";
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let network = |part: &str| {
        let single = || part.parse::<std::net::IpAddr>().map(IpNet::from).ok();
        part.parse().ok().or_else(single).ok_or_else(|| bad(key, part, right))
    };
    parts.map(network).collect()
}

/// An http or https base without a slash at its end.
pub fn base_url(key: &str, text: &str) -> Result<String, ConfigError> {
    let right = "a URL such as https://billing.example.com";
    let url = Url::parse(text).map_err(|_| bad(key, text, right))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad(key, text, right));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The embedded database's file, or a server's URL.
pub fn database(key: &str, text: Option<&str>, data_dir: &Path) -> Result<Location, ConfigError> {
    let Some(text) = text else { return Ok(Location::file(data_dir.join("farebox.db"))) };
    let is_server = ["postgres://", "postgresql://"].iter().any(|start| text.starts_with(start));
    match text.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() => Ok(Location::file(path)),
        None if is_server => Ok(Location::Server(text.to_owned())),
        _ => Err(bad(key, text, "sqlite:// and a path, or postgres:// and a server")),
    }
}

/// The URL of a server that is only read.
pub fn replica(key: &str, text: Option<&str>) -> Result<Option<String>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    match database(key, Some(text), Path::new(".")) {
        Ok(Location::Server(url)) => Ok(Some(url)),
        _ => Err(bad(key, text, "postgres:// and a standby of the database's server")),
    }
}

pub fn in_flight(key: &str, text: &str) -> Result<usize, ConfigError> {
    let number = text.parse().ok().filter(|number| (1..=4_096).contains(number));
    number.ok_or_else(|| bad(key, text, "a number from 1 to 4096"))
}

pub fn stop_delay(key: &str, text: &str) -> Result<Duration, ConfigError> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 600);
    seconds.map(Duration::from_secs).ok_or_else(|| bad(key, text, "seconds from 0 to 600"))
}

pub fn days(key: &str, text: &str) -> Result<u32, ConfigError> {
    let number = text.parse().ok().filter(|number| (1..=3_650).contains(number));
    number.ok_or_else(|| bad(key, text, "a number of days from 1 to 3650"))
}

pub fn log_format(key: &str, text: Option<&str>, terminal: bool) -> Result<LogFormat, ConfigError> {
    match text {
        None if terminal => Ok(LogFormat::Text),
        None | Some("json") => Ok(LogFormat::Json),
        Some("text") => Ok(LogFormat::Text),
        Some(other) => Err(bad(key, other, "text or json")),
    }
}
