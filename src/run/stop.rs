//! When somebody says stop: SIGINT, SIGTERM and SIGHUP become a value that every stage can look at.
//!
//! A thread of its own listens, so that a stage which computes does not keep a signal from being noticed. From
//! [`Stop::listen`] on, the first signal ends no process: the run is asked between any two steps, ends its engine,
//! seals what there is, and exits with 130. A second one ends the process at once while facts are gathered, when
//! nothing is recorded yet. What is not interrupted but looked at afterwards: reading the target, checking out its
//! base, computing the patch, and writing and sealing the bundle; each is bounded by what it reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How a process ends that was interrupted.
const INTERRUPTED: i32 = 130;

/// Whether somebody said stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    signal: watch::Receiver<Option<&'static str>>,
    cancelled: watch::Receiver<bool>,
    recorded: Arc<AtomicBool>,
}

impl Stop {
    /// Takes over the signals, and returns when that is done.
    pub(crate) fn listen() -> io::Result<Self> {
        let (say, signal) = watch::channel(None);
        let (cancel, cancelled) = watch::channel(false);
        let recorded = Arc::new(AtomicBool::new(false));
        let stop = Self { signal, cancelled, recorded: Arc::clone(&recorded) };
        let (tell, told) = std::sync::mpsc::channel();
        let listener = move || {
            let ready = Builder::new_current_thread().enable_io().build().and_then(|event_loop| {
                let signals = event_loop.block_on(async { Signals::take() })?;
                Ok((event_loop, signals))
            });
            match ready {
                // A failed send means that whoever wanted to know is gone.
                Err(error) => tell.send(Err(error)).unwrap_or_default(),
                Ok((event_loop, signals)) => {
                    tell.send(Ok(())).unwrap_or_default();
                    event_loop.block_on(pass_on(signals, &say, &cancel, &recorded));
                }
            }
        };
        std::thread::Builder::new().name("stop".to_owned()).spawn(listener)?;
        told.recv().map_err(|_| io::Error::other("the listener for signals died"))??;
        Ok(stop)
    }

    /// From here on there is a record and a bundle, so a run ends by sealing.
    pub(crate) fn recording_begins(&self) {
        self.recorded.store(true, Ordering::SeqCst);
    }

    /// The signal that said stop, if one did.
    pub(crate) fn said(&self) -> Option<&'static str> {
        *self.signal.borrow()
    }

    /// For stages that wait: changes when somebody says stop.
    pub(crate) fn receiver(&self) -> watch::Receiver<Option<&'static str>> {
        self.signal.clone()
    }

    /// Becomes true when somebody says stop.
    pub(crate) fn cancelled(&self) -> watch::Receiver<bool> {
        self.cancelled.clone()
    }
}

/// The signals that say stop, taken over.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            // The terminal was closed; the run is sealed all the same.
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

/// Passes signals on until the run is over.
async fn pass_on(
    mut signals: Signals,
    say: &watch::Sender<Option<&'static str>>,
    cancel: &watch::Sender<bool>,
    recorded: &AtomicBool,
) {
    loop {
        let name = tokio::select! {
            name = signals.next() => name,
            () = say.closed() => return,
        };
        if say.borrow().is_some() {
            if !recorded.load(Ordering::SeqCst) {
                std::process::exit(INTERRUPTED);
            }
            // Whoever waits for an engine to end by itself waits no longer.
            say.send_replace(Some(name));
            continue;
        }
        cancel.send_replace(true);
        say.send_replace(Some(name));
    }
}
