//! The one place where the library starts a process: the stub that becomes a sandbox.
//!
//! The stub gets an empty environment, no arguments, the control channel as its standard input and nothing
//! else; whatever the harness is to hand over travels on that channel. INVARIANT: it is spawned on the calling
//! thread, because the kernel's parent-death signal fires when that *thread* ends.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A stub that was started, and the harness's end of its control channel.
#[derive(Debug)]
pub struct Launched {
    /// The stub: it ends only after the whole tree inside has ended.
    pub child: Child,
    /// The control channel, blocking.
    pub control: UnixStream,
}

/// Why no stub was started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No socket pair.
    #[error("cannot make the control channel: {0}")]
    Channel(#[source] io::Error),
    /// The stub is not where it should be, or cannot be executed.
    #[error("cannot start {path} (it is installed beside the main program): {source}")]
    Spawn {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Starts the stub at `program`.
pub fn spawn_stub(program: &Path) -> Result<Launched, LaunchError> {
    let (control, theirs) = UnixStream::pair().map_err(LaunchError::Channel)?;
    let child = Command::new(program)
        // The path would be readable inside.
        .arg0("cto-stub")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| LaunchError::Spawn { path: program.to_owned(), source })?;
    Ok(Launched { child, control })
}
