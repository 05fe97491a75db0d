//! Opens a connection to one checked address and sends one request at a time over it.
//!
//! No task of its own drives a connection: whoever waits for its answer does, so that neither a
//! question nor an answer changes tasks. One that waits in the pool is driven by nobody; that its
//! other end closed it is found out when it is next used.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use domain::webhook::schedule::Outcome;
use domain::webhook::target::{Target, TargetHost};
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::Message;
use super::failure::Failed;
use super::pool::Key;

const TLS_MAX: Duration = Duration::from_secs(3);
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Opens connections.
#[derive(Clone)]
pub(in crate::ports) struct Connector {
    /// `None` when the cryptography of this build cannot speak TLS, which no build does.
    tls: Option<TlsConnector>,
    /// For all addresses of a name together.
    connect_max: Duration,
}

/// An open connection, closed when dropped.
pub(in crate::ports) struct Connection {
    pub(in crate::ports) key: Key,
    pub(in crate::ports) address: IpAddr,
    pub(in crate::ports) resolved_at: Instant,
    pub(in crate::ports) opened: Opened,
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None`, once it is over.
    driver: Option<Pin<Box<Driver>>>,
}

/// How long it took to open a connection.
#[derive(Clone, Copy)]
pub(in crate::ports) struct Opened {
    pub(in crate::ports) connect: Duration,
    pub(in crate::ports) tls: Option<Duration>,
}

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

/// Why a request has no answer.
pub(in crate::ports) enum Unanswered {
    /// Not a byte of it was written.
    Unsent(Box<Message>),
    Failed(Failed),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connector {
    pub(in crate::ports) fn new(connect_max: Duration) -> Connector {
        let tls = tls_config().ok().map(|config| TlsConnector::from(Arc::new(config)));
        Connector { tls, connect_max }
    }

    /// Tries the addresses in their order; whoever calls has checked every one.
    pub(in crate::ports) async fn open(
        &self,
        target: &Target,
        addresses: &[IpAddr],
        (key, resolved_at): (Key, Instant),
    ) -> Result<Connection, Failed> {
        let refused = |what: &str| Failed::new(Outcome::ConnectFailed, what);
        let began = Instant::now();
        let tcp = timeout(self.connect_max, connect_first(addresses, target.port())).await;
        let tcp = tcp.map_err(|_| {
            refused(&format!("no connection within {} s", self.connect_max.as_secs()))
        })??;
        let address = tcp.peer_addr().map_err(|_| refused("the connection ended at once"))?.ip();
        if !addresses.contains(&address) {
            return Err(refused("the connection leads elsewhere"));
        }
        let mut opened = Opened { connect: began.elapsed(), tls: None };
        let began = Instant::now();
        let stream: Box<dyn Stream> = if target.is_https() {
            let stream = self.secure(target, tcp).await?;
            opened.tls = Some(began.elapsed());
            Box::new(stream)
        } else {
            Box::new(tcp)
        };
        let (sender, driver) = drive(stream).await?;
        Ok(Connection { key, address, resolved_at, opened, sender, driver })
    }

    async fn secure(
        &self,
        target: &Target,
        tcp: TcpStream,
    ) -> Result<impl Stream + 'static, Failed> {
        let failed = |what: String| Failed::new(Outcome::TlsFailed, what);
        let tls = self.tls.as_ref().ok_or_else(|| failed("TLS is not available".to_owned()))?;
        let name = server_name(target.host()).ok_or_else(|| failed("not a name".to_owned()))?;
        let stream = timeout(TLS_MAX, tls.connect(name, tcp)).await;
        let stream = stream.map_err(|_| failed("no TLS within 3 s".to_owned()))?;
        stream.map_err(|error| failed(format!("TLS failed: {error}")))
    }
}

fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect::<RootCertStore>();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn server_name(host: &TargetHost) -> Option<ServerName<'static>> {
    match host {
        TargetHost::Address(address) => Some(ServerName::IpAddress((*address).into())),
        TargetHost::Name(name) => ServerName::try_from(name.clone()).ok(),
    }
}

async fn connect_first(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Failed> {
    let mut last = String::new();
    for &address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                // Without it a small request may wait for an acknowledgement; it is no error.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(Failed::new(Outcome::ConnectFailed, format!("no connection: {last}")))
}

type Driven = (http1::SendRequest<Full<Bytes>>, Option<Pin<Box<Driver>>>);

async fn drive(stream: Box<dyn Stream>) -> Result<Driven, Failed> {
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADERS_MAX).max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX);
    let opened = builder.handshake(TokioIo::new(stream)).await;
    let (sender, driver) = opened.map_err(|error| Failed::while_waiting(&error))?;
    Ok((sender, Some(Box::pin(driver))))
}

impl Connection {
    pub(in crate::ports) fn is_closed(&self) -> bool {
        self.driver.is_none() || self.sender.is_closed()
    }

    pub(in crate::ports) async fn send(
        &mut self,
        message: Message,
    ) -> Result<Response<Incoming>, Unanswered> {
        // Whoever drove it last is not to be woken by this question, nor is this task by its own.
        drive_on(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        let ready = if self.sender.is_ready() {
            Ok(())
        } else {
            poll_fn(|context| self.poll_ready(context)).await
        };
        if ready.is_err() || self.is_closed() {
            return Err(Unanswered::Unsent(Box::new(message)));
        }
        // Others that are ready have their turn first. Requests are then written one after another,
        // and wake the other side once: under load that halves what a write costs.
        yield_now().await;
        let mut answer = std::pin::pin!(self.sender.try_send_request(message));
        let driver = &mut self.driver;
        let answer = poll_fn(|context| {
            drive_on(driver, context);
            answer.as_mut().poll(context)
        });
        answer.await.map_err(|mut error| match error.take_message() {
            Some(unsent) => Unanswered::Unsent(Box::new(unsent)),
            None => Unanswered::Failed(Failed::while_waiting(error.error())),
        })
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        drive_on(&mut self.driver, context);
        self.sender.poll_ready(context)
    }

    /// The next frame of an answer's body, which came over this connection.
    pub(in crate::ports) async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<hyper::Result<Frame<Bytes>>> {
        poll_fn(|context| {
            // Often it is here already.
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
                return Poll::Ready(frame);
            }
            drive_on(&mut self.driver, context);
            Pin::new(&mut *body).poll_frame(context)
        })
        .await
    }
}

/// Its errors reach whoever waits for the answer.
fn drive_on(driver: &mut Option<Pin<Box<Driver>>>, context: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
        *driver = None;
    }
}
