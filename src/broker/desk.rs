//! The desk of a broker at work: what is counted, what is recorded before it is done, and what may go on at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::forward::REQUEST_BYTES;
use super::refuse::Refusal;
use crate::event::{Draft, EventKind};
use crate::vocab::shown;

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

/// Codes of refusals of a request that would be let through at another time.
const NOT_NOW: [&str; 3] = ["egress.calls", "egress.ended", "egress.unrecorded"];

impl Notice {
    /// Whether it tells of something that was asked for and is not let through at all.
    #[must_use]
    pub fn is_an_attempt(&self) -> bool {
        is_an_attempt(self.draft.kind, &self.draft.data)
    }

    /// Whether it says that no more may be spent.
    #[must_use]
    pub fn is_out_of_money(&self) -> bool {
        self.draft.kind == EventKind::EgressDenied
            && self
                .draft
                .data
                .get("code")
                .and_then(Value::as_str)
                .is_some_and(|code| code.starts_with("spend."))
    }
}

/// Whether an event of the broker's tells of something that was asked for and is not let through at all.
#[must_use]
pub fn is_an_attempt(kind: EventKind, data: &Value) -> bool {
    let code = data.get("code").and_then(Value::as_str).unwrap_or("");
    kind == EventKind::EgressDenied && !code.starts_with("spend.") && !NOT_NOW.contains(&code)
}

/// Where notices come out. When it is dropped, nothing is let through any more.
pub type Notices = mpsc::Receiver<Notice>;

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Numbers that were given to calls; never given twice.
    numbered: AtomicU64,
    forwarded: AtomicU64,
    refused: AtomicU64,
    pushes: AtomicU64,
    tunnels: AtomicU64,
    carried: CarriedInAll,
}

impl Tally {
    pub(super) fn counts(&self) -> BrokerCounts {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        BrokerCounts {
            forwarded: read(&self.forwarded),
            refused: read(&self.refused),
            tunnels: read(&self.tunnels),
        }
    }
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
    /// Bytes of bodies that may be in memory before they are checked.
    pub(super) room_for_bodies: Arc<Semaphore>,
    /// Held while a large body is checked and made anew.
    pub(super) large_bodies: Arc<Semaphore>,
    tunnels: Arc<Semaphore>,
    /// Its sender is gone when the broker stops.
    running: watch::Receiver<()>,
}

impl Desk {
    /// A desk, where its notices come out, and the counts, which outlive it.
    pub(super) fn new(running: watch::Receiver<()>) -> (Arc<Self>, mpsc::Receiver<Notice>, Arc<Tally>) {
        let (sender, notices) = mpsc::channel(NOTICES);
        let tally = Arc::new(Tally::default());
        let desk = Self {
            notices: sender,
            tally: Arc::clone(&tally),
            room_for_bodies: Arc::new(Semaphore::new(REQUEST_BYTES)),
            large_bodies: Arc::new(Semaphore::new(1)),
            tunnels: Arc::new(Semaphore::new(TUNNELS)),
            running,
        };
        (Arc::new(desk), notices, tally)
    }

    /// The number of the next forwarded request, from 1.
    pub(super) fn next_call(&self) -> Result<u64, Refusal> {
        let before = self.tally.numbered.fetch_add(1, Ordering::SeqCst);
        if before < CALLS {
            self.tally.forwarded.fetch_add(1, Ordering::SeqCst);
            return Ok(before + 1);
        }
        let sentence = format!("this run has made {CALLS} model requests");
        Err(Refusal::final_one("egress.calls", sentence))
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

    /// Records, and waits until it is on record; whether it is.
    pub(super) async fn record(&self, draft: Draft) -> bool {
        let (recorded, done) = oneshot::channel();
        self.notices.send(Notice { draft, recorded }).await.is_ok() && done.await.is_ok()
    }

    /// Records that something is let through; refuses when that cannot be recorded.
    pub(super) async fn allowed(&self, data: Value) -> Result<(), Refusal> {
        let recorded = self.record(Draft::brokered(EventKind::EgressAllowed, data)).await;
        if recorded { Ok(()) } else { Err(Refusal::unrecorded()) }
    }

    /// A call that had a number was not forwarded after all.
    pub(super) fn not_forwarded(&self) {
        self.tally.forwarded.fetch_sub(1, Ordering::SeqCst);
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
    pub(super) fn unfinished(&self) {
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
                "reason": shown(&refusal.sentence), "remedy": refusal.remedy, "status": refusal.status.as_u16(), "number": before + 1});
            Draft::brokered(EventKind::EgressDenied, data)
        })
    }
}
