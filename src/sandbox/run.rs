//! PID 1's second half: executes the payload when told to, reaps, reports, and ends.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeValLike as _;
use nix::unistd::{Pid, execve};
use rustix::process::{WaitOptions, wait};

use super::elsewhere;
use super::grouped;
use super::init::stub_is_gone;
use super::policy::{INSIDE_PATH, SandboxPolicy};
use super::sys;
use crate::process::{Down, Up, receive, send};

/// Every process but PID 1 and the caller.
const EVERYBODY: Pid = Pid::from_raw(-1);

/// Runs the payload to its end; the value is PID 1's exit code, which nobody reads.
pub(super) fn payload(control: &UnixStream, gate: &UnixStream, policy: &SandboxPolicy) -> i32 {
    let begun = begin(control, policy);
    let said = match &begun {
        Ok(_) => send(control, &Up::Started, &[]),
        Err((act, errno)) => send(control, &Up::NotStarted { act: act.clone(), errno: *errno as i32 }, &[]),
    };
    match (begun, said) {
        (Ok(begun), Ok(())) => supervise(control, gate, &begun),
        _ => 1,
    }
}

type Failed = (String, Errno);

/// A payload that was executed.
struct Begun {
    pid: Pid,
    /// Tells of children that ended.
    signals: SignalFd,
    /// When the word to go had come.
    started: Instant,
}

/// Makes the payload's process, which waits for the word to go by itself, and stands still until it was executed.
fn begin(control: &UnixStream, policy: &SandboxPolicy) -> Result<Begun, Failed> {
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().map_err(failed("block SIGCHLD"))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&children, flags).map_err(failed("watch children"))?;
    let (mut started, mut failure) = (None, None);
    let place = elsewhere::bind_here();
    let pid = sys::lend(|| {
        place.release();
        let Err(why) = become_payload(control, policy, &mut started);
        failure = Some(why);
        127
    });
    place.release();
    let pid = pid.map_err(failed("make a process"))?;
    match (failure, started) {
        (Some(why), _) => Err(why),
        (None, Some(started)) => Ok(Begun { pid, signals, started }),
        (None, None) => Err(("hear of the payload".to_owned(), Errno::EIO)),
    }
}

/// In the payload's process: preparations, the word to go, then execve. It is made before the word comes, so that nobody
/// waits for that; whoever does not get the word ends without one. It runs in PID 1's memory: `started` is PID 1's.
fn become_payload(
    control: &UnixStream,
    policy: &SandboxPolicy,
    started: &mut Option<Instant>,
) -> Result<Infallible, Failed> {
    let prepared = prepare(policy);
    elsewhere::stay_awake(control);
    let Ok(Some((Down::Go, stdio))) = receive::<Down>(control) else {
        return Err(("hear the word to go".to_owned(), Errno::ECONNRESET));
    };
    *started = Some(Instant::now());
    prepared?.execute(&stdio, policy)
}

/// Everything that needs no standard streams.
fn prepare(policy: &SandboxPolicy) -> Result<Call, Failed> {
    nix::unistd::setsid().map_err(failed("setsid"))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    sys::default_signals().map_err(failed("reset signals"))?;
    SigSet::empty().thread_set_mask().map_err(failed("unblock signals"))?;
    nix::unistd::chdir(&policy.cwd).map_err(failed(&format!("enter {}", policy.cwd.display())))?;
    // Until the streams are there, descriptors are not bound.
    for (resource, value) in limits(policy).into_iter().filter(|(name, _)| *name != Resource::RLIMIT_NOFILE) {
        lower(resource, value).map_err(failed(&format!("limit {resource:?}")))?;
    }
    Call::of(policy)
}

fn failed(act: &str) -> impl FnOnce(Errno) -> Failed {
    let act = act.to_owned();
    move |errno| (act, errno)
}

/// Resource limits of every process inside.
pub(super) fn limits(policy: &SandboxPolicy) -> Vec<(Resource, u64)> {
    let limits = &policy.limits;
    let mut all = vec![
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, limits.open_files),
        (Resource::RLIMIT_FSIZE, limits.file_bytes),
        // What the watchdog ends it for comes first: it can name the limit for every process of the tree.
        (Resource::RLIMIT_CPU, limits.cpu_seconds.saturating_add(1)),
    ];
    all.extend(grouped::process_bound(policy).map(|most| (Resource::RLIMIT_NPROC, most)));
    all
}

