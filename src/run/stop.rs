//! When somebody says stop: SIGINT, SIGTERM and SIGHUP become a value that every stage can look at.
//!
//! From [`Stop::listen`] on, none of them ends the process by itself: the run ends its engine, seals what
//! there is, and exits with 130.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether somebody said stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    signal: watch::Receiver<Option<&'static str>>,
    cancelled: watch::Receiver<bool>,
}

impl Stop {
    /// Takes over the signals. Needs a running event loop.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let (say, signal) = watch::channel(None);
        let (cancel, cancelled) = watch::channel(false);
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                // The terminal was closed; the run is sealed all the same.
                _ = hang_up.recv() => "SIGHUP",
            };
            // A failed send means that nobody listens any more: the run is over.
            if cancel.send(true).is_ok() && say.send(Some(name)).is_ok() {
                say.closed().await;
            }
        });
        Ok(Self { signal, cancelled })
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
