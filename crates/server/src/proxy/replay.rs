//! The answer of a request with an idempotency key, as it is kept and given again. The engine
//! decides whether; here heads and bodies become bytes, and bytes answers.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use engine::Error;
use engine::proxy::replay::{ANSWER_BYTES_MAX, Claim, Claimed, Keeping, Kept, Tail};
use engine::proxy::{End, Settled};

use super::answer;
use super::ask::Front;
use super::exchange::Exchange;
use crate::app::App;
use crate::http::answer::Answer;

/// Between the head and the last bytes of a body; no JSON holds it.
const DIVIDER: u8 = 0;
/// Of one connection, not of the answer.
const NOT_KEPT: [&str; 3] = ["trailer", "content-length", "transfer-encoding"];

/// Takes the request's key to work on. `Err`: somebody did, or does, and that is the answer.
pub async fn claim(app: &App, front: &Front) -> Result<Option<Claim>, Result<Answer, Error>> {
    let Some(key) = front.key.clone() else { return Ok(None) };
    match Box::pin(app.engine.claim(front.scope, key)).await {
        Ok(Claimed::Now(claim)) => Ok(Some(claim)),
        Ok(Claimed::Before(kept)) => Err(Ok(again(kept))),
        Err(error) => Err(Err(error)),
    }
}

/// What a stream's client was sent, where it shall be kept.
#[derive(Default)]
pub struct Sending {
    head: HeaderMap,
    /// `None`: it became too long.
    bytes: Option<Vec<u8>>,
}

impl Sending {
    pub fn begun(head: &HeaderMap) -> Sending {
        Sending { head: head.clone(), bytes: Some(Vec::new()) }
    }

    /// So far; nothing where it became too long.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    pub fn add(&mut self, piece: &[u8]) {
        let room = |bytes: &Vec<u8>| bytes.len() + piece.len() <= ANSWER_BYTES_MAX;
        self.bytes = self.bytes.take().filter(room).map(|mut bytes| {
            bytes.extend_from_slice(piece);
            bytes
        });
    }
}

impl Exchange {
    /// The end of a plain answer, with the answer where a key shall give it again.
    pub fn with_plain(
        &self,
        end: End,
        (status, head, body): (StatusCode, &HeaderMap, &[u8]),
    ) -> End {
        let Some(claim) = &self.claim else { return end };
        let head = head.clone();
        let tail: Tail = Arc::new(move |settled: &Settled| {
            let mut head = head.clone();
            answer::put_settled(&mut head, settled);
            joined(&head, &[])
        });
        let status = status.as_u16();
        End { reply: Some(self.app.engine.keeping(claim, status, Some(body), tail)), ..end }
    }

    /// What is kept of a stream; `last` is what ends it.
    pub fn keep_stream(
        &self,
        status: StatusCode,
        sent: &Sending,
        last: impl Fn(&Settled) -> Vec<u8> + Send + Sync + 'static,
    ) -> Option<Keeping> {
        let claim = self.claim.as_ref()?;
        let head = sent.head.clone();
        let tail: Tail = Arc::new(move |settled: &Settled| joined(&head, &last(settled)));
        let bulk = sent.bytes.as_deref();
        Some(self.app.engine.keeping(claim, status.as_u16(), bulk, tail))
    }
}

/// The head, and the last bytes of the body. A header's bytes stand as characters of one byte.
fn joined(head: &HeaderMap, last: &[u8]) -> Vec<u8> {
    let kept = head.iter().filter(|(name, _)| !NOT_KEPT.contains(&name.as_str()));
    let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
    let pairs: Vec<(&str, String)> =
        kept.map(|(name, value)| (name.as_str(), text(value))).collect();
    let head = serde_json::to_vec(&pairs).unwrap_or_default();
    [&head[..], &[DIVIDER], last].concat()
}

fn again(kept: Kept) -> Answer {
    let mut tail = kept.tail.splitn(2, |byte| *byte == DIVIDER);
    let (head, last) = (tail.next().unwrap_or_default(), tail.next().unwrap_or_default());
    let mut body = kept.bulk;
    body.extend_from_slice(last);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = headers(head);
    Answer::Raw(Box::new(response)).replayed(true)
}

fn headers(head: &[u8]) -> HeaderMap {
    let pairs: Vec<(String, String)> = serde_json::from_slice(head).unwrap_or_default();
    let pairs = pairs.into_iter().filter_map(|(name, value)| {
        let bytes: Option<Vec<u8>> = value.chars().map(|char| u8::try_from(char).ok()).collect();
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(&bytes?).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was() {
        let mut head = HeaderMap::new();
        head.append("x-a", HeaderValue::from_static("1"));
        head.append("x-a", HeaderValue::from_static("2"));
        head.append("x-b", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let mut sent = head.clone();
        sent.insert("trailer", HeaderValue::from_static("x-paywall-status"));
        let tail = joined(&sent, b"data: \0\n");
        let mut parts = tail.splitn(2, |byte| *byte == DIVIDER);
        assert_eq!(headers(parts.next().unwrap()), head);
        assert_eq!(parts.next().unwrap(), b"data: \0\n");
    }

    #[test]
    fn a_stream_that_becomes_too_long_is_forgotten() {
        let mut sent = Sending::begun(&HeaderMap::new());
        sent.add(&vec![b'x'; ANSWER_BYTES_MAX]);
        assert!(sent.bytes.is_some());
        sent.add(b"x");
        sent.add(b"x");
        assert!(sent.bytes.is_none());
    }
}
