//! PID 1: confines itself layer by layer, shows what is in force, then owns the payload until its end.
//!
//! Order matters and is the order of [`confine`]: identity before anything is made, mounts and network while
//! there are capabilities, then no capabilities, no new privileges, Landlock, and the system-call filter last.
//! The payload is a child of this process and inherits every layer; when it ends, PID 1 ends, and the kernel
//! kills whatever else is inside.

use std::io::{self, PipeReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, setresgid, setresuid};

use super::calls;
use super::entrances::Entrances;
use super::layers::{self, Network};
use super::order::{Answer, Refusal, refused};
use super::policy::{LISTENER_PORT, SandboxPolicy};
use super::rights;
use super::root;
use super::run;
use super::sources::Sources;
use super::stub::NAMESPACES;
use crate::evidence::LayerRow;
use crate::process::send;

/// Identities of this process's namespaces, in the order of [`NAMESPACES`].
pub(super) fn namespace_ids() -> io::Result<Vec<String>> {
    let link = |(name, _): &(&str, _)| std::fs::read_link(format!("/proc/self/ns/{name}"));
    NAMESPACES.iter().map(|name| link(name).map(|id| id.display().to_string())).collect()
}

/// What the stub has seen before it made PID 1.
pub(super) struct SeenBefore {
    /// Identities of the namespaces that it came from.
    pub(super) ids: Vec<String>,
    /// What the network namespace has that PID 1 inherits.
    pub(super) network: Network,
}

/// The life of PID 1. Never returns.
pub(super) fn run(
    control: &UnixStream,
    gate: &PipeReader,
    sources: Sources,
    policy: &SandboxPolicy,
    before: &SeenBefore,
    watcher: Option<UnixStream>,
    entrances: Entrances,
) -> ! {
    let entered = entrances.enter();
    let code = match entered.and_then(|()| confine(control, gate, sources, policy, before, watcher)) {
        Ok(()) => run::payload(control, gate, policy),
        Err(refusal) => {
            // If even this cannot be said, the closed channel says it.
            send(control, &Answer::Refused(refusal), &[]).ok();
            1
        }
    };
    std::process::exit(code)
}

fn confine(
    control: &UnixStream,
    gate: &PipeReader,
    sources: Sources,
    policy: &SandboxPolicy,
    before: &SeenBefore,
    watcher: Option<UnixStream>,
) -> Result<(), Refusal> {
    // In the time that the stub needs for the maps. If it fails, it fails again where it is told. The namespaces stay the
    // same from here on: the filter knows no call that would change them.
    let ids = namespace_ids().map_err(refused("namespaces", "read /proc/self/ns"))?;
    calls::prepare(calls::Watch::of(policy)).ok();
    wait_for_the_maps(gate)?;
    become_the_payload(policy)?;
    // Changing identity has cleared it; a stub that died in between has closed its end of the gate.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(refused("control", "set the parent-death signal"))?;
    if stub_is_gone(gate.as_fd()) {
        return Err(Refusal::new("control", "the stub is gone"));
    }
    nix::unistd::sethostname("sandbox").map_err(refused("namespaces", "set the host name"))?;
    let listener = listener(policy)?;
    let open = root::enter(sources, policy)?;
    let mut rows = namespaces(&before.ids, &ids);
    rows.push(layers::root_row(policy, open));
    rows.push(layers::identity_row(policy));
    nix::unistd::setsid().map_err(refused("control", "setsid"))?;
    layers::drop_capabilities()?;
    nix::sys::prctl::set_dumpable(false).map_err(refused("control", "become undumpable"))?;
    nix::sys::prctl::set_no_new_privs().map_err(refused("no_new_privs", "set no_new_privs"))?;
    rows.extend(rights::landlock(policy)?);
    rows.push(layers::filter_calls(watcher.as_ref(), calls::Watch::of(policy))?);
    drop(watcher);
    rows.extend(layers::read_back(policy)?);
    rows.push(before.network.row(policy, &ids));
    let fds: Vec<BorrowedFd<'_>> = listener.iter().map(|listener| listener.as_fd()).collect();
    send(control, &Answer::Established { layers: rows }, &fds).map_err(refused("control", "report"))
}

fn wait_for_the_maps(gate: &PipeReader) -> Result<(), Refusal> {
    use std::io::Read as _;
    let mut gate = gate;
    gate.read_exact(&mut [0_u8; 1]).map_err(refused("identity", "wait for the id maps"))
}

/// From the caller's identity to the payload's. As root, the caller's is not mapped here, and what it makes
/// would belong to nobody; so this comes before anything is made.
fn become_the_payload(policy: &SandboxPolicy) -> Result<(), Refusal> {
    let (uid, gid) = (Uid::from_raw(policy.uid.inside), Gid::from_raw(policy.uid.inside));
    setresgid(gid, gid, gid).map_err(refused("identity", "become the payload's gid"))?;
    setresuid(uid, uid, uid).map_err(refused("identity", "become the payload's uid"))
}

/// Whether the other end of the gate was closed, which only happens when the stub ends.
pub(super) fn stub_is_gone(gate: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(gate, PollFlags::empty())];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_err() || fds.iter().any(|fd| fd.revents().is_none_or(|events| !events.is_empty()))
}

/// The only door, on the loopback that is all the network there is.
fn listener(policy: &SandboxPolicy) -> Result<Option<TcpListener>, Refusal> {
    let open = || TcpListener::bind((Ipv4Addr::LOCALHOST, LISTENER_PORT));
    policy.listener.then(open).transpose().map_err(refused("network", "open the listener"))
}

/// One row a namespace: a different identity than the stub's is the proof.
fn namespaces(before: &[String], now: &[String]) -> Vec<LayerRow> {
    let rows = NAMESPACES.iter().zip(before).zip(now).map(|(((name, _), before), now)| LayerRow {
        layer: format!("namespace.{name}"),
        requested: "its own".to_owned(),
        ok: before != now,
        enforced: if before == now { "the caller's".to_owned() } else { now.clone() },
    });
    rows.collect()
}
