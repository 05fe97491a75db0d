//! The guarded client against receivers that misbehave: each gets its documented outcome, in time.
#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::webhook::address::{AllowList, Refused};
use domain::webhook::schedule::Outcome;
use domain::webhook::target::TargetError;
use fakes::sink::{Settings, Sink};
use server::ports::webhook_client::{Attempt, GuardedClient, Names, Request, SNIPPET_BYTES_MAX};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const TIMEOUT_MS: u64 = 600;
const SLACK: Duration = Duration::from_secs(2);

async fn sink() -> Sink {
    Sink::start("127.0.0.1:0".parse().unwrap(), Settings::default()).await.unwrap()
}

fn loopback() -> AllowList {
    AllowList { allow: vec!["127.0.0.0/8".parse().unwrap()], ..AllowList::default() }
}

fn client() -> GuardedClient {
    GuardedClient::new(loopback())
}

fn request(url: &str) -> Request {
    Request {
        url: url.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from_static(b"{}"),
        timeout_ms: TIMEOUT_MS,
    }
}

/// A client whose names are these alone.
fn client_with(names: &[(&str, &[&str])]) -> GuardedClient {
    let parse = |texts: &[&str]| -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let names: HashMap<_, _> =
        names.iter().map(|(name, texts)| ((*name).to_owned(), parse(texts))).collect();
    GuardedClient::with_names(loopback(), Names::Fixed(Arc::new(names)))
}

#[tokio::test]
async fn an_address_of_this_machine_is_refused_as_its_own() {
    let names = HashMap::from([("me.example".to_owned(), vec!["127.0.0.1".parse().unwrap()])]);
    let names = Names::Fixed(Arc::new(names));
    let client = GuardedClient::with_names(AllowList::default(), names);
    let refused = client.check("https://me.example/hook").await.unwrap_err();
    assert_eq!(refused, TargetError::Address(Refused::Own), "{refused}");
}

#[tokio::test]
async fn each_answer_has_its_outcome_in_time() {
    let table = [
        ("/ok", Outcome::Delivered, Some(200)),
        ("/fail/299", Outcome::Delivered, Some(299)),
        ("/fail/304", Outcome::HttpError, Some(304)),
        ("/fail/500", Outcome::HttpError, Some(500)),
        ("/gone", Outcome::Gone, Some(410)),
        ("/redirect", Outcome::RedirectRefused, Some(302)),
        ("/hang", Outcome::Timeout, None),
        ("/slow-loris", Outcome::Timeout, None),
        ("/drip", Outcome::TimeoutBody, Some(200)),
        ("/endless", Outcome::Delivered, Some(200)),
        ("/lie-length", Outcome::ConnectionLost, Some(200)),
        ("/close", Outcome::ConnectionLost, None),
        ("/many-headers", Outcome::BadResponse, None),
        ("/garbage", Outcome::BadResponse, None),
    ];
    let (sink, client) = (sink().await, client());
    for (path, outcome, status) in table {
        let started = Instant::now();
        let attempt = client.post(&request(&sink.url(path))).await;
        assert_eq!((attempt.outcome, attempt.status), (outcome, status), "{path}: {attempt:?}");
        assert_eq!(attempt.error.is_none(), status.is_some() && is_answer(outcome), "{path}");
        assert_eq!(attempt.address, Some(sink.addr().ip()), "{path}");
        assert!(started.elapsed() < Duration::from_millis(TIMEOUT_MS) + SLACK, "{path} took long");
    }
    assert_eq!(sink.received().len(), table.len(), "each attempt is one request");
}

fn is_answer(outcome: Outcome) -> bool {
    use Outcome::{Delivered, Gone, HttpError, RedirectRefused};
    matches!(outcome, Delivered | Gone | RedirectRefused | HttpError)
}

#[tokio::test]
async fn an_answer_without_an_end_keeps_its_first_bytes() {
    let (sink, client) = (sink().await, client());
    let attempt = client.post(&request(&sink.url("/endless"))).await;
    assert_eq!(attempt.snippet, vec![b'x'; SNIPPET_BYTES_MAX]);
    client.post(&request(&sink.url("/ok"))).await;
    assert_eq!(sink.connections(), 2, "the connection that pours is not used again");
}

#[tokio::test]
async fn retry_after_comes_as_it_was_written() {
    let (sink, client) = (sink().await, client());
    for value in ["7", "-1", "Fri,%2031%20Dec%202027%2023:59:59%20GMT"] {
        let attempt = client.post(&request(&sink.url(&format!("/retry-after/{value}")))).await;
        assert_eq!(attempt.status, Some(503));
        assert_eq!(attempt.retry_after, Some(value.replace("%20", " ")));
    }
}

