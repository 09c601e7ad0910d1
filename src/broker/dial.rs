//! The way to the endpoint: connected to, by TLS unless it is on this machine, and kept for the next call for a while.
//!
//! What matters most is told apart: whether the request can have left. Only one that cannot is given back its money.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::endpoint::{Peer, Upstream};
use super::trouble::Trouble;

/// How long connecting may take, names and certificates included.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long the endpoint may stay silent, before and within its answer.
pub(super) const SILENCE: Duration = Duration::from_mins(5);
/// How long a connection rests and is used again; servers commonly keep one for at least five seconds.
const REST: Duration = Duration::from_secs(4);
/// Connections that rest at a time.
const RESTING: usize = 8;

type Sender = SendRequest<Full<Bytes>>;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate authority is known.
    #[error(
        "no certificate authority is known: {0}; install the package `ca-certificates`, or name a PEM file with `ca`"
    )]
    NoRoots(String),
    /// The operator's file.
    #[error("the file of certificate authorities {path} cannot be used: {why}")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
}

/// The endpoint, and how to get there.
#[derive(Debug, Clone)]
pub struct Dial {
    upstream: Upstream,
    tls: Option<TlsConnectorShown>,
    resting: Arc<Mutex<Vec<(Sender, Instant)>>>,
}

/// A connector has no `Debug` of its own.
#[derive(Clone)]
struct TlsConnectorShown(TlsConnector);

impl std::fmt::Debug for TlsConnectorShown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

/// A request that brought no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// What happened, in words.
    pub(super) why: String,
    /// What it was.
    pub(super) trouble: Trouble,
    /// Whether a byte of it can have left.
    pub(super) may_have_left: bool,
}

impl Unanswered {
    fn before(why: impl Into<String>, trouble: Trouble) -> Self {
        Self { why: why.into(), trouble, may_have_left: false }
    }

    /// Whoever asked went away.
    pub(super) fn hung_up() -> Self {
        Self::after("the engine went away")
    }

    fn after(why: impl Into<String>) -> Self {
        Self { why: why.into(), trouble: Trouble::BrokenOff, may_have_left: true }
    }
}

impl Dial {
    /// Prepares the way. `ca` is a PEM file of certificate authorities to trust instead of the system's.
    pub fn new(upstream: Upstream, ca: Option<&Path>) -> Result<Self, TlsError> {
        let tls = match upstream.peer {
            Peer::Loopback(_) => None,
            Peer::Tls { .. } => Some(TlsConnectorShown(connector(ca)?)),
        };
        Ok(Self { upstream, tls, resting: Arc::default() })
    }

    /// Where it leads.
    pub(super) const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Sends a request and hands back its answer, with the connection that it came over.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Sender), Unanswered> {
        while let Some(mut sender) = self.rested() {
            match attempt(&mut sender, request).await {
                Ok(answer) => return Ok((answer, sender)),
                Err((_, Some(unsent))) => request = unsent,
                Err((unanswered, None)) => return Err(unanswered),
            }
        }
        let mut sender = timeout(CONNECT_TIME, self.connect())
            .await
            .map_err(|_| Unanswered::before("connecting took too long", Trouble::Unreachable))??;
        let answer = attempt(&mut sender, request).await.map_err(|(unanswered, _)| unanswered)?;
        Ok((answer, sender))
    }

    /// The answer was read to its end: its connection can carry another.
    pub(super) fn rest(&self, sender: Sender) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if !sender.is_closed() && resting.len() < RESTING {
            resting.push((sender, Instant::now()));
        }
    }

    fn rested(&self) -> Option<Sender> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|(sender, since)| since.elapsed() < REST && !sender.is_closed());
        resting.pop().map(|(sender, _)| sender)
    }

    async fn connect(&self) -> Result<Sender, Unanswered> {
        match (&self.upstream.peer, &self.tls) {
            (Peer::Loopback(address), _) => {
                let stream = TcpStream::connect(address).await.map_err(|error| unconnected(&error))?;
                stream.set_nodelay(true).ok();
                speak(stream).await
            }
            (Peer::Tls { host, port }, Some(TlsConnectorShown(connector))) => {
                let stream =
                    TcpStream::connect((host.as_str(), *port)).await.map_err(|error| unconnected(&error))?;
                stream.set_nodelay(true).ok();
                let name = ServerName::try_from(host.clone()).map_err(|_| {
                    Unanswered::before("the endpoint's host is no name", Trouble::Unreachable)
                })?;
                let stream = connector.connect(name, stream).await.map_err(|error| {
                    Unanswered::before(format!("TLS was not agreed on: {error}"), Trouble::Unreachable)
                })?;
                speak(stream).await
            }
            (Peer::Tls { .. }, None) => {
                Err(Unanswered::before("no certificate authority is known", Trouble::Unreachable))
            }
        }
    }
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let roots = ca.map_or_else(roots_of_the_system, roots_in)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::NoRoots(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots_in(path: &Path) -> Result<RootCertStore, TlsError> {
    let wrong = |why: String| TlsError::File { path: crate::vocab::shown(&path.to_string_lossy()), why };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(roots) }
}

fn roots_of_the_system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
        return Err(TlsError::NoRoots(why));
    }
    Ok(roots)
}

/// `None` for the request where it may have left.
async fn attempt(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, (Unanswered, Option<Request<Full<Bytes>>>)> {
    match timeout(SILENCE, sender.try_send_request(request)).await {
        Err(_) => Err((Unanswered::after("no answer in time"), None)),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(mut error)) => match error.take_message() {
            Some(unsent) => {
                let why = format!("the request could not be sent: {}", error.error());
                Err((Unanswered::before(why, Trouble::Unreachable), Some(unsent)))
            }
            None => Err((Unanswered::after(format!("the request failed: {}", error.error())), None)),
        },
    }
}

async fn speak<S>(stream: S) -> Result<Sender, Unanswered>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| {
        Unanswered::before(format!("speaking HTTP failed: {error}"), Trouble::Unreachable)
    })?;
    // It ends with the connection; what went wrong on it is seen at the body.
    tokio::spawn(connection);
    Ok(sender)
}

fn unconnected(error: &std::io::Error) -> Unanswered {
    let trouble = if error.kind() == std::io::ErrorKind::ConnectionRefused {
        Trouble::ConnectionRefused
    } else {
        Trouble::Unreachable
    };
    Unanswered::before(format!("connecting failed: {error}"), trouble)
}
