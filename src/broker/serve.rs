//! The listener's side: connections within bounds, each request to one of two ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::answer::Answer;
use super::egress::{self, Egress};
use super::endpoint::Upstream;
use super::forward::{check_head, forward, plain, rebuild};
use super::head::{Head, Watched};
use super::key::ModelKey;
use super::refuse::Refusal;
use crate::event::{Draft, EventKind};
use crate::vocab::shown;

/// Connections at a time; more wait in the listener's queue.
const CONNECTIONS: usize = 16;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// Lines of a request's head.
const HEAD_LINES: usize = 64;
/// How long a request's head may take, counted also while a connection rests between two requests.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Model requests of one run.
const CALLS: u64 = 10_000;
/// Tunnels at a time; each was a connection before, and makes room for another.
const TUNNELS: usize = 32;
/// Tunnels of one run.
const TUNNELS_IN_ALL: u64 = 10_000;
/// Refusals that get an event of their own; the rest are counted.
const REFUSALS_RECORDED: u64 = 200;
/// Notices on their way to the log.
const NOTICES: usize = 64;
/// Characters of a hostile request that are repeated in an event.
const SHOWN: usize = 300;

/// What is let through, where to, and with which key.
#[derive(Debug, Clone)]
pub struct Route {
    /// The endpoint.
    pub upstream: Upstream,
    /// Its key, when it wants one.
    pub key: Option<ModelKey>,
    /// The model that the decision names.
    pub model: String,
}

/// Every way out of one run. By default there is none, and everything is refused.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// To the model; `None` for engines that have none.
    pub model: Option<Route>,
    /// To destinations that contract and configuration both allow.
    pub egress: Egress,
}

/// How often what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BrokerCounts {
    /// Requests that were sent to the endpoint.
    pub forwarded: u64,
    /// Requests and tunnels that were refused.
    pub refused: u64,
    /// Tunnels that were let through.
    pub tunnels: u64,
}

/// An event on its way to the log; whoever records it says so, and only then the act goes on.
#[derive(Debug)]
pub struct Notice {
    /// What to record.
    pub draft: Draft,
    /// Dropped without a word when it could not be recorded.
    pub recorded: oneshot::Sender<()>,
}

/// Where notices come out. When it is dropped, nothing is let through any more.
pub type Notices = mpsc::Receiver<Notice>;

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

#[derive(Debug, Default)]
struct Tally {
    forwarded: AtomicU64,
    refused: AtomicU64,
    pushes: AtomicU64,
    tunnels: AtomicU64,
    carried: CarriedInAll,
}

/// Bytes of all tunnels of a run.
#[derive(Debug, Default)]
pub(super) struct CarriedInAll {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

/// Counts and notices, shared by all connections.
#[derive(Debug)]
pub(super) struct Desk {
    notices: mpsc::Sender<Notice>,
    tally: Arc<Tally>,
    /// Held while a body is read and made anew.
    one_body: Semaphore,
    tunnels: Arc<Semaphore>,
    /// Its sender is gone when the broker stops.
    running: watch::Receiver<()>,
}

impl Broker {
    /// Serves the handed-out listener until dropped. Must be called within a tokio runtime.
    pub fn serve(listener: std::net::TcpListener, ways: Ways) -> Result<(Self, Notices), BrokerError> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (sender, notices) = mpsc::channel(NOTICES);
        let tally = Arc::new(Tally::default());
        let (runs, running) = watch::channel(());
        let desk = Arc::new(Desk {
            notices: sender,
            tally: Arc::clone(&tally),
            one_body: Semaphore::new(1),
            tunnels: Arc::new(Semaphore::new(TUNNELS)),
            running,
        });
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
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        BrokerCounts {
            forwarded: read(&self.tally.forwarded),
            refused: read(&self.tally.refused),
            tunnels: read(&self.tally.tunnels),
        }
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
    check_head(&request)?;
    let body = rebuild(request.into_body(), &route.model, &desk.one_body).await?;
    forward(route, desk, body).await
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

impl Desk {
    /// The number of the next forwarded request, from 1.
    pub(super) fn next_call(&self) -> Result<u64, Refusal> {
        let before = self.tally.forwarded.fetch_add(1, Ordering::SeqCst);
        if before < CALLS {
            return Ok(before + 1);
        }
        self.tally.forwarded.fetch_sub(1, Ordering::SeqCst);
        let sentence = format!("this run has made {CALLS} model requests");
        Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", sentence))
    }

