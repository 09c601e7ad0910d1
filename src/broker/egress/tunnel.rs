//! One tunnel: asked for, judged, on record, dialled, opened, and after its hello carried both ways within bounds.
//!
//! ```text
//! CONNECT ─asked→ destination ─resolved, judged→ address ─on record─ dialled → 200 ─hello→ carried → ended, on record
//! ```
//! Nothing goes out before the hello was judged. The tunnel is a task of its own, because a connection that became one
//! is no connection of the listener's any more; it ends with the broker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::allowed::{Bounds, Egress};
use super::hello::{self, HELLO_BYTES, Hello};
use crate::broker::answer::{Answer, plain};
use crate::broker::desk::Desk;
use crate::broker::head::Watched;
use crate::broker::refuse::{Refusal, unconnected};
use crate::vocab::{Destination, Host};

/// Bytes that are carried at a time, in each direction.
const CHUNK: usize = 16 * 1024;

/// Opens the tunnel that `request` asks for; what it answers is sent before the tunnel begins.
pub(in crate::broker) async fn open(
    mut request: Request<Incoming>,
    egress: &Egress,
    desk: &Arc<Desk>,
) -> Result<Response<Answer>, Refusal> {
    let destination = egress.asked(&request)?.clone();
    let place = desk.tunnel_place()?;
    let address = egress.address(&destination).await?;
    let number = desk.next_tunnel()?;
    let data = json!({"tunnel": number, "stage": "open", "host": destination.host().to_string(),
        "port": destination.port(), "address": address.ip().to_string()});
    // On record before it is done.
    desk.allowed(data).await?;
    let (tell, told) = oneshot::channel();
    let tunnel = Tunnel { number, destination, address, bounds: egress.bounds, _place: place };
    tokio::spawn(tunnel.run(hyper::upgrade::on(&mut request), Arc::clone(desk), tell));
    match told.await {
        Ok(Ok(())) => Ok(Response::new(Answer::empty())),
        Ok(Err(why)) => Ok(plain(StatusCode::BAD_GATEWAY, unconnected(&why))),
        Err(_) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "egress.ended", "the run is over")),
    }
}

async fn dial(address: SocketAddr, within: Duration) -> Result<TcpStream, String> {
    let dialled = timeout(within, TcpStream::connect(address)).await;
    let dialled = dialled.map_err(|_| "connecting took too long".to_owned())?;
    dialled.map_err(|error| format!("connecting failed: {error}"))
}

fn ended(number: u64, carried: &Carried, how: &str) -> Value {
    json!({"tunnel": number, "stage": "end", "bytes_out": carried.out.load(Ordering::SeqCst),
        "bytes_in": carried.into.load(Ordering::SeqCst), "ended": how})
}

/// Bytes of one tunnel, as far as they were handed on.
#[derive(Debug, Default)]
struct Carried {
    out: AtomicU64,
    into: AtomicU64,
}

/// A tunnel that is on record; nobody was dialled yet.
struct Tunnel {
    number: u64,
    destination: Destination,
    address: SocketAddr,
    bounds: Bounds,
    _place: OwnedSemaphorePermit,
}

