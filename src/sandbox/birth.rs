//! The making of PID 1: its namespaces, its id maps, and whatever of it needs no policy.
//!
//! A stub that waits parked does this as soon as it hears which uid is expected, so that nobody waits for it; else it is
//! done when the order comes. Either way PID 1 is the same, and hears its policy over the gate.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::calls::Watch;
use super::elsewhere;
use super::holder::Holder;
use super::init::{self, SeenBefore};
use super::layers::Network;
use super::observe;
use super::order::{Order, Refusal, refused};
use super::standing::Standing;
use super::stub::NAMESPACES;
use super::sys::{self, Made};
use super::zygote::Wanted;
use crate::evidence::LayerRow;
use crate::process::receive;
use crate::workspace::RunUid;

/// What a stub has before it knows of any policy.
pub(super) struct Early {
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
    pub(super) fn make(wanted: Wanted, control: &UnixStream) -> Result<Self, Refusal> {
        let before = init::namespace_ids().map_err(refused("namespaces", "read /proc/self/ns"))?;
        let (standing, built_in) = Standing::build()?;
        let handed = if wanted == Wanted::Shared { network_from(control)? } else { None };
        let entered = match handed {
            Some(handed) => nix::sched::setns(handed, CloneFlags::CLONE_NEWNET),
            None => nix::sched::unshare(CloneFlags::CLONE_NEWNET),
        };
        entered.map_err(refused("namespaces", "enter a new network namespace"))?;
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
        let socket = socket.map_err(refused("network", "make a socket"))?;
        sys::loopback_up(socket.as_fd()).map_err(refused("network", "bring up loopback"))?;
        let network = Network::read()?;
        let holder = (wanted == Wanted::Later).then(Holder::make).flatten();
        Ok(Self { before, standing, built_in, network, holder })
    }
}

/// The network namespace that the harness has made meanwhile, or nothing where it could not.
fn network_from(control: &UnixStream) -> Result<Option<OwnedFd>, Refusal> {
    match receive::<Order>(control).map_err(refused("network", "wait for the namespace"))? {
        Some((Order::Network, fds)) => Ok(fds.into_iter().next()),
        _ => Err(Refusal::new("network", "wait for the namespace")),
    }
}

/// What is known of the sandbox when its PID 1 is made.
pub(super) struct Expected<'a> {
    /// Who the payload will be.
    pub(super) uid: RunUid,
    /// The control group that PID 1 is cloned into.
    pub(super) folder: Option<BorrowedFd<'a>>,
    /// Whether it is traced from its first step on.
    pub(super) traced: bool,
    /// The filters that may be wanted; compiled while PID 1 waits.
    pub(super) filters: &'a [Watch],
}

/// PID 1, which waits for its policy or is on its way. Dropping it ends it.
pub(super) struct Born {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// INVARIANT: open until PID 1 is reaped; its closing tells PID 1 that the stub is gone.
    pub(super) gate: UnixStream,
    /// What the kernel says of its being traced, if it is.
    pub(super) traced: Option<LayerRow>,
    uid: RunUid,
    /// Until nobody waits, because whoever closes them last waits for all processors: the mount namespace where the root was
    /// put together, and a mount that is attached nowhere.
    _dear: (File, OwnedFd),
    holder: Option<Holder>,
}

impl Born {
    /// Makes PID 1. It begins with what needs no policy, and then waits at the gate.
    pub(super) fn make(control: &UnixStream, early: Early, expected: &Expected<'_>) -> Result<Self, Refusal> {
        let Early { before, standing, built_in, network, holder } = early;
        let uid = expected.uid;
        if uid.own {
            standing.give(uid)?;
        }
        let (ours, theirs) = UnixStream::pair().map_err(refused("control", "make a socket pair"))?;
        let all = NAMESPACES.iter().fold(CloneFlags::empty(), |all, (_, flag)| all | *flag);
        match sys::clone_into(all - CloneFlags::CLONE_NEWNET, expected.folder)
            .map_err(refused("namespaces", "clone into new namespaces"))?
        {
            Made::Child => {
                drop((ours, built_in, holder));
                let seen = SeenBefore { ids: before, network };
                init::run(control, &theirs, expected, standing, &seen)
            }
            Made::Parent(pid, pidfd) => {
                elsewhere::begin(pid);
                drop(theirs);
                let mut born = Self {
                    pid,
                    pidfd,
                    gate: ours,
                    traced: None,
                    uid,
                    _dear: (built_in, standing.covers.null),
                    holder,
                };
                born.release(expected)?;
                Ok(born)
            }
        }
    }

