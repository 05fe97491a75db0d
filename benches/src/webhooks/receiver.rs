//! A receiver that answers at once, or never. It counts what comes, and how long after its change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// A request to this path is never answered.
const HANGS: &[u8] = b"POST /hang";
const LENGTH: &[u8] = b"content-length:";
const CREATED_AT: &str = "\"created_at\":\"";

/// Ends with the value.
pub struct Receiver {
    pub address: SocketAddr,
    heard: Arc<Heard>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    count: AtomicU64,
    bytes: AtomicU64,
    /// Milliseconds between an event's time and its arrival.
    late_ms: Mutex<Vec<u32>>,
}

impl Receiver {
    pub async fn start() -> anyhow::Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Heard::default());
        let hearing = heard.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream.set_nodelay(true));
                tokio::spawn(serve(stream, hearing.clone()));
            }
        });
        Ok(Receiver { address, heard, serving })
    }

    pub fn count(&self) -> u64 {
        self.heard.count.load(Ordering::Relaxed)
    }

    /// Bytes of the mean body.
    pub fn body_bytes(&self) -> u64 {
        self.heard.bytes.load(Ordering::Relaxed) / self.count().max(1)
    }

    /// Sorted, and forgotten.
    pub fn take_late_ms(&self) -> Vec<u32> {
        let mut late = std::mem::take(&mut *self.heard.late_ms.lock());
        late.sort_unstable();
        late
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, counts: Arc<Heard>) {
    let mut buffer = Vec::with_capacity(8 << 10);
    loop {
        let Some((head, body)) = request(&mut stream, &mut buffer).await else { return };
        if buffer.starts_with(HANGS) {
            std::future::pending::<()>().await;
        }
        counts.count.fetch_add(1, Ordering::Relaxed);
        counts.bytes.fetch_add(u64::try_from(body).unwrap_or(0), Ordering::Relaxed);
        if let Some(late) = late_ms(&buffer[head..head + body]) {
            counts.late_ms.lock().push(late);
        }
        buffer.drain(..head + body);
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

/// Reads one request, and returns how long its head and its body are.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(usize, usize)> {
    loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            let head = end + 4;
            let body = length(&buffer[..head]);
            if buffer.len() >= head + body {
                return Some((head, body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn length(head: &[u8]) -> usize {
    // Farebox writes it in small letters.
    let at = find(head, LENGTH).map(|at| at + LENGTH.len());
    let digits = head[at.unwrap_or(head.len())..].iter().skip_while(|byte| **byte == b' ');
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

fn late_ms(body: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(body).ok()?;
    let at = text.find(CREATED_AT)? + CREATED_AT.len();
    let created = domain::time::Timestamp::parse(text.get(at..)?.split('"').next()?).ok()?;
    u32::try_from(engine::clock::real_now().millis() - created.millis()).ok()
}
