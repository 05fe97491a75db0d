//! TLS to a server, as users of libpq know it: `sslmode` and `sslrootcert` of the URL.
//!
//! `prefer` (what counts without a word) and `require` encrypt and believe any certificate;
//! `verify-ca` wants one from a known authority, `verify-full` one that is also for this host.
//! Authorities are the system's, or those of the file that `sslrootcert` names; with a file
//! `require` is `verify-ca`, as there.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::error::{Error, Result};

/// What servers and poolers are told that is spoken inside.
const PROTOCOL: &[u8] = b"postgresql";

/// What the URL asks of the connection's encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Demand {
    fn parse(text: &str) -> Result<Demand> {
        Ok(match text {
            "disable" => Demand::Disable,
            "prefer" => Demand::Prefer,
            "require" => Demand::Require,
            "verify-ca" => Demand::VerifyCa,
            "verify-full" => Demand::VerifyFull,
            other => {
                return Err(Error::Unfit(format!(
                    "sslmode={other}: give disable, prefer, require, verify-ca or verify-full"
                )));
            }
        })
    }
}

/// How connections of one URL are encrypted.
#[derive(Clone)]
pub(crate) struct Tls {
    demand: Demand,
    connector: TlsConnector,
}

impl Tls {
    /// Takes what it understands out of a URL, and returns the rest.
    pub(crate) fn of_url(url: &str) -> Result<(String, Tls)> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut demand, mut authorities, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            match name {
                "sslmode" => demand = Some(Demand::parse(&value)?),
                "sslrootcert" => authorities = Some(value.into_owned()),
                _ => rest.push(pair),
            }
        }
        let demand = match (demand.unwrap_or(Demand::Prefer), &authorities) {
            (Demand::Require, Some(_)) => Demand::VerifyCa,
            (demand, _) => demand,
        };
        let mark = if rest.is_empty() { "" } else { "?" };
        let rest = format!("{place}{mark}{}", rest.join("&"));
        Ok((rest, Tls { demand, connector: connector(demand, authorities.as_deref())? }))
    }

    /// The driver's own words for it: what it verifies is decided here.
    pub(crate) fn mode(&self) -> SslMode {
        match self.demand {
            Demand::Disable => SslMode::Disable,
            Demand::Prefer => SslMode::Prefer,
            Demand::Require | Demand::VerifyCa | Demand::VerifyFull => SslMode::Require,
        }
    }
}

fn unfit(problem: impl std::fmt::Display) -> Error {
    Error::Unfit(format!("TLS to the database: {problem}"))
}

fn connector(demand: Demand, authorities: Option<&str>) -> Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unfit)?;
    let known = match demand {
        Demand::VerifyCa | Demand::VerifyFull => Some(known(authorities, &provider)?),
        Demand::Disable | Demand::Prefer | Demand::Require => None,
    };
    let any_host = demand != Demand::VerifyFull;
    let verifier = Arc::new(Verifier { known, any_host, provider });
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A verifier of what the authorities have signed.
fn known(
    authorities: Option<&str>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>> {
    let certificates = match authorities {
        None | Some("system") => rustls_native_certs::load_native_certs().certs,
        Some(path) => {
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            read.map_err(|problem| unfit(format!("sslrootcert={path}: {problem}")))?
        }
    };
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 {
        return Err(unfit("no authority is known; name a file with sslrootcert"));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(unfit)
}

/// Judges the server's certificate as far as it was asked to.
#[derive(Debug)]
struct Verifier {
    /// Without it any certificate is believed.
    known: Option<Arc<WebPkiServerVerifier>>,
    any_host: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        match known.verify_server_cert(certificate, between, host, ocsp, now) {
            // The host is looked at last: all else was right.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_host => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        Ok(Handshake { connector: self.connector.clone(), host: host.to_owned() })
    }
}

/// One connection's beginning.
pub(crate) struct Handshake {
    connector: TlsConnector,
    host: String,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let host = ServerName::try_from(self.host).map_err(io::Error::other)?;
            Ok(Encrypted(self.connector.connect(host, socket).await?))
        })
    }
}

/// An encrypted connection.
pub(crate) struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, bytes)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_how_much_is_verified_and_the_rest_is_the_drivers() {
        let table = [
            ("postgres://db/f", "postgres://db/f", Demand::Prefer),
            ("postgres://db/f?sslmode=disable", "postgres://db/f", Demand::Disable),
            (
                "postgres://a,b/f?sslmode=verify-full&target_session_attrs=read-write",
                "postgres://a,b/f?target_session_attrs=read-write",
                Demand::VerifyFull,
            ),
            (
                "postgres://db/f?connect_timeout=1&sslmode=require",
                "postgres://db/f?connect_timeout=1",
                Demand::Require,
            ),
        ];
        for (url, rest, demand) in table {
            let (left, tls) = Tls::of_url(url).unwrap();
            assert_eq!((left.as_str(), tls.demand), (rest, demand), "{url}");
        }
        for url in
            ["postgres://db/f?sslmode=on", "postgres://db/f?sslmode=verify-ca&sslrootcert=%2Fno"]
        {
            assert!(Tls::of_url(url).is_err(), "{url}");
        }
    }
}