    /// Maps its ids, and lets it become the payload's.
    fn release(&mut self, expected: &Expected<'_>) -> Result<(), Refusal> {
        let (pid, uid) = (self.pid, self.uid);
        write_maps(&format!("/proc/{pid}"), uid.inside, uid.host_uid, uid)?;
        // Now or never: once PID 1 has changed identity, an ordinary user may not look at it.
        let mounts = File::open(format!("/proc/{pid}/ns/mnt")).ok();
        if expected.traced {
            self.trace()?;
        }
        self.gate.write_all(init::MAPPED).map_err(refused("control", "release PID 1"))?;
        // Not before: PID 1 would wait for the fork.
        self.holder = self.holder.take().or_else(Holder::make);
        if let Some((holder, mounts)) = self.holder.as_ref().zip(mounts) {
            holder.hold(&mounts);
        }
        Ok(())
    }

    /// Whether it is of the uid that is wanted.
    pub(super) fn is_of(&self, uid: RunUid) -> bool {
        self.uid == uid
    }

    /// Begins to trace it.
    pub(super) fn trace(&mut self) -> Result<(), Refusal> {
        self.traced = Some(observe::begin(self.pid)?);
        Ok(())
    }

    /// Waits for its end.
    pub(super) fn wait(&self) {
        while nix::sys::wait::waitpid(self.pid, None) == Err(nix::errno::Errno::EINTR) {}
    }
}

impl Drop for Born {
    fn drop(&mut self) {
        // Nothing, where it has ended and was waited for.
        rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL).ok();
        self.wait();
    }
}

/// Maps exactly one uid and one gid. `outside` is seen from the parent namespace.
pub(super) fn write_maps(process: &str, inside: u32, outside: u32, uid: RunUid) -> Result<(), Refusal> {
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

#[cfg(test)]
mod tests {
    use super::super::establish::{Stands, StubProgram, converse};
    use super::super::order::Order;
    use super::super::policy::{Purpose, SandboxPolicy};
    use super::*;
    use crate::process::{end_and_wait, send};
    use crate::workspace::{INSIDE_UID, LAST_SLOT};

    fn uid(slots_before: u32) -> RunUid {
        let host = LAST_SLOT - slots_before;
        RunUid { inside: INSIDE_UID, host_uid: host, host_gid: host, own: true }
    }

    /// What was made for a uid that is then not wanted stands for nobody; twice said is not two.
    #[test]
    fn who_is_expected_is_not_who_comes_unless_the_order_says_so() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let parent = i32::try_from(std::process::id()).unwrap();
        for (expected, wanted) in [(vec![], 2), (vec![2], 2), (vec![3], 2), (vec![3, 2], 2), (vec![2, 3], 2)]
        {
            let launched = StubProgram::BesideMe.start().unwrap();
            for slot in &expected {
                let order = Order::Expect { parent, uid: uid(*slot), observed: false };
                send(&launched.control, &order, &[]).unwrap();
            }
            let argv = vec!["/nothing".to_owned()];
            let limits = crate::contract::limits::defaults();
            let policy = SandboxPolicy::new(Purpose::Probe, argv, uid(wanted), limits);
            let order = Order::Establish { parent, policy: Box::new(policy), clone_into: false };
            let Stands { init, layers, pid, .. } = converse(&launched.control, &order, Vec::new()).unwrap();
            let map = std::fs::read_to_string(format!("/proc/{}/uid_map", pid.unwrap())).unwrap();
            let host = map.split_whitespace().nth(1).map(str::to_owned);
            assert_eq!(host, Some(uid(wanted).host_uid.to_string()), "{expected:?}");
            assert!(layers.iter().all(|row| row.ok), "{expected:?}: {layers:?}");
            end_and_wait(&init);
            launched.stub.leave();
        }
    }
}
