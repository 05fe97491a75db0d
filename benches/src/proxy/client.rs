//! The load: keep-alive connections over plain TCP that count whole answers. A library for HTTP
//! would cost more than the provider it shares a core with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use fakes::provider::waits::Waits as _;

use super::fine_waits::FineWaits;
use crate::report;

const INPUT_BYTES: usize = 32 << 10;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// The end of a stream stands within so many last bytes.
const TAIL_BYTES: usize = 64;

/// What is sent, in turn, over every connection.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    pub requests: Arc<Vec<Vec<u8>>>,
    pub pace: Option<Pace>,
}

/// Calls that each take their time at the provider: only what they take beyond it is told.
#[derive(Clone)]
pub struct Pace {
    pub waits: Arc<FineWaits>,
    /// The provider's time for each of the requests.
    pub each: Arc<Vec<Duration>>,
    /// The middle of these: the lanes' first calls are spread over it.
    pub middle: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub calls: u64,
    pub rate: u64,
    pub p50_us: u32,
    pub p99_us: u32,
}

impl Load {
    /// Sends for `length`. Anything but a whole answer with status 200 ends the run.
    pub async fn run(&self, length: Duration) -> anyhow::Result<Counted> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..self.connections {
            let wire = Wire::open(self.address).await?;
            tasks.spawn(self.clone().lane(lane, wire, stop.clone()));
        }
        let began = Instant::now();
        tokio::time::sleep(length).await;
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        while let Some(done) = tasks.join_next().await {
            times.extend(done.context("a connection failed")??);
        }
        counted(times, began.elapsed())
    }

    /// One connection's calls, in microseconds each.
    async fn lane(
        self,
        lane: usize,
        mut wire: Wire,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Vec<u32>> {
        // Lanes start far apart, so that no two of them meet.
        let mut number = lane * self.requests.len() / self.connections;
        let mut times = Vec::new();
        if let Some(pace) = &self.pace {
            pace.start(lane, self.connections).await?;
            // A connection's first call is not what is measured: it is kept alive.
            wire.call(&self.requests[number]).await?;
        }
        while !stop.load(Ordering::Relaxed) {
            let at = number % self.requests.len();
            wire.call(&self.requests[at]).await?;
            let known = self.pace.as_ref().map(|pace| pace.each[at]).unwrap_or_default();
            let took = wire.took.saturating_sub(known);
            times.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
            number += 1;
        }
        Ok(times)
    }
}

impl Pace {
    /// Waits for a lane's place in the first round.
    async fn start(&self, lane: usize, lanes: usize) -> anyhow::Result<()> {
        let place = self.middle * u32::try_from(lane)? / u32::try_from(lanes)?;
        self.waits.wait(place).await;
        Ok(())
    }
}

fn counted(mut times: Vec<u32>, took: Duration) -> anyhow::Result<Counted> {
    times.sort_unstable();
    let calls = u64::try_from(times.len())?;
    Ok(Counted {
        calls,
        rate: report::rate(calls, took),
        p50_us: report::percentile(&times, 500),
        p99_us: report::percentile(&times, 990),
    })
}

/// One connection, one request at a time.
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    /// From right before the newest request's write until right after its answer's last read.
    took: Duration,
}

/// How an answer says where it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunks,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Wire> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, input: Vec::with_capacity(INPUT_BYTES), took: Duration::ZERO })
    }

    /// The whole answer, head and all, with status 200; an event stream must have come to its end.
    pub async fn call(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.exchange(request).await?;
        let tail = &self.input[self.input.len().saturating_sub(TAIL_BYTES)..];
        let streams = self.input.windows(17).take(512).any(|it| it == b"text/event-stream");
        let whole = !streams || tail.windows(6).any(|it| it == b"[DONE]");
        let right = self.input.starts_with(b"HTTP/1.1 200 ") && whole;
        anyhow::ensure!(right, "{}", String::from_utf8_lossy(&self.input));
        Ok(&self.input)
    }

    /// Any answer.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.input.clear();
        let began = Instant::now();
        self.stream.write_all(request).await?;
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                anyhow::bail!("closed after {}", String::from_utf8_lossy(&self.input));
            }
            self.took = began.elapsed();
            head = match head {
                None => head_of(&self.input)?,
                known => known,
            };
            match head {
                Some((at, Length::Bytes(length))) if self.input.len() >= at + length => break,
                Some((_, Length::Chunks)) if self.input.ends_with(LAST_CHUNK) => break,
                _ => {}
            }
        }
        Ok(&self.input)
    }
}

/// Where the body starts and how it ends, once the head is whole.
fn head_of(input: &[u8]) -> anyhow::Result<Option<(usize, Length)>> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&input[..end])?;
    for line in head.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok(Some((end + 4, Length::Bytes(value.trim().parse()?))));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Some((end + 4, Length::Chunks)));
        }
    }
    anyhow::bail!("an answer without a length: {head}")
}
