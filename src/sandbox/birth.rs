//! The making of PID 1: its namespaces, its id maps, and whatever of it needs no policy.
//!
//! A stub that waits parked does this as soon as it hears which uid is expected, so that nobody waits for it; else it is
//! done when the order comes. Either way PID 1 is the same, and hears its policy over the gate.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::caller::Caller;
use super::companion::Companion;
use super::elsewhere;
use super::init::{self, SeenBefore};
use super::network::Network;
use super::observe;
use super::order::{Refusal, refused};
use super::standing::Standing;
use super::stub::NAMESPACES;
use super::sys::{self, Made};
use crate::evidence::LayerRow;
use crate::workspace::RunUid;

/// What a stub has before it knows of any policy.
pub(super) struct Early {
    /// Identities of the namespaces that it came from.
    before: Vec<String>,
    standing: Standing,
    /// Where that was put together.
    built_in: File,
    /// What the network namespace has; nothing yet, where the companion makes it.
    network: Option<Network>,
    companion: Option<Companion>,
}

impl Early {
    /// Puts together what every sandbox has, and enters the network namespace that PID 1 will inherit, where no `companion`
    /// makes it meanwhile: it is the dearest of all to make.
    pub(super) fn make(caller: Caller, companion: Option<Companion>) -> Result<Self, Refusal> {
        if let Some(companion) = companion.as_ref().filter(|_| caller == Caller::Ordinary) {
            companion.let_in();
        }
        let before = init::namespace_ids().map_err(refused("namespaces", "read /proc/self/ns"))?;
        let (standing, built_in) = Standing::build()?;
        let shared = companion.as_ref().is_some_and(Companion::makes_network);
        let network = if shared { None } else { Some(Network::make()?) };
        Ok(Self { before, standing, built_in, network, companion })
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
    companion: Option<Companion>,
}

impl Born {
    /// Makes PID 1. It begins with what needs no policy, and then waits at the gate.
    pub(super) fn make(control: &UnixStream, early: Early, expected: &Expected<'_>) -> Result<Self, Refusal> {
        let Early { before, standing, built_in, network, companion } = early;
        let uid = expected.uid;
        if uid.own {
            standing.give(uid)?;
        }
        let network = network.or_else(|| companion.as_ref()?.share_network());
        let network = network.map_or_else(Network::make, Ok)?;
        let (ours, theirs) = UnixStream::pair().map_err(refused("control", "make a socket pair"))?;
        let all = NAMESPACES.iter().fold(CloneFlags::empty(), |all, (_, flag)| all | *flag);
        match sys::clone_into(all - CloneFlags::CLONE_NEWNET, expected.folder)
            .map_err(refused("namespaces", "clone into new namespaces"))?
        {
            Made::Child => {
                drop((ours, built_in, companion));
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
                    companion,
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
        // Now or never: PID 1 becomes undumpable, and then an ordinary user may not look at it.
        let mounts = File::open(format!("/proc/{pid}/ns/mnt")).ok();
        if expected.traced {
            self.trace()?;
        }
        self.gate.write_all(init::MAPPED).map_err(refused("control", "release PID 1"))?;
        // Not before: PID 1 would wait for the fork.
        self.companion = self.companion.take().or_else(Companion::fork);
        if let Some((companion, mounts)) = self.companion.as_ref().zip(mounts) {
            companion.hold(&mounts);
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
    use crate::process::{StubProcess, end_and_wait, send};
    use crate::workspace::{INSIDE_UID, LAST_SLOT};

    fn uid(slots_before: u32) -> RunUid {
        let host = LAST_SLOT - slots_before;
        RunUid { inside: INSIDE_UID, host_uid: host, host_gid: host, own: true }
    }

    fn callers() -> RunUid {
        let (uid, gid) = (nix::unistd::Uid::effective(), nix::unistd::Gid::effective());
        RunUid { inside: INSIDE_UID, host_uid: uid.as_raw(), host_gid: gid.as_raw(), own: false }
    }

    /// The first process that a stub has made.
    fn first_child(stub: &StubProcess) -> u32 {
        let list = format!("/proc/{0}/task/{0}/children", stub.pid());
        loop {
            let children = std::fs::read_to_string(&list).unwrap();
            if let Some(first) = children.split(' ').find_map(|pid| pid.parse().ok()) {
                return first;
            }
            std::thread::yield_now();
        }
    }

    /// The layers of a sandbox of `wanted` whose stub has heard `expected` before; panics where its uid is another.
    fn established(expected: &[RunUid], wanted: RunUid, observed: bool) -> Vec<LayerRow> {
        let parent = i32::try_from(std::process::id()).unwrap();
        let launched = StubProgram::BesideMe.start().unwrap();
        for uid in expected {
            send(&launched.control, &Order::Expect { parent, uid: *uid }, &[]).unwrap();
        }
        // Made before the order comes, where it could be.
        let suits = wanted.own == nix::unistd::Uid::effective().is_root();
        let first = expected.first().filter(|uid| **uid == wanted && suits);
        let first = first.map(|_| first_child(&launched.stub));
        let limits = crate::contract::limits::defaults();
        let mut policy = SandboxPolicy::new(Purpose::Probe, vec!["/nothing".to_owned()], wanted, limits);
        policy.observed = observed;
        let (_seen, told) = std::io::pipe().unwrap();
        let given = observed.then(|| OwnedFd::from(told)).into_iter().collect();
        let order = Order::Establish { parent, policy: Box::new(policy), clone_into: false };
        let Stands { init, layers, pid, .. } = converse(&launched.control, &order, given).unwrap();
        let pid = pid.unwrap();
        let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
        let host = map.split_whitespace().nth(1).map(str::to_owned);
        assert_eq!(host, Some(wanted.host_uid.to_string()), "{expected:?}");
        assert!(first.is_none_or(|first| first == pid), "{expected:?}, {observed}: made twice");
        end_and_wait(&init);
        launched.stub.leave();
        layers
    }

    /// What was made for a uid that is then not wanted stands for nobody; twice said is not two.
    #[test]
    fn who_is_expected_is_not_who_comes_unless_the_order_says_so() {
        let is_root = nix::unistd::Uid::effective().is_root();
        let (one, other) = if is_root { (uid(2), uid(3)) } else { (callers(), uid(3)) };
        for expected in [&[][..], &[one], &[other], &[other, one], &[one, other]] {
            for observed in [false, true] {
                let layers = established(expected, one, observed);
                let what = format!("{expected:?}, observed: {observed}: {layers:?}");
                assert!(layers.iter().all(|row| row.ok), "{what}");
                let watched = layers.iter().filter(|row| row.layer == LayerRow::OBSERVATION).count();
                assert_eq!(watched, usize::from(observed), "{what}");
            }
        }
    }

    /// Root has no second uid everywhere: then all is made anew in a namespace of his own.
    #[test]
    fn root_without_a_second_uid_is_expected_in_vain() {
        for expected in [vec![], vec![callers()]] {
            let layers = established(&expected, callers(), true);
            assert!(layers.iter().all(|row| row.ok), "{expected:?}: {layers:?}");
        }
    }
}
