//! A process that holds a sandbox's mount namespace a little longer than the sandbox lives, and nothing else.
//!
//! Taking three dozen mounts down makes the kernel wait for all processors. The last holder pays for that, and nobody
//! waits for this one. Best effort: without it, PID 1's end takes longer. It is made while there is no policy yet
//! where that can be, because a fork beside a sandbox that is being put up is paid for by the sandbox.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use super::sys;
use crate::process::{receive, send};

/// The holder's other end. When it is closed, however that comes, the holder ends.
#[derive(Debug)]
pub(super) struct Holder {
    channel: UnixStream,
}

impl Holder {
    /// Forks it; it has nothing to hold yet. The caller is single-threaded, as every stub is.
    pub(super) fn make() -> Option<Self> {
        let (channel, theirs) = UnixStream::pair().ok()?;
        if let Ok(None) = sys::fork() {
            drop(channel);
            wait(theirs);
            std::process::exit(0)
        }
        Some(Self { channel })
    }

    /// Hands `mounts` over. Whoever closes it afterwards leaves the holder as the only one that has it open.
    pub(super) fn hold(&self, mounts: &File) {
        send(&self.channel, &(), &[mounts.as_fd()]).ok();
    }
}

/// Keeps what is handed over until the other end is closed.
fn wait(theirs: UnixStream) {
    // INVARIANT: not the control channel: its end says that stub and PID 1 are gone.
    if nix::unistd::dup2_stdin(theirs).is_err() || sys::close_from(3, false).is_err() {
        return;
    }
    let channel = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let held = channel.and_then(|channel| receive::<()>(&channel)).ok().flatten();
    let Some(mounts) = held.and_then(|((), fds)| fds.into_iter().next()) else { return };
    // In the place of the streams, so that nothing else is open.
    let moved = nix::unistd::dup2_stdout(&mounts).and_then(|()| nix::unistd::dup2_stderr(&mounts));
    drop(mounts);
    if moved.is_ok() {
        // Nothing more is ever said.
        std::io::stdin().read_exact(&mut [0]).ok();
    }
}
