//! A small HTTP client for loads: keep-alive connections, one request at a time on each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::report;

/// What one call sends.
pub struct Ask {
    pub path: &'static str,
    pub key: String,
    pub once: String,
    pub body: String,
}

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection { sender, address })
    }

    pub async fn get(&mut self, path: &str) -> anyhow::Result<u16> {
        let request = Request::get(path).header("host", self.address.to_string());
        Ok(self.send(request.body(Full::default())?).await?.0)
    }

    pub async fn post(&mut self, ask: Ask) -> anyhow::Result<(u16, Bytes)> {
        let request = Request::post(ask.path)
            .header("host", self.address.to_string())
            .header("authorization", format!("Bearer {}", ask.key))
            .header("idempotency-key", ask.once)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(ask.body)))?;
        self.send(request).await
    }

    /// A call of the management API, with a body of JSON; its answer.
    pub async fn call(
        &mut self,
        (method, path): (&str, &str),
        key: &str,
        body: String,
    ) -> anyhow::Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("x-api-key", key)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let (status, answer) = self.send(request).await?;
        anyhow::ensure!((200..300).contains(&status), "{path}: {status} {}", text(&answer));
        Ok(answer)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Bytes)> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// What a run counted.
#[derive(Clone, Debug)]
pub struct Counted {
    pub rate: u64,
    pub p50_us: u32,
    pub p99_us: u32,
}

/// Sends what `ask` makes over `connections` for `length`. Any refusal ends the run.
pub async fn run(
    address: SocketAddr,
    connections: u64,
    length: Duration,
    ask: Arc<dyn Fn(u64) -> Ask + Send + Sync>,
) -> anyhow::Result<Counted> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..connections {
        let (stop, ask) = (stop.clone(), ask.clone());
        let mut connection = Connection::open(address).await?;
        tasks.spawn(async move {
            let (mut number, mut times) = (lane, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                let (status, body) = connection.post(ask(number)).await?;
                times.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
                anyhow::ensure!(is_paid(status, &body), "{status} {}", text(&body));
                number += connections;
            }
            anyhow::Ok(times)
        });
    }
    let began = Instant::now();
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done.context("a connection failed")??);
    }
    let rate = report::rate(u64::try_from(times.len())?, began.elapsed());
    times.sort_unstable();
    let (p50_us, p99_us) = (report::percentile(&times, 500), report::percentile(&times, 990));
    Ok(Counted { rate, p50_us, p99_us })
}

fn is_paid(status: u16, body: &[u8]) -> bool {
    (200..300).contains(&status) && !text(body).contains("\"success\":false")
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
