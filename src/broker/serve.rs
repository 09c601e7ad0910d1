//! The listener's side: connections within bounds, each request to one of two ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::answer::{Answer, plain};
use super::desk::{BrokerCounts, Desk, Notices, Tally};
use super::dial::Dial;
use super::dialect::Dialect;
use super::egress::{self, Egress};
use super::forward::forward;
use super::head::{Head, Watched};
use super::key::ModelKey;
use super::purse::Purse;
use super::refuse::Refusal;
use crate::vocab::shown;

/// Connections at a time; more wait in the listener's queue.
const CONNECTIONS: usize = 128;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// Lines of a request's head.
const HEAD_LINES: usize = 64;
/// How long a request's head may take, counted also while a connection rests between two requests.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Characters of a hostile request that are repeated in an event.
const SHOWN: usize = 300;

/// What is let through, where to, and with which key.
#[derive(Debug, Clone)]
pub struct Route {
    /// The way to the endpoint.
    pub dial: Dial,
    /// How it is spoken to.
    pub dialect: Dialect,
    /// Its key, when it wants one.
    pub key: Option<ModelKey>,
    /// The model that the decision names.
    pub model: String,
    /// Who pays; `None` where nothing costs anything.
    pub purse: Option<Purse>,
}

/// Every way out of one run. By default there is none, and everything is refused.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// To the model; `None` for engines that have none.
    pub model: Option<Arc<Route>>,
    /// To destinations that contract and configuration both allow.
    pub egress: Egress,
}

/// Why the broker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The listener that was handed out cannot be used.
    #[error("the listener from inside the sandbox cannot be used: {0}")]
    Listener(#[from] std::io::Error),
}

/// A broker at work; dropped, it stops.
#[derive(Debug)]
pub struct Broker {
    accepting: JoinHandle<()>,
    tally: Arc<Tally>,
}

impl Broker {
    /// Serves the handed-out listener until dropped. Must be called within a tokio runtime.
    pub fn serve(listener: std::net::TcpListener, ways: Ways) -> Result<(Self, Notices), BrokerError> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (runs, running) = watch::channel(());
        let (desk, notices, tally) = Desk::new(running);
        let accepting = tokio::spawn(accept(listener, Arc::new(ways), desk, runs));
        Ok((Self { accepting, tally }, notices))
    }

    /// Lets nothing more in and ends what is under way; the notices end once that is recorded.
    pub fn stop(&self) {
        self.accepting.abort();
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> BrokerCounts {
        self.tally.counts()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// `_runs` is held until the broker stops: then every tunnel ends, too.
async fn accept(listener: TcpListener, ways: Arc<Ways>, desk: Arc<Desk>, _runs: watch::Sender<()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Held by this task: when the broker is dropped, the connections are ended with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or the peer was gone already: neither is a reason to spin.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // Pieces of an answer are not held back to be sent together.
        stream.set_nodelay(true).ok();
        let (ways, desk) = (Arc::clone(&ways), Arc::clone(&desk));
        connections.spawn(async move {
            let _place_until_the_end = place;
            connection(stream, ways, desk).await;
        });
    }
}

async fn connection(stream: tokio::net::TcpStream, ways: Arc<Ways>, desk: Arc<Desk>) {
    let head = Head::default();
    let _at_the_end = Unfinished { head: head.clone(), desk: Arc::clone(&desk) };
    let service = {
        let (head, desk) = (head.clone(), Arc::clone(&desk));
        service_fn(move |request| {
            head.finished();
            let (ways, head, desk) = (Arc::clone(&ways), head.clone(), Arc::clone(&desk));
            async move {
                let connects = request.method() == Method::CONNECT;
                let answer = answer(request, &ways, &desk).await;
                // No head comes on a connection that is a tunnel from here on.
                if !(connects && answer.status().is_success()) {
                    head.rests();
                }
                Ok::<_, Infallible>(answer)
            }
        })
    };
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        .serve_connection(TokioIo::new(Watched::new(stream, head.clone())), service)
        .with_upgrades()
        .await;
    if let Err(error) = served
        && (error.is_parse() || error.is_parse_too_large())
    {
        // Answered by the HTTP layer itself (400, 431) before it was a request.
        let refusal =
            Refusal::new(StatusCode::BAD_REQUEST, "egress.malformed", format!("not HTTP/1.1: {error}"));
        head.finished();
        desk.denied(&refusal, "", "", false).await;
    }
}

/// Counts and records a head that was begun and never ended, however the connection ended.
struct Unfinished {
    head: Head,
    desk: Arc<Desk>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.head.is_unfinished() {
            self.desk.unfinished();
        }
    }
}

async fn answer(request: Request<Incoming>, ways: &Ways, desk: &Arc<Desk>) -> Response<Answer> {
    let method = cut(request.method().as_str());
    let target = request.uri().to_string();
    // Judged on the whole target, before anything is cut: a push in git's own words (gitprotocol-http).
    let push = decoded(&target).contains("git-receive-pack");
    let target = cut(&target);
    match let_through(request, ways, desk).await {
        Ok(response) => response,
        Err(refusal) => {
            desk.denied(&refusal, &method, &target, push).await;
            let mut response = plain(refusal.status, refusal.body());
            // What is left of a refused request is not read as the next one.
            response
                .headers_mut()
                .insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
            response
        }
    }
}

async fn let_through(
    request: Request<Incoming>,
    ways: &Ways,
    desk: &Arc<Desk>,
) -> Result<Response<Answer>, Refusal> {
    if request.method() == Method::CONNECT && !ways.egress.is_empty() {
        return egress::open(request, &ways.egress, desk).await;
    }
    let route = ways.model.as_ref().ok_or_else(|| Refusal::route("this engine has no way out"))?;
    forward(request, route, desk).await
}

/// `target` with percent-encoding undone, once; what is not encoding stays.
fn decoded(target: &str) -> String {
    let mut out = Vec::with_capacity(target.len());
    let mut rest = target.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| str::from_utf8(pair).ok());
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *first == b'%');
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or(&[]) } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn cut(text: &str) -> String {
    shown(&text.chars().take(SHOWN).collect::<String>())
}
