//! The stub that becomes a sandbox, as its parent sees it; and the one place where the library executes a program.
//!
//! The stub gets an empty environment, no arguments, the control channel as its standard input and nothing
//! else; whatever the harness is to hand over travels on that channel. INVARIANT: it is spawned on the calling
//! thread, because the kernel's parent-death signal fires when that *thread* ends.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

/// A stub that was started, and the harness's end of its control channel.
#[derive(Debug)]
pub struct Launched {
    /// The stub: it ends only after the whole tree inside has ended.
    pub stub: StubProcess,
    /// The control channel, blocking.
    pub control: UnixStream,
}

/// Stubs that are about to end.
static LEAVING: Mutex<Vec<StubProcess>> = Mutex::new(Vec::new());

/// A child of this process that becomes a sandbox, held by its pid descriptor. Dropping it leaves it running.
#[derive(Debug)]
pub struct StubProcess {
    pidfd: OwnedFd,
    ended: Option<String>,
}

impl StubProcess {
    /// The child with `pid`, which nobody has waited for yet.
    pub fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(ErrorKind::InvalidInput)?;
        Ok(Self { pidfd: pidfd_open(pid, PidfdFlags::empty())?, ended: None })
    }

    #[cfg(test)]
    pub(crate) fn pid(&self) -> u32 {
        super::pid_of(&self.pidfd).unwrap()
    }

    /// Waits for its end, blocking; says how it ended, the same each time.
    pub fn wait(&mut self) -> io::Result<String> {
        if let Some(ended) = &self.ended {
            return Ok(ended.clone());
        }
        let by = || waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        let status = rustix::io::retry_on_intr(by)?.ok_or(ErrorKind::NotFound)?;
        let ended = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit status: {code}"),
            (None, Some(signal)) => format!("signal: {signal}"),
            (None, None) => "in an unknown way".to_owned(),
        };
        Ok(self.ended.insert(ended).clone())
    }

    /// Leaves it to end by itself: PID 1 is dead, and with it everything that the stub was there for. It is waited for
    /// when another is left, so that at most as many are zombies as there were sandboxes at once.
    pub fn leave(self) {
        let mut leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|stub| !stub.is_reaped());
        leaving.push(self);
    }

    /// Reaps it if it has ended; whether that is done.
    fn is_reaped(&self) -> bool {
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::PidFd(self.pidfd.as_fd()), ended), Ok(None))
    }

    /// Kills it; one that has ended already is as good as killed.
    pub fn kill(&mut self) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Why no stub was started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No socket pair.
    #[error("cannot make the control channel: {0}")]
    Channel(#[source] io::Error),
    /// The zygote did not make one.
    #[error("cannot make a process for the sandbox: {0}")]
    Zygote(#[source] io::Error),
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
    let failed = |source| LaunchError::Spawn { path: program.to_owned(), source };
    let child = Command::new(program)
        // The path would be readable inside.
        .arg0("cto-stub")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    Ok(Launched { stub: StubProcess::of(child.id()).map_err(failed)?, control })
}
