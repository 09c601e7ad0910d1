//! The harness's side of a control group, and what holds each limit of a sandbox.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use super::establish::SandboxError;
use super::order::Refusal;
use super::policy::{Grouping, SandboxPolicy};
use crate::evidence::{Holding, LayerRow};
use crate::process::{self, Bounds, Group, Version, WatchedTree};
use crate::vocab::LimitName;
use crate::workspace::{TreeForm, Upper};

/// The layer that samples what no group counts.
pub(super) const WATCHDOG: &str = "watchdog";

/// Makes the group that `policy` asks for; where it only wishes for one and there is none to be had, the policy says
/// so afterwards.
pub(super) fn make(policy: &mut SandboxPolicy) -> Result<Option<Group>, SandboxError> {
    if policy.group == Grouping::None {
        return Ok(None);
    }
    let limits = &policy.limits;
    let bounds = Bounds { memory_bytes: limits.memory_bytes, processes: limits.processes };
    match Group::make(bounds) {
        Ok(group) => Ok(Some(group)),
        Err(_) if policy.group == Grouping::WherePossible => {
            policy.group = Grouping::None;
            Ok(None)
        }
        Err(error) => Err(Refusal::new("cgroup", error.to_string()).into()),
    }
}

/// The ways into a group, and whether they are folders to be cloned into.
pub(super) fn entrances(group: Option<&Group>) -> Result<(Vec<OwnedFd>, bool), SandboxError> {
    let Some(group) = group else { return Ok((Vec::new(), false)) };
    let fds = group.entrances().map_err(|error| Refusal::new("cgroup", error.to_string()))?;
    Ok((fds, group.version() == Version::V2))
}

/// The pid of PID 1.
pub(super) fn pid(init: &OwnedFd) -> Result<u32, SandboxError> {
    process::pid_of(init).map_err(out_of_sight)
}

/// Whether the watchdog can see what becomes of PID 1; else what it alone holds would not be held.
pub(super) fn in_sight(pid: u32) -> Result<(), SandboxError> {
    process::in_sight(pid).map_err(out_of_sight)
}

fn out_of_sight(unread: process::Unread) -> SandboxError {
    SandboxError::Refused {
        layer: WATCHDOG.to_owned(),
        act: "watch PID 1".to_owned(),
        source: io::Error::other(unread),
    }
}

/// What the kernel says of the group of PID 1.
pub(super) fn rows(group: Option<&Group>, pid: u32) -> Vec<LayerRow> {
    group.map(|group| group.rows(pid)).unwrap_or_default()
}

/// What stands beyond the group's bound, so that the group refuses first and counts that it did.
const BEYOND_THE_GROUP: u64 = 64;
/// The same for the watchdog, which sees that a bound was passed and not that a fork was refused.
const BEYOND_THE_WATCHDOG: u64 = 1;

/// The bound on processes of the payload's uid. Since Linux 5.14 it counts within the user namespace, which is the
/// sandbox's own; before, all processes of the uid on the host, so that it fits only a uid of the run's own.
pub(super) fn process_bound(policy: &SandboxPolicy) -> Option<u64> {
    // PID 1 has the same uid and counts.
    let most = policy.limits.processes.saturating_add(1);
    let beyond = if policy.group == Grouping::None { BEYOND_THE_WATCHDOG } else { BEYOND_THE_GROUP };
    let most = most.saturating_add(beyond);
    (policy.uid.own || counts_within_namespaces()).then_some(most)
}

/// Whether this kernel counts processes of a uid within its user namespace.
pub(super) fn counts_within_namespaces() -> bool {
    static COUNTS: OnceLock<bool> = OnceLock::new();
    *COUNTS.get_or_init(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut parts = release.split(['.', '-']);
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
        (number(), number()) >= (5, 14)
    })
}

