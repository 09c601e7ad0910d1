//! PID 1: confines itself layer by layer, shows what is in force, then owns the payload until its end.
//!
//! Order matters and is the order of [`settle`] and [`confine`]: identity before anything is made, mounts and network while
//! there are capabilities, then no capabilities, no new privileges, Landlock, and the system-call filter last.
//! The payload is a child of this process and inherits every layer; when it ends, PID 1 ends, and the kernel
//! kills whatever else is inside.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, setresgid, setresuid};

use super::birth::Expected;
use super::calls;
use super::elsewhere;
use super::handed::Handed;
use super::layers;
use super::network::Network;
use super::order::{Answer, Refusal, refused};
use super::policy::{LISTENER_PORT, SandboxPolicy};
use super::rights;
use super::root::{self, Begun};
use super::run;
use super::standing::Standing;
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

/// What the stub says when the id maps are written.
pub(super) const MAPPED: &[u8] = b"!";

/// The life of PID 1. Never returns.
pub(super) fn run(
    control: &UnixStream,
    gate: &UnixStream,
    expected: &Expected<'_>,
    standing: Standing,
    before: &SeenBefore,
) -> ! {
    let confined = settle(gate, expected, standing).and_then(|settled| match Handed::receive(gate)? {
        Some(handed) => confine(control, settled, handed, before).map(Some),
        None => Ok(None),
    });
    let code = match confined {
        Ok(Some(policy)) => run::payload(control, gate, &policy),
        // Nobody is there, or nobody wanted it.
        Ok(None) => 1,
        Err(refusal) => {
            // If even this cannot be said, the closed channel says it.
            send(control, &Answer::Refused(refusal), &[]).ok();
            1
        }
    };
    std::process::exit(code)
}

/// What stands before the policy is known.
struct Settled {
    /// Identities of this process's namespaces.
    ids: Vec<String>,
    root: Begun,
}

/// Everything that needs no policy.
fn settle(gate: &UnixStream, expected: &Expected<'_>, standing: Standing) -> Result<Settled, Refusal> {
    // In the time that the stub needs for the maps.
    let ids = namespace_ids().map_err(refused("namespaces", "read /proc/self/ns"))?;
    wait_for_the_maps(gate)?;
    become_the_payload(expected.uid.inside)?;
    // Changing identity has cleared it; a stub that died in between has closed its end of the gate.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(refused("control", "set the parent-death signal"))?;
    if stub_is_gone(gate.as_fd()) {
        return Err(Refusal::new("control", "the stub is gone"));
    }
    nix::unistd::sethostname("sandbox").map_err(refused("namespaces", "set the host name"))?;
    nix::unistd::setsid().map_err(refused("control", "setsid"))?;
    layers::empty_the_bounding_set()?;
    Ok(Settled { ids, root: root::begin(standing)? })
}

fn confine(
    control: &UnixStream,
    settled: Settled,
    handed: Handed,
    before: &SeenBefore,
) -> Result<Box<SandboxPolicy>, Refusal> {
    let Settled { mut ids, root } = settled;
    let Handed { policy, watcher, entrances, sources } = handed;
    if !entrances.is_none() {
        entrances.enter()?;
        // One of them is another now.
        ids = namespace_ids().map_err(refused("namespaces", "read /proc/self/ns"))?;
    }
    let listener = listener(&policy)?;
    let open = root::enter(root, sources, &policy)?;
    let mut rows = namespaces(&before.ids, &ids);
    rows.push(layers::root_row(&policy, open));
    rows.push(layers::identity_row(&policy));
    layers::drop_capabilities()?;
    nix::sys::prctl::set_dumpable(false).map_err(refused("control", "become undumpable"))?;
    nix::sys::prctl::set_no_new_privs().map_err(refused("no_new_privs", "set no_new_privs"))?;
    rows.extend(rights::landlock(&policy)?);
    rows.push(layers::filter_calls(watcher.as_ref(), calls::Watch::of(&policy))?);
    drop(watcher);
    rows.extend(layers::read_back(&policy)?);
    rows.push(before.network.row(&policy, &ids));
    let fds: Vec<BorrowedFd<'_>> = listener.iter().map(|listener| listener.as_fd()).collect();
    send(control, &Answer::Established { layers: rows }, &fds).map_err(refused("control", "report"))?;
    Ok(policy)
}

fn wait_for_the_maps(gate: &UnixStream) -> Result<(), Refusal> {
    use std::io::Read as _;
    elsewhere::stay_awake(gate);
    let mut gate = gate;
    gate.read_exact(&mut [0_u8; MAPPED.len()]).map_err(refused("identity", "wait for the id maps"))
}

/// From the caller's identity to the payload's. As root, the caller's is not mapped here, and what it makes
/// would belong to nobody; so this comes before anything is made.
fn become_the_payload(inside: u32) -> Result<(), Refusal> {
    let (uid, gid) = (Uid::from_raw(inside), Gid::from_raw(inside));
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
