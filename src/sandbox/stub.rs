//! The stub's first half: outside of the sandbox, it makes PID 1 and outlives it.
//!
//! It is started by the harness with an empty environment and one descriptor. It opens everything that only
//! the caller's identity can reach, makes the namespaces, writes the id maps, and then waits: it ends when, and
//! only when, PID 1 and everything inside is dead. If the harness dies, the kernel kills it, and through it all. Only
//! the companion, which holds the mount namespace, outlives it, by the time that the mounts take to go; it can reach none.

use std::io::PipeWriter;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, Uid, getppid};

use super::birth::{Born, Early, Expected};
use super::caller::Caller;
use super::companion::Companion;
use super::elsewhere;
use super::entrances::Entrances;
use super::handed::hand_over;
use super::observe;
use super::order::{Answer, Order, Refusal, refused};
use super::policy::SandboxPolicy;
use super::sources::Sources;
use super::sys::{self, Made};
use super::zygote::Wanted;
use crate::process::{receive, send};
use crate::workspace::RunUid;

/// The namespaces of a sandbox, by the names under `/proc/self/ns`.
pub(super) const NAMESPACES: [(&str, CloneFlags); 7] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("mnt", CloneFlags::CLONE_NEWNS),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
];

/// How eagerly the kernel's out-of-memory killer picks the sandbox, -1000 to 1000.
const OOM_SCORE: &str = "500";

/// The program `cto-stub`: takes one order on its standard input, never returns to anything else.
#[must_use]
pub fn main() -> std::process::ExitCode {
    // INVARIANT: nothing but 0, 1 and 2 is open from here on, whatever the harness's parents leaked.
    if sys::close_from(3, false).is_err() {
        return std::process::ExitCode::FAILURE;
    }
    let control = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    if control.is_ok_and(|control| serve(&control, Wanted::Now)) {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}

/// Takes one order and carries it out; whether that went well. The process holds `control` and its standard streams,
/// and no other descriptor.
pub(super) fn serve(control: &UnixStream, wanted: Wanted) -> bool {
    let settled = settle();
    // What needs no policy is done while the harness still finds out which one it will be.
    let mut ready = (wanted != Wanted::Now).then(|| Ready::make(wanted, control));
    if wanted == Wanted::Later {
        Order::rehearse();
    }
    let made = || Ready::make(Wanted::Now, control);
    let done = loop {
        if wanted == Wanted::Shared {
            elsewhere::stay_awake(control);
        }
        match receive::<Order>(control) {
            Ok(Some((Order::Expect { parent, uid }, _))) => {
                if let Ok(ready) = ready.get_or_insert_with(made) {
                    ready.expect(control, parent, uid);
                }
            }
            Ok(Some((Order::Establish { parent, policy, clone_into }, mut fds))) => {
                let told = (policy.observed && !fds.is_empty()).then(|| PipeWriter::from(fds.remove(0)));
                let entrances = Entrances::of(fds, clone_into);
                break settled
                    .and_then(|()| ready.unwrap_or_else(made))
                    .and_then(|ready| establish(control, parent, &policy, ready, told, entrances));
            }
            Ok(Some((Order::TryNamespaces, _))) if ready.is_none() => {
                break send(control, &Answer::Namespaces(try_namespaces()), &[])
                    .map_err(refused("control", "answer"));
            }
            // One that comes at another time is not understood.
            Ok(None | Some((Order::Companion | Order::TryNamespaces, _))) | Err(_) => return false,
        }
    };
    if let Err(refusal) = done {
        // If even this cannot be said, the closed channel says it.
        send(control, &Answer::Refused(refusal), &[]).ok();
        return false;
    }
    true
}

/// Becomes a process by itself.
fn settle() -> Result<(), Refusal> {
    // Best effort: where it is refused, the sandbox is picked as any other process.
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE).ok();
    // Ctrl-C on a terminal is for the harness, which ends the sandbox in order.
    if nix::unistd::getsid(None) != Ok(nix::unistd::getpid()) {
        nix::unistd::setsid().map_err(refused("control", "setsid"))?;
    }
    Ok(())
}

/// What a stub has made ready before its order came.
struct Ready {
    caller: Caller,
    early: Option<Result<Early, Refusal>>,
    born: Option<Born>,
}