/// Sets both bounds; never above what the caller itself has.
fn lower(resource: Resource, value: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    // At the hard bound of CPU time the kernel kills without naming the reason; the soft one comes first.
    let last = if resource == Resource::RLIMIT_CPU { value.saturating_add(1) } else { value };
    setrlimit(resource, value.min(hard), last.min(hard))
}

/// What execve is called with.
struct Call {
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Where the program is looked for, in this order.
    tries: Vec<(String, CString)>,
}

impl Call {
    fn of(policy: &SandboxPolicy) -> Result<Self, Failed> {
        let text = |text: &str| CString::new(text).map_err(|_| ("pass arguments".to_owned(), Errno::EINVAL));
        let argv = policy.argv.iter().map(|arg| text(arg)).collect::<Result<_, _>>()?;
        let env = policy.env.iter().map(|(name, value)| text(&format!("{name}={value}")));
        let name = policy.argv.first().map_or("", String::as_str);
        let path = policy.env.get("PATH").map_or(INSIDE_PATH, String::as_str);
        let folders = path.split(':').filter(|dir| dir.starts_with('/') && !name.contains('/'));
        let named = Some(name.to_owned()).filter(|name| name.contains('/'));
        let tries = named.into_iter().chain(folders.map(|dir| format!("{dir}/{name}")));
        let tries = tries.map(|program| text(&program).map(|path| (program, path)));
        Ok(Self { argv, env: env.collect::<Result<_, _>>()?, tries: tries.collect::<Result<_, _>>()? })
    }

    /// Takes the streams, closes everything else, and executes.
    fn execute(self, stdio: &[OwnedFd], policy: &SandboxPolicy) -> Result<Infallible, Failed> {
        let [input, output, errors] = stdio else {
            return Err(("take the standard descriptors".to_owned(), Errno::EBADF));
        };
        nix::unistd::dup2_stdin(input).map_err(failed("take standard input"))?;
        nix::unistd::dup2_stdout(output).map_err(failed("take standard output"))?;
        nix::unistd::dup2_stderr(errors).map_err(failed("take standard error"))?;
        sys::close_from(3, true).map_err(|_| ("close other descriptors".to_owned(), Errno::last()))?;
        lower(Resource::RLIMIT_NOFILE, policy.limits.open_files).map_err(failed("limit RLIMIT_NOFILE"))?;
        let mut worst = Errno::ENOENT;
        for (program, path) in &self.tries {
            let Err(errno) = execve(path, &self.argv, &self.env);
            match errno {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => worst = errno,
                _ => return Err((format!("execute {program}"), errno)),
            }
        }
        let name = policy.argv.first().map_or("", String::as_str);
        Err((format!("execute {name}"), worst))
    }
}

/// Reaps until the payload ends; passes signals on; ends at once when harness or stub is gone.
fn supervise(control: &UnixStream, gate: &UnixStream, begun: &Begun) -> i32 {
    let Begun { pid, signals, started } = begun;
    loop {
        let mut fds = [
            PollFd::new(control.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(gate.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return 1,
        }
        let [heard, child] = [0, 1]
            .map(|at: usize| fds.get(at).and_then(PollFd::revents).is_some_and(|events| !events.is_empty()));
        if stub_is_gone(gate.as_fd()) {
            return 1;
        }
        if child {
            while matches!(signals.read_signal(), Ok(Some(_))) {}
            if let Some(end) = reap(*pid, *started) {
                return i32::from(send(control, &end, &[]).is_err());
            }
        }
        if heard {
            // A signal that finds nobody has found everybody dead already.
            match receive::<Down>(control) {
                Ok(Some((Down::Terminate, _))) => drop(kill(EVERYBODY, Signal::SIGTERM)),
                Ok(Some((Down::Interrupt, _))) => drop(killpg(*pid, Signal::SIGINT)),
                Ok(Some((Down::Go, _)) | None) | Err(_) => return 1,
            }
        }
    }
}

/// Collects every child that ended; the payload's own end becomes the report.
fn reap(payload: Pid, started: Instant) -> Option<Up> {
    loop {
        let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) else { return None };
        if pid.as_raw_pid() != payload.as_raw() {
            continue;
        }
        let (code, signal) = (status.exit_status(), status.terminating_signal());
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        let max_rss_kib = usage.and_then(|usage| u64::try_from(usage.max_rss()).ok()).unwrap_or(0);
        let cpu = usage.map(|usage| usage.user_time() + usage.system_time());
        let cpu_micros = cpu.and_then(|cpu| u64::try_from(cpu.num_microseconds()).ok()).unwrap_or(0);
        return Some(Up::Exited { code, signal, micros, cpu_micros, max_rss_kib });
    }
}
