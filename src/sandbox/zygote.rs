//! The zygote: a fork of the harness, made before the harness has read anything, of which each stub is a fork.
//!
//! Executing a program costs a dynamic link; a fork of a small, young process does not. Guarantees: it is
//! single-threaded, holds no descriptor but its channel, and nothing of the caller's environment and arguments is
//! left in its memory; stubs are children of the harness, as if it had started them itself (the first one, and its
//! companion, it does make itself; they come clean in the same way, the companion when it has made the network); it ends
//! with the harness. Does not: know any policy, or outlive an error: one that cannot make itself clean is gone, and then
//! there are no sandboxes.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use serde::{Deserialize, Serialize};

use super::companion;
use super::elsewhere;
use super::order::Order;
use super::stub;
use super::sys;
use crate::process::{LaunchError, Launched, StubProcess, receive, send};
use crate::workspace::{RunUid, RunUidLease};

static PREPARED: OnceLock<Zygote> = OnceLock::new();
/// What stubs are called in lists of processes; also inside, where PID 1 is one.
const NAME: &std::ffi::CStr = c"cto-stub";

/// The harness's end.
#[derive(Debug)]
pub(super) struct Zygote {
    ends: Mutex<Ends>,
    /// Whose the one sandbox will be, until somebody asks.
    lease: Mutex<Option<RunUidLease>>,
}

#[derive(Debug)]
struct Ends {
    /// To the zygote; `None` where no more than one stub was expected.
    channel: Option<UnixStream>,
    /// A stub that was made before anybody needed it.
    ready: Option<Ready>,
}

#[derive(Debug)]
struct Ready {
    control: UnixStream,
    /// Of the first stub; that of another one is the next answer on the channel.
    pid: Option<u32>,
}

/// How many sandboxes a process expects to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// One: its stub is all there is to make. Should a second be wanted, its stub is a program that is executed.
    One,
    /// Several.
    Several,
}

/// Makes the zygote, or claims a uid for the one stub. Call it first in `main`: it must be the only thread, and what was read
/// before is copied.
/// Without it (in a program that links this library), each stub is a program that is executed.
pub fn prepare(expected: Expected) -> io::Result<()> {
    // Where more is done before the first sandbox than parsing a call, nobody waits for the stub.
    let wanted = if expected == Expected::One { Wanted::Shared } else { Wanted::Soon };
    let (control, theirs) = UnixStream::pair()?;
    // Said before the stub is there to hear it, or it would wait for this process to come to say it.
    let companion = (wanted == Wanted::Shared).then(|| sent_ahead(&control)).transpose()?;
    let told = |lease: &RunUidLease| expect(&control, lease.uid());
    // An ordinary caller's: there is no other, so nobody has to claim it.
    let mut lease = companion.as_ref().and_then(|_| RunUid::of_an_ordinary_caller()).inspect(told);
    // The first stub does not wait for the zygote.
    let first = fork_clean(theirs, |control| stub::serve(&control, wanted))?;
    let alone = elsewhere::begin(first);
    if let Some(channel) = companion {
        // Where it cannot be forked, its channel is closed, and the stub makes the network itself. What waits for that does
        // not wait until it has come clean.
        companion::begin(channel, alone, |theirs| fork(|| companion::live(theirs, come_clean))).ok();
        if lease.is_none() {
            // Not before the forks: they would hold its lock, too.
            lease = RunUid::claim_ahead().inspect(told);
        }
    }
    let ready = Some(Ready { control, pid: u32::try_from(first.as_raw()).ok() });
    let channel = (expected == Expected::Several).then(make).transpose()?;
    PREPARED
        .set(Zygote { ends: Mutex::new(Ends { channel, ready }), lease: Mutex::new(lease) })
        .map_err(|_| io::ErrorKind::AlreadyExists.into())
}

/// The channel of a companion that is not there yet; the stub's end of it is on its way.
fn sent_ahead(control: &UnixStream) -> io::Result<UnixStream> {
    let (stubs, companions) = UnixStream::pair()?;
    send(control, &Order::Companion, &[stubs.as_fd()])?;
    Ok(companions)
}

/// Forks the zygote. Nobody waits for it: it ends after this process, and init reaps it.
fn make() -> io::Result<UnixStream> {
    let (channel, theirs) = UnixStream::pair()?;
    fork_clean(theirs, live).map(|_| channel)
}

/// Forks a process that comes clean, keeps nothing but `channel`, and lives as `life` says, which tells whether all went
/// well. The caller's `channel` is closed.
fn fork_clean(channel: UnixStream, life: impl FnOnce(UnixStream) -> bool) -> io::Result<Pid> {
    fork(|| come_clean(channel).is_ok_and(life))
}

/// Forks a process that ends with this one and lives as `life` says.
fn fork(life: impl FnOnce() -> bool) -> io::Result<Pid> {
    let parent = nix::unistd::getpid();
    let Some(pid) = sys::fork()? else {
        let bound = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).is_ok() && getppid() == parent;
        std::process::exit(i32::from(!(bound && life())))
    };
    Ok(pid)
}

/// When a stub will be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wanted {
    /// At once: its order is on its way, and nothing is made before it has come.
    Now,
    /// When the call is parsed.
    Soon,
    /// Likewise, and a companion makes the network meanwhile.
    Shared,
    /// Some time: there is time to get ready.
    Later,
}

