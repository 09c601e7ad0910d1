//! The stub's first half: outside of the sandbox, it makes PID 1 and outlives it.
//!
//! It is started by the harness with an empty environment and one descriptor. It opens everything that only
//! the caller's identity can reach, makes the namespaces, writes the id maps, and then waits: it ends when, and
//! only when, PID 1 and everything inside is dead. If the harness dies, the kernel kills it, and through it all. Only
//! the holder of the mount namespace outlives it, by the time that the mounts take to go; it can reach none.

use std::fs::File;
use std::io::{PipeWriter, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, Uid, getegid, geteuid, getppid};

use super::entrances::Entrances;
use super::holder::Holder;
use super::init;
use super::layers::Network;
use super::observe;
use super::order::{Answer, Order, Refusal, refused};
use super::policy::SandboxPolicy;
use super::sources::Sources;
use super::standing::Standing;
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
    // What needs no policy is done while the harness still finds out which one it will be.
    let settled = settle();
    let early = Uid::effective().is_root().then(|| Early::make(wanted == Wanted::Later));
    if wanted == Wanted::Later {
        Order::rehearse();
    }
    let done = match receive::<Order>(control) {
        Ok(Some((Order::Establish { parent, policy, clone_into }, mut fds))) => {
            let told = (policy.observed && !fds.is_empty()).then(|| PipeWriter::from(fds.remove(0)));
            let entrances = Entrances::of(fds, clone_into);
            settled.and_then(|()| establish(control, parent, &policy, early, told, entrances))
        }
        Ok(Some((Order::TryNamespaces, _))) => {
            send(control, &Answer::Namespaces(try_namespaces()), &[]).map_err(refused("control", "answer"))
        }
        Ok(None) | Err(_) => return false,
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

/// What a stub has before it knows its policy.
struct Early {
    /// Identities of the namespaces that it came from.
    before: Vec<String>,
    standing: Standing,
    /// Where that was put together.
    built_in: File,
    /// What the network namespace has.
    network: Network,
    /// Made early where nobody waits for it.
    holder: Option<Holder>,
}

impl Early {
    /// Puts together what every sandbox has, and enters the network namespace that PID 1 will inherit: the dearest of all to
    /// make. It belongs to the caller's user namespace: nobody inside could ever configure it, but where that is the
    /// host's own, the kernel sends its device events here, too, and only the filter (no netlink but routes) keeps
    /// them from a payload.
    fn make(nobody_waits: bool) -> Result<Self, Refusal> {
        let before = init::namespace_ids().map_err(refused("namespaces", "read /proc/self/ns"))?;
        nix::sched::unshare(CloneFlags::CLONE_NEWNET)
            .map_err(refused("namespaces", "unshare the network namespace"))?;
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
        let socket = socket.map_err(refused("network", "make a socket"))?;
        sys::loopback_up(socket.as_fd()).map_err(refused("network", "bring up loopback"))?;
        let network = Network::read()?;
        let (standing, built_in) = Standing::build()?;
        let holder = nobody_waits.then(Holder::make).flatten();
        Ok(Self { before, standing, built_in, network, holder })
    }
}

fn establish(
    control: &UnixStream,
    parent: i32,
    policy: &SandboxPolicy,
    early: Option<Result<Early, Refusal>>,
    told: Option<PipeWriter>,
    entrances: Entrances,
) -> Result<(), Refusal> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(refused("control", "set the parent-death signal"))?;
    if getppid() != Pid::from_raw(parent) {
        return Err(Refusal::new("control", "the harness is gone"));
    }
    if policy.uid.own {
        nix::unistd::setgroups(&[]).map_err(refused("identity", "give up supplementary groups"))?;
    } else {
        become_root_of_a_namespace()?;
    }
    // In a namespace of his own, the caller makes everything anew: there it is his to clone.
    let early = early.filter(|_| policy.uid.own).unwrap_or_else(|| Early::make(false))?;
    if policy.observed != told.is_some() {
        return Err(Refusal::new("observation", "find whom to tell what is seen"));
    }
    let sources = Sources::open(policy, early.standing)?;
    let watch = told.is_some().then(UnixStream::pair).transpose();
    let (filter, watcher) = watch.map_err(refused("control", "make a socket pair"))?.unzip();
    let (gate, mut release) = std::io::pipe().map_err(refused("control", "make a pipe"))?;
    let all = NAMESPACES.iter().fold(CloneFlags::empty(), |all, (_, flag)| all | *flag);
    match sys::clone_into(all - CloneFlags::CLONE_NEWNET, entrances.folder())
        .map_err(refused("namespaces", "clone into new namespaces"))?
    {
        Made::Child => {
            drop((release, told, filter, early.built_in, early.holder));
            let seen = init::SeenBefore { ids: early.before, network: early.network };
            init::run(control, &gate, sources, policy, &seen, watcher, entrances)
        }
        Made::Parent(pid, pidfd) => {
            let mapped =
                write_maps(&format!("/proc/{pid}"), policy.uid.inside, policy.uid.host_uid, policy.uid);
            // Now or never: once PID 1 has changed identity, an ordinary user may not look at it.
            let mounts = File::open(format!("/proc/{pid}/ns/mnt")).ok();
            let traced = told.is_some().then(|| observe::begin(pid)).transpose();
            let released = mapped.and(traced).and_then(|traced| {
                let layers = traced.into_iter().collect();
                // In this order: what PID 1 says on the same channel comes after it.
                send(control, &Answer::Born { layers }, &[pidfd.as_fd()])
                    .map_err(refused("control", "hand out the pidfd"))?;
                release.write_all(b"!").map_err(refused("control", "release PID 1"))
            });
            // Only now: PID 1 was waiting.
            drop((gate, sources, entrances, watcher));
            let holder = early.holder.or_else(|| mounts.as_ref().and_then(|_| Holder::make()));
            if let Some((holder, mounts)) = holder.as_ref().zip(mounts) {
                holder.hold(mounts);
            }
            let finished = finish(pid, &pidfd, released, release, told.zip(filter), policy);
            // Not before: nobody waits any more.
            drop(early.built_in);
            finished
        }
    }
}

