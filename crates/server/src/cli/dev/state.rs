//! What `farebox dev` made, kept in the data folder for this user alone, so that a restart is the
//! same house with the same keys.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::key::{KeyKind, make_key};
use domain::webhook::signature::secret_from_bytes;
use engine::random::Random;
use serde::{Deserialize, Serialize};

use super::super::Failure;

const FILE_NAME: &str = "dev.json";
const SECRET_BYTES: usize = 24;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Where the server was last.
    pub url: String,
    pub encryption_key: String,
    pub api_key: String,
    /// What both receivers are signed with.
    pub webhook_secret: String,
    /// The sink listened here last; the receivers name it.
    pub sink_port: u16,
    /// The provider of models listened here last.
    #[serde(default)]
    pub provider_port: u16,
    pub paywall_key: Option<String>,
    pub wallet: Option<String>,
    pub endpoint: Option<String>,
    pub subscription: Option<String>,
    /// Of the dashboard's first person.
    #[serde(default = "new_password")]
    pub password: String,
}

/// Who signs in to the dashboard of a development server.
pub const EMAIL: &str = "dev@farebox.example";

const PASSWORD_BYTES: usize = 12;

fn new_password() -> String {
    URL_SAFE_NO_PAD.encode(Random::System.bytes::<PASSWORD_BYTES>())
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

impl State {
    /// New keys; nothing is kept yet.
    pub fn new() -> State {
        let random = Random::System;
        State {
            url: String::new(),
            encryption_key: STANDARD.encode(random.bytes::<32>()),
            api_key: make_key(false, KeyKind::Sk, &random.bytes()),
            webhook_secret: secret_from_bytes(&random.bytes::<SECRET_BYTES>()),
            sink_port: 0,
            provider_port: 0,
            paywall_key: None,
            wallet: None,
            endpoint: None,
            subscription: None,
            password: new_password(),
        }
    }

    /// What an earlier start left in the folder.
    pub fn find(folder: &Path) -> Option<State> {
        serde_json::from_slice(&std::fs::read(path(folder)).ok()?).ok()
    }

    /// Replaces the file as a whole, readable for its owner alone.
    pub fn keep(&self, folder: &Path) -> Result<(), Failure> {
        let fresh = folder.join(format!("{FILE_NAME}.new"));
        drop(std::fs::remove_file(&fresh));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(serde_json::to_string_pretty(self).unwrap_or_default().as_bytes())?;
        file.sync_all()?;
        Ok(std::fs::rename(fresh, path(folder))?)
    }
}