/// Asks for a stub; the value is the harness's end of its control channel.
fn ask(channel: &UnixStream, when: Wanted) -> io::Result<UnixStream> {
    let (control, theirs) = UnixStream::pair()?;
    send(channel, &when, &[theirs.as_fd()])?;
    Ok(control)
}

/// The one that [`prepare`] made.
pub(super) fn prepared() -> Option<&'static Zygote> {
    PREPARED.get()
}

/// Says that one more sandbox will be wanted soon: its stub does what needs no policy meanwhile. One that is not
/// wanted after all ends with this process.
pub fn expect_another() {
    let Some(zygote) = prepared() else { return };
    let mut ends = zygote.ends.lock().unwrap_or_else(PoisonError::into_inner);
    if ends.ready.is_none() {
        // A zygote that is gone is found gone by whoever needs it.
        let control = ends.channel.as_ref().and_then(|channel| ask(channel, Wanted::Later).ok());
        ends.ready = control.map(|control| Ready { control, pid: None });
    }
}

/// Whose the one sandbox will be that was expected: claimed and told by [`prepare`]. `None` where nobody could be before the
/// caller's installation was known, and when it was asked for before.
pub fn expected_uid() -> Option<RunUidLease> {
    prepared()?.lease.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Says for which uid the next sandbox will be wanted: its PID 1 is made meanwhile, as far as that needs no policy.
pub fn expect_as(uid: RunUid) {
    let Some(zygote) = prepared() else { return };
    let ends = zygote.ends.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ready) = &ends.ready {
        expect(&ready.control, uid);
    }
}

fn expect(control: &UnixStream, uid: RunUid) {
    // A stub that is gone is found gone by whoever needs it.
    if let Ok(parent) = i32::try_from(std::process::id()) {
        send(control, &Order::Expect { parent, uid }, &[]).ok();
    }
}

impl Zygote {
    /// A new stub, waiting for its order; `None` where there was to be one only, and it is taken.
    pub(super) fn fork_stub(&self) -> Result<Option<Launched>, LaunchError> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let (control, known) = match (ends.ready.take(), &ends.channel) {
            (Some(Ready { control, pid }), _) => (control, pid),
            (None, Some(channel)) => (ask(channel, Wanted::Now).map_err(LaunchError::Zygote)?, None),
            (None, None) => return Ok(None),
        };
        let told = || -> io::Result<u32> {
            let channel = ends.channel.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            let answer = receive::<Option<u32>>(channel)?;
            let gone = || io::Error::other("the process that makes them is gone, or could not");
            answer.and_then(|(pid, _)| pid).ok_or_else(gone)
        };
        let pid = known.map_or_else(told, Ok).map_err(LaunchError::Zygote)?;
        let stub = StubProcess::of(pid).map_err(LaunchError::Zygote)?;
        Ok(Some(Launched { stub, control }))
    }
}

/// Gives up everything that came with the fork: descriptors, terminal, folder, name, arguments, environment.
fn come_clean(channel: UnixStream) -> io::Result<UnixStream> {
    // Entering another user namespace has cleared it.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // Ctrl-C on a terminal is for the harness.
    nix::unistd::setsid()?;
    nix::unistd::dup2_stdin(channel)?;
    let null = || OpenOptions::new().read(true).write(true).open("/dev/null");
    nix::unistd::dup2_stdout(null()?)?;
    nix::unistd::dup2_stderr(null()?)?;
    // INVARIANT: nothing but 0, 1 and 2 is open from here on, whatever the harness's parents leaked.
    sys::close_from(3, false)?;
    let channel = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from)?;
    nix::unistd::dup2_stdin(null()?)?;
    std::env::set_current_dir("/")?;
    nix::sys::prctl::set_name(NAME)?;
    forget_the_call()?;
    Ok(channel)
}

/// Overwrites arguments and environment where the kernel put them (proc(5), `stat`: 48 to 51 are their bounds).
fn forget_the_call() -> io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in brackets, may hold anything; what follows are numbers from the third field on.
    let (_, numbers) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let bounds: Vec<u64> =
        numbers.split_whitespace().skip(45).take(4).filter_map(|number| number.parse().ok()).collect();
    let [arguments, arguments_end, environment, environment_end] = bounds.as_slice() else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    for (start, end) in [(arguments, arguments_end), (environment, environment_end)] {
        let length = usize::try_from(end.saturating_sub(*start)).map_err(io::Error::other)?;
        sys::overwrite_call(*start, &vec![0; length])?;
    }
    // The name of a call is at least as long as this one's; if it is not, lists show less of it.
    let room = usize::try_from(arguments_end.saturating_sub(*arguments)).map_err(io::Error::other)?;
    let name = NAME.to_bytes();
    sys::overwrite_call(*arguments, name.get(..room).unwrap_or(name))
}

/// Forks a stub for each channel that arrives, until the harness is gone; in a stub, its whole life. Whether all
/// went well.
fn live(channel: UnixStream) -> bool {
    loop {
        let (wanted, control): (_, UnixStream) = match receive::<Wanted>(&channel) {
            Ok(None) => return true,
            Ok(Some((wanted, fds))) => match fds.into_iter().next() {
                Some(control) => (wanted, control.into()),
                None => return false,
            },
            Err(_) => return false,
        };
        match sys::fork_sibling() {
            Ok(None) => {
                drop(channel);
                return stub::serve(&control, wanted);
            }
            made => {
                drop(control);
                if send(&channel, &made.ok().flatten(), &[]).is_err() {
                    return false;
                }
            }
        }
    }
}