/// Ends PID 1 if it could not be released; waits for its end.
fn finish(
    pid: Pid,
    pidfd: &OwnedFd,
    released: Result<(), Refusal>,
    release: PipeWriter,
    observed: Option<(PipeWriter, UnixStream)>,
    policy: &SandboxPolicy,
) -> Result<(), Refusal> {
    if released.is_err() {
        rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL).ok();
    }
    if let Some((told, filter)) = observed {
        observe::follow(pid, told, filter, policy);
    }
    // INVARIANT: `release` stays open until PID 1 is reaped; its closing tells PID 1 that the stub is gone.
    while nix::sys::wait::waitpid(pid, None) == Err(nix::errno::Errno::EINTR) {}
    drop(release);
    released
}

/// An ordinary user (or a root with no second uid) first becomes root of a namespace of his own: there he may
/// clone mounts, make a devpts and write the inner map, and from there on both paths are one.
fn become_root_of_a_namespace() -> Result<(), Refusal> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(refused("namespaces", "unshare user and mount namespace"))?;
    let own = RunUid { inside: 0, host_uid: uid, host_gid: gid, own: false };
    write_maps("/proc/self", 0, uid, own)?;
    // The ids did not change, only their names; the kernel's parent-death signal still stands.
    rustix::mount::mount_change(
        "/",
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC,
    )
    .map_err(refused("namespaces", "make mounts private"))
}

/// Maps exactly one uid and one gid. `outside` is seen from the parent namespace.
fn write_maps(process: &str, inside: u32, outside: u32, uid: RunUid) -> Result<(), Refusal> {
    // In the namespace where the caller is root of himself, his own id is 0.
    let inner = !uid.own && inside != 0;
    let outer = if inner { [0, 0] } else { [outside, uid.host_gid] };
    let [of_user, of_group] = outer;
    let write = |file: &str, text: String| {
        std::fs::write(format!("{process}/{file}"), text)
            .map_err(refused("identity", format!("write {file}")))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{inside} {of_user} 1\n"))?;
    write("gid_map", format!("{inside} {of_group} 1\n"))
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
