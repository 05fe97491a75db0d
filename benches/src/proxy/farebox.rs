//! A `farebox serve` on a core of its own, with a paywall and users with money. Authorization,
//! holds, metering and events are on, as delivered.

use std::net::SocketAddr;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Wire;
use super::cores;
use crate::server::{self, API_KEY, Server};

/// Users, each with a wallet that no run can empty.
pub const USERS: usize = 1_000;
const CREDITS: &str = "1000000000";
/// 32 bytes in base64.
const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub struct Farebox {
    pub server: Server,
    /// Key of the paywall that holds before and charges after each call, on disk.
    pub strict: String,
    /// Of one that promises leased money, with what was used on disk before the last byte.
    pub lease: String,
    /// Of one that writes a batch of usage at a time.
    pub batch: String,
    _folder: TempDir,
}

impl Farebox {
    pub async fn start(provider: SocketAddr) -> anyhow::Result<Farebox> {
        let folder = tempfile::tempdir()?;
        let mut command = cores::command(cores::PROXY, server::binary()?);
        command.env("FAREBOX_ALLOW_PRIVATE_TARGETS", "127.0.0.0/8");
        command.env("FAREBOX_ENCRYPTION_KEY", SEAL_KEY);
        let server = Server::start_with(folder.path(), command).await?;
        let immediate = json!({ "mode": "immediate" });
        let strict = paywall(server.address, provider, &immediate).await?;
        let lease = json!({ "mode": "lease", "strict": true });
        let lease = paywall(server.address, provider, &lease).await?;
        let batch = json!({ "mode": "lease", "strict": false });
        let batch = paywall(server.address, provider, &batch).await?;
        Ok(Farebox { server, strict, lease, batch, _folder: folder })
    }
}

/// A paywall whose users have money; its key.
async fn paywall(
    address: SocketAddr,
    provider: SocketAddr,
    settlement: &Value,
) -> anyhow::Result<String> {
    let mut wire = Wire::open(address).await?;
    let owner = format!("x-api-key: {API_KEY}");
    let body = json!({ "name": "Bench", "currency": "USD", "settlement": settlement });
    let answer = call(&mut wire, ("POST", "/v1/paywalls"), &owner, &body).await?;
    let id = answer["id"].as_str().context("a paywall without an id")?;
    let key = answer["apiKey"].as_str().context("a paywall without a key")?.to_owned();
    let base = format!("http://{provider}/v1");
    let body = json!({ "kind": "openai", "baseUrl": base, "key": "sk-fake" });
    let path = format!("/v1/paywalls/{id}/providers/openai");
    call(&mut wire, ("PUT", &path), &owner, &body).await?;
    let payer = format!("authorization: Bearer {key}");
    for number in 0..USERS {
        let body = json!({ "user": user(number), "amount": CREDITS });
        call(&mut wire, ("POST", "/v1/user/balance/deposit"), &payer, &body).await?;
    }
    Ok(key)
}

/// The external id of a user.
pub fn user(number: usize) -> String {
    format!("user-{number}")
}

async fn call(
    wire: &mut Wire,
    (method, path): (&str, &str),
    key: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let body = body.to_string();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: farebox\r\n{key}");
    let kind = "content-type: application/json";
    let text = format!("{head}\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}");
    let answer = String::from_utf8_lossy(wire.exchange(text.as_bytes()).await?).into_owned();
    let right = answer.starts_with("HTTP/1.1 20");
    anyhow::ensure!(right, "{method} {path}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok(serde_json::from_str(body).unwrap_or_default())
}
