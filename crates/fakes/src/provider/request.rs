//! Takes one HTTP/1.1 request off the bytes that came in, with a length or in chunks, in bounds.

use std::io;

use bytes::{Buf as _, BytesMut};

use super::Received;

const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 64 << 20;

pub(super) struct Request {
    head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// The target without its query.
    pub(super) fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(super) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"))
    }

    pub(super) fn received(&self, number: u64) -> Received {
        let pair = |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.to_owned());
        Received {
            number,
            method: self.method().to_owned(),
            path: self.target().to_owned(),
            headers: lines(&self.head).map(pair).collect(),
            body: self.body.clone(),
        }
    }
}

fn lines(head: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name, value.trim()))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    lines(head).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The next whole request of `input`; `None` when more bytes must come first.
pub(super) fn take(input: &mut BytesMut) -> io::Result<Option<Request>> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if input.len() > HEAD_BYTES_MAX { Err(refused("a long head")) } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let Some((body, used)) = body(&head, &input[end + 4..])? else { return Ok(None) };
    input.advance(end + 4 + used);
    Ok(Some(Request { head, body }))
}

/// The body at the start of `rest`, and how many bytes it took.
fn body(head: &str, rest: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    if header(head, "transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        return chunks(rest);
    }
    let length = header(head, "content-length").map_or(Ok(0), str::parse::<usize>);
    let length = length.map_err(|_| refused("content-length is not a number"))?;
    if length > BODY_BYTES_MAX {
        return Err(refused("the body is too long"));
    }
    Ok(rest.get(..length).map(|body| (body.to_vec(), length)))
}

fn chunks(rest: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(line) = rest[at..].windows(2).position(|two| two == b"\r\n") {
        let text = String::from_utf8_lossy(&rest[at..at + line]);
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| refused("a chunk's size"))?;
        let from = at + line + 2;
        if size > BODY_BYTES_MAX || body.len() > BODY_BYTES_MAX {
            return Err(refused("the body is too long"));
        }
        let Some(chunk) = rest.get(from..from + size + 2) else { return Ok(None) };
        at = from + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
        body.extend_from_slice(&chunk[..size]);
    }
    Ok(None)
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_whole_whether_with_a_length_or_in_chunks() {
        let text = "POST /a?b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiPOST /c HTTP/1.1\r\n\
                    transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n1;x=y\r\ny\r\n0\r\n\r\nGET";
        for split in 0..text.len() {
            let mut input = BytesMut::new();
            let mut bodies = Vec::new();
            for part in [&text[..split], &text[split..]] {
                input.extend_from_slice(part.as_bytes());
                while let Some(request) = take(&mut input).unwrap() {
                    bodies.push((request.path().to_owned(), request.body));
                }
            }
            let expected = [("/a".to_owned(), b"hi".to_vec()), ("/c".to_owned(), b"hey".to_vec())];
            assert_eq!(bodies, expected, "split at {split}");
            assert_eq!(&input[..], b"GET");
        }
    }
}
