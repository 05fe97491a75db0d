//! Reads one HTTP/1.1 request with a `content-length`, within bounds, and checks its signature.

use std::io;

use domain::webhook::signature::{Signed, verify_v1};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Received, Shared, Signature, locked};

const HEAD_BYTES_MAX: u64 = 64 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;

/// `None` when the sender has closed the connection between two requests.
pub(super) async fn read(
    stream: &mut BufReader<TcpStream>,
    shared: &Shared,
) -> io::Result<Option<Received>> {
    let Some((first, headers)) = read_head(stream).await? else { return Ok(None) };
    let body = read_body(stream, &headers).await?;
    let mut words = first.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let mut received = Received { method, path, headers, body, signature: Signature::Unchecked };
    received.signature = check(&received, shared);
    Ok(Some(received))
}

type Head = (String, Vec<(String, String)>);

async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut head = stream.take(HEAD_BYTES_MAX);
    let mut first = String::new();
    if head.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Err(refused("the head does not end, or is too long"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some((first.trim_end().to_owned(), headers)))
}

async fn read_body(
    stream: &mut BufReader<TcpStream>,
    headers: &[(String, String)],
) -> io::Result<Vec<u8>> {
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, value)| value.parse::<usize>());
    let length = length.map_err(|_| refused("content-length is not a number"))?;
    if length > BODY_BYTES_MAX {
        return Err(refused("the body is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn check(received: &Received, shared: &Shared) -> Signature {
    let keys = locked(&shared.keys).clone();
    if keys.is_empty() {
        return Signature::Unchecked;
    }
    let header = |name| received.header(name);
    let (Some(id), Some(timestamp), Some(signature)) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
    else {
        return Signature::Missing;
    };
    // Without a clock the signed time is taken for now.
    let now = shared.now_seconds.map_or_else(|| timestamp.parse().unwrap_or_default(), |now| now());
    match verify_v1(&keys, Signed { id, timestamp, signature }, &received.body, now) {
        Ok(()) => Signature::Valid,
        Err(error) => Signature::Invalid(error),
    }
}