/// The folder of the host that the payload's work tree grows in.
pub(super) fn watched(policy: &SandboxPolicy) -> Option<WatchedTree> {
    match &policy.tree.as_ref()?.form {
        TreeForm::Overlay { upper: Upper::Disk { dir }, .. } => {
            Some(WatchedTree { dir: dir.join("upper"), with_base: false })
        }
        TreeForm::Private { dir } => Some(WatchedTree { dir: dir.clone(), with_base: true }),
        TreeForm::Overlay { upper: Upper::Tmpfs { .. }, .. } | TreeForm::ReadOnly { .. } => None,
    }
}

/// What holds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// In words, for the evidence.
    pub by: &'static str,
    /// Whether it cannot be passed, or passing it is noticed.
    pub holding: Holding,
}

/// What holds `name` in a sandbox with that group.
#[must_use]
pub fn holds(name: LimitName, group: Option<Version>) -> Hold {
    use LimitName as N;
    let hard = |by| Hold { by, holding: Holding::Hard };
    let watched = |by| Hold { by, holding: Holding::Watched };
    let grouped = |otherwise| match group {
        Some(version) => hard(version.as_str()),
        None => otherwise,
    };
    match name {
        N::Processes if counts_within_namespaces() => {
            grouped(hard("watchdog over /proc, and rlimit of the user namespace one beyond"))
        }
        N::MemoryBytes | N::Processes => grouped(watched("watchdog over /proc")),
        N::TreeCpuSeconds => watched(match group {
            Some(Version::V1) => "watchdog over cgroup v1",
            Some(Version::V2) => "watchdog over cgroup v2",
            None => "watchdog over /proc",
        }),
        N::CpuSeconds => hard("watchdog, and rlimit of each process a second later"),
        N::OpenFiles | N::FileBytes => hard("rlimit of each process"),
        N::TmpBytes | N::ShmBytes => hard("mount size"),
        N::DiskBytes | N::Inodes => watched("watchdog over the work tree"),
        N::ChangedFiles | N::PatchBytes => hard("harness, on the patch"),
        N::OutputBytes => hard("harness, on what it reads"),
        N::WallSeconds | N::IdleSeconds | N::GraceSeconds | N::AnswerSeconds => hard("harness, by the clock"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::establish::{Stands, StubProgram, converse};
    use super::super::order::Order;
    use super::super::policy::Purpose;
    use super::*;
    use crate::process::{end_and_wait, pid_of};
    use crate::workspace::{INSIDE_UID, LAST_SLOT, RunUid};

    /// Where version 2 is mounted with nothing in it, PID 1 is born into a group there all the same.
    #[test]
    fn a_group_of_version_2_is_entered_by_birth() {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let Some(top) = line.and_then(|line| line.split(' ').nth(4)) else { return };
        let dir = Path::new(top).join(format!("birth-{}", std::process::id()));
        if std::fs::create_dir(&dir).is_err() {
            return;
        }
        let own = RunUid { inside: INSIDE_UID, host_uid: LAST_SLOT - 1, host_gid: LAST_SLOT - 1, own: true };
        let argv = vec!["/nothing".to_owned()];
        let mut policy = SandboxPolicy::new(Purpose::Probe, argv, own, crate::contract::limits::defaults());
        policy.group = Grouping::Demanded;
        let launched = StubProgram::BesideMe.start().unwrap();
        let parent = i32::try_from(std::process::id()).unwrap();
        let order = Order::Establish { parent, policy: Box::new(policy), clone_into: true };
        let folder = OwnedFd::from(std::fs::File::open(&dir).unwrap());
        let Stands { init, layers, .. } = converse(&launched.control, &order, vec![folder]).unwrap();
        let pid = pid_of(&init).unwrap();
        let members = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        let shown = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        end_and_wait(&init);
        drop(launched.control);
        launched.stub.leave();
        let removed = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            std::fs::remove_dir(&dir).is_ok()
        });
        assert!(members.lines().any(|member| member == pid.to_string()), "{members}");
        assert!(shown.contains("/birth-"), "{shown}");
        assert!(removed && layers.iter().all(|row| row.ok), "{layers:?}");
    }
}
