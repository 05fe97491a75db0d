//! One connection of the provider: request after request, each answer played step by step.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::yield_now;

use super::framing::{End, Script, Step};
use super::request::{self, Request};
use super::waits::Waiting;
use super::{Shared, route};

const INPUT_BYTES: usize = 8 << 10;
/// What hangs for ever hangs this long.
const HANG_MAX: Duration = Duration::from_hours(1);

/// What the other side did while an answer was played.
enum Played {
    Whole,
    ClientLeft,
}

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // A client that leaves is the normal end of a connection.
    let _ = converse(stream, &shared).await;
}

async fn converse(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(INPUT_BYTES);
    while let Some(request) = read(&mut stream, &mut input).await? {
        let number = shared.record(&request);
        let script = route::answer(&request, &shared.settings, number);
        match play(&script, shared, (&mut stream, &mut input)).await {
            Played::Whole if script.end == End::KeepAlive && !request.closes() => {}
            Played::Whole => break,
            Played::ClientLeft => {
                shared.disconnects.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
    }
    Ok(())
}

/// `None` when the client has closed the connection between two requests.
async fn read(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<Option<Request>> {
    loop {
        if let Some(request) = request::take(input)? {
            return Ok(Some(request));
        }
        input.reserve(INPUT_BYTES);
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

async fn play(
    script: &Script,
    shared: &Shared,
    (stream, input): (&mut TcpStream, &mut BytesMut),
) -> Played {
    let waits = &shared.settings.waits;
    for (index, step) in script.steps.iter().enumerate() {
        match step {
            Step::Wait(length) => {
                if client_left_within(waits.wait(*length), stream, input).await {
                    return Played::ClientLeft;
                }
            }
            Step::Write(bytes) => {
                if index > 0 {
                    // Others get a turn, so that two writes are two reads of the other side.
                    yield_now().await;
                }
                if stream.write_all(bytes).await.is_err() {
                    return Played::ClientLeft;
                }
            }
        }
    }
    let hangs = script.end == End::Silence;
    if hangs && client_left_within(waits.wait(HANG_MAX), stream, input).await {
        return Played::ClientLeft;
    }
    Played::Whole
}

/// Waits; what the client sends meanwhile is kept for the next request.
async fn client_left_within(
    mut pause: Waiting,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> bool {
    loop {
        input.reserve(1);
        tokio::select! {
            () = &mut pause => return false,
            read = stream.read_buf(input) => match read {
                Ok(0) | Err(_) => return true,
                Ok(_) => {}
            },
        }
    }
}
