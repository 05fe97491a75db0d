//! One connection of the sink: request after request, until someone closes it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::answer::{self, Answer, Ending};
use super::request;

/// No connection outlives this, whatever its sender does.
const LIFE_MAX: Duration = Duration::from_mins(2);
const DRIP_INTERVAL: Duration = Duration::from_millis(200);
const ENDLESS_BYTES_MAX: usize = 64 << 20;
const CHUNK: &[u8; 4_096] = &[b'x'; 4_096];

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // A sender that leaves is the normal end of a connection.
    let _ = timeout(LIFE_MAX, converse(stream, &shared)).await;
}

async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(received) = request::read(&mut stream, shared).await? {
        let path = received.path.clone();
        let number = shared.record(received);
        let answer = answer::for_path(&path, shared.seed, number);
        if !write(stream.get_mut(), &answer).await? {
            break;
        }
    }
    Ok(())
}

/// Whether the connection may carry another request.
async fn write(stream: &mut TcpStream, answer: &Answer) -> io::Result<bool> {
    stream.write_all(&answer.bytes).await?;
    match answer.ending {
        Ending::KeepAlive => return Ok(true),
        Ending::Close => {}
        Ending::Silence => sleep(LIFE_MAX).await,
        Ending::SlowHead => drip(stream).await?,
        Ending::Endless => pour(stream).await?,
    }
    Ok(false)
}

async fn drip(stream: &mut TcpStream) -> io::Result<()> {
    loop {
        stream.write_all(b"x").await?;
        sleep(DRIP_INTERVAL).await;
    }
}

async fn pour(stream: &mut TcpStream) -> io::Result<()> {
    for _ in 0..ENDLESS_BYTES_MAX / CHUNK.len() {
        stream.write_all(CHUNK).await?;
    }
    Ok(())
}