/// How a tunnel ended, where nobody refused anything.
enum End {
    /// In one of its own ways.
    Said(&'static str),
    /// Broken off.
    Broken(std::io::Error),
    /// There is nobody at the far side.
    Unreached(String),
    /// Its hello may not pass.
    Refused(Refusal),
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Tunnel {
    /// To its end, which is on record however it comes. `tell` hears whether the far side is there.
    async fn run(self, upgrade: OnUpgrade, desk: Arc<Desk>, tell: oneshot::Sender<Result<(), String>>) {
        let carried = Carried::default();
        let mut running = desk.running();
        let end = tokio::select! {
            biased;
            () = is_over(&mut running) => End::Said("with the run"),
            end = self.carry(upgrade, &desk, &carried, tell) => end.err().unwrap_or(End::Said("closed")),
        };
        let how = match end {
            End::Said(how) => how.to_owned(),
            End::Unreached(why) => why,
            End::Broken(error) => format!("broken off: {error}"),
            End::Refused(refusal) => {
                desk.denied(&refusal, "CONNECT", &self.destination.to_string(), false).await;
                format!("refused: {}", refusal.code)
            }
        };
        desk.ended(ended(self.number, &carried, &how)).await;
    }

    async fn carry(
        &self,
        upgrade: OnUpgrade,
        desk: &Desk,
        carried: &Carried,
        tell: oneshot::Sender<Result<(), String>>,
    ) -> Result<(), End> {
        let mut far = match dial(self.address, self.bounds.dialling).await {
            Ok(far) => far,
            Err(why) => {
                tell.send(Err(why.clone())).ok();
                return Err(End::Unreached(why));
            }
        };
        tell.send(Ok(())).ok();
        let upgraded = upgrade.await.map_err(|error| End::Broken(std::io::Error::other(error)))?;
        let parts = upgraded
            .downcast::<TokioIo<Watched>>()
            .map_err(|_| End::Said("the connection is not one of this listener's"))?;
        if !parts.read_buf.is_empty() {
            let sentence = "something was said before the tunnel was open";
            return Err(End::Refused(Refusal::new(StatusCode::BAD_REQUEST, "egress.early", sentence)));
        }
        let mut near = parts.io.into_inner().into_stream();
        let hello = timeout(self.bounds.hello, self.hello(&mut near))
            .await
            .map_err(|_| no_hello("the hello took too long"))??;
        let clock = Clock::new(self.bounds.silence);
        let (tally, bounds) = (desk.carried(), self.bounds);
        let (near_in, near_out) = near.split();
        let (far_in, far_out) = far.split();
        let out = Direction { run: &tally.sent, most: bounds.sent, tunnel: &carried.out, clock: &clock };
        let into =
            Direction { run: &tally.received, most: bounds.received, tunnel: &carried.into, clock: &clock };
        tokio::select! {
            both = async { tokio::try_join!(out.carry(&hello, near_in, far_out), into.carry(&[], far_in, near_out)) } =>
                both.map(|((), ())| ()),
            () = clock.ran_out() => Err(End::Said("silent for too long")),
        }
    }

    /// The hello's bytes, once they may go out.
    async fn hello(&self, near: &mut TcpStream) -> Result<Vec<u8>, End> {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 2048]);
        loop {
            let room = chunk.get_mut(..HELLO_BYTES.saturating_sub(bytes.len()).min(2048)).unwrap_or_default();
            if room.is_empty() {
                return Err(no_hello("the hello is too large"));
            }
            let count = near.read(room).await?;
            if count == 0 && bytes.is_empty() {
                return Err(End::Said("closed before its hello"));
            }
            if count == 0 {
                return Err(no_hello("the hello was begun and not ended"));
            }
            bytes.extend_from_slice(room.get(..count).unwrap_or_default());
            match hello::read(&bytes).map_err(no_hello)? {
                Hello::Part => {}
                Hello::Whole { name } => {
                    return names(self.destination.host(), name.as_deref()).map(|()| bytes).map_err(no_hello);
                }
            }
        }
    }
}

fn no_hello(why: &'static str) -> End {
    End::Refused(Refusal::new(StatusCode::FORBIDDEN, "egress.sni", why))
}

/// Whether a hello names the host of its destination. Where that is an address there is no name for it (RFC 6066 §3).
fn names(host: &Host, name: Option<&str>) -> Result<(), &'static str> {
    match (host, name) {
        (Host::Name(host), Some(name)) if name.eq_ignore_ascii_case(host) => Ok(()),
        (Host::Address(_), None) => Ok(()),
        (Host::Name(_), Some(_)) => Err("the hello names another host"),
        (Host::Name(_), None) => Err("the hello names no host"),
        (Host::Address(_), Some(_)) => Err("the hello names a host, and the destination is an address"),
    }
}

/// One of the two directions of a tunnel.
struct Direction<'a> {
    /// Bytes of all tunnels of the run.
    run: &'a AtomicU64,
    most: u64,
    tunnel: &'a AtomicU64,
    clock: &'a Clock,
}

impl Direction<'_> {
    /// Hands on `first` and what follows, to its end, which is handed on as well.
    async fn carry(
        &self,
        first: &[u8],
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), End> {
        self.hand_on(first, &mut to).await?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = from.read(&mut chunk).await?;
            if count == 0 {
                // Where the other side is gone already, there is nobody to tell.
                to.shutdown().await.ok();
                return Ok(());
            }
            self.hand_on(chunk.get(..count).unwrap_or_default(), &mut to).await?;
        }
    }

    async fn hand_on(&self, bytes: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> Result<(), End> {
        let count = bytes.len() as u64;
        if self.run.fetch_add(count, Ordering::SeqCst).saturating_add(count) > self.most {
            return Err(End::Said("the run has carried as many bytes as it may"));
        }
        to.write_all(bytes).await?;
        self.tunnel.fetch_add(count, Ordering::SeqCst);
        self.clock.touch();
        Ok(())
    }
}

/// When the last byte was handed on, in either direction.
struct Clock {
    begun: Instant,
    last: AtomicU64,
    silence: Duration,
}

impl Clock {
    fn new(silence: Duration) -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0), silence }
    }

    fn touch(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::SeqCst);
    }

    async fn ran_out(&self) {
        loop {
            let end = self.begun + Duration::from_millis(self.last.load(Ordering::SeqCst)) + self.silence;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// The broker stopped, or was dropped.
async fn is_over(running: &mut watch::Receiver<()>) {
    while running.changed().await.is_ok() {}
}