impl Ready {
    fn make(wanted: Wanted, control: &UnixStream) -> Result<Self, Refusal> {
        // Before anything can fail: the next frame is the order.
        let companion = match wanted {
            Wanted::Now | Wanted::Soon => Ok(None),
            Wanted::Shared => Companion::sent(control).map(Some),
            Wanted::Later => Ok(Companion::fork()),
        };
        let caller = Caller::settle()?;
        let early = companion.and_then(|companion| Early::make(caller, companion));
        Ok(Self { caller, early: Some(early), born: None })
    }

    /// Makes PID 1 for a uid that is expected. Best effort: if it fails, it fails again where it is told.
    fn expect(&mut self, control: &UnixStream, parent: i32, uid: RunUid) {
        let fits = self.caller.suits(uid);
        let Some(early) = self.early.take_if(|early| fits && early.is_ok()).and_then(Result::ok) else {
            return;
        };
        let expected = Expected { uid, folder: None, traced: false };
        let prepared = belong_to(parent).and_then(|()| self.caller.give_up(uid));
        self.born = prepared.and_then(|()| Born::make(control, early, &expected)).ok();
    }

    /// The PID 1 for this order: the one that waits, if it is one that the order could have made.
    fn born(
        mut self,
        control: &UnixStream,
        policy: &SandboxPolicy,
        entrances: &Entrances,
    ) -> Result<Born, Refusal> {
        let waiting = self.born.take().filter(|born| born.is_of(policy.uid) && entrances.folder().is_none());
        if let Some(mut born) = waiting
            && (!policy.observed || born.trace().is_ok())
        {
            return Ok(born);
        }
        let caller = self.caller;
        let early =
            self.early.filter(|_| caller.suits(policy.uid)).unwrap_or_else(|| Early::make(caller, None))?;
        let (uid, folder, traced) = (policy.uid, entrances.folder(), policy.observed);
        Born::make(control, early, &Expected { uid, folder, traced })
    }
}

fn belong_to(parent: i32) -> Result<(), Refusal> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(refused("control", "set the parent-death signal"))?;
    if getppid() == Pid::from_raw(parent) {
        Ok(())
    } else {
        Err(Refusal::new("control", "the harness is gone"))
    }
}

fn establish(
    control: &UnixStream,
    parent: i32,
    policy: &SandboxPolicy,
    ready: Ready,
    told: Option<PipeWriter>,
    entrances: Entrances,
) -> Result<(), Refusal> {
    belong_to(parent)?;
    ready.caller.give_up(policy.uid)?;
    if policy.observed != told.is_some() {
        return Err(Refusal::new("observation", "find whom to tell what is seen"));
    }
    let mut born = ready.born(control, policy, &entrances)?;
    let watch = told.is_some().then(UnixStream::pair).transpose();
    let (filter, watcher) = watch.map_err(refused("control", "make a socket pair"))?.unzip();
    let sources = Sources::open(policy)?;
    let layers = born.traced.take().into_iter().collect();
    // In this order: what PID 1 says on the same channel comes after it.
    send(control, &Answer::Born { layers }, &[born.pidfd.as_fd()])
        .map_err(refused("control", "hand out the pidfd"))?;
    hand_over(&born.gate, policy, watcher, entrances, sources)?;
    if let Some((told, filter)) = told.zip(filter) {
        observe::follow(born.pid, told, filter, policy);
    } else {
        // PID 1's end wakes the harness, too, and that is what somebody waits for.
        elsewhere::come_last();
    }
    born.wait();
    Ok(())
}

/// Enters each namespace in a process of its own that ends at once.
fn try_namespaces() -> Vec<String> {
    let tried = NAMESPACES.iter().filter(|(_, flag)| {
        // Anything but a user namespace needs one first, unless the caller is root.
        let with_user = if Uid::effective().is_root() { *flag } else { *flag | CloneFlags::CLONE_NEWUSER };
        match sys::clone_into(with_user, None) {
            Ok(Made::Child) => std::process::exit(0),
            Ok(Made::Parent(pid, _)) => nix::sys::wait::waitpid(pid, None).is_ok(),
            Err(_) => false,
        }
    });
    tried.map(|(name, _)| (*name).to_owned()).collect()
}
