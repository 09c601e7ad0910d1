//! What nobody tells of its own accord: how much memory, CPU time, processes and disk a payload uses.
//!
//! Where there is a control group, the kernel holds memory and processes and this only finds out that it had to; where
//! there is none, this samples `/proc`. CPU time of the whole tree and space in the work tree are watched either way.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::census::{Census, is_full, nameless};
use super::group::Group;
use super::learned::Used;
use super::tree::{TreeWatch, WatchedTree};
use crate::vocab::{LimitName, Limits};

/// Time between two looks where the kernel counts.
const COUNTED: Duration = Duration::from_millis(200);
/// Time between two looks over `/proc`.
const SAMPLED: Duration = Duration::from_millis(500);
/// A look takes at most this part of the time.
const SHARE: u32 = 20;

/// Looks at what a payload uses, when it is time to.
#[derive(Debug)]
pub(super) struct Watchdog {
    init: Option<u32>,
    group: Option<Group>,
    tree: Option<TreeWatch>,
    next: Instant,
    used: Used,
}

impl Watchdog {
    /// Begins to watch the tree below the process behind `init`.
    pub(super) fn begin(
        init: &OwnedFd,
        group: Option<Group>,
        tree: Option<WatchedTree>,
        limits: &Limits,
    ) -> Self {
        let tree = tree.map(|tree| TreeWatch::begin(tree, limits));
        Self { init: pid_of(init), group, tree, next: Instant::now() + COUNTED, used: Used::default() }
    }

    /// When it wants to look.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// The limit that is reached, if one is and it is time to look.
    pub(super) fn look(&mut self, now: Instant, limits: &Limits) -> Option<(LimitName, u64)> {
        if now < self.next {
            return None;
        }
        let found = self.counted(limits).or_else(|| self.sampled(limits));
        let rest = if self.group.is_some() { COUNTED } else { SAMPLED };
        self.next = Instant::now() + rest.max(now.elapsed() * SHARE);
        found
    }

    /// After the end: what was reached and not seen before.
    pub(super) fn last_look(&mut self, limits: &Limits) -> Option<(LimitName, u64)> {
        let taken = self.tree.as_ref().map(TreeWatch::last);
        self.used.raise(&taken.unwrap_or_default().used());
        self.counted(limits).or_else(|| taken.and_then(|taken| taken.above(limits)))
    }

    /// The most that was seen to be used.
    pub(super) fn used(&self) -> Used {
        let mut used = self.used;
        if let Some(group) = &self.group {
            let cpu_micros = group.counts().cpu_micros;
            used.raise(&Used { memory_bytes: group.most_memory(), cpu_micros, ..Used::default() });
        }
        used
    }

    /// What the kernel counted in the group: the surest of all reasons.
    pub(super) fn counted(&self, limits: &Limits) -> Option<(LimitName, u64)> {
        let group = self.group.as_ref()?;
        let counts = group.counts();
        if counts.oom_kills > 0 {
            Some((LimitName::MemoryBytes, limits.memory_bytes))
        } else if counts.refused_forks > 0 {
            Some((LimitName::Processes, limits.processes))
        } else if used_up(counts.cpu_micros, limits.tree_cpu_seconds) {
            Some((LimitName::TreeCpuSeconds, limits.tree_cpu_seconds))
        } else {
            None
        }
    }

    fn sampled(&mut self, limits: &Limits) -> Option<(LimitName, u64)> {
        let init = self.init?;
        let census = match &self.group {
            Some(group) => Census::of_members(init, &group.members()),
            None => Census::of_tree(init),
        };
        let nameless = nameless(&census.pids);
        // A file without a name may be mapped as well.
        let memory = census.memory_bytes.saturating_add(census.shared_bytes.max(nameless.in_memory));
        let taken = self.tree.as_ref().map(|tree| tree.latest().and(nameless.on_disk));
        let of_tree = taken.unwrap_or_default().used();
        self.used.raise(&Used { memory_bytes: memory, cpu_micros: census.tree_cpu_micros, ..of_tree });
        let counts_cpu = self.group.as_ref().is_some_and(Group::counts_cpu);
        if used_up(census.busiest_micros, limits.cpu_seconds) {
            Some((LimitName::CpuSeconds, limits.cpu_seconds))
        } else if !counts_cpu && used_up(census.tree_cpu_micros, limits.tree_cpu_seconds) {
            Some((LimitName::TreeCpuSeconds, limits.tree_cpu_seconds))
        } else if self.group.is_none() && census.processes > limits.processes {
            Some((LimitName::Processes, limits.processes))
        } else if self.group.is_none() && memory > limits.memory_bytes {
            Some((LimitName::MemoryBytes, limits.memory_bytes))
        } else if let Some(above) = taken.and_then(|taken| taken.above(limits)) {
            Some(above)
        } else {
            let full =
                |(place, name, bytes)| is_full(*census.pids.first()?, place, bytes).then_some((name, bytes));
            let shm = ("dev/shm", LimitName::ShmBytes, limits.shm_bytes);
            full(("tmp", LimitName::TmpBytes, limits.tmp_bytes)).or_else(|| full(shm))
        }
    }
}

fn used_up(micros: u64, seconds: u64) -> bool {
    Duration::from_micros(micros) >= Duration::from_secs(seconds)
}

/// The pid behind a pid descriptor, as this process sees it (`Pid:` in its fdinfo).
pub(crate) fn pid_of(pidfd: &OwnedFd) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok()
}