#[tokio::test]
async fn connections_are_reused_and_the_host_is_sent() {
    let (sink, client) = (sink().await, client());
    for _ in 0..5 {
        let attempt = client.post(&request(&sink.url("/ok?a=1"))).await;
        assert_eq!((attempt.outcome, attempt.reconnected), (Outcome::Delivered, false));
    }
    assert_eq!(sink.connections(), 1);
    let received = &sink.received()[0];
    assert_eq!(received.path, "/ok?a=1");
    assert_eq!(received.header("host"), Some(sink.addr().to_string().as_str()));
    assert_eq!(received.body, b"{}");
}

#[tokio::test]
async fn a_name_is_connected_to_by_its_checked_address_and_keeps_its_host() {
    let sink = sink().await;
    let client = client_with(&[("hooks.example.com", &["127.0.0.1"])]);
    let url = format!("http://hooks.example.com:{}/ok", sink.addr().port());
    let attempt = client.post(&request(&url)).await;
    assert_eq!(attempt.outcome, Outcome::Delivered, "{attempt:?}");
    let host = format!("hooks.example.com:{}", sink.addr().port());
    assert_eq!(sink.received()[0].header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn one_refused_address_refuses_the_whole_name_before_any_socket() {
    let sink = sink().await;
    let port = sink.addr().port();
    let client = client_with(&[
        ("mixed.example.com", &["127.0.0.1", "10.0.0.1"]),
        ("mapped.example.com", &["127.0.0.1", "::ffff:169.254.169.254"]),
        ("private.example.com", &["192.168.1.1"]),
    ]);
    for name in ["mixed.example.com", "mapped.example.com", "private.example.com"] {
        let attempt = client.post(&request(&format!("http://{name}:{port}/ok"))).await;
        assert_blocked(&attempt);
    }
    assert_blocked(&client.post(&request(&format!("http://10.0.0.1:{port}/"))).await);
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn a_host_in_another_spelling_is_the_address_it_means() {
    let sink = sink().await;
    let url = format!("http://2130706433:{}/ok", sink.addr().port());
    assert_eq!(client().post(&request(&url)).await.outcome, Outcome::Delivered);
    let strict = GuardedClient::new(AllowList::default());
    assert_blocked(&strict.post(&request(&url)).await);
}

fn assert_blocked(attempt: &Attempt) {
    assert_eq!(attempt.outcome, Outcome::BlockedAddress, "{attempt:?}");
    assert_eq!((attempt.status, attempt.address), (None, None));
    assert!(!attempt.error.as_deref().unwrap_or_default().contains("10.0.0.1"));
}

#[tokio::test]
async fn what_fails_before_the_request_is_named() {
    let sink = sink().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let table = [
        (format!("http://{free}/"), Outcome::ConnectFailed),
        (format!("https://{}/ok", sink.addr()), Outcome::TlsFailed),
        ("https://unknown.example.com/".to_owned(), Outcome::DnsFailed),
        ("ftp://127.0.0.1/".to_owned(), Outcome::BlockedAddress),
    ];
    for (url, outcome) in table {
        let attempt = client_with(&[]).post(&request(&url)).await;
        assert_eq!(attempt.outcome, outcome, "{url}: {attempt:?}");
        assert!(attempt.error.is_some());
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_opens_no_socket() {
    let sink = sink().await;
    let mut request = request(&sink.url("/ok"));
    request.headers.push(("x-a".to_owned(), "one\r\nx-b: two".to_owned()));
    let attempt = client().post(&request).await;
    assert_eq!(attempt.outcome, Outcome::ConnectFailed);
    assert_eq!(sink.connections(), 0);
}

/// Answers one request on each connection and then closes it, saying nothing of it.
async fn one_answer_each(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 4_096];
        let _ = stream.read(&mut bytes).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_reused_connection_that_was_closed_is_replaced_without_a_second_post() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answering = tokio::spawn(one_answer_each(listener));
    let client = client();
    for _ in 0..20 {
        let attempt = client.post(&request(&url)).await;
        assert!(
            matches!(attempt.outcome, Outcome::Delivered | Outcome::ConnectionLost),
            "{attempt:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(attempt.outcome, Outcome::Delivered, "{attempt:?}");
    }
    answering.abort();
}
