//! Processes that other calls of this program started, named so that a pid which was given to somebody else meanwhile is
//! never taken for them.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::census::Stat;

/// A process: its pid, and when it started (clock ticks since boot, proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its pid.
    pub pid: u32,
    /// When it started.
    pub started: u64,
}

impl ProcessIdentity {
    /// Of a process that there is.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Stat::read(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// Kills it, where it is still there, and waits for its end: the end of a PID 1 is the end of its whole tree. Whether
    /// it is gone.
    pub fn end(&self, within: Duration) -> io::Result<bool> {
        let Some(pidfd) = open(self.pid)? else { return Ok(true) };
        // INVARIANT: what is compared is of the process that the descriptor holds, or of one that is dead.
        if Self::of(self.pid) != Some(*self) {
            return Ok(true);
        }
        match pidfd_send_signal(&pidfd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], left) {
                Ok(ready) => return Ok(ready > 0),
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Sends SIGINT to the process `pid`, if it is the one that has the file `held` open. Whether it was.
pub fn ask_to_stop(pid: u32, held: &Path) -> io::Result<bool> {
    let Some(pidfd) = open(pid)? else { return Ok(false) };
    // INVARIANT: looked at after the descriptor was had. Whoever has the file open under this pid is the process that the
    // descriptor stands for, or that one is dead, and then the signal reaches nobody.
    if !has_open(pid, held)? {
        return Ok(false);
    }
    match pidfd_send_signal(&pidfd, Signal::INT) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn open(pid: u32) -> io::Result<Option<std::os::fd::OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn has_open(pid: u32, file: &Path) -> io::Result<bool> {
    let wanted = match fs::metadata(file) {
        Ok(wanted) => wanted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let folder = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let same = |found: fs::Metadata| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino());
    Ok(folder.filter_map(Result::ok).any(|entry| fs::metadata(entry.path()).is_ok_and(same)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_the_process_that_holds_the_file_is_asked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let holder = || Stdio::from(fs::File::open(file.path()).unwrap());
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!ask_to_stop(other.id(), file.path()).unwrap());
        let mut own = Command::new("sleep").arg("60").stdin(holder()).spawn().unwrap();
        assert!(ask_to_stop(own.id(), file.path()).unwrap());
        assert_eq!(own.wait().unwrap().signal(), Some(2));
        assert!(!ask_to_stop(own.id(), file.path()).unwrap(), "it is dead");
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn another_process_with_the_same_pid_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let one = ProcessIdentity::of(child.id()).unwrap();
        let other = ProcessIdentity { started: one.started + 1, ..one };
        assert!(other.end(Duration::from_secs(1)).unwrap() && child.try_wait().unwrap().is_none());
        assert!(one.end(Duration::from_secs(10)).unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