    /// A place for one more tunnel at a time.
    pub(super) fn tunnel_place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.tunnels).try_acquire_owned().map_err(|_| {
            let sentence = format!("{TUNNELS} tunnels are open, which is as many as may be");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "egress.tunnels", sentence)
        })
    }

    /// The number of the next tunnel, from 1.
    pub(super) fn next_tunnel(&self) -> Result<u64, Refusal> {
        let next = |before| (before < TUNNELS_IN_ALL).then_some(before + 1);
        let before = self.tally.tunnels.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        before.map(|before| before + 1).map_err(|_| {
            let sentence = format!("this run has opened {TUNNELS_IN_ALL} tunnels");
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "egress.tunnels", sentence)
        })
    }

    /// Bytes of all tunnels so far.
    pub(super) fn carried(&self) -> &CarriedInAll {
        &self.tally.carried
    }

    /// Changes, by an error, when the broker stops.
    pub(super) fn running(&self) -> watch::Receiver<()> {
        self.running.clone()
    }

    /// Records, and waits until it is on record.
    async fn record(&self, draft: Draft) -> bool {
        let (recorded, done) = oneshot::channel();
        self.notices.send(Notice { draft, recorded }).await.is_ok() && done.await.is_ok()
    }

    /// Records that something is let through; refuses when that cannot be recorded.
    pub(super) async fn allowed(&self, data: Value) -> Result<(), Refusal> {
        if self.record(Draft::brokered(EventKind::EgressAllowed, data)).await {
            return Ok(());
        }
        let sentence = "it could not be recorded, so it is not done";
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "egress.unrecorded", sentence))
    }

    /// Records how a forwarded request or a tunnel ended. After the run's end nobody listens, and the counts have it.
    pub(super) async fn ended(&self, data: Value) {
        self.record(Draft::brokered(EventKind::EgressAllowed, data)).await;
    }

    pub(super) async fn denied(&self, refusal: &Refusal, method: &str, target: &str, push: bool) {
        if let Some(draft) = self.refuse(refusal, method, target, push) {
            // Refused it is in any case, recorded or not.
            self.record(draft).await;
        }
    }

    /// Without waiting, for a connection that is being dropped; a full queue leaves it counted.
    fn unfinished(&self) {
        let sentence = "the head of a request was begun and not ended";
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "egress.unfinished", sentence);
        if let Some(draft) = self.refuse(&refusal, "", "", false) {
            let (recorded, _nobody_waits) = oneshot::channel();
            drop(self.notices.try_send(Notice { draft, recorded }));
        }
    }

    /// Counts a refusal; the event where there is still room for one.
    fn refuse(&self, refusal: &Refusal, method: &str, target: &str, push: bool) -> Option<Draft> {
        let before = self.tally.refused.fetch_add(1, Ordering::SeqCst);
        // The first push is recorded however many other refusals there were before.
        let first_push = push && self.tally.pushes.fetch_add(1, Ordering::SeqCst) == 0;
        (before < REFUSALS_RECORDED || first_push).then(|| {
            let action = push.then_some("git.push");
            let data = json!({"method": method, "target": target, "code": refusal.code, "action": action,
                "reason": shown(&refusal.sentence), "status": refusal.status.as_u16(), "number": before + 1});
            Draft::brokered(EventKind::EgressDenied, data)
        })
    }
}
