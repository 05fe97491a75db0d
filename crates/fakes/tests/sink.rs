//! The sink over a real socket: what it records, and that it ends.
#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use domain::webhook::signature::{SigningKey, sign};
use fakes::sink::{Received, Settings, Signature, Sink};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

async fn sink() -> Sink {
    let settings = Settings { secret: Some(SECRET.to_owned()), ..Settings::default() };
    Sink::start("127.0.0.1:0".parse().unwrap(), settings).await.unwrap()
}

/// Sends one POST whose signature is over `signed`, and gives the record of it.
async fn post(sink: &Sink, body: &str, signed: &str) -> Received {
    let mut stream_of = sink.subscribe();
    let signature = sign(&[SigningKey::parse(SECRET)], "evt_1", 1_700_000_000, signed.as_bytes());
    let text = format!(
        "POST /ok HTTP/1.1\r\nhost: x\r\nwebhook-id: evt_1\r\nwebhook-timestamp: 1700000000\r\n\
         webhook-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(sink.addr()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream_of.recv().await.unwrap()
}

#[tokio::test]
async fn a_signature_is_judged_by_the_bytes_of_the_body() {
    let sink = sink().await;
    assert_eq!(post(&sink, "{}", "{}").await.signature, Signature::Valid);
    assert!(matches!(post(&sink, "{ }", "{}").await.signature, Signature::Invalid(_)));
    sink.set_secret("whsec_BBECAwQFBgcICQoLDA0ODxAREhMUFRYX");
    assert!(matches!(post(&sink, "{}", "{}").await.signature, Signature::Invalid(_)));
    assert_eq!(sink.received().len(), 3);
    assert_eq!(sink.received()[1].body, b"{ }");
}

#[tokio::test]
async fn dropping_the_sink_closes_port_and_connections() {
    let sink = sink().await;
    let addr = sink.addr();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"POST /hang HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    while sink.received().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(sink);
    let mut rest = Vec::new();
    assert!(matches!(stream.read_to_end(&mut rest).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(addr).await.is_err());
}
